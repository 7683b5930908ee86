"""While the server stores a large file, the next one is prepared. What happened meanwhile is seen in its turn."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition, Event, active_count, current_thread, main_thread
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from callmart.base.errors import UserError
from callmart.base.keys import key_file
from callmart.land import admission, found, landing
from callmart.land.gate import Gate
from callmart.land.loader import Loader
from callmart.land.prepare import Prepared
from callmart_home import Callmart
from erasing import erase, person
from events import DETAILED, at, event, ndjson, registry
from rotations import rotate

pytestmark = [pytest.mark.thorough, pytest.mark.dated]

LEAVING, STAYING, ERASED = 1, 2, 3
CUSTOMERS = [f"id: {number}, {DETAILED}" for number in (LEAVING, STAYING, ERASED)]
LONG_ENOUGH_S = 60


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(registry(*CUSTOMERS))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """Three files with their customers, of two calls each, and each too large to share a transaction."""
    named = []
    for name, whose in ("a", STAYING), ("b", LEAVING), ("c", STAYING):
        calls = [
            event(
                "queue_joined", at("12:00"), customer_id=whose, call_id=f"{tmp_path} {name} {call}", queue="q"
            )
            for call in range(2)
        ]
        (path := tmp_path / name).write_text(ndjson(*calls))
        named.append((path, whose))
    monkeypatch.setattr(found, "BLOCK", path.stat().st_size // 2)  # one line, however long `tmp_path` is
    return named


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Waits until the first events of so many files are there. False if that does not happen."""
    known, firsts = Condition(), []
    batches = Prepared.batches

    def noting(prepared: Prepared) -> Iterator[pa.RecordBatch]:
        made = batches(prepared)
        first = next(made)
        with known:
            firsts.append(first)
            known.notify_all()
        yield first
        yield from made

    def wait(count: int, at_most_s: float = LONG_ENOUGH_S) -> bool:
        with known:
            return known.wait_for(lambda: len(firsts) >= count, at_most_s)

    monkeypatch.setattr(Prepared, "batches", noting)
    return wait


def landed(outcomes: list[Any]) -> list[Any]:
    return [one.landed if isinstance(one, landing.Landed) else one for one in outcomes]


def test_the_next_file_is_prepared_before_the_one_in_front_of_it_is_stored(
    callmart: Callmart,
    files: list[tuple[Path, int]],
    begun: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit, seen = Loader.commit, list[bool]()

    def committing(loader: Loader) -> None:
        seen.append(begun(min(len(seen) + 2, len(files))))
        commit(loader)

    monkeypatch.setattr(Loader, "commit", committing)
    assert landed(callmart.land_all(*files)) == [2, 2, 2]
    assert seen == [True, True, True]


def test_the_next_file_is_prepared_only_when_the_one_in_front_of_it_is_sent(
    callmart: Callmart,
    files: list[tuple[Path, int]],
    begun: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sending keeps two cores busy."""
    batches, early = Prepared.batches, list[bool]()

    def lingering(prepared: Prepared) -> Iterator[pa.RecordBatch]:
        yield from batches(prepared)
        early.append(len(early) < 2 and begun(len(early) + 2, 0.5))

    monkeypatch.setattr(Prepared, "batches", lingering)
    assert landed(callmart.land_all(*files)) == [2, 2, 2]
    assert early[:2] == [False, False]


def test_if_nothing_can_land_the_next_file_is_not_begun(
    callmart: Callmart, files: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def current_gate(*_: Any) -> tuple[int, Gate]:
        asked.append(current_thread() is main_thread())
        raise UserError("a key is missing")

    monkeypatch.setattr(landing, "current_gate", current_gate)
    threads = active_count()
    with pytest.raises(UserError, match="a key is missing"):
        callmart.land_all(*files)
    assert (asked, active_count()) == ([True], threads)


def behind_the_first(
    monkeypatch: pytest.MonkeyPatch, waited: Callable[[], bool], change: Callable[[], object]
) -> list[bool]:
    """Wait before the first file is stored, and change something after it: its transaction no longer keeps the registry
    as it is. Says afterwards how the wait ended.
    """
    commit, ended = Loader.commit, list[bool]()

    def committing(loader: Loader) -> None:
        if ended:
            commit(loader)
        else:
            ended.append(waited())
            commit(loader)
            change()

    monkeypatch.setattr(Loader, "commit", committing)
    return ended


def test_a_customer_that_is_removed_after_its_file_was_prepared(
    callmart: Callmart,
    files: list[tuple[Path, int]],
    begun: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    removed = behind_the_first(
        monkeypatch, lambda: begun(2), lambda: callmart.apply(registry(*CUSTOMERS[1:]))
    )
    outcomes = callmart.land_all(*files)
    assert landed(outcomes) == [
        2,
        f"customer {LEAVING} is not in the registry; add it and apply the registry first, "
        "or if it has left, remove its folder from callmart.toml and delete its files",
        2,
    ]  # fmt: skip
    assert removed == [True]
    monkeypatch.undo()
    callmart.apply(registry(*CUSTOMERS))


def test_a_key_that_is_rotated_after_its_file_was_prepared(
    callmart: Callmart,
    files: list[tuple[Path, int]],
    begun: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The landing has read the former key, by which the same calls would land once more."""
    (first, _), _, (third, _) = files
    third.write_text(first.read_text() + third.read_text())
    rotated = behind_the_first(monkeypatch, lambda: begun(2), lambda: rotate(callmart, STAYING))
    outcomes = callmart.land_all(*files)
    assert landed(outcomes) == [2, 2, 2]
    assert isinstance(outcomes[2], landing.Landed) and outcomes[2].repeated == 2
    assert rotated == [True]


def test_a_key_that_is_lost_after_it_was_read(
    callmart: Callmart,
    files: list[tuple[Path, int]],
    begun: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is read once, so the landing goes on."""
    key = key_file(callmart.home, STAYING)
    content = key.read_bytes()
    lost = behind_the_first(monkeypatch, lambda: begun(2), key.unlink)
    try:
        assert landed(callmart.land_all(*files)) == [2, 2, 2]
    finally:
        key.write_bytes(content)
    assert lost == [True]


def test_a_file_that_could_not_be_prepared_ahead_lands_in_its_turn(
    callmart: Callmart, files: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session was lost, or the file can't be read: only its own turn says what is wrong."""
    path = files[1][0]
    path.write_text(path.read_text() + "x" * found.BLOCK * 2)
    lost: list[str] = []

    def current_gate(*arguments: Any) -> tuple[int, Gate]:
        if current_thread() is not main_thread() and not lost:
            lost.append("a session")
            raise psycopg.OperationalError
        return admission.current_gate(*arguments)

    monkeypatch.setattr(landing, "current_gate", current_gate)
    first, second, third = landed(callmart.land_all(*files))
    assert (first, third) == (2, 2)
    assert str(second).startswith(f"{path}, line 3 is longer than ")
    assert lost


def test_a_customer_that_is_added_after_its_file_was_prepared(
    callmart: Callmart, files: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's turn has come only when the registry knows it."""
    asked = Event()

    def current_gate(*arguments: Any) -> tuple[int, Gate]:
        read = admission.current_gate(*arguments)
        if current_thread() is not main_thread():
            asked.set()
        return read

    callmart.apply(registry(*CUSTOMERS[1:]))
    monkeypatch.setattr(landing, "current_gate", current_gate)
    added = behind_the_first(
        monkeypatch, lambda: asked.wait(LONG_ENOUGH_S), lambda: callmart.apply(registry(*CUSTOMERS))
    )
    assert landed(callmart.land_all(*files)) == [2, 2, 2]
    assert added == [True]


def of_erased(agent: str) -> str:
    """An event of an agent outside of calls. It is left out if the agent was erased."""
    return ndjson(event("agent_logged_in", at("11:00"), customer_id=ERASED, agent=agent))


def erase_agent(callmart: Callmart, agent: str, request: int) -> None:
    erase(callmart, person(callmart, ERASED, "agent", agent, at("00:00", 1)), request)


def test_who_was_erased_after_the_file_was_prepared_does_not_land(
    callmart: Callmart,
    files: list[tuple[Path, int]],
    begun: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server refuses the file as it is, and it is prepared again."""
    path = files[1][0]
    path.write_text(path.read_text() + of_erased("x"))
    erased = behind_the_first(monkeypatch, lambda: begun(2), lambda: erase_agent(callmart, "x", 1))
    outcomes = callmart.land_all(*((path, None) for path, _ in files))
    assert landed(outcomes) == [2, 2, 2]
    assert isinstance(outcomes[1], landing.Landed) and outcomes[1].erased == 1
    assert erased == [True]


def test_a_file_behind_that_is_damaged_does_not_stop_the_one_in_front_of_it(
    callmart: Callmart, files: list[tuple[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails in its first block, and its session is closed, before the one in front is stored."""
    *front, behind = (path for path, _ in files)
    for path in front:
        path.write_text(path.read_text() * 3)
    behind.write_text(behind.read_text().splitlines(keepends=True)[0] + "x" * 1000)
    monkeypatch.setattr(found, "BLOCK", 400)  # behind, it holds the first line and some of the second
    reset, commit, closed, committed = Loader.reset, Loader.commit, Event(), list[bool]()

    def resetting(loader: Loader) -> None:
        reset(loader)
        if current_thread() is not main_thread():
            closed.set()

    def committing(loader: Loader) -> None:
        committed.append(len(committed) == 1 and closed.wait(LONG_ENOUGH_S))
        commit(loader)

    monkeypatch.setattr(Loader, "reset", resetting)
    monkeypatch.setattr(Loader, "commit", committing)
    first, second, third = callmart.land_all(*((path, None) for path, _ in files))
    assert committed == [False, True]
    assert landed([first, second]) == [6, 6]
    assert str(third).startswith(f"{behind}, line 2 is longer than ")
