"""A request about agent 1001 is also about 1001.0, and the other way round: landing takes both for one.

An earlier version landed them as two. One home, in which one agent after the other asks.
"""

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest

from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.person import Work
from callmart.privacy import kept, lifting, objecting, persons
from callmart.privacy.correcting import Correction
from callmart.privacy.kept import Remembered
from callmart.privacy.procedure import Steps
from callmart_home import Callmart
from centre import DAYS, NAMED
from erasures import agent_key, case, do, left, of, prove
from events import AMSTERDAM, Row, event

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.usefixtures("unchecked", "trusted")]

MORNING = datetime.combine(DAYS[0], time(9), AMSTERDAM)


def land(home: Callmart, *rows: Row) -> None:
    home.land_together({NAMED: rows})
    next(home.home.glob("landed-*")).unlink()


def statuses(agent: str, *minutes: int) -> list[Row]:
    return [
        event("agent_status", MORNING + timedelta(minutes=minute), agent=agent, reason="available")
        for minute in minutes
    ]


def landed_as_two(home: Callmart, whole: str) -> None:
    """Three events of an agent, of which an earlier version landed the last one as a fraction's."""
    land(home, *statuses(whole, 0, 1), *statuses(f"{whole}.0", 2))  # an event keeps the key that it had then
    with home.connect() as connection:
        changed = connection.execute(
            "update raw.event set agent_key = %s where customer_id = %s and agent_key = %s and occurred_at = %s",
            [agent_key(home, f"{whole}.0"), NAMED, agent_key(home, whole), MORNING + timedelta(minutes=2)],
        )
        assert changed.rowcount == 1
    assert events_of(home, whole) == [2, 1]


def events_of(home: Callmart, whole: str) -> list[int]:
    """How many events there are of the whole number and of the fraction."""
    counts = "select count(*) as events from raw.event where customer_id = %s and agent_key = %s"
    return [home.rows(counts, NAMED, agent_key(home, id))[0]["events"] for id in (whole, f"{whole}.0")]


@pytest.mark.parametrize(
    ("request_number", "whole", "entered"),
    [(1, "1001", "1001.0"), pytest.param(2, "1002", "1002", marks=pytest.mark.thorough)],
)
def test_an_erasure_is_of_both_and_neither_comes_back(
    home: Callmart, work: Work, request_number: int, whole: str, entered: str
) -> None:
    landed_as_two(home, whole)
    person = of(work, "agent", entered)
    do(work, person, request_number)
    assert left(prove(work, person, request_number)) == {}
    assert events_of(home, whole) == [0, 0]
    for id in (whole, f"{whole}.0"):
        land(home, *statuses(id, 0, 1, 2, 3))
    assert events_of(home, whole) == [0, 0]


def test_who_objects_as_the_one_is_not_shown_as_the_other_and_can_take_it_back(
    home: Callmart, work: Work
) -> None:
    landed_as_two(home, "1003")
    objects = "select privacy.objects(%s, %s) as objects"

    def left_out() -> list[bool]:
        return [home.rows(objects, NAMED, agent_key(home, id))[0]["objects"] for id in ("1003", "1003.0")]

    # What follows from the ledger is made anew as for every agent (test_objecting.py).
    objecting.note(case(work, of(work, "agent", "1003.0"), 3), "objection")
    assert left_out() == [True, True]
    taken_back = case(work, of(work, "agent", "1003"), 4)
    lifting.plan(taken_back)
    objecting.note(taken_back, "lifting")
    assert left_out() == [False, False]


def test_what_landed_as_a_fraction_can_be_given_to_the_whole_number(home: Callmart, work: Work) -> None:
    landed_as_two(home, "1004")
    mistaken = of(work, "agent", "1004.0")
    whose = Correction(keyed(case(work, mistaken).key, "agent", "1004"), MORNING)
    assert whose.plan(case(work, mistaken)).counts["events"] == {"events outside calls": 1}
    assert whose.correct(work, mistaken) == {"events outside calls": 1}
    assert events_of(home, "1004") == [3, 0]
    with pytest.raises(UserError, match="both are the same agent"):
        whose.plan(case(work, of(work, "agent", "1004")))


def test_what_is_corrected_of_an_agent_is_so_of_both(home: Callmart, work: Work) -> None:
    landed_as_two(home, "1005")
    mistaken = of(work, "agent", "1005.0")
    whose = Correction(keyed(case(work, mistaken).key, "agent", "1006"), MORNING)
    whose.do(case(work, mistaken, 5), Steps())
    assert (events_of(home, "1005"), events_of(home, "1006")) == ([0, 0], [3, 0])
    land(home, *statuses("1005", 3))
    assert (events_of(home, "1005"), events_of(home, "1006")) == ([0, 0], [4, 0])


def test_what_an_earlier_version_kept_for_a_proof_is_still_read(work: Work) -> None:
    """It knew the agent by the id that was entered alone."""
    person = of(work, "agent", "1007.0")
    earlier = replace(person, keys=person.entered, implied=frozenset())
    kept.keep(case(work, earlier, 6), Remembered(frozenset({"a word"})))
    assert kept.recall(case(work, person, 6)) == Remembered(frozenset({"a word"}))
    kept.forget(work.settings.home, 6)


@pytest.mark.parametrize("id", ["1002", "1002.0"])
def test_whichever_is_entered_both_are_meant(id: str) -> None:
    assert persons.spellings_of_id(id) == {"1002", "1002.0"}


@pytest.mark.parametrize("id", ["1001.00", "1.1001.0", "SIP/1.0", "1001,0", ".0", "+1001", "١٠٠١"])
def test_an_id_that_is_no_whole_number_is_one_of_its_own(id: str) -> None:
    assert persons.spellings_of_id(id) == {id}
