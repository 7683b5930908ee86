"""The door for events that seem to be of one agent and are another's: they get the other's key.

An event keeps its own key, so a file that lands again still repeats what is there. The server refuses what was not
corrected (raw.brings_mistaken).

A correction knows the mistaken agent by the key that it was made under, and has the other's present key. So a batch is
compared with it once per layer of the keys, and the other's key is set aside until all layers are there.
"""

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import sql_file
from callmart.database.tombstones import BEGINNING, secret_of, tombstone
from callmart.land.gate import Gate

SQL = sql_file.statements(__file__)

_ASIDE = ["given_agent", "given_target"]
_FOUND = pa.schema(
    [
        ("customer_id", pa.int32()),
        ("mistaken_key", pa.string()),
        ("agent_key", pa.string()),
        ("since", pa.timestamp("us", "UTC")),
        ("until", pa.timestamp("us", "UTC")),
    ]
)


class Corrected:
    """Corrects the events of a file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, gate: Gate) -> None:
        self._connection = connection
        self._corrections = gate.corrections
        self._secrets = {
            customer: secret_of(key)
            for customer, key in zip(
                gate.keys["customer_id"].to_pylist(), gate.keys["key"].to_pylist(), strict=True
            )
            if gate.corrections  # seldom, and there can be thousands of customers
        }

    def found(self, events: pa.Table) -> pa.Table:
        """The events of a batch. Where the keys as they are show a mistake, the right agent's key is set aside."""
        if not self._corrections:
            return events
        if _ASIDE[0] not in events.column_names:
            for column in _ASIDE:
                events = events.append_column(column, pa.nulls(events.num_rows, pa.string()))
        found = self._found_in(events)
        if not found:
            return events
        self._connection.register("found_mistakes", pa.Table.from_pylist(found, _FOUND))
        return self._changed(events, "found")

    def given(self, events: pa.Table) -> pa.Table:
        """The events, each with the agent whose it is."""
        if not self._corrections:
            return events
        if any(events[column].null_count < events.num_rows for column in _ASIDE):
            events = self._changed(events, "given")
        return events.drop_columns(_ASIDE)

    def _changed(self, events: pa.Table, statement: str) -> pa.Table:
        self._connection.register("judged_events", events)
        changed = self._connection.sql(SQL[statement]).to_arrow_table()
        return changed.select(events.column_names).cast(events.schema)

    def _found_in(self, events: pa.Table) -> list[dict[str, object]]:
        """The keys in a batch that are to be replaced, with what replaces them."""
        beginnings = pa.array({one.mistaken[:BEGINNING] for one in self._corrections}, pa.string())
        found: list[dict[str, object]] = []
        for column in ("agent_key", "target_key"):
            suspects = events.filter(
                pc.is_in(pc.utf8_slice_codeunits(events[column], 0, BEGINNING), value_set=beginnings)
            )
            for row in suspects.group_by(["customer_id", column]).aggregate([]).to_pylist():
                customer, key = row["customer_id"], row[column]
                made = tombstone(self._secrets[customer], "mistaken", key)
                found += [
                    {"customer_id": customer, "mistaken_key": key, **one._asdict()}
                    for one in self._corrections
                    if (one.customer_id, one.mistaken) == (customer, made)
                ]
        return found
