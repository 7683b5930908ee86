"""A day that is computed while it goes on: what it says of itself, and that at its end it is as if computed once."""

import csv
import io
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet
import pytest

from callmart.access import logins
from callmart.base.progress import quietly
from callmart.build import window
from callmart.declarations import exposures
from callmart.opening import opening
from callmart.reports import drawing, reading, values, weeks
from callmart.reports.drawing import Declared
from callmart.reports.page import Page
from callmart.simulator.simulate import simulate
from callmart.validate import suites
from callmart_home import Callmart, hold_back
from events import DAY, DETAILED, at, event, ndjson, registry

AS_IT_GOES, ONCE = 1, 2  # twins
HELD_BACK = 3
AHEAD, QUIET = 4, 5
LOGGED_IN, CUT = 6, 7
HOURS = (at("11:00"), at("17:00"))  # after which a contact begins that goes on
MIDNIGHT = at("00:00", 1)
LATE = 0.05  # of the events come with the file after theirs
CHECKED = suites.validate

pytestmark = pytest.mark.usefixtures("unchecked", "trusted")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, seed: int) -> dict[str, Path]:
    """The day and the one before it, of one twin whole, of the other cut where a contact goes on."""
    told = simulate(
        AS_IT_GOES, [DAY - timedelta(days=1), DAY], "Europe/Amsterdam", ["sales", "help"],
        ["SIP/1", "SIP/2", "SIP/3"], contacts_per_day=120, seed=4, hours=(0, 24),
    ).events.sort_by("occurred_at")  # fmt: skip
    rng, parts = Random(seed), ["first", "second", "rest"]
    events = list(zip(told["event"].to_pylist(), told["occurred_at"].to_pylist(), strict=True))
    cuts = [
        min(moment for event, moment in events if event == "queue_joined" and moment >= hour)
        for hour in HOURS
    ]
    part = [
        min(sum(moment > cut for cut in cuts) + (event != "queue_joined" and rng.random() < LATE), 2)
        for event, moment in events
    ]
    folder = tmp_path_factory.mktemp("files")
    tables = {name: told.filter([one == number for one in part]) for number, name in enumerate(parts)}
    for name, table in (tables | {"whole": as_of(ONCE, told)}).items():
        pyarrow.parquet.write_table(table, folder / name)
    return {name: folder / name for name in (*parts, "whole")}


def as_of(customer: int, events: pa.Table) -> pa.Table:
    """The events as another customer's."""
    of = events.schema.get_field_index("customer_id")
    customers = pa.repeat(customer, events.num_rows).cast(events.schema.field(of).type)
    return events.set_column(of, "customer_id", customers)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    """The moment of builds."""
    clock = Clock()
    monkeypatch.setattr(window, "clock", clock)
    return clock


class Clock:
    moment = MIDNIGHT

    def now(self, _: object) -> datetime:
        return self.moment

    def require(self, *_: object) -> None:
        """It is believed."""


def through(callmart: Callmart, customer: int) -> tuple[object, object]:
    """How far the data goes, as the customer reads it."""
    (row,) = callmart.rows("select through, so_far from mart.data_through", customer_id=customer)
    return row["through"], row["so_far"]


def drawn(callmart: Callmart, report: str) -> Page:
    """A report of the week that goes on, as the customer's people saw it on that day."""
    declared = Declared.of(callmart.settings)
    with callmart.connect() as owner, logins.connect(callmart.settings, "publisher") as publisher:
        customer = replace(reading.customer(owner, AS_IT_GOES), today=DAY)
        return drawing.draw(publisher, declared, exposures.named(report), customer, weeks.of(DAY), "en")


def of_csv(page: Page) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(values.as_csv(page).decode("utf-8-sig"))))


def test_a_day_that_goes_on_says_how_far_its_data_goes_and_ends_as_if_computed_once(
    callmart: Callmart, files: dict[str, Path], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = f"{DETAILED}, contact_list: true, contact_list_days: 365"
    callmart.apply(registry(*(f"id: {customer}, {ordered}" for customer in (AS_IT_GOES, ONCE))))
    for part in "first", "second":
        last = max(pyarrow.parquet.read_table(files[part])["occurred_at"].to_pylist())
        clock.moment = last + timedelta(minutes=4)
        callmart.land(files[part])
        with monkeypatch.context() as patch:
            if part == "second":  # contacts and statuses that go on hold nothing back
                patch.setattr(suites, "validate", CHECKED)
            ran = callmart.build_and_open()
        assert (ran.held_back_days, ran.problems) == (0, [])
        local = last.astimezone(MIDNIGHT.tzinfo).replace(tzinfo=None, second=0, microsecond=0)
        assert through(callmart, AS_IT_GOES) == (DAY, local)
    page, time = drawn(callmart, "accessibility"), f"{local:%H:%M}"
    assert page.through == f"Data through {DAY:%A} {DAY.day} {DAY:%B} {time}, so far"
    assert any(f"is shown by day, until {time}" in notice for notice in page.notices)
    figures, by_day = page.sections[:2]
    (monday,) = callmart.rows(
        "select sum(offered) as n from store.queue_interval where customer_id = %s and call_date < %s",
        AS_IT_GOES,
        DAY,
    )
    assert figures.tiles[0].value == str(monday["n"]), "a figure counts whole days"
    assert by_day.grid is not None
    assert [row[0].endswith(f" until {time}") for row in by_day.grid.rows] == [False, True]
    assert {(row["day"], row["so_far"]) for row in of_csv(page) if row["day"]} == {
        (str(DAY - timedelta(days=1)), ""),
        (str(DAY), local.isoformat()),
    }
    (open_contacts,) = callmart.rows("select sum(still_open) as n from store.queue_interval")
    assert open_contacts["n"] > 0, "nothing goes on"
    assert not callmart.rows("select 1 from store.agent_status_interval where interval_start > %s", last), (
        "the future"
    )

    # A file that lands while a build begins is left to the next one.
    clock.moment, fill = MIDNIGHT - timedelta(seconds=1), window._fill_window
    callmart.rows("delete from ops.built_state returning 1")  # so that one begins
    with monkeypatch.context() as patch:
        patch.setattr(window, "_fill_window", lambda *a: (fill(*a), callmart.land(files["whole"]))[0])
        assert callmart.build_and_open().built_days == 0
    assert not is_up_to_date(callmart)

    # The day is over, although nothing of it came: it is computed and checked once more.
    clock.moment = MIDNIGHT
    callmart.build_and_open()
    assert through(callmart, AS_IT_GOES) == (DAY, None)

    clock.moment = MIDNIGHT + timedelta(days=2)
    callmart.land(files["rest"])
    callmart.build_and_open()
    as_it_went, once = (callmart.told(customer, named=False) for customer in (AS_IT_GOES, ONCE))
    assert as_it_went == once
    assert {mart for mart, rows in once.items() if not rows} == {"line_interval"}
    assert not callmart.rows("select 1 from ops.opened_day where so_far is not null")


def test_of_a_day_that_is_held_back_no_part_stays_open_when_it_is_over(
    callmart: Callmart, files: dict[str, Path], clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the next day, which is open, it would look whole."""
    callmart.apply(registry(f"id: {HELD_BACK}, {DETAILED}"))

    def land(part: str) -> None:
        pyarrow.parquet.write_table(
            as_of(HELD_BACK, pyarrow.parquet.read_table(files[part])), tmp_path / part
        )
        callmart.land(tmp_path / part)

    def open_days() -> set[object]:
        return {
            row["call_date"] for row in callmart.rows("select distinct call_date from store.queue_interval")
        }

    land("first")
    clock.moment = HOURS[0] + timedelta(hours=1)
    assert callmart.build_and_open().held_back_days == 0
    with callmart.connect() as connection:
        connection.execute(
            "insert into ops.extract (customer_id, mart_group, content_hash, row_count, basis)"
            " values (%s, 'queue', '', 1, '{\"opened\": 1}')",
            [HELD_BACK],
        )
        connection.commit()
    monkeypatch.setattr(suites, "validate", hold_back(HELD_BACK, DAY))
    tomorrow = DAY + timedelta(days=1)
    for part, moment, last, is_open in (
        ("second", HOURS[1], DAY, True),
        ("rest", MIDNIGHT + timedelta(hours=1), tomorrow, False),
    ):
        land(part)
        clock.moment = moment
        assert callmart.build_and_open().held_back_days == 1
        assert through(callmart, HELD_BACK)[0] == last
        assert (DAY in open_days()) == is_open
        (extract,) = callmart.rows("select basis ? 'opened' as is_known from ops.extract")
        assert extract["is_known"] == is_open, "nothing would take the rows out of the file"


def test_a_day_that_has_not_begun_waits_and_today_stays_the_last_day(
    callmart: Callmart, clock: Clock
) -> None:
    """A telephone system whose clock is ahead tells of tomorrow. Beside it, today would look whole."""
    callmart.apply(registry(f"id: {AHEAD}, {DETAILED}"))
    told = [(at("10:00"), "today"), (at("09:00", 1), "tomorrow")]
    callmart.land_text(
        ndjson(*(event("queue_joined", moment, call_id=call, queue="sales") for moment, call in told)), AHEAD
    )
    clock.moment = at("12:00")
    callmart.build_and_open()
    assert through(callmart, AHEAD) == (DAY, datetime(DAY.year, DAY.month, DAY.day, 10))
    assert callmart.build_and_open().built_days == 0, "also if the month is over"
    assert is_up_to_date(callmart), "nothing to do before tomorrow"
    clock.moment = MIDNIGHT
    assert not is_up_to_date(callmart)
    callmart.build_and_open()
    assert through(callmart, AHEAD)[0] == DAY + timedelta(days=1)
    assert not callmart.rows("select 1 from ops.dirty_day where customer_id = %s", AHEAD)

    # Once it is open, it is computed also where it has not begun yet, as after a change of the time zone.
    clock.moment = at("12:00")
    callmart.land_text(ndjson(event("queue_joined", told[1][0], call_id="more", queue="sales")), AHEAD)
    assert callmart.build_and_open().opened_days == 1


def test_what_is_open_today_is_cut_where_the_data_ends_also_if_something_of_tomorrow_is_known(
    callmart: Callmart, clock: Clock
) -> None:
    callmart.apply(registry(f"id: {CUT}, {DETAILED}"))
    own = {"agent": "SIP/7"}
    told = [
        event("agent_logged_in", at("08:00"), line="7", **own),
        event("agent_status", at("08:00"), reason="available", **own),
        event("agent_status", at("10:00"), reason="available", agent="SIP/8"),
        event("agent_logged_out", at("09:00", 1), line="7", **own),
    ]
    callmart.land_text(ndjson(*told), CUT)
    query = """
        select
            (select max(logged_in_s) from store.agent_day where customer_id = %(c)s and call_date = %(d)s),
            (select max(ready_s) from store.agent_day where customer_id = %(c)s and call_date = %(d)s),
            (select max(seconds) from store.agent_session where customer_id = %(c)s and call_date = %(d)s),
            (select sum(seconds) from store.agent_status_interval where customer_id = %(c)s and call_date = %(d)s)
    """
    for moment, hours, of_both in ((at("12:00"), 2, 2), (MIDNIGHT, 16, 16 + 14)):
        clock.moment = moment
        callmart.build_and_open()
        with callmart.connect() as owner:
            (row,) = owner.execute(query, {"c": CUT, "d": DAY}).fetchall()
        assert row == tuple(3600 * each for each in (hours, hours, hours, of_both))


def test_what_lands_while_a_build_computes_is_left_to_the_next_one(callmart: Callmart, clock: Clock) -> None:
    """Also a login and a status that begin after all that the build has seen of the customer."""
    callmart.apply(registry(f"id: {LOGGED_IN}, {DETAILED}"))
    own = {"agent": "SIP/6"}
    callmart.land_text(ndjson(event("agent_logged_in", at("09:00"), line="6", **own)), LOGGED_IN)
    later = [
        event("agent_logged_in", at("11:00"), line="another", **own),
        event("agent_status", at("11:30"), reason="break", **own),
        event("agent_status", at("11:45"), reason="available", **own),
    ]
    landed: list[int] = []

    def on_model(name: str, *_: int) -> None:
        if name == "stg_agent":
            landed.append(callmart.land_text(ndjson(*later), LOGGED_IN).landed)

    clock.moment = at("12:00")
    with callmart.connect() as owner:
        window.build(owner, callmart.settings, on_model)
        CHECKED(owner, callmart.settings, quietly)
        assert opening.open_build(owner, callmart.settings).held_back == 0
    assert landed == [3]
    logged_in = "select sum(seconds) as s from store.agent_session where customer_id = %s"
    assert callmart.rows(logged_in, LOGGED_IN) == [{"s": 0}]
    callmart.build_and_open()
    assert callmart.rows(logged_in, LOGGED_IN) == [{"s": (165 + 45) * 60}]


def test_after_days_were_opened_there_is_nothing_to_do_but_for_months_that_are_over(
    callmart: Callmart,
) -> None:
    """Such a month may be frozen now."""
    callmart.apply(registry(f"id: {QUIET}, {DETAILED}"))
    for _ in range(3):  # what other tests left
        callmart.build_and_open()
    assert is_up_to_date(callmart)
    today = datetime.now(MIDNIGHT.tzinfo) - timedelta(minutes=1)
    for moment, has_more in ((today, False), (today - timedelta(days=90), True)):
        callmart.land_text(ndjson(event("queue_joined", moment, call_id="c", queue="sales")), QUIET)
        assert not is_up_to_date(callmart)
        assert callmart.build_and_open().opened_days > 0
        assert is_up_to_date(callmart) is not has_more


def is_up_to_date(callmart: Callmart) -> bool:
    with callmart.connect() as connection:
        return window.is_up_to_date(connection, callmart.settings)
