"""The database's own objects: schema.sql, applied as a whole."""

from hashlib import sha256
from importlib.resources import files

import psycopg
from psycopg import sql

from callmart.errors import UserError

TEXT = files("callmart").joinpath("schema.sql").read_text(encoding="utf-8")


def apply(connection: psycopg.Connection, time_zone: str) -> None:
    """Make or complete schemas, tables and functions, also of an earlier callmart, in the caller's transaction.
    `time_zone` is the provider's.
    """
    connection.execute("set local client_min_messages = warning")
    connection.execute("set local lock_timeout = '3s'")  # whoever comes after this waits behind it
    connection.execute(sql.SQL(TEXT).format(time_zone=sql.Literal(time_zone)))
    connection.execute("delete from access.applied")
    connection.execute("insert into access.applied (fingerprint) values (%s)", [_fingerprint(time_zone)])
    connection.execute("set local lock_timeout to default")


def stands(connection: psycopg.Connection) -> bool:
    """Whether a registry has been applied to this database."""
    found = connection.execute("select to_regclass('registry.version') is not null").fetchone()
    return found == (True,)


def is_current(connection: psycopg.Connection, time_zone: str) -> bool:
    """Whether the database is as this callmart makes it."""
    if connection.execute("select to_regclass('access.applied')").fetchone() == (None,):
        return False
    return connection.execute("select fingerprint from access.applied").fetchone() == (
        _fingerprint(time_zone),
    )


def require(connection: psycopg.Connection, time_zone: str) -> None:
    """Raise UserError where no registry has been applied to this database yet, or by another version of callmart."""
    try:
        if not stands(connection):
            raise UserError(
                "this database has no registry yet: run `callmart registry apply registry.yml` first"
            )
        if not is_current(connection, time_zone):
            raise UserError(
                "this database was made by another version of callmart, or with another time_zone: "
                "back it up, then run `callmart upgrade`"
            )
    finally:
        connection.rollback()


def _fingerprint(time_zone: str) -> str:
    return sha256(f"{time_zone}\n{TEXT}".encode()).hexdigest()
