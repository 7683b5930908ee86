"""Consent was the reason to have an agent's data, and it is withdrawn: the data is erased (erasing.py), and from now on
the agent is left out (objecting.py).
"""

from callmart.base.person import Counts, Person, Proof, Work
from callmart.land import places as landed
from callmart.land.places import Doorway
from callmart.opening.places import Marts
from callmart.privacy import erasing, objecting
from callmart.privacy.procedure import Begin, OnPlace, OnProof, Plan


def plan(work: Work, person: Person, key: bytes) -> Plan:
    """Find out what would be erased, and which figures change, also of days after those that are erased."""
    cells = landed.look_at_shown(work.connection, objecting.always(person))
    return erasing.plan(work, person, key).with_cells(cells)


def do(
    work: Work,
    person: Person,
    key: bytes,
    request: int,
    begin: Begin,
    on_control: OnPlace,
    on_place: OnPlace,
) -> None:
    """Erase, and leave the agent out."""

    def begin_both(hash: str | None) -> None:
        begin(plan(work, person, key).hash if hash else None)

    def leave_out_first(place: str, counts: Counts) -> None:
        if place == Doorway.name:  # by now it is kept what the proof needs, so the name can go
            objecting.note(work, person, key, request, "objection")
        on_place(place, counts)

    erasing.do(work, person, key, request, begin_both, on_control, leave_out_first)


def prove(work: Work, person: Person, key: bytes, request: int, on_place: OnProof) -> int:
    """Look for the agent in all places, and on all days in the marts."""

    def on_all_days(place: str, proof: Proof) -> None:
        if place == Marts.name:
            shown = Marts().find(work, objecting.always(person))
            shown["agents"] += not objecting.is_left_out(work, person)
            proof = Proof(proof.searched, proof.left | +shown, proof.to_attest)
        on_place(place, proof)

    return erasing.prove(work, person, key, request, on_all_days)
