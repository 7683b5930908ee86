"""What the tests of landing on a server share: customers of their own, events, and the days that become dirty."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

from callmart.base.keys import write_keys
from callmart.registry.applying import forget_customer
from callmart_home import Callmart
from events import Row, at, event, ndjson

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


def change_registry(callmart: Callmart, customer: int) -> None:
    """Make a version of the registry under which the customer's files are read again."""
    with callmart.connect() as connection:
        connection.execute("select registry.read_again(%s)", [customer])


def booked(callmart: Callmart, customer: int, rows: list[Row]) -> tuple[int, ...]:
    """Land rows; returns how many events landed, were repeated and were left out. The loader is told less."""
    callmart.land_text(ndjson(*(row | {"customer_id": customer} for row in rows)))
    counts = "select landed, repeated, erased from raw.file order by file_id desc limit 1"
    return tuple(callmart.rows(counts)[0].values())


def figures(callmart: Callmart, customer: int) -> Counter[Any]:
    """What queues count: moments, events and queues."""
    rows = callmart.rows(
        "select occurred_at, event, queue from raw.event where customer_id = %s and call_key is not null",
        customer,
    )
    return Counter(tuple(row.values()) for row in rows)


def remove_and_order_anew(callmart: Callmart, customer: int) -> None:
    """As if everything of the customer had been removed, and it came back: it gets another key."""
    with callmart.connect() as connection:
        new_key = forget_customer(connection, customer)
        assert new_key
        write_keys(callmart.home, {customer: new_key})
        for table in ("raw.event", "raw.call"):
            connection.execute(f"delete from {table} where customer_id = %s".encode(), [customer])
