"""Makes the database's own objects from the files in objects/. They are always applied together."""

from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files

import psycopg
import pyarrow as pa
from psycopg import sql

from callmart.base.errors import UserError
from callmart.base.raw_format import (
    DIRECTIONS,
    EVENT_COLUMNS,
    EVENTS,
    LINE_PLATFORMS,
    LONGEST_DURATION_S,
    LONGEST_TEXT,
    NUMBER_EVENTS,
    PLATFORMS,
    STATUSES,
    TARGET_KINDS,
)
from callmart.database import lock

# Each file needs those before it.
FILES = (
    "schemas",
    "registry",
    "ops",
    "raw",
    "usage",
    "build",
    "access",
    "landing",
    "changed_days",
    "views",
    "earlier",
)
TEXT = "\n".join(
    files("callmart.database").joinpath("objects", f"{name}.sql").read_text(encoding="utf-8")
    for name in FILES
)


def apply(connection: psycopg.Connection, time_zone: str) -> None:
    """Make schemas, tables and functions, or bring those of an earlier version up to date. Runs in the caller's
    transaction. `time_zone` is the provider's.
    """
    connection.execute("set local client_min_messages = warning")
    # Other sessions queue behind a lock that this one waits for.
    lock.wait_at_most(connection, lock.TIMEOUT)
    connection.execute(_filled(time_zone))
    connection.execute("set local lock_timeout to default")


def note(connection: psycopg.Connection, time_zone: str) -> None:
    """Record that the database is up to date with this version of callmart. Call it when everything else is done."""
    connection.execute("delete from access.applied")
    connection.execute("insert into access.applied (fingerprint) values (%s)", [fingerprint(time_zone)])


def has_registry(connection: psycopg.Connection) -> bool:
    """Whether a registry has been applied to this database."""
    found = connection.execute("select to_regclass('registry.version') is not null").fetchone()
    return found == (True,)


def is_current(connection: psycopg.Connection, time_zone: str) -> bool:
    """Whether the database is up to date with this version of callmart and with `time_zone`."""
    return noted(connection) == fingerprint(time_zone)


def noted(connection: psycopg.Connection) -> str | None:
    """The fingerprint of the schema that this database was last brought up to date with."""
    if connection.execute("select to_regclass('access.applied')").fetchone() == (None,):
        return None
    return next((text for (text,) in connection.execute("select fingerprint from access.applied")), None)


def require(connection: psycopg.Connection, time_zone: str) -> None:
    """Raise UserError if this database has no registry yet, or was made by another version of callmart."""
    try:
        if not has_registry(connection):
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


def fingerprint(time_zone: str) -> str:
    """The fingerprint of this version's schema, with the provider's time zone."""
    return sha256(_filled(time_zone).as_string(None).encode()).hexdigest()


def _filled(time_zone: str) -> sql.Composed:
    """The text of all files, with the provider's time zone and the words and limits of the raw format filled in."""
    return sql.SQL(TEXT).format(
        time_zone=sql.Literal(time_zone),
        events=_events(),
        event_columns=sql.SQL(",\n    ").join(map(_column, EVENT_COLUMNS)),
        event_names=sql.SQL(", ").join(map(sql.Identifier, EVENT_COLUMNS.names)),
        platforms=_words(PLATFORMS),
        line_platforms=_words(LINE_PLATFORMS),
        longest_duration_s=sql.Literal(LONGEST_DURATION_S),
        longest_text=sql.Literal(LONGEST_TEXT),
    )


TYPES = {
    pa.bool_(): "boolean",
    pa.float64(): "double precision",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.string(): "text",
    pa.timestamp("us", "UTC"): "timestamptz",
}


def _column(field: pa.Field) -> sql.Composable:
    """The definition of a column of raw.event."""
    kind = TYPES[field.type] + ("" if field.nullable else " not null")
    return sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(kind))


def _events() -> sql.Composable:
    """The raw format's events as rows of `raw.known_event`."""
    rows = sql.SQL(", ").join(
        sql.SQL("({})").format(
            sql.SQL(", ").join(
                [
                    sql.Literal(event.name),
                    _words(STATUSES if event.name == "agent_status" else event.reasons),
                    sql.Literal(event.name in NUMBER_EVENTS),
                    sql.Literal(event.ends_phase),
                    _words(TARGET_KINDS if event.name == "transferred" else ()),
                    _words(DIRECTIONS if event.name == "call_started" else ()),
                ]
            )
        )
        for event in EVENTS
    )
    return sql.SQL("(values {})").format(rows)


def _words(words: Iterable[str]) -> sql.Composable:
    return sql.SQL("array[{}]::text[]").format(sql.SQL(", ").join(map(sql.Literal, words)))
