"""Prepares the events of files for storing, batch by batch and in memory only.

`judging` decides which rows may be stored, then `keying` replaces persons by keys. The rows of small files are judged
together.
"""

import ctypes
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base.ahead import ahead
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.land import judging, readers
from callmart.land.cel import ChannelLog
from callmart.land.erased import Door
from callmart.land.former import FormerKeys
from callmart.land.gate import Gate
from callmart.land.keying import connect, keyed_events
from callmart.land.queue_log import QueueLog
from callmart.land.source import LOGS, QUEUE_LOGS, REJECT_SCHEMA, Source, refuse_many_rejects, reject

AGENT_SCHEMA = pa.schema(
    [
        ("customer_id", pa.int32()),
        ("agent_key", pa.string()),
        ("agent", pa.string()),
        ("last_at", pa.timestamp("us", "UTC")),  # time of the agent's last event
    ]
)

# glibc's malloc returns what is larger as soon as it is freed. By itself it would raise that limit to 32 MiB.
_M_MMAP_THRESHOLD, _LARGE = -3, 1 << 17

_CHUNK = 1 << 13  # rows that DuckDB gives to a thread at a time


class Prepared:
    """The events of files. What is said about them is complete once all of `batches` has been consumed."""

    def __init__(self, sources: Sequence[Source], connection: duckdb.DuckDBPyConnection, gate: Gate) -> None:
        self._sources = {source.number: source for source in sources}
        self._tallies = {source.number: source.tally for source in sources}
        self._connection = connection
        self._rules = judging.rules(sources, gate)
        self._latest = gate.latest
        self._keyless = gate.keyless
        self._former_keys = FormerKeys(self._rules, gate.latest)
        self._zones = dict(
            zip(
                gate.customers["customer_id"].to_pylist(),
                gate.customers["time_zone"].to_pylist(),
                strict=True,
            )
        )
        self._logs: dict[int | None, QueueLog | ChannelLog] = {}
        # It has its own cursor, as another thread judges the next batch.
        self._door = Door(connection.cursor(), self._tallies, gate)
        self._agents: list[pa.Table] = []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the events that may be stored, by EVENT_SCHEMA, each batch in the order of customers and moments. Can
        be called once.

        A small file that is refused yields none. Raises UserError if a large one is refused.
        """
        judging.set_up(self._connection, self._rules, self._latest)
        events = keyed_events(self._connection)
        # The sources need their own cursor, as another thread reads them ahead.
        pieces = ahead(readers.batches(list(self._sources.values()), self._connection.cursor()))
        rows = readers.gathered(self._canonical(*piece) for piece in pieces)
        for table, judged in ahead(self._judged(events, rows)):
            yield from self._events(table, judged).to_batches()
        for source in self._sources.values():
            refuse_many_rejects(source)
            if source.tally.refusal and not source.is_small:
                raise source.tally.refusal
        self._connection.close()

    @property
    def landing(self) -> list[Source]:
        """The files that were not refused."""
        return [source for source in self._sources.values() if source.tally.refusal is None]

    @property
    def rejects(self) -> pa.Table:
        """The rejected rows of files that were not refused, each with a fixed reason and no contents of the row."""
        tables = [
            REJECT_SCHEMA.empty_table(),
            *(table for one in self.landing for table in one.tally.rejects),
        ]
        return pa.concat_tables(tables).sort_by([("file_number", "ascending"), ("line_number", "ascending")])

    @property
    def told(self) -> pa.Table:
        """The keys of persons who were erased or object since before a rotation (Door.told)."""
        return self._door.told

    @property
    def agents(self) -> pa.Table:
        """The agents' ids by key, for days under a detailed contract. Anonymous agents are left out."""
        return _distinct(pa.concat_tables([AGENT_SCHEMA.empty_table(), *self._agents]))

    def _canonical(self, sources: Sequence[Source], rows: pa.Table) -> pa.Table:
        """The rows by SOURCE_SCHEMA. Those of a log are converted."""
        form, number = sources[0].form, sources[0].number
        if form not in LOGS:
            return rows
        key = None if form == "queue_log" else number  # the others have a time zone, or a state
        if key not in self._logs:
            self._logs[key] = self._log(sources[0])
        return self._logs[key].canonical(rows)

    def _log(self, source: Source) -> QueueLog | ChannelLog:
        # The zone of an unknown customer doesn't matter: all its rows are turned away.
        zone = source.defaults.time_zone or self._zones.get(source.defaults.customer_id, "UTC")
        if source.form == "cel":
            return ChannelLog(self._connection, source.number, source.tally, zone)
        return QueueLog(self._connection, self._tallies, None if source.form == "queue_log" else zone)

    def _judged(
        self, keyed: duckdb.DuckDBPyRelation, tables: Iterator[pa.Table]
    ) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Batches of rows, each with what DuckDB makes of it. Rows that are turned away are counted."""
        for table in tables:
            # Small chunks, so that both of DuckDB's threads have work.
            chunks = table.combine_chunks().to_batches(_CHUNK)
            self._connection.register("source", pa.Table.from_batches(chunks, table.schema))
            judged = keyed.to_arrow_table()
            if judged.num_rows < table.num_rows:
                self._count_turned_away()
            yield table, judged

    def _events(self, table: pa.Table, judged: pa.Table) -> pa.Table:
        """The events of a batch that may be stored. Its rejected rows are counted."""
        faulty = judged.filter(pc.is_valid(judged["fault"]))
        self._reject(faulty)
        sound = judged.filter(pc.is_null(judged["fault"])) if faulty.num_rows else judged
        admitted = self._without_refused(table, self._former_keys.given(sound, table))
        events = self._door.let_in(admitted.drop_columns("fault"))
        self._note_agents(events)
        return self._stored(events)

    def _count_turned_away(self) -> None:
        counts = self._connection.sql(
            "select file_number, customer_id, count(distinct line_number)"
            f" from ({judging.ARRIVED}) where turned_away group by all"
        ).fetchall()
        for number, customer_id, count in counts:
            if customer_id in self._keyless:
                self._tallies[number].waiting_by[customer_id] += count
                continue
            known = customer_id if customer_id in self._zones else None
            self._tallies[number].turned_away_by[known] += count

    def _reject(self, faulty: pa.Table) -> None:
        # A line can yield two faulty events; it counts once.
        lines = faulty.group_by(["file_number", "line_number"]).aggregate([("fault", "min")])
        lines = lines.sort_by([("file_number", "ascending"), ("line_number", "ascending")])
        reject(self._tallies, lines, lines["fault_min"])

    def _without_refused(self, table: pa.Table, events: pa.Table) -> pa.Table:
        """The events of files that have not too many rejects. All rows of a small file in the batch are judged now."""
        sources = [self._sources[number] for number in pc.unique(table["file_number"]).to_pylist()]
        for source in sources:
            if source.is_small:
                refuse_many_rejects(source)
        refused = [source.number for source in sources if source.tally.refusal]
        if not refused:
            return events
        return events.filter(pc.invert(pc.is_in(events["file_number"], pa.array(refused, pa.int32()))))

    def _note_agents(self, events: pa.Table) -> None:
        nameable = pc.and_(events["nameable"], pc.is_valid(events["agent"]))
        self._agents = [_distinct(pa.concat_tables([*self._agents, _as_agents(events).filter(nameable)]))]

    def _stored(self, events: pa.Table) -> pa.Table:
        """The events by EVENT_SCHEMA. The numbers of lines matter in a queue_log, and where an event has an id: of the
        file's rows with one id, the first is stored. Other events without an id are equal if their keys are.
        """
        logs = [source.number for source in self._sources.values() if source.form in QUEUE_LOGS]
        of_log = pc.is_in(events["file_number"], pa.array(logs, pa.int32()))
        numbers = pc.if_else(
            pc.or_(of_log, events["identified"]), events["line_number"], pa.scalar(None, pa.int64())
        )
        stored = events.select(EVENT_SCHEMA.names)
        stored = stored.set_column(EVENT_SCHEMA.get_field_index("line_number"), "line_number", numbers).cast(
            EVENT_SCHEMA
        )
        # In the order of the table's key, which DuckDB's threads have mixed up: the index stays a quarter smaller, and
        # a build that looks up a customer's days reads only their pages.
        return stored.sort_by([("customer_id", "ascending"), ("occurred_at", "ascending")])


def prepare(sources: Sequence[Source], gate: Gate) -> Prepared:
    """Get ready to read the events of files. If there are several, all are small."""
    pa.set_memory_pool(pa.system_memory_pool())  # other pools don't return freed memory
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    return Prepared(sources, connect(), gate)


def _as_agents(events: pa.Table) -> pa.Table:
    seen = events.select([*AGENT_SCHEMA.names[:-1], "occurred_at"])
    return seen.rename_columns(AGENT_SCHEMA.names).cast(AGENT_SCHEMA)


def _distinct(agents: pa.Table) -> pa.Table:
    last = agents.group_by(AGENT_SCHEMA.names[:-1]).aggregate([("last_at", "max")])
    return last.rename_columns({"last_at_max": "last_at"}).select(AGENT_SCHEMA.names)
