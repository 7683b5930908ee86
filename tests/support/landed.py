"""What the tests of landing on a server share: customers of their own, events, and the days that become dirty."""

from datetime import date, timedelta

from callmart_home import Callmart
from events import Row, at, event

OWN = range(100, 160)  # detailed customers, of whom each test has its own
CALL = {"call_id": "c-1", "queue": "sales"}


def rows(size: int) -> list[Row]:
    """So many callers, a second apart."""
    return [
        event("queue_joined", at("10:00") + timedelta(seconds=i), call_id=f"c-{i}", queue="sales")
        for i in range(size)
    ]


def dirty(callmart: Callmart, customer: int) -> set[date]:
    return {
        row["call_date"]
        for row in callmart.rows("select call_date from ops.dirty_day where customer_id = %s", customer)
    }
