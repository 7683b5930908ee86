"""The mark of a restore that is not finished. While it is there, no other command works on the database.

It is in a schema of its own, so that all others can be dropped when the restore begins anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from callmart.base.errors import UserError
from callmart.database import catalogue
from callmart.database.lock import alone

SCHEMA = "callmart_restoring"
TABLE = f"{SCHEMA}.unfinished"


def unfinished(connection: psycopg.Connection) -> str | None:
    """The id of the backup that is being restored, or whose restore broke off."""
    if not catalogue.exists(connection, TABLE):
        return None
    return next((backup for (backup,) in connection.execute(f"select backup from {TABLE}".encode())), None)


def refuse(connection: psycopg.Connection) -> None:
    """Raise UserError if a restore of this database is not finished."""
    found = unfinished(connection)
    connection.rollback()
    if found is not None:
        raise UserError(
            "a restore of this database is not finished: wait for it, or if it broke off, run `callmart restore` again "
            f"with the folder of backup {found}"
        )


def home(connection: psycopg.Connection) -> str | None:
    """The id of the installation to whose home the unfinished restore has written the keys; None if it has not yet, or
    if an earlier version has begun it.
    """
    found = connection.execute(f"select to_jsonb(u) ->> 'home' from {TABLE} as u".encode())
    return next((installation for (installation,) in found), None)


@contextmanager
def locked(connection: psycopg.Connection) -> Iterator[None]:
    """Let nobody else restore into this database. Commits. Raises UserError if another restore is at work."""
    connection.commit()
    with alone(connection, SCHEMA, "restore"):
        yield


def begin(connection: psycopg.Connection, backup: str) -> None:
    """Mark the database: from now on it holds nothing but this restore. Commits."""
    connection.execute(f"create table if not exists {TABLE} (backup text primary key)".encode())
    connection.execute(f"alter table {TABLE} add column if not exists home text".encode())
    for column in ("backup", "home"):
        connection.execute(f"comment on column {TABLE}.{column} is 'person: nobody'".encode())
    connection.execute(f"insert into {TABLE} values (%s) on conflict do nothing".encode(), [backup])
    connection.commit()


def note_home(connection: psycopg.Connection, installation: str | None) -> None:
    """Note to which home the keys were written: from now on its keys are those of this restore. Commits."""
    connection.execute(f"update {TABLE} set home = %s".encode(), [installation])
    connection.commit()


def end(connection: psycopg.Connection) -> None:
    """Remove the mark, in the caller's transaction."""
    connection.execute(f"drop table {TABLE}".encode())


def clear(connection: psycopg.Connection) -> None:
    """Remove the rest, when the lock is free. Commits."""
    connection.execute(f"drop schema {SCHEMA} cascade".encode())
    connection.commit()
