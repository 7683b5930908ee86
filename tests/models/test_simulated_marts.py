"""The marts of simulated days are what the simulator knows, in whatever order events, files and builds come."""

import random
import zlib
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from callmart.simulator.expected import AGENT_DAY
from callmart.simulator.lines import simulate_line
from callmart.simulator.simulate import Simulated, simulate
from callmart_home import Callmart
from cells import PLAYED, Cells, agent_cells, queue_cells
from events import DAY, DETAILED, at, days, registry
from today import YESTERDAY

pytestmark = pytest.mark.thorough

AGENT_PLAYED = AGENT_DAY.names[2:]


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(
        registry(
            *(f"id: {customer}, time_zone: {zone}, {DETAILED}" for customer, zone in ZONES.items()),
            *(
                f"id: {customer}, contact_list: true, contact_list_days: 600, {DETAILED}"
                for customer in (*IN_ORDER.values(), TOLD_TWICE, *SHUFFLED)
            ),
        )
    )


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
        # The last one ends in the morning of yesterday, which has begun in every zone when today begins here.
        nights = [YESTERDAY - timedelta(days=2), *changes_of_clock(zone)]
        if customer == OVER_MONTHS:
            nights.append(MONTH_END)
        plays[customer] = simulate(
            customer,
            sorted({night + timedelta(days=i) for night in nights for i in (-1, 0, 1)}),
            zone,
            ["sales", "support"],
            ["SIP/1", "SIP/2", "SIP/3"],
            contacts_per_day=120,
            seed=2,
            hours=HOURS[customer % 2],
        )
        assert over_midnight(plays[customer], zone) > 0
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
SHUFFLED = {102: "exact", 202: "whole seconds", 203: "whole seconds"}


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
        contacts_per_day=60, seed=5, hours=(22, 26),
    )  # fmt: skip
    assert over_midnight(play, "Europe/Amsterdam") > 3
    trunk = simulate_line(1, days_played, "Europe/Amsterdam", "t", "sip_trunk", calls_per_day=15, seed=5)
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
    overlap = rng.randrange(100)
    return [events.take(order[max(0, start - overlap) : end]) for start, end in pairwise(cuts)]


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
    assert pc.sum(ends).as_py() > 200
    land(TOLD_TWICE, 0, pa.concat_tables([events, events.filter(ends)]))
    for customer, clock in SHUFFLED.items():
        work += [(customer, number, part) for number, part in enumerate(pieces(clocks[clock], rng))]
    rng.shuffle(work)
    for number, part in enumerate(work):
        land(*part)
        if number % 10 == 4:
            callmart.build_unchecked()
    callmart.build_in_windows(rng)

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
