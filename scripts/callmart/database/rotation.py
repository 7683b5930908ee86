"""Whether a rotation of keys is at work or broke off: until it is finished, events have former keys and new ones.

What lands, computes, erases or backs up waits for that. `callmart keys rotate` and the nightly run go on with it.
"""

from datetime import datetime
from typing import NamedTuple

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.database import catalogue

SQL = sql_file.statements(__file__)


class Unfinished(NamedTuple):
    """A rotation of a customer's key that is at work, or broke off."""

    customer_id: int
    begun_at: datetime
    is_at_work: bool

    @property
    def remedy(self) -> str:
        """What goes on with it."""
        return f"`callmart keys rotate --customer {self.customer_id}` goes on"

    def __str__(self) -> str:
        began = f"its key is being rotated since {self.begun_at:%Y-%m-%d %H:%M} UTC"
        return began if self.is_at_work else f"{began}, and that broke off, so nothing lands: {self.remedy}"


def look(connection: psycopg.Connection) -> Unfinished | None:
    """The rotation that is not finished. One whose process is there holds the lock that keeps two runs apart."""
    if not catalogue.exists(connection, "ops.rotation"):
        return None  # of an earlier version
    found = connection.execute(SQL["unfinished"]).fetchone()
    return Unfinished(*found) if found else None


def unfinished(connection: psycopg.Connection) -> int | None:
    """The customer whose key is being rotated, or None."""
    found = look(connection)
    return found.customer_id if found else None


def refuse(connection: psycopg.Connection, *, but: int | None = None) -> None:
    """Raise UserError if there is one, unless it is of the customer `but`."""
    found = look(connection)
    if found and found.customer_id != but:
        raise UserError(
            f"nothing was done: the key of customer {found.customer_id} is being rotated; if that broke off, "
            f"{found.remedy}"
        )
