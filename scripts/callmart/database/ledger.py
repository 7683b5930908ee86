"""The ledger of erasures and objections: a file outside the database, written before anything is done.

A database can lose what it knows, as a restored backup does; then the ledger says who must be erased again, or left
out. It is in CALLMART_HOME, and its copy (`privacy.ledger_copy`) outside the home and its backups. Ledger, copy and
database are compared wherever something opens. Where they differ, the customers concerned are closed until
`callmart privacy replay` has mended it; if the ledger can't be read, all are.

An entry ends when its own days say so (`is_over`). Whoever can write to one of the three can't end it earlier.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import psycopg
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.disk import sync
from callmart.base.errors import UserError, kind
from callmart.base.keys import epochs, fingerprint_of, key_file, with_fingerprint
from callmart.base.person import Person
from callmart.base.settings import Settings
from callmart.database import chain, clock, vacuum
from callmart.database.chain import Body, Broken, Chain, Entry
from callmart.database.tombstones import Kind, secret_of

SQL = sql_file.statements(__file__)

REPLAY = "run `callmart privacy replay`"
DIFFERS = f"the privacy ledger and the database differ, so it is closed; {REPLAY}"
NO_COPY = (
    "setting privacy.ledger_copy is missing: let it name a file on another volume, outside CALLMART_HOME and its "
    "backups, for the second copy of the privacy ledger"
)

# Why a ledger and its copy are both gone. A person says which; it is an incident.
Lost = Literal["never-copied", "volume-lost", "site-lost", "damaged", "deleted-by-mistake"]

# Days before that land nowhere: two years (access.retention_floor), and three days for clocks and time zones.
_TOO_OLD = timedelta(days=734)

# What an entry is about.
Act = Literal["erasure", "objection", "lifting", "rectification"]

Said = Mapping[int, Entry]  # what the ledger, its copy or the database says, by the number of the entry


@dataclass(frozen=True)
class Comparison:
    """Whether ledger, copy and database agree. `unreadable` is the reason why all customers are closed, `differing`
    are the customers of whom one of the three says something else.
    """

    unreadable: str | None = None
    differing: frozenset[int] = frozenset()

    @property
    def problems(self) -> list[str]:
        """One sentence per customer that is closed, or one for all; none if all three agree."""
        if self.unreadable:
            return [self.unreadable]
        return [f"customer {customer}: {DIFFERS}" for customer in sorted(self.differing)]

    def refuse(self, customer_id: int) -> None:
        """Raise UserError if this customer is closed."""
        if self.unreadable:
            raise UserError(self.unreadable)
        if customer_id in self.differing:
            raise UserError(f"customer {customer_id}: {DIFFERS}")


@dataclass(frozen=True)
class Mended:
    """What a replay found. `differing` are the customers of whom one of the three lacked something."""

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


def has(settings: Settings, number: int, digest: str) -> bool:
    """Whether ledger and copy have the entry that an answer named. Raises UserError if one of them can't be read."""
    return all(
        (entry := read(path).by_number.get(number)) is not None and entry.digest == digest
        for path in files(settings)
    )


def append(
    connection: psycopg.Connection,
    settings: Settings,
    customer_id: int,
    kind: str,
    until: datetime,
    tombstones: Mapping[Kind, Iterable[str]],
    request: int | None,
    right: Act = "erasure",
    since: datetime | None = None,
) -> Entry:
    """Write an entry to the ledger and its copy, synced to the disk, then its tombstones to the database, in the
    caller's transaction. Only after that may anything be deleted. Doing it again for the same request writes nothing
    twice.

    Raises UserError if there is no copy and a DSN is set, or if ledger, copy and database differ for this customer.
    """
    require_copy(connection, settings)
    _begin(connection, settings)
    body = Body(
        customer_id,
        kind,
        _fingerprints(connection, [customer_id]).get(customer_id),
        until,
        clock.now(connection),
        request,
        {kind: tuple(sorted(set(found))) for kind, found in tombstones.items()},
        right,
        since,
    )
    found = compare(connection, settings)
    if found.unreadable:
        raise UserError(found.unreadable)
    before = _longest_of([read(path) for path in files(settings)])
    entry = next((one for one in reversed(before.entries) if body.says_the_same(one.body)), None)
    if entry is None:
        found.refuse(customer_id)
        entry = before.followed_by(body)
        before = replace(before, entries=(*before.entries, entry))
    for path in files(settings):
        _extend(path, before)
    _note(connection, [entry])
    _note_secrets(connection, settings, [entry])
    return entry


def secures(
    connection: psycopg.Connection,
    person: Person,
    request: int,
    of_kind: Kind,
    tombstones: Iterable[str],
) -> bool:
    """Whether the database has an entry of this request about the person with one of these tombstones."""
    said = {
        "request": request,
        "customer": person.customer_id,
        "kind": person.kind,
        "until": person.until,
        "of_kind": of_kind,
        "tombstones": list(tombstones),
    }
    return connection.execute(SQL["secures"], said).fetchone() == (True,)


def require_copy(connection: psycopg.Connection, settings: Settings) -> None:
    """Raise UserError if a second copy of the ledger must be set and is not."""
    had_one = connection.execute("select 1 from privacy.ledger where has_copy").fetchone() is not None
    refuse_one_copy(settings, needed=had_one)


def refuse_one_copy(settings: Settings, *, needed: bool = False) -> None:
    """Raise UserError if there is no second copy, although a DSN is set, or it is needed for another reason."""
    if not _has_copy(settings) and (needed or settings.dsn is not None):
        raise UserError(NO_COPY)


def _has_copy(settings: Settings) -> bool:
    return settings.privacy.ledger_copy is not None


def _begun(settings: Settings) -> Chain:
    """A new ledger without entries."""
    begun = Chain(chain.new_ledger())
    for path in files(settings):
        write(settings, path, begun)
    return begun


# -- comparing -------------------------------------------------------------------------------------------------------


def compare(connection: psycopg.Connection, settings: Settings) -> Comparison:
    """Hold ledger, copy and database against each other. Changes nothing."""
    in_database = _in_database(connection)
    has_copy = connection.execute("select 1 from privacy.ledger where has_copy").fetchone() is not None
    found: list[Chain] = []
    for path in files(settings):
        is_missing = not path.exists()
        if is_missing and (not in_database.ledger or (path != file(settings) and not has_copy)):
            continue  # nothing was begun, or the copy was set only now
        try:
            found.append(read(path))
        except UserError as mistake:
            return Comparison(unreadable=f"all customers are closed: {mistake}")
    if not found:
        return Comparison()
    if wrong := _contradiction(found, in_database):
        return Comparison(unreadable=f"all customers are closed: {wrong}; {REPLAY}")
    said = [each.by_number for each in (*found, in_database)]
    return Comparison(differing=_differing(connection, settings, said))


def _contradiction(found: Sequence[Chain], in_database: Chain) -> str | None:
    """What can't be of one ledger, in the files or in the database; None if all can."""
    if in_database.ledger and any(each.ledger != in_database.ledger for each in found):
        return "the privacy ledger is not that of this database"
    longest = _longest_of(found)
    for each in found:
        common = each.common(longest)
        if common < len(each.entries):
            return f"the privacy ledger and its copy differ from entry {max(common, 0) + 1} on"
    in_ledger = longest.by_number
    for entry in in_database.entries:
        if entry.number not in in_ledger and (entry.body is None or _whole(in_database) is None):
            return f"entry {entry.number} of the database is not in the privacy ledger"
        if entry.number in in_ledger and in_ledger[entry.number].digest != entry.digest:
            return f"entry {entry.number} of the privacy ledger is another one in the database"
    return None


def is_over(body: Body, settings: Settings) -> bool:
    """Whether nothing can bring back any more who was erased: neither a file, whose days are too old to land, nor a
    backup, as those from before are gone. Without `backup_kept_days` nobody knows that. An objection is never over: it
    is about what is yet to come.
    """
    if body.right in ("objection", "lifting"):
        return False
    kept, now = settings.backup_kept_days, datetime.now(UTC)
    return kept is not None and body.until < now - _TOO_OLD and body.at < now - timedelta(days=kept)


def _differing(connection: psycopg.Connection, settings: Settings, said: Sequence[Said]) -> frozenset[int]:
    """The customers of whom one of the three lacks what is not over, or the database has another secret: with that it
    would know nobody again.
    """
    lives = [
        (number, body)
        for number in set[int]().union(*said)
        if (body := _best(said, number).body) is not None and not is_over(body, settings)
    ]
    lacking = {
        body.customer_id
        for number, body in lives
        if any(number not in each or each[number].body is None for each in said)
    }
    in_database: dict[int, bytes] = dict(
        connection.execute("select customer_id, secret from privacy.secret").fetchall()
    )
    wanted = _secrets(connection, settings, (body for _, body in lives))
    return frozenset(lacking | {one for one, secret in wanted.items() if in_database.get(one) != secret})


def _best(said: Sequence[Said], number: int) -> Entry:
    """An entry as whichever of the three knows most has it."""
    known = [each[number] for each in said if number in each]
    return next((entry for entry in known if entry.body is not None), known[0])


def close(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Note which customers are closed, in the caller's transaction. Returns one sentence per customer, or one for all.

    What opens, extracts, publishes or lets in asks privacy.closed.
    """
    with suppress(UserError):  # the comparison says what is wrong, and doctor that there is no copy
        _begin(connection, settings)
    found = compare(connection, settings)
    whom = {"everybody": bool(found.unreadable), "differing": list(found.differing)}
    connection.execute(SQL["open_again"], whom)
    connection.execute(SQL["close"], whom)
    return found.problems


def closed(connection: psycopg.Connection) -> set[int]:
    """The customers that `close` has last noted."""
    return {customer for (customer,) in connection.execute("select customer_id from privacy.closed")}


def _begin(connection: psycopg.Connection, settings: Settings) -> None:
    """Begin the ledger, so that every backup names the one that a restore needs, and make the copy when it is set.

    Raises UserError if that can't be written, or if what is there can't be read.
    """
    known = connection.execute("select has_copy from privacy.ledger").fetchone()
    copy = settings.privacy.ledger_copy
    if known is not None and (copy is None or known == (True,)):
        return
    found = _longest(settings) or (_begun(settings) if known is None else None)
    if found is not None:
        if copy is not None and not copy.exists():
            write(settings, copy, found)
        connection.execute(SQL["begin"], {"ledger": found.ledger, "has_copy": _has_copy(settings)})


# -- mending and ending ----------------------------------------------------------------------------------------------


def mend(connection: psycopg.Connection, settings: Settings, lost: Lost | None = None) -> Mended:
    """Let ledger, copy and database say the same again, in the caller's transaction. Nothing that one of them knows is
    given up before it is over.

    Raises UserError if none of ledger and copy can be read and no reason is given, or if they contradict each other.
    """
    in_database = _in_database(connection)
    of_database = _whole(in_database)
    readable: list[Chain] = []
    for path in files(settings):
        with suppress(UserError):
            readable.append(read(path))
    if of_database is not None and len(readable) > 1:
        agreeing = [each for each in readable if _continue_each_other([each, of_database])]
        readable = agreeing or readable
    if lost:
        connection.execute(
            "insert into ops.audit_log (action, details) values ('ledger lost', %s)",
            [Jsonb({"reason": lost})],
        )
    elif not readable and of_database is not None:
        where = " and ".join(map(str, reversed(files(settings))))
        raise UserError(
            f"the privacy ledger can't be read ({where}): bring it back, or if it is gone for good, {say_why()}"
        )
    chains = [*readable, *([of_database] if of_database is not None else ())]
    if not chains:
        return Mended(0, frozenset())
    if not _continue_each_other(chains):
        raise UserError(
            "the privacy ledger, its copy and the database contradict each other: move away the file that is another "
            f"installation's, or that somebody changed, and {REPLAY} again"
        )
    said = [each.by_number for each in (*readable, in_database)]
    differing = _differing(connection, settings, said)
    merged = _merged(_longest_of(chains), said, settings)
    connection.execute(SQL["begin"], {"ledger": merged.ledger, "has_copy": _has_copy(settings)})
    for path in files(settings):
        write(settings, path, merged)
    known = in_database.by_number
    _note(connection, [entry for entry in merged.entries if known.get(entry.number) != entry])
    _note_secrets(connection, settings, merged.entries)
    return Mended(len(merged.entries), differing)


def say_why() -> str:
    """What a person has to say if the ledger is lost."""
    return f"say why with `--ledger-lost`, one of {', '.join(get_args(Lost))}; that is an incident"


def _continue_each_other(chains: Sequence[Chain]) -> bool:
    """Whether each chain is the longest one, or its beginning."""
    longest = _longest_of(chains)
    return all(each.common(longest) == len(each.entries) for each in chains)


def _merged(longest: Chain, said: Sequence[Said], settings: Settings) -> Chain:
    """The longest chain, with every body that one of the three has, but for those that have ended: they are over, and
    one of the three has them no more.
    """
    entries = []
    for entry in longest.entries:
        best = _best(said, entry.number)
        given_up = any(entry.number in each and each[entry.number].body is None for each in said)
        if best.body is not None and given_up and is_over(best.body, settings):
            best = best.without_body()
        entries.append(replace(entry, salt=best.salt, body=best.body))
    return replace(longest, entries=tuple(entries))


def end(connection: psycopg.Connection, settings: Settings) -> int:
    """End the tombstones of entries that are over, unless something differs. Commits: first the database, then ledger
    and copy lose body and salt. The register forgets with them whom a request was about. Returns the number of entries
    that ended.
    """
    ended = 0
    if not compare(connection, settings).problems:
        found = {path: read(path) for path in files(settings) if path.exists()}
        said = [each.by_number for each in (*found.values(), _in_database(connection))]
        over = {
            number
            for number in set[int]().union(*said)
            if (body := _best(said, number).body) is not None and is_over(body, settings)
        }
        if over:
            ended = _end(connection, over)
        for path, whole in found.items():
            entries = tuple(one.without_body() if one.number in over else one for one in whole.entries)
            if entries != whole.entries:
                write(settings, path, replace(whole, entries=entries))
    if connection.execute(SQL["forget_subjects"]).rowcount:
        vacuum.note(connection, "privacy.request")
    connection.commit()
    return ended


def _end(connection: psycopg.Connection, numbers: set[int]) -> int:
    """End entries in the database. Commits."""
    connection.execute("delete from privacy.correction where entry = any(%s)", [list(numbers)])
    connection.execute("delete from privacy.tombstone where entry = any(%s)", [list(numbers)])
    connection.execute(SQL["end_renewed"])
    ended = connection.execute(SQL["end"], {"entries": list(numbers)}).rowcount
    vacuum.note(
        connection,
        "privacy.correction",
        "privacy.tombstone",
        "privacy.renewed_tombstone",
        "privacy.ledger_entry",
    )
    if ended:  # after a crash only the files still have them
        connection.execute(
            "insert into ops.audit_log (action, details) values ('tombstones ended', %s)",
            [Jsonb({"entries": ended})],
        )
    connection.commit()
    return ended


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
    return _longest_of(found) if found else None


def _longest_of(chains: Sequence[Chain]) -> Chain:
    return max(chains, key=lambda each: len(each.entries))


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


def _extend(path: Path, ledger: Chain) -> None:
    """Append the entries of a ledger that are not in the file yet."""
    try:
        text = chain.whole_lines(path.read_bytes())
        os.truncate(path, len(text))  # what was begun and never finished
        missing = ledger.entries[text.count(b"\n") - 1 :]
        _write(path, b"".join(map(chain.line, missing)), os.O_APPEND)
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


def _in_database(connection: psycopg.Connection) -> Chain:
    """The ledger as the database has it, whole or not; without an id if it knows none. An entry has no body if anything
    of it, or of its tombstones, is not as it was written.
    """
    known = connection.execute("select ledger from privacy.ledger").fetchone()
    ledger = known[0] if known else ""
    previous = chain.beginning(ledger)
    entries = []
    for row in connection.execute(SQL["entries"]).fetchall():
        (
            number, commitment, digest, salt, customer_id, of_kind, key, until, at, request, right, since, by_kind,
            is_whole,
        ) = row  # fmt: skip
        entry = Entry(number, previous, commitment, digest, None, None)
        if salt is not None and is_whole:
            tombstones = {name: tuple(found) for name, found in by_kind.items()}
            body = Body(customer_id, of_kind, key, until, at, request, tombstones, right, since)
            if chain.commitment_of(salt, body) == commitment:
                entry = replace(entry, salt=salt, body=body)
        entries.append(entry)
        previous = digest
    return Chain(ledger, tuple(entries))


def _whole(ledger: Chain) -> Chain | None:
    """A ledger if it is whole, otherwise None."""
    try:
        return chain.parse(ledger.text()) if ledger.ledger else None
    except Broken:
        return None


def _note(connection: psycopg.Connection, entries: Sequence[Entry]) -> None:
    """Write entries with their tombstones into the database, in the place of what is there."""
    bodies = [(entry, entry.body) for entry in entries if entry.body is not None]
    connection.execute(
        "delete from privacy.tombstone where entry = any(%s)", [[entry.number for entry in entries]]
    )
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
                    "key": entry.body and entry.body.key,
                    "until": entry.body and entry.body.until,
                    "at": entry.body and entry.body.at,
                    "request": entry.body and entry.body.request,
                    "asked_right": entry.body and entry.body.right,
                    "since": entry.body and entry.body.since,
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


def _note_secrets(connection: psycopg.Connection, settings: Settings, entries: Iterable[Entry]) -> None:
    """Write the secrets of the entries' tombstones into the database."""
    found = _secrets(connection, settings, (entry.body for entry in entries if entry.body is not None))
    with connection.cursor() as cursor:
        cursor.executemany(
            SQL["note_secret"],
            [{"customer": customer, "secret": secret} for customer, secret in found.items()],
        )


def _secrets(connection: psycopg.Connection, settings: Settings, bodies: Iterable[Body]) -> dict[int, bytes]:
    """The secrets of tombstones that were made with the customer's present key, before or after a rotation of it, as
    far as that is in this home.
    """
    made_with = {(body.customer_id, body.key) for body in bodies}
    found: dict[int, bytes] = {}
    for customer, fingerprint in _fingerprints(connection, (one for one, _ in made_with)).items():
        path = key_file(settings.home, customer)
        key = with_fingerprint(path.read_bytes(), fingerprint) if path.exists() else None
        if key and any((customer, fingerprint_of(epoch)) in made_with for epoch in epochs(key)):
            found[customer] = secret_of(key)
    return found


def _fingerprints(connection: psycopg.Connection, customers: Iterable[int]) -> dict[int, str]:
    """The fingerprints of customers' keys."""
    return dict(connection.execute(SQL["fingerprints"], {"customers": list(customers)}).fetchall())
