"""The marts of a real Asterisk's recording are what its callers and agents did."""

import csv
import re
from collections import Counter
from datetime import date, datetime, timedelta
from itertools import count

import pytest

import plain_log
from callmart.cli import demo
from callmart_home import Callmart
from cells import AGENT_COUNTS, COUNTS, agent_cells, by_queue
from events import AMSTERDAM, DAY, DETAILED, registry

OUTCOMES = {
    "answered": "answered",
    "answered_open_at_stop": "answered",
    "answered_by_pickup": "answered",
    "abandoned": "abandoned",
    "abandoned_in_announce": "abandoned",
    "redirected_by_ami": "abandoned",
    "timeout": "timed_out",
    "exitkey": "left_by_key",
    "exitempty": "left_empty",
    "withdraw": "left_otherwise",
    "waiting_at_stop": "still_open",
    # The log does not have them.
    "refused_full": None,
    "refused_empty": None,
    "hung_up_before_queue": None,
}
RECORDING = demo.EXAMPLE / "asterisk"
BY_FILE, BY_REALTIME, WITH_CEL = 301, 302, 303


@pytest.fixture(scope="module")
def recorded(callmart: Callmart) -> Callmart:
    """Both forms of the recording, each moved to a day that is not too old."""
    callmart.apply(
        registry(*(f"id: {customer}, {DETAILED}" for customer in (BY_FILE, BY_REALTIME, WITH_CEL)))
    )
    mondays = (DAY - timedelta(days=DAY.weekday(), weeks=weeks) for weeks in count())
    monday = next(monday for monday in mondays if not demo.missing(monday))
    table, *files = (callmart.home / name for name in ("queue_log.csv", *demo.RECORDED))
    for file in files:
        demo.move_recording(file.name, file, monday)
    moved = monday + timedelta(days=demo.RECORDED_ON.weekday())
    shift = int(_midnight(moved) - _midnight(demo.RECORDED_ON))
    rows = (RECORDING / "queue_log_realtime.csv").read_text().replace(str(demo.RECORDED_ON), str(moved))
    table.write_text(re.sub(r"\b1795\d{6}\b", lambda second: str(int(second[0]) + shift), rows))
    callmart.land(files[0], BY_FILE)
    callmart.land(table, BY_REALTIME)
    for file in reversed(files):
        callmart.land(file, WITH_CEL)
    assert callmart.build_and_open().problems == []
    return callmart


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=AMSTERDAM).timestamp()


def true_visits() -> list[dict[str, str]]:
    with (RECORDING / "ground_truth_visits.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("customer", [BY_FILE, BY_REALTIME], ids=["file", "realtime table"])
def test_outcomes_are_what_the_callers_did(recorded: Callmart, customer: int) -> None:
    truth: dict[str, Counter[str]] = {}
    for visit in true_visits():
        if outcome := OUTCOMES[visit["outcome"]]:
            truth.setdefault(visit["queue"], Counter()).update((outcome, "offered"))
    kinds = {*OUTCOMES.values(), "offered"}
    found = by_queue(recorded, customer)
    assert {
        queue: {name: count for name, count in counts.items() if name in kinds}
        for queue, counts in found.items()
    } == truth
    assert sum(counts["offered"] for counts in found.values()) == 354


@pytest.mark.parametrize("customer", [BY_FILE, WITH_CEL], ids=["file", "with channel events"])
def test_every_cell_is_what_the_lines_say(recorded: Callmart, customer: int) -> None:
    """Talk as the log counts it, that is with holds."""
    queues, agents = plain_log.read((recorded.home / "queue_log").read_text())
    counted = {*COUNTS, "rings", "rings_answered", "rings_unanswered"}
    found = {
        (row["queue"], int(row["interval_start"].timestamp())): Counter(
            {name: row[name] or 0 for name in counted}
        )
        + Counter(talk_s=row["hold_s"] or 0)
        for row in recorded.rows("select * from store.queue_interval where customer_id = %s", customer)
    }
    assert {cell: +counts for cell, counts in found.items()} == {
        cell: +counts for cell, counts in queues.items()
    }
    days = recorded.rows(
        "select * from store.agent_day join store.agent using (customer_id, agent_key) where customer_id = %s",
        customer,
    )
    counted = {*AGENT_COUNTS, "rings_answered"}
    assert {
        row["agent"]: +(Counter({name: row[name] for name in counted}) + Counter(talk_s=row["hold_s"] or 0))
        for row in days
        if row["contacts"] + row["rings"]
    } == {agent: +counts for agent, counts in agents.items() if +counts}


def test_holds_and_transfers_are_those_that_were_made(recorded: Callmart) -> None:
    """With the channel events beside the log; its own tests know each of them."""
    with (RECORDING / "ground_truth.csv").open() as file:
        held = [call["holds"] for call in csv.DictReader(file) if call["holds"]]
    lengths = [float(unhold[7:]) - float(hold[5:]) for hold, unhold in (both.split(";") for both in held)]
    (found,) = recorded.rows(
        "select sum(holds)::int as holds, sum(contacts_held)::int as held, sum(hold_s)::int as seconds,"
        " sum(transferred_blind)::int as blind, sum(transferred_attended)::int as attended"
        " from store.queue_interval where customer_id = %s",
        WITH_CEL,
    )
    assert found.pop("seconds") == pytest.approx(sum(lengths), abs=len(held) / 2)
    assert found == {"holds": 9, "held": len(held), "blind": 19, "attended": 15}


@pytest.mark.parametrize("customer", [BY_FILE, BY_REALTIME], ids=["file", "realtime table"])
def test_contacts_are_whom_the_agents_spoke_to(recorded: Callmart, customer: int) -> None:
    truth = Counter(visit["agent"] for visit in true_visits() if visit["agent"])
    pickups = truth.pop("phone 290 (pickup)")  # the log names whose telephone rang
    found: Counter[str] = Counter()
    for (_, agent), row in agent_cells(recorded, customer).items():
        found[agent] += row[AGENT_COUNTS.index("contacts")]
    assert not truth - found
    assert (found - truth).total() == pickups


def test_a_log_alone_knows_of_no_holds(recorded: Callmart) -> None:
    for mart in ("queue_interval", "agent_day", "agent_contact"):
        (found,) = recorded.rows(
            f"select count(*), count(holds) as holds, count(hold_s) as hold_s, count(wrapup_s) as wrapup_s"
            f" from store.{mart} where customer_id = %s",
            BY_FILE,
        )
        assert found.pop("count") > 0
        assert set(found.values()) == {0}, mart
