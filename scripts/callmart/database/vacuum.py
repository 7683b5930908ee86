"""Vacuums tables from which rows were deleted, so that the rows also leave the files and the planner's statistics."""

import psycopg

from callmart.base import sql_file

SQL = sql_file.statements(__file__)

# Vacuum blocks no reader. If autovacuum holds the table, PostgreSQL cancels it after a second.
WRITERS_WAIT = "3s"


def note(connection: psycopg.Connection, *relations: str) -> None:
    """Record that rows of these relations were deleted. `vacuum` will find it, even after a crash."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.to_vacuum (relation) values (%s::regclass::text) on conflict do nothing",
            [(relation,) for relation in relations],
        )


def vacuum(connection: psycopg.Connection) -> int:
    """Vacuum and analyze the noted relations, also those of a run that broke off. Commits.

    Returns 1, or 0 if another session held a lock for too long.
    """
    connection.commit()
    connection.autocommit = True  # VACUUM can't run in a transaction
    try:
        connection.execute("select set_config('lock_timeout', %s, false)", [WRITERS_WAIT])
        for relation, kind, sampled, is_whole in connection.execute(SQL["noted"]).fetchall():
            # The relation's name is already quoted. Autovacuum never analyzes a partitioned table, so we do.
            only = "only " if connection.info.server_version >= 180000 else ""
            if kind == "r":  # writing the table anew blocks its readers, and so does truncating the file
                how = "full" if is_whole else "truncate false"
                connection.execute(f"vacuum (analyze, {how}) {relation}".encode())
            elif kind == "p" and sampled:
                connection.execute(f"analyze {only}{relation}".encode())
            if kind is not None:
                connection.execute("select access.forget_samples(%s)", [relation])
            connection.execute("delete from ops.to_vacuum where relation = %s", [relation])
        return 1
    except psycopg.errors.LockNotAvailable:
        return 0
    finally:
        if not connection.closed:
            connection.execute("reset lock_timeout")
            connection.autocommit = False
