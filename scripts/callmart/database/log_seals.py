"""Seals the audit log, once a day: an entry that has a hash of all entries since the last one, and of that one.

Triggers keep everybody from changing the log, but a superuser, or the owner, can switch them off. A seal is keyed by
the installation's key, which no database has. So whoever has the database alone can't change what is sealed unnoticed.
"""

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import Any

import psycopg
from psycopg.rows import class_row

from callmart.base import log, sql_file
from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, RESTORE, epochs, fingerprint_of, key_file
from callmart.base.settings import Settings
from callmart.database import audit_log, clock, fingerprints, lock

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Seal:
    """An entry that seals others."""

    entry: int
    at: datetime
    # None if a seal of callmart's doesn't look like that: somebody else added it, and it seals nothing.
    sealed: dict[str, Any] | None
    seal: str  # the hash of `sealed`, and of the seal before


def seal(connection: psycopg.Connection, settings: Settings) -> int:
    """Seal what was added since the last seal, unless that is of today. Commits. Returns the entry of today's seal.

    Raises UserError if another session is adding an entry all the while: a landing, which may not have committed it
    yet, or one that `sessions.making_way` doesn't end.
    """
    last = next(iter(_seals(connection, 1)), None)
    if last is None or last.at.astimezone(settings.zone).date() < clock.today(connection, settings):
        try:
            with connection.transaction():
                _seal(connection, settings, last)
        except psycopg.errors.LockNotAvailable:
            raise UserError(
                f"the audit log was not sealed, as another session was adding to it for {lock.TIMEOUT}: "
                "the next run tries again"
            ) from None
        (last,) = _seals(connection, 1)
    connection.commit()
    return last.entry


def _seal(connection: psycopg.Connection, settings: Settings, last: Seal | None) -> None:
    lock.wait_at_most(connection, lock.TIMEOUT)
    # Whoever adds an entry has taken its number. So none with a lower number comes later.
    connection.execute("lock table ops.audit_log in share mode")
    after = _through(last)
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
    ((gone, floor, loss),) = connection.execute(SQL["sealing"]).fetchall()
    file = key_file(settings.home, INSTALLATION)
    if seals and not file.exists():
        return (
            len(seals),
            0,
            [f"nobody can tell while the key of the installation is missing ({file}): {RESTORE}"],
        )
    keys = {fingerprint_of(key): key for key in epochs(file.read_bytes())} if seals else {}
    # Of a key that was lost are all seals before. So none is lost after one whose key is there, whatever the log says.
    shaped = (one for one in seals if one.sealed)
    lost = list(takewhile(lambda one: one.entry < (loss or 0) and _key_of(one) not in keys, shaped))
    found = list(_broken(connection, keys, floor, seals, lost))
    if gone:
        found.append(
            f"seals are gone that runs made, the first on {gone:%Y-%m-%d}: compare the log with a backup"
        )
    return len(seals), len(seals) - len(lost), found


def _broken(
    connection: psycopg.Connection, keys: dict[str, bytes], floor: date, seals: list[Seal], lost: list[Seal]
) -> Iterator[str]:
    last = None
    for one in seals:
        if one not in lost:
            yield from _broken_by(connection, keys, floor, one, last)
        last = one if one.sealed else last


def _broken_by(
    connection: psycopg.Connection, keys: dict[str, bytes], floor: date, one: Seal, last: Seal | None
) -> Iterator[str]:
    kept, key = one.sealed, keys.get(_key_of(one))
    if not (kept and key) or kept.get("after") != _through(last) or one.seal != _keyed(key, kept, last):
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


def _seals(connection: psycopg.Connection, most: int | None = None) -> list[Seal]:
    """All, in their order, or the last ones of those that look like callmart's."""
    with connection.cursor(row_factory=class_row(Seal)) as cursor:
        return cursor.execute(SQL["seals"], {"most": most}).fetchall()[::-1]


def _key_of(one: Seal) -> str:
    """The fingerprint of its key."""
    return str(one.sealed["key"]) if one.sealed else ""


def _through(one: Seal | None) -> Any:
    """The last entry that it seals."""
    return one.sealed["through"] if one and one.sealed else None


def _digests(
    connection: psycopg.Connection, after: int | None, through: int, routine: list[str]
) -> dict[str, str | None]:
    ((kept, runs, since),) = connection.execute(
        SQL["digests"], {"after": after, "through": through, "routine": routine}
    ).fetchall()
    return {"kept": kept, "runs": runs, "since": since}


def _keyed(key: bytes, details: dict[str, Any], last: Seal | None) -> str:
    """The hash of what is sealed, and of the seal before."""
    before = "" if last is None else last.seal
    sealed = json.dumps(["audit log", before, details], sort_keys=True)
    return hmac.digest(key, sealed.encode(), "sha256").hex()
