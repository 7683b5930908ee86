"""Statuses are computed only of customers who have ordered reports that show them."""

from agent_events import added, login, status, told_until, wrapup
from callmart.base.progress import quietly
from callmart.build import window
from callmart.opening import opening
from callmart_home import Callmart, let_pass
from events import DETAILED, STANDARD, Row, registry

STANDARD_ID, DETAILED_ID = 1, 2
FOR_QUEUES = {"login", "membership", "wrapup"}  # what the figures of queues need of all customers


def test_statuses_are_computed_only_under_a_detailed_contract(callmart: Callmart) -> None:
    callmart.apply(registry(f"id: {STANDARD_ID}, {STANDARD}", f"id: {DETAILED_ID}, {DETAILED}"))
    told = [status("10:00", "break"), login("09:00"), added("09:00"), wrapup("started", "11:00")]
    _land_and_build(callmart, [*told, told_until("12:00", 1)])
    assert _kinds(callmart) == {STANDARD_ID: FOR_QUEUES, DETAILED_ID: {*FOR_QUEUES, "status"}}
    computed = callmart.rows("select distinct customer_id from build.int_status")
    assert computed == [{"customer_id": DETAILED_ID}]


def test_nor_are_those_from_before_the_days_of_the_build(callmart: Callmart) -> None:
    with callmart.connect() as connection:
        let_pass(connection, callmart.settings, quietly)
        opening.open_build(connection, callmart.settings)
    _land_and_build(callmart, [told_until("12:00", 2)])
    assert _kinds(callmart) == {STANDARD_ID: FOR_QUEUES, DETAILED_ID: {*FOR_QUEUES, "status"}}


def _land_and_build(callmart: Callmart, told: list[Row]) -> None:
    callmart.land_together({STANDARD_ID: told, DETAILED_ID: told})
    with callmart.connect() as connection:
        window.build(connection, callmart.settings, quietly)


def _kinds(callmart: Callmart) -> dict[int, set[str]]:
    """Per customer the kinds of events of agents that the build looked at."""
    kinds: dict[int, set[str]] = {}
    for row in callmart.rows("select customer_id, kind from build.stg_agent_event"):
        kinds.setdefault(row["customer_id"], set()).add(row["kind"])
    return kinds
