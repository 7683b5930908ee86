"""Converts Asterisk's queue_log to canonical events, from the file or from the realtime table.

Each row becomes zero, one or two events, independently of other rows. What only the whole call shows (a COMPLETE
beside a TRANSFER, a missing ENTERQUEUE) is left to the models. `line_number` keeps the order of the lines.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import duckdb
import pyarrow as pa

from callmart.base import sql_file
from callmart.base.raw_format import EVENTS, LONGEST_DURATION_S
from callmart.land.former import PERHAPS_OTHER_NUMBER
from callmart.land.source import Tally, as_source
from callmart.land.source_times import Times


@dataclass(frozen=True)
class Verb:
    """One event that a verb stands for. The fields that end in `_at` are positions of parameters, from 1."""

    verb: str
    event: str
    reason: str | None = None
    duration_at: int | None = None
    wait_at: int | None = None  # the wait in the queue, if the event's duration is of something else
    seconds: float = 1.0  # the unit of the duration
    number_at: int | None = None
    target_at: int | None = None
    device_at: int | None = None
    channel: bool = False  # the agent waits for calls on a channel


_MS = 0.001

VERBS = (
    Verb("ENTERQUEUE", "queue_joined", number_at=2),
    Verb("CONNECT", "ring_ended", "answered", duration_at=3),
    Verb("CONNECT", "agent_connected", duration_at=1),
    Verb("COMPLETEAGENT", "agent_released", "agent", duration_at=2, wait_at=1),
    Verb("COMPLETECALLER", "agent_released", "caller", duration_at=2, wait_at=1),
    Verb("BLINDTRANSFER", "transferred", "blind", target_at=1),
    Verb("BLINDTRANSFER", "agent_released", "transfer", duration_at=4, wait_at=3),
    Verb("TRANSFER", "transferred", "blind", target_at=1),
    Verb("TRANSFER", "agent_released", "transfer", duration_at=4, wait_at=3),
    Verb("ATTENDEDTRANSFER", "transferred", "attended"),
    Verb("ATTENDEDTRANSFER", "agent_released", "transfer", duration_at=4, wait_at=3),
    Verb("RINGNOANSWER", "ring_ended", "no_answer", duration_at=1, seconds=_MS),
    Verb("RINGCANCELED", "ring_ended", "caller_left", duration_at=1, seconds=_MS),
    Verb("AGENTDUMP", "ring_ended", "declined"),
    # Old versions wrote the position only, and no wait as third parameter.
    Verb("ABANDON", "queue_left", "abandoned", duration_at=3),
    Verb("EXITWITHTIMEOUT", "queue_left", "timeout", duration_at=3),
    Verb("EXITEMPTY", "queue_left", "empty", duration_at=3),
    Verb("EXITWITHKEY", "queue_left", "key", duration_at=4),
    Verb("WITHDRAW", "queue_left", "withdrawn", duration_at=3),
    Verb("LEAVEEMPTY", "queue_left", "empty"),
    Verb("SYSCOMPAT", "queue_left", "system"),
    Verb("JOINEMPTY", "queue_refused", "empty"),
    Verb("FULL", "queue_refused", "full"),
    Verb("CLOSED", "queue_refused", "closed"),
    Verb("DIVERT_CA_RATIO", "queue_refused", "busy"),
    Verb("DIVERT_HOLDTIME", "queue_refused", "busy"),
    Verb("WRAPUPSTART", "wrapup_started"),
    Verb("WRAPUPSTART", "wrapup_ended", duration_at=1),
    Verb("AGENTLOGIN", "agent_logged_in", device_at=1, channel=True),
    Verb("AGENTLOGOFF", "agent_logged_out", device_at=1, duration_at=2, channel=True),
    Verb("AGENTCALLBACKLOGIN", "agent_logged_in", device_at=1),
    Verb("AGENTCALLBACKLOGOFF", "agent_logged_out", device_at=1, duration_at=2),
    Verb("ADDMEMBER", "agent_joined_queue"),
    Verb("REMOVEMEMBER", "agent_left_queue"),
    Verb("PAUSE", "agent_status"),
    Verb("PAUSEALL", "agent_status"),
    Verb("UNPAUSE", "agent_status", "available"),
    Verb("UNPAUSEALL", "agent_status", "available"),
)

# Known verbs that the marts don't need. Hardly any system writes HOLD and UNHOLD, and none in a standard way.
SILENT_VERBS = (
    "QUEUESTART", "CONFIGRELOAD", "PENALTY", "RINGINUSE", "OUTCALL", "HOLD", "UNHOLD", "DID", "MAP",
)  # fmt: skip


SQL = sql_file.statements(__file__)


class QueueLog:
    """Converts files, batch by batch. It counts unknown verbs."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, tallies: Mapping[int, Tally], time_zone: str | None
    ) -> None:
        """`time_zone` is that of a realtime table, or None for files, which have epoch seconds."""
        self._connection = connection
        self._tallies = tallies
        self._times = Times(connection, tallies, time_zone)
        connection.execute(
            SQL["macros"].format(
                longest_duration_s=LONGEST_DURATION_S, perhaps_other_number=PERHAPS_OTHER_NUMBER
            )
        )
        connection.register("verbs", _verbs_table())

    def canonical(self, rows: pa.Table) -> pa.Table:
        """Return the events of a batch with the columns LOG_COLUMNS, by SOURCE_SCHEMA.

        A row without a readable time is rejected.
        """
        timed = self._times.read(rows)
        self._connection.register("timed", timed)
        self._count_unknown()
        events = self._connection.sql(SQL["events"]).to_arrow_table()
        self._connection.unregister("timed")
        return as_source(events)

    def _count_unknown(self) -> None:
        counts = self._connection.execute(
            SQL["unknown_verbs"],
            {"known": [*SILENT_VERBS, *{verb.verb for verb in VERBS}]},
        ).fetchall()
        for number, verb, times in counts:
            self._tallies[number].unknown_verbs.note(verb, times)


def _verbs_table() -> pa.Table:
    """VERBS as a table for SQL, with the properties of each event in the raw format."""
    events = {event.name: event for event in EVENTS}
    return pa.Table.from_pylist(
        [
            {
                **asdict(verb),
                "of_call": events[verb.event].of_call,
                # The agent of a transfer is the one who transfers. ABANDON can name an agent who never spoke.
                "of_agent": "agent" in events[verb.event].needs or verb.event == "transferred",
            }
            for verb in VERBS
        ]
    )
