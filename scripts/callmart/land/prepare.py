"""From a file to events that may be stored: who may come in, what is well formed, keys in place of persons.

Batch by batch, in memory only. A row is first judged (`judging`), then persons are replaced by keys (`keying`).
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base.ahead import ahead
from callmart.base.errors import UserError
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.land import judging, readers
from callmart.land.cel import ChannelLog
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
        ("last_at", pa.timestamp("us", "UTC")),  # when it was last seen
    ]
)

_CHUNK = 1 << 13  # rows that DuckDB hands to a thread at a time


class Prepared:
    """The events of a file; take all of `batches` first, then the counters are complete."""

    def __init__(
        self,
        source: Source,
        connection: duckdb.DuckDBPyConnection,
        customers: set[int],
        log: QueueLog | ChannelLog | None,
    ) -> None:
        self._source = source
        self._connection = connection
        self._customers = customers
        self._log = log
        self._agents: list[pa.Table] = []
        # None: customers that the registry does not know.
        self.turned_away_by: Counter[int | None] = Counter()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The events that may be stored, by EVENT_SCHEMA, in no particular order; once."""
        events = keyed_events(self._connection)
        for rows in ahead(readers.batches(self._source)):
            yield from self._judge(events, rows).to_batches()
            pa.default_memory_pool().release_unused()  # what a batch took is given back before the next
        self._connection.close()

    def _judge(self, keyed: duckdb.DuckDBPyRelation, rows: pa.Table) -> pa.Table:
        """What may be stored of a batch; the rest is counted."""
        table = rows if self._log is None else self._log.canonical(rows)
        # Small chunks, so that both of DuckDB's threads get their share.
        chunks = table.combine_chunks().to_batches(_CHUNK)
        self._connection.register("source", pa.Table.from_batches(chunks, table.schema))
        judged = keyed.to_arrow_table()
        if judged.num_rows < table.num_rows:
            self._count_turned_away()
        self._reject(judged.filter(pc.is_valid(judged["fault"])))
        events = judged.filter(pc.is_null(judged["fault"]))
        self._note_agents(events)
        return self._stored(events).combine_chunks()

    @property
    def rows(self) -> int:
        """The rows of the file, whatever became of them; for a log its lines."""
        return self._source.tally.rows

    @property
    def rejects(self) -> pa.Table:
        """The rejected rows by line_number, with one of a few fixed reasons and nothing of the row."""
        tables = [REJECT_SCHEMA.empty_table(), *self._source.tally.rejects]
        return pa.concat_tables(tables).sort_by("line_number")

    @property
    def rejected(self) -> int:
        """How many rows were rejected."""
        return self._source.tally.rejected

    @property
    def turned_away(self) -> int:
        """How many rows had no contract on their day."""
        return self.turned_away_by.total()

    @property
    def agents(self) -> pa.Table:
        """The ids behind the agent keys, of days under a detailed contract; none where anonymous."""
        return _distinct(pa.concat_tables([AGENT_SCHEMA.empty_table(), *self._agents]))

    @property
    def unknown_verbs(self) -> dict[str, int]:
        """The verbs of a log that callmart does not know, and how often each was there."""
        return {} if self._log is None else dict(self._log.unknown_verbs)

    @property
    def incomplete_last_line(self) -> bool:
        """Whether the last line had no end yet, and was left for the next landing."""
        return self._source.tally.incomplete_last_line

    def _count_turned_away(self) -> None:
        counts = self._connection.sql(
            "select customer_id, count(distinct line_number) from arrived where turned_away group by all"
        ).fetchall()
        for customer_id, count in counts:
            self.turned_away_by[customer_id if customer_id in self._customers else None] += count

    def _reject(self, faulty: pa.Table) -> None:
        # Two events of one line can both be at fault; the line counts once.
        lines = faulty.group_by("line_number").aggregate([("fault", "min")]).sort_by("line_number")
        self._source.tally.reject(lines["line_number"], lines["fault_min"])

    def _note_agents(self, events: pa.Table) -> None:
        nameable = pc.and_(events["nameable"], pc.is_valid(events["agent"]))
        self._agents = [_distinct(pa.concat_tables([*self._agents, _as_agents(events.filter(nameable))]))]

    def _stored(self, events: pa.Table) -> pa.Table:
        stored = events.select(EVENT_SCHEMA.names)
        if not isinstance(self._log, QueueLog):
            nowhere = pa.nulls(stored.num_rows, pa.int64())
            stored = stored.set_column(EVENT_SCHEMA.get_field_index("line_number"), "line_number", nowhere)
        return stored.cast(EVENT_SCHEMA)


def prepare(path: Path, format: str, defaults: Defaults, gate: Gate, limits: Limits) -> Prepared:
    """Open a file and get ready to take its events; a mistake that shows at its beginning is a UserError."""
    pa.set_memory_pool(pa.system_memory_pool())  # the others keep what they once had
    connection = duckdb.connect(
        ":memory:", config={"threads": 2, "temp_directory": "", "allocator_flush_threshold": "1MB"}
    )
    connection.execute("set TimeZone = 'UTC'")
    # A cursor of its own, as the source is read ahead in another thread.
    source = readers.open_source(path, format, limits, connection.cursor())
    is_queue_log = source.form in ("queue_log", "queue_log_realtime")
    is_log = is_queue_log or source.form == "cel"
    if defaults.customer_id is None and (is_log or "customer_id" not in (source.header or ("customer_id",))):
        raise UserError(f"{path} does not say whose rows these are; give --customer")
    log: QueueLog | ChannelLog | None = None
    if is_queue_log:
        zone = _log_zone(defaults, gate) if source.form == "queue_log_realtime" else None
        log = QueueLog(connection, source.tally, zone)
    elif is_log:
        log = ChannelLog(connection, source.tally, _log_zone(defaults, gate))
    judging.set_up(connection, defaults, gate, is_queue_log=is_queue_log)
    return Prepared(source, connection, set(gate.customers["customer_id"].to_pylist()), log)


def _log_zone(defaults: Defaults, gate: Gate) -> str:
    """The time zone of a log's local times: the one given, else its customer's."""
    zones = dict(
        zip(gate.customers["customer_id"].to_pylist(), gate.customers["time_zone"].to_pylist(), strict=True)
    )
    return str(defaults.time_zone or zones.get(defaults.customer_id, "UTC"))  # of a stranger no row is kept


def _as_agents(events: pa.Table) -> pa.Table:
    seen = events.select([*AGENT_SCHEMA.names[:-1], "occurred_at"])
    return seen.rename_columns(AGENT_SCHEMA.names).cast(AGENT_SCHEMA)


def _distinct(agents: pa.Table) -> pa.Table:
    last = agents.group_by(AGENT_SCHEMA.names[:-1]).aggregate([("last_at", "max")])
    return last.rename_columns({"last_at_max": "last_at"}).select(AGENT_SCHEMA.names)
