"""Holds, transfers, wrap-ups and callers who come again are counted with the contacts they belong to."""

import pytest

from call_events import CONNECT, JOIN, call
from callmart_home import Callmart
from events import DAY, DETAILED, at, event, ndjson, registry

BELONGS, COME_AGAIN = 391, 392


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(registry(*(f"id: {customer}, {DETAILED}" for customer in (BELONGS, COME_AGAIN))))


@pytest.fixture(scope="module")
def belongs(callmart: Callmart) -> Callmart:
    """A contact that is held, handed on to another queue, and ends there; one that overflows; one that is placed, and
    one within the house.
    """
    overflow = {"call_id": "c-2"}
    placed = {"call_id": "c-3", "agent": "a"}
    within = {"call_id": "c-5"}
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
            event(
                "call_answered", at("10:05:20"), **placed, duration_s=3
            ),  # the first one counts, and so of ends
            event("call_ended", at("10:06"), **placed, reason="caller"),
            event("call_ended", at("10:06:01"), **placed, reason="agent"),
            event("call_started", at("10:07"), direction="outbound", **placed | {"call_id": "c-4"}),
            event("call_ended", at("10:07:30"), **placed | {"call_id": "c-4"}, reason="caller"),
            event("call_started", at("10:20"), direction="internal", agent="a", **within),
            event("agent_connected", at("10:20:06"), agent="b", **within),
            event("agent_released", at("10:20:30"), agent="a", reason="caller", **within),
            event("agent_released", at("10:20:31"), agent="b", reason="agent", **within),
        ),
        BELONGS,
    )
    assert callmart.build_and_open().held_back_days == 0
    return callmart


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
        " where customer_id = %s order by started_at, part",
        BELONGS,
    )
    assert [list(row.values()) for row in found] == [
        ["a", 1, "q", "inbound", "10:00:10", 1, 7, 29, 2, 21, 25, "transfer", "attended", "queue"],
        ["a", 0, None, "outbound", "10:05:12", 1, 12, 48, 0, 0, 0, "caller", None, None],
        ["a", 0, None, "outbound", "10:07:00", 0, 30, None, 0, 0, 0, "no_answer", None, None],
        ["b", 2, "r", "inbound", "10:16:40", 1, None, 20, 0, 0, 0, "agent", None, None],
        ["a", 1, None, "internal", "10:20:06", 1, 6, 24, 0, 0, 0, "caller", None, None],
        ["b", 2, None, "internal", "10:20:06", 1, None, 25, 0, 0, 0, "agent", None, None],
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
        ["a", 3, 2, 1, 7, 101, 2, 21, 25, 1],
        ["b", 2, 0, 0, 0, 45, 0, 0, 0, 0],
    ]


def test_callers_come_again_whenever_their_file_comes(callmart: Callmart) -> None:
    """A late file rebuilds the six days after it in the mart that looks back, and in no other."""

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
            COME_AGAIN,
        )
        callmart.build_unchecked()

    def week() -> dict[int, list[int]]:
        found = callmart.rows(
            "select * from store.queue_day where customer_id = %s order by call_date", COME_AGAIN
        )
        names = ("callers", "repeat_callers_day", "repeat_callers_week")
        return {(row["call_date"] - DAY).days: [row[name] for name in names] for row in found}

    def builds(mart: str) -> dict[int, int]:
        found = callmart.rows(
            "select * from ops.opened_day where customer_id = %s and mart = %s", COME_AGAIN, mart
        )
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
