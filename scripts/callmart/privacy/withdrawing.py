"""Consent was the reason to have an agent's data, and it is withdrawn: the data is erased (erasing.py), and from now on
the agent is left out (objecting.py).
"""

from dataclasses import replace

from callmart.base.person import Counts, Proof
from callmart.land import places as landed
from callmart.land.places import Doorway
from callmart.opening.places import Marts
from callmart.privacy import erasing, objecting
from callmart.privacy.procedure import Case, OnProof, Plan, Steps


def plan(case: Case) -> Plan:
    """Find out what would be erased, and which figures change, also of days after those that are erased."""
    cells = landed.look_at_shown(case.work.connection, objecting.always(case.person))
    return erasing.plan(case).with_cells(cells)


def do(case: Case, steps: Steps) -> None:
    """Erase, and leave the agent out."""

    def begin_both(hash: str | None) -> None:
        steps.begin(plan(case).hash if hash else None)

    def leave_out_first(place: str, counts: Counts) -> None:
        if place == Doorway.name:  # what the proof needs is kept by now, so the name can go
            objecting.note(case, "objection")
        steps.on_place(place, counts)

    erasing.do(case, replace(steps, begin=begin_both, on_place=leave_out_first))


def prove(case: Case, on_place: OnProof) -> int:
    """Look for the agent in all places, and on all days in the marts."""

    def on_all_days(place: str, proof: Proof) -> None:
        if place == Marts.name:
            shown = Marts().find(case.work, objecting.always(case.person))
            shown["agents"] += not objecting.is_left_out(case.work, case.person)
            proof = replace(proof, left=proof.left | +shown)
        on_place(place, proof)

    return erasing.prove(case, on_all_days)
