"""The nightly run: one at a time, whatever a file holds, and what breaks off stops only what builds on it."""

import errno
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from time import sleep
from typing import Any

import psycopg
import pytest

from callmart.access import sessions
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import Folder, Settings
from callmart.build import months, window
from callmart.database.lock import exclusive
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.land import found
from callmart.opening import opening
from callmart.operations import run, stages, status
from callmart.publish import bookkeeping, installation, planning, sites, tableau
from callmart.retention import expire, remove
from callmart.validate import suites
from callmart_home import Callmart
from commands import begun as begun_command
from commands import command_of
from emulated import unmark
from events import at, event, ndjson
from nights import Crash, night, outcome, requests
from nights_of_three import DETAILED, NONE, REGISTRY, STANDARD, with_folders
from tableau_emulator.state import State

pytestmark = pytest.mark.usefixtures("unchecked", "few_reports")
HOURS = ("11:00", "12:00")


# the lock, the folders


def test_a_second_run_at_the_same_time_says_so_and_ends(undisturbed: Callmart) -> None:
    """Where the last two began within an hour, it is skipped: the next one comes soon."""
    with undisturbed.connect() as connection, exclusive(connection):
        with pytest.raises(UserError, match="another callmart run is at work"):
            night(undisturbed)
        (soon,) = undisturbed.rows(
            "insert into ops.run (outcome, ended_at) values ('done', now()) returning run_id"
        )
        said = "another callmart run is at work on this database: this run did"
        assert night(undisturbed).skipped.startswith(said)
        (process := begun_command(undisturbed.home, "run")).join()
        assert process.exitcode == 0
        undisturbed.rows("update ops.run set began_at = began_at - interval '6 hours' returning 1")
        with pytest.raises(UserError, match="another callmart run is at work"):
            night(undisturbed)  # for hours: somebody has to look
        undisturbed.rows("update ops.run set began_at = began_at + interval '6 hours' returning 1")
        undisturbed.rows("delete from ops.run where run_id = %s returning 1", soon["run_id"])
    assert night(undisturbed).problems == []


def test_the_lock_is_free_after_a_failure(undisturbed: Callmart) -> None:
    with pytest.raises(Crash), undisturbed.connect() as connection, exclusive(connection):
        raise Crash
    with undisturbed.connect() as connection, exclusive(connection):
        pass


def test_a_run_with_nothing_new_changes_nothing(undisturbed: Callmart) -> None:
    before, made = outcome(undisturbed), requests(undisturbed)
    assert any("/datasources" in path for _, path in made)
    ran = night(undisturbed)
    assert [file.unchanged for file in ran.files] == [True]
    assert (ran.built_days, ran.opened_days, ran.extracts_written, ran.published_changes) == (0, 0, 0, 0)
    assert ran.extracts == 5, "three groups of the one, two of the other"
    assert outcome(undisturbed) == before
    assert requests(undisturbed) == made


def test_a_run_of_nothing_asks_neither_dbt_nor_tableau(
    undisturbed: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noting(module: Any, name: str, who: str) -> None:
        real = getattr(module, name)

        def noted(*arguments: Any, **named: Any) -> Any:
            asked.append(who)
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, noted)

    noting(tableau, "connect", "Tableau")
    noting(dbt_project, "run", "dbt")

    def asks() -> list[str]:
        asked.clear()
        assert night(undisturbed).problems == []
        return list(asked)

    assert asks() == []
    undisturbed.rows("update ops.publication set looked_on = looked_on - 1 returning 1")
    assert asks() == ["Tableau"], "a new day"
    undisturbed.rows('update ops.built_state set state = state || \'{"month": "2020-01-01"}\' returning 1')
    assert asks() == ["dbt"], "another month is over"
    undisturbed.rows(
        "update registry.customer set name = 'Another' where customer_id = %s returning 1", STANDARD
    )
    with State(undisturbed.home / "emulator") as state:
        before = len(state.requests())
        assert asks() == ["Tableau"], "one is called otherwise"
        looked = {one.path for one in state.requests()[before:] if one.path.endswith("/permissions")}
    projects = undisturbed.rows("select project_id, customer_id from ops.publication order by customer_id")
    assert [any(one["project_id"] in path for path in looked) for one in projects] == [False, True]


def test_what_was_discarded_or_not_opened_is_built_again(undisturbed: Callmart) -> None:
    """A request of a person discards builds. A customer whose ledger differs is not opened until it agrees."""
    with undisturbed.connect() as connection:

        def is_up_to_date() -> bool:
            return window.is_up_to_date(connection, undisturbed.settings)

        assert is_up_to_date()
        close = "insert into privacy.closed values (%s, 'differs') returning 1"
        undisturbed.rows(close, STANDARD)
        assert not is_up_to_date()
        undisturbed.rows("delete from privacy.closed returning 1")
        assert is_up_to_date()
        opening.forget_build(connection)
        assert not is_up_to_date()


def test_the_day_decides_what_is_built_only_while_days_are_dirty(undisturbed: Callmart) -> None:
    with undisturbed.connect() as connection:

        def state() -> Mapping[str, Any]:
            return window._state(connection, undisturbed.settings, "select mark from ops.dirty_day")

        before = state()
        assert before["dirty"]["day"] is None
        connection.execute("insert into ops.audit_log (action) values ('statistics frozen')")
        assert before["frozen"] != state()["frozen"], "another month may wait to be frozen"
        connection.execute("insert into ops.dirty_day values (%s, current_date, 1, '')", [STANDARD])
        assert state()["dirty"]["day"] is not None
        connection.rollback()


def test_a_night_is_recorded_stage_by_stage(undisturbed: Callmart) -> None:
    stages = undisturbed.rows(
        "select stage, outcome, counts, ended_at >= began_at as ends from ops.run_stage"
        " where run_id = (select min(run_id) from ops.run) order by began_at"
    )
    assert [one["stage"] for one in stages] == [
        "check", "remove", "expire", "months", "moved", "packages", "environments", "land", "build", "validation",
        "opening", "rebuild", "rights", "extract", "publish", "marts", "seal",
    ]  # fmt: skip
    assert {(one["outcome"], one["ends"]) for one in stages} == {("done", True)}
    counts = {one["stage"]: one["counts"] for one in stages}
    assert counts["land"].keys() == {"files", "unchanged", "landed", "rejected", "turned_away", "erased"}
    assert counts["land"]["files"] == 1
    assert counts["land"]["landed"] > counts["opening"]["days"] > 0
    assert counts["extract"] == {"extracts": 5, "written": 5}
    assert counts["publish"]["changes"] > 0


@pytest.fixture(scope="module")
def other(make_callmart: Callable[..., Callmart]) -> Callmart:
    """One that has done nothing before the tests that follow, each after the other."""
    callmart = make_callmart(ready=True)
    callmart.apply(REGISTRY)
    return callmart


def test_folders_say_what_their_files_are(other: Callmart) -> None:
    """A bad file is a problem, and the others land."""
    logs, mixed = other.home / "logs", other.home / "mixed"
    for folder in logs, mixed:
        folder.mkdir()
    (logs / "queue_log").write_text(f"{int(at('10:00').timestamp())}|c-1|sales|NONE|ENTERQUEUE||0612345678\n")
    (mixed / "1-bad").write_bytes(bytes(range(256)) * 20)
    (mixed / "2-good").write_text(
        ndjson(event("queue_joined", at("11:00"), customer_id=DETAILED, call_id="c-2", queue="support"))
    )
    (mixed / ".draft").write_text("a file that is still being written")
    callmart = with_folders(
        other,
        Folder(path=logs, customer=STANDARD, format="queue_log", platform="vcare", settle_seconds=0),
        Folder(path=mixed, settle_seconds=0),
    )
    ran = night(callmart)
    assert [(file.file, file.landed) for file in ran.files] == [("queue_log", 1), ("2-good", 1)]
    assert len(ran.problems) == 1
    assert str(mixed / "1-bad") in ran.problems[0]
    assert callmart.rows("select customer_id, platform, queue from raw.event order by 1") == [
        {"customer_id": DETAILED, "platform": "vcloud", "queue": "support"},
        {"customer_id": STANDARD, "platform": "vcare", "queue": "sales"},
    ]
    assert ran.opened_days == 2
    assert {project for project, _ in outcome(callmart)["Tableau"]} == {
        one.tableau.removeprefix("callmart / ")
        for one in status_of(callmart)
        if one.tableau != "nothing there"
    }


def test_what_can_not_be_read_is_a_problem_and_the_others_land(
    other: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of everything: each is named, and none of them stops the others, or the next stages."""
    mixed, last = other.home / "odd", other.home / "last"
    for folder in mixed, last:
        folder.mkdir()
    (mixed / "1-nowhere").symlink_to("gone")
    (mixed / "2-folder.csv").mkdir()
    (mixed / "3-error").write_text("what the disk can no longer read")
    (mixed / "4-broken.gz").write_bytes(gzip.compress(random.Random(4).randbytes(9999))[:5000])
    (mixed / "5-broken.parquet").write_bytes(b"PAR1" + random.Random(5).randbytes(99) + b"PAR1")
    (mixed / "7-unforeseen").write_text("what nobody thought of")
    (mixed / "8-gone").write_text("what is away when its turn comes")
    good = [
        event("queue_joined", at(hour), customer_id=DETAILED, call_id=hour, queue="sales") for hour in HOURS
    ]
    (mixed / "6-lost").write_text(ndjson(good[0] | {"call_id": "what the server ends the session at"}))
    (mixed / "9-good").write_text(ndjson(good[0]))
    (last / "good").write_text(ndjson(good[1]))
    inner = found.find

    def find(delivery: found.Delivery) -> found.Found:
        name = delivery.path.name
        if name == "3-error":
            delivery = replace(delivery, path=Path("/proc/self/mem"))  # which can be opened, and not be read
        if name == "6-lost":
            with other.superuser() as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename like '%loader'"
                )
        if name == "7-unforeseen":
            raise RuntimeError(SECRET)
        if name == "8-gone":
            delivery.path.unlink()
        return inner(delivery)

    monkeypatch.setattr(found, "find", find)
    folders = other.home / "none", mixed, other.home / "registry.yml", last
    ran = night(with_folders(other, *(Folder(path=folder, settle_seconds=0) for folder in folders)))
    assert [(file.file, file.landed) for file in ran.files] == [("6-lost", 1), ("9-good", 1), ("good", 1)]
    no_folder = "is not a folder; correct `folders` in callmart.toml"
    damaged = "is damaged or breaks off; deliver the whole file again"
    assert ran.problems == [
        f"{folders[0]} {no_folder}",
        f"{mixed / '1-nowhere'} is a link; put the file itself into the landing folder",
        f"{mixed / '2-folder.csv'} is not a file; take it out of the landing folder",
        f"{folders[2]} {no_folder}",
        "/proc/self/mem can't be read (OSError: Input/output error); give this user read permission, or "
        "deliver the whole file again",
        f"{mixed / '4-broken.gz'} {damaged}",
        f"{mixed / '5-broken.parquet'} is damaged, breaks off or has encrypted columns; deliver the whole file again, "
        "without encryption",
        f"{mixed / '7-unforeseen'} did not land (RuntimeError): the next run tries again",
        f"{mixed / '8-gone'} vanished meanwhile, and nothing of it landed; land it again when it is back",
    ]
    assert ran.opened_days == 1
    assert ran.published_changes > 0


# a stage that breaks off

SECRET = "a row: +31612345678"
ORDER: list[tuple[Any, str]] = [
    (remove, "remove"),
    (expire, "expire"),
    (months, "ensure_ahead"),
    (window, "build"),
    (suites, "validate"),
    (opening, "open_build"),
    (extract, "extract"),
    (planning, "plan"),
]
# What is said, and what is not begun for it. All that is not named is.
BROKEN: dict[str, tuple[list[str], set[str]]] = {
    "remove": (
        ["the removal of what no contract keeps broke off (RuntimeError): the next run tries again"],
        set(),
    ),
    "expire": (["the expiry broke off (RuntimeError): run `callmart expire` to finish it"], set()),
    "ensure_ahead": (["the months ahead were not made (RuntimeError): the next run tries again"], set()),
    "build": (["the build broke off (RuntimeError): the next run tries again"], {"validate", "open_build"}),
    "validate": (["the validation broke off (RuntimeError): the next run tries again"], {"open_build"}),
    "open_build": (["the opening broke off (RuntimeError): the next run tries again"], set()),
    "extract": (["the extraction broke off (RuntimeError): the next run tries again"], set()),
    "plan": (["the publication broke off (RuntimeError): the next run tries again"], set()),
    "follow_rights": (
        [
            "the check of rights broke off, so nothing was extracted or published (RuntimeError): "
            "the next run tries again"
        ],
        {"extract", "plan"},
    ),
}


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the stages that the first run of a day has begun; the build is none, which would take its time."""
    begun: list[str] = []

    def spied(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def stage(*arguments: Any, **options: Any) -> Any:
            begun.append(name)
            return inner(*arguments, **options)

        return stage

    monkeypatch.setattr(window, "is_up_to_date", lambda *_: False)
    monkeypatch.setattr(bookkeeping, "due", lambda *_: frozenset({DETAILED, STANDARD, NONE}))
    monkeypatch.setattr(window, "build", lambda *_: window.Built(None, 0))
    for module, name in ORDER:
        monkeypatch.setattr(module, name, spied(name, getattr(module, name)))
    return begun


def breaks_off(*_: Any, **__: Any) -> None:
    raise RuntimeError(SECRET)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_stage_that_breaks_off_stops_only_what_builds_on_it(
    undisturbed: Callmart, begun: list[str], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    module = next((module for module, name in ORDER if name == broken), opening)
    monkeypatch.setattr(module, broken, breaks_off)
    ran = night(undisturbed)
    problems, stopped = BROKEN[broken]
    if broken == "follow_rights":  # the opening begins with it, too
        problems = [BROKEN["open_build"][0][0], *problems]
    assert ran.problems == problems
    assert begun == [name for _, name in ORDER if name != broken and name not in stopped]
    assert SECRET not in json.dumps(asdict(ran))


def test_what_can_not_be_written_is_named(
    undisturbed: Callmart, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/home/dbt/marts.json")

    monkeypatch.setattr(window, "build", full)
    assert night(undisturbed).problems == [
        "the build broke off (/home/dbt/marts.json: OSError: No space left on device): make room, and the next"
        " run tries again"
    ]


def test_nothing_leaves_while_rights_differ_even_when_nothing_was_built(
    undisturbed: Callmart, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "build", breaks_off)
    with undisturbed.connect() as connection:
        connection.execute("grant select on registry.customer to public")
    try:
        ran = night(undisturbed)
    finally:
        with undisturbed.connect() as connection:
            connection.execute("revoke select on registry.customer from public")
    assert ran.problems[0] == BROKEN["build"][0][0]
    assert ran.problems[1].startswith("nothing is opened while rights differ from what is declared")
    assert len(ran.problems) == 2
    assert begun == ["remove", "expire", "ensure_ahead"]
    assert (ran.extracts, ran.published_changes) == (0, 0)


def test_what_breaks_off_of_one_customer_is_that_customer_s(undisturbed: Callmart, begun: list[str]) -> None:
    inner = extract._make

    def making(session: Any, path: Path, order: Any, before: Any) -> extract.Extract:
        if order.customer_id == DETAILED and order.group == "queue":
            session.owner.execute("select pg_terminate_backend(pg_backend_pid())")
        return inner(session, path, order, before)

    for file in extract.folder(undisturbed.settings).rglob("*.hyper"):
        file.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "_make", making)
        ran = night(undisturbed)
    assert (
        ran.problems[0]
        == f"the queue extract of customer {DETAILED} was not made (SQLSTATE 57P01): run this again"
    )
    assert (ran.extracts, ran.extracts_written) == (5, 4)
    ran = night(undisturbed)
    assert (ran.extracts_written, ran.problems) == (1, [])


def test_a_customer_who_can_not_be_removed_leaves_the_others_alone(
    other: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer in DETAILED, STANDARD:
        other.land_text(
            ndjson(event("queue_joined", at("10:00"), customer_id=customer, call_id="c", queue="sales"))
        )
    other.apply("customers: []\n")
    inner = remove._remove_customer

    def removing(connection: psycopg.Connection, settings: Settings, customer_id: int, *more: Any) -> Any:
        counts = inner(connection, settings, customer_id, *more)
        if customer_id == DETAILED:
            connection.execute("select 1 / 0")
        return counts

    monkeypatch.setattr(remove, "_remove_customer", removing)
    ran = stages.Ran()
    with other.connect() as connection:
        stages.remove_closed(connection, other.settings, ran, quietly)
        assert ran.problems == [
            f"what no contract keeps of customer {DETAILED} was not removed (SQLSTATE 22012): the next run tries again"
        ]
        assert ran.removed_customers == 1
        assert other.rows("select distinct customer_id from raw.event") == [{"customer_id": DETAILED}]
        monkeypatch.undo()
        stages.remove_closed(connection, other.settings, again := stages.Ran(), quietly)
    assert (again.removed_customers, again.problems) == (1, [])
    assert other.rows("select from raw.event") == []


def test_a_run_that_loses_its_connection_says_so_and_ends(
    undisturbed: Callmart, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing(connection: psycopg.Connection, *_: Any) -> None:
        connection.execute("select pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(suites, "validate", losing)
    ran = night(undisturbed)
    assert ran.problems == [
        "the validation broke off (SQLSTATE 57P01): the next run tries again",
        run.LOST,
    ]
    assert begun == ["remove", "expire", "ensure_ahead", "build"]
    ended = command_of(undisturbed.home)("run", CALLMART_FOLDERS="[]")
    assert ended.returncode == 2, ended.stderr


def test_an_interruption_between_a_question_and_its_answer_ends_the_run(
    undisturbed: Callmart, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(connection: psycopg.Connection, *_: Any) -> None:
        with sessions.making_way(connection):
            connection.pgconn.send_query(b"select pg_sleep(60)")
            raise KeyboardInterrupt

    monkeypatch.setattr(suites, "validate", interrupted)
    assert night(undisturbed).problems == [
        "the run was interrupted: run it again, and it continues from there"
    ]
    assert begun == ["remove", "expire", "ensure_ahead", "build"]


def test_a_run_that_is_ended_says_what_it_did(undisturbed: Callmart) -> None:
    """By a scheduler, with the signal that asks politely."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from callmart.cli.main import main; main()", "run", "--json"],
        env=os.environ | {"CALLMART_HOME": str(undisturbed.home), "CALLMART_FOLDERS": "[]"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    locked = "select from pg_locks where relation = 'ops.running_now'::regclass and granted"
    while not undisturbed.rows(locked):
        assert process.poll() is None
        sleep(0.01)
    process.terminate()
    said, complained = process.communicate()
    assert process.returncode == 130, complained
    assert json.loads(said)["problems"] == [
        "the run was interrupted: run it again, and it continues from there"
    ]
    assert "Traceback" not in complained


def status_of(callmart: Callmart) -> list[status.CustomerStatus]:
    with callmart.connect() as connection:
        return status.status(connection)


# what stood on Tableau before there were marks


def test_a_run_adopts_nothing_by_itself(undisturbed: Callmart) -> None:
    """Whoever confirms it has everything as it was, and nothing is published again."""
    before = outcome(undisturbed)
    with State(undisturbed.home / "emulator") as state:
        unmark(state, installation.ensure_id(undisturbed.home))
    undisturbed.rows("update ops.publication set project_id = null, is_from_before = true returning 1")
    ran = night(undisturbed)
    assert ran.published_changes == 0
    assert len(ran.problems) == 2
    assert all("adopt it with --yes" in problem for problem in ran.problems)
    with undisturbed.connect() as connection, tableau.at_sites(undisturbed.settings) as at:
        plans = sites.plan(sites.read(connection, undisturbed.settings, at))
        steps = [step for plan in plans.by_site.values() for step in plan.steps]
        assert {str(step) for step in steps if step.customer_id and step.action != "adopt"} == set()
        sites.apply(connection, undisturbed.settings, at, plans, quietly)
    assert (night(undisturbed).problems, outcome(undisturbed)) == ([], before)
    assert (
        undisturbed.rows("select project_id is null as unknown, is_from_before from ops.publication")
        == [{"unknown": False, "is_from_before": False}] * 2
    )
