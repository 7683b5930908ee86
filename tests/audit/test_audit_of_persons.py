"""The audit's checks of the rights of persons."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from callmart.audit import persons
from callmart.audit.check import Check
from callmart.audit.entombing import entomb
from callmart.base.person import Counts
from callmart.base.settings import Settings
from callmart.land.places import Events
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
