"""What an erasure changes of the events: on which side of the moment a call is, and what else leads to the person."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from callmart.base.keys import key_file, keyed
from callmart.base.person import Kind, Person, Work
from callmart.land import places
from callmart_home import Callmart
from events import DETAILED, Row, at, event, registry
from midnights import AZORES, night_with_two_midnights, two_midnights

pytestmark = pytest.mark.server

ONE, OTHER, ON_THE_AZORES = 1, 2, 3
ANNA, BO = "SIP/anna", "SIP/bo"
NUMBER, ANOTHER = "+31612345678", "+31698765432"


def call(
    name: str, clock: str, agent: str = ANNA, day: int = 0, number: str = NUMBER, **more: Any
) -> list[Row]:
    """A call of a minute with one agent, who rang for five seconds, at a device of the agent's own."""
    hour, minute = clock.split(":")
    of_agent = {
        "call_id": name,
        "queue": "sales",
        "agent": agent,
        "line": more.pop("line", f"desk of {agent}"),
    }
    end = f"{hour}:{int(minute) + 1:02}"
    return [
        event("queue_joined", at(clock, day), call_id=name, queue="sales", other_number=number),
        event("ring_ended", at(f"{clock}:05", day), reason="answered", duration_s=5, **of_agent),
        event("agent_connected", at(f"{clock}:05", day), **of_agent),
        event("agent_released", at(end, day + more.pop("nights", 0)), reason="caller", **of_agent),
    ]


TOLD = [
    *call("ordinary", "09:00"),
    *call("ordinary", "09:00")[2:3],  # the same row twice
    *call("of another", "10:00", agent=BO, number=ANOTHER),
    *call("over midnight", "23:58", nights=1),
    *call("later", "09:00", day=1),
    event("transferred", at("10:00:30"), call_id="of another", agent=BO, reason="blind", target=ANNA,
          target_kind="agent"),
    event("transferred", at("10:00:40"), call_id="of another", agent=BO, reason="blind", target="06 12345678",
          target_kind="number"),
    event("call_started", at("11:00"), call_id="by device", direction="inbound", line=f"desk of {ANNA}"),
    event("call_started", at("11:30"), call_id="by shared device", direction="inbound", line="shared"),
    event("agent_logged_in", at("08:00"), agent=ANNA, line="shared"),
    event("agent_logged_in", at("08:00"), agent=BO, line="shared"),
    event("agent_status", at("08:00"), agent=ANNA, reason="available"),
    event("wrapup_ended", at("09:02"), agent=ANNA, duration_s=30),
    event("agent_joined_queue", at("08:00"), agent=ANNA, queue="sales"),
    event("agent_logged_out", at("09:30", 1), agent=ANNA, line="shared"),
]  # fmt: skip


NIGHT = night_with_two_midnights(AZORES)
FIRST_MIDNIGHT, SECOND_MIDNIGHT = two_midnights(NIGHT, AZORES)
AT_NIGHT = [
    event("agent_joined_queue", FIRST_MIDNIGHT + timedelta(minutes=30), agent=BO, queue="sales"),
    event("agent_status", SECOND_MIDNIGHT + timedelta(hours=9), agent=ANNA, reason="available"),
]


@pytest.fixture(scope="module")
def told(callmart: Callmart) -> Callmart:
    azores = f"id: {ON_THE_AZORES}, time_zone: {AZORES}, {DETAILED}"
    callmart.apply(registry(*(f"id: {customer}, {DETAILED}" for customer in (ONE, OTHER)), azores))
    callmart.land_together({ONE: TOLD, OTHER: TOLD, ON_THE_AZORES: AT_NIGHT})
    return callmart


@pytest.fixture
def work(told: Callmart) -> Iterator[Work]:
    """In a transaction that is rolled back, so that each test erases anew."""
    with told.connect() as connection, connection.transaction(force_rollback=True):
        yield Work(connection, told.settings, lambda: None)


def test_an_agent_leaves_events_outside_calls_and_is_somebody_else_in_each_call(work: Work) -> None:
    before, others = rows(work), rows(work, OTHER)
    anna = of(work, "agent", ANNA)
    counted = places.Events().find(work, anna)
    # In calls eight name the agent, and one the device.
    assert counted == {"events outside calls": 4, "events in calls": 9, "calls": 3}
    assert places.Events().treat(work, anna) == counted
    assert places.Events().find(work, anna) == {}
    after = rows(work)
    assert len(after) == len(before) - 4
    assert rows(work, OTHER) == others
    key = next(iter(anna.keys))
    left = [row for row in after if key in (row["agent_key"], row["target_key"])]
    assert {row["occurred_at"] for row in left} == {
        moment for moment in (at("09:00:05", 1), at("09:01", 1), at("09:30", 1))
    }  # what came later
    substitutes = {
        row["agent_key"]: row["call_key"] for row in after if (row["agent_key"] or "").startswith("~")
    }
    assert len(substitutes) == 2  # of the two calls that began before, the one over midnight included
    assert len(set(substitutes.values())) == 2
    assert all(len(substitute) == 33 for substitute in substitutes)


def test_what_an_erasure_changes_has_keys_that_nothing_leads_to(work: Work) -> None:
    before = {row["event_key"] for row in rows(work)}
    anna = of(work, "agent", ANNA)
    traces = places.look(work.connection, anna).traces
    places.Events().treat(work, anna)
    after = {row["event_key"] for row in rows(work)}
    assert traces == before - after
    assert len(after - before) == 9


def test_a_device_goes_unless_others_used_it(work: Work) -> None:
    anna = of(work, "agent", ANNA)
    own = keyed(key_of(work), "device", f"desk of {ANNA}")
    assert places.look(work.connection, anna).devices == {own}
    places.Events().treat(work, anna)
    by_device = [row["device_key"] for row in rows(work) if row["occurred_at"] < anna.until]
    assert own not in by_device
    assert keyed(key_of(work), "device", "shared") in by_device
    assert keyed(key_of(work), "device", f"desk of {BO}") in by_device


def test_two_ids_of_one_agent_are_erased_together_and_stay_two_in_a_call(work: Work) -> None:
    both = of(work, "agent", ANNA, BO)
    places.Events().treat(work, both)
    named = [row["agent_key"] for row in rows(work) if row["occurred_at"] < both.until and row["agent_key"]]
    assert named and all(key.startswith("~") for key in named)


def test_a_callers_calls_lose_the_number_and_their_keys(work: Work) -> None:
    before = rows(work)
    caller = of(work, "caller", NUMBER)
    stored = places.look(work.connection, caller)
    counted = places.Events().treat(work, caller)
    # "of another" was transferred to that number
    assert counted["calls"] == len(stored.calls) == 3
    after = rows(work)
    assert len(after) == len(before)
    late = [row for row in after if row["occurred_at"] >= caller.until and row["number_key"]]
    key = next(iter(caller.keys))
    assert [row["number_key"] for row in late] == [key]
    assert [row for row in after if key in (row["number_key"], row["target_key"]) and row not in late] == []
    assert not stored.calls & {row["call_key"] for row in after}
    assert keyed(key_of(work), "number", ANOTHER) in {row["number_key"] for row in after}
    calls = work.connection.execute(
        "select count(*), count(distinct e.call_key) from raw.event as e"
        " left join raw.call as c using (customer_id, call_key)"
        " where e.customer_id = %s and e.call_key is not null and c.call_key is null",
        [ONE],
    ).fetchone()
    assert calls == (0, 0)
    grouped = [sorted(group) for group in moments_by_call(before)]
    assert sorted(grouped) == sorted(sorted(group) for group in moments_by_call(after))


def test_a_person_is_found_up_to_the_moment_only(work: Work) -> None:
    assert places.look(work.connection, of(work, "agent", ANNA)).is_active_later
    assert not places.look(work.connection, of(work, "agent", ANNA, day=3)).is_active_later
    assert places.Events().find(work, of(work, "agent", ANNA, day=-3)) == {}
    assert places.Events().find(work, of(work, "agent", "SIP/nobody")) == {}


def test_the_staffing_changes_on_a_day_of_which_others_have_only_the_hour_between_two_midnights(
    work: Work,
) -> None:
    """The data ends with the agent who goes: until then the other one was a member."""
    anna = of(work, "agent", ANNA, customer=ON_THE_AZORES)
    anna = replace(anna, until=SECOND_MIDNIGHT + timedelta(hours=10))
    assert places.Cell("staffing", "sales", NIGHT) in places.look(work.connection, anna).cells.known


def of(work: Work, kind: Kind, *words: str, day: int = 1, customer: int = ONE) -> Person:
    """Up to midnight before a day."""
    pseudonym = {"caller": "number"}.get(kind, kind)
    keys = frozenset(keyed(key_of(work, customer), pseudonym, word) for word in words)
    return Person(customer, kind, frozenset(words), keys, at("00:00", day))


def key_of(work: Work, customer: int = ONE) -> bytes:
    return key_file(work.settings.home, customer).read_bytes()


def rows(work: Work, customer: int = ONE) -> list[dict[str, Any]]:
    cursor = work.connection.execute(
        "select * from raw.event where customer_id = %s order by occurred_at, event, event_key", [customer]
    )
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def moments_by_call(events: list[dict[str, Any]]) -> list[list[str]]:
    """The events of each call, whatever its key is."""
    calls: dict[int, list[str]] = {}
    for row in events:
        if row["call_key"] is not None:
            calls.setdefault(row["call_key"], []).append(f"{row['occurred_at']} {row['event']}")
    return list(calls.values())
