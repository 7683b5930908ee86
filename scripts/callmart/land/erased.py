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
from functools import cache

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import sql_file
from callmart.base.raw_format import AGENT_ENDS
from callmart.database.tombstones import BEGINNING, Kind, of_call, secret_of, tombstone
from callmart.land.gate import Gate

SQL = sql_file.statements(__file__)
WITHOUT_ERASED = SQL["without_erased"].format(agent_ends=AGENT_ENDS)

LONGEST = timedelta(days=31)  # what began before the end may end so much later

# Where the keys of persons and calls are. A target is an agent or a number.
KEYS: tuple[tuple[Kind, str], ...] = (
    ("call", "call_key"),
    ("agent", "agent_key"),
    ("device", "device_key"),
    ("caller", "number_key"),
    ("agent", "target_key"),
    ("caller", "target_key"),
)
FOUND = pa.schema(
    [
        ("customer_id", pa.int32()),
        ("kind", pa.string()),
        ("key", pa.string()),  # null for a call
        ("call_key", pa.int64()),
        ("tombstone", pa.string()),
        ("until", pa.timestamp("us", "UTC")),
    ]
)


class Door:
    """Lets the events of a file through. `left_out` counts those that it keeps out."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, gate: Gate) -> None:
        self._connection = connection
        self._until = gate.erased_until
        self._erased = cache(lambda: _Erased(gate))  # read once per file
        self.left_out = 0

    def without_erased(self, events: pa.Table) -> pa.Table:
        """The events of a batch, those of erased persons as the server may have them. They get a column `erased`."""
        unerased = events.append_column("erased", pa.nulls(events.num_rows, pa.string()))
        found = self._erased().found_in(events) if self._concerns(events) else None
        if not found:
            return unerased
        self._connection.register("admitted", events)
        self._connection.register("found", found)
        let_in = self._connection.sql(WITHOUT_ERASED).to_arrow_table()
        self.left_out += events.num_rows - let_in.num_rows
        return let_in.select(unerased.column_names).cast(unerased.schema)

    def _concerns(self, events: pa.Table) -> bool:
        """Whether the batch has rows of a customer from before the end of what was erased of that customer."""
        if not self._until:
            return False
        first = events.group_by("customer_id").aggregate([("occurred_at", "min")]).to_pydict()
        return any(
            customer in self._until and first_at < self._until[customer] + LONGEST
            for customer, first_at in zip(first["customer_id"], first["occurred_at_min"], strict=True)
        )


class _Erased:
    """Knows again who was erased."""

    def __init__(self, gate: Gate) -> None:
        keys = gate.keys.to_pydict()
        self._secrets = {
            customer: secret_of(key) for customer, key in zip(keys["customer_id"], keys["key"], strict=True)
        }
        self._tombstones = gate.tombstones()
        begin: dict[str, set[str]] = {kind: set() for kind, _ in KEYS}
        for _, kind, each in self._tombstones:
            begin[kind].add(each[:BEGINNING])
        self._beginnings = {
            kind: pa.array([int(each, 16) for each in begins], pa.int64())
            if kind == "call"
            else pa.array(list(begins), pa.string())
            for kind, begins in begin.items()
        }

    def found_in(self, events: pa.Table) -> pa.Table:
        """The keys in a batch that are of somebody who was erased, by FOUND, each once."""
        found = {}
        for kind, column in KEYS:
            keys = pc.unique(events[column])
            suspects = keys.filter(pc.is_in(_beginnings(keys), value_set=self._beginnings[kind]))
            if not len(suspects):
                continue
            rows = events.select(["customer_id", column])
            whose = rows.filter(pc.is_in(rows[column], value_set=suspects)).group_by(["customer_id", column])
            for customer, key in zip(*whose.aggregate([]).to_pydict().values(), strict=True):
                name, pseudonym = ("call_key", of_call(key)) if kind == "call" else ("key", key)
                made = tombstone(self._secrets[customer], kind, pseudonym)
                if until := self._tombstones.get((customer, kind, made)):
                    found[customer, kind, key] = {
                        "customer_id": customer, "kind": kind, name: key, "tombstone": made, "until": until,
                    }  # fmt: skip
        return pa.Table.from_pylist(list(found.values()), FOUND)


def _beginnings(keys: pa.Array) -> pa.Array:
    """How the texts of keys begin; of a call it is the number that its first characters say."""
    if pa.types.is_int64(keys.type):
        return pc.bit_wise_and(pc.shift_right(keys, 64 - 4 * BEGINNING), 16**BEGINNING - 1)
    return pc.utf8_slice_codeunits(keys, 0, BEGINNING)
