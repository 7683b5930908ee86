"""No model compares each row of something with each row of something else: a customer may have many queues, many agents
or many days in a build.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from callmart.build import window
from callmart.declarations import dbt_project
from callmart_home import Callmart, ignore_step
from events import DETAILED, Row, at, event, registry

QUEUES, QUARTERS, DAYS, CALLS_PER_DAY = 60, 20, 120, 10
MOST = 5  # pairs of rows that a join looks at in vain, per event that landed


def _call(call_id: str, queue: str, agent: str, day: int, minutes: int) -> Iterator[Row]:
    """A call that joins a queue some minutes after nine, rings an agent, and is answered."""
    steps: tuple[tuple[str, dict[str, Any]], ...] = (
        ("queue_joined", {"queue": queue, "other_number": f"06{minutes:08}"}),
        ("ring_started", {"queue": queue, "agent": agent}),
        ("ring_ended", {"queue": queue, "agent": agent, "reason": "answered"}),
        ("agent_connected", {"queue": queue, "agent": agent}),
        ("agent_released", {"queue": queue, "agent": agent, "reason": "caller"}),
    )
    for second, (name, values) in enumerate(steps):
        moment = at("09:00", day) + timedelta(minutes=minutes, seconds=second)
        yield event(name, moment, call_id=call_id, **values)


def _days_of_an_agent(agent: str, queue: str, day: int) -> Iterator[Row]:
    yield event("agent_logged_in", at("08:30", day), agent=agent, line=agent)
    yield event("agent_joined_queue", at("08:31", day), agent=agent, queue=queue)
    yield event("agent_status", at("08:32", day), agent=agent, reason="break")
    yield event("agent_logged_out", at("17:00", day), agent=agent, line=agent)


@pytest.fixture(scope="module")
def computed(callmart: Callmart) -> Callmart:
    """One customer has many queues and agents on a day, another one few calls on each of many days."""
    callmart.apply(registry(f"id: 1, {DETAILED}", f"id: 2, {DETAILED}"))
    wide: list[Row] = []
    for queue in range(QUEUES):
        wide.extend(_days_of_an_agent(f"a-{queue}", f"q-{queue}", 0))
        for quarter in range(QUARTERS):
            wide.extend(_call(f"c-{queue}-{quarter}", f"q-{queue}", f"a-{queue}", 0, 15 * quarter))
    long: list[Row] = []
    for day in range(-DAYS, 0):
        long.extend(_days_of_an_agent("a", "q", day))
        for call in range(CALLS_PER_DAY):
            long.extend(_call(f"c-{day}-{call}", "q", "a", day, 30 * call))
    callmart.land_together({1: wide, 2: long})
    with callmart.connect() as connection:
        window.build(connection, callmart.settings, ignore_step)
    return callmart


def test_no_model_joins_each_row_with_each_other(computed: Callmart) -> None:
    compiled = dbt_project.compiled_models(computed.settings)
    in_vain: dict[str, float] = {}
    with computed.connect() as connection:
        (events,) = connection.execute("select count(*) from raw.event").fetchone() or (0,)
        for model in compiled:
            if not model.is_view:
                ((plan,),) = connection.execute(
                    f"explain (analyze, timing off, format json) {model.sql}".encode()
                ).fetchall()
                in_vain[model.name] = sum(map(_in_vain, _nodes(plan[0]["Plan"])))
    assert {"int_visit", "queue_interval", "agent_interval"} <= in_vain.keys()
    assert {model: pairs for model, pairs in in_vain.items() if pairs > MOST * events} == {}


def _in_vain(node: dict[str, Any]) -> float:
    return float(node["Actual Loops"] * node.get("Rows Removed by Join Filter", 0))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)
