"""The simulator: the same by seed, in the raw format, true to life in what matters, and its truth adds up."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callmart.base.errors import UserError
from callmart.base.raw_format import STATUSES
from callmart.simulator import files
from callmart.simulator.expected import AGENT_DAY, OUTCOMES
from callmart.simulator.simulate import EVENTS, Simulated, simulate

DAYS = [date(2026, 10, 24), date(2026, 10, 25)]  # the second has 25 hours
QUEUES = ["sales", "support", "info"]
ZONE = ZoneInfo("Europe/Amsterdam")
QUARTER = timedelta(minutes=15)
Row = dict[str, Any]

OFF_WORK = ("break", "training", "overleg")

REASONS = {
    "ring_ended": {"answered", "no_answer", "busy", "declined", "caller_left", "elsewhere"},
    "queue_left": {"abandoned", "timeout", "empty", "key", "withdrawn", "callback", "system"},
    "queue_refused": {"full", "empty", "closed", "busy"},
    "agent_released": {"agent", "caller", "transfer", "system"},
    "transferred": {"blind", "attended"},
    "call_ended": {"agent", "caller", "system"},
    "agent_status": {"available", "in_call", "wrap_up", "break", "away", "training", "overleg"},
}
OF_A_CALL = {
    "call_started",
    "call_answered",
    "queue_joined",
    "queue_refused",
    "ring_started",
    "ring_ended",
    "agent_connected",
    "hold_started",
    "hold_ended",
    "transferred",
    "agent_released",
    "queue_left",
    "wrapup_started",
    "wrapup_ended",
    "call_ended",
}
OF_AN_AGENT = {
    "agent_logged_in",
    "agent_logged_out",
    "agent_joined_queue",
    "agent_left_queue",
    "agent_status",
}


def run(seed: int = 7, agents: int = 12) -> Simulated:
    return simulate(
        1042,
        DAYS,
        "Europe/Amsterdam",
        QUEUES,
        [f"SIP/{100 + i}" for i in range(agents)],
        contacts_per_day=1500,
        seed=seed,
        hours=(8, 24),
    )


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return run()


@pytest.fixture(scope="module")
def events(simulated: Simulated) -> list[Row]:
    rows: list[Row] = simulated.events.to_pylist()
    return rows


def test_the_same_seed_gives_the_same_tables(simulated: Simulated) -> None:
    for table, again, other in zip(simulated, run(), run(seed=8), strict=True):
        assert table.equals(again)
        assert not table.equals(other)


def test_events_obey_the_raw_format(simulated: Simulated, events: list[Row]) -> None:
    assert simulated.events.schema.equals(EVENTS)
    assert {row["event"] for row in events} == OF_A_CALL | OF_AN_AGENT
    for row in events:
        assert (row["call_id"] is not None) == (row["event"] in OF_A_CALL)
        assert row["reason"] in REASONS.get(row["event"], {None})
        assert (row["direction"] is not None) == (row["event"] == "call_started")
        assert (row["number_withheld"] is not None) == (row["event"] in {"call_started", "queue_joined"})
        assert (row["target"] is not None) == (row["event"] == "transferred")
        if row["event"] in OF_AN_AGENT or row["event"].startswith(("ring_", "agent_", "hold_", "wrapup_")):
            assert row["agent"]
        if row["event"].startswith("queue_"):
            assert row["queue"] in QUEUES


def test_times_are_in_order_and_without_ties(events: list[Row]) -> None:
    times = [row["occurred_at"] for row in events]
    assert all(earlier < later for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("ring_started", "ring_ended"),
        ("agent_connected", "agent_released"),
        ("hold_started", "hold_ended"),
        ("wrapup_started", "wrapup_ended"),
        ("agent_logged_in", "agent_logged_out"),
    ],
)
def test_an_agent_does_one_thing_at_a_time(events: list[Row], begin: str, end: str) -> None:
    busy_with: dict[str, str | None] = {}
    for row in events:
        if row["event"] == begin:
            assert row["agent"] not in busy_with
            busy_with[row["agent"]] = row["call_id"]
        elif row["event"] == end:
            assert busy_with.pop(row["agent"]) == row["call_id"]
    assert not busy_with


def test_nobody_rings_or_talks_during_another_call_or_a_break(events: list[Row]) -> None:
    state: dict[str, str] = defaultdict(lambda: "free")
    becomes = {
        "ring_started": ("free", "rung"),
        "agent_connected": ("answered", "talking"),
        "agent_released": ("talking", "free"),
        "wrapup_started": ("free", "wrap-up"),
        "wrapup_ended": ("wrap-up", "free"),
    }
    for row in events:
        agent = row["agent"]
        if row["event"] in becomes:
            before, after = becomes[row["event"]]
            assert state[agent] == before
            state[agent] = after
        elif row["event"] == "ring_ended":
            state[agent] = "answered" if row["reason"] == "answered" else "free"
        elif row["event"] == "agent_status" and row["reason"] in OFF_WORK:
            assert state[agent] == "free"
            state[agent] = row["reason"]
        elif row["event"] == "agent_status" and state[agent] in OFF_WORK:
            assert row["reason"] == "available"
            state[agent] = "free"


def test_a_telephone_tells_what_its_agent_does(events: list[Row]) -> None:
    told: dict[str, str] = {}
    tells = {"agent_connected": "in_call", "wrapup_started": "wrap_up"}
    for row, after in pairwise(events):
        if row["event"] == "agent_status":
            assert told.get(row["agent"]) != row["reason"], "the same again is not told"
            told[row["agent"]] = row["reason"]
        elif row["event"] in tells:
            assert (after["event"], after["reason"]) == ("agent_status", tells[row["event"]])
        elif row["event"] == "ring_started":
            assert told[row["agent"]] == "available"


def test_every_offer_has_one_outcome(simulated: Simulated, events: list[Row]) -> None:
    seen = Counter(row["event"] for row in events)
    cells = simulated.queue_interval.to_pylist()
    for cell in cells:
        assert cell["offered"] == sum(cell[outcome] for outcome in OUTCOMES)
        assert cell["short_abandoned"] <= cell["abandoned_in_threshold"] <= cell["abandoned"]
        assert cell["answered_in_threshold"] <= cell["answered"]
    assert sum(cell["offered"] for cell in cells) == seen["queue_joined"]
    assert (
        sum(cell[name] for cell in cells for name in cell if name.startswith("refused"))
        == (seen["queue_refused"])
    )


def test_queue_and_agent_truth_agree(simulated: Simulated, events: list[Row]) -> None:
    direct = {row["call_id"] for row in events if row["event"] == "call_started"} - {
        row["call_id"] for row in events if row["event"] in ("queue_joined", "queue_refused")
    }
    assert any(row["event"] == "agent_connected" and row["call_id"] in direct for row in events)
    days = simulated.agent_day.to_pylist()
    assert sum(day["rings"] for day in days) == sum(row["event"] == "ring_ended" for row in events)
    queue_talk = sum(simulated.queue_interval["talk_s"].to_pylist())
    assert queue_talk < sum(day["talk_s"] for day in days) < queue_talk * 1.2


def test_an_agents_day_adds_up(simulated: Simulated) -> None:
    days = simulated.agent_day.to_pylist()
    for day in days:
        statuses = {status: day[f"status_{status}_s"] for status in STATUSES}
        assert sum(statuses.values()) <= 25 * 3600 + 900
        assert day["ready_s"] <= day["logged_in_s"]
        assert (
            abs(day["ready_s"] - sum(statuses[status] for status in ("available", "in_call", "wrap_up")))
            < 900
        )
        assert day["talk_s"] + day["hold_s"] <= statuses["in_call"] + 900
        assert day["rings_answered"] + day["rings_unanswered"] <= day["rings"]
    for name in AGENT_DAY.names[2:]:
        assert any(day[name] for day in days), name


def test_cells_lie_in_their_local_day(simulated: Simulated) -> None:
    for cell in simulated.queue_interval.to_pylist():
        local = cell["interval_start"].astimezone(ZONE)
        assert local.date() == cell["call_date"]
        assert (local - datetime.combine(local.date(), time(), local.tzinfo)) % QUARTER == timedelta()


def test_calls_run_over_midnight(events: list[Row]) -> None:
    midnight = datetime.combine(DAYS[1], time(), ZONE).astimezone(UTC)
    joined = {
        row["call_id"] for row in events if row["event"] == "queue_joined" and row["occurred_at"] < midnight
    }
    assert any(
        row["event"] == "agent_released" and row["call_id"] in joined and row["occurred_at"] > midnight
        for row in events
    )


def test_with_few_agents_callers_wait_and_leave() -> None:
    few = run(seed=9, agents=3).queue_interval
    for name in (
        "timed_out",
        "left_by_key",
        "left_otherwise",
        "refused_full",
        "refused_closed",
        "left_empty",
        "overflowed",
        "callbacks",
    ):
        assert sum(few[name].to_pylist()) > 0, name


def test_another_registry_in_the_folder_is_not_lost(tmp_path: Path) -> None:
    registry = tmp_path / "registry.yml"
    registry.write_text("customers: []\n")
    with pytest.raises(UserError, match="another registry, or one of another day, and would be lost"):
        files.write(tmp_path, 1, DAYS, contacts_per_day=10, seed=1, dirt=False)
    assert registry.read_text() == "customers: []\n"
    assert list(tmp_path.iterdir()) == [registry]


def test_the_same_can_be_simulated_again_into_its_folder(tmp_path: Path) -> None:
    for _ in range(2):
        files.write(tmp_path, 1, DAYS, contacts_per_day=10, seed=1, dirt=False)
