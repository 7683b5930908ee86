"""The clock. The time is always the database's, and a clock that has jumped is not believed.

If both are on one machine, the database and callmart share a clock, and comparing them proves nothing. So the database
keeps the day on which callmart last began work. While today is before that day, or more than a week after it, nothing
that opens, closes or deletes begins, until a person confirms the clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg

from callmart.base.account import account
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import audit_log, catalogue, rotation
from callmart.database.lock import exclusive

DAYS = 7  # callmart may do nothing for so long, over a holiday for example
SKEW = timedelta(minutes=5)  # that the clocks of this machine and of the database may differ


@dataclass(frozen=True)
class Reading:
    """What the clock says, and whether to believe it."""

    today: date  # in the provider's time zone
    # The day on which callmart last began work; None in a new database, or one without a clock yet.
    last: date | None
    skew: timedelta  # the difference between this machine's clock and the database's is at least this

    @property
    def skewed(self) -> str | None:
        """The problem and the remedy if the two clocks differ too much, otherwise None."""
        if self.skew <= SKEW:
            return None
        minutes = round(self.skew / timedelta(minutes=1))
        return (
            f"the clocks of this machine and of the database are {minutes} minutes apart: "
            "correct the wrong one, then run the same command again"
        )

    @property
    def doubt(self) -> str | None:
        """The reason why nothing may begin, and the remedy; None if the clock is believed."""
        if self.skewed or self.last is None or 0 <= (self.today - self.last).days <= DAYS:
            return self.skewed
        days = (self.today - self.last).days
        return (
            f"the clock says {self.today}, {several(abs(days), 'day')} {'after' if days > 0 else 'before'} "
            f"callmart last worked ({self.last}): if the clock is wrong, correct it; "
            f"if it is right, run `callmart clock --accept {self.today}`"
        )


def now(connection: psycopg.Connection) -> datetime:
    """The moment at which the transaction began. Views and policies use the same moment."""
    ((moment,),) = connection.execute("select now()").fetchall()
    return moment  # type: ignore[no-any-return]


def today(connection: psycopg.Connection, settings: Settings) -> date:
    """Today's date in the provider's time zone."""
    return now(connection).astimezone(settings.zone).date()


def read(connection: psycopg.Connection, settings: Settings) -> Reading:
    """Read both clocks and the last day of work. Changes nothing."""
    return compare(connection, settings, last_day(connection))


def last_day(connection: psycopg.Connection) -> date | None:
    """The day on which callmart last began work. None in a new database, or in one from before there was a clock."""
    if not catalogue.exists(connection, "ops.clock"):
        return None
    return next((day for (day,) in connection.execute("select day from ops.clock")), None)


def compare(connection: psycopg.Connection, settings: Settings, last: date | None) -> Reading:
    """Read both clocks. `last` is the last day of work, of a database that is not restored yet, for example."""
    before = datetime.now(UTC)
    ((moment,),) = connection.execute("select clock_timestamp()").fetchall()
    after = datetime.now(UTC)
    # The time that the answer took on a slow network does not count as a difference.
    return Reading(today(connection, settings), last, max(before - moment, moment - after, timedelta(0)))


def require(connection: psycopg.Connection, settings: Settings) -> date:
    """Return today. Raises UserError if the clock is not believed any more, in the middle of some work."""
    reading = read(connection, settings)
    if reading.doubt:
        raise UserError(f"nothing more was done: {reading.doubt}")
    return reading.today


def believe(connection: psycopg.Connection, settings: Settings) -> None:
    """Record today as the last day of work, in the caller's transaction. UserError if the clock is not believed."""
    reading = read(connection, settings)
    if reading.doubt:
        raise UserError(f"nothing was done: {reading.doubt}")
    _keep(connection, reading)


@contextmanager
def guarded(
    connection: psycopg.Connection, settings: Settings, *, rotating: int | None = None
) -> Iterator[None]:
    """Let only one command work on this database, and only if the clock is believed and no rotation of keys broke off,
    unless it is of the customer `rotating`. Commits before it yields.
    """
    with exclusive(connection):
        rotation.refuse(connection, but=rotating)
        believe(connection, settings)
        connection.commit()
        yield


def accept(connection: psycopg.Connection, settings: Settings, day: date) -> None:
    """Believe the clock again, because a person has confirmed that today is `day`. Runs in the caller's transaction.

    Raises UserError if the clock says another day, or if the clocks of the two machines differ.
    """
    reading = read(connection, settings)
    if reading.skewed:
        raise UserError(f"nothing was accepted: {reading.skewed}")
    if day != reading.today:
        raise UserError(
            f"nothing was accepted: the clock says {reading.today}, not {day}; "
            "correct the clock, or accept the day that it says"
        )
    if reading.doubt:
        audit_log.note(
            connection,
            "clock accepted",
            {"last": str(reading.last), "accepted": str(day), "by": account()},
        )
    _keep(connection, reading)


def parse_day(option: str, text: str) -> date:
    """Parse a date given on the command line. Raises UserError, which names the option, if it is not a date."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        day = date.min
    if day.year < 1970:
        raise UserError(f"{option}: {text} is not a date; write it as 2026-11-24")
    return day


def _keep(connection: psycopg.Connection, reading: Reading) -> None:
    if reading.today != reading.last:
        connection.execute(
            "insert into ops.clock (day) values (%s) on conflict (one_row) do update set day = excluded.day",
            [reading.today],
        )
