"""Shows an agent again who was left out: the objection, restriction or withdrawal was taken back (objecting.py).

Everything is then as before, cell by cell, with what came meanwhile. The id is the one that was entered; the name comes
with the next registry file.
"""

from dataclasses import replace

from callmart.base.person import Counts
from callmart.database import clock
from callmart.opening.places import Marts, waiting_days
from callmart.privacy import objecting
from callmart.privacy.places import PLACES, prove_counted, require_covered
from callmart.privacy.procedure import Case, OnProof, Plan, Steps
from callmart.registry.places import name_again


def plan(case: Case) -> Plan:
    """Find out what would show the agent again, and whether anything has ever left the agent out: if not, the letter
    says so. One who is shown already counts as well: a restored register does not know what was done since its backup.
    """
    if not objecting.was_left_out(case.work, case.person):
        require_covered(case.work)
        return Plan(case.whose, {place.name: Counts() for place in PLACES})
    planned = objecting.plan_of(case, names_agent=False)
    of_marts = planned.counts[Marts.name] + Counts(agents=1)
    return replace(planned, counts={**planned.counts, Marts.name: of_marts})


def do(case: Case, steps: Steps) -> None:
    """Show the agent again."""
    with clock.guarded(case.work.connection, case.work.settings):
        steps.begin(None if objecting.is_noted(case) else plan(case).hash)
        objecting.note(case, "lifting")
        name_again(case.work.connection, case.person, case.key)
        objecting.follow(case.work, case.person, steps.on_place)


def prove(case: Case, on_place: OnProof) -> int:
    """Look whether nothing leaves the agent out any more, and no day waits."""
    work, person = case.work, case.person
    with clock.guarded(work.connection, work.settings):
        require_covered(work)
        waiting = Counts(days=waiting_days(work.connection, person.customer_id))
        waiting["agents"], _ = objecting.left_out(work, person)
        return prove_counted({Marts.name: waiting}, on_place)
