"""The audit computes days anew: figures and events that somebody changed by hand are found."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from audits import done
from callmart.audit import recomputed
from callmart.declarations import dbt_project
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, NAMED, STANDARD

pytestmark = [pytest.mark.dated, pytest.mark.server]


@pytest.fixture
def owner(played: Callmart) -> Iterator[psycopg.Connection]:
    """A connection of the owner whose transaction is rolled back."""
    with played.connect() as connection:
        yield connection
        connection.rollback()


FIGURE = f"""
update store.queue_interval set offered = offered + 1
where customer_id = {STANDARD} and call_date = (select max(call_date) from store.queue_day) and offered > 0
"""
NAME = f"update store.agent set agent = 'Noor' where customer_id = {NAMED}"
EVENTS = "{} raw.event {} where customer_id = {} and event = 'queue_joined'"


def test_what_was_changed_by_hand_is_found_and_nothing_else(
    played: Callmart, owner: psycopg.Connection
) -> None:
    """Each leaves as many rows in the marts as there were."""
    owner.execute(FIGURE.encode())
    owner.execute(NAME.encode())
    owner.execute(EVENTS.format("delete from", "", ANONYMOUS).encode())
    check = recomputed.look(owner, played.settings)
    assert check.looked_at > 5
    others = [one for one in check.found if f"customer {ANONYMOUS}" not in one]
    assert len(check.found) - len(others) > 2
    figure, name = sorted(others, reverse=True)
    assert figure.startswith(f"queue_interval, customer {STANDARD}, {DAYS[-1]}: ")
    assert name.startswith(f"agent, customer {NAMED}: ")


def test_days_of_which_somebody_wrote_a_row_are_looked_at_first(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chance would choose another one sooner or later."""
    monkeypatch.setattr(recomputed, "DAYS", 4)
    owner.execute(FIGURE.encode())
    owner.execute(EVENTS.format("update", "set queue = queue", NAMED).encode())
    marts = {mart.name: mart for mart in dbt_project.marts(played.settings)}
    for _ in range(20):
        with owner.transaction(force_rollback=True):
            recomputed.choose(owner, marts)
            chosen = set(owner.execute("select customer_id, call_date from pg_temp.window").fetchall())
        assert chosen == {(STANDARD, DAYS[-1]), *((NAMED, day) for day in DAYS)}


def test_nothing_is_computed_by_another_project_than_the_last_build(
    played: Callmart, owner: psycopg.Connection
) -> None:
    owner.execute("update ops.build set project = 'another'")
    assert recomputed.look(owner, played.settings).outcome == "does not apply"


def test_what_is_written_meanwhile_is_no_difference_and_each_mart_has_its_control(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mart may not compare all days that are computed."""
    compute, undone = recomputed._compute, ExitStack()
    change, undo = (f"update store.agent set agent = {name}" for name in ("agent || '!'", "left(agent, -1)"))
    so_far = f"""
    update ops.opened_day set so_far = {{}}
    where mart = 'queue_day' and (customer_id, call_date) <> ({STANDARD}, date '{DAYS[-1]}')
    """

    def meanwhile(*known: Any) -> None:
        undone.enter_context(done(played, change, undo))
        compute(*known)

    monkeypatch.setattr(recomputed, "_compute", meanwhile)
    with done(played, so_far.format("now()"), so_far.format("null")), undone:
        check = recomputed.of_days(owner, played.settings)
    assert (check.found, check.looked_at) == ((), 10)


def test_days_that_lost_all_rows_are_looked_at_and_a_list_of_contacts_for_as_long_as_it_is_kept(
    played: Callmart, owner: psycopg.Connection
) -> None:
    owner.execute(f"update registry.customer set contact_list_days = 2 where customer_id = {NAMED}".encode())
    owner.execute(f"update ops.opened_day set row_count = 0 where customer_id = {NAMED}".encode())
    recomputed.choose(owner, {mart.name: mart for mart in dbt_project.marts(played.settings)})
    chosen = owner.execute("select customer_id, call_date from pg_temp.window").fetchall()
    assert {(NAMED, day) for day in DAYS} < set(chosen)
    listed = owner.execute("select customer_id, call_date from pg_temp.fit where mart = 'queue_contact'")
    assert listed.fetchall() == [(NAMED, DAYS[-1])]
