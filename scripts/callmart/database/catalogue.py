"""What the database has: before the first registry, and before an upgrade, a table can be missing."""

import psycopg


def exists(connection: psycopg.Connection, relation: str) -> bool:
    """Whether there is a table or view of this name, given with its schema."""
    return connection.execute("select to_regclass(%s) is not null", [relation]).fetchone() == (True,)
