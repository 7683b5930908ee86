"""What a customer sees with its own login."""

from callmart_home import Callmart


def sees(callmart: Callmart, customer_id: int) -> set[int]:
    rows = callmart.rows("select distinct customer_id from mart.queue_interval", customer_id=customer_id)
    return {row["customer_id"] for row in rows}
