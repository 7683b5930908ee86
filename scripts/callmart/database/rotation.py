"""Whether a rotation of keys is at work or broke off: until it is finished, events have former keys and new ones.

What lands, computes, erases or backs up waits for that. `callmart keys rotate` and the nightly run go on with it.
"""

import psycopg

from callmart.base.errors import UserError


def unfinished(connection: psycopg.Connection) -> int | None:
    """The customer whose key is being rotated, or None."""
    if connection.execute("select to_regclass('ops.rotation')").fetchone() == (None,):
        return None  # of an earlier version
    found = connection.execute("select customer_id from ops.rotation").fetchone()
    return found[0] if found else None


def refuse(connection: psycopg.Connection) -> None:
    """Raise UserError if there is one."""
    if customer := unfinished(connection):
        raise UserError(
            f"nothing was done: the key of customer {customer} is being rotated; if that broke off, "
            f"`callmart keys rotate --customer {customer}` goes on"
        )
