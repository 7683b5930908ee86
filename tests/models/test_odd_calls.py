"""The marts count each odd call as they should, and the examples of others as those worked them out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from call_events import CONNECT, JOIN, call
from callmart.base.raw_format import LONGEST_DURATION_S
from callmart.declarations import dbt_project, metrics
from callmart_home import Callmart
from cells import AGENT_COUNTS, agent_cells, by_queue, queue_cells
from events import DAY, DETAILED, STANDARD, Row, at, event, registry


def line(clock: str, rest: str, day: int = 0) -> tuple[datetime, str]:
    return at(clock, day), rest


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
        "ends without a queue, of a call that comes back to its queue",
        [
            JOIN,
            call("ring_started", "10:00:04", agent="a"),
            call("ring_ended", "10:00:10", queue=None, agent="a", reason="answered"),
            CONNECT,
            call("agent_released", "10:01", queue=None, agent="a", reason="transfer"),
            call("queue_joined", "10:01"),
            call("queue_left", "10:01:08", reason="timeout"),
        ],
        {"q": ANSWERED | WAITED | {"offered": 2, "timed_out": 1, "ring_s": 6, "talk_s": 50}},
        {"a": ONE | {"rings": 1, "ring_s": 6, "talk_s": 50}},
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
    *(
        Odd(
            f"standard, {who} in a queue of the day",
            [
                *(event("agent_joined_queue", at("09:00"), agent=agent, queue="q") for agent in members),
                JOIN,
                CONNECT,
                call("transferred", "10:01", agent="a", reason="blind", target_kind="other"),
                call("agent_released", "10:01", agent="a", reason="transfer"),
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
        )
        for who, members in {
            "two agents": "",
            "two agents, one a member": "a",
            "two agents, both members": "ab",
        }.items()
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
ABSURD = 400


@pytest.fixture(scope="module")
def told(callmart: Callmart) -> Callmart:
    """All odd calls, a customer each."""
    target = "service_level_target: 80 %"
    callmart.apply(
        registry(
            f"id: {ABSURD}, contracts: [{{option: detailed, from: {DAY}}}]",  # the calls seem to begin long before
            *(f"id: {CUSTOMER[odd.name]}, {odd.option}, {target}" for odd in ODD),
        )
    )
    callmart.land_together({CUSTOMER[odd.name]: odd.told for odd in ODD})
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
    "wrapup_s", "transferred_blind", "transferred_attended", "staffed_s", "needed_s",
}  # fmt: skip


def test_standard_hides_what_one_agent_did_and_shows_what_two_did(told: Callmart) -> None:
    def nulls(agents: str) -> set[frozenset[str]]:
        customer = CUSTOMER[f"standard, {agents} in a queue of the day"]
        rows = told.rows("select * from store.queue_interval where customer_id = %s", customer)
        rows += told.rows("select * from store.queue_day where customer_id = %s", customer)
        return {
            frozenset(
                name
                for name, value in row.items()
                if value is None and not name.startswith("wait") and name != "open"  # no hours are declared
            )
            for row in rows
        }

    assert nulls("one agent") == {
        frozenset(OF_AGENTS - {"talk_max_s"}),
        frozenset({"talk_max_s", "staffed_s"}),
    }
    assert nulls("two agents") == {frozenset({"staffed_s"})}, "in both quarter-hours, of one agent each"
    assert nulls("two agents, one a member") == {frozenset({"staffed_s"})}, (
        "it would be when this one was there"
    )
    assert nulls("two agents, both members") == {frozenset()}
    transfers = "select sum(transferred_blind)::int as n from store.queue_interval where customer_id = %s"
    for agents, shown in ("one agent", None), ("two agents", 1):
        assert told.rows(transfers, CUSTOMER[f"standard, {agents} in a queue of the day"]) == [{"n": shown}]


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


def test_calls_of_ten_years_hold_back_their_own_day_only(told: Callmart) -> None:
    """No sum of a mart could hold seven of them."""
    of_one = (
        JOIN,
        call("ring_ended", "10:00:10", agent="a", reason="answered", duration_s=LONGEST_DURATION_S),
        CONNECT | {"duration_s": LONGEST_DURATION_S},
        call("agent_released", "10:01", agent="a", duration_s=LONGEST_DURATION_S),
        call("wrapup_ended", "10:02", agent="a", duration_s=LONGEST_DURATION_S),
    )
    abandoned = call("queue_left", "10:01", reason="abandoned", duration_s=LONGEST_DURATION_S)
    absurd = [
        row | {"call_id": f"{kind}-{number}"}
        for kind, rows in (("answered", of_one), ("abandoned", (JOIN, abandoned)))
        for row in rows
        for number in range(7)
    ]
    other, next_day = CUSTOMER["still waiting"], JOIN | {"occurred_at": at("10:00", 1).isoformat()}
    told.land_together({ABSURD: absurd, other: [next_day | {"call_id": "c-2"}]})
    assert told.build_and_open().problems == ["1 day is held back by its checks: see `callmart status`"]
    assert told.rows("select customer_id, call_date from ops.held_back") == [
        {"customer_id": ABSURD, "call_date": DAY}
    ]
    assert {day for day, *_ in queue_cells(told, other)} == {DAY, DAY + timedelta(days=1)}
