"""Invented weeks of agents are in the marts as a walk through them sees them, in whatever order they come."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent_events import added, login, logout, removed, status, told_until, wrapup
from callmart.base.progress import quietly
from callmart.build import window
from callmart_home import Callmart, leave_opened_dirty
from events import DETAILED, Row, at, event, log, ndjson, registry, together
from midnights import AZORES, night_with_two_midnights, two_midnights
from today import YESTERDAY

pytestmark = pytest.mark.thorough

ZONES = {1: "Europe/Amsterdam", 2: "Australia/Lord_Howe", 3: "Asia/Kolkata"}
IN_PARTS = {customer + 10: zone for customer, zone in ZONES.items()}
# A member who never logs in, and somebody who does so on the day before, in a file that comes when that day is built.
LOGS_IN_LATE = (31, 32)
FIRST_TOLD = (added("09:00"), told_until("10:00", 2))
TOLD_LATER = (login("09:00", 1, agent="b"), logout("10:00", 1, agent="b"))
# A member by a log that has no logins.
NEVER_LOGS_IN = 41
MEMBERSHIP = ((at("09:00"), "CLI|q|a|ADDMEMBER|"), (at("10:00"), "CLI|q|a|REMOVEMEMBER|"))
AGENTS, DEVICES, QUEUES = "abc", ("d-1", "d-2"), ("q", "r")
REACH = timedelta(hours=744)
FIRST_MIDNIGHT, SECOND_MIDNIGHT = two_midnights(night_with_two_midnights(AZORES), AZORES)


@dataclass(frozen=True)
class Late:
    """What is told first, and built; and what is told then."""

    name: str
    first: Sequence[Row]
    then: Sequence[Row]
    zone: str = "Europe/Amsterdam"


LATE = [
    Late(
        "the login that was open when the agent went out and in again in one moment",
        [logout("10:00", 2), login("10:00", 2), logout("10:00", 5)],
        [login("09:00")],
    ),
    Late(
        "the membership that was open when the agent was taken out and put in again in one moment",
        [removed("10:00", 2), added("10:00", 2), told_until("09:00", 3), removed("10:00", 5)],
        [added("09:00")],
    ),
    Late(
        "the wrap-up that was open when one ended and another began in one moment",
        [wrapup("ended", "23:50"), wrapup("started", "23:50"), wrapup("ended", "00:10", 1)],
        [wrapup("started", "23:40")],
    ),
    Late(
        "nothing, of a wrap-up that was never ended, days before one ended and another began in one moment",
        [
            wrapup("started", "10:00"),
            wrapup("ended", "10:00", 3),
            wrapup("started", "10:00", 3),
            wrapup("ended", "10:05", 3),
        ],
        [told_until("12:00", 3)],
    ),
    Late(
        "a login within what a logout measures",
        [logout("10:00", 9, duration_s=8 * 86_400)],
        [login("09:00", 5)],
    ),
    Late(
        "a logout after another one, of which it says nothing",
        [logout("10:00", 4, duration_s=3 * 86_400)],
        [logout("10:00", 6, duration_s=60)],
    ),
    Late(
        "a logout that is measured, days after another one",
        [logout("10:00")],
        [logout("02:00", 2, duration_s=8 * 3_600)],
    ),
    Late(
        "a logout within what the next one measures, after another one",
        [logout("10:00"), logout("02:00", 2, duration_s=8 * 3_600)],
        [logout("20:00", 1)],
    ),
    Late(
        "a logout 31 days after the login, to the moment",
        [login("09:00", -34), told_until("09:00")],
        [event("agent_logged_out", at("09:00", -34).astimezone(UTC) + REACH, agent="a", line="d-1")],
    ),
    Late(
        "how long a status lasted, when it was over long since",
        [status("09:00", "break", -34), told_until("10:00", 1)],
        [status("09:00", "available", 1, duration_s=60)],
    ),
    Late(
        "two statuses in one moment, when one of them was over long since",
        [status("09:00", "available", -34), told_until("10:00", 1)],
        [status("09:00", "available", 1), status("09:00", "break", 1)],
    ),
    Late(
        "a call between the two midnights of a night",
        [event("queue_joined", FIRST_MIDNIGHT - timedelta(hours=2), call_id="c-1", queue="q")],
        [
            event("queue_joined", FIRST_MIDNIGHT + timedelta(minutes=30), call_id="c-2", queue="q"),
            event("queue_joined", SECOND_MIDNIGHT + timedelta(hours=2), call_id="c-3", queue="q"),
        ],
        AZORES,
    ),
]
TOLD_LATE = {late.name: 51 + number for number, late in enumerate(LATE)}
AT_ONCE = {name: customer + 20 for name, customer in TOLD_LATE.items()}


def change_of_clock(zone: str) -> date:
    """The local day that is longer or shorter than others, or any; at least two months ago."""
    days = [YESTERDAY - timedelta(days=back) for back in range(60, 420)]

    def offset(day: date) -> timedelta | None:
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).utcoffset()

    return next((day for day in days if offset(day) != offset(day + timedelta(days=1))), days[0])


def invent(zone: str, seed: int) -> list[Row]:
    """A week of agents around a change of the clock, some of it never told."""
    rng = random.Random(seed)
    begin = datetime.combine(change_of_clock(zone) - timedelta(days=3), datetime.min.time(), ZoneInfo(zone))
    rows = []

    def moments(longest_hours: float) -> list[datetime]:
        found = [begin.astimezone(ZoneInfo("UTC"))]
        while found[-1] < begin.astimezone(ZoneInfo("UTC")) + timedelta(days=7):
            found.append(found[-1] + timedelta(microseconds=rng.randrange(1, int(longest_hours * 3.6e9))))
        return found

    for agent in AGENTS:
        for moment in moments(rng.choice((1, 8, 40))):
            word = rng.choice(("available", "in_call", "wrap_up", "break", "away"))
            rows.append(event("agent_status", moment, agent=agent, reason=word, line=rng.choice(DEVICES)))
        for number, moment in enumerate(moments(rng.choice((1, 8)))):
            if rng.random() < 0.9:
                rows.append(event(("wrapup_started", "wrapup_ended")[number % 2], moment, agent=agent))
        for kind, places, names in (
            ("line", DEVICES, ("agent_logged_in", "agent_logged_out")),
            ("queue", QUEUES, ("agent_joined_queue", "agent_left_queue")),
        ):
            for place in places:
                for number, moment in enumerate(moments(rng.choice((10, 60)))):
                    if rng.random() < 0.9:
                        rows.append(event(names[number % 2], moment, agent=agent, **{kind: place}))
    return rows


@dataclass(frozen=True)
class Phase:
    """What held from a moment until another."""

    agent: str
    what: str
    began: datetime
    ended: datetime
    entered: bool = True


EVENTS = {
    "agent_status": ("agent_status",),
    "line": ("agent_logged_in", "agent_logged_out"),
    "queue": ("agent_joined_queue", "agent_left_queue"),
}


def true_phases(rows: list[Row], kind: str) -> list[Phase]:
    """The statuses, or the times at each device or queue, by walking through what was told."""
    known_until = max(datetime.fromisoformat(row["occurred_at"]) for row in rows)
    timelines: dict[tuple[str, str], list[tuple[datetime, Row]]] = {}
    for row in rows:
        if row["event"] in EVENTS[kind]:
            where = row["agent"], row.get(kind, "")
            timelines.setdefault(where, []).append((datetime.fromisoformat(row["occurred_at"]), row))
    phases: list[Phase] = []
    for (agent, place), timeline in timelines.items():
        timeline.sort(key=lambda told: told[0])
        ends = [moment for moment, _ in timeline[1:]] + [known_until]
        last: Phase | None = None
        for (moment, row), end in zip(timeline, ends, strict=True):
            ended = min(end, moment + REACH)
            if kind == "agent_status":
                if last and last.what == row["reason"]:
                    phases.remove(last)
                    last = Phase(agent, last.what, last.began, ended)
                else:
                    last = Phase(agent, row["reason"], moment, ended)
                phases.append(last)
            elif row["event"] in ("agent_logged_in", "agent_joined_queue"):
                phases.append(Phase(agent, place, moment, ended))
    return phases


def half_up(seconds: timedelta) -> int:
    return (seconds // timedelta(microseconds=1) + 500_000) // 1_000_000


QUARTER = timedelta(minutes=15)


def parts(phase: Phase) -> list[tuple[datetime, int]]:
    """The quarter-hours that a phase touches, and its whole seconds in each."""
    start = datetime.fromtimestamp(phase.began.timestamp() // 900 * 900, phase.began.tzinfo)
    found = []
    while start < phase.ended:
        until = half_up(min(start + QUARTER, phase.ended) - phase.began)
        found.append((start, until - half_up(max(start, phase.began) - phase.began)))
        start += QUARTER
    return found


def by_the_clock(phase: Phase) -> list[tuple[datetime, int]]:
    """As `parts`, with both ends rounded by the clock."""
    return [
        (start, half_up(min(start + QUARTER, phase.ended) - start) - half_up(max(start, phase.began) - start))
        for start, _ in parts(phase)
    ]


def true_statuses(rows: list[Row]) -> Counter[Any]:
    seconds: Counter[Any] = Counter()
    for phase in true_phases(rows, "agent_status"):
        for start, part in parts(phase):
            seconds[start, phase.agent, phase.what, "seconds"] += part
            seconds[start, phase.agent, phase.what, "entered"] += start <= phase.began
    return +seconds


def true_wrapups(rows: list[Row]) -> Counter[Any]:
    """Seconds of each agent by quarter-hour, of the wrap-ups of which both ends were told."""
    seconds: Counter[Any] = Counter()
    told = [row for row in rows if row["event"].startswith("wrapup")]
    for before, row in pairwise(sorted(told, key=lambda row: (row["agent"], row["occurred_at"]))):
        if (before["event"], row["event"]) == ("wrapup_started", "wrapup_ended") and (
            before["agent"] == row["agent"]
        ):
            began, ended = (datetime.fromisoformat(end["occurred_at"]) for end in (before, row))
            for start, part in parts(Phase(row["agent"], "", began, ended)):
                seconds[start, row["agent"]] += part
    return +seconds


def true_sessions(rows: list[Row], zone: str) -> Counter[Any]:
    """Seconds of each agent at devices, by local day."""
    seconds: Counter[Any] = Counter()
    for phase in true_phases(rows, "line"):
        for start, part in parts(phase):
            seconds[start.astimezone(ZoneInfo(zone)).date(), phase.agent] += part
    return +seconds


def true_attendance(rows: list[Row], zone: str) -> dict[tuple[str, date], tuple[int, int]]:
    """Seconds at any device, and those of them in no status that keeps contacts away, by agent and local day."""
    logins, statuses = true_phases(rows, "line"), true_phases(rows, "agent_status")
    seconds: dict[tuple[str, date], tuple[timedelta, timedelta]] = {}
    for agent in AGENTS:
        edges = sorted(
            (moment, kind, change)
            for phase in logins + statuses
            if phase.agent == agent and phase.what not in ("available", "in_call", "wrap_up")
            for kind in ["login" if phase in logins else "not ready"]
            for moment, change in ((phase.began, 1), (phase.ended, -1))
        )
        inside: Counter[str] = Counter()
        for (begin, kind, change), (until, _, _) in pairwise(edges):
            inside[kind] += change
            moment = begin
            while inside["login"] and moment < until:
                local = moment.astimezone(ZoneInfo(zone)).date()
                tomorrow = datetime.combine(local + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
                stop = min(until, tomorrow.astimezone(until.tzinfo))
                logged_in, ready = seconds.get((agent, local), (timedelta(), timedelta()))
                seconds[agent, local] = (
                    logged_in + (stop - moment),
                    ready + (stop - moment) * (not inside["not ready"]),
                )
                moment = stop
    return {key: (half_up(logged_in), half_up(ready)) for key, (logged_in, ready) in seconds.items()}


def true_staffing(rows: list[Row]) -> Counter[Any]:
    """Seconds of each queue, by quarter-hour: agents in at least one device and in the queue."""
    seconds: Counter[Any] = Counter()
    logins, memberships = true_phases(rows, "line"), true_phases(rows, "queue")
    for agent in AGENTS:
        for queue in QUEUES:
            edges = [
                (moment, kind, change)
                for kind, phases in (("login", logins), ("member", memberships))
                for phase in phases
                if phase.agent == agent and phase.what in (*DEVICES, queue)
                for moment, change in ((phase.began, 1), (phase.ended, -1))
            ]
            inside: Counter[str] = Counter()
            since: datetime | None = None
            for moment, kind, change in sorted(edges, key=lambda edge: (edge[0], -edge[2])):
                inside[kind] += change
                both = inside["login"] > 0 and inside["member"] > 0
                if both and since is None:
                    since = moment
                elif not both and since is not None:
                    for start, part in by_the_clock(Phase(agent, queue, since, moment)):
                        seconds[start, queue] += part
                    since = None
    return +seconds


def found_statuses(callmart: Callmart, customer: int) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for row in callmart.rows(
        "select s.*, a.agent from store.agent_status_interval as s join registry.agent as a"
        " using (customer_id, agent_key) where customer_id = %s",
        customer,
    ):
        found[row["interval_start"], row["agent"], row["status"], "seconds"] += row["seconds"]
        found[row["interval_start"], row["agent"], row["status"], "entered"] += row["times_entered"]
    return +found


def found_sessions(callmart: Callmart, customer: int) -> list[tuple[Any, ...]]:
    return [
        tuple(row.values())
        for row in callmart.rows(
            "select a.agent, s.call_date, s.session_no, s.logged_in_at, s.logged_out_at, s.seconds, s.logins,"
            " s.is_first, s.is_last from store.agent_session as s join registry.agent as a"
            " using (customer_id, agent_key) where customer_id = %s order by 1, 2, 3",
            customer,
        )
    ]


def found_days(callmart: Callmart, customer: int) -> list[dict[str, Any]]:
    return callmart.rows(
        "select a.agent, d.* from store.agent_day as d join registry.agent as a using (customer_id, agent_key)"
        " where customer_id = %s order by 1, call_date",
        customer,
    )


@pytest.fixture(scope="module")
def walked(callmart: Callmart) -> dict[int, list[Row]]:
    """For each zone a customer; and customers to whom something is told late, or at once."""
    whole = {customer: invent(zone, seed=customer) for customer, zone in ZONES.items()}
    callmart.apply(
        registry(
            *(
                f"id: {customer}, time_zone: {zone}, {DETAILED}"
                for whose in (ZONES, IN_PARTS)
                for customer, zone in whose.items()
            ),
            *(f"id: {customer}, {DETAILED}" for customer in (*LOGS_IN_LATE, NEVER_LOGS_IN)),
            *(
                f"id: {of[late.name]}, time_zone: {late.zone}, {DETAILED}"
                for late in LATE
                for of in (TOLD_LATE, AT_ONCE)
            ),
        )
    )
    callmart.land_text(log(*MEMBERSHIP), NEVER_LOGS_IN)
    callmart.land_text(ndjson(*FIRST_TOLD), LOGS_IN_LATE[0])
    callmart.land_text(together({TOLD_LATE[late.name]: late.first for late in LATE}))
    callmart.land_text(together({AT_ONCE[late.name]: [*late.first, *late.then] for late in LATE}))
    callmart.build_unchecked()
    callmart.land_text(together(whole))
    callmart.land_text(ndjson(*TOLD_LATER), LOGS_IN_LATE[0])
    callmart.land_text(ndjson(*FIRST_TOLD, *TOLD_LATER), LOGS_IN_LATE[1])
    callmart.land_text(together({TOLD_LATE[late.name]: late.then for late in LATE}))
    assert callmart.build_and_open().problems == []
    return whole


@pytest.mark.parametrize("customer", ZONES)
def test_statuses_are_as_they_were(callmart: Callmart, walked: dict[int, list[Row]], customer: int) -> None:
    assert found_statuses(callmart, customer) == true_statuses(walked[customer])


@pytest.mark.parametrize("customer", ZONES)
def test_wrap_up_is_as_it_was(callmart: Callmart, walked: dict[int, list[Row]], customer: int) -> None:
    found = callmart.rows(
        "select i.*, a.agent from store.agent_interval as i join registry.agent as a using (customer_id, agent_key)"
        " where customer_id = %s",
        customer,
    )
    seconds = {(row["interval_start"], row["agent"]): row["wrapup_s"] for row in found}
    assert +Counter(seconds) == true_wrapups(walked[customer])


@pytest.mark.parametrize("customer", ZONES)
def test_sessions_are_as_they_were(callmart: Callmart, walked: dict[int, list[Row]], customer: int) -> None:
    found: Counter[Any] = Counter()
    for agent, day, *_, seconds, _, _, _ in found_sessions(callmart, customer):
        found[day, agent] += seconds or 0
    assert +found == true_sessions(walked[customer], ZONES[customer])


@pytest.mark.parametrize("customer", ZONES)
def test_attendance_is_as_it_was(callmart: Callmart, walked: dict[int, list[Row]], customer: int) -> None:
    found = found_days(callmart, customer)
    days = {(row["agent"], row["call_date"]): (row["logged_in_s"], row["ready_s"]) for row in found}
    truth = true_attendance(walked[customer], ZONES[customer])
    of_unknown_length = {day for day in truth if days[day] == (None, None)}
    assert len(of_unknown_length) < len(truth) / 4, "days with a logout whose login was never told"
    assert {day: seconds for day, seconds in days.items() if seconds[0]} == {
        day: seconds for day, seconds in truth.items() if day not in of_unknown_length
    }
    by_status: Counter[Any] = Counter()
    for (start, agent, word, kind), value in true_statuses(walked[customer]).items():
        day = start.astimezone(ZoneInfo(ZONES[customer])).date()
        if kind == "seconds" and (agent, day) in days:
            by_status[agent, day, word] += value
    assert by_status == +Counter(
        {
            (row["agent"], row["call_date"], word): row[f"status_{word}_s"] or 0
            for row in found
            for word in ("available", "in_call", "wrap_up", "break", "away", "training", "other")
        }
    )


# before all days are built anew


@pytest.mark.parametrize("name", TOLD_LATE)
def test_what_is_told_late_is_as_if_it_had_been_told_at_once(
    callmart: Callmart, walked: dict[int, list[Row]], name: str
) -> None:
    assert callmart.told(TOLD_LATE[name]) == callmart.told(AT_ONCE[name])


def test_a_late_login_tells_of_later_days_who_was_not_there(
    callmart: Callmart, walked: dict[int, list[Row]]
) -> None:
    late, at_once = LOGS_IN_LATE
    found = callmart.rows("select staffed_s from store.queue_interval where customer_id = %s", at_once)
    assert found == [{"staffed_s": 0}], "a member who was not logged in"
    assert callmart.told(late) == callmart.told(at_once)


def test_any_order_of_files_and_builds_gives_the_same(
    callmart: Callmart, walked: dict[int, list[Row]]
) -> None:
    def told(*customers: int) -> list[Any]:
        return [callmart.told(customer) for customer in customers]

    rng = random.Random(7)
    shuffled = {customer: rng.sample(rows, len(rows)) for customer, rows in walked.items()}
    for part in range(4):
        callmart.land_text(
            together({customer + 10: rows[part::4] + rows[:5] for customer, rows in shuffled.items()})
        )
        if part == 1:
            callmart.build_unchecked()
    assert callmart.build_and_open().problems == []
    in_order, at_once = told(*ZONES), told(*AT_ONCE.values())
    assert all(found["agent_day"] for found in in_order)
    assert told(*IN_PARTS) == in_order
    callmart.build_in_windows(random.Random(8))
    assert told(*ZONES) == in_order
    assert told(*IN_PARTS) == in_order
    assert told(*AT_ONCE.values()) == at_once


def test_staffing_is_as_it_was(callmart: Callmart, walked: dict[int, list[Row]]) -> None:
    with callmart.connect() as connection:
        leave_opened_dirty(connection)
        window.build(connection, callmart.settings, quietly)
    for customer, rows in walked.items():
        found = callmart.rows("select * from build.int_staffed where customer_id = %s", customer)
        staffed = {(row["interval_start"], row["queue"]): row["staffed_s"] for row in found}
        assert +Counter(staffed) == true_staffing(rows)
    # Where no login is told, as in most logs, a member is there.
    members = callmart.rows(
        "select sum(staffed_s) as seconds from build.int_staffed where customer_id = %s",
        NEVER_LOGS_IN,
    )
    assert members == [{"seconds": 3600}]
    callmart.build_unchecked()
