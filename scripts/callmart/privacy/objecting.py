"""Leaves an agent out of everything that shows agents: for an objection, a restriction, or a withdrawal of consent.

The ledger says so before anything changes, and every build follows it (privacy.objector). So it holds for what comes
later as well, and no rebuild or restore undoes it. What was landed stays as it is: the agent still counts in queues,
and when the agent is shown again (lifting.py), everything is as before.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from callmart.base import sql_file
from callmart.base.person import Counts, Person, Place, Proof, Work
from callmart.database import clock, ledger
from callmart.database.ledger import Act
from callmart.land import places as landed
from callmart.land.places import Stored
from callmart.opening import opening
from callmart.privacy import kept, persons, server_files
from callmart.privacy.decided import SHOWING
from callmart.privacy.kept import Remembered
from callmart.privacy.places import each, require_covered
from callmart.privacy.procedure import Case, OnPlace, OnProof, Plan, Steps
from callmart.registry.places import Persons, drop_names

SQL = sql_file.statements(__file__)

ALWAYS = datetime(9000, 1, 1, tzinfo=UTC)  # an agent is left out of all days, and of those to come


def plan(case: Case) -> Plan:
    """Find out what would no longer show the agent."""
    return plan_of(case, names_agent=True)


def do(case: Case, steps: Steps) -> None:
    """Leave the agent out, and drop the id, the name and the address. There is no control: what is stored stays."""
    with clock.guarded(case.work.connection, case.work.settings):
        if is_noted(case):
            before = _kept(case)
            steps.begin(None)
        else:  # the registry names the agent, so what is kept is of an attempt that failed, and written anew
            before = Remembered.of(case.person, Stored())
            steps.begin(plan(case).hash)
        kept.keep(case, before)
        note(case, "objection")
        follow(case.work, before.completed(case.person), steps.on_place)


def prove(case: Case, on_place: OnProof) -> int:
    """Look for the agent in what shows agents, and for the id, name or address in the registry. They are forgotten when
    nothing is left.
    """
    with clock.guarded(case.work.connection, case.work.settings):
        require_covered(case.work)
        person = always(_kept(case).completed(case.person))
        searching = seeking(case.work, person)
        proofs = each(lambda place: _proof(searching, person, place), on_place)
        kept.forget_if_gone(case, proofs)
        return len(searching.needles.whole)


# -- what a lifting and a withdrawal do as well ----------------------------------------------------------------------


def plan_of(case: Case, *, names_agent: bool) -> Plan:
    """What changes if the agent is left out, or no longer. `names_agent`: what shows agents has the agent now."""
    work, whole = case.work, always(case.person)
    require_covered(work)
    searching, counts = seeking(work, whole), dict[str, Counts]()

    def find(place: Place) -> Counts:
        if names_agent and place.name == Persons.name:
            return +Counts({"registry.agent": named(work, whole)})
        return +place.find(searching, whole) if names_agent and place.name in SHOWING else Counts()

    each(find, counts.__setitem__)
    return Plan(case.whose, counts).with_cells(landed.look_at_shown(work.connection, whole))


def is_noted(case: Case) -> bool:
    """Whether the ledger has it that this request was done, or is about to be."""
    return case.is_in_ledger("objector", case.person.keys)


def note(case: Case, right: Act) -> None:
    """Write into the ledger that the agent is left out or shown again, drop what names the agent, and mark the days
    that change. From here on every build follows it. Commits.
    """
    work, person = case.work, case.person
    # What leaves the agent out may be of a key from before a rotation.
    keys = {one for _, one in person.all_keys} if right == "lifting" else person.keys
    with work.connection.transaction():
        ledger.append(
            work.connection, work.settings, person.customer_id, person.kind, person.until,
            {"objector": case.tombstones("objector", keys)}, case.request, right,
        )  # fmt: skip
        settle(work.connection, person)


def left_out(work: Work, person: Person) -> tuple[int, int]:
    """Under how many ids the ledger leaves the agent out, and under how many it does not."""
    keys, others = _ask(work, "left_out", person)
    return keys, others


def was_left_out(work: Work, person: Person) -> bool:
    """Whether the ledger has ever left the agent out, under any id."""
    (was_ever,) = _ask(work, "was_left_out", person)
    return bool(was_ever)


def settle(connection: psycopg.Connection, person: Person) -> None:
    """Mark the days that the agent is on, discard what was computed of them and not opened, and drop what names the
    agent if the agent is left out. In the caller's transaction.
    """
    landed.mark_shown(connection, always(person))
    drop_names(connection, person)
    opening.forget_build(connection)


def follow(work: Work, person: Person, on_place: OnPlace) -> None:
    """Make everything that shows agents anew, as the ledger says, and leave a name that was dropped behind. Commits."""
    whole = always(person)
    searching = seeking(work, whole)

    def treat(place: Place) -> Counts:
        if place.name == server_files.Files.name:
            return Counts(tables=server_files.leave_deleted(work.connection, work.settings))
        return place.treat(searching, whole) if place.name in SHOWING else Counts()

    each(treat, on_place)


def always(person: Person) -> Person:
    """The agent on all days."""
    return replace(person, until=ALWAYS)


def named(work: Work, person: Person) -> int:
    """How many rows of the registry name the agent."""
    ((found,),) = work.connection.execute(
        "select count(*) from registry.agent where customer_id = %s and agent_key = any(%s)"
        " and num_nonnulls(agent, name, email) > 0",
        [person.customer_id, sorted(person.keys)],
    ).fetchall()
    work.connection.rollback()
    return int(found)


def seeking(work: Work, person: Person) -> Work:
    """The work, with what no report may show of the agent as well: id, name and key. The address may be that of a
    recipient.
    """
    texts = (person.words - person.addresses) | person.keys
    own = {text for text in texts if "@" not in text}
    earlier = work.needles
    return persons.sought(work, person, own.union(earlier.texts, earlier.whole), earlier.numbers)


def _ask(work: Work, question: str, person: Person) -> Any:
    """The answer to a question about an agent: a row."""
    (found,) = work.connection.execute(
        SQL[question],
        {
            "customer": person.customer_id,
            "agents": [agent for agent, _ in person.all_keys],
            "keys": [key for _, key in person.all_keys],
        },
    ).fetchall()
    work.connection.rollback()
    return found


def _kept(case: Case) -> Remembered:
    """What has to be remembered until the proof: the registry loses the name before."""
    return kept.recall(case) or Remembered.of(case.person, Stored())


def _proof(work: Work, person: Person, place: Place) -> Proof:
    if place.name == Persons.name:
        return Proof(Counts(tables=1), +Counts({"registry.agent": named(work, person)}))
    if place.name in SHOWING:
        return place.prove(work, person)
    return Proof(Counts(), Counts())
