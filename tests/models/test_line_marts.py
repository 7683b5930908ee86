"""Lines: calls by the quarter-hour in which they started, and how many went on at once."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from callmart.base.raw_format import LONGEST_DURATION_S
from callmart_home import Callmart
from events import DAY, STANDARD, Row, at, event, ndjson, registry, together

COUNTS = ("calls_in", "calls_out", "calls_other", "answered", "busy", "talk_s", "ring_s", "peak_calls")

# (day after DAY, quarter-hour): the counts that are not 0
Cells = dict[tuple[int, str], dict[str, int]]


def started(number: int, clock: str, day: int = 0, direction: str = "inbound", **values: Any) -> Row:
    return event(
        "call_started", at(clock, day), call_id=f"c-{number}", line="t-1", direction=direction, **values
    )


def answered(number: int, clock: str, day: int = 0, **values: Any) -> Row:
    return event("call_answered", at(clock, day), call_id=f"c-{number}", line="t-1", **values)


def ended(number: int, clock: str, day: int = 0, reason: str | None = "caller", **values: Any) -> Row:
    return event("call_ended", at(clock, day), call_id=f"c-{number}", line="t-1", reason=reason, **values)


@dataclass(frozen=True)
class Odd:
    """Calls of one line, and what the mart says of it."""

    name: str
    told: Sequence[Row]
    cells: Cells


ODD = [
    Odd(
        "seven talks of ten years",
        [
            row
            for number in range(7)
            for row in (
                started(number, "10:00"),
                answered(number, "10:00:01"),
                ended(number, "10:00:02", duration_s=LONGEST_DURATION_S),
            )
        ],
        {(0, "10:00"): {"calls_in": 7, "answered": 7, "ring_s": 7, "talk_s": 500_000_000, "peak_calls": 7}},
    ),
    Odd(
        "in and out, answered or not",
        [
            started(1, "10:00"), answered(1, "10:00:05.5"), ended(1, "10:01:05.4"),
            started(2, "10:02", direction="outbound"), answered(2, "10:02:20"), ended(2, "10:03"),
            started(3, "10:04"), ended(3, "10:04:30"),
            started(4, "10:05", direction="outbound"), ended(4, "10:05:02", reason="system"),
            started(5, "10:06", direction="internal"), answered(5, "10:06:01"), ended(5, "10:06:02"),
        ],
        {
            (0, "10:00"): {
                "calls_in": 2, "calls_out": 2, "calls_other": 1, "answered": 3, "busy": 1,
                "talk_s": 60 + 40 + 1, "ring_s": 6 + 20 + 30 + 2 + 1, "peak_calls": 1,
            }
        },
    ),
    Odd(
        "all where the call started, the peak where it went on",
        [started(1, "10:14:50"), answered(1, "10:15:10"), ended(1, "10:45:10")],
        {
            (0, "10:00"): {"calls_in": 1, "answered": 1, "talk_s": 1800, "ring_s": 20, "peak_calls": 1},
            **{(0, clock): {"peak_calls": 1} for clock in ("10:15", "10:30", "10:45")},
        },
    ),
    Odd(
        "at once",
        [
            started(1, "10:00"), answered(1, "10:00"), ended(1, "10:20"),
            started(2, "10:05"), answered(2, "10:05"), ended(2, "10:16"),
            started(3, "10:10"), answered(3, "10:10"), ended(3, "10:15"),
            started(4, "10:16"), answered(4, "10:16"), ended(4, "10:17"),  # takes the place of the second
            started(5, "10:20"), ended(5, "10:20"),  # there for an instant, as the first goes
        ],
        {
            (0, "10:00"): {"calls_in": 3, "answered": 3, "talk_s": 1200 + 660 + 300, "peak_calls": 3},
            (0, "10:15"): {"calls_in": 2, "answered": 1, "talk_s": 60, "peak_calls": 2},
        },
    ),
    Odd(
        "over midnight",
        [
            started(1, "23:50"), answered(1, "23:50:10"), ended(1, "00:20", 1),
            started(2, "00:10", 1), ended(2, "00:11", 1),
        ],
        {
            (0, "23:45"): {"calls_in": 1, "answered": 1, "talk_s": 1790, "ring_s": 10, "peak_calls": 1},
            (1, "00:00"): {"calls_in": 1, "ring_s": 60, "peak_calls": 2},
            (1, "00:15"): {"peak_calls": 1},
        },
    ),
    Odd(
        "ended on the border",
        [started(1, "23:50"), answered(1, "23:50"), ended(1, "00:00", 1)],
        {(0, "23:45"): {"calls_in": 1, "answered": 1, "talk_s": 600, "peak_calls": 1}},
    ),
    Odd(
        "open at the end of the data",
        [started(1, "10:00"), answered(1, "10:20"), started(2, "10:05"), started(3, "11:00"), ended(3, "11:00:01")],
        {
            (0, "10:00"): {"calls_in": 2, "answered": 1, "ring_s": 1200, "peak_calls": 2},
            (0, "10:15"): {"peak_calls": 1},
            (0, "11:00"): {"calls_in": 1, "ring_s": 1, "peak_calls": 1},
        },
    ),
    Odd(
        "the source's own measures",
        [
            started(1, "10:00"), answered(1, "10:00:10", duration_s=8.5), ended(1, "10:02", duration_s=100),
            started(2, "10:03"), ended(2, "10:04", duration_s=42),
        ],
        {(0, "10:00"): {"calls_in": 2, "answered": 1, "talk_s": 92, "ring_s": 9 + 42, "peak_calls": 1}},
    ),
    Odd(
        "without a beginning",
        [
            answered(1, "10:00:30", duration_s=40), ended(1, "10:02"),  # began to ring at 9:59:50
            ended(2, "10:20", reason="system", duration_s=30),
            ended(3, "10:20", reason=None),
        ],
        {
            (0, "09:45"): {"calls_other": 1, "answered": 1, "talk_s": 90, "ring_s": 40, "peak_calls": 1},
            (0, "10:00"): {"peak_calls": 1},
            (0, "10:15"): {"calls_other": 2, "busy": 1, "ring_s": 30, "peak_calls": 1},
        },
    ),
    Odd(
        "ended twice",
        [started(1, "10:00"), ended(1, "10:02", reason="system", duration_s=100), ended(1, "10:03", duration_s=1)],
        {(0, "10:00"): {"calls_in": 1, "busy": 1, "ring_s": 100, "peak_calls": 1}},
    ),
    Odd(
        "in one second, upside down",
        [ended(1, "10:00"), answered(1, "10:00"), started(1, "10:00")],
        {(0, "10:00"): {"calls_in": 1, "answered": 1, "peak_calls": 1}},
    ),
]  # fmt: skip
CUSTOMER = {odd.name: 401 + number for number, odd in enumerate(ODD)}
WITH_CHANNELS = "at once"
PEOPLE, WALKED, SHUFFLED = 501, 502, 503
ZONED = "time_zone: Asia/Kolkata, " + STANDARD


@pytest.fixture(scope="module")
def told(callmart: Callmart) -> Callmart:
    """All that is odd, a customer each; and one whose people have devices, not lines."""
    callmart.apply(
        registry(
            f"id: {CUSTOMER[WITH_CHANNELS]}, {STANDARD}, lines: [{{name: t-1, channels: 30}}, {{name: t-2}}]",
            *(
                f"id: {customer}, {STANDARD}"
                for customer in (*CUSTOMER.values(), PEOPLE)
                if customer != CUSTOMER[WITH_CHANNELS]
            ),
            *(f"id: {customer}, {ZONED}" for customer in (WALKED, SHUFFLED)),
        )
    )
    told = together({CUSTOMER[odd.name]: odd.told for odd in ODD})
    assert callmart.land_text(told, platform="isdn30").rejected == 0
    assert callmart.land_text(ndjson(*ODD[0].told), PEOPLE, platform="vcloud").rejected == 0
    assert callmart.build_and_open().problems == []
    return callmart


def line_rows(callmart: Callmart, customer: int) -> list[dict[str, Any]]:
    return callmart.rows(
        "select * from store.line_interval where customer_id = %s order by 2, 3, 4, 5", customer
    )


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_what_went_over_a_line(told: Callmart, odd: Odd) -> None:
    cells = {}
    for row in line_rows(told, CUSTOMER[odd.name]):
        assert (row["platform"], row["line"]) == ("isdn30", "t-1")
        key = (row["call_date"] - DAY).days, f"{row['interval_local']:%H:%M}"
        cells[key] = {name: row[name] for name in COUNTS if row[name]}
        assert row["channels"] == (30 if odd.name == WITH_CHANNELS else None)
    assert cells == odd.cells


def test_devices_of_persons_are_no_lines(told: Callmart) -> None:
    assert told.rows("select 1 from raw.event where customer_id = %s", PEOPLE)
    assert line_rows(told, PEOPLE) == []


def test_a_customer_with_lines_reads_them(told: Callmart) -> None:
    customer = CUSTOMER["at once"]
    own = told.rows("select * from mart.line_interval order by 2, 3, 4, 5", customer_id=customer)
    assert own == line_rows(told, customer) != []


# in whatever order it came, against what a clock would have shown


def invent(seed: int) -> list[Row]:
    """Calls of two trunks over three days, of all lengths; some parts of them were never told."""
    rng = random.Random(seed)
    rows = []
    for number in range(400):
        begin = at("00:00") + timedelta(microseconds=rng.randrange(3 * 86_400_000_000))
        about: dict[str, Any] = {
            "call_id": f"c-{number}",
            "line": rng.choice(("t-1", "t-2")),
            "platform": "sip_trunk",
        }
        ring = timedelta(microseconds=rng.randrange(60_000_000))
        talk = timedelta(microseconds=rng.randrange(rng.choice((60, 3600, 40_000)) * 1_000_000))
        direction = rng.choice(("inbound", "outbound", "internal"))
        rows.append(event("call_started", begin, direction=direction, **about))
        if rng.random() < 0.8:
            rows.append(event("call_answered", begin + ring, **about))
        if rng.random() < 0.95:
            reason = rng.choice(("caller", "agent", "system"))
            rows.append(event("call_ended", begin + ring + talk, reason=reason, **about))
    return rows


def true_cells(rows: list[Row]) -> dict[tuple[str, datetime], tuple[int, ...]]:
    """The counts of each line and quarter-hour."""
    calls: dict[str, dict[str, Row]] = {}
    for row in rows:
        calls.setdefault(row["call_id"], {})[row["event"]] = row
    sums: dict[tuple[str, datetime], Counter[str]] = {}
    going_on: dict[tuple[str, datetime], list[tuple[datetime, datetime]]] = {}
    quarter = timedelta(minutes=15)
    for call in calls.values():
        times = {name: datetime.fromisoformat(row["occurred_at"]) for name, row in call.items()}
        begin, last = times["call_started"], max(times.values())
        line = call["call_started"]["line"]
        start = datetime.fromtimestamp(begin.timestamp() // 900 * 900, begin.tzinfo)
        kind = {"inbound": "calls_in", "outbound": "calls_out", "internal": "calls_other"}
        found = sums.setdefault((line, start), Counter())
        found[kind[call["call_started"]["direction"]]] += 1
        if "call_answered" in times:
            found["answered"] += 1
            found["ring_s"] += _half_up(times["call_answered"] - begin)
            found["talk_s"] += _half_up(last - times["call_answered"])  # 0 while it goes on
        elif "call_ended" in times:
            found["busy"] += call["call_ended"]["reason"] == "system"
            found["ring_s"] += _half_up(last - begin)
        while start < last or start <= begin:
            going_on.setdefault((line, start), []).append((max(begin, start), last))
            start += quarter
    return {
        key: (
            *(sums.get(key, Counter())[name] for name in COUNTS[:-1]),
            max(
                sum(begin <= moment < max(end, begin + timedelta(microseconds=1)) for begin, end in spans)
                for moment, _ in spans
            ),
        )
        for key, spans in going_on.items()
    }


def _half_up(seconds: timedelta) -> int:
    return (seconds // timedelta(microseconds=1) + 500_000) // 1_000_000


@pytest.mark.thorough
def test_any_order_of_files_and_builds_gives_what_was_played(callmart: Callmart, told: Callmart) -> None:
    rows = invent(seed=4)
    callmart.land_text(ndjson(*rows), WALKED)
    shuffled = random.Random(5).sample(rows, len(rows))
    for part in range(3):
        callmart.land_text(ndjson(*shuffled[part::3]), SHUFFLED)
        callmart.build_unchecked()
    truth = true_cells(rows)
    for customer in (WALKED, SHUFFLED):
        found = line_rows(callmart, customer)
        assert {
            (row["line"], row["interval_start"]): tuple(row[name] for name in COUNTS) for row in found
        } == truth
    assert line_rows(callmart, WALKED) != []
