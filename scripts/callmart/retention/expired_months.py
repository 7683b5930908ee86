"""Months of a table whose days are all too old: found, dropped, or emptied where a reader stands in the way."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.database import lock
from callmart.database.vacuum import WRITERS_WAIT, note

SQL = sql_file.statements(__file__)

Query = sql.SQL | sql.Composed

READERS_WAIT = "300ms"  # at most: who waits for a strong lock has all later readers behind it
MONTHS_WAIT = "100ms"  # once the mart's own lock is held
OTHERS = -1  # what a step takes where it finds others than were planned: nothing


def number(connection: psycopg.Connection, query: Query, values: dict[str, object] | None = None) -> int:
    ((count,),) = connection.execute(query, values).fetchall()
    return int(count)


def count_of(connection: psycopg.Connection, table: sql.Composable) -> int:
    return number(connection, sql.SQL("select count(*) from {}").format(table))


def stands(connection: psycopg.Connection, relation: str) -> bool:
    return connection.execute("select to_regclass(%s) is not null", [relation]).fetchone() == (True,)


def partitions(connection: psycopg.Connection, schema: str, name: str) -> list[str]:
    """The months of a table, oldest first; each is called after its month. What is called otherwise is none."""
    return [
        partition for (partition,) in connection.execute(SQL["partitions"], {"schema": schema, "table": name})
    ]


def dropping(schema: str, name: str, partition: str, planned: int) -> Callable[[psycopg.Connection], int]:
    """Drops a month. Its rows are counted under a lock that stops writers only; then the parent is locked before the
    month, as readers do, and for no longer than the catalogue needs.
    """

    def take(connection: psycopg.Connection) -> int:
        parent, month = sql.Identifier(schema, name), sql.Identifier(schema, partition)
        if not stands(connection, f'{schema}."{partition}"'):
            return OTHERS
        lock.wait_at_most(connection, WRITERS_WAIT)
        connection.execute(sql.SQL("lock table {} in share mode").format(month))
        rows = count_of(connection, month)
        if rows == planned:
            lock.wait_at_most(connection, READERS_WAIT)
            connection.execute(sql.SQL("lock table only {} in access exclusive mode").format(parent))
            lock.wait_at_most(connection, MONTHS_WAIT)
            connection.execute(sql.SQL("alter table {} detach partition {}").format(parent, month))
            connection.execute(sql.SQL("drop table {}").format(month))
            note(connection, f"{schema}.{name}")
        return rows

    return take


def emptying(schema: str, name: str, partition: str) -> Callable[[psycopg.Connection], int]:
    """Deletes the rows of a month that a reader keeps from being dropped: no reader waits, and none is waited for."""

    def take(connection: psycopg.Connection) -> int:
        lock.wait_at_most(connection, WRITERS_WAIT)
        rows = connection.execute(
            sql.SQL("delete from {}").format(sql.Identifier(schema, partition))
        ).rowcount
        note(connection, f"{schema}.{name}", f"{schema}.{partition}")
        return rows

    return take
