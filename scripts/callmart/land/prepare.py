"""From a file to events that may be stored: who may come in, what is well formed, keys in place of persons.

Batch by batch, in memory only. The order matters: a row of a customer without a contract on its day is
counted and goes no further, before anything else is done with it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base.ahead import ahead
from callmart.base.errors import UserError
from callmart.base.raw_format import (
    DIRECTIONS,
    EVENT_COLUMNS,
    EVENT_SCHEMA,
    LINE_PLATFORMS,
    LONGEST_DURATION_S,
    LONGEST_TEXT,
    PLATFORMS,
    SOURCE_COLUMNS,
    SOURCE_SCHEMA,
    STATUSES,
    TARGET_KINDS,
    TELEPHONE_MACROS,
    TEXT_COLUMNS,
    events_table,
)
from callmart.land import readers
from callmart.land.cel import ChannelLog
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


@dataclass(frozen=True)
class Gate:
    """What the registry says, at one moment."""

    contracts: (
        pa.Table
    )  # customer_id int32, option ('standard', 'detailed'), valid_from, valid_until (null: open)
    customers: pa.Table  # customer_id int32, time_zone, anonymous_agents
    statuses: pa.Table  # customer_id int32, word, status
    keys: pa.Table  # customer_id int32, key (32 bytes); of customers with a contract
    latest: datetime  # a day ahead of the database's clock: no event is later


@dataclass(frozen=True)
class Defaults:
    """What holds for the whole file."""

    customer_id: int | None
    platform: str
    platform_given: bool  # then a row with another platform is rejected
    time_zone: str | None  # of a log's local times; None: the customer's

    def __post_init__(self) -> None:
        if self.time_zone is not None and self.time_zone not in available_timezones():
            raise UserError(
                f"time zone {self.time_zone!r} is not known; use an IANA name such as Europe/Amsterdam"
            )


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
        self.turned_away_by: Counter[int | None] = (
            Counter()
        )  # None: customers that the registry does not know

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The events that may be stored, by EVENT_SCHEMA, in no particular order; once."""
        judging = self._connection.sql(_JUDGED)  # asked anew of each batch
        for rows in ahead(readers.batches(self._source)):
            yield from self._judge(judging, rows).to_batches()
            pa.default_memory_pool().release_unused()  # what a batch took is given back before the next
        self._connection.close()

    def _judge(self, judging: duckdb.DuckDBPyRelation, rows: pa.Table) -> pa.Table:
        """What may be stored of a batch; the rest is counted."""
        table = rows if self._log is None else self._log.canonical(rows)
        # Small chunks, so that both of DuckDB's threads get their share.
        chunks = table.combine_chunks().to_batches(_CHUNK)
        self._connection.register("source", pa.Table.from_batches(chunks, table.schema))
        judged = judging.to_arrow_table()
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
    source = readers.open_source(
        path, format, limits, connection.cursor()
    )  # its own: it reads ahead in another thread
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
    # A queue_log can connect a caller to nobody (NONE): answered, and no agent's contact.
    connection.execute("set variable is_log = $is_log", {"is_log": is_queue_log})
    _set_up(connection, defaults, gate)
    return Prepared(source, connection, set(gate.customers["customer_id"].to_pylist()), log)


def _log_zone(defaults: Defaults, gate: Gate) -> str:
    """The time zone of a log's local times: the one given, else its customer's."""
    zones = dict(
        zip(gate.customers["customer_id"].to_pylist(), gate.customers["time_zone"].to_pylist(), strict=True)
    )
    return str(defaults.time_zone or zones.get(defaults.customer_id, "UTC"))  # of a stranger no row is kept


def _set_up(connection: duckdb.DuckDBPyConnection, defaults: Defaults, gate: Gate) -> None:
    """The tables, macros and views that each batch is judged by."""
    connection.execute(f"set variable customer = {defaults.customer_id or 'null'}::integer")
    connection.execute("set variable platform = $platform", {"platform": defaults.platform})
    connection.execute("set variable platform_given = $given", {"given": defaults.platform_given})
    connection.execute("set variable latest = $latest::timestamptz", {"latest": gate.latest})
    connection.register("source", SOURCE_SCHEMA.empty_table())  # a view is bound when it is made
    connection.register("doors_arrow", _doors(gate))
    connection.register("statuses_arrow", gate.statuses)
    connection.register("events_arrow", events_table())
    connection.execute(TELEPHONE_MACROS + _SET_UP)


def _doors(gate: Gate) -> pa.Table:
    """A row a contract: when it lets events in, as instants, and the customer's key, ready for an HMAC."""
    customers = {row["customer_id"]: row for row in gate.customers.to_pylist()}
    keys = {row["customer_id"]: row["key"] for row in gate.keys.to_pylist()}
    doors = []
    for contract in gate.contracts.to_pylist():
        customer_id = contract["customer_id"]
        if customer_id not in keys:
            raise UserError(f"customer {customer_id} has no key; run callmart registry apply")
        zone = ZoneInfo(customers[customer_id]["time_zone"])
        detailed = contract["option"] == "detailed"
        key = keys[customer_id].ljust(64, b"\0")  # SHA-256 works on blocks of 64 bytes
        doors.append(
            {
                "customer_id": customer_id,
                "opens": _begin_of_day(contract["valid_from"], zone),
                "closes": _begin_of_day(contract["valid_until"], zone),
                "nameable": detailed and not customers[customer_id]["anonymous_agents"],
                "inner_key": bytes(byte ^ 0x36 for byte in key),
                "outer_key": bytes(byte ^ 0x5C for byte in key),
            }
        )
    return pa.Table.from_pylist(
        doors,
        pa.schema(
            [
                ("customer_id", pa.int32()),
                ("opens", pa.timestamp("us", "UTC")),
                ("closes", pa.timestamp("us", "UTC")),
                ("nameable", pa.bool_()),
                ("inner_key", pa.binary()),
                ("outer_key", pa.binary()),
            ]
        ),
    )


def _begin_of_day(day: date | None, zone: ZoneInfo) -> datetime | None:
    """The first instant of a local day, also where midnight is skipped or comes twice."""
    return None if day is None else datetime.combine(day, time(), zone).astimezone(UTC)


def _as_agents(events: pa.Table) -> pa.Table:
    seen = events.select([*AGENT_SCHEMA.names[:-1], "occurred_at"])
    return seen.rename_columns(AGENT_SCHEMA.names).cast(AGENT_SCHEMA)


def _distinct(agents: pa.Table) -> pa.Table:
    last = agents.group_by(AGENT_SCHEMA.names[:-1]).aggregate([("last_at", "max")])
    return last.rename_columns({"last_at_max": "last_at"}).select(AGENT_SCHEMA.names)


# -- The SQL. `source` is the batch; the tables are made once a file.


def _words(words: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{word}'" for word in words) + ")"


def _for_each_text(condition: str, fault: str) -> str:
    """WHEN branches that name the column at fault."""
    return "\n".join(
        f"when {condition.format(column=column)} then '{column} {fault}'" for column in TEXT_COLUMNS
    )


_CONTROL_CHARACTERS = _for_each_text(r"regexp_matches({column}, '\p{{Cc}}')", "holds a control character")
_TOO_LONG = _for_each_text(
    f"length({{column}}) > {LONGEST_TEXT}", f"is longer than {LONGEST_TEXT} characters"
)

_NULL_IF_EMPTY = ", ".join(f"nullif({column}, '') as {column}" for column in SOURCE_COLUMNS)

_TIME = r"[12]\d{3}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d"

# What a row's identity is made of, where its source gave it none: every column that is stored. No text is empty or
# holds a control character. Of a status it is the source's word: what that is stored as, the registry can change.
_CONTENT = ", chr(31), ".join(
    (
        "customer_id",
        "epoch_us(occurred_at)",
        *(
            "coalesce(word_key, reason)" if name == "reason" else name
            for name in EVENT_COLUMNS.names[EVENT_COLUMNS.names.index("platform") :]
            if name != "line_number"
        ),
    )
)

_SET_UP = rf"""
create temp table doors as select * replace (coalesce(closes, 'infinity') as closes) from doors_arrow;
create temp table statuses as
    select customer_id, lower(trim(word)) as word, min(status) as status from statuses_arrow group by all;
create temp table events as select *, true as known from events_arrow;

create temp macro keyed(inner_key, outer_key, kind, value) as
    left(sha256(outer_key || unhex(sha256(inner_key || encode(kind || ':' || value)))), 32);
create temp macro digest(text) as (md5_number_lower(text)::hugeint - 9223372036854775808)::bigint;
create temp macro truth(word) as case
    when lower(word) in ('true', 't', '1') then true
    when lower(word) in ('false', 'f', '0') then false
end;
create temp macro instant(text) as case
    when regexp_full_match(text, '{_TIME}(\.\d{{1,6}})?(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)')
        then try_cast(text as timestamptz)
end;

create temp view arrived as
with texts as (
    select line_number, {_NULL_IF_EMPTY} from source
),

parsed as (
    select
        texts.* exclude (customer_id, occurred_at),
        case
            when texts.customer_id is null then getvariable('customer')
            when regexp_full_match(texts.customer_id, '\d{{1,10}}')
                then nullif(try_cast(texts.customer_id as integer), 0)
        end as customer,
        instant(texts.occurred_at) as instant,
        case
            when customer is null and texts.customer_id is null then 'customer_id is missing'
            when customer is null then 'customer_id is not a customer number'
            when customer <> getvariable('customer') then 'customer_id differs from --customer'
            when instant is not null then null
            when texts.occurred_at is null then 'occurred_at is missing'
            when regexp_full_match(texts.occurred_at, '{_TIME}(\.\d+)?') then 'occurred_at has no offset'
            when regexp_matches(texts.occurred_at, '\.\d{{7}}')
                then 'occurred_at has more than six digits after the second'
            else 'occurred_at is not a time'
        end as unreadable
    from texts
)

select
    parsed.* exclude (customer, instant),
    parsed.customer as customer_id,
    parsed.instant as occurred_at,
    doors.* exclude (customer_id, opens, closes),
    parsed.unreadable is null and doors.customer_id is null as turned_away
from parsed
left join doors
    on parsed.customer = doors.customer_id
    and parsed.instant >= doors.opens
    and parsed.instant < doors.closes;
"""

_JUDGED = rf"""
with let_in as (select * from arrived where not turned_away),

understood as (
    select
        let_in.*,
        events.* exclude (event),
        coalesce(let_in.platform, getvariable('platform')) as service,
        service in {_words(LINE_PLATFORMS)} as is_line,
        truth(let_in.number_withheld) as marked_withheld,
        coalesce(marked_withheld, false) or coalesce(is_withheld(let_in.other_number), false) as withheld,
        case
            when events.tells_number and not withheld then telephone_number(let_in.other_number)
        end as number,
        case when let_in.event = 'transferred' then let_in.target_kind end as kind,
        case when kind = 'number' then telephone_number(let_in.target) end as target_number,
        case
            when regexp_full_match(let_in.duration_s, '[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?')
                then try_cast(let_in.duration_s as double)
        end as duration,
        concat_ws('', {", ".join(TEXT_COLUMNS)}) as all_texts,
        case
            when let_in.event <> 'agent_status' then let_in.reason
            when lower(trim(let_in.reason)) in {_words(STATUSES)} then lower(trim(let_in.reason))
            else coalesce(statuses.status, 'other')
        end as cause,
        case
            when let_in.event = 'agent_status' and lower(trim(let_in.reason)) not in {_words(STATUSES)}
                then lower(trim(let_in.reason))
        end as own_word
    from let_in
    left join events on let_in.event = events.event
    left join statuses
        on let_in.customer_id = statuses.customer_id
        and let_in.event = 'agent_status'
        and lower(trim(let_in.reason)) = statuses.word
),

checked as materialized (
    select
        understood.*,
        case
            when unreadable is not null then unreadable
            when occurred_at > getvariable('latest')
                then 'occurred_at is more than a day ahead of the database''s clock'
            when getvariable('platform_given') and platform <> getvariable('platform')
                then 'platform differs from --platform'
            when service not in {_words(PLATFORMS)} then 'platform is not one of the raw format'
            when event is null then 'event is missing'
            when known is null then 'event is not one of the raw format'
            when is_line and (queue is not null or agent is not null or needs_queue or needs_agent
                or coalesce(kind in ('queue', 'agent'), false)) then 'a line has no queues and no agents'
            when needs_call_id and call_id is null then 'call_id is missing'
            when needs_queue and queue is null then 'queue is missing'
            when needs_agent and agent is null and not getvariable('is_log') then 'agent is missing'
            when reason_needed and reason is null then 'reason is missing'
            when len(reasons) > 0 and not list_contains(reasons, reason)
                then 'reason is not one of the event''s'
            when event = 'call_started' and direction is null then 'direction is missing'
            when event = 'call_started' and direction not in {_words(DIRECTIONS)}
                then 'direction is not one of the raw format'
            when event = 'transferred' and kind is null then 'target_kind is missing'
            when kind not in {_words(TARGET_KINDS)} then 'target_kind is not one of the raw format'
            when kind = 'number' and target is not null and target_number is null
                then 'target is not a telephone number'
            when number_withheld is not null and marked_withheld is null
                then 'number_withheld is not true or false'
            when tells_number and not withheld and other_number is not null and number is null
                then 'other_number is not a telephone number'
            when duration_s is not null and duration is null then 'duration_s is not a number'
            when duration < 0 or duration > {LONGEST_DURATION_S} then 'duration_s is negative or far too long'
            when recorded is not null and truth(recorded) is null then 'recorded is not true or false'
            when regexp_matches(all_texts, '\p{{Cc}}') then case
                {_CONTROL_CHARACTERS}
            end
            when strlen(all_texts) > {LONGEST_TEXT} then case
                {_TOO_LONG}
            end
        end as fault
    from understood
),

-- A key costs more than all else that is done with a row, so each is made once.
keys as (
    select
        customer_id,
        kind,
        value,
        keyed(any_value(inner_key), any_value(outer_key), kind, value) as key
    from (
        select customer_id, inner_key, outer_key, 'agent' as kind, agent as value from checked
        union all
        select customer_id, inner_key, outer_key, 'number', number from checked
        union all
        select customer_id, inner_key, outer_key, 'device', line from checked
        union all
        select customer_id, inner_key, outer_key, kind, coalesce(target_number, target) from checked
        where kind in ('agent', 'number')
        union all
        select customer_id, inner_key, outer_key, 'status', own_word from checked
    )
    where value is not null
    group by customer_id, kind, value
),

stored as (
    select
        line_number,
        fault,
        nameable,
        inner_key,
        outer_key,
        event_id,
        agent,
        words.key as word_key,
        checked.customer_id,
        occurred_at,
        event_id is not null as identified,
        service as platform,
        event,
        case when of_call then digest(service || ':' || call_id) end as call_key,
        call_id,
        queue,
        agents.key as agent_key,
        numbers.key as number_key,
        case
            when not tells_number then null
            when withheld then true
            when number is not null then false
            else marked_withheld
        end as number_withheld,
        case when is_line then line end as line,
        case when not is_line then devices.key end as device_key,
        case when event = 'call_started' then direction end as direction,
        case when event = 'agent_status' or len(reasons) > 0 then cause end as reason,
        case when checked.kind = 'queue' then target end as target,
        targets.key as target_key,
        checked.kind as target_kind,
        case when ends_phase then duration + 0.0 end as duration_s, -- no -0.0
        cast(wait_s as double) as wait_s,
        case when event = 'call_ended' then truth(recorded) end as recorded
    from checked
    left join keys as agents
        on checked.customer_id = agents.customer_id and agents.kind = 'agent' and checked.agent = agents.value
    left join keys as numbers
        on checked.customer_id = numbers.customer_id and numbers.kind = 'number' and checked.number = numbers.value
    left join keys as devices
        on checked.customer_id = devices.customer_id and devices.kind = 'device' and checked.line = devices.value
    left join keys as targets
        on checked.customer_id = targets.customer_id
        and checked.kind = targets.kind
        and coalesce(checked.target_number, checked.target) = targets.value
    left join keys as words
        on checked.customer_id = words.customer_id and words.kind = 'status' and checked.own_word = words.value
)

select
    stored.* exclude (inner_key, outer_key, event_id, word_key),
    digest(case
        when identified then keyed(inner_key, outer_key, 'event', platform || ':' || event_id)
        else concat({_CONTENT})
    end) as event_key
from stored
"""
