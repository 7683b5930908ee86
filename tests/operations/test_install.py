"""docs/install.md, word by word, in an empty Debian: its commands are run as they are there.

There is no init in that Debian. So `systemctl enable` makes its links, and what only a running systemd can do it passes
over; test_units.py asks systemd about the units instead. `make test-external` runs it. It needs root and Debian's
package mmdebstrap.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from callmart.base.settings import PROJECT

GUIDE = PROJECT / "docs" / "install.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SUITE = "trixie"
# What lets this machine reach Debian and the package index: it is no part of the guide.
OF_THIS_MACHINE = (
    "etc/resolv.conf",
    "etc/pip.conf",
    "etc/apt/apt.conf.d",
    "etc/ssl/certs/ca-certificates.crt",
)
SHARED_MEMORY = "mount -t tmpfs -o mode=1777 tmpfs /dev/shm\n"  # as every machine has it


@dataclass(frozen=True)
class Debian:
    """An empty Debian in a folder."""

    root: Path

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script there, as root, until a command fails. Processes that it leaves behind end with it."""
        return subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.root / 'proc'}",
             "env", "--ignore-environment", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
             "DEBIAN_FRONTEND=noninteractive", "REPOSITORY=/source", "HOME=/root", "SYSTEMD_OFFLINE=1",
             "chroot", self.root, "sh", "-eux", "-c", SHARED_MEMORY + script],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="module")
def debian() -> Iterator[Debian]:
    if shutil.which("mmdebstrap") is None or os.geteuid() != 0:
        pytest.fail("this needs root, and Debian's package mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder:
        root = Path(folder) / "root"
        subprocess.run(
            ["mmdebstrap", "--variant=minbase", "--include=ca-certificates,systemd", SUITE, root],
            check=True, capture_output=True,
        )  # fmt: skip
        for name in OF_THIS_MACHINE:
            if (Path("/") / name).is_dir():
                shutil.copytree(Path("/") / name, root / name, dirs_exist_ok=True)
            elif (Path("/") / name).exists():
                shutil.copyfile(Path("/") / name, root / name)
        _commit(root / "source")
        yield Debian(root)


def _commit(folder: Path) -> None:
    """A repository with the files as they are in the work tree."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if os.path.lexists(PROJECT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name, follow_symlinks=False)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*author, "commit", "--quiet", "--message=as it is"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


@pytest.mark.external
def test_the_guide_leads_to_the_first_report(debian: Debian) -> None:
    blocks = BLOCK.findall(GUIDE.read_text())
    assert len(blocks) == len(re.findall(r"^## \d", GUIDE.read_text(), flags=re.MULTILINE))
    said = debian.sh("\n".join(blocks))
    assert said.returncode == 0, said.stdout[-3000:]

    status, doctor = said.stdout.split("+ callmart doctor\n")
    assert re.search(r"1042 Voorbeeld BV .*callmart / 1042 Voorbeeld BV", status)
    assert [line for line in doctor.splitlines() if line.startswith(("wrong", "not checked"))] == []
    assert len([line for line in doctor.splitlines() if line.startswith("ok: ")]) > 10
    assert [path.name for path in (debian.root / "srv/callmart/landed").rglob("queue_log")] == ["queue_log"]
    assert list((debian.root / "var/lib/callmart/home").glob("extracts/**/*.hyper"))


@pytest.mark.external
def test_only_the_account_can_look_into_what_it_keeps(debian: Debian) -> None:
    for path in (
        "/var/lib/callmart/home/keys",
        "/etc/callmart/registry.yml",
        "/etc/callmart/callmart.toml",
        "/srv/callmart/landed",
    ):
        assert debian.sh(f"test -e {path}").returncode == 0
        assert debian.sh(f"runuser --user nobody -- test -r {path}").returncode == 1
    assert debian.sh("runuser --user callmart -- test -w /opt/callmart").returncode == 1
    assert debian.sh("runuser --user nobody -- callmart status").returncode == 2


@pytest.mark.external
def test_the_units_are_enabled(debian: Debian) -> None:
    wanted = debian.root / "etc/systemd/system"
    assert (wanted / "timers.target.wants/callmart.timer").is_symlink()
    assert (wanted / "timers.target.wants/callmart-health.timer").is_symlink()
    assert (wanted / "multi-user.target.wants/callmart-servers.service").is_symlink()
    units = "callmart.service callmart.timer callmart-health.service callmart-health.timer"
    assert debian.sh(f"systemd-analyze verify --man=no {units}").returncode == 0
