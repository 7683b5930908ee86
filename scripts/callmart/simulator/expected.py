"""Counts the rows that two marts must have, while the simulated callers and agents act."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any

import pyarrow as pa

from callmart.base.raw_format import LONGEST_PHASE, STATUSES
from callmart.simulator.wall_clock import WallClock, quarter_of, rounded

OUTCOMES = ("answered", "abandoned", "timed_out", "left_by_key", "left_empty", "left_otherwise", "still_open")

QUEUE_INTERVAL = pa.schema(
    [
        ("call_date", pa.date32()),
        ("queue", pa.string()),
        ("interval_start", pa.timestamp("us", "UTC")),
        *(
            (name, pa.int64())
            for name in (
                "offered",
                *OUTCOMES,
                "short_abandoned",
                "refused_full",
                "refused_empty",
                "refused_closed",
                "refused_busy",
                "answered_in_threshold",
                "abandoned_in_threshold",
                "wait_answered_s",
                "wait_abandoned_s",
                "wait_max_s",
                "rings",
                "rings_answered",
                "rings_unanswered",
                "ring_s",
                "talk_s",
                "holds",
                "contacts_held",
                "hold_s",
                "wrapup_s",
                "transferred_blind",
                "transferred_attended",
                "overflowed",
                "callbacks",
            )
        ),
    ]
)

AGENT_DAY = pa.schema(
    [
        ("call_date", pa.date32()),
        ("agent", pa.string()),
        *(
            (name, pa.int64())
            for name in (
                "contacts",
                "outbound_calls",
                "rings",
                "rings_answered",
                "rings_unanswered",
                "ring_s",
                "talk_s",
                "holds",
                "hold_s",
                "wrapup_s",
                "transfers",
                "logins",
                "logged_in_s",
                "ready_s",
                *(f"status_{status}_s" for status in STATUSES),
            )
        ),
    ]
)

Cell = dict[str, int]  # the counts and sums of a row, by column

_READY = ("available", "in_call", "wrap_up")


class Expected:
    """The rows of queue_interval and agent_day."""

    def __init__(self, clock: WallClock) -> None:
        self._clock = clock
        self._queues: dict[tuple[date, str, int], Cell] = defaultdict(nothing)
        self._agents: dict[tuple[date, str], Cell] = defaultdict(partial(_zeros, AGENT_DAY, 2))
        # By day and agent: seconds of each status, and microseconds logged in and ready.
        self._statuses: dict[tuple[date, str], Cell] = defaultdict(lambda: dict.fromkeys(STATUSES, 0))
        self._attended: dict[tuple[date, str], Cell] = defaultdict(lambda: {"logged_in": 0, "ready": 0})

    def of_queue(self, queue: str, moment: int) -> Cell:
        """The row of queue_interval for what comes to the queue at this moment."""
        return self._queues[self._clock.date_of(moment), queue, quarter_of(moment)]

    def of_agent(self, agent: str, moment: int) -> Cell:
        """The row of agent_day for what the agent does at this moment."""
        return self._agents[self._clock.date_of(moment), agent]

    def count_status(self, agent: str, status: str, since: int, until: int) -> None:
        """Count a status of an agent, divided at midnight. The whole duration is rounded once."""
        known = status if status in STATUSES else "other"
        for day, start, end in self._clock.within_days(
            since, min(until, since + LONGEST_PHASE // timedelta(microseconds=1))
        ):
            self._statuses[day, agent][known] += rounded(end - since) - rounded(start - since)

    def count_attendance(self, agent: str, status: str | None, since: int, until: int) -> None:
        """Count a time for which an agent was logged in, with the same status throughout."""
        is_ready = status is None or status in _READY
        for day, start, end in self._clock.within_days(since, until):
            self._attended[day, agent]["logged_in"] += end - start
            self._attended[day, agent]["ready"] += (end - start) * is_ready

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """The rows of queue_interval, and those of agent_day."""
        for key, cell in self._agents.items():
            for status, seconds in self._statuses[key].items():
                cell[f"status_{status}_s"] = seconds
            for name, time_us in self._attended[key].items():
                cell[f"{name}_s"] = rounded(time_us)
        return _table(self._queues, QUEUE_INTERVAL), _table(self._agents, AGENT_DAY)


def nothing() -> Cell:
    """A row of queue_interval in which nothing is counted yet."""
    return _zeros(QUEUE_INTERVAL, 3)


def _zeros(schema: pa.Schema, keys: int) -> Cell:
    return dict.fromkeys(schema.names[keys:], 0)


def _table(cells: Mapping[Any, Cell], schema: pa.Schema) -> pa.Table:
    rows = [dict(zip(schema.names, (*key, *cells[key].values()), strict=True)) for key in sorted(cells)]
    return pa.Table.from_pylist(rows, schema)
