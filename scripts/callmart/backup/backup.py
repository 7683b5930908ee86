"""Makes a backup: the database's dump, the keys, and the manifest, in a folder that appears only when it is whole."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from callmart import __version__
from callmart.backup import contents, manifest, programs, sealed
from callmart.backup.manifest import DATABASE, KEYS, NAME, Manifest
from callmart.base.disk import sync
from callmart.base.errors import UserError, is_disk_full, kind
from callmart.base.keys import known_key
from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.database import audit_log, clock, fingerprints, migrating, rotation, row_security, schema
from callmart.database.lock import second


def back_up(connection: psycopg.Connection, settings: Settings, folder: Path) -> Manifest:
    """Make a backup in a folder that is new or empty, and write that into the audit log. Commits.

    Raises UserError if that can't be. Then there is no backup. If a part of one is left, the sentence names it.
    """
    if not schema.has_registry(connection):
        raise UserError("there is nothing to back up: run `callmart registry apply registry.yml` first")
    is_current = not migrating.pending(connection) and schema.is_current(connection, settings.time_zone)
    _refuse_half_rotated(connection, is_current=is_current)
    phrase = sealed.passphrase(settings)
    found = programs.folder_for(connection.info.server_version, encrypted=connection.pgconn.ssl_in_use)
    _refuse_unguarded(connection, is_current=is_current)
    connection.commit()
    target = _checked(folder, settings)
    with _draft(target) as draft, _snapshot(connection) as (reader, snapshot):
        keys = {
            whose: known_key(settings.home, whose, fingerprint)
            for whose, fingerprint in fingerprints.known(reader).items()
        }
        day = clock.last_day(reader)
        with programs.dumping(settings, found, contents.schemas(reader), snapshot, draft / DATABASE):
            tables = contents.of_tables(reader)  # takes about half as long as the dump
        dump = manifest.of_file(draft / DATABASE)
        secret_file(draft / KEYS, sealed.seal(keys, phrase, dump.sha256))
        made = Manifest(
            format=manifest.FORMAT,
            backup=secrets.token_hex(6),
            callmart=__version__ if is_current else f"before {__version__}",
            schema_version=migrating.version(reader),
            time_zone=settings.time_zone,
            postgresql=reader.info.server_version,
            pg_dump=programs.major(found),
            made_at=datetime.now(UTC),
            day=day,
            tables=tables,
            keys=fingerprints.known(reader),
            files={DATABASE: dump, KEYS: manifest.of_file(draft / KEYS)},
            ledger=contents.ledger(reader),
        )
        secret_file(draft / NAME, made.model_dump_json(indent=1))
    audit_log.note(connection, "backed up", {"backup": made.backup, "rows": made.rows, "bytes": dump.size})
    connection.commit()
    return made


def _refuse_half_rotated(connection: psycopg.Connection, *, is_current: bool) -> None:
    """Raise UserError if a rotation of a key broke off. This version goes on with it only after an upgrade."""
    if is_current:
        rotation.refuse(connection)
    elif found := rotation.look(connection):
        raise UserError(
            f"nothing was backed up: the rotation of the key of customer {found.customer_id} broke off; finish it with "
            "the version of callmart that began it, or run `callmart upgrade` without this backup, and then "
            f"{found.remedy}"
        )


def _refuse_unguarded(connection: psycopg.Connection, *, is_current: bool) -> None:
    """Raise UserError if a policy could hide rows from the owner: then they would be missing from the backup."""
    hidden = row_security.hiding(connection, contents.schemas(connection))
    if hidden is not None:
        remedy = (
            "run `callmart access apply`"
            if is_current
            else "correct them by hand, or run `callmart upgrade` without this backup"
        )
        raise UserError(
            f"nothing was backed up: the policies of {hidden} are not callmart's, and rows could be missing; "
            f"{remedy}, and then this again"
        )


def _checked(folder: Path, settings: Settings) -> Path:
    """The folder, resolved. Raises UserError if a backup can't be made there."""
    target = folder.expanduser().resolve()
    if target.is_relative_to(settings.home):
        raise UserError(f"{target} is in CALLMART_HOME, and would be lost with it; name a folder elsewhere")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already and is not an empty folder; name a new one")
    if os.path.ismount(target):
        raise UserError(f"{target} is a mount; name a new folder in it")
    if not target.parent.is_dir():
        raise UserError(f"{target.parent} is not a folder; make it, or name another one")
    return target


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A folder beside the target that gets its name when it is complete, and is removed if anything fails. One that was
    left by a kill is removed, too.
    """
    beside = f"{target.name}.unfinished-"
    try:
        for left in target.parent.iterdir():
            if left.name.startswith(beside):
                _discard(left)
        draft = Path(tempfile.mkdtemp(prefix=beside, dir=target.parent))
        try:
            yield draft
            for file in draft.iterdir():
                file.chmod(0o600)
                sync(file)
            sync(draft)
            draft.rename(target)
            sync(target.parent)
        finally:
            if draft.exists():  # something failed
                _discard(draft)
    except OSError as error:
        if is_disk_full(error):
            raise UserError(programs.FULL) from None
        raise


def _discard(draft: Path) -> None:
    try:
        shutil.rmtree(draft)
    except OSError as error:
        raise UserError(
            f"nothing was backed up, and {draft} with a part of the data could not be removed ({kind(error)}): remove "
            "it"
        ) from None


@contextmanager
def _snapshot(connection: psycopg.Connection) -> Iterator[tuple[psycopg.Connection, str]]:
    """A connection that reads the database as of one moment, and the name by which pg_dump reads it as of the same."""
    with second(connection) as reader, reader.transaction():
        reader.execute("set transaction isolation level repeatable read, read only")
        ((name,),) = reader.execute("select pg_export_snapshot()").fetchall()
        yield reader, name
