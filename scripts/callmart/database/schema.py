"""Makes what the database has besides the marts: tables by migrations, then everything that can be replaced (functions,
views, settings of tables) from the files in objects/, which are always applied together.
"""

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.resources import files

import psycopg
from psycopg import sql

from callmart.base import controls, evidence, rights_of_persons, sql_file
from callmart.base.errors import UserError
from callmart.base.matrix import matrix
from callmart.base.pointing import COUNTS_AND_MOMENTS, NOBODY, WHOM
from callmart.base.raw_format import (
    AGENT_ENDS,
    BEGUN_AT,
    DIRECTIONS,
    EVENT_COLUMNS,
    EVENTS,
    FORMATS,
    LINE_PLATFORMS,
    LONGEST_DURATION_S,
    LONGEST_PHASE,
    LONGEST_TEXT,
    NUMBER_EVENTS,
    PHASE,
    PLATFORMS,
    STATUSES,
    TARGET_KINDS,
)
from callmart.base.settings import Settings
from callmart.database import catalogue, clock, cluster, lock, migrating

SQL = sql_file.statements(__file__)

# Each file needs those before it.
FILES = (
    "defaults", "tombstones", "registry", "keys", "ops", "usage", "access", "landed", "landing_refused",
    "landing_merged", "landing", "erased", "changed_days", "privacy", "privacy_steps", "pointing", "views",
    "persons", "shown",
)  # fmt: skip
TEXT = "\n".join(
    files("callmart.database").joinpath("objects", f"{name}.sql").read_text(encoding="utf-8")
    for name in FILES
)


def apply(connection: psycopg.Connection, settings: Settings) -> None:
    """Make schemas, tables and functions, or bring those of an earlier version up to date.

    Commits each migration, if there are any to apply. The rest is in the caller's transaction.
    """
    cluster.keep_to_itself(connection)
    migrating.apply(connection, settings)
    cluster.distribute(connection)
    connection.execute("set local client_min_messages = warning")
    # Other sessions queue behind a lock that this one waits for.
    lock.wait_at_most(connection, lock.TIMEOUT)
    before = connection.execute(SQL["versions"]).fetchall()
    connection.execute(_filled(settings.time_zone))
    after = set(connection.execute(SQL["versions"]).fetchall())
    for name, kind, row_version in before:
        if (name, kind, row_version) in after:  # these files no longer make it
            _drop(connection, kind, name)
    connection.execute(SQL["keep_definitions"])
    connection.execute("set local lock_timeout to default")


def ensure(connection: psycopg.Connection, settings: Settings) -> None:
    """As `apply`, unless all of it is there as this version made it: then nothing is locked or made anew."""
    is_made = is_current(connection, settings.time_zone) and not migrating.pending(connection)
    if not is_made or connection.execute(SQL["changed"]).fetchone():
        apply(connection, settings)


def _drop(connection: psycopg.Connection, kind: str, name: str) -> None:
    """Drop a function or view of an earlier version. Its name comes quoted from the catalogue."""
    try:
        connection.execute(f"drop {kind} {name}".encode())
    except psycopg.errors.DependentObjectsStillExist:
        raise UserError(
            f"the {kind} {name} is of an earlier callmart, and something that is not callmart's uses it: "
            "drop that, then run `callmart upgrade`"
        ) from None


def note(connection: psycopg.Connection, time_zone: str) -> None:
    """Record that the database is up to date with this version of callmart. Call it when everything else is done."""
    connection.execute("delete from access.applied")
    connection.execute("insert into access.applied (fingerprint) values (%s)", [fingerprint(time_zone)])


def has_registry(connection: psycopg.Connection) -> bool:
    """Whether a registry has been applied to this database. Tables alone can be left by an attempt that broke off."""
    if not catalogue.exists(connection, "registry.version"):
        return False
    return connection.execute("select exists (select 1 from registry.version)").fetchone() == (True,)


def is_half_made(connection: psycopg.Connection) -> bool:
    """Whether the first `registry apply` of this version broke off: no database was ever noted to be up to date, no
    migration waits, and no mart has a table.
    """
    return (
        has_registry(connection)
        and noted(connection) is None
        and not migrating.pending(connection)
        and connection.execute("select 1 from pg_tables where schemaname = 'store' limit 1").fetchone()
        is None
    )


def is_current(connection: psycopg.Connection, time_zone: str) -> bool:
    """Whether everything replaceable is that of this version of callmart and of `time_zone`."""
    return noted(connection) == fingerprint(time_zone)


def noted(connection: psycopg.Connection) -> str | None:
    """The fingerprint of what is replaceable, as this database was last brought up to date."""
    if not catalogue.exists(connection, "access.applied"):
        return None
    return next((text for (text,) in connection.execute("select fingerprint from access.applied")), None)


def require(connection: psycopg.Connection, time_zone: str) -> None:
    """Raise UserError if this database has no registry yet, or is not at this version of callmart."""
    try:
        require_tables(connection)
        if not is_current(connection, time_zone):
            raise UserError(
                "the functions and views of this database are of another version of callmart, or of another "
                "time_zone: back up, then run `callmart upgrade`"
            )
    finally:
        connection.rollback()


def require_tables(connection: psycopg.Connection) -> None:
    """Raise UserError if this database has no registry yet, or a migration waits."""
    pending = migrating.pending(connection)
    require_registry(connection)
    if pending:
        raise UserError(
            f"the database is at {pending[0].number - 1}, this is {pending[-1].number}: "
            "back up, then run `callmart upgrade`"
        )


def require_registry(connection: psycopg.Connection) -> None:
    """Raise UserError if this database has no registry yet. It may be of an earlier version."""
    if not has_registry(connection):
        raise UserError("this database has no registry yet: run `callmart registry apply registry.yml` first")


@cache  # each command asks for it several times
def fingerprint(time_zone: str) -> str:
    """The fingerprint of what is replaceable, of this version and of the provider's time zone."""
    return sha256(_filled(time_zone).as_string(None).encode()).hexdigest()


def _filled(time_zone: str) -> sql.Composed:
    """The text of all files. Filled in are the provider's time zone, for how long callmart may rest, the words and
    limits of the raw format, the groups of marts, whom columns can point to, and the words of the register of requests.
    """
    return sql.SQL(TEXT).format(
        time_zone=sql.Literal(time_zone),
        days_of_rest=sql.Literal(clock.DAYS),
        events=_events(),
        event_names=sql.SQL(", ").join(
            sql.Identifier(name) for name in EVENT_COLUMNS.names if name != "line_number"
        ),
        formats=_words(FORMATS),
        platforms=_words(PLATFORMS),
        line_platforms=_words(LINE_PLATFORMS),
        phase_of_event=sql.SQL(PHASE),
        beginning=sql.SQL(BEGUN_AT).format(agent_ends=_words(AGENT_ENDS)),
        longest_phase=sql.Literal(f"{LONGEST_PHASE.days} days"),
        longest_duration_s=sql.Literal(LONGEST_DURATION_S),
        longest_text=sql.Literal(LONGEST_TEXT),
        control=sql.Literal(controls.ARE),
        counts_and_moments=_words(COUNTS_AND_MOMENTS),
        groups=_words(matrix().groups),
        persons_shown=sql.SQL("(values {})").format(
            sql.SQL(", ").join(
                sql.SQL("({}, {})").format(group, _words(matrix().persons(group)))
                for group in matrix().groups
            )
        ),
        nobody=_words(NOBODY),
        whom=_words(WHOM),
        places=_words(evidence.PLACES),
        blocking=_words((*evidence.PLACES, *evidence.ALSO_BLOCKING)),
        counted=_words(evidence.WORDS),
        codes=_words(evidence.CODES),
        rights=_words(f"{right} of {kind}" for right, kind in rights_of_persons.pairs()),
    )


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
