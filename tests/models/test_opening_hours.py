"""Opening hours: each quarter-hour knows whether it begins within them, on the nights on which clocks change too."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callmart.registry.file import load
from callmart.registry.hours import WEEKDAYS
from callmart.registry.states import State, desired_states, first_day_of_other_hours
from callmart_home import Callmart
from events import DAY, registry
from registries import ONE, write

pytestmark = pytest.mark.dated
CUSTOMER = 1
ZONES = ("Europe/Amsterdam", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo")
# Around both nights of several zones, a year's end, and holidays of the Netherlands.
PERIODS = [
    [first + timedelta(days=i) for i in range(4)]
    for first in (
        date(2026, 3, 27),
        date(2026, 4, 2),
        date(2026, 10, 23),
        date(2026, 10, 30),
        date(2026, 12, 24),
    )
]


@pytest.fixture(scope="module")
def built(played: Callmart) -> Callmart:
    """A callmart with all its models, whose SQL the test runs, and another customer."""
    played.apply(registry(f"id: {CUSTOMER}, contracts: [{{option: standard, from: 2020-01-01}}]"))
    return played


@pytest.fixture(scope="module")
def owner(built: Callmart) -> psycopg.Connection:
    return built.connect()


def minutes(draw: st.DrawFn) -> str:
    """Ranges of a day that do not overlap, or none."""
    bounds = sorted(draw(st.sets(st.integers(0, 1440), max_size=4)))
    ranges = [
        f"{one // 60:02}:{one % 60:02}-{two // 60:02}:{two % 60:02}"
        for one, two in zip(bounds[::2], bounds[1::2], strict=False)
    ]
    return f'"{", ".join(ranges)}"' if ranges else "closed"


@st.composite
def hours(draw: st.DrawFn, days: list[date]) -> str:
    """Opening hours of one or two periods, with weekdays in one or two groups and a date."""
    turn = draw(st.sampled_from(days))
    spans = draw(st.sampled_from([f"from: {turn}", f"from: 2026-01-01, until: {turn}", f"2|{turn}"]))
    periods = [f"from: 2026-01-01, until: {turn}", f"from: {turn}"] if spans.startswith("2|") else [spans]
    written = []
    for period in periods:
        split = draw(st.integers(1, 6))
        entries = [f"mon-{WEEKDAYS[split - 1]}: {minutes(draw)}", f"{WEEKDAYS[split]}: {minutes(draw)}"]
        if f"from: {turn}" in period:
            entries.append(f"{turn}: {minutes(draw)}")
        written.append(f"{{{period}, {', '.join(entries)}}}")
    return f"opening_hours: [{', '.join(written)}]"


@st.composite
def registries(draw: st.DrawFn) -> tuple[str, list[date], str]:
    days = draw(st.sampled_from(PERIODS))
    zone = draw(st.sampled_from(ZONES))
    own = draw(
        st.sampled_from(["", f", {draw(hours(days))}", f", holidays: [{draw(st.sampled_from(days))}]"])
    )
    text = (
        f"{ONE}    time_zone: {zone}\n    contracts: [{{option: standard, from: 2020-01-01}}]\n"
        f"    holidays: [NL, {draw(st.sampled_from(days))}]\n    queues: [{{name: q{own}}}]\n"
    )
    return text + draw(st.sampled_from(["", f"    {draw(hours(days))}\n"])), days, zone


def is_open(state: State, queue: str | None, moment: datetime, zone: str) -> bool | None:
    """Whether a queue is open at a moment, by looking at a clock on the wall."""
    local = moment.astimezone(ZoneInfo(zone))
    day, minute = local.date(), local.hour * 60 + local.minute
    valid = [row for row in state.tables["opening_hours"] if row[1] <= day < (row[2] or date.max)]
    if queue not in {row[0] for row in valid}:
        queue = None
    valid = [row[3:] for row in valid if row[0] == queue]
    if not valid:
        return None
    of_date = [(opens, closes) for _, own, opens, closes in valid if own == day]
    if (queue, day) in state.tables["holiday"] and not of_date:
        return False
    of_weekday = [(opens, closes) for weekday, _, opens, closes in valid if weekday == day.isoweekday()]
    return any(opens <= minute < closes for opens, closes in of_date or of_weekday)


@given(case=registries())
@settings(max_examples=30)
def test_a_quarter_hour_is_open_as_the_clock_on_the_wall_says(
    built: Callmart,
    owner: psycopg.Connection,
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[str, list[date], str],
) -> None:
    text, days, zone = case
    folder = tmp_path_factory.getbasetemp()
    state = desired_states(load(write(folder, text)), datetime.now(UTC))[CUSTOMER]
    begin = datetime.combine(days[0], time(12), UTC)
    # From the second half of the first day on.
    quarters = [begin + timedelta(minutes=15 * i) for i in range(4 * 24 * 2)]
    model, computed_days = built.compiled("int_open_quarter"), built.compiled("stg_day")
    with owner.transaction(force_rollback=True):
        owner.execute("truncate registry.opening_hours, registry.holiday, build.window, build.stg_day")
        owner.execute("update registry.customer set time_zone = %s", [zone])
        owner.execute("insert into registry.queue values (1, 'q', null, 1, 1)")
        for table, columns in (("opening_hours", 7), ("holiday", 2)):
            owner.cursor().executemany(
                f"insert into registry.{table} values (1, {', '.join(['%s'] * columns)})",
                [row for row in state.tables[table] if table != "holiday" or row[1] in days],
            )
        owner.cursor().executemany(
            "insert into build.window (customer_id, call_date, mark) values (1, %s, 1)",
            [(day,) for day in days],
        )
        owner.execute(f"insert into build.stg_day {computed_days}".encode())
        owner.execute(f"create temporary table open_quarters on commit drop as {model}")
        found = owner.execute(
            """
            select r.queue, moment, coalesce(of_queue.is_open, of_all.is_open)
            from (values ('q'), ('other')) as r (queue) cross join unnest(%s::timestamptz[]) as moment
            left join open_quarters as of_all
                on of_all.interval_local = moment at time zone %s and of_all.queue is null
            left join open_quarters as of_queue
                on of_queue.interval_local = moment at time zone %s and of_queue.queue = r.queue
            """,
            [quarters, zone, zone],
        ).fetchall()
    assert len(found) == 2 * len(quarters)
    for queue, moment, said in found:
        assert said == is_open(state, queue, moment, zone), (queue, moment.astimezone(ZoneInfo(zone)))


# -- which days a change marks -----------------------------------------------------------------------------------------

BEFORE = '[{from: 2026-01-01, mon-fri: "08:00-18:00"}]'
CHANGES = {
    "nothing": (BEFORE, "NL", None),
    "a later period": (
        '[{from: 2026-01-01, until: 2026-03-01, mon-fri: "08:00-18:00"}, {from: 2026-03-01, mon: "08:00-18:00"}]',
        "NL",
        date(2026, 3, 1),
    ),
    "the same in two periods": (
        '[{from: 2026-01-01, until: 2026-03-01, mon-fri: "08:00-18:00"},'
        ' {from: 2026-03-01, mon-thu: "08:00-18:00", fri: "08:00-18:00"}]',
        "NL",
        None,
    ),
    "other hours": ('[{from: 2026-01-01, mon-fri: "08:00-17:00"}]', "NL", date(2026, 1, 1)),
    "a date": ('[{from: 2026-01-01, mon-fri: "08:00-18:00", 2026-05-06: closed}]', "NL", date(2026, 5, 6)),
    "an end": ('[{from: 2026-01-01, until: 2026-09-01, mon-fri: "08:00-18:00"}]', "NL", date(2026, 9, 1)),
    "a holiday more": (BEFORE, "[NL, 2026-06-01]", date(2026, 6, 1)),
    "no holidays": (BEFORE, "[]", date(2026, 1, 1)),
    "a period of dates before it": (
        '[{from: 2025-11-01, until: 2026-01-01, 2025-12-24: "10:00-12:00"},'
        ' {from: 2026-01-01, mon-fri: "08:00-18:00"}]',
        "NL",
        date(2025, 11, 1),
    ),
}


@pytest.mark.parametrize(("hours", "holidays", "since"), CHANGES.values(), ids=CHANGES)
def test_a_change_counts_from_its_first_day(
    tmp_path: Path, hours: str, holidays: str, since: date | None
) -> None:
    def state(hours: str, holidays: str) -> State:
        text = (
            f"{ONE}    contracts: [{{option: standard, from: 2020-01-01}}]\n"
            f"    holidays: {holidays}\n    opening_hours: {hours}\n"
        )
        return desired_states(load(write(tmp_path, text)), datetime(2026, 6, 15, tzinfo=UTC))[CUSTOMER]

    assert first_day_of_other_hours(state(BEFORE, "NL"), state(hours, holidays)) == since


def test_a_change_marks_the_open_days_from_then_on_and_a_label_none(built: Callmart) -> None:
    contract = "contracts: [{option: standard, from: 2020-01-01}]"

    def marked(*also: str) -> list[date]:
        built.apply(registry(", ".join((f"id: 1, {contract}", *also))))
        found = built.rows("select call_date from ops.dirty_day where customer_id = 1 order by 1")
        with built.connect() as connection:
            connection.execute("delete from ops.dirty_day")
        return [row["call_date"] for row in found]

    with built.connect() as connection:
        connection.execute(
            "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)"
            " select 1, %s::date + i, 'queue_interval', 0, (select max(build_id) from ops.build)"
            " from generate_series(0, 3) as i",
            [DAY],
        )
    days = [DAY + timedelta(days=i) for i in range(4)]
    hours = f'opening_hours: [{{from: {days[1]}, mon-sun: "08:00-18:00"}}]'
    assert marked() == []
    assert marked(hours) == days[1:]
    assert marked(hours, "queues: [{name: q, label: Q, service_level_s: 9}]") == days
    assert marked(hours, "queues: [{name: q, label: Queue, service_level_s: 9}]") == []
    target = "queues: [{name: q, label: Queue, service_level_s: 9, service_level_target: 0.8}]"
    assert marked(hours, target) == days
    assert marked(hours, target, "service_level_target: 0.7") == days
    assert marked(hours, target) == days
    assert marked(hours, target, "lines: [{name: t, label: T}]") == []
    assert marked(hours, target, "lines: [{name: t, label: Trunk}]") == []
    assert marked(hours, target, "lines: [{name: t, label: Trunk, channels: 30}]") == days
    assert marked(hours, "queues: [{name: q}]", f"holidays: [{days[3]}]") == days
    assert marked(hours, "queues: [{name: q, holidays: []}]", f"holidays: [{days[3]}]") == days[1:]
    assert marked(hours, "queues: [{name: q}]", "contact_list: true", "contact_list_days: 700") == days
