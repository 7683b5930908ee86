"""The raw format as data: its columns, platforms and events, and the columns that each event needs.

The code that checks rows (judging) and the code that makes them (queue_log) use these declarations.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

import pyarrow as pa

from callmart.base.settings import Platform

COLUMNS = (
    "customer_id",
    "platform",
    "event",
    "occurred_at",
    "call_id",
    "queue",
    "agent",
    "line",
    "direction",
    "other_number",
    "number_withheld",
    "reason",
    "target",
    "target_kind",
    "duration_s",
    "event_id",
    "recorded",
)
REQUIRED_COLUMNS = ("event", "occurred_at")  # the others can be empty, or given for the whole file
TEXT_COLUMNS = ("call_id", "queue", "agent", "line", "other_number", "reason", "target", "event_id")

# Where a row comes from. The number is the file's among those that land together.
PLACE_SCHEMA = pa.schema([("file_number", pa.int32()), ("line_number", pa.int64())])

# What a reader of files returns: the columns of the raw format, the wait before a talk, which only queue_log has, and
# what version 0.2.0 read where it read something else: by that an event without an event_id is known.
SOURCE_COLUMNS = (*COLUMNS, "wait_s")
FORMER_COLUMNS = ("former_queue", "former_agent", "former_line", "former_other_number", "former_target")
SOURCE_SCHEMA = pa.schema(
    [*PLACE_SCHEMA, *((column, pa.string()) for column in (*SOURCE_COLUMNS, *FORMER_COLUMNS))]
)

# The columns of raw.event that landing fills. The server adds the others.
EVENT_COLUMNS = pa.schema(
    [
        pa.field("customer_id", pa.int32(), nullable=False),
        pa.field("occurred_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("event_key", pa.int64(), nullable=False),  # identifies an event of a customer and moment
        pa.field("platform", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        # Stored only from queue_log, where the order of lines matters. Given to the server also with the source's own
        # event_id.
        ("line_number", pa.int64()),
        ("call_key", pa.int64()),  # of the platform's call; null if the event belongs to no call
        ("queue", pa.string()),
        ("agent_key", pa.string()),
        ("number_key", pa.string()),
        ("number_withheld", pa.bool_()),
        ("line", pa.string()),
        ("device_key", pa.string()),
        ("direction", pa.string()),
        ("reason", pa.string()),
        ("target", pa.string()),
        ("target_key", pa.string()),
        ("target_kind", pa.string()),
        ("duration_s", pa.float64()),
        ("wait_s", pa.float64()),
        ("recorded", pa.bool_()),
    ]
)
EVENT_SCHEMA = (
    EVENT_COLUMNS.append(
        pa.field("identified", pa.bool_(), nullable=False)  # by the source's own event_id
    )
    .append(
        # What a row of somebody who was erased is: 'call', 'part', or a key that stands for the agent (land/erased.py).
        pa.field("erased", pa.string())
    )
    .append(pa.field("file_number", pa.int32(), nullable=False))
)

FORMATS = ("auto", "csv", "ndjson", "parquet", "queue_log", "cel")
PLATFORMS: tuple[Platform, ...] = get_args(Platform)
LINE_PLATFORMS: tuple[Platform, ...] = ("sip_trunk", "isdn2", "isdn30")  # no queues, no agents
DIRECTIONS = ("inbound", "outbound", "internal")
TARGET_KINDS = ("queue", "agent", "number", "other")
STATUSES = ("available", "in_call", "wrap_up", "break", "away", "training", "other")

# A status, a login, a membership or a call is over after this time; so says macros/phases/longest_phase.sql to models.
LONGEST_PHASE = timedelta(days=31)

LONGEST_TEXT = 255  # characters
LONGEST_DURATION_S = 10 * 366 * 86_400  # a longer duration is a mistake of its source


@dataclass(frozen=True)
class Event:
    """One value of the column `event`, and what a row with that event must contain."""

    name: str
    needs: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    reason_needed: bool = False
    ends_phase: bool = False  # if not, duration_s means nothing

    @property
    def of_call(self) -> bool:
        """Whether the event belongs to a call. A wrap-up does if the source says to which call."""
        return "call_id" in self.needs or self.name.startswith("wrapup")


_CALL = ("call_id",)
_CALL_QUEUE = ("call_id", "queue")
_CALL_AGENT = ("call_id", "agent")
_AGENT = ("agent",)
_AGENT_QUEUE = ("agent", "queue")

EVENTS = (
    Event("call_started", needs=("call_id", "direction")),
    Event("call_answered", needs=_CALL, ends_phase=True),
    Event("queue_joined", needs=_CALL_QUEUE),
    Event(
        "queue_refused", needs=_CALL_QUEUE, reasons=("full", "empty", "closed", "busy"), reason_needed=True
    ),
    Event("ring_started", needs=_CALL_AGENT),
    Event(
        "ring_ended",
        needs=_CALL_AGENT,
        reasons=("answered", "no_answer", "busy", "declined", "caller_left", "elsewhere"),
        reason_needed=True,
        ends_phase=True,
    ),
    Event("agent_connected", needs=_CALL_AGENT, ends_phase=True),
    Event("hold_started", needs=_CALL),
    Event("hold_ended", needs=_CALL, ends_phase=True),
    Event("transferred", needs=("call_id", "target_kind"), reasons=("blind", "attended"), reason_needed=True),
    Event(
        "agent_released",
        needs=_CALL_AGENT,
        reasons=("agent", "caller", "transfer", "system"),
        ends_phase=True,
    ),
    Event(
        "queue_left",
        needs=_CALL_QUEUE,
        reasons=("abandoned", "timeout", "empty", "key", "withdrawn", "callback", "system"),
        reason_needed=True,
        ends_phase=True,
    ),
    Event("wrapup_started", needs=_AGENT),
    Event("wrapup_ended", needs=_AGENT, ends_phase=True),
    Event("call_ended", needs=_CALL, reasons=("agent", "caller", "system"), ends_phase=True),
    Event("agent_logged_in", needs=_AGENT),
    Event("agent_logged_out", needs=_AGENT, ends_phase=True),
    Event("agent_joined_queue", needs=_AGENT_QUEUE),
    Event("agent_left_queue", needs=_AGENT_QUEUE, ends_phase=True),
    # The reason is any word. It becomes `other` if neither the format nor the customer's registry knows it.
    Event("agent_status", needs=_AGENT, reason_needed=True, ends_phase=True),
)
# These end what an agent did, which can have begun before the first event of a call.
AGENT_ENDS = ("ring_ended", "hold_ended", "agent_released", "wrapup_ended")
# As SQL of an event's columns: when what it tells of an agent began, if the source measures that (a wait does not
# count: nobody did it), and the phase that it begins or ends outside of calls.
BEGUN_AT = """occurred_at - make_interval(
    secs => case when event = any({agent_ends}) then coalesce(duration_s, 0) else 0 end
)"""
PHASE = """case -- a status or a wrap-up belongs to the agent, whatever device or queue the event names
    when event in ('agent_logged_in', 'agent_logged_out') then 'login ' || coalesce(device_key, '')
    when event in ('agent_joined_queue', 'agent_left_queue') then 'membership ' || coalesce(queue, '')
    when event in ('wrapup_started', 'wrapup_ended') then 'wrapup'
    else event
end"""
NUMBER_EVENTS = ("call_started", "queue_joined")  # these can have the number of the other party


def events_table() -> pa.Table:
    """The events as a table for SQL: one row per event, with a boolean per column that it can need."""
    return pa.table(
        {
            "event": [event.name for event in EVENTS],
            **{
                f"needs_{column}": [column in event.needs for event in EVENTS]
                for column in ("call_id", "queue", "agent")
            },
            "of_call": [event.of_call for event in EVENTS],
            "reasons": pa.array([event.reasons for event in EVENTS], pa.list_(pa.string())),
            "reason_needed": [event.reason_needed for event in EVENTS],
            "ends_phase": [event.ends_phase for event in EVENTS],
            "tells_number": [event.name in NUMBER_EVENTS for event in EVENTS],
        }
    )
