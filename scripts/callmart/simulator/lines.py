"""Simulates lines: inbound and outbound calls on trunks and ISDN accesses, and the rows line_interval must have."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from callmart.base.settings import Platform
from callmart.simulator.clock import QUARTER, SECOND, quarter_of, rounded
from callmart.simulator.simulate import EVENTS

COUNTS = ("calls_in", "calls_out", "answered", "busy", "talk_s", "ring_s", "peak_calls")

LINE_INTERVAL = pa.schema(
    [
        ("call_date", pa.date32()),
        ("line", pa.string()),
        ("interval_start", pa.timestamp("us", "UTC")),
        *((name, pa.int64()) for name in COUNTS),
    ]
)

_CHANNELS = {"isdn2": 2, "isdn30": 30}  # a trunk has no limit


class SimulatedLine(NamedTuple):
    """The events of one line, and the rows that line_interval must have."""

    events: pa.Table
    line_interval: pa.Table


def simulate_line(
    customer_id: int,
    days: Sequence[date],
    time_zone: str,
    line: str,
    platform: Platform,
    *,
    calls_per_day: int,
    seed: int,
) -> SimulatedLine:
    """Simulate `calls_per_day` calls on each local day. The same seed gives the same tables.

    A call that finds all channels of an ISDN access taken leaves no events.
    """
    rng = random.Random(f"{seed}:{customer_id}:{line}")
    zone = ZoneInfo(time_zone)
    starts = _starts(rng, sorted(set(days)), zone, calls_per_day)
    cells: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    events: list[dict[str, object]] = []
    ongoing: list[int] = []  # when each call that is going on ends
    for number, started in enumerate(starts):
        ongoing = [until for until in ongoing if until > started]
        if len(ongoing) >= _CHANNELS.get(platform, len(starts)):
            continue
        call = _call(rng, started)
        ongoing.append(call.ended)
        _count(cells, call, ongoing)
        call_id = f"{line}-{datetime.fromtimestamp(started // SECOND, zone):%y%m%d}.{number}"
        events += _told(customer_id, platform, line, call_id, call.moments)
    rows = [
        {
            "call_date": datetime.fromtimestamp(quarter // SECOND, zone).date(),
            "line": line,
            "interval_start": quarter,
            **cells[quarter],
        }
        for quarter in sorted(cells)
    ]
    return SimulatedLine(pa.Table.from_pylist(events, EVENTS), pa.Table.from_pylist(rows, LINE_INTERVAL))


class _Call(NamedTuple):
    """A call, in microseconds."""

    started: int
    rung: int
    talked: int  # 0 if nobody answered
    outcome: str
    direction: str

    @property
    def ended(self) -> int:
        return self.started + self.rung + self.talked

    @property
    def moments(self) -> list[tuple[str, int | None, str | None, str | None]]:
        """Its events, each with its moment, direction and reason."""
        answered = self.started + self.rung if self.outcome == "answered" else None
        return [
            ("call_started", self.started, self.direction, None),
            ("call_answered", answered, None, None),
            ("call_ended", self.ended, None, "system" if self.outcome == "busy" else "caller"),
        ]


def _call(rng: random.Random, started: int) -> _Call:
    rung = int(rng.uniform(1, 30) * SECOND)
    talked = int(rng.expovariate(1 / 180) * SECOND) + 1
    outcome = rng.choices(("answered", "unanswered", "busy"), (80, 15, 5))[0]
    direction = rng.choice(("inbound", "outbound"))
    return _Call(started, rung, talked if outcome == "answered" else 0, outcome, direction)


def _count(cells: Mapping[int, dict[str, int]], call: _Call, ongoing: Sequence[int]) -> None:
    """Count a call in its quarter-hours. `ongoing` are the ends of the calls that go on when it starts, and its own."""
    first = quarter_of(call.started)
    cell = cells[first]
    cell["calls_in" if call.direction == "inbound" else "calls_out"] += 1
    cell["ring_s"] += rounded(call.rung)
    cell["answered"] += call.outcome == "answered"
    cell["busy"] += call.outcome == "busy"
    cell["talk_s"] += rounded(call.talked)
    # All other ongoing calls began earlier, so those that reach this quarter-hour go on at the same time in it.
    for quarter in range(first, call.ended, QUARTER):
        at_once = sum(until > max(quarter, call.started) for until in ongoing)
        cells[quarter]["peak_calls"] = max(cells[quarter]["peak_calls"], at_once)


def _starts(rng: random.Random, days: Sequence[date], zone: ZoneInfo, calls_per_day: int) -> list[int]:
    """When calls start, in microseconds, most of them around noon."""
    midnights = (datetime.combine(day, time(), zone).timestamp() for day in days)
    return sorted(
        int((midnight + rng.triangular(0, 86400)) * SECOND)
        for midnight in midnights
        for _ in range(calls_per_day)
    )


def _told(
    customer_id: int,
    platform: Platform,
    line: str,
    call_id: str,
    moments: Iterable[tuple[str, int | None, str | None, str | None]],
) -> Iterator[dict[str, object]]:
    """The events of a call: each with its moment, its direction and its reason. What did not happen has no moment."""
    for event, moment, direction, reason in moments:
        if moment is not None:
            yield {
                "customer_id": customer_id,
                "platform": platform,
                "event": event,
                "occurred_at": moment,
                "call_id": call_id,
                "line": line,
                "direction": direction,
                "reason": reason,
            }
