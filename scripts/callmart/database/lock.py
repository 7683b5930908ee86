"""Locks: how long to wait for one, and the lock of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from callmart.base.errors import UserError

TIMEOUT = "10s"  # for a session that is not ours to end; readers wait behind the owner meanwhile


def wait_at_most(connection: psycopg.Connection, duration: str) -> None:
    """Wait no longer for any lock, until the transaction ends."""
    connection.execute("select set_config('lock_timeout', %s, true)", [duration])


def second(connection: psycopg.Connection) -> psycopg.Connection:
    """Another connection of the same login, in which every statement is a transaction."""
    return psycopg.connect(
        connection.info.dsn,
        password=connection.info.password or None,
        autocommit=True,
        application_name="callmart",
    )


@contextmanager
def exclusive(connection: psycopg.Connection) -> Iterator[None]:
    """Let one run at a time work on this database; UserError where another does.

    A table is locked, in a connection of its own: advisory locks are everybody's, and a customer could hold one.
    """
    with second(connection) as own:
        own.execute("create schema if not exists ops")
        # Made at once, not in the transaction: else a second run would wait for it.
        own.execute("create table if not exists ops.running_now ()")
        with own.transaction():
            try:
                own.execute("lock table ops.running_now in exclusive mode nowait")
            except psycopg.errors.LockNotAvailable:
                raise UserError(
                    "another callmart run is at work on this database; wait until it has finished"
                ) from None
            yield
