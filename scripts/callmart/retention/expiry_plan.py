"""Plans an expiry: finds what is older than two years, in every table and file, and how each part is deleted.

A customer's day is too old if its local date is before the floor: today at the provider, less two years. Whole months
are detached and dropped; other rows are deleted.
"""

import json
import re
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

import psycopg

from callmart.base.settings import Settings
from callmart.database import clock
from callmart.database.vacuum import vacuum
from callmart.retention import expired_files, expired_rows
from callmart.retention.expiry_steps import Step, Steps


@dataclass(frozen=True)
class Plan:
    """What is deleted on a day. `floor` is the oldest day that is kept."""

    today: date
    floor: date
    steps: tuple[Step, ...]

    @property
    def hash(self) -> str:
        """By which a person confirms the plan. Any other day, step or count gives another hash."""
        shown = [(step.kind, step.what, step.why, step.count) for step in self.steps]
        return sha256(json.dumps([str(self.today), shown]).encode()).hexdigest()[:8]


def floor_on(connection: psycopg.Connection, day: date) -> date:
    """Return the oldest day that is kept on a given day: two years earlier, as PostgreSQL subtracts them.

    access.retention_floor() in database/objects/access.sql says the same of today.
    """
    ((floor,),) = connection.execute("select (%s::date - interval '2 years')::date", [day]).fetchall()
    return floor  # type: ignore[no-any-return]


def plan(connection: psycopg.Connection, settings: Settings, day: date) -> Plan:
    """Return the plan of what is too old on a day. Changes nothing."""
    steps = Steps(connection, settings, day, floor_on(connection, day))
    expired_rows.find(steps)
    expired_files.find(steps)
    _statistics(steps)
    connection.commit()
    return Plan(day, steps.floor, tuple(steps.planned))


def too_old(connection: psycopg.Connection, settings: Settings) -> list[Step]:
    """Return the steps that delete something today that is kept for too long."""
    steps = plan(connection, settings, clock.today(connection, settings)).steps
    # A month that is empty waits for its last reader.
    return [step for step in steps if step.kind != "statistics" and step.is_too_old and step.count]


def _statistics(steps: Steps) -> None:
    """A vacuum: until then, the planner's samples have values of deleted rows, and the rows stay in their pages."""
    touched = {step.what for step in steps.planned if step.kind not in ("build", "files")}
    touched |= {name for (name,) in steps.connection.execute("select relation from ops.to_vacuum")}
    if touched:
        steps.planned.append(
            Step(
                "statistics",
                "the tables above",
                "samples of values, and the space of deleted rows",
                len({re.sub(r"_\d{6}$", "", name) for name in touched}),
                vacuum,
            )
        )
