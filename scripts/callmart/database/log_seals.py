"""Seals the audit log, once a day: an entry that has a hash of all entries since the last one, and of that one.

Triggers keep everybody from changing the log, but a superuser, or the owner, can switch them off. A seal is keyed by
the installation's key, which no database has. So whoever has the database alone can't change what is sealed unnoticed.
"""

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import class_row

from callmart.base import log, sql_file
from callmart.base.keys import INSTALLATION, RESTORE, epochs, fingerprint_of, key_file
from callmart.base.settings import Settings
from callmart.database import audit_log, clock, fingerprints, lock

SQL = sql_file.statements(__file__)

PATIENCE = "2s"  # a landing may have written an entry, and not committed it yet


@dataclass(frozen=True)
class Seal:
    """An entry that seals others."""

    entry: int
    at: datetime
    details: dict[str, Any]
    # A key of the installation was lost since. If it was this one's, nobody can tell whether the seal is right.
    is_before_loss: bool


def seal(connection: psycopg.Connection, settings: Settings) -> None:
    """Seal what was added since the last seal, unless that is of today. Commits. While another session is adding an
    entry, nothing is sealed: the next run does it.
    """
    last = next(reversed(_seals(connection)), None)
    if last is None or last.at.astimezone(settings.zone).date() < clock.today(connection, settings):
        try:
            with connection.transaction():
                _seal(connection, settings, last)
        except psycopg.errors.LockNotAvailable:
            log.line(
                "info", "the audit log was not sealed, as a session is adding to it; the next run does it"
            )
    connection.commit()


def _seal(connection: psycopg.Connection, settings: Settings, last: Seal | None) -> None:
    lock.wait_at_most(connection, PATIENCE)
    # Whoever adds an entry has taken its number. So none with a lower number comes later.
    connection.execute("lock table ops.audit_log in share mode")
    after = None if last is None else last.details["through"]
    ((through, routine),) = connection.execute(SQL["through"]).fetchall()
    key = fingerprints.installation_key(connection, settings)
    details = {
        "after": after,
        "through": through,
        "routine": routine,
        "key": fingerprint_of(key),
        **_digests(connection, after, through, routine),
    }
    details["seal"] = _keyed(key, details, last)
    audit_log.note(connection, "sealed", details)
    log.line("info", f"the audit log is sealed through entry {through}: {details['seal']}")


def broken(connection: psycopg.Connection, settings: Settings) -> tuple[int, int, list[str]]:
    """How many seals there are, how many could be looked at, and what is wrong with the log by them, as sentences."""
    seals = _seals(connection)
    file = key_file(settings.home, INSTALLATION)
    if seals and not file.exists():
        return (
            len(seals),
            0,
            [f"nobody can tell while the key of the installation is missing ({file}): {RESTORE}"],
        )
    keys = {fingerprint_of(key): key for key in epochs(file.read_bytes())} if seals else {}
    lost = [one for one in seals if one.is_before_loss and one.details.get("key") not in keys]
    return len(seals), len(seals) - len(lost), list(_broken(connection, keys, seals, lost))


def _broken(
    connection: psycopg.Connection, keys: dict[str, bytes], seals: list[Seal], lost: list[Seal]
) -> Iterator[str]:
    ((first, latest, floor),) = connection.execute(SQL["sealing"]).fetchall()
    last = None
    for one in seals:
        if one not in lost:
            yield from _broken_by(connection, keys, floor, one, last)
        last = one
    since = seals[-1].at if seals else first
    if latest and latest - since >= timedelta(days=2):
        yield f"no seal is there since {since:%Y-%m-%d}, although runs made some: compare it with a backup"


def _broken_by(
    connection: psycopg.Connection, keys: dict[str, bytes], floor: date, one: Seal, last: Seal | None
) -> Iterator[str]:
    kept = dict(one.details)
    told = kept.pop("seal", None)
    key = keys.get(kept.get("key", ""))
    after = None if last is None else last.details.get("through")
    if key is None or kept.get("after") != after or told != _keyed(key, kept, last):
        yield f"entry {one.entry}, a seal, is not callmart's, or one before it is gone: compare it with a backup"
        return
    found = _digests(connection, kept["after"], kept["through"], kept["routine"])
    # No time zone is more than a day from UTC.
    is_whole = kept["since"] is None or date.fromisoformat(kept["since"]) > floor + timedelta(days=1)
    parts = ("kept", "runs") if is_whole else ("kept",)
    if any(found[part] != kept[part] for part in parts):
        yield (
            f"of the entries {(kept['after'] or 0) + 1} to {kept['through']}, sealed on {one.at:%Y-%m-%d}, some were "
            "changed, deleted or added: compare them with a backup"
        )


def _seals(connection: psycopg.Connection) -> list[Seal]:
    with connection.cursor(row_factory=class_row(Seal)) as cursor:
        return cursor.execute(SQL["seals"]).fetchall()


def _digests(
    connection: psycopg.Connection, after: int | None, through: int, routine: list[str]
) -> dict[str, str | None]:
    ((kept, runs, since),) = connection.execute(
        SQL["digests"], {"after": after, "through": through, "routine": routine}
    ).fetchall()
    return {"kept": kept, "runs": runs, "since": since}


def _keyed(key: bytes, details: dict[str, Any], last: Seal | None) -> str:
    """The hash of what is sealed, and of the seal before."""
    before = "" if last is None else last.details.get("seal")
    sealed = json.dumps(["audit log", before, details], sort_keys=True)
    return hmac.digest(key, sealed.encode(), "sha256").hex()
