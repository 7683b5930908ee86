"""Scratch relations with protections that are known to leak, for the controls: a check that sees nothing leak where
something does has looked at nothing.

They are temporary, so nobody else sees or waits for them, and made and dropped within one transaction of the owner's.
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

# What a role's identity is folded to.
FREE = f"('[{OWN}:{OWN}]={{t}}'::boolean[])[customer_id] and customer_id = {OWN}"


@dataclass(frozen=True)
class Protection:
    """A way to keep customers apart: the policy of a table, and how it is read."""

    policy: str
    view: str | None  # how a view of it is made; None: the table itself is read


BOUNDS = f"customer_id >= {OWN} and customer_id <= {OWN}"
BARRIER = "with (security_barrier = true)"

LEAKING = {
    "bounds only": Protection(BOUNDS, None),
    "a policy on the table alone": Protection(FREE, None),
    "a plain view": Protection(FREE, ""),
}
OURS = Protection(FREE, BARRIER)
# The number is found out anew for each row.
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
    connection: psycopg.Connection, protection: Protection, *, sampled: bool = False, rows: int = 50
) -> Iterator[str]:
    """A source so protected, which the connection reads as customer OWN, in a transaction that is undone; the planner
    has samples of it only where it should.
    """
    with connection.transaction(force_rollback=True):
        connection.execute(
            f"create temporary table audited_rows ({', '.join(' '.join(one) for one in TYPES.items())})"
        )
        connection.execute(sql.SQL(SQL["rows"]).format(table=sql.SQL(TABLE), own=OWN, other=OTHER, rows=rows))
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
