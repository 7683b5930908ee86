"""Who was erased before the key was rotated does not come back after it, and neither does who was erased after it."""

from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.keys import epochs, keyed
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.database import ledger, ledger_mending
from callmart.database.tombstones import of_address, of_name, secret_of, tombstone
from callmart.privacy import replaying
from callmart.privacy.correcting import Correction
from callmart.registry import erased
from callmart.registry.file import Registry
from callmart_home import Callmart
from erasing import erase, key_of, person
from events import DAY, DETAILED, Row, at, event, log, ndjson, registry
from handing_over import keep
from landed import OWN, booked, figures, remove_and_order_anew
from rotations import rotate

pytestmark = [pytest.mark.thorough, pytest.mark.dated]

NOOR, BEN, CALLER, OTHER = "SIP/101", "SIP/103", "+31612345678", "+31687654321"
UNTIL = at("00:00", 1)


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(registry(*(f"id: {number}, {DETAILED}" for number in OWN)))


def call(name: str, clock: str, number: str, agent: str) -> list[Row]:
    """A call that one agent takes."""
    begin, own = at(clock), {"call_id": name, "queue": "sales"}
    return [
        event("queue_joined", begin, other_number=number, **own),
        event("agent_connected", begin + timedelta(seconds=10), agent=agent, line=f"device-{agent}", **own),
        event("agent_released", begin + timedelta(seconds=20), agent=agent, reason="agent", **own),
    ]


def day() -> list[Row]:
    """A login, two calls of one caller and one of another, and a call over midnight."""
    return [
        event("agent_logged_in", at("08:00"), agent=NOOR, line="desk-1"),
        *call("c-1", "09:00", CALLER, NOOR),
        *call("c-2", "09:30", OTHER, NOOR),
        *call("c-3", "10:00", CALLER, BEN),
        *call("c-4", "23:59:50", OTHER, NOOR),
    ]


def traces(callmart: Callmart, customer: int, *words: tuple[str, str]) -> int:
    """How often a pseudonym of these is in the database, as it is or was before any rotation."""
    sought = [keyed(key, kind, word) for key in epochs(key_of(callmart, customer)) for kind, word in words]
    found = 0
    for table in ("raw.event", "registry.agent"):
        (row,) = callmart.rows(
            f"select count(*) as n from {table} as t where customer_id = %s and to_jsonb(t)::text ~ %s",
            customer, "|".join(sought),
        )  # fmt: skip
        found += row["n"]
    return found


@pytest.fixture
def after(callmart: Callmart, customer: int) -> Counter[Any]:
    """The day has landed. An agent was erased, then the key was rotated, a caller erased, and it was rotated again.
    What the queues counted.
    """
    assert booked(callmart, customer, day())[0] == len(day())
    before = figures(callmart, customer)
    assert (
        traces(callmart, customer, ("agent", NOOR)) > 0 and traces(callmart, customer, ("number", CALLER)) > 0
    )
    erase(callmart, person(callmart, customer, "agent", NOOR, UNTIL))
    rotate(callmart, customer)
    erase(callmart, person(callmart, customer, "caller", CALLER, UNTIL), 2)
    rotate(callmart, customer)
    assert len(epochs(key_of(callmart, customer))) == 3
    assert figures(callmart, customer) == before
    return before


@pytest.fixture(autouse=True)
def _nobody_came_back(callmart: Callmart, customer: int, after: Counter[Any]) -> Any:
    yield
    assert traces(callmart, customer, ("agent", NOOR), ("number", CALLER)) == 0
    assert traces(callmart, customer, ("agent", BEN)) > 0
    with callmart.connect() as connection:
        assert ledger.compare(connection, callmart.settings) == ledger.Comparison()


def test_landing_again_changes_nothing(callmart: Callmart, customer: int, after: Counter[Any]) -> None:
    again = [*day(), event("agent_logged_out", at("12:00", 1), agent=BEN)]
    assert booked(callmart, customer, again) == (1, len(day()) - 1, 1), (
        "of the login nothing is left to equal"
    )
    assert figures(callmart, customer) == after


def test_late_rows_land_without_them(callmart: Callmart, customer: int, after: Counter[Any]) -> None:
    own = {"call_id": "c-2", "queue": "sales"}
    of_agent = event("hold_started", at("09:30:15"), agent=NOOR, **own)
    of_call = event("hold_started", at("09:00:15"), agent=NOOR, call_id="c-1", queue="sales")
    assert booked(callmart, customer, [of_agent, of_call]) == (1, 0, 1)
    keys = callmart.rows(
        "select distinct agent_key from raw.event where customer_id = %s and agent_key is not null"
        " and occurred_at between %s and %s",
        customer, at("09:30"), at("09:31"),
    )  # fmt: skip
    assert len(keys) == 1 and keys[0]["agent_key"].startswith("~")


def test_the_end_of_a_call_over_midnight_comes_in_a_file_of_its_own(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    """The server alone knows that the call began before the end, and the loader alone whose key it is."""
    late = event("hold_started", at("00:00:05", 1), agent=NOOR, call_id="c-4")
    rest = [row for row in call("c-4", "23:59:50", OTHER, NOOR) if row["occurred_at"] >= UNTIL.isoformat()]
    assert booked(callmart, customer, [late, *rest]) == (1, len(rest), 0)


def test_another_format_brings_nobody_back(callmart: Callmart, customer: int, after: Counter[Any]) -> None:
    lines = [
        (at("11:00"), f"c-9|sales|NONE|ENTERQUEUE||{CALLER}|1"),
        (at("11:00:10"), f"c-9|sales|{NOOR}|CONNECT|10|m-1|5"),
        (at("11:00:40"), f"c-9|sales|{NOOR}|COMPLETECALLER|10|30|1"),
        (at("11:30"), f"NONE|sales|{NOOR}|PAUSE|lunch"),
    ]
    callmart.land_text(log(*lines), customer)
    assert (at("11:00"), "queue_joined", "sales") in figures(callmart, customer)


def refuse(callmart: Callmart, customer: int, agent: str) -> None:
    """Raise UserError if a registry file may not name this agent."""
    text = {"id": customer, "name": "a customer", "contracts": [{"option": "detailed", "from": "2020-01-01"}]}
    named = text | {"agents": [{"id": agent, "name": "Somebody"}]}
    with callmart.connect() as connection:
        erased.refuse(connection, callmart.settings, Registry.model_validate({"customers": [named]}))


def test_the_registry_file_may_not_name_them(callmart: Callmart, customer: int, after: Counter[Any]) -> None:
    with pytest.raises(UserError, match="section `agents` of the registry file still names somebody"):
        refuse(callmart, customer, NOOR)
    refuse(callmart, customer, BEN)


def test_the_registry_file_may_name_who_works_on(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    erase(callmart, person(callmart, customer, "agent", BEN, UNTIL), 3)
    rotate(callmart, customer)
    with pytest.raises(UserError, match="section `agents` of the registry file still names somebody"):
        refuse(callmart, customer, BEN)
    booked(callmart, customer, [event("agent_logged_in", at("08:00", 1), agent=BEN)])
    refuse(callmart, customer, BEN)


def test_nothing_is_found_again_and_what_comes_later_is_new(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    with callmart.connect() as connection:
        replayed = replaying.replay(connection, callmart.settings, lambda *_: None)
    assert (replayed.customers, replayed.persons) == ((), 0)
    later = [row | {"occurred_at": at("09:00", 1).isoformat()} for row in call("c-20", "09:00", OTHER, BEN)]
    assert booked(callmart, customer, later)[0] == len(later)


def test_days_from_before_the_erasures_still_land(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    """A key with another layer is no other key."""
    assert booked(callmart, customer, call("c-30", "14:00", OTHER, BEN)) == (3, 0, 0)


def test_under_another_key_nothing_from_before_the_end_lands(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    """If the customer leaves and comes back, all layers of its former key are former ones."""
    remove_and_order_anew(callmart, customer)
    new = [row | {"occurred_at": at("09:00", 2).isoformat()} for row in call("c-50", "09:00", OTHER, BEN)]
    landed = callmart.land_text(ndjson(*(row | {"customer_id": customer} for row in [*day(), *new])))
    assert (landed.turned_away, landed.landed) == (len(day()), len(new))


def test_a_contact_who_was_erased_is_known_again_by_the_address(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    key, address = key_of(callmart, customer), "noor@example.org"
    made = [tombstone(secret_of(one), "contact", of_address(one, address)) for one in epochs(key)[:1]]
    found: list[Person] = []
    with callmart.connect() as connection:
        ledger.append(connection, callmart.settings, customer, "contact", UNTIL, {"contact": made}, 3)
        connection.execute(
            "insert into registry.contact (customer_id, name, email, authorised) values (%s, 'Noor', %s, true)",
            [customer, address],
        )
        connection.commit()
        replaying.replay(connection, callmart.settings, found.append)
        connection.execute("delete from registry.contact where customer_id = %s", [customer])
    assert [(one.kind, one.keys) for one in found] == [("contact", frozenset({of_address(key, address)}))]


def test_the_name_of_an_agent_who_was_erased_leaves_a_label_that_is_back(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    """As a restored or an older registry brings it."""
    key = key_of(callmart, customer)
    made = [tombstone(secret_of(key), "name", of_name(epochs(key)[0], "Noor Zandvliet"))]
    with callmart.connect() as connection:
        ledger.append(connection, callmart.settings, customer, "agent", UNTIL, {"name": made}, 4)
        connection.execute(
            "insert into registry.queue (customer_id, queue, label, service_level_s, short_abandon_s)"
            " values (%s, 'n-1', 'Noor Zandvliet', 20, 5), (%s, 'n-2', 'Somebody', 20, 5)",
            [customer, customer],
        )
        connection.commit()
        replaying.replay(connection, callmart.settings, lambda *_: None)
    labels = "select queue, label from registry.queue where customer_id = %s and queue ~ '^n-' order by 1"
    assert [row["label"] for row in callmart.rows(labels, customer)] == [None, "Somebody"]


def test_a_database_that_has_lost_the_secret_is_closed(
    callmart: Callmart, customer: int, after: Counter[Any]
) -> None:
    """All that were erased were so under earlier layers of the key, and the secret is still theirs."""
    with callmart.connect() as connection:
        connection.execute("delete from privacy.secret where customer_id = %s", [customer])
        found = ledger.compare(connection, callmart.settings)
        assert found.differing == {customer}
        ledger_mending.mend(connection, callmart.settings)
        assert ledger.compare(connection, callmart.settings) == ledger.Comparison()


def test_a_stale_key_does_not_land(callmart: Callmart, customer: int, after: Counter[Any]) -> None:
    """A file that has passed the gate before a rotation is refused after it, and all files during one."""
    with callmart.connect() as owner, logins.connect(callmart.settings, "loader") as loader:
        ((version,),) = owner.execute("select max(version) from registry.version").fetchall()
        owner.commit()
        rotate(callmart, customer)
        assert loader.execute("select raw.receive(%s)", [version]).fetchone() == (False,)
        loader.rollback()
        owner.execute("insert into ops.rotation (customer_id) values (%s)", [customer])
        owner.commit()
        with pytest.raises(UserError, match="the key of a customer is being rotated"):
            booked(callmart, customer, call("c-40", "15:00", OTHER, BEN))
        # Whoever has the loader's password may leave out the question whether files may land.
        refused = psycopg.errors.CheckViolation
        with pytest.raises(refused, match="being rotated"):
            loader.execute(keep().encode())
        loader.rollback()
        with pytest.raises(refused, match="a transaction of the last six hours"):
            owner.execute("select raw.hold_still(now() - interval '6 hours 1 minute')")
        owner.rollback()
        owner.execute("delete from ops.rotation")


def test_who_comes_back_before_the_next_run_is_still_known(callmart: Callmart, customer: int) -> None:
    """The registry was wrong: the customer is taken out of it, and applied again before its data is removed."""
    booked(callmart, customer, day())
    erase(callmart, person(callmart, customer, "agent", NOOR, UNTIL))
    rotate(callmart, customer)
    former = callmart.rows(
        "select key_fingerprint from registry.former_fingerprint where customer_id = %s", customer
    )
    assert former
    others = [f"id: {number}, {DETAILED}" for number in OWN if number != customer]
    callmart.apply(registry(*others))
    with pytest.raises(UserError, match="section `agents` of the registry file still names somebody"):
        callmart.apply(registry(*others, f"id: {customer}, agents: [{{id: {NOOR}, name: Noor}}], {DETAILED}"))
    callmart.apply(registry(*others, f"id: {customer}, {DETAILED}"))
    assert (
        callmart.rows(
            "select key_fingerprint from registry.former_fingerprint where customer_id = %s", customer
        )
        == former
    )
    (kept,) = callmart.rows("select valid_from from registry.kept_contract where customer_id = %s", customer)
    assert kept["valid_from"] < DAY


def test_what_is_corrected_to_an_agent_who_was_erased_before_a_rotation_is_erased(
    callmart: Callmart, customer: int
) -> None:
    """Nothing was left of the agent when the key was rotated, so the rotation renewed no tombstone."""
    booked(callmart, customer, [*call("c-1", "09:00", CALLER, NOOR), *call("c-2", "10:00", OTHER, BEN)])
    erase(callmart, person(callmart, customer, "agent", NOOR, UNTIL))
    rotate(callmart, customer)
    *former, now = (keyed(key, "agent", NOOR) for key in epochs(key_of(callmart, customer)))
    with callmart.connect() as connection:
        work = Work(connection, callmart.settings, quietly)
        mistaken = person(callmart, customer, "agent", BEN, UNTIL)
        assert Correction(now, at("00:00"), frozenset(former)).correct(work, mistaken).total() > 0
    assert traces(callmart, customer, ("agent", NOOR)) == 0
