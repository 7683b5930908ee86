"""Creates and drops the database of an environment. Both are done at once, and no rollback undoes them."""

import shutil

import psycopg
from psycopg import sql

from callmart.access import roles, sessions
from callmart.base.disk import is_gone
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import audit_log, lock
from callmart.environments import known
from callmart.environments.known import Environment, database_of


def create(connection: psycopg.Connection, environment: Environment) -> None:
    """Create the database. Nobody can connect before it says what it will hold, and before it is closed to others.
    Raises UserError if the login may not make databases.
    """
    database = database_of(connection, environment.name)
    with lock.second(connection) as own:
        try:
            own.execute(
                roles.statement("create database {} template template0 allow_connections false", database)
            )
        except psycopg.errors.InsufficientPrivilege:
            raise UserError(
                f"the login {own.info.user} may not make databases: have an administrator run "
                f'`alter role "{own.info.user}" createdb`, then run the same command again'
            ) from None
        own.execute(roles.statement("revoke all on database {} from public", database))
        say(own, environment)
        own.execute(roles.statement("alter database {} with allow_connections true", database))


def say(connection: psycopg.Connection, environment: Environment) -> None:
    """Let an environment say what it holds, in the caller's transaction."""
    connection.execute(
        sql.SQL("comment on database {} is {}").format(
            sql.Identifier(database_of(connection, environment.name)),
            sql.Literal(environment.model_dump_json()),
        )
    )


def drop(connection: psycopg.Connection, settings: Settings, name: str) -> bool:
    """Drop an environment with its roles, sessions and files, whatever is left of it. Returns whether there was
    anything. Raises UserError if the database is no environment.
    """
    database = database_of(connection, name)
    # Whoever has a setting of its own in a database locks that, without a right to it.
    with lock.second(connection) as own, sessions.making_way(own):
        existed = (
            own.execute("select 1 from pg_database where datname = %s", [database]).fetchone() is not None
        )
        if existed and all(one.name != name for one in known.all_of(own)):
            raise UserError(f"the database {database} is no environment of callmart: choose another name")
        its_roles = sorted(roles.existing(own, database))
        for role in its_roles:
            sessions.end(own, role)
        own.execute(roles.statement("drop database if exists {} with (force)", database))
        for role in its_roles:
            own.execute(roles.statement("drop role {}", role))
        files = known.folder(settings, name)  # last: while it is there, the next run finishes the removal
        has_files = not is_gone(files)
        if has_files:
            shutil.rmtree(files)
        was_there = existed or bool(its_roles) or has_files
        if was_there:
            audit_log.note(own, "environment dropped", {"environment": name})
    return was_there


def drop_of(connection: psycopg.Connection, settings: Settings, customer_id: int) -> int:
    """Drop the environments that hold a customer. Returns how many."""
    holding = [one for one in known.all_of(connection) if customer_id in one.customers]
    for environment in holding:
        drop(connection, settings, environment.name)
    return len(holding)
