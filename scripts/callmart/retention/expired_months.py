"""Finds the months of a table whose days are all too old, and drops them, or empties one that a reader keeps locked."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.database import catalogue, lock
from callmart.database.vacuum import READERS_WAIT, WRITERS_WAIT, note

SQL = sql_file.statements(__file__)

Query = sql.SQL | sql.Composed

MONTHS_WAIT = "100ms"  # the longest wait for the month's lock, while the mart is locked
MISMATCH = -1  # a step's count if it finds other things than planned, and so deletes nothing


def number(connection: psycopg.Connection, query: Query, values: dict[str, object] | None = None) -> int:
    """The only value of a query, which is a number."""
    ((count,),) = connection.execute(query, values).fetchall()
    return int(count)


def count_of(connection: psycopg.Connection, table: sql.Composable) -> int:
    """The rows of a table."""
    return number(connection, sql.SQL("select count(*) from {}").format(table))


def partitions(connection: psycopg.Connection, schema: str, name: str) -> list[str]:
    """Return the names of a table's months, oldest first. A partition is a month if its name ends in year and month."""
    return [
        partition for (partition,) in connection.execute(SQL["partitions"], {"schema": schema, "table": name})
    ]


def dropping(schema: str, name: str, partition: str, planned: int) -> Callable[[psycopg.Connection], int]:
    """Return a function that drops a month and returns its number of rows, or drops nothing if that isn't `planned`.

    It counts the rows under a lock that stops only writers. Then it locks the parent before the month, as readers do,
    just for the change in the catalogue.
    """

    def take(connection: psycopg.Connection) -> int:
        parent, month = sql.Identifier(schema, name), sql.Identifier(schema, partition)
        if not catalogue.exists(connection, f'{schema}."{partition}"'):
            return MISMATCH
        lock.wait_at_most(connection, WRITERS_WAIT)
        connection.execute(sql.SQL("lock table {} in share mode").format(month))
        rows = count_of(connection, month)
        if rows == planned:
            lock.wait_at_most(connection, READERS_WAIT)
            connection.execute(sql.SQL("lock table only {} in access exclusive mode").format(parent))
            lock.wait_at_most(connection, MONTHS_WAIT)
            connection.execute("select access.repeat_on_nodes(true)")
            connection.execute(sql.SQL("alter table {} detach partition {}").format(parent, month))
            connection.execute(sql.SQL("drop table {}").format(month))
            connection.execute("select access.repeat_on_nodes(false)")
            note(connection, f"{schema}.{name}")
        return rows

    return take


def emptying(schema: str, name: str, partition: str) -> Callable[[psycopg.Connection], int]:
    """Return a function that deletes the rows of a month that can't be dropped, as it is being read; it returns their
    number. Deleting doesn't wait for readers, nor do readers wait for it.
    """

    def take(connection: psycopg.Connection) -> int:
        lock.wait_at_most(connection, WRITERS_WAIT)
        rows = connection.execute(
            sql.SQL("delete from {}").format(sql.Identifier(schema, partition))
        ).rowcount
        note(connection, f"{schema}.{name}", f"{schema}.{partition}")
        return rows

    return take
