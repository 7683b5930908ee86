"""Numbered migrations: the only way in which callmart's own tables and indexes come to be, and change.

A file in migrations/ is one step of the schema: NNNN_name.sql, plain SQL without any words to fill in, so that it does
the same for ever. It runs once per database, in a transaction of its own. It never changes after it was released; what
it did is changed by the next migration. Functions and views are not made in migrations but in objects/, which is
applied after them; a migration that changes a column drops the views that use it, and objects/ makes them again.

Where a key or batches are needed, NNNN_name.py has one function:

    def step(connection, settings, place): ...

It does the next batch after `place` (None at the beginning), and returns the place that it has reached (any JSON), or
None when nothing is left. Each batch is committed together with its place, so an interrupted migration goes on there.
If it needs something that can be missing, a second function says so before any migration is applied:

    def check(connection, settings): ...  # raises UserError

A new column of raw.event comes with a migration that adds it to raw.event and raw.incoming, and with its line in
EVENT_COLUMNS of base/raw_format.py.
"""

import importlib.util
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.errors import UserError, kind
from callmart.base.settings import Settings
from callmart.database import catalogue, lock

SQL = sql_file.statements(__file__)

FOLDER = Path(__file__).with_name("migrations")
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.(sql|py)")


@dataclass(frozen=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    file: Path

    @property
    def checksum(self) -> str:
        """The hash of the file. A database keeps it, so that a file that was changed later is noticed."""
        return sha256(self.file.read_bytes()).hexdigest()

    def __str__(self) -> str:
        return f"{self.number:04} {self.name.replace('_', ' ')}"


@cache
def known(folder: Path) -> tuple[Migration, ...]:
    """The migrations of this version, numbered from 1. Raises UserError if a number is missing or there twice."""
    found: list[Migration] = []
    for file in sorted(file for file in folder.iterdir() if file.is_file()):
        matched = _FILE.fullmatch(file.name)
        if matched is None or int(matched[1]) != len(found) + 1:
            raise UserError(
                f"{file.name} in {folder} should be migration {len(found) + 1:04}: "
                "install callmart again, or name the files NNNN_name.sql or .py without a gap"
            )
        found.append(Migration(int(matched[1]), matched[2], file))
    return tuple(found)


def pending(connection: psycopg.Connection) -> list[Migration]:
    """The migrations that this database has not had, or not had whole.

    Raises UserError if the database has had others than this version of callmart knows.
    """
    migrations = known(FOLDER)
    begun = _begun(connection)
    if len(begun) > len(migrations):
        raise UserError(
            f"the database is at {len(begun)}, this callmart knows {len(migrations)}: "
            "install the version that upgraded the database, or a newer one"
        )
    for migration, (number, name, checksum, is_done) in zip(migrations, begun, strict=False):
        if number != migration.number:
            raise UserError(
                f"migration {migration} is missing in ops.migration, but {number:04} is there: restore a backup "
                "from before somebody changed that table"
            )
        # One in steps that is not finished may be another: that of a version that corrects it.
        if name != migration.name or (is_done and checksum != migration.checksum):
            raise UserError(
                f"migration {migration} is not the one that this database had: "
                f"install callmart again, without changes to {migration.file.name}"
            )
    done = sum(is_done for *_, is_done in begun)
    return list(migrations[done:])


def version(connection: psycopg.Connection) -> int:
    """The number of the last migration that the database has had, or 0."""
    return sum(is_done for *_, is_done in _begun(connection))


def apply(connection: psycopg.Connection, settings: Settings) -> None:
    """Bring the tables up to date. Commits each migration. If there is none to apply, the caller's transaction goes on.

    Raises UserError if another session has a lock that a migration needs. What was applied before stays.
    """
    if not pending(connection):
        return
    connection.commit()
    # Another upgrade can make the table at this very moment.
    with suppress(psycopg.errors.UniqueViolation), connection.transaction():
        connection.execute(SQL["make_table"])
    for migration in pending(connection):
        if check := _function(migration, "check"):
            check(connection, settings)
    for migration in pending(connection):
        connection.commit()
        try:
            while not _advance(connection, settings, migration):
                pass
        except psycopg.errors.LockNotAvailable:
            raise UserError(
                f"migration {migration} waited {lock.TIMEOUT} for a table that another session uses: "
                "when that session has ended, run the same command again; it goes on from there"
            ) from None
        except psycopg.Error as error:
            if connection.closed:
                raise
            raise UserError(
                f"migration {migration} broke off ({kind(error)}) and has left nothing: correct the cause, which the "
                "server's log names, and run the same command again; it goes on from there"
            ) from None
    connection.commit()


def _advance(connection: psycopg.Connection, settings: Settings, migration: Migration) -> bool:
    """Apply a migration, or the next batch of one in steps. Returns whether nothing is left of it."""
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        lock.wait_at_most(connection, lock.TIMEOUT)
        # Another upgrade waits here. When it goes on, it finds what this one has done.
        connection.execute("lock table ops.migration in share row exclusive mode")
        if migration not in pending(connection):
            return True
        place = None
        if step := _function(migration, "step"):
            reached = connection.execute(SQL["place"], {"number": migration.number}).fetchone()
            place = step(connection, settings, reached and reached[0])
        else:
            connection.execute(migration.file.read_bytes())
        connection.execute(
            SQL["note"],
            {
                "number": migration.number,
                "name": migration.name,
                "checksum": migration.checksum,
                "place": None if place is None else Jsonb(place),
                "done": place is None,
            },
        )
        return place is None


def _function(migration: Migration, name: str) -> Callable[..., Any] | None:
    """A function of a migration in Python, if it has one of this name."""
    if migration.file.suffix != ".py":
        return None
    spec = importlib.util.spec_from_file_location(f"migration_{migration.number:04}", migration.file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name, None)


def _begun(connection: psycopg.Connection) -> list[tuple[int, str, str, bool]]:
    """The migrations that the database has had, and whether each is done."""
    if not catalogue.exists(connection, "ops.migration"):
        return []
    return connection.execute(SQL["begun"]).fetchall()
