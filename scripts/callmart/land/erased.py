"""The door for persons who were erased: their rows don't reach the server as they are.

| row | what becomes of it |
| --- | --- |
| of an erased agent, outside of calls | left out, and counted |
| of an erased agent, in a call | handed over with the agent's tombstone; the server makes a key in its place |
| of an erased call | handed over as its moment, event and queue, to be counted as repeated or as left out |
| with an erased caller's number, an erased agent's device, or one of them as its target | handed over without that |

The server knows which of them it has already (raw.settle_erased). It also looks up the tombstones again.

A tombstone is of a pseudonym as it was when the person was erased. So a batch comes to the door once per layer of the
keys, before a rotation's layer is added. The server sees the last pseudonyms only, so it is told which of them are of
persons erased before a rotation, or of agents who object since before one.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import sql_file
from callmart.base.keys import layered, layers_of
from callmart.base.raw_format import AGENT_ENDS, LONGEST_PHASE
from callmart.database.tombstones import BEGINNING, Kind, of_call, secret_of, tombstone
from callmart.land.corrected import Corrected
from callmart.land.gate import Gate, added_layers
from callmart.land.keying import with_layer
from callmart.land.source import Tally

SQL = sql_file.statements(__file__)
WITHOUT_ERASED = SQL["without_erased"].format(agent_ends=AGENT_ENDS)

# Where the keys of persons and calls are. A target is an agent or a number.
KEYS: tuple[tuple[Kind, str], ...] = (
    ("call", "call_key"),
    ("agent", "agent_key"),
    ("device", "device_key"),
    ("caller", "number_key"),
    ("agent", "target_key"),
    ("caller", "target_key"),
)
OBJECTORS: tuple[tuple[Kind, str], ...] = (("objector", "agent_key"), ("objector", "target_key"))
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
TOLD_SCHEMA = pa.schema(
    [("customer_id", pa.int32()), ("kind", pa.string()), ("key", pa.string()), ("tombstone", pa.string())]
)


class Door:
    """Lets the events of files through. The files' tallies count those that it keeps out."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, tallies: Mapping[int, Tally], gate: Gate
    ) -> None:
        self._connection = connection
        self._tallies = tallies
        self._until = gate.erased_until
        self._corrected = Corrected(connection, gate)
        self._erased = cache(lambda: _Erased(gate))  # read once per landing
        self._layers = added_layers(gate)
        self._added = {row["customer_id"]: layers_of(row["key"])[1:] for row in gate.keys.to_pylist()}
        self._told: set[tuple[int, str, str, str]] = set()  # by TOLD_SCHEMA

    @property
    def told(self) -> pa.Table:
        """The keys of persons who were erased or object since before a rotation, as the files have them now."""
        return pa.Table.from_pylist(
            [dict(zip(TOLD_SCHEMA.names, one, strict=True)) for one in sorted(self._told)], TOLD_SCHEMA
        )

    def let_in(self, events: pa.Table) -> pa.Table:
        """The events of a batch with all layers of their keys, those of erased persons as the server may have them.
        They get a column `erased`.
        """
        events = events.append_column("erased", pa.nulls(events.num_rows, pa.string()))
        for number, layer in enumerate(self._layers):
            events = self._corrected.found(events)
            self._tell(self._erased().found_in(events, OBJECTORS), number)
            events, found = self._without_erased(events)
            self._tell(found, number)
            events = with_layer(self._connection, events, layer)
        events = self._corrected.given(self._corrected.found(events))
        return self._without_erased(events)[0]

    def _tell(self, found: list[dict[str, Any]], number: int) -> None:
        """Note the last pseudonyms of those who were found before this layer was added."""
        for one in found:
            customer = one["customer_id"]
            layers = self._added[customer][number:]
            if one["kind"] != "call" and layers:
                key = reduce(lambda pseudonym, layer: layered(layer, pseudonym), layers, one["key"])
                self._told.add((customer, one["kind"], key, one["tombstone"]))

    def _without_erased(self, events: pa.Table) -> tuple[pa.Table, list[dict[str, Any]]]:
        """The events that may be handed over, and what was found in them, by FOUND."""
        found = self._erased().found_in(events) if self._concerns(events) else []
        if not found:
            return events, []
        self._connection.register("admitted", events)
        self._connection.register("found", pa.Table.from_pylist(found, FOUND))
        let_in = self._connection.sql(WITHOUT_ERASED).to_arrow_table()
        for number, rows in (_rows_per_file(events) - _rows_per_file(let_in)).items():
            self._tallies[number].erased += rows
        return let_in.select(events.column_names).cast(events.schema), found

    def _concerns(self, events: pa.Table) -> bool:
        """Whether the batch has rows of a customer from before the end of what was erased of that customer."""
        if not self._until:
            return False
        first = events.group_by("customer_id").aggregate([("occurred_at", "min")]).to_pydict()
        return any(
            customer in self._until and first_at < self._until[customer] + LONGEST_PHASE
            for customer, first_at in zip(first["customer_id"], first["occurred_at_min"], strict=True)
        )


class _Erased:
    """Knows again who was erased, and who objects."""

    def __init__(self, gate: Gate) -> None:
        keys = gate.keys.to_pydict()
        self._secrets = {
            customer: secret_of(key) for customer, key in zip(keys["customer_id"], keys["key"], strict=True)
        }
        self._tombstones = gate.tombstones()
        begin: dict[str, set[str]] = {kind: set() for kind, _ in KEYS + OBJECTORS}
        for _, kind, each in self._tombstones:
            begin[kind].add(each[:BEGINNING])
        self._beginnings = {
            kind: pa.array([int(each, 16) for each in begins], pa.int64())
            if kind == "call"
            else pa.array(list(begins), pa.string())
            for kind, begins in begin.items()
        }

    def found_in(self, events: pa.Table, sought: tuple[tuple[Kind, str], ...] = KEYS) -> list[dict[str, Any]]:
        """The keys in a batch that are of somebody with a tombstone, by FOUND, each once."""
        found: dict[tuple[int, str, Any], dict[str, Any]] = {}
        for kind, column in sought:
            if not len(self._beginnings[kind]):
                continue
            keys = pc.unique(events[column])
            suspects = keys.filter(pc.is_in(_beginnings(keys), value_set=self._beginnings[kind]))
            if not len(suspects):
                continue
            rows = events.select(["customer_id", column])
            whose = rows.filter(pc.is_in(rows[column], value_set=suspects)).group_by(["customer_id", column])
            for customer, key in zip(*whose.aggregate([]).to_pydict().values(), strict=True):
                name, pseudonym = ("call_key", of_call(key)) if kind == "call" else ("key", key)
                # A correction gives events to an agent who was erased since by the tombstone.
                is_mark = (customer, kind, key) in self._tombstones
                made = key if is_mark else tombstone(self._secrets[customer], kind, pseudonym)
                if until := self._tombstones.get((customer, kind, made)):
                    found[customer, kind, key] = {
                        "customer_id": customer, "kind": kind, name: key, "tombstone": made, "until": until,
                    }  # fmt: skip
        return list(found.values())


def _rows_per_file(events: pa.Table) -> Counter[int]:
    return Counter(
        {one["values"]: one["counts"] for one in pc.value_counts(events["file_number"]).to_pylist()}
    )


def _beginnings(keys: pa.Array) -> pa.Array:
    """The beginnings of keys: as text, or of a call as the number that its first characters stand for."""
    if pa.types.is_int64(keys.type):
        return pc.bit_wise_and(pc.shift_right(keys, 64 - 4 * BEGINNING), 16**BEGINNING - 1)
    return pc.utf8_slice_codeunits(keys, 0, BEGINNING)
