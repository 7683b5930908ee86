"""The ledger of erasures and objections: a file outside the database, written before anything is done.

A database can lose what it knows, as a restored backup does; then the ledger says who must be erased again, or left
out. It is in CALLMART_HOME, and its copy (`privacy.ledger_copy`) outside the home and its backups. Ledger, copy and
database are compared wherever something opens. Where they differ, the customers concerned are closed until
`callmart privacy replay` has mended it; if the ledger can't be read, all are.

An entry ends when its own days say so (`is_over`). Whoever can write to one of the three can't end it earlier.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.person import Person
from callmart.base.settings import Settings
from callmart.database import chain, clock, fingerprints, ledger_files, ledger_rows
from callmart.database.chain import Body, Chain, Entry
from callmart.database.ledger_files import REPLAY
from callmart.database.tombstones import Kind

SQL = sql_file.statements(__file__)

DIFFERS = f"the privacy ledger and the database differ, so it is closed; {REPLAY}"
NO_COPY = (
    "setting privacy.ledger_copy is missing: let it name a file on another volume, outside CALLMART_HOME and its "
    "backups, for the second copy of the privacy ledger"
)

# Days before that land nowhere: two years (access.retention_floor), and three days for clocks and time zones.
TOO_OLD = timedelta(days=734)

# What an entry is about.
Act = Literal["erasure", "objection", "lifting", "rectification"]

Said = Mapping[int, Entry]  # what the ledger, its copy or the database says, by the number of the entry


@dataclass(frozen=True)
class Comparison:
    """Whether ledger, copy and database agree. `unreadable` is the reason why all customers are closed, `differing`
    are the customers of whom one of the three says something else, or of whom a replay has not yet erased everybody.
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


def last(settings: Settings) -> tuple[int, str]:
    """The number and digest of the last entry, as an answer carries them; 0 if nothing was ever erased."""
    file = ledger_files.in_home(settings)
    return ledger_files.read(file).last if file.exists() else (0, "")


def has(settings: Settings, number: int, digest: str) -> bool:
    """Whether ledger and copy have the entry that an answer named. Raises UserError if one of them can't be read."""
    return all(
        (entry := ledger_files.read(path).by_number.get(number)) is not None and entry.digest == digest
        for path in ledger_files.both(settings)
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
        fingerprints.of_customers(connection, [customer_id]).get(customer_id),
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
    before = chain.longest([ledger_files.read(path) for path in ledger_files.both(settings)])
    entry = next((one for one in reversed(before.entries) if body.says_the_same(one.body)), None)
    if entry is None:
        found.refuse(customer_id)
        entry = before.followed_by(body)
        before = replace(before, entries=(*before.entries, entry))
    for path in ledger_files.both(settings):
        try:
            ledger_files.extend(path, before)
        except UserError as mistake:
            raise UserError(f"nothing was deleted: {mistake}") from None
    ledger_rows.note(connection, [entry])
    ledger_rows.note_secrets(connection, settings, [entry])
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
    refuse_one_copy(settings, needed=bool(had_copy(connection)))


def had_copy(connection: psycopg.Connection) -> bool | None:
    """Whether the ledger ever had a second copy; None if there is no ledger yet."""
    return next((had for (had,) in connection.execute("select has_copy from privacy.ledger")), None)


def refuse_one_copy(settings: Settings, *, needed: bool = False) -> None:
    """Raise UserError if there is no second copy, although a DSN is set, or it is needed for another reason."""
    if settings.privacy.ledger_copy is None and (needed or settings.dsn is not None):
        raise UserError(NO_COPY)


# -- comparing -------------------------------------------------------------------------------------------------------


def compare(connection: psycopg.Connection, settings: Settings) -> Comparison:
    """Hold ledger, copy and database against each other. Changes nothing."""
    in_database = ledger_rows.read(connection)
    is_copied = had_copy(connection)
    found: list[Chain] = []
    for path in ledger_files.both(settings):
        try:
            if not ledger_files.is_there(path) and (
                not in_database.ledger or (path != ledger_files.in_home(settings) and not is_copied)
            ):
                continue  # nothing was begun, or the copy was set only now
            found.append(ledger_files.read(path))
        except UserError as mistake:
            return Comparison(unreadable=f"all customers are closed: {mistake}")
    if not found:
        return Comparison()
    if wrong := _contradiction(found, in_database):
        return Comparison(unreadable=f"all customers are closed: {wrong}; {REPLAY}")
    said = [each.by_number for each in (*found, in_database)]
    return Comparison(differing=differing(connection, settings, said) | unfinished(connection))


def _contradiction(found: Sequence[Chain], in_database: Chain) -> str | None:
    """What can't be of one ledger, in the files or in the database; None if all can."""
    if in_database.ledger and any(each.ledger != in_database.ledger for each in found):
        return "the privacy ledger is not that of this database"
    longest = chain.longest(found)
    for each in found:
        common = each.common(longest)
        if common < len(each.entries):
            return f"the privacy ledger and its copy differ from entry {max(common, 0) + 1} on"
    in_ledger = longest.by_number
    for entry in in_database.entries:
        if entry.number not in in_ledger and (entry.body is None or chain.whole(in_database) is None):
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
    return kept is not None and body.until < now - TOO_OLD and body.at < now - timedelta(days=kept)


def differing(connection: psycopg.Connection, settings: Settings, said: Sequence[Said]) -> frozenset[int]:
    """The customers of whom one of the three lacks what is not over, or the database has another secret: with that it
    would know nobody again.
    """
    lives = [
        (number, body)
        for number in set[int]().union(*said)
        if (body := best(said, number).body) is not None and not is_over(body, settings)
    ]
    lacking = {
        body.customer_id
        for number, body in lives
        if any(number not in each or each[number].body is None for each in said)
    }
    in_database: dict[int, bytes] = dict(
        connection.execute("select customer_id, secret from privacy.secret").fetchall()
    )
    wanted = ledger_rows.secrets(connection, settings, (body for _, body in lives))
    return frozenset(lacking | {one for one, secret in wanted.items() if in_database.get(one) != secret})


def best(said: Sequence[Said], number: int) -> Entry:
    """An entry as whichever of the three knows most has it."""
    known = [each[number] for each in said if number in each]
    return next((entry for entry in known if entry.body is not None), known[0])


def close(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Note which customers are closed, in the caller's transaction. Returns one sentence per customer, or one for all;
    and one if the ledger or its copy could not be begun.

    What opens, extracts, publishes or lets in asks privacy.closed.
    """
    unbegun = []
    try:
        _begin(connection, settings)
    except UserError as mistake:
        unbegun = [str(mistake)]
    found = compare(connection, settings)
    whom = {"everybody": bool(found.unreadable), "customers": list(found.differing)}
    connection.execute(SQL["open_again"], whom)
    connection.execute(SQL["close"], whom | {"cause": "unreadable" if found.unreadable else "differs"})
    return found.problems if found.unreadable else found.problems + unbegun


def closed(connection: psycopg.Connection) -> set[int]:
    """The customers that `close` has last noted."""
    return {customer for (customer,) in connection.execute("select customer_id from privacy.closed")}


def begin_replay(connection: psycopg.Connection, customers: Collection[int]) -> None:
    """Note, in the caller's transaction, that persons of these customers may be back whom the ledger has erased. Until
    `end_replay` they stay closed, although ledger and database agree.
    """
    connection.execute(SQL["close"], {"everybody": False, "customers": list(customers), "cause": "replaying"})


def end_replay(connection: psycopg.Connection, customers: Collection[int]) -> None:
    """Note, in the caller's transaction, that everybody of these customers is erased again: `close` opens them."""
    connection.execute(SQL["end_replay"], {"customers": list(customers)})


def unfinished(connection: psycopg.Connection) -> frozenset[int]:
    """The customers of whom a replay has begun and not ended."""
    rows = connection.execute("select customer_id from privacy.closed where cause = 'replaying'").fetchall()
    return frozenset(customer for (customer,) in rows)


def _begin(connection: psycopg.Connection, settings: Settings) -> None:
    """Begin the ledger, so that every backup names the one that a restore needs, and make the copy when it is set.

    Raises UserError if that can't be written, or if what is there can't be read.
    """
    is_copied, copy = had_copy(connection), settings.privacy.ledger_copy
    if is_copied or (is_copied is not None and copy is None):
        return
    found = [ledger_files.read(path) for path in ledger_files.both(settings) if ledger_files.is_there(path)]
    if found:  # a ledger that is missing in the home was lost: that has to be seen
        ledger, missing = chain.longest(found), [copy] if copy is not None and not copy.exists() else []
    elif is_copied is None:
        ledger, missing = Chain(chain.new_ledger()), ledger_files.both(settings)
    else:
        return
    for path in missing:
        ledger_files.write(settings, path, ledger)
    ledger_rows.note_ledger(connection, settings, ledger)
