"""Restores a backup into an empty home and an empty database.

Until it is finished, the database has the mark of `restoring`: no other command works on it, and no login can log in.
If a restore breaks off, the same command begins anew. It drops what was restored: the mark proves that nobody has
worked with it.
"""

from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import psycopg

from callmart.access import drift, logins, memberships, rights, roles, sessions
from callmart.backup import contents, manifest, programs, sealed
from callmart.backup.manifest import DATABASE, KEYS, Manifest
from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.keys import Whose, fits, key_file, named, with_fingerprint, write_keys
from callmart.base.person import Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import (
    audit_log,
    clock,
    fingerprints,
    ledger,
    ledger_files,
    ledger_mending,
    migrating,
    restoring,
    schema,
    vacuum,
)
from callmart.database.ledger_mending import Lost
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart
from callmart.privacy import replaying, rotating, server_files
from callmart.publish import installation
from callmart.retention import expire, expiry_plan, remove
from callmart.upgrade import marts as changes

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Opened:
    """A backup that is whole and no newer than this version of callmart, with its keys."""

    folder: Path
    manifest: Manifest
    keys: sealed.Keys


@dataclass(frozen=True)
class Restored:
    """What was restored, the rows and files that were too old and went, how many persons were erased again, and one
    sentence per problem that is left.
    """

    rows: int
    tables: int
    expired: int
    erased: int  # persons who were erased since the backup, and now again
    problems: list[str]


def open_backup(folder: Path, settings: Settings, later: Path | None = None) -> Opened:
    """Read a backup and check all of it. `later` is a backup made since: of a key that was rotated in between it has
    more layers, and these are taken.

    Raises UserError if one is not whole, if its keys can't be decrypted or don't fit, or if a newer callmart has made
    its database. Needs no database.
    """
    found = manifest.read(folder)
    if found.time_zone != settings.time_zone:
        raise UserError(
            f"this backup was made with time_zone = {found.time_zone}, and the setting is {settings.time_zone}: set it "
            "to that of the backup"
        )
    if found.schema_version > len(migrating.known(migrating.FOLDER)):
        raise UserError(
            f"this backup is of a newer version of callmart: install {found.callmart}, or one after it, and restore it "
            "with that"
        )
    keys = _keys(folder, found, settings)
    for whose, key in (_keys(later, manifest.read(later), settings) if later else {}).items():
        if with_fingerprint(key, found.keys.get(whose, "")):
            keys[whose] = key
    for whose, fingerprint in found.keys.items():
        if whose not in keys or not with_fingerprint(keys[whose], fingerprint):
            raise UserError(
                f"the key of {named(whose)} in this backup is not the key of its data: use another backup"
            )
    return Opened(folder, found, keys)


def _keys(folder: Path, found: Manifest, settings: Settings) -> sealed.Keys:
    encrypted, dump = (folder / KEYS).read_bytes(), found.files[DATABASE].sha256
    return sealed.unseal(encrypted, sealed.passphrase(settings), dump)


def restore_keys(
    connection: psycopg.Connection, settings: Settings, folder: Path
) -> tuple[list[Whose], list[Whose]]:
    """Restore only the keys that are missing in this home, or don't fit the data. Commits. Returns whose keys were
    restored, and whose are not in the backup.
    """
    keys = _keys(folder, manifest.read(folder), settings)
    restored, left = [], []
    for whose, fingerprint in fingerprints.known(connection).items():
        if fits(settings.home, whose, fingerprint):
            continue
        # A later backup's key has layers that were added since.
        if whose in keys and with_fingerprint(keys[whose], fingerprint):
            restored.append(whose)
        else:
            left.append(whose)
    write_keys(settings.home, {whose: keys[whose] for whose in restored})
    audit_log.note(connection, "keys restored", {"keys": restored})
    connection.commit()
    return restored, left


def restore(
    connection: psycopg.Connection,
    settings: Settings,
    backup: Opened,
    accepted: date | None,
    *,
    take_over: bool,
    lost: Lost | None = None,
) -> Restored:
    """Restore a backup. Commits. `accepted` is today, if a person has confirmed the clock. `lost` is the reason why
    there is no ledger that says who was erased since the backup.

    Raises UserError if the home or the database holds something else, if the clock is not believed, or if the ledger is
    not there: then nothing was changed. If it breaks off later, nobody can log in, and the next restore of this backup
    begins anew.
    """
    marts = dbt_project.marts(settings)
    psql = programs.folder_for(connection.info.server_version, encrypted=connection.pgconn.ssl_in_use)
    reader = programs.folder_for(backup.manifest.pg_dump * 10000, encrypted=False)
    _check(connection, settings, backup, accepted)
    _require_ledger(settings, backup, lost)
    with restoring.locked(connection):
        _check(connection, settings, backup, accepted)  # another restore may have finished meanwhile
        restoring.begin(connection, backup.manifest.backup)
        _bar_logins(connection, settings)
        _empty(connection)
        _load(connection, settings, reader, psql, backup)
        _verify(connection, backup)
        write_keys(settings.home, backup.keys)
        installation.make_restored(settings.home, takes_over=take_over)
        restoring.note_home(connection, installation.known_id(settings.home))
        undecided = _upgrade(connection, settings, marts)
        _guard(connection)
        if accepted:
            clock.accept(connection, settings, accepted)
        clock.believe(connection, settings)
        expired = _expire(connection, settings)
        erased, problems = _erase_again(connection, settings, lost)
        problems += replaying.uncorrected(connection) + _remove_unknown(connection, settings)
        problems += memberships.apply(connection, settings, None if undecided else marts).problems + undecided
        _note(connection, backup, {"expired": expired, "takes over": take_over, "erased again": erased})
        restoring.end(connection)
        connection.commit()
    restoring.clear(connection)
    return Restored(backup.manifest.rows, len(backup.manifest.tables), expired, erased, problems)


def _note(connection: psycopg.Connection, backup: Opened, done: dict[str, object]) -> None:
    """Write into the audit log what was restored, and what was done on the way."""
    found = backup.manifest
    details = {"backup": found.backup, "made": str(found.made_at), "rows": found.rows, **done}
    audit_log.note(connection, "restored", details)


def _erase_again(
    connection: psycopg.Connection, settings: Settings, lost: Lost | None
) -> tuple[int, list[str]]:
    """Erase again who was erased since the backup, before anybody can log in: first who was erased before keys were
    rotated, and then, with each layer that was added since, those who were erased after it. Returns how many persons
    that were, and a sentence per person who could not be erased. Nothing is looked for on Tableau: a restored home does
    not publish.
    """

    def refuse() -> None:
        raise UserError("a restore does not sign in to Tableau")

    erase = partial(replaying.erase_restored, Work(connection, settings, refuse))
    done = replaying.replay(connection, settings, erase, lost)
    erased = done.persons
    _leave_deleted(connection, settings)
    while customers := rotating.add_next_layers(connection, settings):
        done = replaying.replay(connection, settings, erase, keyed_anew=customers)
        erased += done.persons
        _leave_deleted(connection, settings)
    return erased, done.problems


def _remove_unknown(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Remove the days from which somebody was erased whom nobody can know again: with a layer that is not here, or with
    a former key of the customer. Commits. Returns a sentence per customer.
    """
    found = connection.execute("select customer_id from registry.former_key order by 1").fetchall()
    customers = [customer for (customer,) in found]
    connection.commit()
    if customers:
        for one in remove.remove(connection, settings, quietly):
            if isinstance(one, remove.Unremoved):
                raise one
        stored = [relation for (relation,) in connection.execute(SQL["stored"])]
        vacuum.note(connection, *stored)  # somebody who was erased can be in any of them
        _leave_deleted(connection, settings)
    return [
        f"customer {customer}: since this backup somebody was erased under another key, so the days before that were "
        "removed; if the key was rotated, restore again and name a backup made since with `--later-keys`"
        for customer in customers
    ]


def _leave_deleted(connection: psycopg.Connection, settings: Settings) -> None:
    """Leave behind what the backup had of those who were erased or object, or whose days were removed. Commits. What a
    server elsewhere keeps in its files is its operator's.
    """
    if settings.dsn is None and server_files.touched(connection):
        vacuum.want_whole(connection)
        server_files.leave_deleted(connection, settings)


def _require_ledger(settings: Settings, backup: Opened, lost: Lost | None) -> None:
    """Raise UserError if there is no ledger, and no reason for that: a backup does not know who was erased after it.

    It is the copy that is set. Without one, the ledger of this home is taken, if somebody has put it there.
    """
    if lost is not None:
        return
    ledger.refuse_one_copy(settings)
    path, known = ledger_files.both(settings)[0], backup.manifest.ledger
    if not path.exists():
        raise UserError(
            f"nothing was restored: there is no {path} to say who was erased since this backup; let "
            "privacy.ledger_copy name the second copy of the privacy ledger, or if there is none, "
            f"{ledger_mending.say_why()}"
        )
    found = ledger_files.read(path)
    if known is not None and (found.ledger != known.id or found.last[0] < known.entry):
        raise UserError(
            f"nothing was restored: {path} is not the ledger of this backup, or its end is missing; let "
            "privacy.ledger_copy name the right one"
        )


def _check(connection: psycopg.Connection, settings: Settings, backup: Opened, accepted: date | None) -> None:
    """Raise UserError if this backup can't be restored here now. Changes nothing."""
    _refuse_full(connection, settings, backup)
    _believe(connection, settings, backup, accepted)
    connection.rollback()


def _refuse_full(connection: psycopg.Connection, settings: Settings, backup: Opened) -> None:
    """Raise UserError if the database or the home holds anything but an unfinished restore of this backup."""
    unfinished = restoring.unfinished(connection)
    if unfinished not in (None, backup.manifest.backup):
        raise UserError(
            f"this database holds an unfinished restore of backup {unfinished}: restore that one, or to begin anew, "
            "use an empty database and an empty CALLMART_HOME"
        )
    full = connection.execute(SQL["full"], {"schemas": list(rights.SCHEMAS)}).fetchone() == (True,)
    if full and unfinished is None:
        raise UserError(
            f"the database {connection.info.dbname} already holds callmart's data: restore into an empty database, "
            "with an empty CALLMART_HOME"
        )
    ours = {key_file(settings.home, whose): key for whose, key in backup.keys.items()}
    # Where it has written the keys, a customer of whom nothing may stay can have got a new one since.
    written_to = restoring.home(connection) if unfinished is not None else None
    is_here = written_to is not None and written_to == installation.known_id(settings.home)
    for path in sorted((settings.home / "keys").glob("*.key")):
        if unfinished is None or path not in ours or not (is_here or path.read_bytes() == ours[path]):
            raise UserError(
                f"{path.parent} already holds keys: restore into an empty CALLMART_HOME, or move them away first"
            )
    if unfinished is None and (settings.home / "installation").exists():
        raise UserError(
            f"{settings.home} has published to Tableau already: restore into an empty CALLMART_HOME"
        )


def _believe(
    connection: psycopg.Connection, settings: Settings, backup: Opened, accepted: date | None
) -> None:
    """Raise UserError if the clock is so far from the backup's last day that a person has to confirm it."""
    reading = clock.compare(connection, settings, backup.manifest.day)
    if reading.skewed:
        raise UserError(f"nothing was restored: {reading.skewed}")
    if accepted is not None and accepted != reading.today:
        raise UserError(
            f"nothing was restored: the clock says {reading.today}, not {accepted}; "
            "correct the clock, or accept the day that it says"
        )
    if reading.doubt and accepted is None:
        floor = expiry_plan.floor_on(connection, reading.today)
        raise UserError(
            f"nothing was restored: the clock says {reading.today}, and in this backup callmart last worked on "
            f"{reading.last}; if the clock is wrong, correct it; if it is right, add `--accept {reading.today}`: the "
            f"restore will then delete all days before {floor}"
        )


def _bar_logins(connection: psycopg.Connection, settings: Settings) -> None:
    """Let nobody log in whose role the server has from before, and end the sessions. Commits."""
    for role in sorted(roles.existing(connection, connection.info.dbname)):
        try:
            logins.close(connection, settings.home, role)
            connection.commit()
            sessions.end(connection, role)
            connection.commit()
        except psycopg.errors.InsufficientPrivilege:
            connection.rollback()
            raise UserError(
                f"the server has a role {role} that is not this owner's: drop it, or restore into a database of "
                "another name; then run the same command again"
            ) from None


def _empty(connection: psycopg.Connection) -> None:
    """Drop what a restore that broke off has left. Commits."""
    schemas = ", ".join(rights.SCHEMAS)
    connection.execute(f"drop schema if exists {schemas} cascade".encode())
    connection.commit()


def _load(
    connection: psycopg.Connection, settings: Settings, reader: Path, psql: Path, backup: Opened
) -> None:
    before = ["alter default privileges revoke execute on functions from public"]
    if not any(table.startswith("mart.") for table in backup.manifest.tables):
        before.append("create schema mart")  # it is named by what is loaded
    version = connection.info.server_version
    programs.load(settings, reader, psql, version, backup.folder / DATABASE, before)


def _verify(connection: psycopg.Connection, backup: Opened) -> None:
    """Raise UserError if the tables do not have exactly what the manifest says."""
    found, wanted = contents.of_tables(connection), backup.manifest.tables
    connection.rollback()  # resets the settings of the transaction
    for table in sorted(found.keys() | wanted.keys()):
        if found.get(table) != wanted.get(table):
            raise UserError(
                f"{table} does not have the rows of the backup, and nobody can log in: run the same command again, or "
                "restore another backup into an empty database and an empty CALLMART_HOME"
            )
    if fingerprints.known(connection) != backup.manifest.keys:
        raise UserError("the registry of this backup does not name the keys of this backup: use another one")


def _upgrade(connection: psycopg.Connection, settings: Settings, marts: list[Mart]) -> list[str]:
    """Bring the database up to date, as `callmart upgrade` does: the backup may be of an earlier version. Commits.
    Returns a sentence per thing that a person has to decide about a mart. Then it stays as it was: what the person does
    needs a restore that is finished.
    """
    schema.apply(connection, settings)
    connection.commit()
    try:
        changed = changes.planned(connection, marts)
    except UserError as undecided:
        return [str(undecided)]
    if changed:
        changes.apply(connection, marts, changed)
    return [one.text for one in drift.regrouped(connection, marts)]


def _guard(connection: psycopg.Connection) -> None:
    """Make policies and views of all marts, also of those that left the project. Runs in the caller's transaction."""
    days = {mart.name: mart.day for mart in mart_tables.marts(connection)}
    for relation, of_schema, name, group in connection.execute(SQL["marts"]).fetchall():
        shown = of_schema == mart_tables.SCHEMA
        connection.execute(
            "select access.protect(%s::regclass, %s, %s)", [relation, group, days[name] if shown else None]
        )
        if shown:
            connection.execute("select access.show_mart(%s::regclass, %s)", [relation, group])
    # What was computed and not opened is not in a backup, so it can't be opened.
    connection.execute("update ops.build set tables = '{}' where opened_at is null")
    vacuum.note(connection, *contents.names(connection))  # the planner knows nothing of what was loaded


def _expire(connection: psycopg.Connection, settings: Settings) -> int:
    """Delete what has become too old since the backup. Commits. Returns the number of rows and files."""
    outcomes = expire.expire(connection, settings, clock.require(connection, settings))
    for one in outcomes:
        if not one.is_done:
            raise UserError(
                f"{one.step.what} did not expire ({one.outcome}), and nobody can log in: run the same command again"
            )
    return expire.taken(outcomes)
