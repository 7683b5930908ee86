"""What systemd thinks of the units: they are right, and they let a service do little.

`make test-external` runs it.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from callmart.backup import sealed
from callmart.base import settings
from callmart.base.settings import PROJECT, Settings

UNITS = PROJECT / "packaging" / "systemd"
OF_THE_ACCOUNT = (
    "callmart.service", "callmart-day.service", "callmart-servers.service", "callmart-health.service",
    "callmart-mail.service", "callmart-backup.service",
)  # fmt: skip
THRESHOLD = 30  # of 100: systemd calls up to 20 OK, and up to 50 medium
RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text()
GUIDE = (PROJECT / "docs" / "install.md").read_text()
HAND = (PROJECT / "packaging" / "callmart").read_text()
ACCOUNT = (UNITS / "callmart.service.d" / "account.conf").read_text()


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("there is no systemd-analyze here: install Debian's package systemd")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, cwd=UNITS
    )


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with programs that exist here instead of those in /opt."""
    shutil.copytree(UNITS, tmp_path / "units", symlinks=True)
    for unit in (tmp_path / "units").glob("*.service"):
        unit.write_text(re.sub(r"/opt/callmart/\S*/(callmart\S*)", "/bin/true", unit.read_text()))
    return tmp_path / "units"


@pytest.mark.external
def test_systemd_finds_nothing_wrong(units: Path) -> None:
    names = sorted(path.name for path in units.iterdir() if path.is_file())
    assert names == [
        "callmart-backup.service",
        "callmart-backup.timer",
        "callmart-day.service",
        "callmart-day.timer",
        "callmart-failed@.service",
        "callmart-health.service",
        "callmart-health.timer",
        "callmart-mail.service",
        "callmart-mail.timer",
        "callmart-servers.service",
        "callmart.service",
        "callmart.timer",
    ]
    done = analyze("verify", "--man=no", *(units / name for name in names))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.external
def test_systemd_finds_something_wrong_where_it_is(units: Path) -> None:
    unit = units / "callmart.service"
    unit.write_text(unit.read_text().replace("Type=oneshot", "Type=onshot"))
    assert "onshot" in analyze("verify", "--man=no", unit).stderr


@pytest.mark.external
@pytest.mark.parametrize("name", OF_THE_ACCOUNT)
def test_a_service_may_do_little(units: Path, name: str) -> None:
    def exposure() -> subprocess.CompletedProcess[str]:
        return analyze("security", "--offline=true", f"--threshold={THRESHOLD}", "--no-pager", units / name)

    done = exposure()
    assert done.returncode == 0, done.stdout
    drop_in = units / f"{name}.d" / "account.conf"
    drop_in.unlink()
    drop_in.write_text("[Service]\nUser=callmart\n")
    assert exposure().returncode != 0, "the check is blind"


@pytest.mark.external
@pytest.mark.parametrize(
    ("timer", "when"),
    [
        ("callmart.timer", "03:02:00"),
        ("callmart-day.timer", "*:00/5:00"),
        ("callmart-health.timer", "07..18:30:00"),
        ("callmart-mail.timer", "05..23:02:00"),
        ("callmart-backup.timer", "05:33:00"),
    ],
)
def test_when_the_timers_start_their_services(timer: str, when: str) -> None:
    calendar = re.findall(r"^OnCalendar=(.*)$", (UNITS / timer).read_text(), flags=re.MULTILINE)
    done = analyze("calendar", *calendar)
    assert done.returncode == 0
    assert f"Normalized form: *-*-* {when}\n" in done.stdout


# What needs no program of Debian's.


def told(unit: str, what: str) -> list[str]:
    """What a unit says of something."""
    return re.findall(rf"^{what}=(.*)$", (UNITS / unit).read_text(), flags=re.MULTILINE)


def test_the_night_begins_when_no_run_of_the_day_does() -> None:
    """Of two that begin at once, one does nothing."""
    night, day, mail, backup = (
        told(f"callmart{timer}.timer", "OnCalendar") for timer in ("", "-day", "-mail", "-backup")
    )
    assert day == ["*:0/5"]
    assert all(int(calendar.split(":")[1]) % 5 for calendar in [*night, *mail, *backup])


def test_no_run_starts_servers_that_end_with_it() -> None:
    """They would end in the night after one crashed, and again in each night from then on."""
    for unit in OF_THE_ACCOUNT:
        if unit == "callmart-servers.service":
            assert told(unit, "ExecReload") == told(unit, "ExecStart")
        elif unit != "callmart-health.service":  # it starts nothing
            assert told(unit, "ExecStartPre") == [
                "-+/usr/bin/systemctl reload-or-restart callmart-servers.service"
            ]
            assert told(unit, "Requires") == ["callmart-servers.service"]


def test_a_backup_is_made_where_the_guide_makes_the_folder_and_waits_for_a_run() -> None:
    unit = "callmart-backup.service"
    (folder,) = told(unit, "ReadWritePaths")
    assert folder == "-/srv/backup"
    (command,) = told(unit, "ExecStart")
    assert command.startswith(
        "/bin/sh -c 'exec /opt/callmart/.venv/bin/callmart backup \"/srv/backup/$$(date "
    )
    assert "install --directory --mode=0700 --owner=callmart --group=callmart /srv/backup\n" in GUIDE
    waits = " ".join(told(unit, "After")).split()
    assert {"callmart.service", "callmart-day.service", "callmart-mail.service"} <= set(waits)


def test_a_passphrase_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Nobody could restore the backups of before."""
    commands = "".join(
        re.findall(r"^.*/etc/credstore/callmart_backup_passphrase.*\n", GUIDE, flags=re.MULTILINE)
    )
    made = []
    for _ in range(2):
        subprocess.run(["sh", "-euc", commands.replace("/etc/credstore", str(tmp_path))], check=True)
        made.append((tmp_path / "callmart_backup_passphrase").read_text().strip())
    assert made[0] == made[1]
    assert len(made[0]) >= sealed.SHORTEST_PASSPHRASE


def test_the_backup_before_an_upgrade_needs_no_unit_that_comes_with_it() -> None:
    before, _ = GUIDE.split("## A new version")[1].split("\ngit -C /opt/callmart pull\n")
    assert '\ncallmart backup "/srv/backup/' in before
    assert "callmart-backup" not in before


def test_mails_go_out_until_the_week_ends() -> None:
    """A report of Sunday evening is of the week before last by Monday's run."""
    (timer,) = told("callmart-mail.timer", "OnCalendar")
    (cron,) = re.findall(r"^(.*)  \S+/callmart mail > ", RUNBOOK, flags=re.MULTILINE)
    assert (timer, cron) == ("*-*-* 05..23:02:00", "2 5-23 * * *")


def test_all_services_have_the_same_account() -> None:
    files = [UNITS / f"{name}.d" / "account.conf" for name in OF_THE_ACCOUNT]
    assert {file.resolve() for file in files} == {files[0]}


def test_the_services_can_write_the_file_of_metrics_that_the_runbook_names() -> None:
    """The runs write it, and so does each look of `callmart-health.timer`. Where it is not used, nothing fails."""
    (named,) = re.findall(r"^\| `metrics_file` \|.*such as `(\S+)`", RUNBOOK, flags=re.MULTILINE)
    assert re.findall(r"^ReadWritePaths=(.*)$", ACCOUNT, flags=re.MULTILINE) == [f"-{Path(named).parent}"]


def test_each_credential_is_a_setting_and_the_command_by_hand_has_the_same() -> None:
    given = re.findall(r"LoadCredential=(\S+)", ACCOUNT)
    assert given == re.findall(r"LoadCredential=(\S+)", HAND)
    known = [name.lower() for name in settings._variables(Settings, "CALLMART_")]
    assert set(given) <= set(known)
    secret = "dsn", "passphrase", "token", "secret", "url", "password"
    assert {name for name in known if name.endswith(secret)} == set(given)
    told = (PROJECT / "docs" / "install.md").read_text()
    assert [name for name in given if f"`{name}`" not in told] == []


@pytest.fixture
def by_hand(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """The command by hand where systemd runs and we are root, with programs that only say their name and words."""
    (tmp_path / "bin").mkdir()
    for program in ("systemctl", "systemd-run", "runuser"):
        (file := tmp_path / "bin" / program).write_text('#!/bin/sh\necho "${0##*/}" "$@"\n')
        file.chmod(0o755)
    (file := tmp_path / "bin" / "id").write_text("#!/bin/sh\necho 0\n")
    file.chmod(0o755)
    script = HAND.replace("/run/systemd/system", str(tmp_path)).replace("/var/lib/callmart", str(tmp_path))
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"

    def run(*words: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", "-c", script, "callmart", *words],
            env={"PATH": path, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_by_hand_the_servers_are_started_and_stopped_by_their_unit(
    by_hand: Callable[..., tuple[int, str]],
) -> None:
    """What the command's own unit starts would end with it. A restart would end a run that is at work."""
    assert by_hand("start") == (0, "systemctl reload-or-restart callmart-servers.service\n")
    assert by_hand("stop") == (0, "systemctl stop callmart-servers.service\n")
    for words in (["run"], ["start", "--help"], ["privacy", "answer", "7", "--out", "a letter.txt"]):
        code, said = by_hand(*words)
        assert (code, said.startswith("systemd-run ")) == (0, True)
        assert said.endswith(f"/opt/callmart/.venv/bin/callmart {' '.join(words)}\n")


def test_by_hand_no_variable_is_dropped_without_a_word(by_hand: Callable[..., tuple[int, str]]) -> None:
    code, said = by_hand("backup", "/srv/backup/new", CALLMART_BACKUP_PASSPHRASE="a secret of ours")
    assert (code, "secret of ours" in said) == (2, False)
    assert said.startswith("error: CALLMART_BACKUP_PASSPHRASE would not reach callmart: unset it, and write")
    assert by_hand("status", LANG="C.UTF-8")[0] == 0


def test_the_command_by_hand_has_the_account_of_the_service() -> None:
    assert re.findall(r"^Environment=(.*)$", ACCOUNT, flags=re.MULTILINE) == re.findall(
        r"^settings=(.*)$", HAND, flags=re.MULTILINE
    )
    assert "User=callmart\n" in ACCOUNT
    assert "--uid=callmart" in HAND
    assert "UMask=0077\n" in ACCOUNT
    assert "UMask=0077" in HAND
