"""Corrects a name or an address: `registry apply --request N` puts the right one into the registry, and this makes anew
what has the wrong one, and looks that it is nowhere any more.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import psycopg

from callmart.base.errors import UserError
from callmart.base.person import Counts, Kind, Person, Place, Proof, Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.base.spelling import plain
from callmart.database import clock, searching, vacuum
from callmart.opening.places import Marts
from callmart.privacy import kept, persons, register, server_files, subject
from callmart.privacy.decided import SHOWING
from callmart.privacy.kept import Remembered
from callmart.privacy.places import PLACES, each, require_covered
from callmart.privacy.procedure import Case, OnProof, Plan, Steps
from callmart.publish.places import Members
from callmart.registry.places import Persons
from callmart.registry.states import State

_MADE_ANEW = (*SHOWING, Members.name)  # what has a name or an address beside the registry


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
    kind = found.kind
    if kind is None or key is None or before is None or after is None:
        raise found.out_of_turn
    named, corrected = _named(before, kind), _named(after, kind)
    for normal in named:
        spelled = persons.spellings_of_id(normal) if kind == "agent" else {normal}
        if any(register.is_about(connection, number, subject.subject(key, kind, one)) for one in spelled):
            right = corrected.get(normal, frozenset())
            # Ids of an agent get the same name.
            alike = [one for one, words in corrected.items() if kind == "agent" and words & right]
            wrong = {
                word
                for one in (normal, *alike)
                for word in named.get(one, ())
                if word not in corrected.get(one, ())
            } - right
            if wrong:
                until = clock.now(connection)
                person = persons.person(connection, key, found.customer_id, kind, [normal], until)
                case = Case(Work(connection, settings, quietly), person, key, number)
                remember_words(case, wrong, right)
                return
    raise UserError(
        f"request {number}: the file corrects no name or address of the person; correct it there, and apply it again"
    )


def is_remembered(case: Case) -> bool:
    """Whether the wrong name or address is kept for the proof. It is not if the registry was corrected without it."""
    return _recall(case) is not None


def remember_words(case: Case, wrong: Collection[str], right: Collection[str] = ()) -> None:
    """Keep what was wrong for the proof, beside what is kept already and is not right now."""
    earlier = _recall(case)
    words = frozenset(wrong) | ((earlier.words if earlier else frozenset()) - frozenset(right))
    kept.keep(_as_registered(case), Remembered(words))


def plan(case: Case) -> Plan:
    """What is corrected. The counts say whom, and stay the same when the registry is right already."""
    require_covered(case.work)
    counts = {place.name: Counts() for place in PLACES}
    counts[Persons.name] = Counts({f"registry.{case.person.kind}": 1})
    return Plan(case.whose, counts)


def do(case: Case, steps: Steps) -> None:
    """Make anew what has the wrong name or address, and leave the rows behind that had it. Raises UserError if the
    registry has it still.
    """
    connection, settings = case.work.connection, case.work.settings
    with clock.guarded(connection, settings):
        searching, former = _former(case)
        steps.begin(plan(case).hash)

        def treat(place: Place) -> Counts:
            if place.name == server_files.Files.name:
                vacuum.note(connection, f"registry.{case.person.kind}", whole=True)
                return Counts(tables=server_files.leave_deleted(connection, settings))
            return place.treat(searching, former) if place.name in _MADE_ANEW else Counts()

        each(treat, steps.on_place)


def prove(case: Case, on_place: OnProof) -> int:
    """Look for the wrong name or address wherever one can be. When it is nowhere, it is forgotten here as well."""
    with clock.guarded(case.work.connection, case.work.settings):
        require_covered(case.work)
        sought, former = _former(case)

        def proof(place: Place) -> Proof:
            if place.name in (Persons.name, Marts.name):  # the person may be there, by the right name
                return searching.prove(sought, former, place.tables)
            return place.prove(sought, former) if place.name in _MADE_ANEW else Proof(Counts(), Counts())

        kept.forget_if_gone(case, each(proof, on_place))
        return len(sought.needles.whole)


def _recall(case: Case) -> Remembered | None:
    """What is kept; None if nothing is. Version 0.2.0 kept it by the id that was entered."""
    try:
        return kept.recall(_as_registered(case))
    except UserError:
        return kept.recall(case)


def _as_registered(case: Case) -> Case:
    """The case by which the wrong name is kept: under what the register knows the person by. Whoever applies a registry
    file does not know which other ids the request was planned with.
    """
    with case.work.connection.transaction():
        ((registered,),) = case.work.connection.execute(
            "select subject from privacy.request where number = %s", [case.request]
        ).fetchall()
    return replace(case, person=replace(case.person, keys=frozenset({registered}), implied=frozenset()))


def _former(case: Case) -> tuple[Work, Person]:
    """The work, with the wrong words as what may be left nowhere, and the person as the one who had them."""
    content = _recall(case)
    if content is None:
        raise UserError(
            f"request {case.request}: correct the name or address in registry.yml, then `callmart registry apply "
            f"registry.yml --request {case.request}`, and run this again; if it is right there already, enter the "
            "wrong one here when `do` asks for it"
        )
    former = replace(case.person, words=content.words, addresses=content.words, named=frozenset())
    return persons.sought(case.work, replace(former, keys=frozenset()), content.words), former


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
