"""Erases a person: plans what it changes, does that place by place, and proves that nothing is left.

What must not come back is in the ledger before anything is deleted. Each place can be treated again, so after a crash
the same command goes on. Erasing, building, opening and landing exclude each other.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256

import psycopg

from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.needles import Hits, Needles
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.settings import Settings
from callmart.database import clock, ledger
from callmart.database.searching import hits, tables
from callmart.database.tombstones import Kind, of_call, secret_of, tombstone
from callmart.land import places as landed
from callmart.land.places import Cell, Stored
from callmart.opening.places import Marts
from callmart.privacy import embedded, kept, persons
from callmart.privacy.kept import Kept
from callmart.privacy.letters import CELLS
from callmart.privacy.places import PLACES, require_covered
from callmart.publish import tableau

OnPlace = Callable[[str, Counts], None]

_AS: tuple[Kind, ...] = ("contact", "recipient")  # whoever is erased as one is erased as the other, too


@dataclass(frozen=True)
class Plan:
    """What an erasure would change: counts per place, and the queues and days whose figures change. `whose` stands for
    the person and the moment; nobody can make it without the customer's key.
    """

    whose: str
    counts: Mapping[str, Counts]
    cells: tuple[Cell, ...]

    @property
    def hash(self) -> str:
        """By which a person approves the plan. Any other person, count or cell gives another one."""
        counts = {place: dict(sorted(found.items())) for place, found in self.counts.items()}
        cells = [(cell.change, cell.queue, str(cell.call_date)) for cell in self.cells]
        return sha256(json.dumps([self.whose, counts, cells], sort_keys=True).encode()).hexdigest()[:16]


def plan(work: Work, person: Person, key: bytes) -> Plan:
    """Find out what an erasure would change. `key` is the customer's. Changes nothing.

    Raises Blocked if a place can't be reached.
    """
    with _blocked("places"):
        require_covered(work.connection, work.settings)
    return _plan(work, person, key, landed.look(work.connection, person))


def do(
    work: Work, person: Person, key: bytes, request: int, begin: Callable[[str], None], on_place: OnPlace
) -> None:
    """Erase the person. `key` is the customer's. `begin` is called with the hash of the plan as it is now, before
    anything changes; it raises UserError if another one was approved. `on_place` is called after each place with what
    was treated.

    Raises Blocked if a place can't be treated: when it can be reached again, the same call goes on.
    """
    home = work.settings.home
    with clock.guarded(work.connection, work.settings):
        with _blocked("places"):
            require_covered(work.connection, work.settings)
        stored = landed.look(work.connection, person)
        before = kept.recall(home, key, request, person)
        searching = _searching(work, person, before, stored)
        controlled = Counts()
        if before is None:
            begin(_plan(work, person, key, stored).hash)
            before = Kept(person.words, stored.traces, stored.calls, stored.devices)
            with _blocked("control"):
                controlled = _control(searching)
            kept.keep(home, key, request, person, before)
        else:
            begin("")
        _remember(work, person, key, request, before)
        for place in PLACES:
            with _blocked(place.name):
                treated = place.treat(searching, person)
            if place.name == embedded.Files.name:
                treated += controlled
            on_place(place.name, treated)


def prove(
    work: Work, person: Person, key: bytes, request: int, on_place: Callable[[str, Proof], None]
) -> int:
    """Look for the person in all places. `on_place` is called after each. What is kept to be able to prove it is
    forgotten when nothing is left. Returns how many words could be sought as whole values only.
    """
    home = work.settings.home
    with clock.guarded(work.connection, work.settings):
        with _blocked("places"):
            require_covered(work.connection, work.settings)
        before = kept.recall(home, key, request, person)
        stored = landed.look(work.connection, person)
        searching = _searching(work, person, before, stored)
        left = 0
        for place in PLACES:
            with _blocked(place.name):
                proof = place.prove(searching, person)
            left += proof.left.total()
            on_place(place.name, proof)
        if not left:
            kept.forget(home, request)
        return len(searching.needles.whole)


def _plan(work: Work, person: Person, key: bytes, stored: Stored) -> Plan:
    searching = _searching(work, person, None, stored, by_events=False)
    counts = {}
    for place in PLACES:
        with _blocked(place.name):
            counts[place.name] = place.find(searching, person)
    counts[Marts.name] += Counts(f"{CELLS}{cell.change}" for cell in stored.cells)
    whose = keyed(key, "plan", f"{' '.join(sorted(person.keys))} {person.until.timestamp()}")
    return Plan(whose, counts, stored.cells)


def _searching(
    work: Work, person: Person, before: Kept | None, stored: Stored, *, by_events: bool = True
) -> Work:
    """The work, with what may be left nowhere. The keys of events are many, and only tables have them: a plan does
    without. Those of a caller's calls are in extracts, too.

    If there is something of the person that came later, ids and keys stay for that, and only what leads to the erased
    events is sought, and a number in clear. A word that somebody else of the customer has as well, such as a name,
    can't be sought; one that is part of a word of others, only as a whole value.
    """
    keys = stored.traces if by_events else stored.calls
    if before:
        keys |= before.traces if by_events else before.calls
    words = person.words | (before.words if before else frozenset())
    devices = stored.devices | (before.devices if before else frozenset())
    if stored.is_active_later:
        texts = words if person.kind == "caller" else frozenset[str]()
    else:
        texts = words | person.keys | devices
    same, all_others = persons.words_of_others(work.connection, person)
    work.connection.commit()
    own = {text for text in texts if text.lower() not in same}
    parts = {text for text in own if any(text.lower() in other for other in all_others)}
    return replace(work, needles=Needles(own, keys, parts))


def _remember(work: Work, person: Person, key: bytes, request: int, before: Kept) -> None:
    """Write the tombstones, to the ledger first. Commits."""
    secret = secret_of(key)
    pseudonyms: dict[Kind, Iterable[str]] = {"device": before.devices, "call": map(of_call, before.calls)}
    for kind in _AS if person.kind in _AS else (person.kind,):
        pseudonyms[kind] = person.keys
    made = {kind: [tombstone(secret, kind, each) for each in found] for kind, found in pseudonyms.items()}
    with work.connection.transaction():
        ledger.append(
            work.connection,
            work.settings,
            person.customer_id,
            person.kind,
            person.until,
            {kind: found for kind, found in made.items() if found},
            request,
        )


def _control(work: Work) -> Counts:
    """Look for what is there, before it goes. A search that doesn't find it now would prove nothing afterwards. Counts
    what was found.
    """
    told = Hits()
    with work.connection.transaction():
        for table in tables(work.connection):
            if table.schema in ("raw", "registry"):
                told |= hits(work.connection, table, work.needles)
    missed = len(work.needles.numbers) - len(told.numbers)
    if work.settings.dsn is None:
        in_bytes = embedded.search(work)
        missed += len(told.texts - in_bytes.texts) + len(told.numbers - in_bytes.numbers)
    if missed:
        raise Blocked(
            "control",
            f"the search misses {missed} of the person's words and keys that are there, so it could prove nothing: "
            "nothing was erased; report it",
        )
    return Counts({"found before": len(told)})


@contextmanager
def working(connection: psycopg.Connection, settings: Settings) -> Iterator[Work]:
    """What the places work with. `connection` is the owner's. Signs in to Tableau when that is first needed."""
    with ExitStack() as opened:
        yield Work(connection, settings, cache(lambda: opened.enter_context(tableau.connect(settings))))


@contextmanager
def _blocked(place: str) -> Iterator[None]:
    """Within it, whatever is in the way blocks the request, in the name of the place."""
    try:
        yield
    except UserError as error:
        blocked = error if isinstance(error, Blocked) else Blocked("failed", str(error))
        blocked.place = blocked.place or place
        raise blocked from None
