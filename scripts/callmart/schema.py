"""The database's own objects: schema.sql, applied as a whole."""

from importlib.resources import files

import psycopg
from psycopg import sql

from callmart.errors import UserError


def apply(connection: psycopg.Connection, time_zone: str) -> None:
    """Make or complete schemas, tables and functions. `time_zone` is the provider's."""
    text = files("callmart").joinpath("schema.sql").read_text()
    connection.execute("set local client_min_messages = warning")
    connection.execute("set local lock_timeout = '3s'")  # whoever comes after this waits behind it
    connection.execute(sql.SQL(text).format(time_zone=sql.Literal(time_zone)))
    connection.execute("set local lock_timeout to default")


def require(connection: psycopg.Connection) -> None:
    """Raise UserError where no registry has been applied to this database yet."""
    found = connection.execute("select to_regclass('registry.version') is not null").fetchone()
    connection.rollback()
    assert found is not None
    if not found[0]:
        raise UserError("this database has no registry yet: run `callmart registry apply registry.yml` first")
