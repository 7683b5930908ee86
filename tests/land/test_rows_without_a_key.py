"""A customer whose key can't be read keeps no other's rows from landing, and its own land when the key is back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callmart.base.keys import LAYER, key_file
from callmart.base.progress import quietly
from callmart.base.settings import Folder
from callmart.land.landing import Landed
from callmart.operations import stages
from callmart_home import Callmart
from commands import command_of
from events import DETAILED, Row, at, event, ndjson, registry

pytestmark = pytest.mark.dated

HERE, AWAY = 1, 2


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(registry(f"id: {HERE}, {DETAILED}", f"id: {AWAY}, {DETAILED}"))


def missing(key: Path) -> None:
    key.unlink()


def unreadable(key: Path) -> None:
    key.unlink()
    key.mkdir()  # what another user owns can be read by root


def damaged(key: Path) -> None:
    key.write_bytes(bytes(LAYER))


@pytest.fixture(params=[missing])
def back(callmart: Callmart, request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Without the key of one customer, until what it yields is called."""
    key = key_file(callmart.home, AWAY)
    content = key.read_bytes()
    request.param(key)

    def back() -> None:
        if key.is_dir():
            key.rmdir()
        key.write_bytes(content)

    yield back
    back()


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A file with a row of each customer."""
    (folder := tmp_path / "inbox").mkdir()
    (path := folder / "both").write_text(ndjson(call(tmp_path, HERE), call(tmp_path, AWAY)))
    return path


def call(place: Path, customer: int) -> Row:
    return event("queue_joined", at("12:00"), customer_id=customer, call_id=f"{place} {customer}", queue="q")


def counts(outcomes: list[Landed | str]) -> list[tuple[int, int, int]]:
    """How many events landed or were repeated, and how many rows wait."""
    landed = [one for one in outcomes if isinstance(one, Landed)]
    assert len(landed) == len(outcomes), outcomes
    return [(one.landed, one.repeated, one.waiting) for one in landed]


@pytest.mark.parametrize("back", [missing, unreadable, damaged], indirect=True)
def test_the_others_rows_land_and_its_own_when_the_key_is_back(
    callmart: Callmart, tmp_path: Path, both: Path, back: Callable[[], None]
) -> None:
    copy, own, other = (tmp_path / name for name in ("copy", "own", "other"))
    copy.write_bytes(both.read_bytes())
    own.write_text(ndjson(call(own, AWAY)))
    other.write_text(ndjson(call(other, HERE)))
    files = ((own, AWAY), (both, None), (copy, None), (other, None))
    refused, *outcomes = callmart.land_all(*files)
    assert counts(outcomes) == [(1, 0, 1), (0, 1, 1), (1, 0, 0)]
    assert str(key_file(callmart.home, AWAY)) in str(refused)
    assert isinstance(outcomes[0], Landed) and outcomes[0].wrong_keys == (refused,)
    assert outcomes[0].turned_away == 0, "a contract covers them"
    _, *outcomes = callmart.land_all(*files)
    assert counts(outcomes) == [(0, 1, 1), (0, 1, 1), (0, 0, 0)], "they are known only when all has landed"
    back()
    assert counts(callmart.land_all(*files)) == [(1, 0, 0), (1, 1, 0), (0, 0, 0), (0, 0, 0)]
    assert all(isinstance(one, Landed) and one.unchanged for one in callmart.land_all(*files))


def test_a_run_tells_of_the_key_once_and_takes_nothing_away_that_waits(
    callmart: Callmart, both: Path, back: Callable[[], None]
) -> None:
    (both.parent / "other").write_text(ndjson(call(both, HERE)))
    (both.parent / "more").write_text(ndjson(call(both / "more", HERE), call(both / "more", AWAY)))

    def ran() -> stages.Ran:
        ran, folder = stages.Ran(), Folder(path=both.parent, settle_seconds=0, after="delete")
        settings = callmart.settings.model_copy(update={"folders": [folder]})
        with callmart.connect() as connection:
            stages.land_folders(connection, settings, ran, quietly)
        return ran

    (problem,) = ran().problems
    assert problem.startswith(f"the key of customer {AWAY} is missing")
    assert sorted(path.name for path in both.parent.iterdir()) == ["both", "more"]
    back()
    assert ran().problems == [] and not any(both.parent.iterdir())


@pytest.mark.usefixtures("back")
def test_the_command_tells_of_the_key_once_and_of_the_rows_that_wait(callmart: Callmart, both: Path) -> None:
    done = command_of(callmart.home)("land", both, both)
    assert (done.returncode, done.stderr.count(f"the key of customer {AWAY} is missing")) == (2, 1)
    assert "1 event landed, 0 repeated, 0 rows rejected, 0 turned away" in done.stdout
    assert (
        "  1 row not landed, as the key of the customer is missing: land the file again when it is back"
        in done.stdout
    )
