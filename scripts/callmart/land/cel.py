"""Converts Asterisk's channel event log (CEL) to canonical events.

It adds what queue_log doesn't record of the same calls: holds, transfers, and ends of calls. An end is reported only
if the log records music on hold; a call that has an end and no hold was then really never on hold.

What a row means depends on what its channel did before, so this module tracks each channel through the file.

A caller in a queue gets the channel's id as call_id, because queue_log knows the call by that id. Every other event
gets the id that links channels (linkedid). Callers' names and numbers are never read.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import sql_file
from callmart.base.raw_format import PLACE_SCHEMA
from callmart.land.source import Tally, as_source, reject
from callmart.land.source_times import EPOCH_TIME, Times

FOLLOWED = (
    "APP_START", "BRIDGE_ENTER", "BRIDGE_EXIT", "STREAM_BEGIN", "STREAM_END", "BLINDTRANSFER", "ATTENDEDTRANSFER",
    "CHAN_END",
)  # fmt: skip
# Known event types that are not needed.
SILENT = (
    "CHAN_START", "ANSWER", "APP_END", "HANGUP", "LINKEDID_END", "DTMF", "PICKUP", "FORWARD", "PARK_START", "PARK_END",
    "LOCAL_OPTIMIZE", "LOCAL_OPTIMIZE_BEGIN", "CONF_START", "CONF_END", "CONF_ENTER", "CONF_EXIT", "BRIDGE_START",
    "BRIDGE_END", "BRIDGE_UPDATE", "BRIDGE_TO_CONF", "3WAY_START", "3WAY_END", "TRANSFER", "HOOKFLASH",
)  # fmt: skip

MUSIC = "MOH_STREAM"  # prefix of the userdeftype of music on hold
SECOND = 1_000_000  # microseconds
HOLDING = "holding_bridge"  # nobody speaks in it: parked callers, and agents waiting for calls
TRANSFER_PROMPT = "pbx-transfer"  # the prompt that an agent hears when transferring by keys
MOST_CHANNELS = 100_000  # far more than are ever alive; a log without CHAN_END must not fill the memory
# Rows of music that a channel hears before its first bridge: one that meets none must not fill the memory.
MOST_MUSIC = 1_000
MOST_ENDS = 100_000  # that wait for the first music; a log without any must not fill the memory

SQL = sql_file.statements(__file__)

Event = dict[str, Any]
_EVENT_SCHEMA = pa.schema(
    [
        *PLACE_SCHEMA,
        ("event", pa.string()),
        ("occurred_at", pa.int64()),
        ("call_id", pa.string()),
        ("queue", pa.string()),
        ("reason", pa.string()),
        ("dialled", pa.string()),
        ("target_queue", pa.string()),
        ("event_id", pa.string()),
    ]
)

_LOCAL = re.compile(r"(?P<pair>Local/(?P<exten>[^@]*)@.*);[12]")


# The columns of Row.
ROW = (
    "line_number", "at", "eventtype", "channame", "appname", "appdata", "callid", "linkedid", "userdeftype",
    "eventextra",
)  # fmt: skip


class Row(NamedTuple):
    """The values that are read from a row, in the order of ROW."""

    line_number: int
    at: int  # microseconds since 1970
    type: str
    channel: str | None
    app: str | None
    app_data: str | None
    id: str | None
    linked_id: str | None
    detail: str | None
    extra: str | None


@dataclass(slots=True)
class Bridge:
    """A bridge: channels in it hear each other."""

    id: str
    parties: int = 0
    transfer_at: int | None = None  # when a party last began to transfer the call


@dataclass(slots=True)
class Music:
    """Music that a channel hears in a bridge. `began` is None if the music began in an earlier file."""

    bridge: Bridge | None
    began: Row | None

    @property
    def is_hold(self) -> bool:
        """Whether this is a hold. Music during a transfer is not: the other party is dialling or consulting."""
        transfer_at = self.bridge.transfer_at if self.bridge else None
        # The log has the keys that begin a transfer a moment before or after the music.
        return not (transfer_at and self.began and transfer_at > self.began.at - SECOND)


@dataclass(slots=True)
class Channel:
    """What a channel has done so far in this file."""

    name: str | None
    queue: str | None = None  # the queue in which the caller is now
    is_queue_caller: bool = False  # was ever in a queue: queue_log knows the call by this channel's id
    bridge: Bridge | None = None
    left: Bridge | None = None  # the bridge that it left last
    bridge_seen: bool = False  # false until it enters or leaves a bridge; the file can begin in mid-call
    music: Music | None = None
    # Music that may or may not have been in a bridge.
    undecided: deque[Row] = field(default_factory=lambda: deque(maxlen=MOST_MUSIC))


class Fault(Exception):
    """A row that can't be read."""


class ChannelLog:
    """Converts one file, batch by batch. It remembers the channels and counts unknown event types."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, number: int, tally: Tally, time_zone: str
    ) -> None:
        """`number` is the file's. `time_zone` applies to local times. A log with epoch seconds doesn't use it."""
        self._connection = connection
        self._number = number
        self._tally = tally
        self._time_zone = time_zone
        self._times: Times | None = None
        self._has_music = False  # older versions of Asterisk don't log music
        self._ends: deque[Event] = deque(maxlen=MOST_ENDS)  # of calls that ended before the first music
        self._channels: dict[str, Channel] = {}
        self._bridges: dict[str, Bridge] = {}

    def canonical(self, rows: pa.Table) -> pa.Table:
        """Return the events of a batch with the columns CEL_READ, by SOURCE_SCHEMA. Unreadable rows are rejected."""
        timed = self._timed(rows.rename_columns({"eventtime": "time", "uniqueid": "callid"}))
        self._count_unknown(timed["eventtype"])
        timed = timed.filter(pc.is_in(timed["eventtype"], pa.array(FOLLOWED)))
        timed = timed.append_column("at", timed["occurred_at"].cast(pa.int64()))
        self._has_music |= pc.any(pc.starts_with(timed["eventtype"], "STREAM")).as_py() or False
        found: list[Event] = []
        wrong: list[tuple[int, str]] = []
        for row in map(Row, *(timed[name].to_pylist() for name in ROW)):
            try:
                found += self._follow(row)
            except Fault as fault:
                wrong.append((row.line_number, str(fault)))
        if self._has_music:
            found += self._ends
            self._ends.clear()
        places = [{"file_number": self._number, "line_number": line} for line, _ in wrong]
        reject(
            {self._number: self._tally},
            pa.Table.from_pylist(places, PLACE_SCHEMA),
            pa.array([why for _, why in wrong], pa.string()),
        )
        return self._as_source(found)

    def _timed(self, rows: pa.Table) -> pa.Table:
        """The rows with their instants, in the order of the file: each channel's events are in order there."""
        if self._times is None:
            counts_seconds = pc.any(pc.match_substring_regex(rows["time"], f"^{EPOCH_TIME}$")).as_py()
            tallies = {self._number: self._tally}
            self._times = Times(self._connection, tallies, None if counts_seconds else self._time_zone)
        return self._times.read(rows).sort_by("line_number")

    def _count_unknown(self, types: pa.ChunkedArray) -> None:
        for count in pc.value_counts(types.combine_chunks()).to_pylist():
            name = count["values"]
            if name not in FOLLOWED and name not in SILENT:
                is_word = name is not None and re.fullmatch(r"[A-Z_]{1,40}", name)
                self._tally.unknown_verbs.note(name if is_word else "other", count["counts"])

    # -- Channels

    def _follow(self, row: Row) -> Iterator[Event]:
        """Update the row's channel, and yield the events that follow from the row."""
        if not row.id:
            raise Fault("uniqueid is missing")
        extra = _extra(row)
        channel = self._channels.get(row.id)
        if channel is None:
            channel = self._channels[row.id] = Channel(row.channel)
            if len(self._channels) > MOST_CHANNELS:
                self._out_of_bridge(self._channels.pop(next(iter(self._channels))))
        if row.app == "Queue":
            channel.is_queue_caller = True
            channel.queue = (row.app_data or "").partition(",")[0].strip() or None
        elif row.app:
            channel.queue = None
        match row.type:
            case "BRIDGE_ENTER":
                self._enter(channel, row, extra)
            case "BRIDGE_EXIT":
                yield from self._leave(channel, extra)
            case "STREAM_BEGIN" | "STREAM_END":
                yield from self._stream(channel, row, extra)
            case "BLINDTRANSFER":
                yield self._blind(row, extra)
            case "ATTENDEDTRANSFER":
                yield self._attended(row, extra)
            case "CHAN_END":
                yield from self._end(row.id, row)

    def _enter(self, channel: Channel, row: Row, extra: dict[str, str]) -> None:
        channel.undecided.clear()  # the channel was in no bridge, so the music was no hold
        channel.bridge_seen = True
        id = extra.get("bridge_id", "")
        if channel.bridge and channel.bridge.id == id:
            return
        self._out_of_bridge(channel)  # the log lost its exit
        if extra.get("bridge_technology") == HOLDING:
            return
        channel.bridge = self._bridges.setdefault(id, Bridge(id))
        channel.bridge.parties += 1
        if channel.left and channel.left is not channel.bridge:
            channel.left.transfer_at = row.at  # the party left behind is about to be transferred

    def _leave(self, channel: Channel, extra: dict[str, str]) -> Iterator[Event]:
        if not channel.bridge_seen and extra.get("bridge_technology") != HOLDING:
            for row in channel.undecided:
                yield from self._music(channel, row)
        channel.undecided.clear()
        channel.bridge_seen = True
        self._out_of_bridge(channel)

    def _out_of_bridge(self, channel: Channel) -> None:
        if channel.bridge is None:
            return
        channel.left, channel.bridge = channel.bridge, None
        channel.left.parties -= 1
        if channel.left.parties == 0:
            self._bridges.pop(channel.left.id, None)

    def _stream(self, channel: Channel, row: Row, extra: dict[str, str]) -> Iterator[Event]:
        if extra.get("sound") == TRANSFER_PROMPT and channel.bridge:
            channel.bridge.transfer_at = row.at
        if not (row.detail or "").startswith(MUSIC) or _is_called_party(row):
            return
        if channel.bridge_seen:
            yield from self._music(channel, row)
        else:
            channel.undecided.append(row)

    def _music(self, channel: Channel, row: Row) -> Iterator[Event]:
        """Yield hold events when the music ends. Before that, it isn't known whether it is a hold."""
        in_bridge = channel.bridge is not None or not channel.bridge_seen
        if row.type == "STREAM_BEGIN":
            channel.music = Music(channel.bridge, row) if in_bridge else None
            return
        music, channel.music = channel.music, None
        if music is None and not channel.bridge_seen:
            music = Music(None, None)
        if music and music.is_hold:
            if music.began:
                yield self._event(music.began, "hold_started", channel)
            yield self._event(row, "hold_ended", channel)

    def _end(self, id: str, row: Row) -> Iterator[Event]:
        channel = self._channels.pop(id)
        self._out_of_bridge(channel)
        if channel.music and channel.music.began and channel.music.is_hold:
            yield self._event(channel.music.began, "hold_started", channel)
        if channel.is_queue_caller:
            self._ends.append(self._event(row, "call_ended", channel, queue=None))

    # -- Transfers

    def _blind(self, row: Row, extra: dict[str, str]) -> Event:
        caller = self._caller(extra)
        return self._event(row, "transferred", *caller, reason="blind", dialled=extra.get("extension"))

    def _attended(self, row: Row, extra: dict[str, str]) -> Event:
        local = _LOCAL.fullmatch(self._target(row, extra) or "")
        queue = self._queue_behind(local["pair"]) if local else None
        if "app" in extra and (second := self._channels.get(extra.get("channel2_uniqueid", ""))):
            queue = second.queue  # the agent's second call, which itself waits in the queue
        return self._event(
            row,
            "transferred",
            *self._caller(extra),
            reason="attended",
            dialled=local["exten"] if local else None,
            target_queue=queue,
        )

    def _caller(self, extra: dict[str, str]) -> tuple[Channel | None, str | None]:
        """The channel that is transferred, and its id."""
        caller = extra.get("transferee_channel_uniqueid")
        return self._channels.get(caller or ""), caller

    def _target(self, row: Row, extra: dict[str, str]) -> str | None:
        """The name of the channel to which the caller is transferred."""
        if extra.get("transfer_target_channel_name", "N/A") != "N/A":
            return extra["transfer_target_channel_name"]
        bridge = extra.get("bridge2_id")
        parties = (row.id, extra.get("channel2_uniqueid"), extra.get("transferee_channel_uniqueid"))
        return next(
            (
                channel.name
                for id, channel in self._channels.items()
                # The target may already have moved to the caller's bridge.
                if bridge
                and bridge in {at.id for at in (channel.bridge, channel.left) if at}
                and id not in parties
            ),
            None,
        )

    def _queue_behind(self, pair: str) -> str | None:
        """The queue in which the other half of a local channel waits, or waited before it was answered."""
        name = f"{pair};2"
        return next((channel.queue for channel in self._channels.values() if channel.name == name), None)

    # -- Events

    def _event(
        self, row: Row, event: str, channel: Channel | None, id: str | None = None, **values: str | None
    ) -> Event:
        """An event. Its id depends on the row alone, so it is the same however much of the call the file holds."""
        is_known_to_queue_log = channel is not None and channel.is_queue_caller
        call_id = (id or row.id) if is_known_to_queue_log else (row.linked_id or row.id)
        return {
            "file_number": self._number,
            "line_number": row.line_number,
            "event": event,
            "occurred_at": row.at,
            "call_id": call_id,
            "queue": channel.queue if channel else None,
            "event_id": f"{row.type} {row.id} {row.at}",
        } | values

    def _as_source(self, found: list[Event]) -> pa.Table:
        self._connection.register("found", pa.Table.from_pylist(found, _EVENT_SCHEMA))
        events = self._connection.sql(SQL["events"]).to_arrow_table()
        self._connection.unregister("found")
        return as_source(events)


def _is_called_party(row: Row) -> bool:
    """Whether the channel is the agent's. Music there means that the caller put the agent on hold."""
    return row.app_data == "(Outgoing Line)" or row.app == "AgentLogin"


def _extra(row: Row) -> dict[str, str]:
    if not row.extra:
        return {}
    try:
        extra = json.loads(row.extra)
        if not isinstance(extra, dict):
            raise Fault("eventextra is not a JSON object")
        texts = {key: value for key, value in extra.items() if isinstance(value, str)}
        "".join(texts.values()).encode()  # fails at half a character, which Python takes for JSON
    except (ValueError, RecursionError):
        raise Fault("eventextra is not JSON") from None
    return texts
