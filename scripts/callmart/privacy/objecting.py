"""Leaves an agent out of everything that shows agents: for an objection, a restriction, or a withdrawal of consent.

The ledger says so before anything changes, and every build asks it (privacy.objector). So it holds for what comes later
as well, and no rebuild or restore undoes it. What was landed stays as it is: the agent still counts in queues, and when
the agent is shown again (lifting.py), everything is as before.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from callmart.base import sql_file
from callmart.base.keys import keyed
from callmart.base.needles import Needles
from callmart.base.person import Counts, Person, Place, Proof, Work
from callmart.database import clock, ledger
from callmart.database.ledger import Act
from callmart.database.tombstones import secret_of, tombstone
from callmart.land import places as landed
from callmart.land.places import Stored
from callmart.opening import opening
from callmart.privacy import kept, persons
from callmart.privacy.decided import SHOWING
from callmart.privacy.kept import Kept
from callmart.privacy.places import PLACES, require_covered
from callmart.privacy.procedure import Begin, OnPlace, OnProof, Plan, blocked
from callmart.registry.places import Persons, drop_names

SQL = sql_file.statements(__file__)

ALWAYS = datetime(9000, 1, 1, tzinfo=UTC)  # an agent is left out of all days, and of those to come


def plan(work: Work, person: Person, key: bytes) -> Plan:
    """Find out what would no longer show the agent."""
    return plan_of(work, person, key, names_agent=True)


def do(
    work: Work,
    person: Person,
    key: bytes,
    request: int,
    begin: Begin,
    on_control: OnPlace,
    on_place: OnPlace,
) -> None:
    """Leave the agent out, and drop the name. There is no control: what is stored stays."""
    with clock.guarded(work.connection, work.settings):
        before = _kept(work, person, key, request)
        begin(None if is_noted(work, person, key, request) else plan(work, person, key).hash)
        kept.keep(work.settings.home, key, request, person, before)
        note(work, person, key, request, "objection")
        follow(work, before.completed(person), on_place)


def prove(work: Work, person: Person, key: bytes, request: int, on_place: OnProof) -> int:
    """Look for the agent in what shows agents, and for the name in the registry. The name is forgotten when nothing is
    left.
    """
    with clock.guarded(work.connection, work.settings):
        require_covered(work)
        person = _kept(work, person, key, request).completed(person)
        searching, left = _searching(work, person), 0
        for place in PLACES:
            with blocked(place.name):
                proof = _proof(searching, always(person), place)
            left += proof.left.total()
            on_place(place.name, proof)
        if not left:
            kept.forget(work.settings.home, request)
        return len(searching.needles.whole)


# -- what a lifting and a withdrawal do as well ----------------------------------------------------------------------


def plan_of(work: Work, person: Person, key: bytes, *, names_agent: bool) -> Plan:
    """What changes if the agent is left out, or no longer. `names_agent`: what shows agents has the agent now."""
    require_covered(work)
    whole, searching = always(person), _searching(work, person)
    counts = {place.name: Counts() for place in PLACES}
    for place in PLACES:
        if names_agent and place.name in SHOWING:
            with blocked(place.name):
                counts[place.name] = place.find(searching, whole)
    if names_agent:
        counts[Persons.name] = Counts({"registry.agent": _named(work, person)})
    cells = landed.look_at_shown(work.connection, whole)
    whose = keyed(key, "plan", f"{' '.join(sorted(person.keys))} {person.until.timestamp()}")
    return Plan(whose, {name: +found for name, found in counts.items()}, ()).with_cells(cells)


def is_noted(work: Work, person: Person, key: bytes, request: int) -> bool:
    """Whether the ledger has it that this request was done, or is about to be."""
    with work.connection.transaction():
        return ledger.secures(work.connection, person, request, "objector", _marks(person.keys, key))


def note(work: Work, person: Person, key: bytes, request: int, right: Act) -> None:
    """Write into the ledger that the agent is left out or shown again, drop the name, and mark the days that change.
    From here on every build follows it. Commits.
    """
    # What leaves the agent out may be of a key from before a rotation.
    keys = {one for _, one in person.all_keys} if right == "lifting" else person.keys
    with work.connection.transaction():
        ledger.append(
            work.connection, work.settings, person.customer_id, person.kind, person.until,
            {"objector": _marks(keys, key)}, request, right,
        )  # fmt: skip
        settle(work, person)


def is_left_out(work: Work, person: Person) -> bool:
    """Whether the ledger leaves the agent out, under all ids."""
    found = work.connection.execute(
        SQL["is_left_out"],
        {
            "customer": person.customer_id,
            "agents": [agent for agent, _ in person.all_keys],
            "keys": [key for _, key in person.all_keys],
        },
    ).fetchone()
    work.connection.rollback()
    return found == (True,)


def settle(work: Work, person: Person) -> None:
    """Mark the days that the agent is on, discard what was computed of them and not opened, and drop the name if the
    agent is left out. In the caller's transaction.
    """
    landed.mark_shown(work.connection, always(person))
    drop_names(work.connection, person)
    opening.forget_build(work.connection)


def follow(work: Work, person: Person, on_place: OnPlace) -> None:
    """Make everything that shows agents anew, as the ledger says. Commits."""
    searching, whole = _searching(work, person), always(person)
    for place in PLACES:
        treated = Counts()
        if place.name in SHOWING:
            with blocked(place.name):
                treated = place.treat(searching, whole)
        on_place(place.name, treated)


def always(person: Person) -> Person:
    """The agent on all days."""
    return replace(person, until=ALWAYS)


def _kept(work: Work, person: Person, key: bytes, request: int) -> Kept:
    """What has to be remembered until the proof: the registry loses the name before."""
    return kept.recall(work.settings.home, key, request, person) or Kept.of(person, Stored())


def _marks(keys: Collection[str], key: bytes) -> list[str]:
    secret = secret_of(key)
    return [tombstone(secret, "objector", one) for one in sorted(keys)]


def _proof(work: Work, person: Person, place: Place) -> Proof:
    if place.name == Persons.name:
        return Proof(Counts(tables=1), +Counts({"registry.agent": _named(work, person)}))
    if place.name in SHOWING:
        return place.prove(work, person)
    return Proof(Counts(), Counts())


def _named(work: Work, person: Person) -> int:
    """How many rows of the registry name the agent."""
    ((named,),) = work.connection.execute(
        "select count(*) from registry.agent where customer_id = %s and agent_key = any(%s)"
        " and (name is not null or email is not null)",
        [person.customer_id, sorted(person.keys)],
    ).fetchall()
    work.connection.rollback()
    return int(named)


def _searching(work: Work, person: Person) -> Work:
    """The work, with what no report may show of the agent: id, name and key. The address may be that of a recipient."""
    texts = (person.words - person.addresses) | person.keys
    same, all_others = persons.words_of_others(work.connection, person)
    work.connection.commit()
    own = {text for text in texts if text.lower() not in same and "@" not in text}
    parts = {text for text in own if any(text.lower() in other for other in all_others)}
    return replace(work, needles=Needles(own, (), parts))
