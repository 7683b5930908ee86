"""A straight call gives what it would give if its events were read one by one, as those of a tangled call are."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from callmart.declarations import dbt_project
from callmart_home import Callmart, leave_opened_dirty
from dbt_by_hand import copy_project
from events import DETAILED, Row, at, event, ndjson, registry

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("unchecked")]

CUSTOMER, CALLS = 1, 600
AGENTS = ["x", "y", "z"]
STRAIGHT = "and coalesce(wrapup_started_at < wrapup_ended_at, true) as is_straight,"


def call_at_random(rng: Random, number: int) -> Iterator[Row]:
    """Some steps of a call in their order, each once, by one agent; the agent who placed it may be another one. It may
    ring more than once, at anybody. Some transfers name a queue of their own.
    """
    agent = {"agent": rng.choice(AGENTS)}
    queue = {"queue": rng.choice(["sales", "support"])} if rng.random() < 0.8 else {}
    named = queue if rng.random() < 0.8 else {"queue": "sales"}
    direction = rng.choice(["inbound", "outbound", "internal"])
    placed = {"agent": rng.choice(AGENTS)} if direction != "inbound" and rng.random() < 0.9 else {}
    abandoned = rng.random() < 0.2
    told: list[tuple[str, dict[str, Any]]] = [
        (
            "call_started",
            {"direction": direction, "other_number": f"+3161234{rng.randrange(50):04}"} | placed,
        ),
        ("call_answered", {}),
        *([("queue_joined", queue)] if queue else []),
        *(
            (name, rung | queue | reason)
            for rung in rng.choices([agent, *({"agent": one} for one in AGENTS)], k=rng.choice([1, 1, 2, 3]))
            for name, reason in (
                ("ring_started", {}),
                ("ring_ended", {"reason": rng.choice(["answered", "no_answer"])}),
            )
        ),
        ("agent_connected", agent | queue),
        ("hold_started", agent | queue),
        ("hold_ended", agent | queue),
        (
            "transferred",
            agent | named | {"reason": rng.choice(["blind", "attended"]), "target_kind": "other"},
        ),
        ("agent_released", agent | queue | {"reason": rng.choice(["agent", "caller", "transfer"])}),
        *([("queue_left", queue | {"reason": rng.choice(["abandoned", "timeout"])})] if queue else []),
        ("wrapup_started", agent | queue),
        ("wrapup_ended", agent | queue),
        ("call_ended", {"reason": rng.choice(["agent", "caller"])}),
    ]
    left_out = {"agent_connected", "agent_released"} if abandoned and queue else {"queue_left"}
    often = rng.choice([0.5, 0.8, 0.95])
    moment = at("09:00") + timedelta(seconds=rng.randrange(8 * 3600))
    for name, values in told:
        moment += timedelta(seconds=rng.choice([1, 7, 40]) + rng.choice([0, 0.25, 0.5]))
        if name in left_out or rng.random() > often:
            continue
        measured = name in ("ring_ended", "agent_connected", "agent_released", "hold_ended", "wrapup_ended")
        own = {"duration_s": rng.choice([0, 3, 12.5])} if measured and rng.random() < 0.3 else {}
        yield event(name, moment, call_id=f"c-{number}", **values, **own)


@pytest.fixture
def all_tangled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Within it, the project is one that holds no call for straight."""
    copy_project(tmp_path)
    model = tmp_path / "models/intermediate/calls/int_call.sql"
    assert STRAIGHT in model.read_text()
    model.write_text(model.read_text().replace(STRAIGHT, f"and false {STRAIGHT}"))
    with monkeypatch.context() as patch:
        yield patch


def test_a_call_gives_the_same_as_straight_and_as_tangled(
    callmart: Callmart, tmp_path: Path, all_tangled: pytest.MonkeyPatch, seed: int
) -> None:
    rng = Random(seed)
    callmart.apply(registry(f"id: {CUSTOMER}, contact_list: true, contact_list_days: 600, {DETAILED}"))
    rows = [row for number in range(CALLS) for row in call_at_random(rng, number)]
    callmart.land_text(ndjson(*rows), CUSTOMER)
    callmart.build_unchecked()
    straight = callmart.told(CUSTOMER)
    assert all(
        straight[mart] for mart in ("queue_interval", "queue_contact", "agent_interval", "agent_contact")
    )

    all_tangled.setattr(dbt_project, "PROJECT", tmp_path)
    all_tangled.setattr(dbt_project, "_target", lambda settings: tmp_path / "target")
    with callmart.connect() as owner:
        leave_opened_dirty(owner)
    callmart.build_unchecked()
    tangled = callmart.told(CUSTOMER)
    for mart in straight:
        assert tangled[mart] == straight[mart], (mart, seed)
