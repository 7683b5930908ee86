"""How long to wait for a lock, and the lock that keeps two runs apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psycopg

from callmart.base.errors import UserError
from callmart.database.server import let_last

DBT_PATIENCE = "10s"  # how long a dbt that was killed is looked for
TIMEOUT = "10s"  # while the owner waits for another session's lock, readers wait behind the owner


class Busy(UserError):
    """Another command is at work on this database, or dbt by itself."""

    @property
    def who(self) -> str:
        """What is at work, without what to do."""
        return str(self).partition(";")[0]


def wait_at_most(connection: psycopg.Connection, duration: str) -> None:
    """Limit the wait for each lock until the transaction ends."""
    connection.execute("select set_config('lock_timeout', %s, true)", [duration])


def connector(connection: psycopg.Connection) -> Callable[[], psycopg.Connection]:
    """Return what connects again as the same login, with autocommit. It works although the connection may be lost."""
    return partial(_connect, connection.info.dsn, connection.info.password or None)


def _connect(dsn: str, password: str | None) -> psycopg.Connection:
    connection = psycopg.connect(dsn, password=password, autocommit=True, application_name="callmart")
    let_last(connection)
    return connection


def second(connection: psycopg.Connection) -> psycopg.Connection:
    """Return another connection of the same login, with autocommit."""
    return connector(connection)()


@contextmanager
def exclusive(connection: psycopg.Connection) -> Iterator[None]:
    """Let only one run at a time work on this database. Raises Busy if another is at work, or dbt by itself."""
    with alone(connection, "ops", "callmart run"):
        _refuse_dbt(connection)
        yield


def _refuse_dbt(connection: psycopg.Connection) -> None:
    """Raise Busy if dbt by itself is at work. It can't begin after that: ops.begin_dbt looks at our lock."""
    with second(connection) as own:
        if own.execute("select to_regprocedure('ops.dbt_is_at_work(interval)')").fetchone() == (None,):
            return  # the database is of an earlier version, or was not made whole
        if own.execute("select ops.dbt_is_at_work(%s)", [DBT_PATIENCE]).fetchone() == (True,):
            raise Busy("a dbt run is at work on this database; wait until it has finished")


@contextmanager
def alone(connection: psycopg.Connection, schema: str, what: str) -> Iterator[None]:
    """Let only one `what` at a time work on this database. Raises Busy if another is at work.

    It locks a table of the schema, which is made if it is absent, in a connection of its own. An advisory lock would
    not do: every login can take one, also a customer's. Nor would a stronger mode: whoever may use the schema gets the
    lock of a writer by preparing a statement, because PostgreSQL checks rights only when it is executed.
    """
    with second(connection) as own:
        own.execute(f"create schema if not exists {schema}".encode())
        # Not inside the transaction below: another one would wait for it instead of being refused.
        own.execute(f"create table if not exists {schema}.running_now ()".encode())
        with own.transaction():
            try:
                own.execute(f"lock table {schema}.running_now in share update exclusive mode nowait".encode())
            except psycopg.errors.LockNotAvailable:
                raise Busy(
                    f"another {what} is at work on this database; wait until it has finished"
                ) from None
            yield
