"""The ledger of erasures: a file outside the database, written before anything is deleted.

A database can lose what it knows, as a restored backup does; then the ledger says who must be erased again. It is in
CALLMART_HOME, and its copy (`privacy.ledger_copy`) outside the home and its backups. Home, copy and database are
compared wherever something opens. Where they differ, the customers concerned are closed until `callmart privacy replay`
has mended it; if the ledger can't be read, all are.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import md5
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import psycopg
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.disk import sync
from callmart.base.errors import UserError, kind
from callmart.base.keys import fingerprint_of, key_file
from callmart.base.person import Person
from callmart.base.settings import Settings
from callmart.database import chain, clock, vacuum
from callmart.database.chain import Body, Broken, Chain, Entry
from callmart.database.tombstones import Kind, secret_of

SQL = sql_file.statements(__file__)

REPLAY = "run `callmart privacy replay`"

# Why a ledger and its copy are both gone. A person says which; it is an incident.
Lost = Literal["volume-lost", "site-lost", "damaged", "deleted-by-mistake"]


@dataclass(frozen=True)
class Standing:
    """Whether ledger, copy and database agree. `unreadable` is the reason why all customers are closed, `differing`
    are the customers of whom one of the three says something else.
    """

    unreadable: str | None = None
    differing: frozenset[int] = frozenset()

    @property
    def differs(self) -> bool:
        """Whether anything is closed."""
        return bool(self.unreadable or self.differing)

    def refuse(self, customer_id: int) -> None:
        """Raise UserError if this customer is closed."""
        if self.unreadable:
            raise UserError(self.unreadable)
        if customer_id in self.differing:
            raise UserError(f"customer {customer_id}: {DIFFERS}")


DIFFERS = f"the privacy ledger and the database differ, so it is closed; {REPLAY}"


@dataclass(frozen=True)
class Mended:
    """What a replay found. `differing` are the customers of whom the database lacked something."""

    entries: int
    differing: frozenset[int]


def file(settings: Settings) -> Path:
    """The ledger in the home."""
    return settings.home / "privacy" / "ledger"


def files(settings: Settings) -> list[Path]:
    """The ledger and its copy. The copy is written first: if its volume is full, nothing has been written yet."""
    copy = settings.privacy.ledger_copy
    return [copy, file(settings)] if copy else [file(settings)]


def last(settings: Settings) -> tuple[int, str]:
    """The number and digest of the last entry, as an answer carries them; 0 if nothing was ever erased."""
    found = read(file(settings)) if file(settings).exists() else None
    return found.last if found else (0, "")


def append(
    connection: psycopg.Connection,
    settings: Settings,
    customer_id: int,
    kind: str,
    until: datetime,
    tombstones: Mapping[Kind, Iterable[str]],
    request: int | None,
) -> Entry:
    """Write an entry to the ledger and its copy, synced to the disk, then its tombstones to the database, in the
    caller's transaction. Only after that may anything be deleted. Doing it again for the same request writes nothing
    twice.

    Raises UserError if there is no copy and a DSN is set, or if ledger, copy and database differ for this customer.
    """
    require_copy(connection, settings)
    body = Body(
        customer_id,
        kind,
        until,
        clock.now(connection),
        request,
        {kind: tuple(sorted(set(found))) for kind, found in tombstones.items()},
    )
    state = standing(connection, settings)
    if state.unreadable:
        raise UserError(state.unreadable)
    before = _longest(settings) or _begun(settings)
    connection.execute(SQL["begin"], {"ledger": before.ledger, "has_copy": _has_copy(settings)})
    entry = next((one for one in reversed(before.entries) if body.same_erasure(one.body)), None)
    if entry is None:
        state.refuse(customer_id)
        entry = before.followed_by(body)
        for path in files(settings):
            _append(path, chain.line(entry))
    _note(connection, settings, [entry])
    return entry


def has(
    connection: psycopg.Connection,
    person: Person,
    request: int,
    tombstones: Mapping[Kind, Iterable[str]],
) -> bool:
    """Whether the database has an entry of this request with the person's own tombstones."""
    said = {
        "request": request,
        "customer": person.customer_id,
        "kind": person.kind,
        "until": person.until,
        "tombstones": tombstones[person.kind],
    }
    return connection.execute(SQL["has"], said).fetchone() == (True,)


def require_copy(connection: psycopg.Connection, settings: Settings) -> None:
    """Raise UserError if a second copy of the ledger must be set and is not."""
    had_one = connection.execute("select from privacy.ledger where has_copy").fetchone() is not None
    refuse_one_copy(settings, needed=had_one)


def refuse_one_copy(settings: Settings, *, needed: bool = False) -> None:
    """Raise UserError if there is no second copy, although a DSN is set, or it is needed for another reason."""
    if not _has_copy(settings) and (needed or settings.dsn is not None):
        raise UserError(
            "setting privacy.ledger_copy is missing: let it name a file on another volume, outside CALLMART_HOME and "
            "its backups, for the second copy of the privacy ledger"
        )


def _has_copy(settings: Settings) -> bool:
    return settings.privacy.ledger_copy is not None


def _begun(settings: Settings) -> Chain:
    """A new ledger without entries."""
    begun = Chain(chain.new_ledger())
    for path in files(settings):
        write(settings, path, begun)
    return begun


# -- comparing -------------------------------------------------------------------------------------------------------


def standing(connection: psycopg.Connection, settings: Settings) -> Standing:
    """Hold ledger, copy and database against each other. Changes nothing."""
    known = connection.execute("select ledger, has_copy from privacy.ledger").fetchone()
    ledger, has_copy = known or (None, False)
    found: list[Chain] = []
    for path in files(settings):
        is_missing = not path.exists()
        if is_missing and (ledger is None or (path != file(settings) and not has_copy)):
            continue  # nothing was begun, or the copy was set only now
        try:
            found.append(read(path))
        except UserError as mistake:
            return Standing(unreadable=f"all customers are closed: {mistake}")
    if ledger is None and not any(each.entries for each in found):
        return Standing()
    if ledger is not None and any(each.ledger != ledger for each in found):
        return _unreadable("the privacy ledger is not that of this database")
    longest = max(found, key=lambda each: len(each.entries))
    differing: set[int] = set()
    for each in found:
        common = each.common(longest)
        if common < len(each.entries):
            return _unreadable(f"the privacy ledger and its copy differ from entry {max(common, 0) + 1} on")
        differing |= _customers(longest.entries[common:])
    return _beside_database(connection, settings, longest, differing)


def _beside_database(
    connection: psycopg.Connection, settings: Settings, ledger: Chain, differing: set[int]
) -> Standing:
    ended, noted = set[int](), set[int]()
    for number, digest, customer_id, has_ended in connection.execute(SQL["entries"]).fetchall():
        noted.add(number)
        if number > len(ledger.entries):
            differing |= {customer_id} - {None}
        elif ledger.entries[number - 1].digest != digest:
            return _unreadable(f"entry {number} of the privacy ledger is another one in the database")
        elif has_ended:
            ended.add(number)
    differing |= _customers(entry for entry in ledger.entries if entry.number not in noted)
    in_ledger = _digests(entry for entry in ledger.entries if entry.number not in ended)
    in_database: dict[int, str] = dict(
        connection.execute("select customer_id, digest from privacy.tombstone_digest").fetchall()
    )
    differing |= {
        customer
        for customer in in_ledger.keys() | in_database.keys()
        if in_ledger.get(customer) != in_database.get(customer)
    }
    # With another secret, the database would know nobody again.
    secrets: dict[int, bytes] = dict(
        connection.execute("select customer_id, secret from privacy.secret").fetchall()
    )
    differing |= {
        customer
        for customer, secret in _secrets(connection, settings, in_ledger).items()
        if secrets.get(customer) != secret
    }
    return Standing(differing=frozenset(differing))


def _unreadable(what: str) -> Standing:
    return Standing(unreadable=f"all customers are closed: {what}; {REPLAY}")


def _customers(entries: Iterable[Entry]) -> set[int]:
    return {entry.body.customer_id for entry in entries if entry.body is not None}


def _digests(entries: Iterable[Entry]) -> dict[int, str]:
    """A digest of each customer's tombstones, as privacy.tombstone_digest makes it."""
    rows = sorted(
        (body.customer_id, entry.number, of_kind, tombstone, int(body.until.timestamp()))
        for entry in entries
        if (body := entry.body) is not None
        for of_kind, tombstones in body.tombstones.items()
        for tombstone in tombstones
    )
    return {
        customer: md5("\n".join(" ".join(map(str, row[1:])) for row in own).encode()).hexdigest()
        for customer, own in groupby(rows, key=lambda row: row[0])
    }


def close(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Note which customers are closed, in the caller's transaction. Returns one sentence per customer, or one for all.

    What opens, extracts, publishes or lets in asks privacy.closed.
    """
    _keep_copy(connection, settings)
    state = standing(connection, settings)
    whom = {"everybody": bool(state.unreadable), "differing": list(state.differing)}
    connection.execute(SQL["open_again"], whom)
    connection.execute(SQL["close"], whom)
    if state.unreadable:
        return [state.unreadable]
    return [f"customer {customer}: {DIFFERS}" for customer in sorted(state.differing)]


def closed(connection: psycopg.Connection) -> set[int]:
    """The customers that `close` has last noted."""
    return {customer for (customer,) in connection.execute("select customer_id from privacy.closed")}


def _keep_copy(connection: psycopg.Connection, settings: Settings) -> None:
    """Make the copy when it has been set. Without a ledger begin one: a restore then knows that there must be one."""
    known = connection.execute("select has_copy from privacy.ledger").fetchone()
    copy = settings.privacy.ledger_copy
    if copy is None or known == (True,):
        return
    with suppress(UserError):  # the comparison says what is wrong, and doctor that there is no copy
        found = _longest(settings) or (_begun(settings) if known is None else None)
        if found is not None:
            if not copy.exists():
                write(settings, copy, found)
            connection.execute(SQL["begin"], {"ledger": found.ledger, "has_copy": True})


# -- mending ---------------------------------------------------------------------------------------------------------


def mend(connection: psycopg.Connection, settings: Settings, lost: Lost | None = None) -> Mended:
    """Let ledger, copy and database say the same again, in the caller's transaction. Nothing that one of them knows is
    given up.

    Raises UserError if none of ledger and copy can be read and no reason is given, or if they contradict each other.
    """
    of_database = _of_database(connection)
    before = standing(connection, settings)
    readable: list[Chain] = []
    for path in files(settings):
        with suppress(UserError):
            readable.append(read(path))
    if of_database is not None and len(readable) > 1:
        agreeing = [each for each in readable if _continue_each_other([each, of_database])]
        readable = agreeing or readable
    if not readable:
        _refuse_lost(settings, of_database, lost)
    chains = [*readable, *([of_database] if of_database is not None else ())]
    if lost and not readable:
        connection.execute(
            "insert into ops.audit_log (action, details) values ('ledger lost', %s)",
            [Jsonb({"reason": lost})],
        )
    if not chains:
        return Mended(0, frozenset())
    if not _continue_each_other(chains):
        raise UserError(
            "the privacy ledger, its copy and the database contradict each other: move away the file that is another "
            f"installation's, or that somebody changed, and {REPLAY} again"
        )
    merged = _merged(chains, _ended(connection))
    connection.execute(SQL["begin"], {"ledger": merged.ledger, "has_copy": _has_copy(settings)})
    for path in files(settings):
        write(settings, path, merged)
    differing = before.differing
    if before.unreadable:
        differing = _beside_database(connection, settings, merged, set()).differing
    connection.execute("delete from privacy.tombstone where customer_id = any(%s)", [list(differing)])
    _note(connection, settings, merged.entries)
    return Mended(len(merged.entries), differing)


def _refuse_lost(settings: Settings, of_database: Chain | None, lost: Lost | None) -> None:
    if of_database is not None and lost is None:
        where = " and ".join(map(str, reversed(files(settings))))
        raise UserError(
            f"the privacy ledger can't be read ({where}): bring it back, or if it is gone for good, say why with "
            f"`--ledger-lost`, one of {', '.join(get_args(Lost))}; that is an incident"
        )


def _continue_each_other(chains: Iterable[Chain]) -> bool:
    """Whether each chain is the longest one, or its beginning."""
    chains = list(chains)
    longest = max(chains, key=lambda each: len(each.entries))
    return all(each.common(longest) == len(each.entries) for each in chains)


def _merged(chains: list[Chain], ended: set[int]) -> Chain:
    """The longest chain, with every body that one of them has, but for those that ended."""
    longest = max(chains, key=lambda each: len(each.entries))
    entries = []
    for place, entry in enumerate(longest.entries):
        known = (each.entries[place] for each in chains if place < len(each.entries))
        best = next((one for one in known if one.body is not None), entry)
        entries.append(best.without_body() if entry.number in ended else best)
    return replace(longest, entries=tuple(entries))


def _ended(connection: psycopg.Connection) -> set[int]:
    return {
        entry
        for (entry,) in connection.execute(
            "select entry from privacy.ledger_entry where ended_at is not null"
        )
    }


def _of_database(connection: psycopg.Connection) -> Chain | None:
    """The ledger as the database knows it; None if it knows none, or not from the first entry on."""
    known = connection.execute("select ledger from privacy.ledger").fetchone()
    if known is None:
        return None
    tombstones: dict[int, dict[str, tuple[str, ...]]] = {}
    for number, of_kind, found in connection.execute(SQL["tombstones"]).fetchall():
        tombstones.setdefault(number, {})[of_kind] = tuple(found)
    built = Chain(known[0])
    for number, commitment, digest, salt, *body in connection.execute(SQL["whole_entries"]).fetchall():
        entry = Entry(number, built.last[1], commitment, digest, salt, None)
        if salt is not None:
            customer_id, of_kind, until, at, request = body
            said = Body(customer_id, of_kind, until, at, request, tombstones.get(number, {}))
            # The database may have lost tombstones of it.
            is_whole = chain.commitment_of(salt, said) == commitment
            entry = replace(entry, body=said) if is_whole else entry.without_body()
        if (
            number != built.last[0] + 1
            or chain.digest_of(built.ledger, number, entry.previous, commitment) != digest
        ):
            return None
        built = replace(built, entries=(*built.entries, entry))
    return built


def end(connection: psycopg.Connection, settings: Settings, numbers: list[int]) -> None:
    """End the tombstones of entries. Commits: first the database, then ledger and copy lose body and salt."""
    connection.execute("delete from privacy.tombstone where entry = any(%s)", [numbers])
    connection.execute(SQL["end"], {"entries": numbers})
    vacuum.note(connection, "privacy.tombstone", "privacy.ledger_entry")
    connection.execute(
        "insert into ops.audit_log (action, details) values ('tombstones ended', %s)",
        [Jsonb({"entries": len(numbers)})],
    )
    connection.commit()
    forget(connection, settings)


def forget(connection: psycopg.Connection, settings: Settings) -> None:
    """Take body and salt of ended entries out of ledger and copy, also of those that a crash has left there."""
    ended = _ended(connection)
    for path in files(settings):
        if not path.exists():
            continue
        found = read(path)
        kept = _merged([found], ended)
        if kept != found:
            write(settings, path, kept)


# -- the files and the database's rows -------------------------------------------------------------------------------


def read(path: Path) -> Chain:
    """Read a ledger. Raises UserError if it is missing or is not as it was written."""
    try:
        return chain.parse(chain.whole_lines(path.read_bytes()))
    except OSError as error:
        raise UserError(
            f"the privacy ledger {path} can't be read ({kind(error)}); bring it back, or {REPLAY}"
        ) from error
    except Broken as error:
        raise UserError(f"the privacy ledger {path} is damaged, {error}; {REPLAY}") from error


def _longest(settings: Settings) -> Chain | None:
    found = [read(path) for path in files(settings) if path.exists()]
    return max(found, key=lambda each: len(each.entries), default=None)


def write(settings: Settings, path: Path, ledger: Chain) -> None:
    """Write a whole ledger in the place of what is there, synced to the disk. The folder of the copy must be there: it
    is missing if its volume is not mounted.
    """
    try:
        if path == file(settings):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)
        _write(draft, ledger.text(), os.O_CREAT | os.O_EXCL)
        draft.replace(path)
        sync(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from None


def _append(path: Path, text: bytes) -> None:
    try:
        whole = len(chain.whole_lines(path.read_bytes()))
        os.truncate(path, whole)  # what was begun and never finished
        _write(path, text, os.O_APPEND)
    except OSError as error:
        raise _unwritten(path, error) from None


def _write(path: Path, text: bytes, flags: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | flags, 0o600), "wb") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())


def _unwritten(path: Path, error: OSError) -> UserError:
    return UserError(
        f"the privacy ledger {path} can't be written ({kind(error)}), and nothing was deleted: make its volume "
        "writable, and run the same command again"
    )


def _note(connection: psycopg.Connection, settings: Settings, entries: Sequence[Entry]) -> None:
    """Write entries with their tombstones into the database, where they are not there yet."""
    bodies = [(entry, entry.body) for entry in entries if entry.body is not None]
    with connection.cursor() as cursor:
        cursor.executemany(
            SQL["note_entry"],
            [
                {
                    "entry": entry.number,
                    "commitment": entry.commitment,
                    "digest": entry.digest,
                    "salt": entry.salt,
                    "customer": entry.body and entry.body.customer_id,
                    "kind": entry.body and entry.body.kind,
                    "until": entry.body and entry.body.until,
                    "at": entry.body and entry.body.at,
                    "request": entry.body and entry.body.request,
                }
                for entry in entries
            ],
        )
        cursor.executemany(
            SQL["note_tombstones"],
            [
                {
                    "entry": entry.number,
                    "customer": body.customer_id,
                    "kind": of_kind,
                    "tombstones": list(tombstones),
                    "until": body.until,
                }
                for entry, body in bodies
                for of_kind, tombstones in body.tombstones.items()
            ],
        )
        cursor.executemany(
            SQL["note_secret"],
            [
                {"customer": customer, "secret": secret}
                for customer, secret in _secrets(
                    connection, settings, {body.customer_id for _, body in bodies}
                ).items()
            ],
        )


def _secrets(
    connection: psycopg.Connection, settings: Settings, customers: Iterable[int]
) -> dict[int, bytes]:
    """The secrets of the tombstones of customers, as far as their keys are in this home."""
    found = connection.execute(SQL["fingerprints"], {"customers": list(customers)}).fetchall()
    keys = {
        customer: (path.read_bytes(), fingerprint)
        for customer, fingerprint in found
        if (path := key_file(settings.home, customer)).exists()
    }
    return {
        customer: secret_of(key)
        for customer, (key, fingerprint) in keys.items()
        if fingerprint_of(key) == fingerprint
    }
