"""Two systems' lists of contacts are reconciled: which are missing on which side, and why."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callmart.declarations.metrics import Ratio, parse
from callmart.explain import comparing
from callmart.explain.comparing import Compared
from callmart.explain.contacts import Contact, Totals
from callmart.explain.explaining import Explained
from callmart.explain.other_list import Other
from callmart.explain.question import Measure, Question

DAY = date(2026, 11, 24)
WITHIN = timedelta(seconds=2)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def asked(column: str = "answered") -> Question:
    part = parse(column)
    measure = Measure(column, None, {"value": part}, Ratio(over=part, per=part))
    return Question(
        measure, 1, ZoneInfo("Europe/Amsterdam"), ("q",), {"q": "Vragen", "r": "Vragen"}, DAY, DAY
    )


def contact(seconds: float = 0, *, counted: bool = True, **values: Any) -> Contact:
    """A contact that was answered in q so many seconds after noon."""
    joined = NOON + timedelta(seconds=seconds)
    usual = Contact(
        1, joined, joined.astimezone(ZoneInfo("Europe/Amsterdam")).date(), "q", "answered", 10.0,
        None, None, None, 20, 5, True, [int(counted)],
    )  # fmt: skip
    return replace(usual, **values)


def listed(one: Contact, **values: Any) -> Other:
    """The same contact as another system has it."""
    return replace(Other(2, one.joined_at, one.queue, one.outcome, one.wait_s), **values)


def compare(ours: list[Contact], there: list[Other], column: str = "answered") -> Compared:
    counted = tuple(one for one in ours if one.is_counted)
    others = tuple(one for one in ours if not one.is_counted)
    explained = Explained(asked(column), counted, others, Totals(len(counted), (len(counted),), 0))
    compared = comparing.compare(explained, sorted(there, key=lambda one: one.moment), WITHIN)
    sides = Counter(one.side for one in compared.differences)
    assert compared.here == compared.same + sides["differs"] + sides["only here"]
    assert compared.there == compared.same + sides["differs"] + sides["only there"] + compared.elsewhere
    return compared


def found(compared: Compared) -> list[tuple[str, str]]:
    return [(one.side, one.why) for one in compared.differences]


A = contact()
LATE = contact(counted=False, wait_s=21.0)
SHORT = contact(counted=False, outcome="abandoned", wait_s=3.0)
MIDNIGHT = contact(joined_at=datetime(2026, 11, 23, 23, 30, tzinfo=UTC))  # half past midnight in Amsterdam

REASONS = {
    "the same": ([A], [listed(A)], "answered", []),
    "a second later": ([A], [listed(A, moment=NOON + WITHIN)], "answered", []),
    "nothing else is known": ([A], [Other(2, NOON, None, None, None)], "answered", []),
    "its queue by its label, which another has as well": ([A], [listed(A, queue="Vragen")], "answered", []),
    "not there": ([A], [], "answered", [("only here", "unknown there")]),
    "not here": ([], [listed(A)], "answered", [("only there", "unknown here")]),
    "too late": ([A], [listed(A, moment=NOON + 2 * WITHIN)], "answered",
        [("only here", "unknown there"), ("only there", "unknown here")]),
    "twice there": ([A], [listed(A), listed(A, line=3)], "answered", [("only there", "more there")]),
    "transferred": ([contact(came_from="r", came_after="answered")], [], "answered", [("only here", "transferred")]),
    "overflowed": ([contact(came_from="r", came_after="timed_out")], [], "answered", [("only here", "overflowed")]),
    "withdrawn here": ([contact(outcome="withdrawn")], [], "offered", [("only here", "withdrawn")]),
    "withdrawn, not counted": ([contact(counted=False, outcome="withdrawn")], [listed(A, outcome="withdrawn")],
        "answered", [("only there", "withdrawn")]),
    "short, not counted": ([SHORT], [listed(SHORT)], "answered", [("only there", "short")]),
    "short here": ([contact(outcome="abandoned", wait_s=3.0)], [], "abandoned", [("only here", "short")]),
    "over our threshold": ([LATE], [listed(LATE)], "answered_in_threshold", [("only there", "another threshold")]),
    "over their threshold": ([A, contact(60, wait_s=18.0)], [listed(A)], "answered_in_threshold",
        [("only here", "another threshold")]),
    "another day there": ([contact(counted=False, joined_at=NOON + timedelta(days=1), call_date=date(2026, 11, 25))],
        [Other(2, NOON + timedelta(days=1), "q", None, None)], "answered", [("only there", "another day")]),
    "another day by UTC": ([A, MIDNIGHT], [listed(A)], "answered", [("only here", "another day")]),
    "that hour is there": ([A, MIDNIGHT], [listed(A), listed(MIDNIGHT, moment=MIDNIGHT.joined_at - 9 * WITHIN)],
        "answered", [("only there", "unknown here"), ("only here", "unknown there")]),
    "another queue here": ([contact(counted=False, queue="r")], [listed(A)], "answered",
        [("only there", "another queue")]),
    "another queue there": ([A], [listed(A, queue="r")], "answered", [("differs", "another queue")]),
    "a stranger of another queue": ([contact(counted=False, queue="r", wait_s=40.0)], [listed(A)], "answered",
        [("only there", "unknown here")]),
    "another outcome": ([A], [listed(A, outcome="abandoned")], "answered", [("differs", "another outcome")]),
    "another outcome here": ([SHORT], [listed(A)], "answered", [("only there", "another outcome")]),
    "another wait": ([A], [listed(A, wait_s=15.0)], "answered", [("differs", "another wait")]),
    "not shown": ([contact(counted=False, is_asked=False)], [listed(A)], "answered", [("only there", "not shown")]),
}  # fmt: skip


@pytest.mark.parametrize(("ours", "there", "column", "expected"), REASONS.values(), ids=REASONS)
def test_why_a_contact_differs(
    ours: list[Contact], there: list[Other], column: str, expected: list[tuple[str, str]]
) -> None:
    assert found(compare(ours, there, column)) == expected


NOTHING_HERE = "no contact of any queue joined at about this moment"
NOTHING_THERE = "the list has no contact at about this moment"
TAKEN = "what joined at about this moment is other contacts of the list, or of another queue"
FEWER = "the list has fewer contacts at about this moment"
MORE = "the list has 2 like it, more than joined here at about this moment"
DETAILS = {
    "nothing here": ([], [listed(A)], [NOTHING_HERE]),
    "nothing there": ([A], [], [NOTHING_THERE]),
    "twice there": ([A], [listed(A), listed(A, line=3)], [MORE]),
    "twice here": ([A, contact()], [listed(A)], [FEWER]),
    "another a second later": ([A], [listed(A), listed(A, moment=NOON + WITHIN / 2)], [TAKEN]),
    "a stranger of another queue": ([contact(queue="r", wait_s=40.0)], [listed(A)], [TAKEN, FEWER]),
}


@pytest.mark.parametrize(("ours", "there", "said"), DETAILS.values(), ids=DETAILS)
def test_what_is_said_to_have_no_contact_has_none(
    ours: list[Contact], there: list[Other], said: list[str]
) -> None:
    """Many systems list a contact twice. Then it is not said that none joined."""
    assert [one.detail for one in compare(ours, there).differences] == said


def test_what_both_have_in_another_queue_is_no_difference() -> None:
    other = contact(30, counted=False, queue="r")
    compared = compare([A, other], [listed(A), listed(other)])
    assert (compared.same, compared.elsewhere, found(compared)) == (1, 1, [])


def test_as_many_as_possible_are_paired() -> None:
    """All of them are a second late; the nearest one alone would take a contact's place from another."""
    ours = [contact(seconds) for seconds in (0, 1.4, 2.8, 4.2)]
    there = [listed(one, moment=one.joined_at + timedelta(seconds=1.1)) for one in ours]
    assert compare(ours, there).same == 4


def test_a_busy_hour_is_reconciled_to_the_contact(seed: int) -> None:
    """A contact per second, each a little off; five that the list lacks, and five that only it has."""
    rng = Random(seed)
    ours = [contact(second, wait_s=float(rng.randrange(300))) for second in range(3600)]
    lacking = set(rng.sample(range(3600), 5))
    there = [
        listed(one, moment=one.joined_at + timedelta(seconds=0.4 * rng.random()))
        for number, one in enumerate(ours)
        if number not in lacking
    ]
    there += [listed(contact(second)) for second in range(-500, 0, 100)]
    compared = compare(ours, there)
    assert compared.whys == {("only here", "unknown there"): 5, ("only there", "unknown here"): 5}
    assert {one.here.joined_at for one in compared.differences if one.here} == {
        ours[number].joined_at for number in lacking
    }


def test_a_clock_that_is_wrong_is_said() -> None:
    ours = [contact(61 * minute) for minute in range(40)]
    an_hour_late = [listed(one, moment=one.joined_at + timedelta(hours=1)) for one in ours]
    hint = compare(ours, an_hour_late).hint
    assert hint == "40 of its contacts would be ours 1 hours earlier: is its time zone right?"
    assert compare(ours, [listed(one) for one in ours]).hint is None
    assert compare(ours, [listed(one, moment=one.joined_at + timedelta(days=9)) for one in ours]).hint is None
