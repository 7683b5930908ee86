"""Vacuums tables from which rows were deleted, so that the rows also leave the files and the planner's statistics."""

from collections.abc import Iterable
from datetime import date

import psycopg

from callmart.base import sql_file

SQL = sql_file.statements(__file__)

# Vacuum blocks no reader. If autovacuum holds the table, PostgreSQL cancels it after a second.
WRITERS_WAIT = "3s"
READERS_WAIT = "300ms"  # the longest wait for a strong lock, because all later readers queue behind it


def note(connection: psycopg.Connection, *relations: str, whole: bool = False) -> None:
    """Record that rows of these relations were deleted. `vacuum` will find it, even after a crash. A small table can be
    written anew, `whole`: then its files have nothing of those rows.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.to_vacuum as noted (relation, is_whole) values (%s::regclass::text, %s)"
            " on conflict (relation) do update set is_whole = noted.is_whole or excluded.is_whole",
            [(relation, whole) for relation in relations],
        )


def months(connection: psycopg.Connection, table: str, days: Iterable[date]) -> list[str]:
    """The names of a table's months that these days are in."""
    query = "select distinct access.partition_of(%s, day) from unnest(%s::date[]) as day"
    return [name for (name,) in connection.execute(query, [table, list(days)])]


def vacuum(connection: psycopg.Connection) -> int:
    """Vacuum and analyze the noted relations, also those of a run that broke off. Commits.

    Returns 1, or 0 if another session held a lock of one of them for too long.
    """
    connection.commit()
    connection.autocommit = True  # VACUUM can't run in a transaction
    try:
        held = [
            noted for noted in connection.execute(SQL["noted"]).fetchall() if not _try(connection, *noted)
        ]
        return int(not held)
    finally:
        if not connection.closed:
            connection.execute("reset lock_timeout")
            connection.autocommit = False


def _try(
    connection: psycopg.Connection, relation: str, kind: str | None, sampled: bool, is_whole: bool
) -> bool:
    """Vacuum one relation, whose name is already quoted. False if another session held a lock for too long."""
    # Writing a table anew blocks its readers.
    wait = READERS_WAIT if is_whole else WRITERS_WAIT
    connection.execute("select set_config('lock_timeout', %s, false)", [wait])
    # Autovacuum never analyzes a partitioned table, so we do.
    only = "only " if connection.info.server_version >= 180000 else ""
    try:
        if kind == "r":
            how = "full" if is_whole else "truncate false"  # truncating the file blocks readers, too
            connection.execute(f"vacuum (analyze, {how}) {relation}".encode())
        elif kind == "p" and sampled:
            connection.execute(f"analyze {only}{relation}".encode())
        if kind is not None:
            connection.execute("select access.forget_samples(%s)", [relation])
        connection.execute("delete from ops.to_vacuum where relation = %s", [relation])
        return True
    except psycopg.errors.LockNotAvailable:
        return False
