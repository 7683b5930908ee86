"""The door for persons who were erased: their rows don't reach the server as they are.

| row | what becomes of it |
| --- | --- |
| of an erased agent, outside of calls | left out, and counted |
| of an erased agent, in a call | handed over with the agent's tombstone; the server makes a key in its place |
| of an erased call | handed over as its moment, event and queue, to be counted as repeated or as left out |
| with an erased caller's number, an erased agent's device, or one of them as its target | handed over without that |

The server knows which of them it has already (raw.settle_erased). It also asks the tombstones again.
"""

from datetime import timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import sql_file
from callmart.database.tombstones import secret_of
from callmart.land.gate import Gate

SQL = sql_file.statements(__file__)

CALLS_END = timedelta(days=1)  # a call that began before the end may end a day later


class Door:
    """Lets the events of a file through. `left_out` counts those that it keeps out."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, gate: Gate) -> None:
        self._connection = connection
        self._gate = gate
        self._is_set_up = False
        self._until = pc.max(gate.erased_until["until"]).as_py()  # None if nobody was erased
        self.left_out = 0

    def without_erased(self, events: pa.Table) -> pa.Table:
        """The events of a batch, those of erased persons as the server may have them. They get a column `erased`."""
        unerased = events.append_column("erased", pa.nulls(events.num_rows, pa.string()))
        if self._until is None or not self._concerns(events):
            return unerased
        self._set_up()
        self._connection.register("admitted", events)
        if not self._connection.execute(SQL["found"]).execute("select 1 from found limit 1").fetchall():
            return unerased
        let_in = self._connection.sql(SQL["without_erased"]).to_arrow_table()
        self.left_out += events.num_rows - let_in.num_rows
        return let_in.select(unerased.column_names).cast(unerased.schema)

    def _concerns(self, events: pa.Table) -> bool:
        """Whether the batch has rows of customers and days of whom somebody was erased."""
        if events.num_rows == 0:
            return False
        first = pc.min(events["occurred_at"]).as_py()
        whose = pc.is_in(pc.unique(events["customer_id"]), value_set=self._gate.erased_until["customer_id"])
        return bool(first < self._until + CALLS_END and pc.any(whose).as_py())

    def _set_up(self) -> None:
        """Read the tombstones, once per file. The secrets of this file are forgotten with it."""
        if self._is_set_up:
            return
        customers = self._gate.erased_until["customer_id"].to_pylist()
        keys = dict(
            zip(self._gate.keys["customer_id"].to_pylist(), self._gate.keys["key"].to_pylist(), strict=True)
        )
        of_customers = self._gate.erased_until.select(["customer_id", "until"]).append_column(
            "secret",
            pa.array([secret_of(keys[one]) if one in keys else None for one in customers], pa.binary()),
        )
        self._connection.register("erased_until_arrow", of_customers)
        self._connection.register("tombstones_arrow", self._gate.tombstones(customers))
        self._connection.execute(SQL["tables"])
        self._is_set_up = True
