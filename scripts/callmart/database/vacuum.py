"""Vacuum: what was removed leaves the pages of its tables, and the planner's samples, too."""

import psycopg

from callmart.base import sql_file

SQL = sql_file.statements(__file__)

# No reader waits behind this one. Longer than the second after which PostgreSQL calls its own vacuum off.
WRITERS_WAIT = "3s"


def note(connection: psycopg.Connection, *relations: str) -> None:
    """Keep it that rows of a relation were removed; whatever breaks off, `vacuum` finds it."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.to_vacuum (relation) values (%s::regclass::text) on conflict do nothing",
            [(relation,) for relation in relations],
        )


def vacuum(connection: psycopg.Connection) -> int:
    """Vacuum and analyze what was noted, also by a run that broke off; 0 where a lock was not got. Commits."""
    connection.commit()
    connection.autocommit = True  # as PostgreSQL wants it
    try:
        connection.execute("select set_config('lock_timeout', %s, false)", [WRITERS_WAIT])
        for relation, kind, sampled in connection.execute(SQL["noted"]).fetchall():
            # The name is PostgreSQL's own, quoted. Nothing samples a table with months but by order.
            only = "only " if connection.info.server_version >= 180000 else ""
            if kind == "r":  # giving pages back would lock readers out
                connection.execute(f"vacuum (analyze, truncate false) {relation}".encode())
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
