"""Expires data: deletes what is older than two years, exact to the day, from every table and file.

The plan is carried out step by step. Each step is one transaction, which also writes its audit entry. A step that would
delete more or less than planned is rolled back, unless some of its files can't be deleted. So after a crash, steps are
either done or not, and the next expiry plans the remaining ones. Files are gone all the same.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import psycopg

from callmart.base.settings import Settings
from callmart.database import audit_log, lock
from callmart.database.vacuum import PAUSE_S, READERS_WAIT, TRIES, vacuum
from callmart.retention.expiry_plan import Plan, plan
from callmart.retention.expiry_steps import Step, Stuck

DONE, LOCKED, CHANGED, NOTHING, PLANNED = "done", "lock not obtained", "changed", "nothing to do", "planned"
STUCK = "a file can't be deleted"
EMPTIED = "rows deleted, their month is dropped later"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a step: DONE, EMPTIED, LOCKED, CHANGED or STUCK; or PLANNED. `gone` is how many rows or files were
    deleted: with LOCKED and CHANGED none, with STUCK perhaps some of the files.
    """

    step: Step
    outcome: str
    gone: int = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is left, but perhaps an empty month."""
        return self.outcome in (DONE, EMPTIED)


def expire(connection: psycopg.Connection, settings: Settings, day: date) -> list[Outcome]:
    """Delete what is too old on a day; return the outcome per step. Commits each step."""
    return execute(connection, plan(connection, settings, day))


def taken(outcomes: list[Outcome]) -> int:
    """Return the number of deleted rows and files."""
    return sum(one.gone for one in outcomes)


def overall(outcomes: list[Outcome]) -> str:
    """Return the outcome that a person should see first."""
    found = {one.outcome for one in outcomes}
    return next(
        (outcome for outcome in (STUCK, CHANGED, LOCKED, EMPTIED, PLANNED, DONE) if outcome in found), NOTHING
    )


def execute(connection: psycopg.Connection, planned: Plan) -> list[Outcome]:
    """Carry out the plan and nothing else; return the outcome per step. Commits each step."""
    connection.commit()
    # Regardless of the server's default: a count must see what is in the table when the lock is obtained.
    usual, connection.isolation_level = connection.isolation_level, psycopg.IsolationLevel.READ_COMMITTED
    try:
        return [_execute(connection, planned, step) for step in planned.steps]
    finally:
        if not connection.closed:
            connection.isolation_level = usual


class _Changed(Exception):
    """A step would delete more or less than planned."""


def _execute(connection: psycopg.Connection, planned: Plan, step: Step) -> Outcome:
    if step.take is vacuum:
        return Outcome(step, DONE if vacuum(connection) else LOCKED)
    if step.kind == "files":  # no rollback brings them back, so who deletes them is said before
        with connection.transaction():
            audit_log.note(connection, "expiring", {"before": str(planned.floor), "files": step.count})
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_S)
        if outcome := _try(connection, planned, step, step.take):
            return outcome
    if step.instead and step.count and (outcome := _try(connection, planned, step, step.instead)):
        return replace(outcome, outcome=EMPTIED) if outcome.outcome == DONE else outcome
    return Outcome(step, LOCKED)


def _try(
    connection: psycopg.Connection, planned: Plan, step: Step, take: Callable[[psycopg.Connection], int]
) -> Outcome | None:
    """DONE, CHANGED or STUCK; None if a lock could not be obtained."""
    outcome = DONE
    try:
        with connection.transaction():
            lock.wait_at_most(connection, READERS_WAIT)
            try:
                gone = take(connection)
            except Stuck as stuck:  # the other steps don't wait for a person
                gone, outcome = stuck.gone, STUCK
            if outcome == DONE and gone != step.count:
                raise _Changed
            if outcome == DONE or gone:
                what = step.what if step.kind != "files" else "files"
                audit_log.note(connection, "expired", {"before": str(planned.floor), what: gone})
        return Outcome(step, outcome, gone)
    except _Changed:
        return Outcome(step, CHANGED)
    except OSError:  # a folder can't be looked into
        return Outcome(step, STUCK)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return None
