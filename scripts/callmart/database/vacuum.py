"""Vacuums tables from which rows were deleted, so that the rows also leave the files and the planner's statistics."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import NamedTuple

import psycopg

from callmart.base import sql_file
from callmart.database import cluster, lock

SQL = sql_file.statements(__file__)

# Vacuum blocks no reader. If autovacuum holds the table, PostgreSQL cancels it after a second.
WRITERS_WAIT = "3s"
READERS_WAIT = "300ms"  # the longest wait for a strong lock, because all later readers queue behind it
TRIES = 5
PAUSE_S = 0.5  # between tries, so that waiting readers can go on


class _Noted(NamedTuple):
    relation: str  # quoted
    kind: str | None  # None if it no longer exists
    has_samples: bool
    is_whole: bool


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


def want_whole(connection: psycopg.Connection) -> None:
    """Let whatever is noted by now be written anew."""
    connection.execute("update ops.to_vacuum set is_whole = true")


def months(connection: psycopg.Connection, table: str, days: Iterable[date]) -> list[str]:
    """The names of a table's months that these days are in."""
    query = "select distinct access.partition_of(%s, day) from unnest(%s::date[]) as day"
    return [name for (name,) in connection.execute(query, [table, list(days)])]


def vacuum(connection: psycopg.Connection, waits: Sequence[str] = (READERS_WAIT,)) -> int:
    """Vacuum and analyze the noted relations, also those of a run that broke off. `waits` are how long, try by try, to
    wait for the lock of a table that is written anew. Commits.

    Returns 1, or 0 if another session held a lock of one of them for too long.
    """
    connection.commit()
    connection.autocommit = True  # VACUUM can't run in a transaction
    connection.execute(cluster.TO_NODES)
    try:
        noted = [_Noted(*row) for row in connection.execute(SQL["noted"]).fetchall()]
        tables = [one for one in noted if one.is_whole and one.kind in ("r", "m")]
        # A table with months comes after them, because its samples are taken of all.
        held = _write_all_anew(connection, tables, waits)
        held += [one for one in noted if one not in tables and not _try(connection, one)]
        return int(not held)
    finally:
        if not connection.closed:
            connection.execute("reset lock_timeout")
            connection.execute("reset citus.enable_ddl_propagation")
            connection.autocommit = False


def write_anew(
    connection: psycopg.Connection, relation: str, waits: Sequence[str], how: str = "full"
) -> bool:
    """Write a table anew, whose name is already quoted. False if another session held a lock for too long."""
    for wait in waits:
        connection.execute("select set_config('lock_timeout', %s, false)", [wait])
        try:
            connection.execute(f"vacuum ({how}) {relation}".encode())
            return True
        except psycopg.errors.LockNotAvailable:
            time.sleep(PAUSE_S)
    return False


def _write_all_anew(
    connection: psycopg.Connection, tables: Sequence[_Noted], waits: Sequence[str]
) -> list[_Noted]:
    """Write tables anew, two at a time. Returns those that another session held for too long."""

    def write(own: psycopg.Connection, some: Sequence[_Noted]) -> list[_Noted]:
        return [one for one in some if not _write_noted_anew(own, one, waits)]

    if len(tables) < 2:
        return write(connection, tables)
    with lock.second(connection) as other, ThreadPoolExecutor(1) as beside:
        other.execute(cluster.TO_NODES)
        second_half = beside.submit(write, other, tables[1::2])
        return write(connection, tables[::2]) + second_half.result()


def _write_noted_anew(connection: psycopg.Connection, one: _Noted, waits: Sequence[str]) -> bool:
    """Write a relation anew and forget its note. False if another session held a lock for too long."""
    try:
        is_written = write_anew(connection, one.relation, waits, "analyze, full")
        if is_written:
            _done(connection, one)
        return is_written
    except psycopg.errors.LockNotAvailable:  # for its samples, or its note
        return False


def _try(connection: psycopg.Connection, one: _Noted) -> bool:
    """Vacuum a relation that is not written anew. False if another session held a lock for too long."""
    connection.execute("select set_config('lock_timeout', %s, false)", [WRITERS_WAIT])
    # Autovacuum never analyzes a partitioned table, so we do.
    only = "only " if connection.info.server_version >= 180000 else ""
    try:
        if one.kind == "r":
            # Truncating the file blocks readers.
            connection.execute(f"vacuum (analyze, truncate false) {one.relation}".encode())
        elif one.kind == "p" and one.has_samples:
            connection.execute(f"analyze {only}{one.relation}".encode())
        _done(connection, one)
        return True
    except psycopg.errors.LockNotAvailable:
        return False


def _done(connection: psycopg.Connection, one: _Noted) -> None:
    if one.kind is not None:
        connection.execute("select access.forget_samples(%s)", [one.relation])
    connection.execute("delete from ops.to_vacuum where relation = %s", [one.relation])
