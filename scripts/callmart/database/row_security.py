"""Whether row security hides rows from who asks."""

from collections.abc import Sequence

import psycopg

from callmart.base import sql_file

SQL = sql_file.statements(__file__)


def hiding(connection: psycopg.Connection, schemas: Sequence[str]) -> str | None:
    """A table of these schemas with a policy that could hide rows from who asks, if there is one."""
    found = connection.execute(SQL["hiding"], {"schemas": list(schemas)}).fetchone()
    return None if found is None else str(found[0])
