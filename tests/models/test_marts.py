"""What the marts say: as it was played, in whatever order it came, as the registry has it now; and the odd calls."""

import csv
import random
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import plain_log
from callmart.cli import demo
from callmart.declarations import dbt_project, metrics
from callmart.simulator.lines import simulate_line
from callmart.simulator.simulate import AGENT_DAY, QUEUE_INTERVAL, Simulated, simulate
from callmart_home import Callmart
from events import AMSTERDAM, DAY, Row, at, days, event, log, ndjson, registry
from today import YESTERDAY

DETAILED = "contracts: [{option: detailed, from: 2020-01-01}]"
STANDARD = "contracts: [{option: standard, from: 2020-01-01}]"
# All that the simulator knows, and what odd calls are told by.
PLAYED, AGENT_PLAYED = QUEUE_INTERVAL.names[3:], AGENT_DAY.names[2:]
COUNTS = [*PLAYED[: PLAYED.index("rings")], "ring_s", "talk_s"]
AGENT_COUNTS = ["contacts", "rings", "rings_unanswered", "ring_s", "talk_s"]

Cells = dict[tuple[Any, ...], tuple[Any, ...]]


def apply(callmart: Callmart, *, changed: bool) -> None:
    """Apply the registry of all tests here, before the changes at the end or after them."""
    callmart.apply(
        registry(
            *(f"id: {customer}, time_zone: {zone}, {DETAILED}" for customer, zone in ZONES.items()),
            *(
                f"id: {customer}, {DETAILED}"
                for customer in (*IN_ORDER.values(), TOLD_TWICE, *SHUFFLED, BY_FILE, BY_REALTIME, WITH_CEL)
            ),
            *(f"id: {CUSTOMER[odd.name]}, {odd.option}" for odd in ODD),
            *(
                f"id: {FIRST[change] + i}, {states[changed or i == 0]}"
                for change, states in CHANGES.items()
                for i in range(4)
            ),
        )
    )


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    apply(callmart, changed=False)


def queue_cells(callmart: Callmart, customer: int, names: Sequence[str] = COUNTS) -> Cells:
    """A row of queue_interval by its key, with the customer's clock last."""
    found = callmart.rows("select * from store.queue_interval where customer_id = %s", customer)
    return {
        (row["call_date"], row["queue"], row["interval_start"]): (
            *(row[name] for name in names),
            row["interval_local"],
        )
        for row in found
    }


def agent_cells(callmart: Callmart, customer: int, names: Sequence[str] = AGENT_COUNTS) -> Cells:
    """A row of agent_day by day and what reports call the agent."""
    found = callmart.rows(
        "select * from store.agent_day left join store.agent using (customer_id, agent_key) where customer_id = %s",
        customer,
    )
    return {(row["call_date"], row["agent"]): tuple(row[name] for name in names) for row in found}


def agents(callmart: Callmart, customer: int) -> set[str]:
    found = callmart.rows("select agent from store.agent where customer_id = %s", customer)
    return {row["agent"] for row in found}


def true_queue_cells(simulated: Simulated, zone: str) -> Cells:
    """All of what queue_cells must find. The longest of no waits is none, which the simulator counts as 0."""
    return {
        (row["call_date"], row["queue"], row["interval_start"]): (
            *(row[name] for name in PLAYED),
            row["interval_start"].astimezone(ZoneInfo(zone)).replace(tzinfo=None),
        )
        for row in simulated.queue_interval.to_pylist()
    }


def true_agent_cells(simulated: Simulated) -> Cells:
    return {
        (row["call_date"], row["agent"]): tuple(row[name] for name in AGENT_PLAYED)
        for row in simulated.agent_day.to_pylist()
    }


def without_longest(cells: Cells, *, absent: int | None) -> Cells:
    """Every None in the place of the longest wait becomes `absent`."""
    place = PLAYED.index("wait_max_s")
    return {
        key: (*row[:place], absent if row[place] is None else row[place], *row[place + 1 :])
        for key, row in cells.items()
    }


def over_midnight(simulated: Simulated, zone: str) -> int:
    """How many calls lie on more than one day: without any, the tests pass on less than they say."""
    dates: dict[str, set[date]] = {}
    for row in simulated.events.to_pylist():
        if row["call_id"]:
            dates.setdefault(row["call_id"], set()).add(row["occurred_at"].astimezone(ZoneInfo(zone)).date())
    return sum(len(of_call) > 1 for of_call in dates.values())


# as it was played

ZONES = {
    11: "Europe/Amsterdam",
    12: "Europe/London",
    14: "Asia/Kolkata",
    16: "America/St_Johns",
    15: "Australia/Lord_Howe",  # its clock moves by half an hour
}


HOURS = [(22, 27), (0, 24)]
OVER_MONTHS = 12
MONTH_END = (YESTERDAY - timedelta(days=40)).replace(day=1) - timedelta(days=1)


def changes_of_clock(zone: str) -> list[date]:
    """The days of the last two years that are longer or shorter than others."""
    recent = [YESTERDAY - timedelta(days=i) for i in range(2, 728)]

    def offset(day: date) -> timedelta | None:
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).utcoffset()

    return [day for day in recent if offset(day) != offset(day + timedelta(days=1))]


@pytest.fixture(scope="module")
def played(callmart: Callmart) -> dict[int, Simulated]:
    """Contact centres of the night, or that never close, around each change of their clock, on the last days, and one
    of them at the end of a month.
    """
    plays = {}
    for customer, zone in ZONES.items():
        nights = [YESTERDAY - timedelta(days=1), *changes_of_clock(zone)]
        if customer == OVER_MONTHS:
            nights.append(MONTH_END)
        plays[customer] = simulate(
            customer,
            [night + timedelta(days=i) for night in nights for i in (-1, 0, 1)],
            zone,
            ["sales", "support"],
            ["SIP/1", "SIP/2", "SIP/3"],
            contacts_per_day=200,
            seed=2,
            hours=HOURS[customer % 2],
        )
        assert over_midnight(plays[customer], zone) > 2
        file = callmart.home / f"{customer}.parquet"
        pq.write_table(plays[customer].events, file)
        assert callmart.land(file).landed == plays[customer].events.num_rows
    assert callmart.build_and_open().problems == []
    return plays


def test_the_clock_changes_where_it_should() -> None:
    """Else the tests below pass on nothing."""
    counted = {zone: len(changes_of_clock(zone)) for zone in ZONES.values()}
    assert counted.pop("Asia/Kolkata") == 0
    assert set(counted.values()) <= {3, 4}


def test_a_call_lies_over_the_end_of_a_month(callmart: Callmart, played: dict[int, Simulated]) -> None:
    """Likewise: months are tables of their own."""
    zone = ZoneInfo(ZONES[OVER_MONTHS])
    midnight = datetime.combine(MONTH_END + timedelta(days=1), datetime.min.time(), zone)
    assert callmart.rows(
        "select from raw.call where customer_id = %s and first_at < %s and last_at > %s",
        OVER_MONTHS,
        midnight,
        midnight,
    )


@pytest.mark.parametrize("customer", ZONES)
def test_queue_interval_is_as_played(callmart: Callmart, played: dict[int, Simulated], customer: int) -> None:
    truth = true_queue_cells(played[customer], ZONES[customer])
    found = queue_cells(callmart, customer, PLAYED)
    assert found.keys() == truth.keys()
    assert without_longest(found, absent=0) == truth


@pytest.mark.parametrize("customer", ZONES)
def test_agent_day_is_as_played(callmart: Callmart, played: dict[int, Simulated], customer: int) -> None:
    found = agent_cells(callmart, customer, AGENT_PLAYED)
    # Where no call is told on a day, holds and wrap-up are not known.
    assert {key: tuple(value or 0 for value in row) for key, row in found.items()} == true_agent_cells(
        played[customer]
    )


# in whatever order it came

IN_ORDER = {"exact": 101, "whole seconds": 201}
TOLD_TWICE = 105
SHUFFLED = {102: "exact", 103: "exact", 202: "whole seconds", 203: "whole seconds", 204: "whole seconds"}


def whole_seconds(events: pa.Table) -> pa.Table:
    """As a source tells it whose clock has no fractions: much is in one moment."""
    place = events.schema.get_field_index("occurred_at")
    seconds = pc.floor_temporal(events["occurred_at"], unit="second")
    return events.set_column(place, "occurred_at", seconds)


def all_kinds(rng: random.Random) -> tuple[pa.Table, Simulated]:
    """Days of which the last looks back at the second but not at the first: users whose callers come again, a line, and
    wrap-ups of no call; and what the simulator knows of the users.
    """
    days_played = [day for day in days(8) if day not in days(7)[3:]]
    play = simulate(
        1, days_played, "Europe/Amsterdam", ["sales", "support"], ["SIP/1", "SIP/2", "SIP/3"],
        contacts_per_day=150, seed=5, hours=(22, 26),
    )  # fmt: skip
    assert over_midnight(play, "Europe/Amsterdam") > 5
    trunk = simulate_line(1, days_played, "Europe/Amsterdam", "t", "sip_trunk", calls_per_day=30, seed=5)
    wrapups = []
    for day in days_played:
        for number in range(10):
            began = at("23:30", (day - DAY).days) + timedelta(minutes=7 * number)  # until after midnight
            for name, moment in (
                ("started", began),
                ("ended", began + timedelta(seconds=rng.uniform(1, 400))),
            ):
                wrapups.append({"event": f"wrapup_{name}", "occurred_at": moment, "agent": "SIP/1"})
    schema = play.events.schema
    told = [play.events, trunk.events, pa.Table.from_pylist(wrapups, schema=schema)]
    events = pa.concat_tables(told)
    numbers = [
        number and f"+316000000{zlib.crc32(call.encode()) % 60:02}"
        for number, call in zip(
            *(events[name].to_pylist() for name in ("other_number", "call_id")), strict=True
        )
    ]
    place = schema.get_field_index("other_number")
    return events.set_column(place, "other_number", pa.array(numbers)).drop_columns("customer_id"), play


def pieces(events: pa.Table, rng: random.Random) -> list[pa.Table]:
    """The events, shuffled and cut into files, some of which overlap."""
    order = rng.sample(range(events.num_rows), events.num_rows)
    cuts = [0, *sorted(rng.sample(range(1, events.num_rows), 3)), events.num_rows]
    overlap = rng.randrange(200)
    return [events.take(order[max(0, start - overlap) : end]) for start, end in pairwise(cuts)]


def build_in_windows(callmart: Callmart, rng: random.Random) -> None:
    """Build all days anew, in parts picked at random, so that calls over midnight are cut by the window."""
    every_day = callmart.rows(
        "select customer_id, call_date from ops.dirty_day"
        " union select customer_id, call_date from ops.opened_day where isfinite(call_date)"
    )
    part_of = [rng.randrange(3) for _ in every_day]
    with callmart.connect() as connection:
        connection.execute("truncate ops.dirty_day")
        connection.commit()
        for part in range(3):
            connection.cursor().executemany(
                "insert into ops.dirty_day (customer_id, call_date, cause) values (%s, %s, 'test')",
                [tuple(day.values()) for day, of in zip(every_day, part_of, strict=True) if of == part],
            )
            connection.commit()
            callmart.build_unchecked()


def test_any_order_of_events_files_and_builds_gives_the_same(callmart: Callmart) -> None:
    rng = random.Random(20)
    events, play = all_kinds(rng)
    clocks = {"exact": events, "whole seconds": whole_seconds(events)}

    def land(customer: int, number: int, part: pa.Table) -> None:
        file = callmart.home / f"{customer}-{number}.parquet"
        pq.write_table(part, file)
        callmart.land(file, customer)

    work = []
    for clock, customer in IN_ORDER.items():
        land(customer, 0, clocks[clock])
    # An end that is told again says nothing new, but its call is not straight any more: see int_call.
    ends = pc.is_in(events["event"], pa.array(["agent_released", "queue_left"]))
    assert pc.sum(ends).as_py() > 400
    land(TOLD_TWICE, 0, pa.concat_tables([events, events.filter(ends)]))
    for customer, clock in SHUFFLED.items():
        work += [(customer, number, part) for number, part in enumerate(pieces(clocks[clock], rng))]
    rng.shuffle(work)
    for number, part in enumerate(work):
        land(*part)
        if number % 20 == 9:
            callmart.build_unchecked()
    build_in_windows(callmart, rng)

    assert without_longest(queue_cells(callmart, 101, PLAYED), absent=0) == true_queue_cells(
        play, "Europe/Amsterdam"
    )
    told = {clock: callmart.told(customer) for clock, customer in IN_ORDER.items()}
    assert all(all(told[clock].values()) for clock in clocks), "every mart has rows"
    again = "select from store.queue_day where customer_id = %s and repeat_callers_week > repeat_callers_day"
    assert callmart.rows(again, IN_ORDER["exact"])
    for customer, clock in SHUFFLED.items():
        assert callmart.told(customer) == told[clock], customer
    assert callmart.told(TOLD_TWICE) == told["exact"]


# the recording of a real Asterisk

OUTCOMES = {
    "answered": "answered",
    "answered_open_at_stop": "answered",
    "answered_by_pickup": "answered",
    "abandoned": "abandoned",
    "abandoned_in_announce": "abandoned",
    "redirected_by_ami": "abandoned",
    "timeout": "timed_out",
    "exitkey": "left_by_key",
    "exitempty": "left_empty",
    "withdraw": "left_otherwise",
    "waiting_at_stop": "still_open",
    # The log does not have them.
    "refused_full": None,
    "refused_empty": None,
    "hung_up_before_queue": None,
}
RECORDING = demo.EXAMPLE / "asterisk"
BY_FILE, BY_REALTIME, WITH_CEL = 301, 302, 303


@pytest.fixture(scope="module")
def recorded(callmart: Callmart) -> Callmart:
    """Both forms of the recording, each moved to a day that is not too old."""
    monday = DAY - timedelta(days=DAY.weekday())
    table, *files = (callmart.home / name for name in ("queue_log.csv", *demo.RECORDED))
    for file in files:
        demo.move_recording(file.name, file, monday)
    moved = monday + timedelta(days=demo.RECORDED_ON.weekday())
    shift = int(_midnight(moved) - _midnight(demo.RECORDED_ON))
    rows = (RECORDING / "queue_log_realtime.csv").read_text().replace(str(demo.RECORDED_ON), str(moved))
    table.write_text(re.sub(r"\b1795\d{6}\b", lambda second: str(int(second[0]) + shift), rows))
    callmart.land(files[0], BY_FILE)
    callmart.land(table, BY_REALTIME)
    for file in reversed(files):
        callmart.land(file, WITH_CEL)
    assert callmart.build_and_open().problems == []
    return callmart


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=AMSTERDAM).timestamp()


def true_visits() -> list[dict[str, str]]:
    with (RECORDING / "ground_truth_visits.csv").open() as file:
        return list(csv.DictReader(file))


def by_queue(callmart: Callmart, customer: int) -> dict[str, dict[str, int]]:
    """The counts of each queue, over all quarter-hours, that are not 0."""
    sums: dict[str, Counter[str]] = {}
    for (_, queue, _), row in queue_cells(callmart, customer).items():
        for name, value in zip(COUNTS, row, strict=False):
            counter = sums.setdefault(queue, Counter())
            counter[name] = (
                max(counter[name], value or 0) if name == "wait_max_s" else counter[name] + (value or 0)
            )
    return {
        queue: {name: count for name, count in counter.items() if count} for queue, counter in sums.items()
    }


@pytest.mark.parametrize("customer", [BY_FILE, BY_REALTIME], ids=["file", "realtime table"])
def test_outcomes_are_what_the_callers_did(recorded: Callmart, customer: int) -> None:
    truth: dict[str, Counter[str]] = {}
    for visit in true_visits():
        if outcome := OUTCOMES[visit["outcome"]]:
            truth.setdefault(visit["queue"], Counter()).update((outcome, "offered"))
    kinds = {*OUTCOMES.values(), "offered"}
    found = by_queue(recorded, customer)
    assert {
        queue: {name: count for name, count in counts.items() if name in kinds}
        for queue, counts in found.items()
    } == truth
    assert sum(counts["offered"] for counts in found.values()) == 354


@pytest.mark.parametrize("customer", [BY_FILE, WITH_CEL], ids=["file", "with channel events"])
def test_every_cell_is_what_the_lines_say(recorded: Callmart, customer: int) -> None:
    """Talk as the log counts it, that is with holds."""
    queues, agents = plain_log.read((recorded.home / "queue_log").read_text())
    counted = {*COUNTS, "rings", "rings_answered", "rings_unanswered"}
    found = {
        (row["queue"], int(row["interval_start"].timestamp())): Counter(
            {name: row[name] or 0 for name in counted}
        )
        + Counter(talk_s=row["hold_s"] or 0)
        for row in recorded.rows("select * from store.queue_interval where customer_id = %s", customer)
    }
    assert {cell: +counts for cell, counts in found.items()} == {
        cell: +counts for cell, counts in queues.items()
    }
    days = recorded.rows(
        "select * from store.agent_day join store.agent using (customer_id, agent_key) where customer_id = %s",
        customer,
    )
    counted = {*AGENT_COUNTS, "rings_answered"}
    assert {
        row["agent"]: +(Counter({name: row[name] for name in counted}) + Counter(talk_s=row["hold_s"] or 0))
        for row in days
        if row["contacts"] + row["rings"]
    } == {agent: +counts for agent, counts in agents.items() if +counts}


def test_holds_and_transfers_are_those_that_were_made(recorded: Callmart) -> None:
    """With the channel events beside the log; its own tests know each of them."""
    with (RECORDING / "ground_truth.csv").open() as file:
        held = [call["holds"] for call in csv.DictReader(file) if call["holds"]]
    lengths = [float(unhold[7:]) - float(hold[5:]) for hold, unhold in (both.split(";") for both in held)]
    (found,) = recorded.rows(
        "select sum(holds)::int as holds, sum(contacts_held)::int as held, sum(hold_s)::int as seconds,"
        " sum(transferred_blind)::int as blind, sum(transferred_attended)::int as attended"
        " from store.queue_interval where customer_id = %s",
        WITH_CEL,
    )
    assert found.pop("seconds") == pytest.approx(sum(lengths), abs=len(held) / 2)
    assert found == {"holds": 9, "held": len(held), "blind": 19, "attended": 15}


@pytest.mark.parametrize("customer", [BY_FILE, BY_REALTIME], ids=["file", "realtime table"])
def test_contacts_are_whom_the_agents_spoke_to(recorded: Callmart, customer: int) -> None:
    truth = Counter(visit["agent"] for visit in true_visits() if visit["agent"])
    pickups = truth.pop("phone 290 (pickup)")  # the log names whose telephone rang
    found: Counter[str] = Counter()
    for (_, agent), row in agent_cells(recorded, customer).items():
        found[agent] += row[AGENT_COUNTS.index("contacts")]
    assert not truth - found
    assert (found - truth).total() == pickups


# odd calls


def line(clock: str, rest: str, day: int = 0) -> tuple[datetime, str]:
    return at(clock, day), rest


def call(name: str, clock: str, queue: str | None = "q", agent: str | None = None, **values: Any) -> Row:
    row = event(name, at(clock), call_id="c-1", queue=queue, agent=agent, **values)
    return {column: value for column, value in row.items() if value is not None}


@dataclass(frozen=True)
class Odd:
    """A call, and what the marts say of it: the counts that are not 0."""

    name: str
    told: Sequence[Row] | Sequence[tuple[datetime, str]]
    queues: dict[str, dict[str, int]] = field(default_factory=dict)
    agents: dict[str, dict[str, int]] = field(default_factory=dict)
    option: str = DETAILED


ABANDONED = {"offered": 1, "abandoned": 1, "abandoned_in_threshold": 1}
ANSWERED = {"offered": 1, "answered": 1, "answered_in_threshold": 1}
ONE = {"contacts": 1}

JOIN, CONNECT = call("queue_joined", "10:00"), call("agent_connected", "10:00:10", agent="a")
WAITED = {"wait_answered_s": 10, "wait_max_s": 10}

ODD = [
    Odd("still waiting", [JOIN], {"q": {"offered": 1, "still_open": 1}}),
    Odd("still talking", [JOIN, CONNECT], {"q": ANSWERED | WAITED}, {"a": ONE}),
    Odd(
        "no time at all, left",
        [JOIN, call("queue_left", "10:00", reason="abandoned")],
        {"q": ABANDONED | {"short_abandoned": 1}},
    ),
    Odd(
        "no time at all, answered",
        [
            JOIN,
            call("agent_connected", "10:00", agent="a"),
            call("agent_released", "10:00", agent="a", reason="agent"),
        ],
        {"q": ANSWERED},
        {"a": ONE},
    ),
    Odd(
        "the file is upside down",
        [call("agent_released", "10:01", agent="a", reason="agent"), CONNECT, JOIN],
        {"q": ANSWERED | WAITED | {"talk_s": 50}},
        {"a": ONE | {"talk_s": 50}},
    ),
    Odd(
        "connected in the log before it joins",
        [line("10:00", "c-1|q|a|CONNECT|0|c-2|0"), line("10:00", "c-1|q|NONE|ENTERQUEUE||0612345678")],
        {"q": ANSWERED},
        {"a": ONE | {"rings": 1}},
    ),
    Odd(
        "released in the log before it connects",
        [
            line("10:00", "c-1|q|NONE|ENTERQUEUE||0612345678"),
            line("10:00:05", "c-1|q|a|COMPLETECALLER|5|0|1"),
            line("10:00:05", "c-1|q|a|CONNECT|5|c-2|2"),
        ],
        {"q": ANSWERED | {"wait_answered_s": 5, "wait_max_s": 5, "ring_s": 2}},
        {"a": ONE | {"rings": 1, "ring_s": 2}},
    ),
    Odd(
        "twice in one queue in one second, by a log",
        [line("10:00", f"c-1|q|NONE|{rest}") for rest in ("ENTERQUEUE||", "EXITWITHTIMEOUT|1|1|0") * 2],
        {"q": {"offered": 2, "timed_out": 2}},
    ),
    Odd(
        "twice in one queue in one second, in any order",
        [call("queue_left", "10:00", reason="timeout"), JOIN] * 2,
        {"q": {"offered": 2, "timed_out": 2}},
    ),
    Odd(
        "out and in again in one second, over and over",
        [
            JOIN,
            *(
                call(name, clock, **reason)
                for clock in ("10:01", "10:02", "10:03")
                for name, reason in (("queue_joined", {}), ("queue_left", {"reason": "timeout"}))
            ),
            call("agent_connected", "10:03:15", agent="a"),
        ],
        {
            "q": {
                "offered": 4,
                "timed_out": 3,
                "answered": 1,
                "answered_in_threshold": 1,
                "wait_answered_s": 15,
                "wait_max_s": 60,
            }
        },
        {"a": ONE},
    ),
    Odd(
        "transferred back to its queue in one second",
        [
            JOIN,
            CONNECT,
            call("agent_released", "10:01", agent="a", reason="transfer"),
            call("queue_joined", "10:01"),
            call("queue_left", "10:01:04", reason="abandoned"),
        ],
        {
            "q": {
                "offered": 2,
                "answered": 1,
                "answered_in_threshold": 1,
                **WAITED,
                "talk_s": 50,
                "abandoned": 1,
                "short_abandoned": 1,
                "abandoned_in_threshold": 1,
                "wait_abandoned_s": 4,
            }
        },
        {"a": ONE | {"talk_s": 50}},
    ),
    Odd(
        "transferred to another queue",
        [
            JOIN,
            CONNECT,
            call("agent_released", "10:01", agent="a", reason="transfer"),
            call("queue_joined", "10:01", "r"),
            call("agent_connected", "10:01:30", "r", "a"),
            call("agent_released", "10:02", "r", "a", reason="agent"),
        ],
        {
            "q": ANSWERED | WAITED | {"talk_s": 50},
            "r": {"offered": 1, "answered": 1, "wait_answered_s": 30, "wait_max_s": 30, "talk_s": 30},
        },
        {"a": {"contacts": 2, "talk_s": 80}},
    ),
    Odd(
        "what comes after the end does not reopen",
        [
            JOIN,
            call("queue_left", "10:00:08", reason="abandoned"),
            CONNECT,
            call("agent_released", "10:00:20", agent="a", reason="agent"),
        ],
        {"q": ABANDONED | {"wait_abandoned_s": 8, "wait_max_s": 8}},
        {"a": ONE | {"talk_s": 10}},
    ),
    Odd(
        "left twice: the first counts",
        [
            JOIN,
            call("queue_left", "10:00:08", reason="abandoned"),
            call("queue_left", "10:00:09", reason="timeout"),
        ],
        {"q": ABANDONED | {"wait_abandoned_s": 8, "wait_max_s": 8}},
    ),
    *(
        Odd(
            f"two endings: {first} first",
            [
                line("10:00", "c-1|q|NONE|ENTERQUEUE||0612345678"),
                line("10:00:10", "c-1|q|a|CONNECT|10|c-2|3"),
                *(line("10:01", f"c-1|q|a|{rest}") for rest in rests),
            ],
            {"q": ANSWERED | WAITED | {"talk_s": 47, "ring_s": 3}},
            {"a": ONE | {"rings": 1, "ring_s": 3, "talk_s": 47}},
        )
        for first, *rests in (
            ("transfer", "BLINDTRANSFER|600|from-internal|10|47|1", "COMPLETECALLER|10|50|1"),
            ("complete", "COMPLETECALLER|10|50|1", "BLINDTRANSFER|600|from-internal|10|47|1"),
        )
    ),
    Odd(
        "a direct call",
        [
            call("ring_started", "10:00", None, "a"),
            call("ring_ended", "10:00:04", None, "a", reason="answered"),
            call("agent_connected", "10:00:04", None, "a"),
            call("agent_released", "10:01", None, "a", reason="caller"),
        ],
        {},
        {"a": ONE | {"rings": 1, "ring_s": 4, "talk_s": 56}},
    ),
    Odd(
        "an agent twice in one contact, and a colleague",
        [
            JOIN,
            CONNECT,
            call("agent_released", "10:00:20", agent="a", reason="transfer"),
            call("agent_connected", "10:00:20", agent="b"),
            call("agent_released", "10:00:25", agent="b", reason="transfer"),
            call("agent_connected", "10:00:30", agent="a"),
            call("agent_released", "10:00:40", agent="a", reason="agent"),
        ],
        {"q": ANSWERED | WAITED | {"talk_s": 25}},
        {"a": ONE | {"talk_s": 20}, "b": ONE | {"talk_s": 5}},
    ),
    Odd(
        "rings without a beginning, or with a second end",
        [
            JOIN,
            call("ring_ended", "10:00:05", agent="a", reason="no_answer"),
            call("ring_ended", "10:00:05", agent="b", reason="declined", duration_s=3),
            call("ring_started", "10:00:06", agent="b"),
            call("ring_ended", "10:00:08", agent="b", reason="busy"),
            call("ring_ended", "10:00:09", agent="b", reason="elsewhere"),
            call("ring_started", "10:00:09", agent="b"),  # and one that still rings
        ],
        {"q": {"offered": 1, "still_open": 1, "ring_s": 5}},
        {
            "a": {"rings": 1, "rings_unanswered": 1},
            "b": {"rings": 3, "rings_unanswered": 2, "ring_s": 5},
        },
    ),
    Odd(
        "all telephones ring, one is answered",
        [
            JOIN,
            *(call("ring_started", "10:00:04", agent=agent) for agent in "abc"),
            *(call("ring_ended", "10:00:10", agent=agent, reason="elsewhere") for agent in "bc"),
            call("ring_ended", "10:00:10", agent="a", reason="answered"),
            CONNECT,
        ],
        {"q": ANSWERED | WAITED | {"ring_s": 18}},
        {"a": ONE | {"rings": 1, "ring_s": 6}} | {agent: {"rings": 1, "ring_s": 6} for agent in "bc"},
    ),
    Odd(
        "the source's own measure wins",
        [
            JOIN,
            CONNECT | {"duration_s": 21},
            call("agent_released", "10:01", agent="a", reason="agent", duration_s=12.5),
        ],
        {"q": {"offered": 1, "answered": 1, "wait_answered_s": 21, "wait_max_s": 21, "talk_s": 13}},
        {"a": ONE | {"talk_s": 13}},
    ),
    Odd(
        "rounded half up, once; the threshold unrounded",
        [
            JOIN,
            call("agent_connected", "10:00:20.4", agent="a"),
            call("agent_released", "10:00:22.9", agent="a", reason="agent"),  # 2.5 s
            call("agent_connected", "10:00:23", agent="b"),
            call("agent_released", "10:00:25.4", agent="b", reason="agent"),  # 2.4 s
        ],
        {"q": {"offered": 1, "answered": 1, "wait_answered_s": 20, "wait_max_s": 20, "talk_s": 5}},
        {"a": ONE | {"talk_s": 3}, "b": ONE | {"talk_s": 2}},
    ),
    Odd(
        "short means under the limit, in time means up to it",
        [
            *(
                row | {"call_id": f"c-{wait}"}
                for wait in ("04.999", "05", "20", "20.001")
                for row in (JOIN, call("queue_left", f"10:00:{wait}", reason="abandoned"))
            )
        ],
        {
            "q": {
                "offered": 4,
                "abandoned": 4,
                "short_abandoned": 1,
                "abandoned_in_threshold": 3,
                "wait_abandoned_s": 50,
                "wait_max_s": 20,
            }
        },
    ),
    Odd(
        "each way to leave, each refusal",
        [
            row | {"call_id": f"c-{reason}"}
            for reason in ("timeout", "key", "empty", "withdrawn", "callback", "system")
            for row in (JOIN, call("queue_left", "10:00", reason=reason))
        ]
        + [
            call("queue_refused", "10:00", reason=reason) | {"call_id": f"r-{reason}"}
            for reason in ("full", "empty", "closed", "busy")
        ],
        {
            "q": {"offered": 6, "timed_out": 1, "left_by_key": 1, "left_empty": 1, "left_otherwise": 3}
            | dict.fromkeys(("refused_full", "refused_empty", "refused_closed", "refused_busy"), 1)
        },
    ),
    Odd(
        "standard, one agent in a queue of the day",
        [
            event("agent_joined_queue", at("09:00"), agent="a", queue="q"),
            event("agent_joined_queue", at("09:00"), agent="a", queue="r"),
            JOIN,
            call("ring_ended", "10:00:05", agent="b", reason="no_answer", duration_s=4),
            call("ring_ended", "10:00:10", agent="a", reason="answered", duration_s=4),
            CONNECT,
            call("hold_started", "10:00:20", agent="a"),
            call("hold_ended", "10:00:30", agent="a"),
            call("transferred", "10:01", agent="a", reason="blind", target_kind="other"),
            call("agent_released", "10:01", agent="a", reason="transfer"),
            call("wrapup_ended", "10:02", agent="a", duration_s=60),
            call("queue_refused", "10:05", "r", reason="full") | {"call_id": "r-1"},
        ],
        {"q": ANSWERED | WAITED, "r": {"refused_full": 1}},
        option=STANDARD,
    ),
    Odd(
        "standard, two agents in a queue of the day",
        [
            JOIN,
            CONNECT,
            call("agent_released", "10:01", agent="a", reason="agent"),
            *(
                row | {"call_id": "c-2"}
                for row in (
                    call("queue_joined", "16:00"),
                    call("ring_ended", "16:00:02", agent="b", reason="answered", duration_s=2),
                    call("agent_connected", "16:00:02", agent="b"),
                )
            ),
        ],
        {
            "q": {
                "offered": 2,
                "answered": 2,
                "answered_in_threshold": 2,
                "wait_answered_s": 12,
                "wait_max_s": 10,
                "talk_s": 50,
                "ring_s": 2,
            }
        },
        option=STANDARD,
    ),
]
# What others have worked out, from the events on.


def cisco() -> list[Row]:
    """100 contacts: 70 answered and 10 abandoned in time, 20 over it, of which 15 were answered."""
    answered, left = ({"agent": "a"}, "agent_connected"), ({"reason": "abandoned"}, "queue_left")
    ways = [(answered, "10:00:10")] * 70 + [(left, "10:00:10")] * 10
    ways += [(answered, "10:00:30")] * 15 + [(left, "10:00:30")] * 5
    return [
        row | {"call_id": f"c-{number}"}
        for number, ((how, name), clock) in enumerate(ways)
        for row in (JOIN, call(name, clock, **how))
    ]


WORKED = [
    Odd(
        "Cisco: 70 in, 10 abandoned in, 20 over",
        cisco(),
        {
            "q": {
                "offered": 100, "answered": 85, "abandoned": 15, "answered_in_threshold": 70,
                "abandoned_in_threshold": 10, "wait_answered_s": 1150, "wait_abandoned_s": 250, "wait_max_s": 30,
            }
        },
        {"a": {"contacts": 85}},
    ),
    Odd(
        "Genesys: 7:28 in, 7:32 answered",
        [call("queue_joined", "07:28"), call("agent_connected", "07:32", agent="a")],
        {"q": {"offered": 1, "answered": 1, "wait_answered_s": 240, "wait_max_s": 240}},
        {"a": ONE},
    ),
    Odd(
        "Amazon: one handled, one that rang until the caller left",
        [
            JOIN,
            call("ring_ended", "10:00:05", agent="b", reason="no_answer", duration_s=5),
            call("ring_ended", "10:00:10", agent="a", reason="answered", duration_s=5),
            CONNECT,
            call("hold_started", "10:01", agent="a"),
            call("hold_ended", "10:01:30", agent="a"),
            call("agent_released", "10:03:10", agent="a", reason="caller"),
            call("wrapup_started", "10:03:10", agent="a"),
            call("wrapup_ended", "10:04:10", agent="a"),
            *(
                row | {"call_id": "c-2"}
                for row in (
                    JOIN,
                    call("ring_ended", "10:00:40", agent="b", reason="caller_left", duration_s=30),
                    call("queue_left", "10:00:40", reason="abandoned"),
                )
            ),
        ],
        {
            "q": ANSWERED
            | {
                "offered": 2, "abandoned": 1, "wait_answered_s": 10, "wait_abandoned_s": 40, "wait_max_s": 40,
                "ring_s": 40, "talk_s": 150,
            }
        },
        {
            "a": ONE | {"rings": 1, "ring_s": 5, "talk_s": 150},
            "b": {"rings": 2, "rings_unanswered": 2, "ring_s": 35},
        },
    ),
]  # fmt: skip
ODD += WORKED
CUSTOMER = {odd.name: 401 + number for number, odd in enumerate(ODD)}


@pytest.fixture(scope="module")
def told(callmart: Callmart) -> Callmart:
    """All odd calls, a customer each."""
    for odd in ODD:
        text = ndjson(*odd.told) if isinstance(odd.told[0], dict) else log(*odd.told)
        assert callmart.land_text(text, CUSTOMER[odd.name]).rejected == 0
    assert callmart.build_and_open().problems == []
    return callmart


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_an_odd_call(told: Callmart, odd: Odd) -> None:
    customer = CUSTOMER[odd.name]
    assert by_queue(told, customer) == odd.queues
    found: dict[str, Counter[str]] = {}
    for (_, agent), row in agent_cells(told, customer).items():
        found.setdefault(agent, Counter()).update(dict(zip(AGENT_COUNTS, row, strict=True)))
    assert {agent: {name: n for name, n in row.items() if n} for agent, row in found.items()} == odd.agents


OF_AGENTS = {
    "rings", "rings_answered", "rings_unanswered", "ring_s", "talk_s", "talk_max_s", "holds", "contacts_held", "hold_s",
    "wrapup_s", "staffed_s",
}  # fmt: skip


def test_standard_hides_what_one_agent_did_and_shows_what_two_did(told: Callmart) -> None:
    def nulls(agents: str) -> set[frozenset[str]]:
        customer = CUSTOMER[f"standard, {agents} in a queue of the day"]
        rows = told.rows("select * from store.queue_interval where customer_id = %s", customer)
        rows += told.rows("select * from store.queue_day where customer_id = %s", customer)
        return {
            frozenset(name for name, value in row.items() if value is None and not name.startswith("wait"))
            for row in rows
        }

    assert nulls("one agent") == {
        frozenset(OF_AGENTS - {"talk_max_s"}),
        frozenset({"talk_max_s", "staffed_s"}),
    }
    assert nulls("two agents") == {frozenset({"staffed_s"})}, "in both quarter-hours, of one agent each"
    transfers = "select sum(transferred_blind)::int as n from store.queue_interval where customer_id = %s"
    assert told.rows(transfers, CUSTOMER["standard, one agent in a queue of the day"]) == [{"n": 1}]


def test_the_service_levels_of_cisco(told: Callmart) -> None:
    variants = metrics.metrics()["service_level"].variants
    shares = [70 / 90, 0.70, 0.80]
    for ratio, share in zip((one for one in variants if one.name.startswith("Cisco")), shares, strict=True):
        (row,) = told.rows(
            f"select {metrics.as_sql(ratio)} as share from mart.queue_interval",
            customer_id=CUSTOMER["Cisco: 70 in, 10 abandoned in, 20 over"],
        )
        assert row["share"] == pytest.approx(share), ratio.name


def test_the_interval_of_genesys(told: Callmart) -> None:
    """A contact is the queue's where it joined, also its answer, and the agent's where it was answered."""
    customer = CUSTOMER["Genesys: 7:28 in, 7:32 answered"]
    queue = told.rows("select * from mart.queue_interval", customer_id=customer)
    agent = told.rows("select * from mart.agent_interval", customer_id=customer)
    assert [(f"{row['interval_local']:%H:%M}", row["offered"], row["answered"]) for row in queue] == [
        ("07:15", 1, 1)
    ]
    assert [(f"{row['interval_local']:%H:%M}", row["contacts"]) for row in agent] == [("07:30", 1)]


def test_the_handling_time_non_response_and_longest_wait_of_amazon(told: Callmart) -> None:
    customer = CUSTOMER["Amazon: one handled, one that rang until the caller left"]
    (queue,) = told.rows("select * from mart.queue_ratios", customer_id=customer)
    assert queue["average_handling_time"] == 150 + 30 + 60
    assert queue["ring_answer_rate"] == pytest.approx(1 / 3), "who left meanwhile was not answered"
    (day,) = told.rows("select * from mart.queue_day", customer_id=customer)
    assert (day["wait_max_s"], day["wait_answered_max_s"]) == (40, 10), "of those who left, too"


def test_no_agent_shows_under_standard(told: Callmart) -> None:
    for odd in ODD:
        if odd.option == STANDARD:
            of_agents = [mart.name for mart in dbt_project.marts(told.settings) if mart.group == "agent"]
            assert of_agents and not any(told.told(CUSTOMER[odd.name])[mart] for mart in of_agents)


def test_a_wait_that_has_not_ended_is_no_longest(told: Callmart) -> None:
    longest = "select wait_max_s from store.queue_interval where customer_id = %s"
    assert told.rows(longest, CUSTOMER["still waiting"]) == [{"wait_max_s": None}]
    assert told.rows(longest, CUSTOMER["no time at all, left"]) == [{"wait_max_s": 0}]


# what belongs to a contact

BELONGS = 391


@pytest.fixture(scope="module")
def belongs(callmart: Callmart) -> Callmart:
    """A contact that is held, handed on to another queue, and ends there; one that overflows; one that is placed."""
    callmart.apply(_with(callmart, f"id: {BELONGS}, {DETAILED}"))
    overflow = {"call_id": "c-2"}
    placed = {"call_id": "c-3", "agent": "a"}
    callmart.land_text(
        ndjson(
            call("call_started", "10:00", None, direction="inbound", other_number="+31612345678"),
            JOIN,
            call("ring_started", "10:00:02", agent="a"),
            call("ring_ended", "10:00:09", agent="a", reason="answered"),
            CONNECT,
            call("hold_started", "10:00:20", agent="a"),
            call("hold_ended", "10:00:30.5", agent="a"),
            call("hold_started", "10:00:50", agent="a"),  # and so handed on
            call("transferred", "10:01", agent="a", reason="attended", target="r", target_kind="queue"),
            call("agent_released", "10:01", agent="a", reason="transfer"),
            call("wrapup_started", "10:01", agent="a"),
            call("queue_joined", "10:01:05", "r"),
            call("agent_connected", "10:16:40", "r", "b"),
            call("wrapup_ended", "10:01:25", agent="a"),
            call("agent_released", "10:17:00", "r", "b", reason="agent"),
            call("queue_joined", "10:02", "q", number_withheld=True) | overflow,
            call("queue_left", "10:03", "q", reason="timeout") | overflow,
            call("queue_joined", "10:03", "s") | overflow,
            call("queue_left", "10:04", "s", reason="callback") | overflow,
            event("call_started", at("10:05"), direction="outbound", **placed),
            event("call_answered", at("10:05:12"), **placed),
            event("call_ended", at("10:06"), **placed, reason="caller"),
            event("call_started", at("10:07"), direction="outbound", **placed | {"call_id": "c-4"}),
            event("call_ended", at("10:07:30"), **placed | {"call_id": "c-4"}, reason="caller"),
        ),
        BELONGS,
    )
    assert callmart.build_and_open().held_back_days == 0
    return callmart


def _with(callmart: Callmart, customer: str) -> str:
    """The registry as it was applied last, with one more customer."""
    return (callmart.home / "registry.yml").read_text() + registry(customer).removeprefix("customers:\n")


def test_a_queue_has_what_belongs_to_its_contacts(belongs: Callmart) -> None:
    found = belongs.rows(
        "select queue, offered, rings, holds, contacts_held, hold_s, talk_s, wrapup_s, transferred_attended,"
        " transferred_blind, overflowed, callbacks, left_otherwise, wait_answered_le_10, wait_answered_le_5, queue_max"
        " from store.queue_interval where customer_id = %s order by queue",
        BELONGS,
    )
    # 50 s connected, of which 10.5 and 10 on hold.
    assert [list(row.values()) for row in found] == [
        ["q", 2, 1, 2, 1, 21, 29, 25, 1, 0, 1, 0, 0, 1, 0, 1],
        ["r", 1, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ["s", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1],
    ]


def test_an_agent_has_parts_of_calls(belongs: Callmart) -> None:
    found = belongs.rows(
        "select agent, part, queue, direction, to_char(started_local, 'HH24:MI:SS') as started, contacts, ring_s,"
        " talk_s, holds, hold_s, wrapup_s, ended, transferred, transfer_target"
        " from store.agent_contact join store.agent using (customer_id, agent_key)"
        " where customer_id = %s order by started_at",
        BELONGS,
    )
    assert [list(row.values()) for row in found] == [
        ["a", 1, "q", "inbound", "10:00:10", 1, 7, 29, 2, 21, 25, "transfer", "attended", "queue"],
        ["a", 0, None, "outbound", "10:05:12", 1, 12, 48, 0, 0, 0, "caller", None, None],
        ["a", 0, None, "outbound", "10:07:00", 0, 30, None, 0, 0, 0, "no_answer", None, None],
        ["b", 2, "r", "inbound", "10:16:40", 1, None, 20, 0, 0, 0, "agent", None, None],
    ]


def test_quarter_hours_of_agents_add_up_to_days(belongs: Callmart) -> None:
    names = (
        "contacts",
        "outbound_calls",
        "rings",
        "ring_s",
        "talk_s",
        "holds",
        "hold_s",
        "wrapup_s",
        "transfers",
    )
    sums = ", ".join(f"sum({name})::integer as {name}" for name in names)
    by_day, by_quarter = (
        belongs.rows(
            f"select agent, {sums} from store.{mart} join store.agent using (customer_id, agent_key)"
            " where customer_id = %s group by 1 order by 1",
            BELONGS,
        )
        for mart in ("agent_day", "agent_interval")
    )
    assert by_day == by_quarter
    assert [list(row.values()) for row in by_day] == [
        ["a", 2, 2, 1, 7, 77, 2, 21, 25, 1],
        ["b", 1, 0, 0, 0, 20, 0, 0, 0, 0],
    ]


def test_a_log_alone_knows_of_no_holds(recorded: Callmart) -> None:
    for mart in ("queue_interval", "agent_day", "agent_contact"):
        (found,) = recorded.rows(
            f"select count(*), count(holds) as holds, count(hold_s) as hold_s, count(wrapup_s) as wrapup_s"
            f" from store.{mart} where customer_id = %s",
            BY_FILE,
        )
        assert found.pop("count") > 0
        assert set(found.values()) == {0}, mart


def test_callers_come_again_whenever_their_file_comes(callmart: Callmart) -> None:
    """A late file rebuilds the six days after it in the mart that looks back, and in no other."""
    callmart.apply(_with(callmart, f"id: 392, {DETAILED}"))

    def land(*days_and_numbers: tuple[int, str]) -> None:
        callmart.land_text(
            ndjson(
                *(
                    event(name, at(f"10:0{minute}", day), call_id=f"{day}-{number}", queue="q", **values)
                    for day, number in days_and_numbers
                    for name, minute, values in (
                        ("queue_joined", 0, {"other_number": number}),
                        ("queue_left", 1, {"reason": "abandoned"}),
                    )
                )
            ),
            392,
        )
        callmart.build_unchecked()

    def week() -> dict[int, list[int]]:
        found = callmart.rows("select * from store.queue_day where customer_id = 392 order by call_date")
        names = ("callers", "repeat_callers_day", "repeat_callers_week")
        return {(row["call_date"] - DAY).days: [row[name] for name in names] for row in found}

    def builds(mart: str) -> dict[int, int]:
        found = callmart.rows("select * from ops.opened_day where customer_id = 392 and mart = %s", mart)
        return {(row["call_date"] - DAY).days: row["build_id"] for row in found}

    land((6, "+31612345678"), (7, "+31612345678"), (7, "+31612345679"))
    assert week() == {6: [1, 0, 0], 7: [2, 0, 1]}
    before = builds("queue_interval")
    land((0, "+31612345678"), (0, "+31612345679"))
    assert week() == {0: [2, 0, 0], 6: [1, 0, 1], 7: [2, 0, 1]}
    assert {day: build for day, build in builds("queue_interval").items() if day} == before
    assert builds("queue_day")[6] == builds("queue_day")[0] > builds("queue_day")[7]
    land((1, "+31612345679"))
    assert week() == {0: [2, 0, 0], 1: [1, 0, 1], 6: [1, 0, 1], 7: [2, 0, 2]}


# as the registry has it now

CHANGES = {
    "another time zone": (
        "time_zone: Europe/Amsterdam, " + DETAILED,
        "time_zone: America/St_Johns, " + DETAILED,
    ),
    "other thresholds": (
        DETAILED,
        DETAILED
        + ", queues: [{name: sales, service_level_s: 5, short_abandon_s: 30}, {name: support, label: S}]",
    ),
    "more reports": (STANDARD, DETAILED),
    "fewer reports": (DETAILED, STANDARD),
    "more reports from a day on": (
        STANDARD,
        f"contracts: [{{option: standard, from: 2020-01-01, until: {days(3)[1]}}},"
        f" {{option: detailed, from: {days(3)[1]}}}]",
    ),
    "an earlier contract": (f"contracts: [{{option: detailed, from: {days(3)[1]}}}]", DETAILED),
    "a contract that ended earlier": (
        DETAILED,
        f"contracts: [{{option: detailed, from: 2020-01-01, until: {days(3)[2]}}}]",
    ),
    "anonymous agents": (DETAILED, "anonymous_agents: true, " + DETAILED),
    "agents by name": (DETAILED, DETAILED + ", agents: [{id: SIP/1, name: Noor}]"),
}
# For each change: one who had it from the beginning, and three to whom it comes at different moments.
FIRST = {change: 501 + 10 * number for number, change in enumerate(CHANGES)}


@pytest.fixture(scope="module")
def changed(callmart: Callmart) -> Callmart:
    """All changes, to customers of whom everything, nothing or half was opened before."""
    events = simulate(
        1, days(3), "Europe/Amsterdam", ["sales", "support"], ["SIP/1", "SIP/2", "SIP/3"],
        contacts_per_day=60, seed=3, hours=(0, 24),
    ).events.to_pylist()  # fmt: skip
    rows = [row | {"occurred_at": row["occurred_at"].isoformat()} for row in events]
    # A call over each midnight, as contracts begin and end there; and, on a day of its own, a wait that only its end
    # tells: on the other clock it began on the day before.
    for day in range(2):
        over = {"call_id": f"n-{day}", "queue": "sales"}
        rows.append(event("queue_joined", at("23:59:50", day), **over))
        rows.append(event("agent_connected", at("00:00:10", day + 1), agent="SIP/2", **over))
        rows.append(event("agent_released", at("00:01", day + 1), agent="SIP/2", reason="agent", **over))
    gone = {"call_id": "g-1", "queue": "sales", "agent": "SIP/9"}  # who worked on the first day only
    rows.append(event("agent_connected", at("12:00"), **gone))
    late = {"call_id": "l-1", "queue": "sales", "agent": "SIP/2", "duration_s": 60}
    rows.append(event("agent_connected", at("04:30:20", 9), **late))

    def land(part: list[Row], *numbers: int) -> None:
        whose = [first + number for first in FIRST.values() for number in numbers]
        callmart.land_text(ndjson(*(row | {"customer_id": customer} for customer in whose for row in part)))

    apply(callmart, changed=False)
    land(rows, 1)
    land(rows[::2], 3)
    callmart.build_unchecked()
    land(rows, 2)
    apply(callmart, changed=True)
    land(rows, 0, 1, 2, 3)  # again, as some days may be let in now
    callmart.build_unchecked()
    return callmart


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_as_if_it_had_been_so_from_the_beginning(changed: Callmart, change: str) -> None:
    anonymous = change == "anonymous agents"  # who are called by a key, and each customer has its own
    told = changed.told(FIRST[change], named=not anonymous)
    assert any(told.values()) != (change == "a contract that ended earlier"), (
        "of a span that is over nothing is kept"
    )
    for number, before in enumerate(("everything opened", "everything landed", "half opened")):
        customer = FIRST[change] + number + 1
        assert changed.told(customer, named=not anonymous) == told, before
        assert not anonymous or all(
            re.fullmatch("agent-[0-9a-f]{10}", name) for name in agents(changed, customer)
        )


@pytest.mark.parametrize("change", CHANGES)
def test_the_changes_change_something(changed: Callmart, change: str) -> None:
    """Else the test above passes on nothing."""
    plain = FIRST["fewer reports"] if change.startswith("more reports") else FIRST["agents by name"]
    if change == "agents by name":
        assert agents(changed, FIRST[change]) == {"Noor", "SIP/2", "SIP/3", "SIP/9"}
    else:
        assert changed.told(FIRST[change]) != changed.told(plain)
