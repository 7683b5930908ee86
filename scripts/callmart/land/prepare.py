"""Prepares a file's events for storing, batch by batch and in memory only.

`judging` decides which rows may be stored, then `keying` replaces persons by keys.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import duck
from callmart.base.ahead import ahead
from callmart.base.errors import UserError
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.land import judging, readers
from callmart.land.cel import ChannelLog
from callmart.land.erased import Door
from callmart.land.gate import Defaults, Gate
from callmart.land.keying import keyed_events
from callmart.land.queue_log import QueueLog
from callmart.land.source import Limits, Source

REJECT_SCHEMA = pa.schema([("line_number", pa.int64()), ("reason", pa.string())])
AGENT_SCHEMA = pa.schema(
    [
        ("customer_id", pa.int32()),
        ("agent_key", pa.string()),
        ("agent", pa.string()),
        ("last_at", pa.timestamp("us", "UTC")),  # time of the agent's last event
    ]
)

_CHUNK = 1 << 13  # rows that DuckDB gives to a thread at a time


class Prepared:
    """The events of a file. The counters are complete once all of `batches` has been consumed."""

    def __init__(
        self,
        source: Source,
        connection: duckdb.DuckDBPyConnection,
        customers: set[int],
        log: QueueLog | ChannelLog | None,
        door: Door,
    ) -> None:
        self._source = source
        self._connection = connection
        self._customers = customers
        self._log = log
        self._door = door
        self._agents: list[pa.Table] = []
        # The key None counts the rows of customers that the registry does not know.
        self.turned_away_by: Counter[int | None] = Counter()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the events that may be stored, by EVENT_SCHEMA, in no particular order. Can be called once."""
        events = keyed_events(self._connection)
        for rows in ahead(readers.batches(self._source)):
            yield from self._judge(events, rows).to_batches()
            pa.default_memory_pool().release_unused()  # free the batch's memory before the next one
        self._connection.close()

    def _judge(self, keyed: duckdb.DuckDBPyRelation, rows: pa.Table) -> pa.Table:
        """The events of a batch that may be stored. The other rows are counted."""
        table = rows if self._log is None else self._log.canonical(rows)
        # Small chunks, so that both of DuckDB's threads have work.
        chunks = table.combine_chunks().to_batches(_CHUNK)
        self._connection.register("source", pa.Table.from_batches(chunks, table.schema))
        judged = keyed.to_arrow_table()
        if judged.num_rows < table.num_rows:
            self._count_turned_away()
        self._reject(judged.filter(pc.is_valid(judged["fault"])))
        events = self._door.let_in(judged.filter(pc.is_null(judged["fault"])))
        self._note_agents(events)
        return self._stored(events).combine_chunks()

    @property
    def rows(self) -> int:
        """The number of rows in the file, whether stored or not; for a log the number of lines."""
        return self._source.tally.rows

    @property
    def rejects(self) -> pa.Table:
        """The rejected rows, sorted by line_number, each with a fixed reason and no contents of the row."""
        tables = [REJECT_SCHEMA.empty_table(), *self._source.tally.rejects]
        return pa.concat_tables(tables).sort_by("line_number")

    @property
    def rejected(self) -> int:
        """The number of rejected rows."""
        return self._source.tally.rejected

    @property
    def turned_away(self) -> int:
        """The number of rows without a contract on their day."""
        return self.turned_away_by.total()

    @property
    def erased(self) -> int:
        """The number of events that were left out because their agent was erased."""
        return self._door.left_out

    @property
    def told(self) -> pa.Table:
        """The keys of persons who were erased or object since before a rotation (Door.told)."""
        return self._door.told

    @property
    def agents(self) -> pa.Table:
        """The agents' ids by key, for days under a detailed contract. Anonymous agents are left out."""
        return _distinct(pa.concat_tables([AGENT_SCHEMA.empty_table(), *self._agents]))

    @property
    def unknown_verbs(self) -> dict[str, int]:
        """The verbs of a log that callmart does not know, with the number of times each occurs."""
        return {} if self._log is None else dict(self._log.unknown_verbs)

    @property
    def incomplete_last_line(self) -> bool:
        """Whether the last line had no line end yet. Such a line is left for the next landing."""
        return self._source.tally.incomplete_last_line

    def _count_turned_away(self) -> None:
        counts = self._connection.sql(
            f"select customer_id, count(distinct line_number) from ({judging.ARRIVED}) where turned_away group by all"
        ).fetchall()
        for customer_id, count in counts:
            self.turned_away_by[customer_id if customer_id in self._customers else None] += count

    def _reject(self, faulty: pa.Table) -> None:
        # A line can yield two faulty events; it counts once.
        lines = faulty.group_by("line_number").aggregate([("fault", "min")]).sort_by("line_number")
        self._source.tally.reject(lines["line_number"], lines["fault_min"])

    def _note_agents(self, events: pa.Table) -> None:
        nameable = pc.and_(events["nameable"], pc.is_valid(events["agent"]))
        self._agents = [_distinct(pa.concat_tables([*self._agents, _as_agents(events.filter(nameable))]))]

    def _stored(self, events: pa.Table) -> pa.Table:
        stored = events.select(EVENT_SCHEMA.names)
        if not isinstance(self._log, QueueLog):
            no_line = pa.nulls(stored.num_rows, pa.int64())
            stored = stored.set_column(EVENT_SCHEMA.get_field_index("line_number"), "line_number", no_line)
        return stored.cast(EVENT_SCHEMA)


def prepare(path: Path, format: str, defaults: Defaults, gate: Gate, limits: Limits) -> Prepared:
    """Open a file and get ready to read its events. Raises UserError for what is wrong at the file's beginning."""
    pa.set_memory_pool(pa.system_memory_pool())  # other pools don't return freed memory
    connection = duck.connect()
    # The source needs its own cursor, as another thread reads it ahead.
    source = readers.open_source(path, format, limits, connection.cursor())
    is_queue_log = source.form in ("queue_log", "queue_log_realtime")
    is_log = is_queue_log or source.form == "cel"
    if defaults.customer_id is None and (is_log or "customer_id" not in (source.header or ("customer_id",))):
        raise UserError(f"{path} does not name the customer; give --customer")
    log: QueueLog | ChannelLog | None = None
    if is_queue_log:
        zone = _log_zone(defaults, gate) if source.form == "queue_log_realtime" else None
        log = QueueLog(connection, source.tally, zone)
    elif is_log:
        log = ChannelLog(connection, source.tally, _log_zone(defaults, gate))
    judging.set_up(connection, defaults, gate, is_queue_log=is_queue_log)
    return Prepared(
        source,
        connection,
        set(gate.customers["customer_id"].to_pylist()),
        log,
        Door(connection, gate),
    )


def _log_zone(defaults: Defaults, gate: Gate) -> str:
    """The time zone of a log's local times: the given one, or else the customer's."""
    zones = dict(
        zip(gate.customers["customer_id"].to_pylist(), gate.customers["time_zone"].to_pylist(), strict=True)
    )
    # The zone of an unknown customer doesn't matter: all its rows are turned away.
    return str(defaults.time_zone or zones.get(defaults.customer_id, "UTC"))


def _as_agents(events: pa.Table) -> pa.Table:
    seen = events.select([*AGENT_SCHEMA.names[:-1], "occurred_at"])
    return seen.rename_columns(AGENT_SCHEMA.names).cast(AGENT_SCHEMA)


def _distinct(agents: pa.Table) -> pa.Table:
    last = agents.group_by(AGENT_SCHEMA.names[:-1]).aggregate([("last_at", "max")])
    return last.rename_columns({"last_at_max": "last_at"}).select(AGENT_SCHEMA.names)
