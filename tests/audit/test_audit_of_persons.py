"""The audit's checks of the rights of persons."""

from collections.abc import Callable

import pytest

from callmart.audit import persons
from callmart.audit.check import Check
from callmart.base.person import Counts
from callmart.land.places import Events
from callmart_home import Callmart

pytestmark = pytest.mark.server

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
