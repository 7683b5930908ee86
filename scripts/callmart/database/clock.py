"""The clock: what time it is says the database alone, and a clock that has jumped is not believed.

On one machine the database's clock is the host's, so comparing the two proves nothing. What tells a jump is the day on
which something last began, which is kept in the database: while today lies before it, or more than a week after it,
nothing begins that opens, closes or deletes, until a person says that the clock is right.
"""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database.lock import exclusive

DAYS = 7  # that a provider's machine may rest
SKEW = timedelta(minutes=5)  # between this machine and the database's


@dataclass(frozen=True)
class Reading:
    """What the clock says, and what speaks against it."""

    today: date  # at the provider
    last: date | None  # the day on which something last began; none in a new database
    skew: timedelta  # by which this machine's clock is certainly another than the database's

    @property
    def skewed(self) -> str | None:
        """Why the two machines can't both be right, with what to do."""
        if self.skew <= SKEW:
            return None
        minutes = round(self.skew / timedelta(minutes=1))
        return (
            f"the clocks of this machine and of the database are {minutes} minutes apart: "
            "set the wrong one right, then run the same command again"
        )

    @property
    def doubt(self) -> str | None:
        """Why nothing may begin, with what to do; none where the clock is believed."""
        if self.skewed or self.last is None or 0 <= (self.today - self.last).days <= DAYS:
            return self.skewed
        days = (self.today - self.last).days
        return (
            f"the clock says {self.today}, {abs(days)} days {'after' if days > 0 else 'before'} "
            f"callmart last did something ({self.last}): if the clock is wrong, set it right; "
            f"if it is right, run `callmart clock --accept {self.today}`"
        )


def now(connection: psycopg.Connection) -> datetime:
    """The moment at which the transaction began, as the views and policies have it."""
    ((moment,),) = connection.execute("select now()").fetchall()
    return moment  # type: ignore[no-any-return]


def today(connection: psycopg.Connection, settings: Settings) -> date:
    """The date at the provider."""
    return now(connection).astimezone(settings.zone).date()


def read(connection: psycopg.Connection, settings: Settings) -> Reading:
    """What the clock says now. Changes nothing."""
    before = datetime.now(UTC)
    ((moment,),) = connection.execute("select clock_timestamp()").fetchall()
    after = datetime.now(UTC)
    last = next((day for (day,) in connection.execute("select day from ops.clock")), None)
    # However slow the network: what the answer was on its way is no difference.
    return Reading(today(connection, settings), last, max(before - moment, moment - after, timedelta(0)))


def believe(connection: psycopg.Connection, settings: Settings) -> None:
    """Keep today as the day on which something last began, in the caller's transaction; UserError where it can't be
    believed, and then nothing may begin.
    """
    reading = read(connection, settings)
    if reading.doubt:
        raise UserError(f"nothing was done: {reading.doubt}")
    _keep(connection, reading)


@contextmanager
def guarded(connection: psycopg.Connection, settings: Settings) -> Iterator[None]:
    """Let one command at a time work on this database, and only while the clock is believed. Commits at once."""
    with exclusive(connection):
        believe(connection, settings)
        connection.commit()
        yield


def accept(connection: psycopg.Connection, settings: Settings, day: date) -> None:
    """Believe the clock from today on, because a person has looked at it; in the caller's transaction.

    UserError where the day is not the one that the clock says, or the two machines differ.
    """
    reading = read(connection, settings)
    if reading.skewed:
        raise UserError(f"nothing was accepted: {reading.skewed}")
    if day != reading.today:
        raise UserError(
            f"nothing was accepted: the clock says {reading.today}, not {day}; "
            "set it right, or accept the day that it says"
        )
    if reading.doubt:
        connection.execute(
            "insert into ops.audit_log (action, details) values ('clock accepted', %s)",
            [Jsonb({"last": str(reading.last), "accepted": str(day), "by": getpass.getuser()})],
        )
    _keep(connection, reading)


def parse_day(option: str, text: str) -> date:
    """A date as a person writes it; UserError, naming the option, where it is none."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        day = date.min
    if day.year < 1970:
        raise UserError(f"{option}: {text} is no date; write it as 2026-11-24")
    return day


def _keep(connection: psycopg.Connection, reading: Reading) -> None:
    if reading.today != reading.last:
        connection.execute(
            "insert into ops.clock (day) values (%s) on conflict (one_row) do update set day = excluded.day",
            [reading.today],
        )
