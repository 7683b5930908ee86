"""Exactly the days that what has landed can change are built again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta

import pytest

from callmart.base.progress import quietly
from callmart.build import window
from callmart.land.admission import current_gate
from callmart.opening import opening
from callmart.retention import expiry_steps, remove
from callmart.validate import suites
from callmart_home import Callmart
from events import DAY, DETAILED, Row, at, days, event, log, ndjson, registry
from landed import CALL, OWN, dirty, rows
from midnights import AZORES, HAVANA, night_with_two_midnights, two_midnights

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

TALK = CALL | {"agent": "SIP/1"}
TWO_MIDNIGHTS = {90: AZORES, 91: HAVANA}


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    elsewhere = (f"id: {customer}, time_zone: {zone}, {DETAILED}" for customer, zone in TWO_MIDNIGHTS.items())
    callmart.apply(registry(*(f"id: {number}, {DETAILED}" for number in OWN), *elsewhere))


def clean(callmart: Callmart, customer: int) -> None:
    with callmart.connect() as connection:
        connection.execute("delete from ops.dirty_day where customer_id = %s", [customer])


def test_a_calls_day_is_the_customers(callmart: Callmart, customer: int) -> None:
    callmart.land_text(ndjson(event("queue_joined", at("00:30"), **CALL)), customer)
    assert at("00:30").astimezone(UTC).date() < DAY
    assert dirty(callmart, customer) == {DAY}


@pytest.mark.parametrize("zone", TWO_MIDNIGHTS.values())
def test_days_begin_at_their_first_instant(callmart: Callmart, zone: str) -> None:
    begun = callmart.rows(
        "select day::date, access.begin_of_day(day::date, %s) as moment"
        " from generate_series(current_date - 800, current_date, interval '1 day') as day",
        zone,
    )
    assert [row["moment"] for row in begun] == [two_midnights(row["day"], zone)[0] for row in begun]


@pytest.mark.parametrize("customer", TWO_MIDNIGHTS)
def test_a_day_with_two_midnights_has_the_hour_between_them(callmart: Callmart, customer: int) -> None:
    """Its only call is in that hour, and its contract is another one."""
    night = night_with_two_midnights(TWO_MIDNIGHTS[customer])
    between = two_midnights(night, TWO_MIDNIGHTS[customer])[0] + timedelta(minutes=30)
    callmart.land_text(ndjson(event("queue_joined", between, **CALL)), customer)
    assert dirty(callmart, customer) == {night}
    begun = "select call_date from ops.begun_days(%s) where customer_id = %s"
    assert callmart.rows(begun, between, customer) == [{"call_date": night}]
    clean(callmart, customer)
    with callmart.connect() as connection:
        connection.execute(
            "update ops.followed_contract set valid_from = %s where customer_id = %s", [night, customer]
        )
        connection.execute("select ops.follow_contracts()")
        assert dirty(callmart, customer) == set(), "the control"
        connection.execute(
            "update ops.followed_contract set valid_from = %s where customer_id = %s",
            [night + timedelta(days=1), customer],
        )
        connection.execute("select ops.follow_contracts()")
    assert dirty(callmart, customer) == {night}


@pytest.mark.parametrize("customer", TWO_MIDNIGHTS)
def test_a_contract_begins_and_a_call_is_forgotten_at_the_first_of_two_midnights(
    callmart: Callmart, customer: int
) -> None:
    night = night_with_two_midnights(TWO_MIDNIGHTS[customer])
    first_midnight = two_midnights(night, TWO_MIDNIGHTS[customer])[0]
    with callmart.connect() as connection:
        connection.execute(
            "update registry.contract set valid_from = %s where customer_id = %s", [night, customer]
        )
        _, gate = current_gate(connection, callmart.settings, {})
        opens = {one["customer_id"]: one["opens"] for one in gate.contracts.to_pylist()}
        ((*_, begins_at, _),) = connection.execute(remove.SQL["span"], {"customer": customer})
        clocks = connection.execute(expiry_steps.SQL["clocks"], {"floor": night, "zone": "UTC"}).fetchall()
        connection.rollback()
    floors = {customer_id: moment for customer_id, _, moment in clocks}
    assert (opens[customer], begins_at, floors[customer]) == (first_midnight,) * 3


def test_a_person_stays_the_cause_of_a_day(callmart: Callmart, customer: int) -> None:
    """Else a request would not wait any more until the day is opened."""
    marked = "select cause, mark from ops.dirty_day where customer_id = %s and call_date = %s"
    with callmart.connect() as connection:
        connection.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause) values (%s, %s, 'person')",
            [customer, DAY],
        )
    (before,) = callmart.rows(marked, customer, DAY)
    callmart.land_text(ndjson(event("queue_joined", at("10:00"), **CALL)), customer)
    (after,) = callmart.rows(marked, customer, DAY)
    assert after["cause"] == "person"
    assert after["mark"] > before["mark"], "the build sees that there is more"


def test_the_days_are_free_until_the_events_are_stored(callmart: Callmart, customer: int) -> None:
    """An opening that had to wait for them would end the landing."""
    text = ndjson(*(row | {"customer_id": customer} for row in rows(2)))
    callmart.land_text(text[: text.index("\n") + 1])
    with ThreadPoolExecutor(1) as beside:
        with callmart.connect() as holder:
            holder.execute("lock table raw.event in share mode")
            landing = beside.submit(callmart.land_text, text)
            while not callmart.rows(
                "select from pg_locks where not granted and relation = 'raw.event'::regclass"
            ):
                assert not landing.done(), "it ended before it stored an event"
            with callmart.connect() as opening_session:
                free = opening_session.execute(
                    "select from ops.dirty_day where customer_id = %s for update nowait", [customer]
                )
                assert free.rowcount == 1
        assert landing.result().landed == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the end first"])
def test_a_call_over_midnight_dirties_both_days(
    callmart: Callmart, customer: int, order: tuple[int, int]
) -> None:
    halves = [
        event("queue_joined", at("23:58"), **CALL),
        event("agent_connected", at("00:01", 1), **TALK),
    ]
    callmart.land_text(ndjson(halves[order[0]]), customer)
    assert dirty(callmart, customer) == {days(2)[order[0]]}
    clean(callmart, customer)
    callmart.land_text(ndjson(halves[order[1]]), customer)
    assert dirty(callmart, customer) == set(days(2))
    over_days = "select spans_days from raw.call where customer_id = %s"
    assert callmart.rows(over_days, customer) == [{"spans_days": True}]


def test_a_call_over_three_days_in_one_file(callmart: Callmart, customer: int) -> None:
    callmart.land_text(
        ndjson(event("queue_joined", at("23:58"), **CALL), event("agent_connected", at("00:01", 2), **TALK)),
        customer,
    )
    assert dirty(callmart, customer) == set(days(3))


@pytest.mark.parametrize(
    ("line", "reach"),
    [
        ("c-1|sales|SIP/1|CONNECT|90|c-2|3", 2),
        ("c-1|sales|SIP/1|COMPLETEAGENT|50|40|1", 2),  # waited and talked
        ("c-1|sales|SIP/1|COMPLETEAGENT|30|20|1", 1),
        ("c-1|sales|NONE|ABANDON|1|1|61", 2),
        ("c-1|sales|SIP/1|RINGNOANSWER|61000", 2),
        ("c-1|sales|NONE|ABANDON|1|1|60", 1),
    ],
)
def test_a_phase_that_the_source_measured_reaches_back_over_midnight(
    callmart: Callmart, customer: int, line: str, reach: int
) -> None:
    callmart.land_text(log((at("00:01", 1), line)), customer)
    assert dirty(callmart, customer) == set(days(2)[-reach:])


STATUS = {"agent": "SIP/1", "reason": "available"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("agent_status", STATUS),
        ("agent_logged_in", {"agent": "SIP/1"}),
        ("agent_joined_queue", {"agent": "SIP/1", "queue": "sales"}),
    ],
)
def test_what_an_agent_does_reaches_from_the_one_before_to_the_one_after(
    callmart: Callmart, customer: int, name: str, values: Row
) -> None:
    ends = ndjson(event(name, at("10:00"), **values), event(name, at("10:00", 4), **values))
    callmart.land_text(ends, customer)
    assert dirty(callmart, customer) == set(days(5))
    clean(callmart, customer)
    callmart.land_text(ndjson(event(name, at("10:00", 2), **values)), customer)
    assert dirty(callmart, customer) == set(days(5))
    clean(callmart, customer)
    callmart.land_text(ndjson(event(name, at("11:00", 3), **values)), customer)
    assert dirty(callmart, customer) == set(days(5)[2:])


def test_the_other_end_of_a_login_membership_or_wrap_up_is_found(callmart: Callmart, customer: int) -> None:
    begun = [
        event("agent_logged_in", at("22:00"), agent="SIP/1"),
        event("agent_joined_queue", at("22:00"), agent="SIP/2", queue="sales", line="SIP/2"),
        event("wrapup_started", at("22:00"), agent="SIP/3", line="SIP/3"),
    ]
    callmart.land_text(ndjson(*begun, event("queue_joined", at("10:00", 1), **CALL)), customer)
    for i, name in enumerate(("agent_logged_out", "agent_left_queue", "wrapup_ended")):
        clean(callmart, customer)
        ended = {key: value for key, value in begun[i].items() if key in ("agent", "queue")}
        callmart.land_text(ndjson(event(name, at("06:00", 1), **ended)), customer)
        assert dirty(callmart, customer) == set(days(2))


def test_only_what_is_of_the_same_agent_kind_and_queue_is_reached(callmart: Callmart, customer: int) -> None:
    membership = {"agent": "SIP/1", "queue": "sales"}
    callmart.land_text(
        ndjson(
            event("agent_status", at("10:00"), **STATUS),
            event("agent_joined_queue", at("10:00"), **membership),
            event("agent_logged_in", at("10:00"), agent="SIP/2"),
            event("queue_joined", at("10:00", 4), **CALL),  # the end of the data, until which each goes on
        ),
        customer,
    )
    clean(callmart, customer)
    callmart.land_text(
        ndjson(
            event("agent_logged_in", at("10:00", 2), agent="SIP/1"),
            event("agent_left_queue", at("10:00", 2), **membership | {"queue": "support"}),
            event("agent_status", at("10:00", 2), **STATUS | {"agent": "SIP/2"}),
        ),
        customer,
    )
    assert dirty(callmart, customer) == set(days(5)[2:])


def test_a_status_in_the_same_moment_as_another_reaches_as_far(callmart: Callmart, customer: int) -> None:
    """Whichever of the two holds from then on."""
    callmart.land_text(
        ndjson(*(event("agent_status", at("10:00", day), **STATUS) for day in (0, 2, 4))), customer
    )
    clean(callmart, customer)
    same = [event("agent_status", at("10:00", 2), **STATUS | {"reason": word}) for word in ("break", "away")]
    callmart.land_text(ndjson(*same), customer)
    assert dirty(callmart, customer) == set(days(5))


def test_repeated_rows_dirty_nothing(callmart: Callmart, customer: int) -> None:
    known = [
        event("queue_joined", at("23:58"), **CALL),
        event("agent_connected", at("00:01", 1), **TALK),
        event("agent_status", at("10:00"), **STATUS),
        event("agent_status", at("10:00", 1), **STATUS),
    ]
    callmart.land_text(ndjson(*known), customer)
    clean(callmart, customer)
    callmart.land_text(ndjson(*reversed(known)), customer)
    assert not dirty(callmart, customer)
    callmart.land_text(
        ndjson(*known, event("queue_joined", at("10:00", 7), call_id="c-9", queue="sales")), customer
    )
    assert dirty(callmart, customer) == set(days(8)[1:]), "the status was open at the end of the data"


def test_what_lands_between_build_and_open_stays_dirty(callmart: Callmart, customer: int) -> None:
    first, second = rows(2)
    callmart.land_text(ndjson(first), customer)
    with callmart.connect() as connection:
        window.build(connection, callmart.settings, quietly)
        suites.validate(connection, callmart.settings, quietly)
        callmart.land_text(ndjson(second), customer)
        opening.open_build(connection, callmart.settings)
    offered = "select sum(offered) as offered from store.queue_interval where customer_id = %s"
    assert callmart.rows(offered, customer) == [{"offered": 1}]
    assert dirty(callmart, customer) == {DAY}
    callmart.build_and_open()
    assert callmart.rows(offered, customer) == [{"offered": 2}]
    assert not dirty(callmart, customer)
