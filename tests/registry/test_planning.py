"""The plan of a registry lists each change, and marks exactly those that delete."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callmart.registry.file import load
from callmart.registry.planning import Change, plan
from callmart.registry.states import NOBODY, State, desired_states
from registries import ONE, write

MONDAY = date(2026, 6, 15)
NOON = datetime.combine(MONDAY, time(12), UTC)


def desired(folder: Path, text: str) -> dict[int, State]:
    return desired_states(load(write(folder, text)), NOON)


def contract(*spans: tuple[str, str, str | None]) -> str:
    rows = [f"{{option: {o}, from: {f}{f', until: {u}' if u else ''}}}" for o, f, u in spans]
    return f"{ONE}    contracts: [{', '.join(rows)}]\n"


OPEN = contract(("detailed", "2025-01-01", None))
LISTED = OPEN + "    contact_list: true\n    contact_list_days: 90\n"
CLOSINGS = {
    "gone from the file": (OPEN, "customers: []\n", "is gone from the file"),
    "no contract any more": (OPEN, ONE, "becomes none on 2025-01-01: everything is deleted"),
    "a gap in the past": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-02-01"), ("detailed", "2026-03-01", None)),
        "detailed becomes none on 2026-02-01: everything of the days before 2026-03-01 is deleted",
    ),
    "a gap to come": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-07-01"), ("detailed", "2026-08-01", None)),
        "detailed becomes none on 2026-07-01: everything is deleted",
    ),
    "a later beginning": (
        OPEN,
        contract(("detailed", "2025-02-01", None)),
        "none on 2025-01-01: everything of the days before 2025-02-01 is deleted",
    ),
    "an end to come": (OPEN, contract(("detailed", "2025-01-01", "2027-01-01")), "none on 2027-01-01"),
    "none, written out": (
        OPEN,
        contract(("detailed", "2025-01-01", "2027-01-01"), ("none", "2027-01-01", None)),
        "none on 2027-01-01",
    ),
    "leaving detailed": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-07-01"), ("standard", "2026-07-01", None)),
        "detailed becomes standard on 2026-07-01: what only detailed opens is deleted",
    ),
    "leaving detailed for a while, in the past": (
        OPEN,
        contract(
            ("detailed", "2025-01-01", "2026-01-01"),
            ("standard", "2026-01-01", "2026-03-01"),
            ("detailed", "2026-03-01", None),
        ),
        "standard on 2026-01-01: what only detailed opens of the days before 2026-03-01 is deleted",
    ),
    "a new customer, with an end to come": (
        "customers: []\n",
        contract(("standard", "2025-01-01", "2026-07-01")),
        "none on 2026-07-01",
    ),
    "no list of contacts": (LISTED, OPEN, "the list of contacts is not ordered any more: it is deleted"),
    "a shorter list of contacts": (
        LISTED,
        LISTED.replace("days: 90", "days: 30"),
        "the list of contacts is kept for 30 days instead of 90: what is older is deleted",
    ),
    "agents become anonymous": (OPEN, OPEN + "    anonymous_agents: true\n", "their names are deleted"),
}


@pytest.mark.parametrize(("before", "after", "text"), CLOSINGS.values(), ids=CLOSINGS.keys())
def test_what_deletes_is_marked(tmp_path: Path, before: str, after: str, text: str) -> None:
    changes = plan(desired(tmp_path, before), desired(tmp_path, after), MONDAY)
    deletions = [change for change in changes if change.deletes]
    assert [change.customer_id for change in deletions] == [1]
    assert text in deletions[0].text


OPENINGS = {
    "a new customer": ("customers: []\n", OPEN),
    "a new customer without a contract": ("customers: []\n", ONE),
    "a new customer whose contract is over": (
        "customers: []\n",
        contract(("standard", "2025-01-01", "2026-01-01")),
    ),
    "a first contract": (ONE, OPEN),
    "an earlier beginning": (
        contract(("standard", "2025-02-01", None)),
        contract(("standard", "2025-01-01", None)),
    ),
    "standard becomes detailed": (
        contract(("standard", "2025-01-01", None)),
        contract(("standard", "2025-01-01", "2026-07-01"), ("detailed", "2026-07-01", None)),
    ),
    "a contract in two pieces": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-01-01"), ("detailed", "2026-01-01", None)),
    ),
    "agents get names": (OPEN, OPEN + "    anonymous_agents: false\n    agents: [{id: a, name: A}]\n"),
    "another zone": (OPEN, OPEN + "    time_zone: UTC\n"),
    "agents are no longer anonymous": (OPEN + "    anonymous_agents: true\n", OPEN),
}


@pytest.mark.parametrize(("before", "after"), OPENINGS.values(), ids=OPENINGS.keys())
def test_what_only_adds_deletes_nothing(tmp_path: Path, before: str, after: str) -> None:
    changes = plan(desired(tmp_path, before), desired(tmp_path, after), MONDAY)
    assert changes
    assert not any(change.deletes for change in changes)


def test_each_change_is_listed(tmp_path: Path) -> None:
    before = OPEN + (
        "    queues: [{name: q}, {name: r}]\n    agents: [{id: a, name: A}]\n    contacts: [{name: A, email: a@b}]\n"
    )
    after = OPEN.replace("One", "Uno") + (
        "    time_zone: UTC\n    locale: en\n    connection: live\n    queues: [{name: q, label: Q}]\n"
        "    lines: [{name: t, channels: 2}]\n    statuses: {lunch: break}\n"
        "    agents: [{id: a, name: B}, {id: c, name: C}]\n"
        "    recipients: [{email: a@b, reports: [traffic]}]\n"
    )
    changes = plan(desired(tmp_path, before), desired(tmp_path, after), MONDAY)
    assert changes == [
        Change(1, text)
        for text in (
            "name changes",
            "time_zone changes",
            "locale changes",
            "connection changes",
            "queue: 1 added, 2 removed",
            "line: 1 added, 0 removed",
            "status_word: 1 added, 0 removed",
            "contact: 0 added, 1 removed",
            "recipient: 1 added, 0 removed",
            "agent: 2 added, 1 removed",
        )
    ]


def test_the_defaults_of_the_file_change_who_says_nothing_else(tmp_path: Path) -> None:
    text = (
        OPEN
        + "    queues: [{name: q}]\n"
        + "  - {id: 2, name: Two, time_zone: UTC, contracts: [{option: standard, from: 2025-01-01}],"
        + " queues: [{name: q, service_level_s: 9}]}\n"
    )
    zone = plan(
        desired(tmp_path, text), desired(tmp_path, "defaults: {time_zone: Europe/London}\n" + text), MONDAY
    )
    level = plan(
        desired(tmp_path, text), desired(tmp_path, "defaults: {service_level_s: 30}\n" + text), MONDAY
    )
    assert zone == [Change(1, "time_zone changes")]
    assert level == [
        Change(1, "service_level_s changes"),
        Change(1, "queue: 1 added, 1 removed"),
        Change(2, "service_level_s changes"),
    ]


ORIGIN = MONDAY - timedelta(days=6)
RANK = {"none": 0, "standard": 1, "detailed": 2}


@st.composite
def timelines(draw: st.DrawFn) -> list[tuple[str, date, date | None]]:
    """Contracts around today, without overlap, in any order."""
    edges = sorted(draw(st.sets(st.integers(0, 12), max_size=6)))
    spans: list[tuple[str, date, date | None]] = []
    for edge, end in zip_longest(edges, edges[1:]):
        option = draw(st.sampled_from(["none", "standard", "detailed"]))
        until = None if end is None else ORIGIN + timedelta(days=end)
        if end is None and draw(st.booleans()):
            until = ORIGIN + timedelta(days=edge + 1)
        spans.append((option, ORIGIN + timedelta(days=edge), until))
    return draw(st.permutations(spans))


def state(spans: list[tuple[str, date, date | None]]) -> State:
    contracts = {span for span in spans if span[0] != "none"}
    return State(
        ("One", "UTC", "nl", False, "extract", False, 20, 5, None, None, False, None),
        NOBODY.tables | {"contract": contracts},
    )


def ranks(spans: list[tuple[str, date, date | None]]) -> list[int]:
    """What is ordered, day by day; the first day lies before all contracts, the last after all ends."""
    days = [ORIGIN + timedelta(days=day) for day in range(-1, 16)]
    return [
        max((RANK[o] for o, start, end in spans if start <= day and (end is None or day < end)), default=0)
        for day in days
    ]


@given(before=st.none() | timelines(), after=timelines())
def test_a_deletion_is_marked_exactly_where_a_day_loses(
    before: list[tuple[str, date, date | None]] | None, after: list[tuple[str, date, date | None]]
) -> None:
    old, new = ranks(before or []), ranks(after)
    today = (MONDAY - ORIGIN).days + 1
    loses = any(wanted < had for had, wanted in zip(old, new, strict=True))
    falls = any(
        new[day] < new[day - 1] and old[day] >= old[day - 1] and (before is not None or day > today)
        for day in range(1, len(new))
    )
    changes = plan({} if before is None else {1: state(before)}, {1: state(after)}, MONDAY)
    assert any(change.deletes for change in changes) == (loses or falls)


@given(before=timelines())
def test_the_same_timeline_changes_nothing(before: list[tuple[str, date, date | None]]) -> None:
    assert plan({1: state(before)}, {1: state(before)}, MONDAY) == []
