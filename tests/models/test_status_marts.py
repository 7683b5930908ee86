"""Statuses, logins, wrap-ups and attendance of agents, case by case, in quarter-hours and days."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pytest

from agent_events import login, logout, status, told_until, wrapup
from callmart_home import Callmart
from events import DAY, DETAILED, STANDARD, Row, at, event, registry

# (day after DAY, quarter-hour, status): (seconds, times entered)
Statuses = dict[tuple[int, str, str], tuple[int, int]]
# (day after DAY, login, logout): (seconds, logins, first or last)
Sessions = list[tuple[int, str | None, str | None, int | None, int]]


@dataclass(frozen=True)
class Odd:
    """What one agent told, and what the marts say of it."""

    name: str
    told: Sequence[Row] | Sequence[tuple[datetime, str]]
    statuses: Statuses = field(default_factory=dict)
    sessions: Sessions = field(default_factory=list)
    option: str = DETAILED


def all_day(day: int, word: str, quarters: range = range(96)) -> Statuses:
    """A status that only goes on."""
    return {(day, f"{q // 4:02}:{q % 4 * 15:02}", word): (900, 0) for q in quarters}


TURN = DAY + timedelta(days=1)  # from which a customer orders a detailed contract

# Wrap-ups of no call, and the seconds of each quarter-hour.
WRAPUPS: dict[str, tuple[Sequence[Row] | Sequence[tuple[datetime, str]], dict[tuple[int, str], int]]] = {
    # As XiVO writes them, and its own sums by hour: 45 and 35 s.
    "wrap-up by a log": (
        [
            (at(clock), f"NONE|NONE|a|WRAPUPSTART|{seconds}")
            for clock, seconds in (
                ("05:59:50", 30), ("06:00:10", 15), ("06:59:50", 15), ("07:00:10", 30), ("08:00:10", ""),
            )
        ],
        {(0, "05:45"): 10, (0, "06:00"): 35, (0, "06:45"): 10, (0, "07:00"): 35},
    ),
    "wrap-up in any order, over midnight, measured, not ended": (
        [
            wrapup("ended", "00:00:20.5", 1),
            wrapup("started", "23:59:50"),
            wrapup("ended", "09:02", 1, duration_s=90),
            wrapup("started", "09:00", 1),
            wrapup("ended", "10:00", 1, duration_s=5),
            wrapup("ended", "11:00", 1),
            wrapup("started", "12:00", 1),
        ],
        {(0, "23:45"): 10, (1, "00:00"): 21, (1, "09:00"): 90, (1, "09:45"): 5},
    ),
}  # fmt: skip

ODD = [
    Odd(
        "clipped at the quarter-hour",  # 3:58 to 4:03 gives 2 and 3 minutes
        [status("03:58", "break"), status("04:03", "available"), told_until("04:05")],
        {
            (0, "03:45", "break"): (120, 1),
            (0, "04:00", "break"): (180, 0),
            (0, "04:00", "available"): (120, 1),
        },
    ),
    Odd(
        "clipped at midnight",
        [status("23:50", "break"), status("00:10", "away", 1), status("00:15", "available", 1)],
        {
            (0, "23:45", "break"): (600, 1),
            (1, "00:00", "break"): (600, 0),
            (1, "00:00", "away"): (300, 1),
            (1, "00:15", "available"): (0, 1),
        },
    ),
    Odd(
        "begins and ends on the border",
        [status("10:00", "training"), status("10:15", "break"), status("10:30", "available")],
        {
            (0, "10:00", "training"): (900, 1),
            (0, "10:15", "break"): (900, 1),
            (0, "10:30", "available"): (0, 1),
        },
    ),
    Odd(
        "rounded once, half up, then cut",  # 10.5 s: 11 s, of which 0.5 s, 1 s, before the border
        [status("09:59:59.5", "break"), status("10:00:10", "available"), told_until("10:00:10.4")],
        {
            (0, "09:45", "break"): (1, 1),
            (0, "10:00", "break"): (10, 0),
            (0, "10:00", "available"): (0, 1),
        },
    ),
    Odd(
        "less than half a second after the border is no row",
        [status("09:59:50", "break"), status("10:00:00.4", "available")],
        {(0, "09:45", "break"): (10, 1), (0, "10:00", "available"): (0, 1)},
    ),
    Odd(
        "open at the end of the data",
        [status("10:00", "available"), told_until("10:20")],
        {(0, "10:00", "available"): (900, 1), (0, "10:15", "available"): (300, 0)},
    ),
    Odd(
        "open at the day's end, the data goes on",
        [status("23:50", "break"), told_until("00:20", 1)],
        {
            (0, "23:45", "break"): (600, 1),
            (1, "00:00", "break"): (900, 0),
            (1, "00:15", "break"): (300, 0),
        },
    ),
    Odd(
        "over a day in which nothing happened",
        [status("23:45", "break"), status("00:15", "available", 2), told_until("00:20", 2)],
        {
            (0, "23:45", "break"): (900, 1),
            **all_day(1, "break"),
            (2, "00:00", "break"): (900, 0),
            (2, "00:15", "available"): (300, 1),
        },
    ),
    Odd(
        "the same again",
        [
            status("10:00", "break"),
            status("10:01", "break"),
            status("10:02", "available"),
            status("10:04", "break"),
            status("10:05", "available"),
        ],
        {(0, "10:00", "break"): (180, 2), (0, "10:00", "available"): (120, 2)},
    ),
    Odd(
        "paused in all queues, and once more in one",
        [
            (at("10:00"), "NONE|NONE|a|PAUSEALL|lunch"),
            (at("10:00"), "NONE|q|a|PAUSE|lunch"),
            (at("10:00"), "NONE|r|a|PAUSE|lunch"),
            (at("10:05"), "MANAGER|q|a|PAUSE|lunch"),
            (at("10:20"), "NONE|NONE|a|UNPAUSEALL|"),
            (at("10:20"), "NONE|q|a|UNPAUSE|"),
            (at("10:20"), "NONE|r|a|UNPAUSE|"),
            (at("10:25"), "NONE|q|a|UNPAUSE|"),
            (at("10:26"), "c-1|q|NONE|ENTERQUEUE||0612345678|1"),
        ],
        {
            (0, "10:00", "break"): (900, 1),
            (0, "10:15", "break"): (300, 0),
            (0, "10:15", "available"): (360, 1),
        },
    ),
    Odd(
        "another reason in the same second, by the order of the log",
        [
            (at("10:00"), "NONE|q|a|PAUSE|lunch"),
            (at("10:00"), "NONE|q|a|UNPAUSE|"),
            (at("10:00"), "NONE|q|a|PAUSE|whatever"),
            (at("10:01"), "NONE|q|a|UNPAUSE|"),
        ],
        {(0, "10:00", "break"): (0, 1), (0, "10:00", "available"): (0, 2), (0, "10:00", "other"): (60, 1)},
    ),
    Odd(
        "in the same second, in no order",
        [
            status("10:11", "available"),
            status("10:10", "available"),
            status("10:00", "in_call"),
            status("10:10", "wrap_up"),
            status("10:11", "in_call"),
            status("10:12", "wrap_up"),
            status("10:12", "break"),
            status("10:13", "available"),
        ],
        {
            (0, "10:00", "in_call"): (660, 2),  # at 10:00 and 10:11
            (0, "10:00", "wrap_up"): (0, 2),
            (0, "10:00", "available"): (60, 2),
            (0, "10:00", "break"): (60, 1),
        },
    ),
    Odd(
        "the source's own measure, up to the next one",
        [
            status("10:00", "break"),
            status("10:10", "available", duration_s=590.5),
            status("10:12", "away", duration_s=3000),
            status("10:14", "available"),
        ],
        {
            (0, "10:00", "break"): (591, 1),
            (0, "10:00", "available"): (120, 2),
            (0, "10:00", "away"): (120, 1),
        },
    ),
    Odd(
        "logged in and out",
        [login("09:00"), logout("12:00"), login("13:00"), logout("17:00:00.5")],
        sessions=[(0, "09:00", "12:00", 10800, 1), (0, "13:00", "17:00", 14401, 1)],
    ),
    Odd(
        "logged in over three days",
        [login("22:00"), logout("06:00", 2)],
        sessions=[
            (0, "22:00", "+2 06:00", 7200, 1),
            (1, None, "+1 06:00", 86400, 0),
            (2, None, "06:00", 21600, 0),
        ],
    ),
    Odd(
        "logged out at midnight",
        [login("22:00"), logout("00:00", 1)],
        sessions=[(0, "22:00", "+1 00:00", 7200, 1)],
    ),
    Odd(
        "a login without a logout",
        [login("22:00"), told_until("01:00", 1)],
        sessions=[(0, "22:00", None, 7200, 1), (1, None, None, 3600, 0)],
    ),
    Odd(
        "a login ends the one before",
        [login("09:00"), login("10:00"), logout("11:00"), logout("11:30")],
        sessions=[(0, "09:00", None, 3600, 1), (0, "10:00", "11:00", 3600, 1)],
    ),
    Odd(
        "a logout without a login",
        [logout("11:00")],
        sessions=[(0, None, "11:00", None, 0)],
    ),
    Odd(
        "a logout without a login, measured",
        [logout("01:00", 1, duration_s=7200)],
        sessions=[(0, None, "+1 01:00", 3600, 0), (1, None, "01:00", 3600, 0)],
    ),
    Odd(
        "the source's own measure of a login",
        [
            (at("09:00"), "NONE|NONE|1001|AGENTLOGIN|SIP/a-1"),
            (at("17:00"), "NONE|NONE|1001|AGENTLOGOFF|SIP/a-2|28801"),
        ],
        sessions=[(0, "09:00", "17:00", 28801, 1)],
    ),
    Odd(
        "logged out twice: what the second one measures is a login of its own",
        [login("09:00"), logout("10:00", duration_s=3540), logout("10:30", duration_s=5)],
        sessions=[(0, "09:00", "10:00", 3540, 1), (0, None, "10:30", 5, 0)],
    ),
    Odd(
        "logged out twice: what the second one measures is the login that had ended",
        [login("09:00"), logout("10:00", duration_s=3540), logout("10:30", duration_s=5400)],
        sessions=[(0, "09:00", "10:00", 3540, 1)],
    ),
    Odd(
        "measured as shorter than the time since its day: a logout and a login between them are lost",
        [
            login("09:00"),
            login("11:00", line="d-2"),
            logout("12:00", line="d-2"),
            logout("17:00", 2, duration_s=28800),
        ],
        sessions=[
            (0, "09:00", "+2 17:00", 0, 1),
            (0, "11:00", "12:00", 3600, 1),
            (2, None, "17:00", 28800, 0),
        ],
    ),
    Odd(
        "measured as shorter than the time since, within its day",
        [
            login("09:00"),
            login("10:00", line="d-2"),
            logout("11:00", line="d-2"),
            logout("17:00", duration_s=3600),
        ],
        sessions=[(0, "09:00", "17:00", 3600, 1), (0, "10:00", "11:00", 3600, 1)],
    ),
    Odd(
        "in as an agent who waits, out as one who is called back",
        [
            (at("09:00"), "c-1|NONE|Agent/1|AGENTCALLBACKLOGIN|1001@default"),
            (at("09:30"), "NONE|NONE|Agent/1|AGENTCALLBACKLOGOFF|1001@default|1800|CommandLogoff"),
            (at("09:40"), "c-2|NONE|Agent/1|AGENTLOGIN|SIP/abc-1234"),
            (at("09:45"), "c-2|NONE|Agent/1|AGENTCALLBACKLOGOFF|SIP/abc-1234|300|CommandLogoff"),
        ],
        sessions=[(0, "09:00", "09:30", 1800, 1), (0, "09:40", "09:45", 300, 1)],
    ),
    Odd(
        "two devices at once",
        [login("09:00"), login("10:00", line="d-2"), logout("11:00"), logout("12:00", line="d-2")],
        sessions=[(0, "09:00", "11:00", 7200, 1), (0, "10:00", "12:00", 7200, 1)],
    ),
    Odd(
        "out and in again in one second",
        [login("09:00"), login("10:00"), logout("10:00"), logout("11:00")],
        sessions=[(0, "09:00", "10:00", 3600, 1), (0, "10:00", "11:00", 3600, 1)],
    ),
    Odd(
        "in and out in one second",
        [logout("10:00"), login("10:00"), told_until("12:00")],
        sessions=[(0, "10:00", "10:00", 0, 1)],
    ),
    Odd(
        "a member who never logs in",
        [(at("09:00"), "CLI|q|a|ADDMEMBER|"), (at("10:00"), "CLI|q|a|REMOVEMEMBER|")],
    ),
    Odd(
        "a day of work",
        [
            login("09:00"),
            status("09:00", "available"),
            event("ring_started", at("09:05"), call_id="c-1", agent="a"),
            event("ring_ended", at("09:05:10"), call_id="c-1", agent="a", reason="answered"),
            event("agent_connected", at("09:05:10"), call_id="c-1", agent="a"),
            event("agent_released", at("09:15:10"), call_id="c-1", agent="a", reason="caller"),
            event("wrapup_started", at("09:15:10"), call_id="c-1", agent="a"),
            event("wrapup_ended", at("09:17:10"), call_id="c-1", agent="a"),
            status("10:00", "break"),
            status("10:15", "available"),
            status("11:00", "away"),
            logout("11:00"),
            told_until("12:00"),
        ],
        {
            (0, "09:00", "available"): (900, 1),
            **all_day(0, "available", range(37, 40)),
            (0, "10:00", "break"): (900, 1),
            (0, "10:15", "available"): (900, 1),
            **all_day(0, "available", range(42, 44)),
            (0, "11:00", "away"): (900, 1),
            **all_day(0, "away", range(45, 48)),
        },
        [(0, "09:00", "11:00", 7200, 1)],
    ),
    Odd(
        "nothing of an agent under standard",
        [
            status("10:00", "break"),
            login("09:00"),
            logout("17:00"),
            told_until("17:00"),
            event("wrapup_ended", at("10:00"), agent="a", duration_s=10),
        ],
        option=STANDARD,
    ),
    Odd(
        "goes on from a day under standard into one under detailed",
        [status("23:50", "break"), status("00:10", "available", 1), told_until("00:15", 1)],
        {(1, "00:00", "break"): (600, 0), (1, "00:00", "available"): (300, 1)},
        option=f"contracts: [{{option: standard, from: 2020-01-01, until: {TURN}}}, "
        f"{{option: detailed, from: {TURN}}}]",
    ),
    *(Odd(name, told) for name, (told, _) in WRAPUPS.items()),
]
CUSTOMER = {odd.name: 401 + number for number, odd in enumerate(ODD)}


@pytest.fixture(scope="module")
def told(callmart: Callmart) -> Callmart:
    """All that is odd, a customer each."""
    callmart.apply(
        registry(*(f"id: {CUSTOMER[odd.name]}, statuses: {{lunch: break}}, {odd.option}" for odd in ODD))
    )
    callmart.land_together({CUSTOMER[odd.name]: odd.told for odd in ODD})
    assert callmart.build_and_open().problems == []
    return callmart


def statuses(callmart: Callmart, customer: int) -> Statuses:
    found = callmart.rows("select * from store.agent_status_interval where customer_id = %s", customer)
    cells = {}
    for row in found:
        assert row["interval_local"].date() == row["call_date"]
        key = ((row["call_date"] - DAY).days, f"{row['interval_local']:%H:%M}", row["status"])
        cells[key] = (row["seconds"], row["times_entered"])
    assert len(cells) == len(found)
    return cells


def sessions(callmart: Callmart, customer: int) -> Sessions:
    found = callmart.rows(
        "select * from store.agent_session where customer_id = %s order by call_date, session_no", customer
    )

    def clock(moment: datetime | None, day: date) -> str | None:
        if moment is None:
            return None
        days = (moment.date() - day).days
        return f"{days:+} {moment:%H:%M}" if days else f"{moment:%H:%M}"

    return [
        (
            (row["call_date"] - DAY).days,
            clock(row["logged_in_local"], row["call_date"]),
            clock(row["logged_out_local"], row["call_date"]),
            row["seconds"],
            row["logins"],
        )
        for row in found
    ]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_what_an_agent_told(told: Callmart, odd: Odd) -> None:
    assert statuses(told, CUSTOMER[odd.name]) == odd.statuses
    assert sessions(told, CUSTOMER[odd.name]) == odd.sessions


def test_the_first_and_the_last_of_each_day(told: Callmart) -> None:
    for odd in ODD:
        per_day: dict[date, list[tuple[bool, bool]]] = {}
        for row in told.rows(
            "select * from store.agent_session where customer_id = %s order by session_no", CUSTOMER[odd.name]
        ):
            per_day.setdefault(row["call_date"], []).append((row["is_first"], row["is_last"]))
        for flags in per_day.values():
            assert [first for first, _ in flags] == [True] + [False] * (len(flags) - 1)
            assert sum(last for _, last in flags) == 1
    overlapping = "select is_last from store.agent_session where customer_id = %s order by session_no"
    assert told.rows(overlapping, CUSTOMER["two devices at once"]) == [{"is_last": False}, {"is_last": True}]


@pytest.mark.parametrize("name", WRAPUPS)
def test_wrap_up_of_no_call(told: Callmart, name: str) -> None:
    found = told.rows("select * from store.agent_interval where customer_id = %s", CUSTOMER[name])
    assert {
        ((row["call_date"] - DAY).days, f"{row['interval_local']:%H:%M}"): row["wrapup_s"] for row in found
    } == WRAPUPS[name][1]
    assert {(row["contacts"], row["hold_s"]) for row in found} == {(0, None)}
    days = told.rows("select sum(wrapup_s) as s from store.agent_day where customer_id = %s", CUSTOMER[name])
    assert days == [{"s": sum(WRAPUPS[name][1].values())}]


# (day after DAY, logins, first login, last logout, seconds logged in, of which ready)
Days = list[tuple[int, int | None, str | None, str | None, int | None, int | None]]

ATTENDED: dict[str, Days] = {
    "a day of work": [(0, 1, "09:00", "11:00", 7200, 6300)],
    "logged in over three days": [
        (0, 1, "22:00", None, 7200, None),
        (1, 0, None, None, 86400, None),
        (2, 0, None, "06:00", 21600, None),
    ],
    "two devices at once": [(0, 2, "09:00", "12:00", 10800, None)],
    "a logout without a login": [(0, 0, None, "11:00", None, None)],
    "in and out in one second": [(0, 1, "10:00", "10:00", 0, None)],
    "measured as shorter than the time since its day: a logout and a login between them are lost": [
        (0, 2, "09:00", "12:00", 3600, None),
        (2, 0, None, "17:00", 28800, None),
    ],
    "measured as shorter than the time since, within its day": [(0, 2, "09:00", "17:00", 7200, None)],
    "clipped at midnight": [(0, None, None, None, None, None), (1, None, None, None, None, None)],
    "a member who never logs in": [],
    "nothing of an agent under standard": [],
}


@pytest.mark.parametrize("name", ATTENDED)
def test_the_day_of_an_agent(told: Callmart, name: str) -> None:
    found = told.rows(
        "select call_date, logins, first_login_local, last_logout_local, logged_in_s, ready_s"
        " from store.agent_day where customer_id = %s order by call_date",
        CUSTOMER[name],
    )
    assert [
        (
            (row["call_date"] - DAY).days,
            row["logins"],
            *(row[at] and f"{row[at]:%H:%M}" for at in ("first_login_local", "last_logout_local")),
            row["logged_in_s"],
            row["ready_s"],
        )
        for row in found
    ] == ATTENDED[name]


def test_occupancy_is_handling_by_the_time_ready(told: Callmart) -> None:
    shown = "select occupancy from mart.agent_ratios"
    assert told.rows(shown, customer_id=CUSTOMER["a day of work"]) == [
        {"occupancy": pytest.approx((600 + 120) / (6300 - 10))}
    ]
    clipped = told.rows(shown, customer_id=CUSTOMER["clipped at midnight"])
    assert clipped == [{"occupancy": None}] * 2, "no login is told"
