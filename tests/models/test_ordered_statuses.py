"""Statuses are computed only of customers who have ordered reports that show them."""

from agent_events import added, login, status, wrapup
from callmart.build import window
from callmart_home import Callmart, ignore_step
from events import DETAILED, STANDARD, registry


def test_statuses_are_computed_only_under_a_detailed_contract(callmart: Callmart) -> None:
    """Of all customers what the figures of queues need: logins, memberships and wrap-ups."""
    callmart.apply(registry(f"id: 1, {STANDARD}", f"id: 2, {DETAILED}"))
    told = [status("10:00", "break"), login("09:00"), added("09:00"), wrapup("started", "11:00")]
    callmart.land_together({1: told, 2: told})
    with callmart.connect() as connection:
        window.build(connection, callmart.settings, ignore_step)
    found = callmart.rows("select distinct customer_id, kind from build.stg_agent_event")
    kinds = {
        customer: {row["kind"] for row in found if row["customer_id"] == customer} for customer in (1, 2)
    }
    assert kinds[1] == {"login", "membership", "wrapup"}
    assert kinds[2] == {"status", *kinds[1]}
    assert {row["customer_id"] for row in callmart.rows("select customer_id from build.int_status")} == {2}
