"""Erases a person: plans what it changes, does that place by place, and proves that nothing is left.

What must not come back is in the ledger before anything is deleted. Each place can be treated again, so after a crash
the same command goes on. Erasing, building, opening and landing exclude each other.
"""

from collections.abc import Iterator

from callmart.base.keys import keyed
from callmart.base.needles import Hits
from callmart.base.person import Blocked, Counts, Person, Work
from callmart.database import clock, ledger
from callmart.database.searching import hits, tables
from callmart.database.tombstones import Kind, of_call, pseudonyms, secret_of, tombstone
from callmart.land import places as landed
from callmart.land.places import Doorway, Events, Stored
from callmart.privacy import kept, persons, server_files
from callmart.privacy.kept import Remembered
from callmart.privacy.places import each, require_covered
from callmart.privacy.procedure import Case, OnProof, Plan, Steps, blocked

_FEWEST = 16  # tombstones of a caller's calls


def plan(case: Case) -> Plan:
    """Find out what an erasure would change. Changes nothing. Raises Blocked if a place can't be reached."""
    require_covered(case.work)
    return _plan(case, landed.look(case.work.connection, case.person))


def do(case: Case, steps: Steps) -> None:
    """Erase the person. Raises Blocked if a place can't be treated: when it can be reached again, the same call goes
    on.
    """
    with clock.guarded(case.work.connection, case.work.settings):
        searching, person = begin(case, steps)
        each(lambda place: place.treat(searching, person), steps.on_place)


def prove(case: Case, on_place: OnProof) -> int:
    """Look for the person in all places. What is kept to be able to prove it is forgotten when nothing is left."""
    with clock.guarded(case.work.connection, case.work.settings):
        require_covered(case.work)
        searching, person = sought(case)
        proofs = each(lambda place: place.prove(searching, person), on_place)
        kept.forget_if_gone(case, proofs)
        return len(searching.needles.whole)


# -- the parts of it, of which a withdrawal is made as well ----------------------------------------------------------


def begin(case: Case, steps: Steps) -> tuple[Work, Person]:
    """Do all that comes before the first place: compare the plan, look for the person, and note what must not come
    back. Commits. Returns the work, with what is sought, and the person with what the registry has no more.
    """
    work, person = case.work, case.person
    require_covered(work)
    newest = landed.newest(work.connection)
    stored = landed.look(work.connection, person)
    before = now = Remembered.of(person, stored)
    has_begun = case.is_in_ledger(person.kind, person.keys)
    if has_begun:
        before |= kept.recall(case) or Remembered()
        steps.begin(None)
    else:  # nothing is erased, so what is kept is of an attempt that failed, and written anew
        steps.begin(_plan(case, stored).hash)
    if steps.needs_control or not has_begun:
        with blocked("control"):
            steps.on_control(server_files.Files.name, _control(_searching(work, person, now, stored), person))
    _secure(case, before)
    # From here on no file brings the person. What was landing meanwhile is there now.
    with blocked(Doorway.name):
        Doorway().treat(work, person)
    if landed.newest(work.connection) != newest:
        stored = landed.look(work.connection, person, with_cells=False)
        before |= Remembered.of(person, stored)
        _secure(case, before)
    person = before.completed(person)
    return _searching(work, person, before, stored), person


def sought(case: Case) -> tuple[Work, Person]:
    """The work, with what may be left nowhere after the erasure, and the person with what the registry has no more."""
    stored = landed.look(case.work.connection, case.person, with_cells=False)
    before = kept.recall(case) or Remembered.of(case.person, stored)
    person = before.completed(case.person)
    return _searching(case.work, person, before, stored), person


def _plan(case: Case, stored: Stored) -> Plan:
    person, counts = case.person, dict[str, Counts]()
    searching = _searching(case.work, person, Remembered.of(person, stored), stored, by_events=False)
    each(lambda place: place.find(searching, person), counts.__setitem__)
    return Plan(case.whose, counts).with_cells(stored.cells)


def _searching(
    work: Work, person: Person, before: Remembered, stored: Stored, *, by_events: bool = True
) -> Work:
    """The work, with what may be left nowhere. The keys of events are many, and only tables have them: a plan does
    without. Those of a caller's calls are in extracts, too.

    A person of whom something came later keeps ids and keys for that. Then only a number in clear is sought, and what
    leads to the erased events. The key of an address stays: the register has it of whoever made a request.
    """
    keys = stored.traces | before.traces if by_events else stored.calls | before.calls
    if stored.is_active_later:
        texts = before.words if person.kind == "caller" else frozenset[str]()
    else:
        keys_of_person = person.keys if person.kind in ("agent", "caller") else frozenset[str]()
        texts = before.words | keys_of_person | stored.devices | before.devices
    return persons.sought(work, person, texts, keys)


def _secure(case: Case, before: Remembered) -> None:
    """Keep what the proof needs, and write the tombstones, to the ledger first. Commits."""
    work, person = case.work, case.person
    kept.keep(case, before)
    with work.connection.transaction():
        ledger.append(
            work.connection, work.settings, person.customer_id, person.kind, person.until, _tombstones(case, before),
            case.request,
        )  # fmt: skip


def _tombstones(case: Case, before: Remembered) -> dict[Kind, list[str]]:
    secret = secret_of(case.key)
    calls = [*map(of_call, before.calls), *_decoys(case.person, case.key, len(before.calls))]
    all_pseudonyms: list[tuple[Kind, str]] = [
        *pseudonyms(before.completed(case.person)),
        *(("device", device) for device in before.devices),
        *(("call", call) for call in calls),
    ]
    made: dict[Kind, list[str]] = {}
    for kind, pseudonym in all_pseudonyms:
        made.setdefault(kind, []).append(tombstone(secret, kind, pseudonym))
    return made


def _decoys(person: Person, key: bytes, calls: int) -> Iterator[str]:
    """Calls that never were, up to the next power of two: how many there were, the tombstones must not tell."""
    padded = max(_FEWEST, 1 << (calls - 1).bit_length()) if calls else 0
    whose = f"{min(person.keys)} {person.until.timestamp()}"
    for number in range(calls, padded):
        yield keyed(key, "decoy", f"{whose} {number}")[:16]


def _control(work: Work, person: Person) -> Counts:
    """Look for what is there, before it goes. A search that doesn't find it now would prove nothing afterwards. Counts
    what was found.
    """
    told, holding = Hits(), list[str]()
    with work.connection.transaction():
        for table in tables(work.connection):
            if table.schema in ("raw", "registry") and not table.matches(Doorway.tables):
                own = person.customer_id if table.matches(Events.tables) else None
                if found := hits(work.connection, table, work.needles, own):
                    told |= found
                    holding.append(str(table))
    missed = len(work.needles.numbers) - len(told.numbers)
    if work.settings.dsn is None:
        in_bytes = server_files.search(work, holding)
        missed += len(told.texts - in_bytes.texts) + len(told.numbers - in_bytes.numbers)
    if missed:
        raise Blocked(
            "control",
            f"the search misses {missed} of the person's words and keys that are there, so it could prove nothing: "
            "nothing was erased; report it",
        )
    return Counts({"found before": len(told)})
