"""Consent was the reason to have an agent's data, and it is withdrawn: the data is erased (erasing.py), and from now on
the agent is left out (objecting.py). So what shows agents is treated and searched as for both.
"""

from dataclasses import replace

from callmart.base.person import Counts, Person, Place, Proof, Work
from callmart.database import clock
from callmart.opening.places import Marts
from callmart.privacy import erasing, kept, objecting
from callmart.privacy.decided import SHOWING
from callmart.privacy.places import each, require_covered
from callmart.privacy.procedure import Case, OnProof, Plan, Steps
from callmart.registry.places import Persons


def plan(case: Case) -> Plan:
    """Find out what would be erased, and what would no longer show the agent, also of days after those that are
    erased.
    """
    erased, left_out = erasing.plan(case), objecting.plan_of(case, names_agent=True)
    counts = {place: found | left_out.counts[place] for place, found in erased.counts.items()}
    return replace(erased, counts=counts).with_cells(left_out.cells)


def do(case: Case, steps: Steps) -> None:
    """Erase, and leave the agent out."""

    def begin_both(hash: str | None) -> None:
        steps.begin(plan(case).hash if hash else None)

    with clock.guarded(case.work.connection, case.work.settings):
        erased = erasing.begin(case, replace(steps, begin=begin_both))
        objecting.note(case, "objection")  # what the proof needs is kept by now, so the name can go
        shown = _shown(*erased)

        def treat(place: Place) -> Counts:
            return place.treat(*(shown if place.name in SHOWING else erased))

        each(treat, steps.on_place)


def prove(case: Case, on_place: OnProof) -> int:
    """Look for what was erased in all places, and for the agent in what shows agents, on all days."""
    with clock.guarded(case.work.connection, case.work.settings):
        require_covered(case.work)
        erased = erasing.sought(case)
        shown = _shown(*erased)

        def proof(place: Place) -> Proof:
            found = place.prove(*(shown if place.name in SHOWING else erased))
            left = Counts()
            if place.name == Persons.name:
                left["registry.agent"] = objecting.named(*shown)
            if place.name == Marts.name:
                _, left["agents"] = objecting.left_out(case.work, case.person)
            return replace(found, left=found.left | left)

        kept.forget_if_gone(case, each(proof, on_place))
        return len(shown[0].needles.whole)


def _shown(work: Work, person: Person) -> tuple[Work, Person]:
    """What may be in nothing that shows agents: what is sought already, and the agent, on all days."""
    whole = objecting.always(person)
    return objecting.seeking(work, whole), whole
