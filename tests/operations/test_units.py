"""What systemd thinks of the units: they are right, and they let a service do little.

`make test-external` runs it.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from callmart.base import settings
from callmart.base.settings import PROJECT, Settings

UNITS = PROJECT / "packaging" / "systemd"
OF_THE_ACCOUNT = (
    "callmart.service", "callmart-day.service", "callmart-servers.service", "callmart-health.service",
    "callmart-mail.service",
)  # fmt: skip
THRESHOLD = 30  # of 100: systemd calls up to 20 OK, and up to 50 medium
RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text()
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
    ],
)
def test_when_the_timers_start_their_services(timer: str, when: str) -> None:
    calendar = re.findall(r"^OnCalendar=(.*)$", (UNITS / timer).read_text(), flags=re.MULTILINE)
    done = analyze("calendar", *calendar)
    assert done.returncode == 0
    assert f"Normalized form: *-*-* {when}\n" in done.stdout


# What needs no program of Debian's.


def test_the_night_begins_when_no_run_of_the_day_does() -> None:
    """Of two that begin at once, one does nothing."""
    night, day, mail = (
        re.findall(r"^OnCalendar=(.*)$", (UNITS / f"callmart{timer}.timer").read_text(), flags=re.MULTILINE)
        for timer in ("", "-day", "-mail")
    )
    assert day == ["*:0/5"]
    assert all(int(calendar.split(":")[1]) % 5 for calendar in [*night, *mail])


def test_mails_go_out_until_the_week_ends() -> None:
    """A report of Sunday evening is of the week before last by Monday's run."""
    (timer,) = re.findall(
        r"^OnCalendar=(.*)$", (UNITS / "callmart-mail.timer").read_text(), flags=re.MULTILINE
    )
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


def test_the_command_by_hand_has_the_account_of_the_service() -> None:
    assert re.findall(r"^Environment=(.*)$", ACCOUNT, flags=re.MULTILINE) == re.findall(
        r"^settings=(.*)$", HAND, flags=re.MULTILINE
    )
    assert "User=callmart\n" in ACCOUNT
    assert "--uid=callmart" in HAND
    assert "UMask=0077\n" in ACCOUNT
    assert "UMask=0077" in HAND
