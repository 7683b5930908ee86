"""Two customers of the same events. To one of them an agent's events were told as another's."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from callmart_home import Callmart

ONE, TWIN = 1001, 1002


def on(table: pa.Table, day: date) -> Any:
    """Whether each event is of a day at the customer."""
    local = pc.local_timestamp(pc.cast(table["occurred_at"], pa.timestamp("us", "Europe/Amsterdam")))
    return pc.equal(pc.cast(local, pa.date32()), pa.scalar(day))


def given(table: pa.Table, day: date, mistaken: str, right: str) -> pa.Table:
    """The events, those of the one on a day as the other's."""
    for column in ("agent", "target"):
        changes = pc.fill_null(pc.and_(on(table, day), pc.equal(table[column], mistaken)), False)
        changed = pc.if_else(changes, pa.scalar(right), table[column])
        table = table.set_column(table.schema.get_field_index(column), column, changed)
    return table


def of_customer(table: pa.Table, customer: int) -> pa.Table:
    """The events as another customer's."""
    number = pa.array([customer] * table.num_rows, table.schema.field("customer_id").type)
    return table.set_column(table.schema.get_field_index("customer_id"), "customer_id", number)


def parquet(callmart: Callmart, table: pa.Table, name: str) -> Path:
    """A file beside the home, in which every file belongs to a place."""
    path = callmart.home.with_name(f"{callmart.home.name}.{name}")
    pyarrow.parquet.write_table(table, path)
    return path
