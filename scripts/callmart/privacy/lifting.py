"""Shows an agent again who was left out: the objection, restriction or withdrawal was taken back (objecting.py).

Everything is then as before, cell by cell, with what came meanwhile. The name comes with the next registry file.
"""

from callmart.base.errors import UserError
from callmart.base.person import Counts, Person, Proof, Work
from callmart.database import clock
from callmart.opening.places import Marts, waiting_days
from callmart.privacy import objecting
from callmart.privacy.places import PLACES, require_covered
from callmart.privacy.procedure import Begin, OnPlace, OnProof, Plan


def plan(work: Work, person: Person, key: bytes) -> Plan:
    """Find out what would show the agent again. Raises UserError if nothing leaves the agent out."""
    if not objecting.is_left_out(work, person):
        raise UserError(
            "this agent is left out of nothing: if the letter names another id, enter the request with that"
        )
    return objecting.plan_of(work, person, key, names_agent=False)


def do(
    work: Work,
    person: Person,
    key: bytes,
    request: int,
    begin: Begin,
    on_control: OnPlace,
    on_place: OnPlace,
) -> None:
    """Show the agent again."""
    with clock.guarded(work.connection, work.settings):
        begin(None if objecting.is_noted(work, person, key, request) else plan(work, person, key).hash)
        objecting.note(work, person, key, request, "lifting")
        objecting.follow(work, person, on_place)


def prove(work: Work, person: Person, key: bytes, request: int, on_place: OnProof) -> int:
    """Look whether nothing leaves the agent out any more, and no day waits."""
    with clock.guarded(work.connection, work.settings):
        require_covered(work)
        waiting = Counts(days=waiting_days(work.connection, person.customer_id))
        waiting["agents"] = objecting.is_left_out(work, person)
        for place in PLACES:
            left = +waiting if place.name == Marts.name else Counts()
            on_place(place.name, Proof(Counts(), left))
        return 0
