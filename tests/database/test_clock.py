"""A clock that has jumped is not believed: nothing opens, closes or goes until a person says that it is right.

The jump is made in two ways: the kept day is set back or ahead in the database, and the server and the command are
given another time by libfaketime.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import typer

from audits import attacks_nothing
from callmart.access.rights import SCHEMAS
from callmart.backup import restore
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.build import window
from callmart.cli import main
from callmart.database import clock, embedded_server
from callmart.mailing import mailing
from callmart.operations import run, stages
from callmart.retention import remove
from callmart_home import Callmart
from centre import NAMED, REGISTRY, WITH_DATA
from commands import Command, command_of, mistake
from today import YESTERDAY

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
needs_faketime = pytest.mark.skipif(
    LIBRARY is None, reason="libfaketime is not installed (Debian: apt install faketime)"
)

# What acts, with the rest of its line; `registry.yml` is one that would take everything away.
ACTS = {
    "registry apply": ["registry.yml", "--yes"],
    "access apply": [],
    "land": ["events.ndjson"],
    "build": [],
    "validate": [],
    "open": [],
    "release": ["--customer", "1001", "--day", "2026-11-01", "--reason", "data-is-right"],
    "extract": [],
    "publish": ["--yes"],
    "mail": [],
    "expire": [],
    "retire": ["queue_day", "--yes"],
    "rebuild": [],
    "run": [],
    "try": ["one", "--customers", "1001", "--days", "1"],
    "keys rotate": ["--customer", "1001"],
    "keys lost": ["--customer", "1001", "--yes"],
    "keys attest": ["--customer", "1001"],
    "keys entered-again": ["--customer", "1001", "--yes"],
    "privacy open": ["--customer", "1001", "--kind", "agent"],
    "privacy forward": ["--customer", "1001"],
    "privacy verify": ["1", "--how", "code"],
    "privacy plan": ["1"],
    "privacy approve": ["1"],
    "privacy do": ["1"],
    "privacy prove": ["1"],
    "privacy answer": ["1"],
    "privacy refuse": ["1", "--because", "identity"],
    "privacy close": ["1"],
    "privacy replay": [],
}
# What changes nothing says it, and works.
LOOKS = {
    "access diff": [],
    "status": [],
    "privacy status": [],
    "privacy report": ["--customer", "1001"],
    "privacy corrections": [],
    "dsn": ["--customer", "1001"],
    "report": ["traffic", "--customer", "1001", "--week", f"{YESTERDAY:%G-W%V}", "--out", "{folder}.csv"],
    "expire": ["--plan"],
    "rebuild": ["--plan"],
    "keys rotate": ["--customer", "1001", "--plan"],
    "keys destroyed": ["--json"],
    "audit": ["--out", "{folder}"],
}
# What asks no clock: it touches no customer's data, or has a test of its own.
OTHERS = {
    "access rotate", "backup", "check", "clock", "demo", "diff", "doctor", "draw", "emulator", "explain", "health",
    "preview", "privacy ledger", "reports", "restore", "simulate", "start", "stop", "upgrade", "workbook",
}  # fmt: skip


@pytest.fixture
def command(played: Callmart) -> Command:
    return command_of(played.home)


def content(callmart: Callmart) -> dict[str, object]:
    """All that is stored, who is in which role, and which files stand there."""
    with callmart.connect() as owner:
        tables = owner.execute(
            """
            select format('%%I.%%I', nspname, relname)
            from pg_class as c join pg_namespace as n on n.oid = relnamespace
            where relkind = 'r' and relname <> 'running_now' and nspname = any(%s)
            """,
            [list(SCHEMAS)],
        ).fetchall()
        digests = " union all ".join(
            f"select '{name}', count(*), sum(hashtext(t::text)) from {name} as t" for (name,) in tables
        )
        found: dict[str, object] = {name: told for name, *told in owner.execute(digests.encode())}
        found["roles"] = owner.execute("select rolname, rolcanlogin from pg_roles order by 1").fetchall()
        found["members"] = owner.execute(
            "select roleid::regrole::text, member::regrole::text from pg_auth_members order by 1, 2"
        ).fetchall()
    for files in ("extracts/*/*", "keys/*", "secrets/*.pgpass"):
        found[files] = sorted(map(str, callmart.home.glob(files)))
    return found


def keep(callmart: Callmart, day: date) -> None:
    """Let the day be the one on which something last began."""
    with callmart.connect() as owner:
        owner.execute("delete from ops.clock")
        owner.execute("insert into ops.clock (day) values (%s)", [day])


def kept(callmart: Callmart) -> list[date]:
    return [row["day"] for row in callmart.rows("select day from ops.clock")]


def today(callmart: Callmart) -> date:
    with callmart.connect() as owner:
        return clock.today(owner, callmart.settings)


@pytest.fixture
def a_rest(played: Callmart) -> Iterator[date]:
    """The machine has rested for eight days: what the clock says now."""
    now = today(played)
    keep(played, now - timedelta(days=8))
    yield now
    keep(played, now)


# -- which days are believed --------------------------------------------------------------------------------------

TODAY = date(2026, 11, 26)


@pytest.mark.parametrize(
    ("days", "believed"),
    [(-1000, False), (-1, False), (0, True), (1, True), (7, True), (8, False), (1096, False)],
)
def test_a_day_before_the_last_or_more_than_a_week_after_it_is_in_doubt(days: int, believed: bool) -> None:
    reading = clock.Reading(TODAY, TODAY - timedelta(days=days), timedelta(0))
    assert (reading.doubt is None) == believed
    if reading.doubt:
        assert f"`callmart clock --accept {TODAY}`" in reading.doubt


def test_a_new_database_has_no_day_and_is_believed() -> None:
    assert clock.Reading(TODAY, None, timedelta(0)).doubt is None


@pytest.mark.parametrize("minutes", [-6, 6])
def test_two_machines_that_are_minutes_apart_are_in_doubt_on_any_day(
    played: Callmart, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    now = today(played)
    keep(played, now)

    class Apart(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(minutes=minutes)

    with played.connect() as owner:
        assert clock.read(owner, played.settings).doubt is None
        monkeypatch.setattr(clock, "datetime", Apart)
        reading = clock.read(owner, played.settings)
        assert reading.doubt == reading.skewed
        assert str(reading.doubt).startswith(
            "the clocks of this machine and of the database are 6 minutes apart"
        )
        beginnings: tuple[Callable[[], object], ...] = (
            lambda: clock.believe(owner, played.settings),
            lambda: clock.accept(owner, played.settings, now),
        )
        for begin in beginnings:
            with pytest.raises(UserError, match="correct the wrong one"):
                begin()
    assert clock.Reading(TODAY, TODAY, timedelta(minutes=5)).doubt is None


# -- what is done and what is not ---------------------------------------------------------------------------------


def test_every_command_either_acts_or_looks_or_asks_no_clock() -> None:
    """A new command has to be put where it belongs."""
    groups = {"registry", "access", "privacy", "keys"}
    every = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
    commands = every.keys() - groups | {
        f"{group} {name}" for group in groups for name in every[group].commands
    }
    assert commands == ACTS.keys() | LOOKS.keys() | OTHERS


def test_nothing_is_done_while_the_clock_is_in_doubt(
    played: Callmart, command: Command, a_rest: date, tmp_path: Path
) -> None:
    (tmp_path / "registry.yml").write_text("customers: []\n")
    (tmp_path / "events.ndjson").write_text("{}\n")
    before = content(played)
    for what, arguments in ACTS.items():
        done = command(*what.split(), *arguments, cwd=tmp_path)
        said = mistake(done)
        assert f"the clock says {a_rest}, 8 days after callmart last worked" in said, what
        assert f"`callmart clock --accept {a_rest}`" in said, what
        assert done.stdout == "", what
        assert content(played) == before, what
    played.rows("select 1", customer_id=NAMED)


def test_nor_is_anything_done_the_day_before(played: Callmart, command: Command) -> None:
    now = today(played)
    keep(played, now + timedelta(days=1))
    before = content(played)
    assert f"the clock says {now}, 1 day before callmart last worked" in mistake(command("run"))
    with played.connect() as owner, pytest.raises(UserError, match="1 day before"):
        run.run(owner, played.settings, quietly)
    assert content(played) == before
    keep(played, now)


def test_a_run_goes_no_further_when_the_clock_jumps(
    played: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that began with a wrong clock, or whose clock was set meanwhile."""
    now = today(played)
    keep(played, now)

    def jump(*_: object) -> None:
        keep(played, now - timedelta(days=8))
        before.update(content(played))

    before: dict[str, object] = {}
    monkeypatch.setattr(stages, "check_declared", jump)
    with played.connect() as owner:
        ran = run.run(owner, played.settings, quietly)
    (said,) = ran.problems
    assert said.startswith(f"nothing more was done: the clock says {now}, 8 days after callmart last worked")
    after = content(played)
    assert {name for name in before if before[name] != after[name]} == {"ops.run", "ops.run_stage"}
    keep(played, now)


def test_a_build_forgets_no_day_when_the_clock_jumps_while_it_begins(played: Callmart, a_rest: date) -> None:
    """By the wrong clock every day could be too old, and none would be marked to be built any more."""
    with played.connect() as owner:
        with pytest.raises(UserError, match=f"nothing more was done: the clock says {a_rest}, 8 days after"):
            window.build(owner, played.settings, quietly)
        owner.rollback()


def test_nothing_expires_by_a_day_that_is_not_believed(
    played: Callmart, command: Command, a_rest: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock can jump between the beginning of the stage and the moment at which it asks what day it is."""
    expiries: tuple[Callable[[psycopg.Connection], object], ...] = (
        lambda owner: stages.expire_data(owner, played.settings, stages.Ran(), quietly),
        lambda owner: restore._expire(owner, played.settings),
    )
    for expire in expiries:
        with played.connect() as owner:
            with pytest.raises(
                UserError, match=f"nothing more was done: the clock says {a_rest}, 8 days after"
            ):
                expire(owner)
            owner.rollback()
    monkeypatch.setattr(clock, "believe", lambda *_: None)  # as it was when the command began
    for asked in ([], ["--today", str(a_rest)]):
        assert "nothing more was done: the clock says" in mistake(command("expire", *asked))


def test_no_mail_is_due_on_a_day_that_is_not_believed(played: Callmart, a_rest: date) -> None:
    with played.connect() as owner, pytest.raises(UserError, match="nothing more was done: the clock says"):
        mailing.send(owner, played.settings, quietly, lambda *_: None, lambda *_: None)


def test_nothing_of_a_customer_is_removed_on_a_day_that_is_not_believed(
    played: Callmart, a_rest: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock can jump while customers before it are removed."""
    monkeypatch.setattr(remove, "_gone", lambda *_: [NAMED])
    before = content(played)
    with played.connect() as owner:
        with pytest.raises(UserError, match=f"nothing more was done: the clock says {a_rest}, 8 days after"):
            remove.remove(owner, played.settings, quietly)
        owner.rollback()
    assert content(played) == before


def test_what_changes_nothing_works_and_says_it(
    played: Callmart, command: Command, a_rest: date, tmp_path: Path
) -> None:
    before = content(played)
    for what, arguments in LOOKS.items():
        told = (each.format(folder=tmp_path / "audit") for each in arguments)
        with attacks_nothing():
            in_doubt = command(*what.split(), *told)
        assert content(played) == before, what
        assert "the clock is in doubt: the clock says" in in_doubt.stderr, what
        assert in_doubt.returncode != 2, what
        assert in_doubt.stdout, what
    keep(played, a_rest)
    assert "the clock is in doubt" not in command("dsn").stderr


def test_a_week_later_things_go_on_and_the_day_is_kept(played: Callmart, command: Command) -> None:
    now = today(played)
    for what in (["open"], ["land", "/etc/hostname"]):
        keep(played, now - timedelta(days=7))
        command(*what)
        assert kept(played) == [now]


def test_the_first_command_of_a_new_home_keeps_the_day(
    make_callmart: Callable[[], Callmart], tmp_path: Path
) -> None:
    new = make_callmart()
    (tmp_path / "registry.yml").write_text(REGISTRY)
    assert "registry apply" in mistake(command_of(new.home)("clock"))
    assert command_of(new.home)("registry", "apply", tmp_path / "registry.yml").returncode == 0
    assert kept(new) == [today(new)]


# -- a person looks -----------------------------------------------------------------------------------------------


def test_the_command_shows_both_days_and_what_to_do(played: Callmart, command: Command, a_rest: date) -> None:
    shown = command("clock")
    assert shown.returncode == 1
    last = a_rest - timedelta(days=8)
    first, second = shown.stdout.splitlines()
    assert first == f"the clock says {a_rest}; callmart last worked on {last}"
    assert second.startswith("clock: the clock says")
    assert f"callmart clock --accept {a_rest}" in second
    keep(played, a_rest)
    shown = command("clock")
    assert (shown.returncode, shown.stdout.splitlines()[-1]) == (0, "clock: believed")


def test_only_the_day_that_the_clock_says_is_accepted(
    played: Callmart, command: Command, a_rest: date
) -> None:
    for day, said in {
        str(a_rest - timedelta(days=8)): f"the clock says {a_rest}, not ",
        str(a_rest + timedelta(days=1)): f"the clock says {a_rest}, not ",
        "tomorrow": "--accept: tomorrow is not a date; write it as 2026-11-24",
    }.items():
        before = content(played)
        assert said in mistake(command("clock", "--accept", day))
        assert content(played) == before


def test_what_is_accepted_is_logged_and_everything_goes_on(
    played: Callmart, command: Command, a_rest: date
) -> None:
    logged = "select details from ops.audit_log where action = 'clock accepted'"
    before = len(played.rows(logged))
    accepted = command("clock", "--accept", str(a_rest))
    assert (accepted.returncode, accepted.stdout.splitlines()[-1]) == (0, "clock: believed")
    assert command("expire").returncode == 0
    assert command("clock", "--accept", str(a_rest)).returncode == 0, "nothing to accept"
    entries = [row["details"] for row in played.rows(logged)][before:]
    assert [set(entry) for entry in entries] == [{"last", "accepted", "by"}]
    assert (entries[0]["last"], entries[0]["accepted"]) == (str(a_rest - timedelta(days=8)), str(a_rest))
    assert entries[0]["by"]


# -- with a clock that is really another ---------------------------------------------------------------------------


COMMANDS_IN_TURN = """
import json, sys
from callmart.cli.main import main
for sys.argv[1:] in json.loads(sys.argv[1]):
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def at(callmart: Callmart, shift: str, *commands: list[str]) -> subprocess.CompletedProcess[str]:
    """Commands at the given time, and what they start too: the server, where that rests. They are in one process, which
    takes seconds to begin.
    """
    assert LIBRARY
    return subprocess.run(
        [sys.executable, "-c", COMMANDS_IN_TURN, json.dumps(commands)],
        env=os.environ
        | {
            "CALLMART_HOME": str(callmart.home),
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME": shift,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@needs_faketime
def test_a_command_with_another_clock_than_the_servers_does_nothing(played: Callmart) -> None:
    keep(played, today(played))
    before = content(played)
    assert "10 minutes apart: correct the wrong one" in mistake(at(played, "+10m", ["expire"]))
    assert content(played) == before


@needs_faketime
@pytest.mark.parametrize("shift", ["-1096d", "+1096d"], ids=["three years back", "three years ahead"])
def test_nothing_goes_on_a_machine_that_is_years_off_until_a_person_says_so(
    played: Callmart, shift: str
) -> None:
    keep(played, now := today(played))
    before = content(played)
    played.stop()
    try:
        there = now + timedelta(days=int(shift.removesuffix("d")))
        said = mistake(at(played, shift, ["run"]))
        assert f"the clock says {there}, 1,096 days" in said
        assert f"callmart clock --accept {there}" in said
        assert content(played) == before
        if shift.startswith("+"):  # the control: it was nothing but the clock that kept the rows
            assert at(played, shift, ["clock", "--accept", str(there)], ["expire"]).returncode == 0
            assert not played.rows("select from store.queue_interval union all select from raw.event")
    finally:
        played.stop()
        embedded_server.start(played.home)
    if shift.startswith("-"):
        assert all(played.rows("select from mart.queue_day", customer_id=one) for one in WITH_DATA)
    else:
        assert "callmart clock --accept" in mistake(command_of(played.home)("expire"))
