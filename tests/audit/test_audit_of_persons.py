"""The audit's checks of the rights of persons."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from audits import done
from callmart.audit import persons, requests
from callmart.audit.check import Check
from callmart.audit.entombing import entomb
from callmart.base.person import Counts
from callmart.base.settings import Settings
from callmart.land.places import Events
from callmart.privacy.package import shelf
from callmart_home import Callmart

pytestmark = [pytest.mark.dated, pytest.mark.server]

CHECKS = (persons.of_places, persons.of_erasure)


def look(callmart: Callmart, check: Callable[..., Check]) -> Check:
    with callmart.connect() as connection:
        return check(connection, callmart.settings)


@pytest.mark.parametrize("check", CHECKS)
def test_they_hold_and_change_nothing(played: Callmart, check: Callable[..., Check]) -> None:
    books = " union all ".join(
        f"select count(*) from {name}" for name in ("raw.event", "raw.call", "ops.dirty_day")
    )
    before = played.rows(books)
    assert look(played, check).outcome == "holds"
    assert played.rows(books) == before


def test_a_file_that_belongs_to_no_place_is_a_breach(played: Callmart) -> None:
    stray = played.home / "letter.pdf"
    stray.touch()
    assert look(played, persons.of_places).found == ("path letter.pdf",)
    stray.unlink()


def test_a_large_object_belongs_to_no_place(played: Callmart) -> None:
    with done(played, "select lo_create(4242)", "select lo_unlink(4242)"):
        assert look(played, persons.of_places).found == (
            "large object 4242: find out who made it, and `select lo_unlink(4242)`",
        )


def test_a_package_that_should_be_gone_is_a_breach(played: Callmart) -> None:
    package = shelf.path(played.settings, 1001, 7)
    package.parent.mkdir(parents=True)
    package.touch()
    assert look(played, requests.of_packages).found == (
        "packages/1001/request-7.zip.age: run `callmart run`, and if it stays, remove it",
    )
    package.unlink()
    package.parent.rmdir()


@pytest.mark.parametrize(
    ("columns", "values", "said"),
    [
        ("received, state", "privacy.today() - 28, 'received'", None),
        ("received, state", "privacy.today() - 30, 'received'", "had to be answered by "),
        (
            "received, state, approved_by, opened_by",
            "privacy.today(), 'approved', 'callmart_x', 'callmart_x'",
            "is approved by the login that opened or planned it",
        ),
        ("received, state, answered_at, is_alone", "privacy.today(), 'answered', now(), true", "has no proof of it"),
        ("received, state, answered_at, is_alone", "privacy.today(), 'answered', now(), false", None),
    ],
)  # fmt: skip
def test_a_request_that_is_late_or_without_evidence_is_a_breach(
    played: Callmart, columns: str, values: str, said: str | None
) -> None:
    with played.connect() as owner:
        owner.execute(
            f"insert into privacy.request (customer_id, asked_right, kind, subject, {columns})"
            f" values (1001, 'erasure', 'caller', repeat('0', 32), {values})".encode()
        )
        found = requests.of_requests(owner)
        owner.rollback()
    assert found.looked_at == 1
    assert (found.found == ()) if said is None else (said in found.found[0])


@pytest.mark.parametrize(
    ("method", "said"), [("treat", "found although erased"), ("find", "not found although there")]
)
def test_an_erasure_that_does_nothing_is_a_breach(
    played: Callmart, monkeypatch: pytest.MonkeyPatch, method: str, said: str
) -> None:
    monkeypatch.setattr(Events, method, lambda *_: Counts())
    found = look(played, persons.of_erasure)
    assert (found.outcome, len(found.found)) == ("BREACH", 2)
    assert all(said in one for one in found.found)


@pytest.fixture
def erased(played: Callmart) -> Iterator[psycopg.Connection]:
    """A connection whose transaction is rolled back, in which an agent has a tombstone and is in the events."""
    with played.connect() as connection:
        ((customer, at),) = connection.execute(persons.SQL["among"]).fetchall()
        planted = {"customer": customer, "key": "e" * 32, "kind": "agent", "at": at}
        connection.execute(persons.SQL["put_in"], planted)
        entomb(connection, customer, planted["key"], "agent", "erasure")
        yield connection
        connection.rollback()


@pytest.mark.parametrize(("state", "outcome"), [("executing", "holds"), ("proving", "BREACH")])
def test_who_is_being_erased_is_not_back(
    played: Callmart, erased: psycopg.Connection, state: str, outcome: str
) -> None:
    erased.execute(
        "insert into privacy.request (customer_id, asked_right, kind, subject, received, state, until)"
        " select customer_id, 'erasure', kind, repeat('0', 32), current_date, %s, until from privacy.ledger_entry",
        [state],
    )
    assert persons.of_returned(erased, played.settings).outcome == outcome


@pytest.mark.parametrize("check", [persons.of_erasure, persons.of_returned])
def test_where_there_is_no_event_yet_nobody_can_be_put_among_the_events(
    played: Callmart, erased: psycopg.Connection, check: Callable[[psycopg.Connection, Settings], Check]
) -> None:
    """A month has a place for events from its first landing on."""
    erased.execute("delete from raw.event")
    assert check(erased, played.settings).outcome == "does not apply"
