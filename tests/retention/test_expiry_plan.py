"""An expiry does what its plan says, keeps no reader waiting, and ends what an earlier one left undone."""

import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from callmart.base.progress import quietly
from callmart.database import clock
from callmart.database.lock import exclusive
from callmart.extract import extract
from callmart.operations import run, stages
from callmart.retention import expire, expiry_plan, expiry_steps
from callmart.validate import quality_pages
from callmart_home import Callmart
from commands import command_of, mistake
from six_days import (
    BORDER,
    DAYS,
    HERE,
    content,
    expired,
    planned,
    restore,
    too_old,
    two_years_after,
)

pytestmark = pytest.mark.dated


def test_the_plan_changes_nothing_and_is_what_is_done(full: Callmart) -> None:
    before = content(full)
    plan = planned(full, DAYS[2])
    assert content(full) == before
    assert plan.floor == DAYS[2]
    assert all(step.count > 0 and step.why for step in plan.steps)
    logged = "select details from ops.audit_log where action = 'expired' and entry > %s order by entry"
    (last,) = full.rows("select coalesce(max(entry), 0) as entry from ops.audit_log")

    with full.connect() as connection:
        outcomes = expire.execute(connection, plan)
    assert [one.step for one in outcomes] == list(plan.steps)
    assert {one.outcome for one in outcomes} == {expire.DONE}
    taken = [step for step in plan.steps if step.kind != "statistics"]
    details = [row["details"] for row in full.rows(logged, last["entry"])]
    assert [entry.pop("before") for entry in details] == [str(DAYS[2])] * len(taken)
    assert [list(entry.values()) for entry in details] == [[step.count] for step in taken]
    after = content(full)
    lost = {
        table: len(before[table]) - len(after[table]) for table in before if before[table] != after[table]
    }
    for with_its_file in ("raw.file_customer", "raw.file_look", "ops.extract"):
        lost.pop(with_its_file, None)
    files = f"{extract.folder(full.settings)}/*/*.hyper"
    counts = {step.what: step.count for step in taken if "forgotten" not in step.why}
    assert counts | {"files": counts.pop(files)} == lost


def test_what_changed_since_the_plan_is_left_alone(full: Callmart) -> None:
    plan = planned(full, BORDER)
    with full.connect() as connection:
        long_ago = DAYS[0] - timedelta(days=9)
        connection.execute("insert into ops.opened_day values (1, %s, 'queue_interval', 1, 1)", [long_ago])
        connection.execute(
            "insert into store.queue_interval (customer_id, call_date, queue, interval_start)"
            " values (1, %s, 'late', now())", [DAYS[1]],
        )  # fmt: skip
        connection.commit()
        before = content(full)
        outcomes = {one.step.what: one.outcome for one in expire.execute(connection, plan)}
    month = f"store.queue_interval_{DAYS[0]:%Y%m}"
    assert {what for what, outcome in outcomes.items() if outcome == expire.CHANGED} == {
        month,
        "ops.opened_day",
    }
    after = content(full)
    assert after["store.queue_interval"] == before["store.queue_interval"]
    days = full.rows("select call_date from ops.opened_day where isfinite(call_date)")
    assert min(row["call_date"] for row in days) == long_ago
    assert after["raw.event"] != before["raw.event"]
    assert too_old(full, BORDER)
    expired(full, BORDER)
    assert too_old(full, BORDER) == {}


@contextmanager
def reading(callmart: Callmart, table: str) -> Iterator[None]:
    """A customer's transaction that has read a mart and stays open."""
    with callmart.connect(HERE) as reader:
        reader.execute(f"select count(*) from {table}")
        yield
        reader.rollback()


@pytest.mark.waits
def test_a_reader_is_never_kept_waiting(full: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expire, "TRIES", 2)
    stop = threading.Event()
    answered: list[float] = []
    failures: list[Exception] = []

    def read() -> None:
        try:
            with full.connect(HERE) as reader:
                reader.execute("set statement_timeout = '2s'")
                while not stop.is_set():
                    began = datetime.now()
                    reader.execute("select count(*) from mart.queue_interval")
                    reader.commit()
                    answered.append((datetime.now() - began).total_seconds())
        except Exception as failure:
            failures.append(failure)

    month = f"store.queue_interval_{DAYS[0]:%Y%m}"
    with reading(full, "mart.queue_interval"):
        thread = threading.Thread(target=read)
        thread.start()
        outcomes = {one.step.what: one.outcome for one in expired(full, BORDER)}
        stop.set()
        thread.join()
    assert not failures
    assert len(answered) > 10
    assert {what for what, outcome in outcomes.items() if outcome != expire.DONE} == {month}
    assert outcomes[month] == expire.EMPTIED
    assert too_old(full, BORDER) == {}


@pytest.mark.waits
def test_a_reader_keeps_nobodys_expired_rows(full: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer that reads and stays in its transaction: the rows go all the same, and their month the next time."""
    monkeypatch.setattr(expire, "TRIES", 1)
    month = f"store.queue_interval_{DAYS[0]:%Y%m}"
    (held,) = full.rows(f"select count(*) as rows from {month}")
    ran = stages.Ran()
    with reading(full, "mart.queue_interval"):
        with full.connect() as connection:
            monkeypatch.setattr(clock, "today", lambda *_: two_years_after(BORDER))
            run.follow_calendar(connection, full.settings, ran, quietly)
            monkeypatch.undo()
        assert ran.problems == [], "nothing is left that should not be"
        assert ran.expired > held["rows"] > 0
        assert too_old(full, BORDER) == {}
        assert full.rows(f"select from {month}") == []
        assert full.rows("select from ops.to_vacuum") == []
    (step,) = [step for step in planned(full, BORDER).steps if step.kind != "statistics"]
    assert (step.what, step.count) == (month, 0)
    assert step.why.endswith("before " + str(BORDER) + ", and empty")
    assert {one.outcome for one in expired(full, BORDER)} == {expire.DONE}
    assert full.rows("select to_regclass(%s) is null as gone", month) == [{"gone": True}]
    assert expired(full, BORDER) == []


class Crash(Exception):
    """What no step expects."""


def named(steps: Sequence[expiry_steps.Step]) -> list[tuple[str, str]]:
    return [(step.what, step.why) for step in steps]


@pytest.mark.thorough
def test_a_crash_in_any_step_is_finished_by_the_next(full: Callmart) -> None:
    """Each run crashes one step later than the one before, after all that the step does, before it is committed. The
    last one finishes, and nothing differs from what one run does without a crash.
    """
    expired(full, BORDER)
    undisturbed = content(full)
    restore(full)
    steps = named(planned(full, BORDER).steps)
    assert len(set(steps)) == len(steps)
    for crashing in steps:
        plan = planned(full, BORDER)
        number = named(plan.steps).index(crashing)

        def take(connection: psycopg.Connection, step: expiry_steps.Step = plan.steps[number]) -> int:
            if step.kind != "statistics":
                step.take(connection)
            raise Crash

        broken = dataclasses.replace(plan.steps[number], take=take)
        with pytest.raises(Crash), full.connect() as connection:
            expire.execute(connection, dataclasses.replace(plan, steps=(*plan.steps[:number], broken)))
        # What follows from files is there again, the files themselves aren't.
        assert crashing in named(planned(full, BORDER).steps) or broken.kind == "files"
    expired(full, BORDER)
    assert too_old(full, BORDER) == {}
    assert full.rows("select from ops.to_vacuum") == []
    assert content(full) == undisturbed


def test_the_log_knows_who_deletes_files_though_it_is_killed(full: Callmart) -> None:
    """Once they are gone, nothing else knows of them."""
    page = quality_pages.folder(full.settings) / f"{DAYS[0]}-1.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text("results")
    plan = planned(full, BORDER)
    (step,) = (step for step in plan.steps if step.what.startswith(str(page.parent)))

    def take(connection: psycopg.Connection) -> int:
        step.take(connection)
        raise Crash

    killed = dataclasses.replace(plan, steps=(dataclasses.replace(step, take=take),))
    with pytest.raises(Crash), full.connect() as connection:
        expire.execute(connection, killed)
    assert not page.exists()
    assert full.rows("select action, details from ops.audit_log order by entry desc limit 1") == [
        {"action": "expiring", "details": {"before": str(BORDER), "files": 1}}
    ]


OTHERS = (
    "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
)


def test_newer_months_are_not_read(full: Callmart) -> None:
    """A night's expiry costs what expires, not two years: the events of newer months are not looked at."""
    with full.connect() as connection:
        later = (BORDER + timedelta(days=40)).replace(day=1)
        connection.execute("select access.ensure_month('raw.event', %s)", [later])
        connection.commit()
        full.rows("select pg_stat_force_next_flush()")  # what others have looked at, who end or go on
        while connection.execute(OTHERS).fetchall() != [(1,)]:
            connection.commit()
        newer = f"event_{later:%Y%m}"
        reads = "select seq_scan, idx_scan from pg_stat_user_tables where relname = %s"

        def looked_at(name: str) -> Any:
            connection.execute("select pg_stat_force_next_flush()")
            connection.commit()
            found = connection.execute(reads, [name]).fetchone()
            connection.commit()
            return found

        old, before = looked_at(f"event_{DAYS[0]:%Y%m}"), looked_at(newer)
        expire.execute(connection, expiry_plan.plan(connection, full.settings, two_years_after(DAYS[1])))
        assert looked_at(f"event_{DAYS[0]:%Y%m}") != old
        assert looked_at(newer) == before


# -- the command --------------------------------------------------------------------------------------------------

WRONG = {
    "no date": (["--today", "yesterday"], "--today: yesterday is not a date; write it as 2026-11-24"),
    "no such day": (["--today", "2026-02-29"], "--today: 2026-02-29 is not a date"),
    "before all": (["--today", "0001-01-01"], "--today: 0001-01-01 is not a date"),
    "a day to come": (
        ["--today", str(two_years_after(BORDER))],
        "is not today; look at the plan with `callmart expire --today",
    ),
    "a day long ago": (["--today", "2000-02-29"], "2000-02-29 is not today; look at the plan with"),
    "a plan of nobody": (["--accept", "0123abcd"], "0123abcd is not the current plan"),
}


def test_a_wrong_clock_is_one_sentence_and_changes_nothing(full: Callmart) -> None:
    before = content(full)
    for wrong, (arguments, said) in WRONG.items():
        done = command_of(full.home)("expire", *arguments)
        assert said in mistake(done), wrong
        assert done.stdout == "", wrong
    assert content(full) == before


def test_the_command_shows_the_plan_does_it_and_has_nothing_left(full: Callmart) -> None:
    command = command_of(full.home)
    at = ("--today", str(two_years_after(BORDER)))
    before = content(full)
    shown = command("expire", "--plan", *at)
    assert shown.returncode == 0, shown.stderr
    assert f"store.queue_interval_{DAYS[0]:%Y%m}" in shown.stdout
    *_, how, said = shown.stdout.splitlines()
    assert said == f"expire: planned; the oldest day that is kept is {BORDER}"
    plan = json.loads(command("expire", "--plan", "--json", *at).stdout)
    assert how == f"to do this: callmart expire --today {at[1]} --accept {plan['hash']}"
    assert content(full) == before

    with full.connect() as connection:
        connection.execute(
            "insert into ops.opened_day values (1, %s, 'queue_interval', 1, 1)", [BORDER - timedelta(days=9)]
        )
    changed = content(full)
    assert "is not the current plan" in mistake(command(*how.removeprefix("to do this: callmart ").split()))
    assert content(full) == changed, "neither more nor less than what was shown"
    restore(full)

    done = command("expire", "--accept", plan["hash"], "--json", *at)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["floor"], report["outcome"]) == (str(BORDER), "done")
    assert [step | {"outcome": "planned"} for step in report["steps"]] == plan["steps"]
    nothing = json.loads(command("expire", "--plan", "--json", *at).stdout)
    assert (nothing["outcome"], nothing["steps"]) == ("nothing to do", [])
    again = command("expire", "--accept", nothing["hash"], *at)
    assert (again.returncode, again.stdout) == (
        0,
        f"expire: nothing to do; the oldest day that is kept is {BORDER}\n",
    )


@pytest.mark.waits
def test_a_lock_not_got_is_exit_code_1(full: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of somebody who keeps even the rows from being deleted: no customer can."""
    monkeypatch.setattr(expire, "PAUSE_S", 0)
    monkeypatch.setattr(expire, "TRIES", 2)
    command, at = command_of(full.home), ("--today", str(two_years_after(BORDER)))
    plan = json.loads(command("expire", "--plan", "--json", *at).stdout)
    with full.connect() as holder:
        holder.execute("lock table store.queue_interval in share mode")
        done = command("expire", "--accept", plan["hash"], *at)
        holder.rollback()
    assert done.returncode == 1
    assert "lock not obtained" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("expire: lock not obtained; ")


def test_one_at_a_time(full: Callmart) -> None:
    with full.connect() as first, exclusive(first):
        said = mistake(command_of(full.home)("expire"))
        assert command_of(full.home)("expire", "--plan").returncode == 0
    assert "another callmart run is at work" in said
