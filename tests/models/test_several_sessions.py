"""A window of many calls is computed in several sessions, customers apart. The marts are those that dbt makes."""

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from random import Random
from threading import Thread, Timer
from time import sleep
from typing import Any

import psycopg
import pytest

from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import PROJECT
from callmart.build import spreading, window
from callmart.database.cluster import Place
from callmart_home import Callmart, leave_opened_dirty
from commands import command_of
from dbt_by_hand import run_dbt
from on_cluster import marts

pytestmark = pytest.mark.thorough

SESSIONS = 3
STATEMENTS = spreading._statements


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[list[Counter[str]]]:
    """Let the smallest window be computed in several sessions. What they computed is in the list afterwards."""
    monkeypatch.setattr(spreading, "MANY_CALLS", 1)
    monkeypatch.setattr(spreading, "MOST_OF_ONE", SESSIONS)
    monkeypatch.setattr("os.cpu_count", lambda: SESSIONS)
    found: list[list[Counter[str]]] = []
    compute = spreading.compute

    def watched(
        connection: psycopg.Connection, planned: spreading.Plan, places: Sequence[Place]
    ) -> list[Counter[str]]:
        found.append(compute(connection, planned, places))
        return found[-1]

    monkeypatch.setattr(spreading, "compute", watched)
    return found


def breaking(*instead: str) -> Any:
    """The statements of models, and others instead of int_visit, for each session one."""
    left = cycle(instead)

    def statements(model: Any, *given: Any) -> Iterator[str]:
        yield from [next(left)] if model.name == "int_visit" else STATEMENTS(model, *given)

    return statements


def test_several_sessions_give_the_marts_that_dbt_gives(
    played: Callmart, computed: list[list[Counter[str]]]
) -> None:
    by_dbt = marts(played)
    played.build_in_windows(Random(1), windows=1)
    assert marts(played) == by_dbt
    (sessions,) = computed
    assert len(sessions) == SESSIONS
    assert all(rows["queue_interval"] for rows in sessions)


def test_a_session_leaves_nothing_but_the_rows_of_marts(
    played: Callmart, computed: list[list[Counter[str]]]
) -> None:
    with played.connect() as owner:
        leave_opened_dirty(owner)
        window.build(owner, played.settings, quietly)
        assert owner.execute("select relname from pg_class where relpersistence = 't'").fetchall() == []
        # dbt made this one, and its rows went when they were opened.
        assert owner.execute("select count(*) from build.stg_call_event").fetchone() == (0,)
        assert owner.execute("select count(*) from build.queue_interval").fetchone() != (0,)
        options = "select reloptions from pg_class where oid = 'build.queue_interval'::regclass"
        assert owner.execute(options).fetchone() == (["autovacuum_enabled=false"],)


def test_a_model_that_fails_is_named_and_the_next_build_finishes_the_job(
    played: Callmart, computed: list[list[Counter[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = marts(played)
    with played.connect() as owner:
        leave_opened_dirty(owner)
        owner.commit()
    for broken, told in {
        "select 1 / 0": r"^model int_visit failed \(SQLSTATE 22012\): run `dbt run --select \+int_visit` in ",
        "select one.thigs from (select 7) as one": r"^model int_visit failed \(column one.thigs does not exist\): run ",
        "select pg_terminate_backend(pg_backend_pid())": r"^the server broke off while it computed: if it",
    }.items():
        with monkeypatch.context() as patch, pytest.raises(UserError, match=told):
            patch.setattr(spreading, "_statements", breaking(broken))
            played.build_unchecked()
    played.build_unchecked()
    assert marts(played) == before


def test_the_remedy_of_a_model_that_fails_computes_it_again_with_its_rows(
    played: Callmart, computed: list[list[Counter[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with played.connect() as owner:
        leave_opened_dirty(owner)
        owner.commit()
        with monkeypatch.context() as patch, pytest.raises(UserError, match=r"--select \+int_visit"):
            patch.setattr(spreading, "_statements", breaking("select 1 / 0"))
            played.build_unchecked()
        assert run_dbt(played, PROJECT, "run", "--select", "+int_visit").returncode == 0
        assert owner.execute("select count(*) from build.int_visit").fetchone() != (0,)
    played.build_unchecked()


def test_when_one_session_fails_the_others_end(
    played: Callmart, computed: list[list[Counter[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with played.connect() as owner:
        leave_opened_dirty(owner)
        owner.commit()
        states: set[str | None] = set()
        monkeypatch.setattr(spreading, "kind", lambda error: states.add(error.sqlstate))
        monkeypatch.setattr(spreading, "_statements", breaking("select pg_sleep(60)", "select 1 / 0"))
        with pytest.raises(UserError, match="model int_visit failed"):
            window.build(owner, played.settings, quietly)
    assert states == {"22012", "57014"}, "the others were canceled"


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A program that a shell has begun in the background is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_sessions_that_wait_for_somebody(
    played: Callmart, computed: list[list[Counter[str]]], by: signal.Signals
) -> None:
    with played.connect() as owner, played.connect() as locking, played.connect() as watching:
        leave_opened_dirty(owner)
        owner.commit()
        locking.execute("lock table registry.holiday in access exclusive mode")
        watching.autocommit = True
        patience = Timer(60, locking.rollback)  # otherwise a failure would hang

        def interrupt() -> None:
            waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            while watching.execute(waiting).fetchall() == [(0,)]:
                sleep(0.05)
            patience.start()
            os.kill(os.getpid(), by)

        Thread(target=interrupt, daemon=True).start()
        ended = command_of(played.home)("build")
        assert (ended.returncode, ended.stdout) == (130, ""), ended.stderr
        assert patience.is_alive(), "they ended when the lock was gone"
        patience.cancel()


def test_few_calls_are_left_to_dbt(played: Callmart) -> None:
    with played.connect() as owner:
        leave_opened_dirty(owner)
        assert spreading.places(owner, played.settings) == []
        owner.rollback()
