"""The list of contacts: a row per contact for those who ordered it, for as long as they did, and for nobody else."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from call_events import call
from callmart.audit import attempts
from callmart.audit.channels import log_in_as
from callmart.audit.scene import attackers, scene_of
from callmart.base.progress import quietly
from callmart.database import clock
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.land import places
from callmart.privacy.procedure import working
from callmart.retention import expire
from callmart.validate import suites
from callmart_home import Callmart, leave_dirty
from checking import compute
from erasing import person
from events import DAY, Row, at, days, registry
from today import TODAY

DETAILED, STANDARD, UNLISTED = 401, 402, 403
AGE = (TODAY - DAY).days
LISTED = "contact_list: true, contact_list_days: {}"
HOURS = 'opening_hours: [{from: 2020-01-01, mon-sun: "08:00-10:00"}]'
OWN_HOURS = (
    f'queues: [{{name: s, opening_hours: [{{from: 2020-01-01, {DAY}: closed, mon-sun: "00:00-24:00"}}]}}]'
)


def ordered(kept: int = 700, standard: str = LISTED.format(700)) -> str:
    """Two customers with a list of contacts and one without."""
    return registry(
        f"id: {DETAILED}, contracts: [{{option: detailed, from: 2020-01-01}}], {LISTED.format(kept)},"
        f" {HOURS}, {OWN_HOURS}",
        f"id: {STANDARD}, contracts: [{{option: standard, from: 2020-01-01}}]{standard and ', '}{standard}",
        f"id: {UNLISTED}, contracts: [{{option: detailed, from: 2020-01-01}}]",
    )


def overflowing(day: int = 0) -> list[Row]:
    """A call that waits in q, goes on to s and asks to be called back there."""
    rows = [
        call("queue_joined", "10:02", "q", number_withheld=True),
        call("queue_left", "10:03", "q", reason="timeout"),
        call("queue_joined", "10:03", "s"),
        call("queue_left", "10:04", "s", reason="callback"),
    ]
    return [row | {"call_id": f"over-{day}", "occurred_at": moved(row, day)} for row in rows]


def moved(row: Row, day: int) -> str:
    return str(row["occurred_at"]).replace(str(DAY), str(DAY + timedelta(days=day)))


TOLD = [
    # answered after 20.4 seconds, and so neither within 20 nor so counted
    call("queue_joined", "09:59:50", other_number="+31612345678"),
    call("ring_started", "10:00:02", agent="a"),
    call("ring_ended", "10:00:09", agent="a", reason="no_answer"),
    call("agent_connected", "10:00:10.4", agent="b"),
    call("hold_started", "10:00:20", agent="b"),
    call("hold_ended", "10:00:30", agent="b"),
    call("agent_released", "10:01:10.4", agent="b", reason="caller"),
    *overflowing(),
    *overflowing(1),
    *(
        row | {"call_id": "refused"}
        for row in (
            call("queue_refused", "10:20", reason="full"),
            call("queue_refused", "10:21", reason="full"),
            call("queue_joined", "10:22"),
            call("queue_left", "10:22:03", reason="abandoned"),
        )
    ),
    *(
        row | {"call_id": "late"}
        for row in (call("queue_joined", "23:59"), call("agent_connected", "23:59:07", agent="a"))
    ),
]
CUSTOMERS = (DETAILED, STANDARD, UNLISTED)


@pytest.fixture(scope="module")
def listed(callmart: Callmart) -> Callmart:
    """The same two days of three customers, checked and opened."""
    callmart.apply(ordered())
    callmart.land_together({customer: TOLD for customer in CUSTOMERS})
    assert callmart.build_and_open().held_back_days == 0
    return callmart


def contacts(callmart: Callmart, customer: int) -> list[tuple[Any, ...]]:
    found = callmart.rows(
        "select call_date, to_char(joined_local, 'HH24:MI:SS') as joined, queue, visit_no, open, outcome, offered,"
        " wait_s, wait_ceiling_s, answered_in_threshold as within, overflowed_to, caller_number, rings,"
        " rings_unanswered, talk_s, hold_s, wrapup_s from mart.queue_contact order by joined_at, queue, visit_no desc",
        customer_id=customer,
    )
    return [tuple(row.values()) for row in found]


ROWS = [
    (DAY, "09:59:50", "q", 1, True, "answered", 1, 20, 21, 0, None, "shown", 1, 1, 50, 10, 0),
    (DAY, "10:02:00", "q", 1, False, "timed_out", 1, 60, 60, 0, "s", "withheld", 0, 0, 0, 0, 0),
    (DAY, "10:03:00", "s", 1, False, "callback", 1, 60, 60, 0, None, "withheld", 0, 0, 0, 0, 0),
    (DAY, "10:20:00", "q", -1, False, "refused_full", 0, None, None, 0, None, "unknown", 0, 0, 0, 0, 0),
    (DAY, "10:21:00", "q", -2, False, "refused_full", 0, None, None, 0, None, "unknown", 0, 0, 0, 0, 0),
    (DAY, "10:22:00", "q", 1, False, "abandoned", 1, 3, 3, 0, None, "unknown", 0, 0, 0, 0, 0),
    (DAY, "23:59:00", "q", 1, False, "answered", 1, 7, 7, 1, None, "unknown", 0, 0, 0, 0, 0),
    (DAY + timedelta(days=1), "10:02:00", "q", 1, False, "timed_out", 1, 60, 60, 0, "s", "withheld", 0, 0, 0, 0, 0),
    (DAY + timedelta(days=1), "10:03:00", "s", 1, True, "callback", 1, 60, 60, 0, None, "withheld", 0, 0, 0, 0, 0),
]  # fmt: skip


def test_each_contact_has_a_row(listed: Callmart) -> None:
    assert contacts(listed, DETAILED) == ROWS


def test_one_agents_work_is_hidden_under_a_standard_contract(listed: Callmart) -> None:
    """Two agents answered in q on the first day; nobody in s, and nobody on the second day."""
    assert contacts(listed, STANDARD) == [
        (*row[:4], None, *row[5:12], *((None,) * 5 if row[2] == "s" or row[0] > DAY else row[12:]))
        for row in ROWS
    ]


def test_the_quarter_hours_know_whether_they_are_open(listed: Callmart) -> None:
    for mart in ("queue_interval", "agent_queue_interval"):
        found = {
            tuple(row.values())
            for row in listed.rows(
                f"select call_date, queue, to_char(interval_local, 'HH24:MI') as quarter, open from mart.{mart}",
                customer_id=DETAILED,
            )
        }
        assert found >= {(DAY, "q", "23:45", False)}
        if mart == "queue_interval":
            assert found >= {
                (DAY, "q", "09:45", True),
                (DAY, "s", "10:00", False),
                (days(2)[1], "s", "10:00", True),
            }
    assert listed.rows("select distinct open from mart.agent_interval", customer_id=DETAILED) != []
    assert listed.rows("select from mart.queue_interval where open is not null", customer_id=STANDARD) == []


def test_only_who_ordered_it_may_read_it(listed: Callmart) -> None:
    with listed.connect(UNLISTED) as customer, pytest.raises(psycopg.errors.InsufficientPrivilege):
        customer.execute("select from mart.queue_contact")
    assert listed.rows("select from store.queue_contact where customer_id = %s", UNLISTED) == []


def test_every_attack_on_it_fails(listed: Callmart) -> None:
    """By each of the three customers, as the audit makes them; the owner sees what there is to see."""
    with listed.connect() as owner:
        owner.autocommit = True
        scene = scene_of(owner, listed.settings)
        tried = set()
        for attacker in attackers(scene):
            if attacker.customer:
                with log_in_as(listed.settings, attacker) as session:
                    for attempt in attempts.attempts(scene, attacker):
                        if attempt.place == "mart.queue_contact":
                            control = attempts.make(owner, attempt.control, attempt.attack)
                            assert control.absent() or control.proves(attempt), attempt.attack.name
                            answer = attempts.make(session, attempt.sql, attempt.attack)
                            assert answer.withstood(attempt), attempt.attack.name
                            tried.add((attacker.own, attempt.attack.aim))
    assert {(DETAILED, "mart"), (STANDARD, "dated mart"), (UNLISTED, "closed mart")} <= tried


def test_agents_in_queues_add_up(listed: Callmart) -> None:
    found = listed.rows(
        "select agent, queue, sum(contacts) as contacts, sum(rings) as rings, sum(talk_s) as talk_s, sum(hold_s) as"
        " hold_s from mart.agent_queue_interval join mart.agent using (agent_key) group by 1, 2 order by 1",
        customer_id=DETAILED,
    )
    assert [tuple(row.values()) for row in found] == [("a", "q", 1, 1, 0, 0), ("b", "q", 1, 0, 50, 10)]


# -- a caller who is erased --------------------------------------------------------------------------------------------


def test_an_erased_caller_leaves_the_contacts(listed: Callmart) -> None:
    """Nothing else of them differs than the plan says."""
    query = "select to_jsonb(q) as row from store.queue_contact as q where customer_id = %s order by joined_at, queue"
    before = [found["row"] for found in listed.rows(query, DETAILED)]
    who = person(listed, DETAILED, "caller", "+31612345678", at("00:00", 2))
    with listed.connect() as connection, working(connection, listed.settings) as work:
        cells = places.look(connection, who).cells.known
        assert places.Events().treat(work, who)
    listed.build_unchecked()
    after = [found["row"] for found in listed.rows(query, DETAILED)]
    own = [row for row in before if row["caller_number"] == "shown"]
    assert len(own) == 1
    assert {("callers", row["queue"], row["call_date"]) for row in own} == {
        (*cell[:2], str(cell[2])) for cell in cells
    }
    assert [row | {"call_key": 0, "caller_number": ""} for row in after] == [
        row | {"call_key": 0, "caller_number": ""} for row in before
    ]
    for old, new in zip(before, after, strict=True):
        assert (old["call_key"] == new["call_key"]) == (old not in own)
        assert new["caller_number"] == ("unknown" if old in own else old["caller_number"])


# -- the suite ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def computed(listed: Callmart) -> Callmart:
    """The same days, computed again and not checked yet."""
    with listed.connect() as owner:
        compute(listed, owner, [(customer, day) for customer in CUSTOMERS for day in days(2)])
        owner.commit()
    return listed


FAULTS = {
    "none": "select",
    "a contact is missing": "delete from build.queue_contact where outcome = 'answered'",
    "all contacts are missing": "delete from build.queue_contact",
    "a contact too many": "update build.queue_interval set offered = offered - 1 where abandoned > 0",
    "another outcome": "update build.queue_contact set outcome = 'left_by_key' where outcome = 'timed_out'",
    "a wait within the next bound": "update build.queue_contact set wait_ceiling_s = 20 where wait_ceiling_s = 21",
    "another threshold": "update build.queue_contact set answered_in_threshold = 1 where wait_ceiling_s = 21",
    "work that is hidden": "update build.queue_contact set talk_s = 0 where talk_s is null",
    "a call that was refused and waited": "update build.queue_contact set wait_s = 1 where offered = 0",
    "nobody has ordered it": f"update build.queue_contact set customer_id = {UNLISTED} where customer_id = {STANDARD}",
}


@pytest.mark.parametrize(("fault", "statement"), FAULTS.items(), ids=FAULTS)
def test_the_suite_finds_a_fault(computed: Callmart, fault: str, statement: str) -> None:
    (mart,) = (mart for mart in dbt_project.marts(computed.settings) if mart.name == "queue_contact")
    found = []
    with computed.connect() as owner:
        owner.execute(statement.encode())
        for expectation in suites.expectations(mart):
            if query := expectation["kwargs"].get("unexpected_rows_query"):
                assert expectation["severity"] == "critical"
                found += owner.execute(query.replace("{batch}", "build.queue_contact")).fetchall()
        owner.rollback()
    assert bool(found) == (fault != "none")


def test_the_suite_names_every_column_that_can_be_summed(computed: Callmart) -> None:
    marts = {mart.name: mart for mart in dbt_project.marts(computed.settings)}
    query = next(
        one["kwargs"]["unexpected_rows_query"]
        for one in suites.expectations(marts["queue_contact"])
        if one.get("meta", {}).get("name") == "the contacts add up to the quarter-hours"
    )
    for column in set(marts["queue_interval"].additive) - {"staffed_s", "needed_s"}:
        assert {f"whole.{column}", f"parts.{column}"} <= set(query.replace(",", " ").split()), column


# -- the order ---------------------------------------------------------------------------------------------------------


def stored(callmart: Callmart, customer: int) -> list[Any]:
    """The days of which contacts are stored, and how many the books say were opened."""
    found = callmart.rows(
        "select call_date, count(*) as rows, (select row_count from ops.opened_day as o"
        " where o.customer_id = q.customer_id and o.call_date = q.call_date and mart = 'queue_contact')"
        " as opened from store.queue_contact as q"
        " where customer_id = %s group by customer_id, call_date order by 1",
        customer,
    )
    return [tuple(row.values()) for row in found]


@pytest.fixture
def owner(listed: Callmart) -> Iterator[psycopg.Connection]:
    with listed.connect() as connection:
        yield connection


def expire_today(callmart: Callmart, owner: psycopg.Connection) -> int:
    outcomes = expire.expire(owner, callmart.settings, clock.today(owner, callmart.settings))
    assert {one.outcome for one in outcomes} <= {expire.DONE}
    return expire.taken(outcomes)


def written(callmart: Callmart, owner: psycopg.Connection) -> dict[tuple[int, str], int]:
    found = extract.extract(owner, callmart.settings, quietly)
    return {(one.customer_id, one.group): one.rows for one in found if isinstance(one, extract.Extract)}


def test_a_list_is_kept_to_the_day(listed: Callmart, owner: psycopg.Connection) -> None:
    day, next_day = days(2)
    assert stored(listed, DETAILED) == [(day, 7, 7), (next_day, 2, 2)]
    assert written(listed, owner)[DETAILED, "contact"] == 9
    assert expire_today(listed, owner) == 0

    listed.apply(ordered(kept=AGE))
    assert expire_today(listed, owner) == 0
    listed.apply(ordered(kept=AGE - 1))
    assert expire_today(listed, owner) == 7
    assert stored(listed, DETAILED) == [(next_day, 2, 2)]
    assert len(stored(listed, STANDARD)) == 2
    assert written(listed, owner)[DETAILED, "contact"] == 2

    leave_dirty(owner, [(DETAILED, day)])  # a late file does not bring it back
    owner.commit()
    listed.build_unchecked()
    assert stored(listed, DETAILED) == [(next_day, 2, 2)]
    listed.apply(ordered())
    listed.build_unchecked()
    assert stored(listed, DETAILED) == [(day, 7, 7), (next_day, 2, 2)]


def test_an_order_that_ends_leaves_nothing(listed: Callmart, owner: psycopg.Connection) -> None:
    files = written(listed, owner)
    assert extract.place(listed.settings, STANDARD, "contact").exists()
    with listed.connect(STANDARD) as customer:
        customer.execute("select from mart.queue_contact")

    listed.apply(ordered(standard=""))
    with listed.connect(STANDARD) as customer, pytest.raises(psycopg.errors.InsufficientPrivilege):
        customer.execute("select from mart.queue_contact")
    assert expire_today(listed, owner) == 9
    assert stored(listed, STANDARD) == []
    assert written(listed, owner).keys() == files.keys() - {(STANDARD, "contact")}
    assert not extract.place(listed.settings, STANDARD, "contact").exists()
    assert listed.rows("select from mart.queue_interval", customer_id=STANDARD) != []
