"""`callmart privacy status` names the command that goes on, in whatever state a request is."""

from datetime import UTC, datetime, timedelta

import pytest

from callmart.base.errors import UserError
from callmart.base.rights_of_persons import Right
from callmart.database import ledger
from callmart.privacy import register
from requests_of_persons import HASH, PLAN, Desk
from rotations import rotate

pytestmark = pytest.mark.dated

ONE = 1
CONTACT, SECOND = "p@een.example", "q@een.example"
LEFT = (
    "something is left in books: `callmart privacy do {0}`, then prove it again; "
    "what it leaves there, remove by hand"
)
TAKE_OVER = (
    "who asked is not an authorised contact any more: let another one take over with "
    "`callmart privacy verify {0} --take-over`"
)


def todo(desk: Desk, number: int) -> str:
    return register.request(desk.officer, number).todo


def withdraw(desk: Desk) -> None:
    desk.owner.execute("update registry.contact set authorised = false where lower(email) = %s", [CONTACT])


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (
            "erasure",
            "it is about what several persons share, so nothing is done without a written instruction: when you have "
            "it, `callmart privacy verify {0} --shared --written-instruction`; otherwise `callmart privacy answer {0}` "
            "says so",
        ),
        (
            "access",
            "it is about what several persons share, so nobody gets it: `callmart privacy answer {0}` says so",
        ),
    ],
)
def test_what_several_persons_share_is_not_planned(undone: Desk, right: Right, said: str) -> None:
    number = undone.open(ONE, CONTACT, right=right)
    undone.verify(number, alone=False)
    assert todo(undone, number) == said.format(number)
    with pytest.raises(UserError, match="is about what several persons share"):
        undone.plan(number)
    undone.answer(number)
    assert todo(undone, number) == f"`callmart privacy close {number}` is next"


def test_a_plan_that_broke_off_is_made_again(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.verify(number)
    register.note_plan(undone.officer, number, HASH, datetime.now(UTC) - timedelta(days=1))
    register.note_step(undone.owner, number, "books", "find", {})
    assert todo(undone, number) == f"`callmart privacy plan {number}` again: a place is not in the plan"
    undone.plan(number)
    assert todo(undone, number) == f"`callmart privacy approve {number}` is next, by the approver"


def test_what_is_left_is_done_again(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "executing")
    register.begin_proving(undone.officer, number)
    assert todo(undone, number) == f"`callmart privacy prove {number}` goes on"
    undone.prove(number)
    undone.prove_place(number, "books", left=1)
    assert todo(undone, number) == LEFT.format(number)
    undone.begin(number)
    register.note_step(undone.owner, number, "build", "treat", {})
    assert todo(undone, number) == LEFT.format(number), "it was killed before it came to that place"
    undone.do(number)
    assert todo(undone, number) == f"`callmart privacy prove {number}` is next"
    undone.prove(number)
    assert todo(undone, number) == f"`callmart privacy answer {number}` is next"


def test_a_package_is_made_again_for_whoever_takes_over(undone: Desk) -> None:
    """That of the contact before is gone."""
    number = undone.open(ONE, CONTACT, right="access")
    undone.bring(number, "proving")
    assert todo(undone, number) == f"`callmart privacy answer {number}` is next"
    second = undone.contact(ONE, SECOND)
    register.verify(undone.officer, number, "code", alone=True, instructed=False, taking_over=second)
    assert todo(undone, number) == f"`callmart privacy do {number}` goes on"
    with pytest.raises(UserError, match="is not proved"):
        undone.answer(number)
    undone.do(number)
    undone.prove(number)
    undone.answer(number)


@pytest.mark.parametrize("at", ["received", "identified", "planned", "approved", "proving"])
def test_of_a_contact_who_was_withdrawn_another_one_takes_over(undone: Desk, at: str) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, at)
    before = todo(undone, number)
    withdraw(undone)
    assert todo(undone, number) == TAKE_OVER.format(number)
    second = undone.contact(ONE, SECOND)
    register.verify(undone.officer, number, "code", alone=True, instructed=False, taking_over=second)
    began = at == "proving"
    assert todo(undone, number) == (before if began else f"`callmart privacy plan {number}` is next")


def test_what_the_ledger_has_is_done_and_proved_whoever_asked(undone: Desk) -> None:
    """The answer needs a contact again."""
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    undone.begin(number)
    withdraw(undone)
    assert todo(undone, number) == f"`callmart privacy do {number}` goes on"
    undone.do(number)
    assert todo(undone, number) == f"`callmart privacy prove {number}` is next"
    undone.prove(number)
    assert todo(undone, number) == TAKE_OVER.format(number)
    with pytest.raises(UserError, match="is not an authorised contact of customer 1 any more"):
        undone.answer(number)


def test_what_the_ledger_has_not_waits_for_whoever_takes_over(undone: Desk) -> None:
    """A package is for the contact, and no ledger has it."""
    number = undone.open(ONE, CONTACT, right="access")
    undone.bring(number, "approved")
    register.begin_doing(undone.officer, number, HASH)
    withdraw(undone)
    assert todo(undone, number) == TAKE_OVER.format(number)
    with pytest.raises(UserError, match="is not an authorised contact of customer 1 any more"):
        register.begin_doing(undone.officer, number, HASH)


@pytest.mark.parametrize(
    ("at", "is_in_ledger"), [("planned", False), ("approved", False), ("approved", True)]
)
def test_after_a_rotation_of_the_key_it_is_planned_again(undone: Desk, at: str, is_in_ledger: bool) -> None:
    """The plan has a hash of the former keys. A register that was restored can have as approved what the ledger has."""
    number, received = undone.open(ONE, CONTACT), undone.open(ONE, CONTACT, person="1" * 32)
    undone.bring(number, at)
    if is_in_ledger:
        until = register.request(undone.officer, number).until
        assert until is not None
        with undone.callmart.connect() as owner:
            ledger.append(owner, undone.callmart.settings, ONE, "caller", until, {}, number)
    rotate(undone.callmart, ONE)
    found = register.request(undone.officer, number)
    assert (found.state, found.plan_hash, found.approved_by) == ("identified", None, None)
    assert found.todo == f"`callmart privacy plan {number}` is next"
    assert undone.state(received) == "received"
    undone.bring(number, "closed")


def test_what_a_plan_has_found_is_approved_with_that_plan_only(undone: Desk) -> None:
    """Else the officer could plan for two persons between the plan for one and what that has found."""
    number = undone.open(ONE, CONTACT)
    undone.verify(number)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for hash in (HASH, "f" * 16):
        register.note_plan(undone.officer, number, hash, yesterday)
    with undone.callmart.connect() as owner:
        with pytest.raises(UserError, match="was planned anew meanwhile"):
            register.note_found(owner, number, HASH, PLAN)
        assert register.evidence(undone.officer, number) == []
        register.note_found(owner, number, "f" * 16, PLAN)
    undone.approve(number, "f" * 16)
