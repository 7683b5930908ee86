"""Erases a person: plans what it changes, does that place by place, and proves that nothing is left.

What must not come back is in the ledger before anything is deleted. Each place can be treated again, so after a crash
the same command goes on. Erasing, building, opening and landing exclude each other.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from callmart.base.keys import keyed
from callmart.base.needles import Hits, Needles
from callmart.base.person import Blocked, Counts, Person, Work
from callmart.database import clock, ledger
from callmart.database.searching import hits, tables
from callmart.database.tombstones import Kind, of_call, secret_of, tombstone
from callmart.land import places as landed
from callmart.land.places import Doorway, Stored
from callmart.privacy import embedded, kept, persons
from callmart.privacy.kept import Kept
from callmart.privacy.places import PLACES, require_covered
from callmart.privacy.procedure import Begin, OnPlace, OnProof, Plan, blocked

_FEWEST = 16  # tombstones of a caller's calls


def plan(work: Work, person: Person, key: bytes) -> Plan:
    """Find out what an erasure would change. `key` is the customer's. Changes nothing.

    Raises Blocked if a place can't be reached.
    """
    require_covered(work)
    return _plan(work, person, key, landed.look(work.connection, person))


def do(
    work: Work,
    person: Person,
    key: bytes,
    request: int,
    begin: Begin,
    on_control: OnPlace,
    on_place: OnPlace,
) -> None:
    """Erase the person. `key` is the customer's. `begin` is called before anything changes, with the hash of the plan
    as it is now, or with None if the ledger has this erasure already; it raises UserError if another plan was approved.
    `on_control` is called with what the control has found, `on_place` after each place with what was treated.

    Raises Blocked if a place can't be treated: when it can be reached again, the same call goes on.
    """
    home = work.settings.home
    with clock.guarded(work.connection, work.settings):
        require_covered(work)
        stored = landed.look(work.connection, person)
        before = kept.recall(home, key, request, person) or Kept.of(person, stored)
        own = _tombstones(person, key, before)[person.kind]
        with work.connection.transaction():
            has_begun = ledger.secures(work.connection, person, request, person.kind, own)
        if has_begun:
            begin(None)
        else:
            begin(_plan(work, person, key, stored).hash)
            with blocked("control"):
                on_control(embedded.Files.name, _control(_searching(work, person, before, stored)))
        _secure(work, person, key, request, before)
        # From here on no file brings the person. What was landing meanwhile, or since a crash, is there now.
        with blocked(Doorway.name):
            Doorway().treat(work, person)
        stored = landed.look(work.connection, person)
        before |= Kept.of(person, stored)
        _secure(work, person, key, request, before)
        person = before.completed(person)
        searching = _searching(work, person, before, stored)
        for place in PLACES:
            with blocked(place.name):
                treated = place.treat(searching, person)
            on_place(place.name, treated)


def prove(work: Work, person: Person, key: bytes, request: int, on_place: OnProof) -> int:
    """Look for the person in all places. `on_place` is called after each. What is kept to be able to prove it is
    forgotten when nothing is left. Returns how many words could be sought as whole values only.
    """
    home = work.settings.home
    with clock.guarded(work.connection, work.settings):
        require_covered(work)
        stored = landed.look(work.connection, person)
        before = kept.recall(home, key, request, person) or Kept.of(person, stored)
        person = before.completed(person)
        searching = _searching(work, person, before, stored)
        left = 0
        for place in PLACES:
            with blocked(place.name):
                proof = place.prove(searching, person)
            left += proof.left.total()
            on_place(place.name, proof)
        if not left:
            kept.forget(home, request)
        return len(searching.needles.whole)


def _plan(work: Work, person: Person, key: bytes, stored: Stored) -> Plan:
    searching = _searching(work, person, Kept.of(person, stored), stored, by_events=False)
    counts = {}
    for place in PLACES:
        with blocked(place.name):
            counts[place.name] = place.find(searching, person)
    whose = keyed(key, "plan", f"{' '.join(sorted(person.keys))} {person.until.timestamp()}")
    return Plan(whose, counts, ()).with_cells(stored.cells)


def _searching(work: Work, person: Person, before: Kept, stored: Stored, *, by_events: bool = True) -> Work:
    """The work, with what may be left nowhere. The keys of events are many, and only tables have them: a plan does
    without. Those of a caller's calls are in extracts, too.

    If there is something of the person that came later, ids and keys stay for that, and only what leads to the erased
    events is sought, and a number in clear. A word that somebody else of the customer has as well, such as a name,
    can't be sought; one that is part of a word of others, only as a whole value.
    """
    keys = stored.traces | before.traces if by_events else stored.calls | before.calls
    if stored.is_active_later:
        texts = before.words if person.kind == "caller" else frozenset[str]()
    else:
        texts = before.words | person.keys | stored.devices | before.devices
    same, all_others = persons.words_of_others(work.connection, person)
    work.connection.commit()
    own = {text for text in texts if text.lower() not in same}
    parts = {text for text in own if any(text.lower() in other for other in all_others)}
    return replace(work, needles=Needles(own, keys, parts))


def _secure(work: Work, person: Person, key: bytes, request: int, before: Kept) -> None:
    """Keep what the proof needs, and write the tombstones, to the ledger first. Commits."""
    kept.keep(work.settings.home, key, request, person, before)
    with work.connection.transaction():
        ledger.append(
            work.connection,
            work.settings,
            person.customer_id,
            person.kind,
            person.until,
            _tombstones(person, key, before),
            request,
        )


def _tombstones(person: Person, key: bytes, before: Kept) -> dict[Kind, list[str]]:
    secret = secret_of(key)
    calls = [*map(of_call, before.calls), *_decoys(person, key, len(before.calls))]
    named = [one.partition(":") for one in before.named]
    pseudonyms: list[tuple[Kind, str]] = [
        *((person.kind, key) for key in person.keys),
        *(("device", device) for device in before.devices),
        *(("call", call) for call in calls),
        *((cast(Kind, kind), pseudonym) for kind, _, pseudonym in named),
    ]
    made: dict[Kind, list[str]] = {}
    for kind, pseudonym in pseudonyms:
        made.setdefault(kind, []).append(tombstone(secret, kind, pseudonym))
    return made


def _decoys(person: Person, key: bytes, calls: int) -> Iterator[str]:
    """Calls that never were, up to the next power of two: how many there were, the tombstones must not tell."""
    padded = max(_FEWEST, 1 << (calls - 1).bit_length()) if calls else 0
    whose = f"{min(person.keys)} {person.until.timestamp()}"
    for number in range(calls, padded):
        yield keyed(key, "decoy", f"{whose} {number}")[:16]


def _control(work: Work) -> Counts:
    """Look for what is there, before it goes. A search that doesn't find it now would prove nothing afterwards. Counts
    what was found.
    """
    told = Hits()
    with work.connection.transaction():
        for table in tables(work.connection):
            if table.schema in ("raw", "registry") and not table.matches(Doorway.tables):
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
