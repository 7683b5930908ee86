"""Corrects a name or an address: `registry apply --request N` puts the right one into the registry, and this makes anew
what has the wrong one, and looks that it is nowhere any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

import psycopg

from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.needles import Needles
from callmart.base.person import Counts, Kind, Person, Proof, Work
from callmart.base.settings import Settings
from callmart.base.spelling import plain
from callmart.database import clock, searching
from callmart.opening.places import Marts
from callmart.privacy import kept, persons, register, subject
from callmart.privacy.decided import SHOWING
from callmart.privacy.kept import Kept
from callmart.privacy.places import PLACES, require_covered
from callmart.privacy.procedure import Begin, OnPlace, OnProof, Plan, blocked
from callmart.publish.places import Members
from callmart.registry.places import Persons
from callmart.registry.states import State

_NAMING = (Persons.name, *SHOWING, Members.name)  # where a name or an address can be


def remember(
    connection: psycopg.Connection,
    settings: Settings,
    number: int,
    current: Mapping[int, State],
    desired: Mapping[int, State],
) -> None:
    """Keep what a registry file corrects of the person of a request, for the proof. `connection` is the owner's.

    Raises UserError if the request is none that the file can carry out, or if the file corrects nothing of the person.
    """
    found = register.request(connection, number)
    if found.asked_right != "rectification" or found.state not in ("approved", "executing"):
        raise UserError(
            f"request {number} is a {found.asked_right} that is {found.state}: a name is corrected for a "
            "rectification that is approved"
        )
    key = subject.customer_key(connection, settings, found.customer_id)
    before, after = current.get(found.customer_id), desired.get(found.customer_id)
    if key is None or before is None or after is None:
        raise UserError(f"request {number} is {found.state}: {found.todo}")
    kind = cast(Kind, found.kind)
    for normal, words in _named(before, kind).items():
        if register.is_about(connection, number, subject.subject(key, kind, normal)):
            wrong = words - _named(after, kind).get(normal, frozenset())
            if wrong:
                until = clock.now(connection)
                person = persons.person(connection, key, found.customer_id, kind, [normal], until)
                content = Kept(frozenset(wrong), frozenset(), frozenset(), frozenset())
                kept.keep(settings.home, key, number, person, content)
                return
    raise UserError(
        f"request {number}: the file corrects no name or address of the person; correct it there, and apply it again"
    )


def plan(work: Work, person: Person, key: bytes) -> Plan:
    """What is corrected. The counts say whom, and stay the same when the registry is right already."""
    require_covered(work)
    counts = {place.name: Counts() for place in PLACES}
    counts[Persons.name] = Counts({f"registry.{person.kind}": 1})
    return Plan(keyed(key, "plan", " ".join(sorted(person.keys))), counts, ())


def do(
    work: Work,
    person: Person,
    key: bytes,
    request: int,
    begin: Begin,
    on_control: OnPlace,
    on_place: OnPlace,
) -> None:
    """Make anew what has the wrong name or address. Raises UserError if the registry has it still."""
    with clock.guarded(work.connection, work.settings):
        searching, former = _former(work, person, key, request)
        begin(plan(work, person, key).hash)
        for place in PLACES:
            treated = Counts()
            if place.name in (*SHOWING, Members.name):
                with blocked(place.name):
                    treated = place.treat(searching, former)
            on_place(place.name, treated)


def prove(work: Work, person: Person, key: bytes, request: int, on_place: OnProof) -> int:
    """Look for the wrong name or address wherever one can be. When it is nowhere, it is forgotten here as well."""
    with clock.guarded(work.connection, work.settings):
        require_covered(work)
        sought, former = _former(work, person, key, request)
        left = 0
        for place in PLACES:
            proof = Proof(Counts(), Counts())
            with blocked(place.name):
                if place.name in (Persons.name, Marts.name):  # the person may be there, by the right name
                    proof = searching.prove(sought, former, place.tables)
                elif place.name in _NAMING:
                    proof = place.prove(sought, former)
            left += proof.left.total()
            on_place(place.name, proof)
        if not left:
            kept.forget(work.settings.home, request)
        return len(sought.needles.whole)


def _former(work: Work, person: Person, key: bytes, request: int) -> tuple[Work, Person]:
    """The work, with the wrong words as what may be left nowhere, and the person as the one who had them. A word that
    somebody else of the customer has as well can't be sought.
    """
    content = kept.recall(work.settings.home, key, request, person)
    if content is None:
        raise UserError(
            f"request {request}: correct the name or address in registry.yml, then `callmart registry apply "
            f"registry.yml --request {request}`, and run this again"
        )
    former = replace(person, words=content.words, addresses=content.words, named=frozenset())
    same, all_others = persons.words_of_others(work.connection, replace(former, keys=frozenset()))
    work.connection.commit()
    own = {word for word in content.words if word.lower() not in same}
    parts = {word for word in own if any(word.lower() in other for other in all_others)}
    return replace(work, needles=Needles(own, (), parts)), former


def _named(state: State, kind: Kind) -> Mapping[str, frozenset[str]]:
    """The words of each person of a kind whom the registry names, by what the person is entered as."""
    named: dict[str, frozenset[str]] = {}
    rows: Iterable[tuple[str, tuple[str | None, ...]]]
    if kind == "agent":
        rows = [(agent, (name, email)) for agent, name, email in state.agents]
    elif kind == "contact":
        rows = [(plain(email), (name, email)) for email, name, _ in state.tables["contact"]]
    else:
        rows = [(plain(email), (email,)) for email, *_ in state.tables["recipient"]]
    for normal, words in rows:
        named[normal] = named.get(normal, frozenset()) | {word for word in words if word}
    return named
