"""What is in the database: per table the number of rows, and a digest."""

import psycopg
from psycopg import sql

from callmart.backup.manifest import Content, Ledger
from callmart.base import sql_file
from callmart.database import catalogue

SQL = sql_file.statements(__file__)

# Without `build`, whose rows are computed again, and `mart`, which has only views.
_SCHEMAS = ("registry", "raw", "store", "usage", "access", "ops", "privacy")
# Their rows are about roles and functions of the server, or its ledger, and are made again.
LEFT_OUT = (
    "access.applied",
    "access.closing",
    "access.definition",
    "access.granted",
    "ops.running_now",
    "privacy.closed",
)

# Rows are compared as text, so it must not depend on how a server or a login is set.
_AS_TEXT = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "search_path": "",
}


def of_tables(connection: psycopg.Connection) -> dict[str, Content]:
    """Count and digest all tables. Sets settings of the caller's transaction."""
    for setting, value in _AS_TEXT.items():
        connection.execute("select set_config(%s, %s, true)", [setting, value])
    return {name: _content(connection, name) for name in names(connection)}


def schemas(connection: psycopg.Connection) -> list[str]:
    """The schemas that are backed up. Before an upgrade the marts' tables can still be in `mart`."""
    return [*_SCHEMAS, *(name for (name,) in connection.execute(SQL["with_earlier_marts"]))]


def names(connection: psycopg.Connection) -> list[str]:
    """The tables that a backup counts."""
    tables = connection.execute(SQL["tables"], {"schemas": schemas(connection), "left_out": list(LEFT_OUT)})
    return [name for (name,) in tables.fetchall()]


def _content(connection: psycopg.Connection, table: str) -> Content:
    # The name comes quoted from the catalogue.
    ((rows, digest),) = connection.execute(sql.SQL(SQL["content"]).format(table=sql.SQL(table))).fetchall()
    return Content(rows=rows, digest=digest)


def ledger(connection: psycopg.Connection) -> Ledger | None:
    """How far the ledger of erasures is; None if none has begun, or an earlier version has no tables for it."""
    if not catalogue.exists(connection, "privacy.ledger"):
        return None
    found = connection.execute(SQL["ledger"]).fetchone()
    return Ledger(id=found[0], entry=found[1], has_copy=found[2]) if found else None
