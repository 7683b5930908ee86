"""Scratch relations for the controls of the inference checks. Some have protections that are known to leak: a check
that finds no leak in those proves nothing.

They are temporary relations, which nobody else sees or waits for, in a transaction of the owner that is rolled back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.audit.planner import Secret
from callmart.base import sql_file

SQL = sql_file.statements(__file__)

OWN, OTHER = 1, 2
ROWS = 50  # of each

# The condition of our policies, after the planner has folded the reader's number into it.
FREE = f"('[{OWN}:{OWN}]={{t}}'::boolean[])[customer_id] and customer_id = {OWN}"


@dataclass(frozen=True)
class Protection:
    """A way to keep customers apart: the policy of a table, and the view through which it is read."""

    policy: str
    view: str | None  # the options of the view; None if the table itself is read


BOUNDS = f"customer_id >= {OWN} and customer_id <= {OWN}"
BARRIER = "with (security_barrier = true)"

LEAKING = {
    "bounds only": Protection(BOUNDS, None),
    "a policy on the table alone": Protection(FREE, None),
    "a plain view": Protection(FREE, ""),
}
OURS = Protection(FREE, BARRIER)
# A slow policy: the reader's number is computed for each row.
DEAR = Protection("customer_id = substring(current_setting('callmart.own') from '[0-9]+$')::integer", None)

TYPES = {
    "customer_id": "integer",
    "word": "text",
    "amount": "integer",
    "long": "bigint",
    "rate": "double precision",
    "at": "timestamp with time zone",
    "flag": "boolean",
}
SECRETS = (
    Secret("word", "text", f"word {OTHER}", f"word {OTHER}!", f"word {OTHER}", f"word {OTHER}!"),
    Secret("amount", "integer", f"{OTHER}003", f"{OTHER}007", f"{OTHER}006", f"{OTHER}007"),
    Secret("long", "bigint", f"{OTHER}000", f"{OTHER}001", f"{OTHER}000", f"{OTHER}001"),
)
TABLE, VIEW = "pg_temp.audited_rows", "pg_temp.audited"


@contextmanager
def relation(
    connection: psycopg.Connection, protection: Protection, *, sampled: bool = False
) -> Iterator[str]:
    """Make a relation with this protection, which the connection reads as customer OWN. Yields its name, within a
    transaction that is rolled back. The planner has samples of it only if `sampled`.
    """
    with connection.transaction(force_rollback=True):
        connection.execute(
            f"create temporary table audited_rows ({', '.join(' '.join(one) for one in TYPES.items())})"
        )
        connection.execute(sql.SQL(SQL["rows"]).format(table=sql.SQL(TABLE), own=OWN, other=OTHER, rows=ROWS))
        if sampled:
            connection.execute(f"analyze {TABLE}")
        connection.execute(f"set local callmart.own = 'customer_{OWN}'")
        connection.execute(f"alter table {TABLE} enable row level security, force row level security")
        connection.execute(f"create policy own on {TABLE} using ({protection.policy})")
        if protection.view is not None:
            columns = ", ".join(f"{OWN} as customer_id" if name == "customer_id" else name for name in TYPES)
            connection.execute(
                f"create temporary view audited {protection.view} as select {columns} from {TABLE}"
            )
        yield TABLE if protection.view is None else VIEW
