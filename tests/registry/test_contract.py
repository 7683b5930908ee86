"""The contract as dated data: what it keeps today is all that is kept, whatever was ordered or landed before."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import product, zip_longest
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callmart.base.progress import quietly
from callmart.build import window
from callmart.declarations import dbt_project
from callmart.opening import opening
from callmart.registry import applying
from callmart.registry.file import load
from callmart.retention import remove
from callmart.validate import suites
from callmart_home import Callmart, hold_back
from events import Row, at, days, event, ndjson
from events import registry as customers
from registries import LONG_AGO, Span, contracts, write
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

D0, D1, D2, D3 = days(4)
ALONE = 9000

# -- what is kept today ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matrix(make_callmart: Callable[..., Callmart]) -> Callmart:
    return make_callmart(ready=True)


@st.composite
def timelines(draw: st.DrawFn) -> list[Span]:
    """Contracts around today, without overlap; some meet and some leave a gap."""
    edges = sorted(draw(st.sets(st.integers(-6, 6), max_size=6)))
    spans: list[Span] = []
    for edge, end in zip_longest(edges, edges[1:]):
        option = draw(st.sampled_from(["none", "standard", "detailed"]))
        if option != "none":
            until = None if end is None else TODAY + timedelta(days=end)
            spans.append((option, TODAY + timedelta(days=edge), until))
    return spans


def kept(spans: list[Span], day: date) -> str:
    """What a contract keeps today of a day, walked through day by day."""

    def ordered(on: date) -> str:
        return next((o for o, first, until in spans if first <= on and (until is None or on < until)), "none")

    if day > TODAY:
        way = [TODAY + timedelta(days=i) for i in range((day - TODAY).days + 1)]
        return "none" if any(ordered(on) == "none" for on in way) else ordered(day)
    way = [day + timedelta(days=i) for i in range((TODAY - day).days + 1)]
    if any(ordered(on) == "none" for on in way):
        return "none"
    return "detailed" if all(ordered(on) == "detailed" for on in way) else "standard"


@given(spans=timelines())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_kept_is_what_no_gap_and_no_standard_parts_from_today(
    spans: list[Span], shown: psycopg.Connection
) -> None:
    shown.execute("delete from registry.contract")
    for option, first, until in spans:
        shown.execute("insert into registry.contract values (1, %s, %s, %s)", [option, first, until])
    rows = shown.execute("select option, valid_from, valid_until from registry.kept_contract").fetchall()
    for day in (TODAY + timedelta(days=i) for i in range(-9, 9)):
        found = [o for o, first, until in rows if first <= day and (until is None or day < until)]
        assert (found or ["none"]) == [kept(spans, day)], day


@pytest.fixture
def shown(matrix: Callmart) -> Iterator[psycopg.Connection]:
    """A database whose only customer lives by the tests' clock; nothing is kept."""
    with matrix.connect() as connection:
        matrix_registry = load(write(matrix.home, customers("id: 1, time_zone: Europe/Amsterdam")))
        applying.apply(connection, matrix.settings, matrix_registry)
        yield connection
        connection.rollback()


# -- any order gives the same ------------------------------------------------------------------------------------

STATES: dict[str, list[Span]] = {
    "none": [],
    "standard": [("standard", LONG_AGO, None)],
    "detailed": [("detailed", LONG_AGO, None)],
    "downgraded": [("detailed", LONG_AGO, D1), ("standard", D1, None)],
    "dipped": [("detailed", LONG_AGO, D1), ("standard", D1, D2), ("detailed", D2, None)],
    "a gap": [("detailed", LONG_AGO, D1), ("detailed", D2, None)],
    "back as another": [("standard", LONG_AGO, D1), ("standard", D2, D3), ("detailed", D3, None)],
    "to come": [("detailed", LONG_AGO, D3), ("detailed", TODAY + timedelta(days=9), None)],
    "to leave": [("detailed", D1, TODAY + timedelta(days=9)), ("standard", TODAY + timedelta(days=9), None)],
}
PAIRS = [(before, after) for before, after in product(STATES, STATES) if before != after]
# One who had it from the beginning, and of each change who had everything opened, or landed, before it came.
FIRST = {state: 100 + number for number, state in enumerate(STATES)}
OPENED = {pair: 1000 + number for number, pair in enumerate(PAIRS)}
LANDED = {pair: 2000 + number for number, pair in enumerate(PAIRS)}
# And to whom no file comes again: what was detailed everywhere has lost, and needs nothing.
LOST = {("detailed", after): 3000 + number for number, after in enumerate(STATES) if after != "detailed"}


def rows_of_all() -> list[Row]:
    """Calls of each day and over each midnight, one of them over two; a queue with one agent and one with two."""
    rows = []
    for day in range(4):
        for number, (queue, agent) in enumerate(
            [
                ("sales", "SIP/1"),
                ("sales", "SIP/2"),
                ("help", "SIP/3"),
                ("gone", None),
                ("help", f"SIP/d{day}"),
            ]
        ):
            call = {"call_id": f"c-{day}-{number}", "queue": queue}
            rows.append(event("queue_joined", at(f"1{number}:00", day), other_number="+31612345678", **call))
            if agent is None:
                rows.append(event("queue_left", at(f"1{number}:00:30", day), reason="abandoned", **call))
                continue
            rows.append(event("agent_connected", at(f"1{number}:00:10", day), agent=agent, **call))
            rows.append(
                event("agent_released", at(f"1{number}:02", day), agent=agent, reason="agent", **call)
            )
    for day, later in (0, 1), (1, 2), (2, 3), (0, 2):
        call = {"call_id": f"n-{day}-{later}", "queue": "night"}
        rows.append(event("queue_joined", at("23:59:50", day), **call))
        rows.append(event("agent_connected", at("00:00:10", day + 1), agent="SIP/2", **call))
        rows.append(event("agent_released", at("00:01", later), agent="SIP/2", reason="agent", **call))
    return rows


def landing(callmart: Callmart, whose: list[int]) -> None:
    rows = rows_of_all()
    callmart.land_text(ndjson(*(row | {"customer_id": customer} for customer in whose for row in rows)))


def told(callmart: Callmart) -> dict[int, dict[str, list[Any]]]:
    """All that is stored of each customer, with agents by what they are called; keys are each customer's own."""
    tables = {
        "ids": "select customer_id, agent, last_day from registry.agent",
        "events": "select customer_id, occurred_at, event, queue from raw.event",
        "calls": "select customer_id, first_at, last_at, spans_days from raw.call",
        "opened": "select customer_id, call_date::text, mart, row_count from ops.opened_day where row_count > 0",
        "dirty": "select customer_id, call_date from ops.dirty_day",
        "keys": "select customer_id, key_fingerprint is not null from registry.customer",
    }
    for mart in dbt_project.marts(callmart.settings):
        columns = [column for column in mart.columns if not column.endswith(("_key", "customer_id"))]
        names = ", ".join([*columns, "agent"] if "agent_key" in mart.columns and mart.day else columns)
        agents = (
            "left join store.agent using (customer_id, agent_key)"
            if "agent_key" in mart.columns and mart.day
            else ""
        )
        tables[mart.name] = f'select customer_id, {names} from store."{mart.name}" {agents}'
    found: dict[int, dict[str, list[Any]]] = {}
    with callmart.connect() as connection:
        for name, query in tables.items():
            for customer_id, *row in connection.execute(query):
                found.setdefault(customer_id, {name: [] for name in tables})[name].append(tuple(row))
    return {
        customer: {name: sorted(rows, key=repr) for name, rows in of.items()}
        for customer, of in found.items()
    }


@pytest.fixture(scope="module")
def stories(matrix: Callmart) -> dict[int, dict[str, list[Any]]]:
    """All changes of all contracts, each to customers of their own."""

    def apply(changed: bool) -> None:
        pairs = [*OPENED.items(), *LANDED.items(), *LOST.items()]
        matrix.apply(
            customers(
                *(f"id: {customer}, {contracts(*STATES[state])}" for state, customer in FIRST.items()),
                *(f"id: {customer}, {contracts(*STATES[pair[changed]])}" for pair, customer in pairs),
            )
        )

    apply(changed=False)
    landing(matrix, [*OPENED.values(), *LOST.values()])
    matrix.build_unchecked()
    landing(matrix, [*LANDED.values()])
    apply(changed=True)
    matrix.build_unchecked()
    landing(matrix, [*FIRST.values(), *OPENED.values(), *LANDED.values()])
    matrix.build_unchecked()
    return told(matrix)


@pytest.mark.parametrize("pair", PAIRS, ids=" becomes ".join)
def test_a_change_is_as_if_it_had_been_so_from_the_beginning(
    stories: dict[int, dict[str, list[Any]]], pair: tuple[str, str]
) -> None:
    expected = stories[FIRST[pair[1]]]
    for way in OPENED, LANDED, LOST:
        if pair in way:
            assert stories[way[pair]] == expected


def test_the_contracts_keep_different_things(stories: dict[int, dict[str, list[Any]]]) -> None:
    """Else the test above passes on nothing."""
    nothing = {"none", "to come"}
    seen = {state: stories[FIRST[state]] for state in STATES}
    for state in nothing:
        assert {name for name, rows in seen[state].items() if rows} == {"keys"}
    assert (
        len({repr(seen[state]["agent_day"] + seen[state]["queue_interval"]) for state in STATES})
        == len(STATES) - 2
    ), "all but what is none, and what is standard"
    assert {row[0] for row in seen["dipped"]["agent_day"]} == {D2, D3}
    assert {row[0] for row in seen["dipped"]["queue_interval"]} == {D0, D1, D2, D3}
    assert {row[0] for row in seen["a gap"]["queue_interval"]} == {D2, D3}
    assert {row[0] for row in seen["downgraded"]["queue_interval"]} == {D0, D1, D2, D3}
    assert not seen["downgraded"]["agent_day"] and not seen["downgraded"]["ids"]
    assert ("SIP/d0",) in seen["detailed"]["agent"]
    assert ("SIP/d0",) not in seen["dipped"]["agent"] and "SIP/d0" not in repr(seen["dipped"]["ids"])


def test_a_night_with_nothing_to_remove_looks_at_no_event(
    matrix: Callmart, stories: dict[int, dict[str, list[Any]]]
) -> None:
    with matrix.connect() as other:
        other.execute("lock table raw.event, raw.call in access exclusive mode")
        with matrix.connect() as connection:
            connection.execute("set lock_timeout = '5s'")
            assert remove.remove(connection, matrix.settings, quietly) == []


# -- a registry between a build and its opening -------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(make_callmart: Callable[..., Callmart]) -> Callmart:
    return make_callmart(ready=True)


@pytest.fixture
def one_agent(alone: Callmart) -> Callmart:
    """Of a detailed customer, a day is open on which one agent answered all contacts of a queue."""
    alone.apply(customers(f"id: {ALONE}, {contracts(*STATES['detailed'])}"))
    call = {"call_id": "alone", "queue": "sales"}
    alone.land_text(
        ndjson(
            event("queue_joined", at("10:00"), **call),
            event("agent_connected", at("10:00:25"), agent="SIP/1", **call),
            event("agent_released", at("10:02"), agent="SIP/1", reason="agent", **call),
        ),
        ALONE,
    )
    alone.build_unchecked()
    return alone


def worked(callmart: Callmart) -> list[Any]:
    """What is shown of the agent's work."""
    query = "select talk_s from store.queue_interval where customer_id = %s and talk_s is not null"
    return [row["talk_s"] for row in callmart.rows(query, ALONE)]


def test_of_a_day_that_is_held_back_standard_shows_no_more_than_it_may(
    one_agent: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worked(one_agent) == [95]
    monkeypatch.setattr(suites, "validate", hold_back(ALONE))
    one_agent.apply(customers(f"id: {ALONE}, {contracts(*STATES['standard'])}"))
    late = event("queue_joined", at("11:00"), call_id="late", queue="sales")
    one_agent.land_text(ndjson(late), ALONE)  # and marks the day, too
    assert one_agent.build_and_open().held_back_days == 1
    assert worked(one_agent) == []


def test_what_the_registry_changes_between_a_build_and_its_opening_is_built_anew(one_agent: Callmart) -> None:
    def answered_in_time() -> list[Any]:
        query = "select sum(answered_in_threshold)::int as n from store.queue_interval where customer_id = %s"
        return [row["n"] for row in one_agent.rows(query, ALONE)]

    again = event("queue_joined", at("12:00"), call_id="again", queue="sales")
    one_agent.land_text(ndjson(again), ALONE)
    with one_agent.connect() as connection:
        window.build(connection, one_agent.settings, quietly)
    one_agent.apply(
        customers(
            f"id: {ALONE}, queues: [{{name: sales, service_level_s: 60}}], {contracts(*STATES['detailed'])}"
        )
    )
    with one_agent.connect() as connection:
        suites.validate(connection, one_agent.settings, quietly)
        assert opening.open_build(connection, one_agent.settings).days == 0
    assert answered_in_time() == [0]
    one_agent.build_unchecked()
    assert answered_in_time() == [1]
