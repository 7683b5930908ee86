"""Another contact goes on with a request, and what becomes of one whose customer left."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from callmart.base.errors import UserError
from callmart.base.keys import key_file
from callmart.database.tombstones import secret_of, tombstone
from callmart.privacy import register
from requests_of_persons import Desk
from today import TODAY

pytestmark = pytest.mark.dated

ONE, OTHER = 1, 2
CONTACT, SECOND, UNAUTHORISED, ANOTHERS = (
    "p@een.example",
    "q@een.example",
    "r@een.example",
    "s@other.example",
)


def withdraw(desk: Desk, address: str) -> None:
    """As a registry.yml does in which the contact is not authorised any more."""
    with desk.callmart.connect() as owner:
        owner.execute(
            "update registry.contact set authorised = false where lower(email) = lower(%s)", [address.strip()]
        )


@pytest.mark.parametrize("at", ["received", "planned", "approved", "proving"])
def test_a_contact_that_was_withdrawn_meanwhile_stops_the_next_step(undone: Desk, at: str) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, at)
    withdraw(undone, CONTACT)
    step = {"received": "verify", "planned": "approve", "approved": "do", "proving": "answer"}[at]
    with pytest.raises(UserError, match="is not an authorised contact of customer 1 any more"):
        getattr(undone, step)(number)
    assert undone.state(number) == at
    assert undone.logged(number)[-1][1] == "privacy refused"

    another = undone.contact(ONE, SECOND)
    register.verify(undone.officer, number, "in_person", alone=True, instructed=False, taking_over=another)
    assert undone.state(number) == ("proving" if at == "proving" else "identified")
    undone.bring(number, "answered")
    assert register.request(undone.officer, number).due == TODAY + timedelta(days=28), "the clock never stops"


def test_a_contact_who_asked_to_be_erased_is_answered(undone: Desk) -> None:
    """Nobody else has to take over what only this contact asked for."""
    number = undone.open(ONE, CONTACT, kind="contact")
    undone.bring(number, "proving")
    secret, asker = secret_of(key_file(undone.callmart.home, ONE).read_bytes()), undone.contact(ONE, CONTACT)
    withdraw(undone, CONTACT)
    undone.owner.execute("insert into privacy.secret values (%s, %s) on conflict do nothing", [ONE, secret])
    for erased in (undone.contact(ONE, SECOND), asker):
        with pytest.raises(UserError, match="is not an authorised contact of customer 1 any more"):
            undone.answer(number)
        undone.owner.execute(
            "insert into privacy.tombstone (entry, customer_id, kind, tombstone, until)"
            " values (%s, %s, 'contact', %s, now())",
            [number * 10, ONE, tombstone(secret, "contact", erased)],
        )
    undone.answer(number)
    assert undone.state(number) == "answered"
    undone.owner.execute("truncate privacy.tombstone, privacy.secret")


def test_somebody_of_another_customer_can_not_take_over(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    for stranger in (undone.contact(OTHER, ANOTHERS), undone.contact(ONE, UNAUTHORISED)):
        with pytest.raises(UserError, match="who takes over is not an authorised contact of customer 1;"):
            register.verify(
                undone.officer, number, "code", alone=True, instructed=False, taking_over=stranger
            )
    assert undone.state(number) == "received"
    undone.verify(number)


@contextmanager
def another_key(desk: Desk, fingerprint: str | None) -> Iterator[None]:
    """As after everything of the customer was removed. It came back, or has no key any more."""
    change = "update registry.customer set key_fingerprint = %s where customer_id = %s"
    ((before,),) = desk.owner.execute(
        "select key_fingerprint from registry.customer where customer_id = %s", [ONE]
    ).fetchall()
    desk.owner.execute(change, [fingerprint, ONE])
    yield
    desk.owner.execute(change, [before, ONE])


@pytest.mark.parametrize("at", ["received", "approved", "proving"])
def test_of_a_customer_that_came_back_the_person_is_entered_anew(undone: Desk, at: str) -> None:
    number, second = undone.open(ONE, CONTACT), undone.contact(ONE, SECOND)
    undone.bring(number, at)

    def verify(**given: Any) -> None:
        register.verify(undone.officer, number, "code", alone=True, instructed=False, **given)

    with another_key(undone, "f" * 16):
        found = register.request(undone.officer, number)
        assert found.customer_is == "back"
        for missing in ({}, {"taking_over": second}, {"person": "1" * 32}):
            with pytest.raises(UserError, match=r"left and came back: .*--take-over"):
                verify(**missing)
        verify(taking_over=second, person="1" * 32)
        found = register.request(undone.officer, number)
        assert (found.state, found.plan_hash, found.approved_by) == ("identified", None, None)
        assert register.is_about(undone.officer, number, "1" * 32)
        undone.plan(number)
        with pytest.raises(UserError, match="is planned"):
            undone.do(number)  # also if the ledger has an entry under the former key
        undone.bring(number, "closed")


def test_nobody_puts_another_person_into_a_request(undone: Desk) -> None:
    number, second = undone.open(ONE, CONTACT), undone.contact(ONE, SECOND)
    register.verify(
        undone.officer, number, "code", alone=True, instructed=False, taking_over=second, person="1" * 32
    )
    assert register.is_about(undone.officer, number, "0" * 32)
    with another_key(undone, "f" * 16):
        undone.open(ONE, CONTACT, person="1" * 32)
        with pytest.raises(UserError, match="is about the same person, and still open"):
            register.verify(
                undone.officer,
                number,
                "code",
                alone=True,
                instructed=False,
                taking_over=second,
                person="1" * 32,
            )


STORED, PUBLISHED = (
    "its data is not removed yet: run `callmart run`",
    "still on Tableau: run `callmart publish`",
)
LEFT = {
    "raw.file_customer": (f"select file_id, {ONE}, null, null, 0 from raw.file", STORED),
    "ops.opened_day": (f"values ({ONE}, '2026-01-01', 'queue_day', 0, 0)", STORED),
    "ops.extract": (f"values ({ONE}, 'queue', '', 0, '{{}}')", STORED),
    "ops.publication": (f"(customer_id, state) values ({ONE}, 'published')", PUBLISHED),
}


def test_when_the_customer_has_left_a_request_ends_in_any_state(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "proving")
    for why, said in (("no such customer", "customer 1 has not left"), ("identity", "is proving")):
        with pytest.raises(UserError, match=said):
            register.refuse(undone.officer, number, why)
    undone.owner.execute(
        "insert into raw.file (name_key, content_key, registry_version, asked, row_count, rejected, turned_away,"
        " incomplete_last_line) values ('', '', 0, '', 0, 0, 0, false)"
    )
    with undone.owner.transaction(force_rollback=True):  # the registry was applied, and no run has come yet
        undone.owner.execute("insert into raw.file_customer " + LEFT["raw.file_customer"][0])
        undone.owner.execute("delete from registry.contract where customer_id = %s", [ONE])
        assert STORED in register.request(undone.owner, number).todo
    with another_key(undone, None):
        for table, (values, said) in LEFT.items():
            undone.owner.execute(f"insert into {table} {values}".encode())
            assert said in register.request(undone.officer, number).todo
            with pytest.raises(UserError, match=said):
                register.refuse(undone.officer, number, "no such customer")
            undone.owner.execute(f"delete from {table} where customer_id = {ONE}".encode())
        assert "--because no-such-customer" in register.request(undone.officer, number).todo
        register.refuse(undone.officer, number, "no such customer")
    assert undone.state(number) == "refused"
    assert undone.callmart.rows("select subject from privacy.request") == [{"subject": None}]
