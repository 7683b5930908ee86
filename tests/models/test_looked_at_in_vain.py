"""With many queues and agents on a day, one id for all calls, or many days in a build, no model compares each row of a
customer with every other one, or looks through all events for each day.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from callmart.base.progress import quietly
from callmart.build import spreading, window
from callmart.declarations import dbt_project
from callmart_home import Callmart
from events import DETAILED, Row, at, event, registry
from explained import explained

pytestmark = pytest.mark.thorough

QUEUES, QUARTERS, DAYS, CALLS_PER_DAY = 60, 20, 120, 10
MOST = 5  # rows and pairs that are looked at in vain, per event that landed


def _call(call_id: str, queue: str, agent: str, day: int, minutes: int) -> Iterator[Row]:
    """A call that joins a queue some minutes after nine, rings an agent, and is answered."""
    steps: tuple[tuple[str, dict[str, Any]], ...] = (
        ("queue_joined", {"queue": queue, "other_number": f"06{minutes:08}"}),
        ("ring_started", {"queue": queue, "agent": agent}),
        ("ring_ended", {"queue": queue, "agent": agent, "reason": "answered"}),
        ("agent_connected", {"queue": queue, "agent": agent}),
        ("agent_released", {"queue": queue, "agent": agent, "reason": "caller"}),
        ("wrapup_started", {"queue": queue, "agent": agent}),
        ("wrapup_ended", {"queue": queue, "agent": agent}),
    )
    for second, (name, values) in enumerate(steps):
        moment = at("09:00", day) + timedelta(minutes=minutes, seconds=second)
        yield event(name, moment, call_id=call_id, **values)


def _day_of_an_agent(agent: str, queue: str, day: int) -> Iterator[Row]:
    yield event("agent_logged_in", at("08:30", day), agent=agent, line=agent)
    yield event("agent_joined_queue", at("08:31", day), agent=agent, queue=queue)
    yield event("agent_status", at("08:32", day), agent=agent, reason="break")
    yield event("agent_logged_out", at("17:00", day), agent=agent, line=agent)


@pytest.fixture(scope="module")
def computed(callmart: Callmart) -> Callmart:
    """One customer has many queues and agents on a day, another one few calls on each of many days. A third one's
    source gives all calls one id.
    """
    callmart.apply(registry(*(f"id: {customer}, {DETAILED}" for customer in (1, 2, 3))))
    wide: list[Row] = []
    for queue in range(QUEUES):
        wide.extend(_day_of_an_agent(f"a-{queue}", f"q-{queue}", 0))
        for quarter in range(QUARTERS):
            wide.extend(_call(f"c-{queue}-{quarter}", f"q-{queue}", f"a-{queue}", 0, 15 * quarter))
    long: list[Row] = []
    for day in range(-DAYS, 0):
        long.extend(_day_of_an_agent("a", "q", day))
        for call in range(CALLS_PER_DAY):
            long.extend(_call(f"c-{day}-{call}", "q", "a", day, 30 * call))
            refused = at("09:10", day) + timedelta(minutes=30 * call)
            long.append(event("queue_refused", refused, call_id=f"r-{day}-{call}", queue="q", reason="full"))
    of_one_id = [row | {"call_id": "0"} if "call_id" in row else row for row in wide]
    callmart.land_together({1: wide, 2: long, 3: of_one_id})
    with callmart.connect() as connection:
        window.build(connection, callmart.settings, quietly)
    return callmart


def test_no_model_looks_at_much_in_vain(computed: Callmart) -> None:
    in_vain: dict[str, float] = {}
    with computed.connect() as connection:
        connection.execute(spreading.TO_COMPUTE)
        (events,) = connection.execute("select count(*) from raw.event").fetchone() or (0,)
        assert connection.execute("select count(*) from build.int_visit").fetchone() != (0,)
        for model in dbt_project.compiled_models(computed.settings):
            if not model.is_view:
                in_vain[model.name] = sum(map(_in_vain, explained(connection, model.sql)))
    assert {"int_visit", "queue_interval", "agent_interval"} <= in_vain.keys()
    assert {model: rows for model, rows in in_vain.items() if rows > MOST * events} == {}


def _in_vain(node: dict[str, Any]) -> float:
    """The pairs that a join looked at in vain, and the rows that a scan did which was repeated."""
    loops = node["Actual Loops"]  # of which PostgreSQL gives the mean
    rows = node.get("Rows Removed by Filter", 0) if loops > 1 else 0
    return float(loops * (rows + node.get("Rows Removed by Join Filter", 0)))
