"""Expire: what is older than two years goes, exact to the day, from every table and file.

The plan is carried out as it stands, each step in a transaction of its own, which also writes the audit entry. A step
that would take more or less than planned is rolled back. So a crash at any point leaves whole steps undone, and the
next expiry plans exactly those.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import psycopg

from callmart.base.settings import Settings
from callmart.database import lock
from callmart.database.vacuum import vacuum
from callmart.retention.expired_months import READERS_WAIT
from callmart.retention.expiry_plan import Plan, Step, plan

DONE, LOCKED, CHANGED, NOTHING, PLANNED = "done", "lock not got", "changed", "nothing to do", "planned"
EMPTIED = "rows deleted, their month is dropped later"

TRIES = 5
PAUSE_S = 0.5  # in which those who waited read on


@dataclass(frozen=True)
class Outcome:
    """What became of a step: done, emptied, lock not got, or changed since the plan (and then nothing was taken)."""

    step: Step
    outcome: str


def expire(connection: psycopg.Connection, settings: Settings, day: date) -> list[Outcome]:
    """Remove what is too old on a day; empty where nothing is. Commits each step."""
    return execute(connection, plan(connection, settings, day))


def taken(outcomes: list[Outcome]) -> int:
    """How many rows and files have gone."""
    return sum(
        one.step.count for one in outcomes if one.outcome in (DONE, EMPTIED) and one.step.kind != "statistics"
    )


def overall(outcomes: list[Outcome]) -> str:
    """The outcome of all steps: the one that a person should look at."""
    found = {one.outcome for one in outcomes}
    return next(
        (outcome for outcome in (CHANGED, LOCKED, EMPTIED, PLANNED, DONE) if outcome in found), NOTHING
    )


def execute(connection: psycopg.Connection, planned: Plan) -> list[Outcome]:
    """Do what was planned and nothing else. Commits each step."""
    connection.commit()
    # Whatever the server's default: what is counted under a lock must be what stands there by then.
    usual, connection.isolation_level = connection.isolation_level, psycopg.IsolationLevel.READ_COMMITTED
    try:
        return [Outcome(step, _execute(connection, planned, step)) for step in planned.steps]
    finally:
        if not connection.closed:
            connection.isolation_level = usual


class _Changed(Exception):
    """A step would take other than planned."""


def _execute(connection: psycopg.Connection, planned: Plan, step: Step) -> str:
    if step.take is vacuum:
        return DONE if vacuum(connection) else LOCKED
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_S)
        if outcome := _tried(connection, planned, step, step.take):
            return outcome
    if step.instead and step.count and (outcome := _tried(connection, planned, step, step.instead)):
        return EMPTIED if outcome == DONE else outcome
    return LOCKED


def _tried(
    connection: psycopg.Connection, planned: Plan, step: Step, take: Callable[[psycopg.Connection], int]
) -> str | None:
    """Done or changed; none where a lock was not got."""
    try:
        with connection.transaction():
            lock.wait_at_most(connection, READERS_WAIT)
            if take(connection) != step.count:
                raise _Changed
            connection.execute(
                "insert into ops.audit_log (action, details)"
                " values ('expired', jsonb_build_object('before', %s::date, %s::text, %s::bigint))",
                [planned.floor, step.what if step.kind != "files" else "files", step.count],
            )
        return DONE
    except _Changed:
        return CHANGED
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return None
