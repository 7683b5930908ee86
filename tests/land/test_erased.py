"""Who was erased does not come back by landing: not again, not late, not in another format, not through the loader."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest

from callmart.access import logins
from callmart.base.keys import keyed
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.database import ledger
from callmart.database.tombstones import secret_of, tombstone
from callmart.land import places as landed
from callmart.land.erased import Door
from callmart.land.gate import Gate
from callmart.land.landing import Landed
from callmart.land.source import Tally
from callmart.privacy import replaying
from callmart_home import Callmart
from erasing import erase, key_of, person
from erasing import tombstones as written_tombstones
from events import DETAILED, Row, at, event, log, ndjson, registry
from handing_over import handed_over, keep
from landed import OWN, booked, change_registry, figures, remove_and_order_anew

pytestmark = pytest.mark.dated

NOOR, PIET, BEN = "SIP/101", "SIP/102", "SIP/103"
CALLER, OTHER = "+31612345678", "+31687654321"
UNTIL = at("00:00", 1)


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(registry(*(f"id: {number}, {DETAILED}" for number in OWN)))


def call(name: str, clock: str, number: str, agent: str, day: int = 0) -> list[Row]:
    """A call that one agent takes and hands to another."""
    begin, own = at(clock, day), {"call_id": name, "queue": "sales"}
    return [
        event("queue_joined", begin, other_number=number, **own),
        event("agent_connected", begin + timedelta(seconds=10), agent=agent, line=f"device-{agent}", **own),
        event(
            "transferred", begin + timedelta(seconds=20), agent=agent, reason="blind",
            target_kind="agent", target=PIET, **own,
        ),
        event("agent_released", begin + timedelta(seconds=20), agent=agent, reason="transfer", **own),
    ]  # fmt: skip


def day() -> list[Row]:
    """A morning of Noor and Ben, with two calls of one caller and one of another; and a call over midnight."""
    return [
        event("agent_logged_in", at("08:00"), agent=NOOR, line="desk-1"),
        event("agent_logged_in", at("08:00"), agent=BEN, line="desk-2"),
        event("agent_status", at("08:30"), agent=NOOR, reason="break"),
        *call("c-1", "09:00", CALLER, NOOR),
        *call("c-2", "09:30", OTHER, NOOR),
        *call("c-3", "10:00", CALLER, BEN),
        *call("c-4", "23:59:50", OTHER, NOOR),
    ]


def land(callmart: Callmart, customer: int, rows: list[Row]) -> Landed:
    return callmart.land_text(ndjson(*(row | {"customer_id": customer} for row in rows)))


def traces(callmart: Callmart, customer: int, kind: str, word: str) -> int:
    """How often the person's key is in what was landed."""
    ((count,),) = [
        row.values()
        for row in callmart.rows(
            "select count(*) as n from raw.event as e where customer_id = %s and to_jsonb(e)::text like %s",
            customer,
            f"%{keyed(key_of(callmart, customer), kind, word)}%",
        )
    ]
    return int(count)


def erased(callmart: Callmart, customer: int, kind: str, word: str) -> Counter[Any]:
    """Land the day and erase a person; returns what the queues counted."""
    assert land(callmart, customer, day()).landed == len(day())
    before = figures(callmart, customer)
    name = {"caller": "number"}.get(kind, kind)
    assert traces(callmart, customer, name, word) > 0
    erase(callmart, person(callmart, customer, kind, word, UNTIL))
    assert traces(callmart, customer, name, word) == 0
    assert figures(callmart, customer) == before
    return before


@pytest.fixture(scope="module")
def without_noor(callmart: Callmart, own: Iterator[int]) -> int:
    """A customer whose Noor was erased, for tests that keep nothing."""
    customer = next(own)
    erased(callmart, customer, "agent", NOOR)
    return customer


@pytest.mark.parametrize(("kind", "word"), [("agent", NOOR), ("caller", CALLER), ("agent", PIET)])
def test_landing_the_same_rows_again_changes_nothing(
    callmart: Callmart, customer: int, kind: str, word: str
) -> None:
    before = erased(callmart, customer, kind, word)
    again = booked(callmart, customer, [*day(), event("agent_logged_out", at("12:00", 1), agent=BEN)])
    outside = 2 if word == NOOR else 0  # the login and the status are gone, so that nothing can equal them
    assert again == (1, len(day()) - outside, outside)
    assert figures(callmart, customer) == before
    assert traces(callmart, customer, {"caller": "number"}.get(kind, kind), word) == 0


def test_the_same_file_with_another_version_of_the_registry_changes_nothing(
    callmart: Callmart, customer: int
) -> None:
    before = erased(callmart, customer, "agent", NOOR)
    assert land(callmart, customer, day()).unchanged
    change_registry(callmart, customer)
    again = land(callmart, customer, day())
    assert (again.unchanged, again.landed) == (False, 0)
    assert figures(callmart, customer) == before
    assert traces(callmart, customer, "agent", NOOR) == 0


def test_an_agents_late_row_lands_under_the_agents_key_in_that_call(
    callmart: Callmart, customer: int
) -> None:
    erased(callmart, customer, "agent", NOOR)
    own = {"call_id": "c-1", "queue": "sales"}
    late = event("hold_started", at("09:00:15"), agent=NOOR, **own)
    another = event("agent_logged_out", at("12:00", 1), agent=BEN)
    assert booked(callmart, customer, [late]) == (1, 0, 0)
    assert booked(callmart, customer, [late, another]) == (1, 1, 0)
    keys = callmart.rows(
        "select distinct agent_key from raw.event where customer_id = %s and agent_key is not null"
        " and occurred_at between %s and %s",
        customer, at("09:00"), at("09:01"),
    )  # fmt: skip
    assert len(keys) == 1 and keys[0]["agent_key"].startswith("~")


def test_files_that_land_together_bring_nobody_back(
    callmart: Callmart, customer: int, tmp_path: Path
) -> None:
    erased(callmart, customer, "agent", NOOR)
    late = event("hold_started", at("09:00:15"), agent=NOOR, call_id="c-1", queue="sales")
    paths = [tmp_path / str(number) for number in range(3)]
    for path, rows in zip(paths, ([*day(), late], [late], [*day(), late, late]), strict=True):
        path.write_text(ndjson(*(row | {"customer_id": customer} for row in rows)))
    callmart.land_all(*((path, None) for path in paths))
    counts = callmart.rows(
        "select landed, repeated, erased, events from raw.file left join raw.file_customer using (file_id)"
        " order by file_id desc limit 3"
    )
    known = len(day()) - 2  # the login and the status are gone
    others = sum(row.get("agent") != NOOR for row in day())
    assert [tuple(row.values()) for row in reversed(counts)] == [
        (1, known, 2, others + 1),
        (0, 1, 0, None),
        (1, known + 1, 2, others + 1),
    ]
    assert traces(callmart, customer, "agent", NOOR) == 0


def test_a_call_of_days_lands_whole(callmart: Callmart, customer: int) -> None:
    """It belongs to what was before, however long it is, in one file or in two."""
    erased(callmart, customer, "agent", NOOR)
    own = {"call_id": "c-days", "queue": "sales"}
    days = [event("hold_started", at("23:00", day), agent=NOOR, **own) for day in range(4)]
    assert booked(callmart, customer, [event("queue_joined", at("22:00"), **own), *days]) == (5, 0, 0)
    query = "select distinct agent_key from raw.event where customer_id = %s and event = 'hold_started'"
    keys = callmart.rows(query, customer)
    assert len(keys) == 1 and keys[0]["agent_key"].startswith("~")


def test_two_erased_agents_of_a_call_are_two(callmart: Callmart, customer: int) -> None:
    erased(callmart, customer, "agent", NOOR)
    erase(callmart, person(callmart, customer, "agent", PIET, UNTIL), 2)
    new = [
        event("agent_connected", at("09:10"), agent=who, call_id="c-9", queue="sales")
        for who in (NOOR, PIET, NOOR)
    ]
    new[2] = new[2] | {"event": "agent_released", "reason": "agent", "occurred_at": at("09:12").isoformat()}
    assert booked(callmart, customer, new) == (3, 0, 0)
    rows = callmart.rows(
        "select event, agent_key, device_key from raw.event where customer_id = %s and occurred_at between %s and %s",
        customer, at("09:10"), at("09:12"),
    )  # fmt: skip
    assert len({row["agent_key"] for row in rows}) == 2
    assert all(row["agent_key"].startswith("~") for row in rows)


def test_a_late_row_of_an_erased_call_is_left_out(callmart: Callmart, customer: int) -> None:
    before = erased(callmart, customer, "caller", CALLER)
    own = {"call_id": "c-1", "queue": "sales"}
    late = event("hold_started", at("09:00:15"), agent=NOOR, **own)
    end = event("call_ended", at("00:00:20", 1), call_id="c-1", reason="caller")
    assert booked(callmart, customer, [late, end]) == (0, 0, 2)
    assert figures(callmart, customer) == before


def test_the_device_of_an_erased_agent_and_the_number_as_a_target_stay_out(
    callmart: Callmart, customer: int
) -> None:
    """Another agent at the device, and a call that is handed to the number, would lead to them."""
    erased(callmart, customer, "agent", NOOR)
    device = keyed(key_of(callmart, customer), "device", f"device-{NOOR}")
    with callmart.connect() as connection:
        made = tombstone(secret_of(key_of(callmart, customer)), "device", device)
        ledger.append(connection, callmart.settings, customer, "agent", UNTIL, {"device": [made]}, 2)
    number = keyed(key_of(callmart, customer), "number", CALLER)
    (call_key,) = {
        row["call_key"]
        for row in callmart.rows(
            "select call_key from raw.event where customer_id = %s and number_key = %s and occurred_at = %s",
            customer, number, at("09:00"),
        )
    }  # fmt: skip
    erase(callmart, person(callmart, customer, "caller", CALLER, UNTIL), 3)
    at_device = event("agent_connected", at("11:00"), agent=BEN, line=f"device-{NOOR}", call_id="c-11")
    handed = event(
        "transferred", at("11:01"), agent=BEN, reason="blind", target_kind="number", target=CALLER, call_id="c-11",
    )  # fmt: skip
    assert booked(callmart, customer, [at_device, handed]) == (2, 0, 0)
    assert traces(callmart, customer, "device", f"device-{NOOR}") == 0
    assert traces(callmart, customer, "number", CALLER) == 0
    assert traces(callmart, customer, "agent", BEN) > 0
    for change in (
        {"device_key": f"'{device}'"},
        {"number_key": f"'{number}'", "event": "'queue_joined'"},
        {"target_key": f"'{number}'", "target_kind": "'number'", "event": "'transferred'", "reason": "'blind'"},
        {"call_key": str(call_key)},
    ):  # fmt: skip
        with pytest.raises(psycopg.errors.CheckViolation, match="erased"):
            handed_over(callmart, customer, NOOR, at("10:00"), agent_key="null", **change)


def test_a_callers_unknown_call_lands_without_the_number(callmart: Callmart, customer: int) -> None:
    erased(callmart, customer, "caller", CALLER)
    late = call("c-8", "11:00", CALLER, BEN)
    assert booked(callmart, customer, late) == (len(late), 0, 0)
    assert traces(callmart, customer, "number", CALLER) == 0
    assert booked(callmart, customer, [*late, *day()])[0] == 0


@pytest.mark.parametrize(("kind", "word"), [("agent", NOOR), ("caller", CALLER)])
def test_what_comes_after_the_end_is_new(callmart: Callmart, customer: int, kind: str, word: str) -> None:
    erased(callmart, customer, kind, word)
    new = call("c-7", "09:00", CALLER, NOOR, day=1)
    told = land(callmart, customer, new)
    assert (told.landed, told.erased) == (len(new), 0)
    assert traces(callmart, customer, {"caller": "number"}.get(kind, kind), word) > 0


def test_the_end_of_a_call_over_midnight_comes_in_a_file_of_its_own(
    callmart: Callmart, customer: int
) -> None:
    """The loader can't know that the call began before, so the server takes the agent out."""
    before = erased(callmart, customer, "agent", NOOR)
    rest = [row for row in call("c-4", "23:59:50", OTHER, NOOR) if row["occurred_at"] >= UNTIL.isoformat()]
    assert len(rest) == 3
    assert booked(callmart, customer, rest) == (0, 3, 0)
    ids = callmart.rows("select agent from registry.agent where customer_id = %s", customer)
    assert {row["agent"] for row in ids} == {BEN}
    late = event("hold_started", at("00:00:05", 1), agent=NOOR, call_id="c-4")
    assert booked(callmart, customer, [late]) == (1, 0, 0)
    assert figures(callmart, customer) - before == Counter({(at("00:00:05", 1), "hold_started", None): 1})
    assert traces(callmart, customer, "agent", NOOR) == 0


@pytest.mark.parametrize(("kind", "word"), [("agent", NOOR), ("caller", CALLER)])
def test_another_format_brings_nobody_back(callmart: Callmart, customer: int, kind: str, word: str) -> None:
    lines = [
        (at("09:00"), f"c-1|sales|NONE|ENTERQUEUE||{CALLER}|1"),
        (at("09:00:10"), f"c-1|sales|{NOOR}|CONNECT|10|m-1|5"),
        (at("09:00:40"), f"c-1|sales|{NOOR}|COMPLETECALLER|10|30|1"),
        (at("09:30"), f"NONE|sales|{NOOR}|PAUSE|lunch"),
    ]
    callmart.land_text(log(*lines), customer)
    erase(callmart, person(callmart, customer, kind, word, UNTIL))
    as_rows = [
        event("queue_joined", at("09:00"), other_number=CALLER, call_id="c-1", queue="sales"),
        event("agent_connected", at("09:00:10"), agent=NOOR, call_id="c-1", queue="sales"),
        event("agent_released", at("09:00:40"), agent=NOOR, call_id="c-1", queue="sales", reason="caller"),
        event("agent_status", at("09:30"), agent=NOOR, reason="break"),
    ]
    land(callmart, customer, as_rows)
    assert traces(callmart, customer, {"caller": "number"}.get(kind, kind), word) == 0


def test_the_agents_id_stays_out_of_the_registry(callmart: Callmart, customer: int) -> None:
    erased(callmart, customer, "agent", NOOR)
    land(callmart, customer, [*day(), *call("c-6", "11:00", OTHER, BEN)])
    ids = callmart.rows("select agent from registry.agent where customer_id = %s", customer)
    assert {row["agent"] for row in ids} == {BEN}


def test_a_talk_that_began_before_the_end_lands_without_the_agent(callmart: Callmart, customer: int) -> None:
    """No event lies there, but the source tells how long it took."""
    erased(callmart, customer, "agent", NOOR)
    own = {"call_id": "c-10", "queue": "sales"}
    row = event("agent_released", at("00:00:10", 1), agent=NOOR, reason="agent", duration_s=30, **own)
    assert booked(callmart, customer, [row]) == (1, 0, 0)
    again = [row, event("agent_logged_in", at("08:00", 1), agent=BEN)]
    assert booked(callmart, customer, again) == (1, 1, 0)
    assert traces(callmart, customer, "agent", NOOR) == 0


def test_under_another_key_nothing_from_before_the_end_lands(callmart: Callmart, customer: int) -> None:
    """A customer of whom everything was removed comes back with another key, so nobody would be known again."""
    erased(callmart, customer, "agent", NOOR)
    former = key_of(callmart, customer)
    remove_and_order_anew(callmart, customer)
    with callmart.connect() as connection:
        assert ledger.compare(connection, callmart.settings) == ledger.Comparison()
    assert key_of(callmart, customer) != former
    new = call("c-20", "09:00", CALLER, NOOR, day=2)
    landed = land(callmart, customer, [*day(), *new])
    assert (landed.turned_away, landed.landed) == (len(day()), len(new))
    assert min(moment for moment, *_ in figures(callmart, customer)) == at("09:00", 2)


# -- the door by itself --

KEY, NOBODY = b"k" * 32, pa.table({})
WHO = "0123456789abcdef" * 2


def door(tombstones: Any, **until: Any) -> Door:
    """The door of a file, for customers 1 and 2."""
    keys = pa.table({"customer_id": [1, 2], "key": [KEY, KEY]})
    ends = {int(name.removeprefix("of_")): end for name, end in until.items()}
    gate = Gate(NOBODY, NOBODY, NOBODY, keys, at("00:00", 9), erased_until=ends, tombstones=tombstones)
    return Door(duckdb.connect(), {1: Tally()}, gate)


def batch(moment: datetime) -> pa.Table:
    """An event in a call of customer 1, as it is judged and keyed."""
    row = {
        "file_number": 1,
        "customer_id": 1,
        "occurred_at": moment,
        "event_key": 5,
        "call_key": 7,
        "agent_key": WHO,
        "agent": "Noor",
    }
    columns = [pa.field("agent", pa.string()), *EVENT_SCHEMA.remove(EVENT_SCHEMA.get_field_index("erased"))]
    return pa.Table.from_pylist(
        [row | {"identified": False}], pa.schema([one.with_nullable(True) for one in columns])
    )


def unread() -> Any:
    raise LookupError


def test_tombstones_are_read_up_to_the_end_of_the_customer() -> None:
    """31 days longer, as a call that began before may end then. The later end of another customer changes nothing."""
    with pytest.raises(LookupError):
        door(unread, of_1=UNTIL).let_in(batch(UNTIL + timedelta(days=30)))
    late = door(unread, of_1=UNTIL, of_2=at("00:00", 40)).let_in(batch(UNTIL + timedelta(days=32)))
    assert late["erased"].to_pylist() == [None]


def test_the_tombstone_stands_for_an_agent_in_a_call() -> None:
    made = tombstone(secret_of(KEY), "agent", WHO)
    (mark,) = door(lambda: {(1, "agent", made): UNTIL}, of_1=UNTIL).let_in(batch(at("10:00"))).to_pylist()
    assert (mark["agent_key"], mark["agent"], mark["event_key"], mark["erased"]) == (None, None, 0, made)


def test_a_call_belongs_to_the_side_on_which_it_began() -> None:
    known = {(1, "agent", tombstone(secret_of(KEY), "agent", WHO)): UNTIL}
    over_midnight = pa.concat_tables(
        [batch(UNTIL - timedelta(seconds=9)), batch(UNTIL + timedelta(seconds=9))]
    )
    assert None not in door(lambda: known, of_1=UNTIL).let_in(over_midnight)["erased"].to_pylist()
    assert door(lambda: known, of_1=UNTIL).let_in(batch(UNTIL))["erased"].to_pylist() == [None]


# -- the server asks again -------------------------------------------------------------------------------------------

# The tombstone of the customer's erased agent, as the loader reads it.
MARK = "(select tombstone from privacy.known_tombstone where customer_id = %(customer)s and kind = 'agent')"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="an erased agent"),
        pytest.param({"target_key": "%(key)s", "target_kind": "'agent'", "event": "'transferred'",
                      "reason": "'blind'", "agent_key": "null"}, id="as a target"),
        pytest.param({"agent_key": "'~' || %(key)s"}, id="a reserved key"),
        pytest.param({"erased": "'part'", "call_key": "null"}, id="a part of no call"),
        pytest.param({"erased": "'call'"}, id="an erased call with its agent"),
        pytest.param({"erased": "'~' || %(key)s", "agent_key": "null"}, id="a mark with the prefix"),
        pytest.param({"erased": "'anything'"}, id="an unknown mark"),
        pytest.param({"erased": "repeat('0', 32)", "agent_key": "null"}, id="a mark of nobody"),
        pytest.param({"erased": MARK, "agent_key": "null", "occurred_at": "%(at)s + interval '15 hours'"},
                     id="a mark of a day after"),
        pytest.param({"erased": "'call'", "call_key": "null", "agent_key": "null"}, id="a call where none was erased"),
        pytest.param({"erased": "'part'"}, id="an erased agent marked as taken out"),
        pytest.param({"target_key": "%(key)s", "target_kind": "'agent'", "event": "'transferred'",
                      "reason": "'blind'", "agent_key": "null", "erased": MARK},
                     id="as a target of somebody taken out"),
    ],
)  # fmt: skip
def test_the_server_refuses_what_the_loader_may_not_hand_over(
    callmart: Callmart, without_noor: int, change: dict[str, str]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        handed_over(callmart, without_noor, NOOR, at("10:00"), **change)
    assert handed_over(callmart, without_noor, NOOR, at("10:00", 2)) == 1
    key = keyed(key_of(callmart, without_noor), "agent", BEN)
    assert handed_over(callmart, without_noor, NOOR, at("10:00"), agent_key=f"'{key}'") == 1


@pytest.mark.parametrize(("day", "found"), [(-10, True), (3, False)])
def test_each_customer_is_asked_about_up_to_its_own_end(
    callmart: Callmart, customer: int, day: int, found: bool
) -> None:
    """Another customer in the file, of whom somebody was erased up to a later day, changes nothing."""
    erase(callmart, person(callmart, customer, "agent", NOOR, at("00:00", -40)))
    other = OWN[-1]
    erase(callmart, person(callmart, other, "agent", NOOR, at("00:00", 5)), 2)
    with callmart.connect() as connection:
        for whose, agent, on in ((customer, BEN, 0), (customer, NOOR, day), (other, NOOR, day)):
            connection.execute(
                "insert into raw.incoming"
                " (customer_id, occurred_at, event_key, identified, platform, event, call_key, agent_key)"
                " values (%s, %s, 1, true, 'vcloud', 'agent_connected', 1, %s)",
                [whose, at("10:00", on), keyed(key_of(callmart, whose), "agent", agent)],
            )
        connection.execute(
            "create temporary table arrived on commit drop as"
            " select customer_id, min(occurred_at) as first_at from raw.incoming group by 1"
        )
        connection.execute("select raw.find_erased()")
        asked = {whose for (whose,) in connection.execute("select customer_id from erased_key")}
        connection.rollback()
    assert asked == ({customer, other} if found else {other})


def test_the_server_refuses_a_late_row_of_an_erased_call(callmart: Callmart, customer: int) -> None:
    land(callmart, customer, day())
    calls = "select call_key from raw.event where customer_id = %s and occurred_at = %s"
    ((key,),) = (row.values() for row in callmart.rows(calls, customer, at("09:00")))
    erase(callmart, person(callmart, customer, "caller", CALLER, UNTIL))
    with pytest.raises(psycopg.errors.CheckViolation):
        handed_over(callmart, customer, NOOR, at("00:00:20", 1), call_key=str(key), agent_key="null")


def test_the_server_refuses_an_erased_agents_id_without_any_event(
    callmart: Callmart, without_noor: int
) -> None:
    key = keyed(key_of(callmart, without_noor), "agent", NOOR)
    with logins.connect(callmart.settings, "loader") as loader:
        loader.execute(
            "insert into raw.incoming_agent (customer_id, agent_key, agent, last_at) values (%s, %s, %s, %s)",
            [without_noor, key, NOOR, at("10:00")],
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="erased"):
            loader.execute(keep().encode())


@pytest.mark.parametrize("count", [-1, None])
def test_the_server_refuses_a_count_of_erased_rows_that_is_none(
    callmart: Callmart, count: int | None
) -> None:
    with (
        logins.connect(callmart.settings, "loader") as loader,
        pytest.raises(psycopg.errors.CheckViolation, match="counts"),
    ):
        loader.execute(keep(erased=count).encode())


def test_a_mark_of_the_loader_is_never_kept(callmart: Callmart, customer: int) -> None:
    """Whatever stands for an erased agent, the server makes another key of it."""
    erased(callmart, customer, "agent", NOOR)
    with logins.connect(callmart.settings, "loader") as loader:
        loader.execute(
            "insert into raw.incoming"
            " (customer_id, occurred_at, event_key, identified, platform, event, call_key, erased)"
            f" values (%(customer)s, %(at)s, 7, true, 'vcloud', 'agent_connected', 1, {MARK})".encode(),
            {"customer": customer, "at": at("10:00")},
        )
        loader.execute(keep().encode())
        loader.commit()
    assert traces(callmart, customer, "agent", NOOR) == 0
    (row,) = callmart.rows(
        "select agent_key, event_key from raw.event where customer_id = %s and call_key = 1", customer
    )
    assert row["agent_key"].startswith("~") and row["event_key"] != 7


@pytest.mark.parametrize(
    ("kind", "word", "mark", "asked"),
    [
        ("caller", CALLER, "'call'", "queue_joined"),
        ("agent", NOOR, "'part'", "queue_joined"),
        ("agent", NOOR, MARK, "agent_connected"),
    ],
)
def test_the_loader_can_not_ask_what_happened(
    callmart: Callmart, customer: int, kind: str, word: str, mark: str, asked: str
) -> None:
    """A row of somebody erased has no key. Whoever makes one up must not see whether there is such an event."""
    erased(callmart, customer, kind, word)
    (there,) = callmart.rows(
        "select occurred_at, call_key, queue from raw.event"
        " where customer_id = %s and event = %s and occurred_at between %s and %s",
        customer, asked, at("09:30"), at("09:31"),
    )  # fmt: skip
    row = there | {"customer": customer, "event": asked} | ({"call_key": None} if kind == "caller" else {})
    told = set()
    with logins.connect(callmart.settings, "loader") as loader:
        for moment in (there["occurred_at"], at("09:37")):
            loader.execute(
                "insert into raw.incoming (customer_id, event_key, identified, platform, erased, event, queue,"
                f" call_key, occurred_at) values (%(customer)s, 0, false, 'vcloud', {mark}, %(event)s, %(queue)s,"
                " %(call_key)s, %(occurred_at)s)".encode(), row | {"occurred_at": moment},
            )  # fmt: skip
            kept = loader.execute(keep().replace("landed", "landed, repeated, of_erased", 1).encode())
            told |= set(kept.fetchall())
            loader.rollback()
    assert told == {(0, 0, 1)}


# -- a call that began before the end --------------------------------------------------------------------------------


def over_midnight(name: str, agent: str) -> list[Row]:
    """The beginning is measured before the end of what is erased, and the first event lies after it."""
    own = {"call_id": name, "queue": "sales"}
    return [
        event("agent_connected", at("00:00:05", 1), agent=agent, line="desk-9", duration_s=30, **own),
        event("agent_released", at("00:00:10", 1), agent=agent, reason="agent", duration_s=5, **own),
    ]


def test_what_only_seems_to_have_begun_before_is_not_erased_again(callmart: Callmart, customer: int) -> None:
    """Neither is it taken for somebody who came back."""
    erased(callmart, customer, "agent", NOOR)
    rows = over_midnight("c-11", NOOR)
    assert land(callmart, customer, rows).landed == len(rows)
    assert callmart.rows("select 1 from raw.call where customer_id = %s and first_at < %s and last_at >= %s",
                         customer, UNTIL, UNTIL)  # fmt: skip
    with callmart.connect() as connection:
        assert list(replaying.returned(connection, {})) == []
        assert landed.look(connection, person(callmart, customer, "agent", NOOR, UNTIL)).traces == frozenset()


def test_who_came_back_in_the_end_of_a_call_is_found(callmart: Callmart, customer: int) -> None:
    """The call began before, and only its last events have the agent."""
    assert land(callmart, customer, day()).landed == len(day())
    rows = [row for row in call("c-4", "23:59:50", OTHER, BEN) if row["occurred_at"] >= UNTIL.isoformat()]
    assert land(callmart, customer, [row | {"agent": "SIP/104"} for row in rows]).landed == len(rows)
    who = person(callmart, customer, "agent", "SIP/104", UNTIL)
    with callmart.connect() as connection:
        assert len(landed.look(connection, who).traces) == len(rows)
        written = written_tombstones(callmart, connection, who)
        ledger.append(connection, callmart.settings, customer, "agent", UNTIL, written, 9)
        assert [one.keys for one in replaying.returned(connection, {})] == [who.keys]
        connection.commit()


def test_a_device_is_of_the_side_on_which_the_call_began(callmart: Callmart, customer: int) -> None:
    """Rows of the agent's own device that name nobody."""
    begin = at("23:59:58")
    device = {"line": "desk-5", "queue": "sales"}
    rows = [
        event("queue_joined", begin, call_id="c-12", queue="sales"),
        event("hold_started", at("00:00:02", 1), call_id="c-12", **device),
        event("queue_joined", at("00:00:03", 1), call_id="c-13", queue="sales"),
        event("hold_started", at("00:00:04", 1), call_id="c-13", **device),
        event("agent_connected", at("09:00"), agent="SIP/105", call_id="c-14", **device),
    ]
    assert land(callmart, customer, rows).landed == len(rows)
    who = person(callmart, customer, "agent", "SIP/105", UNTIL)
    with callmart.connect() as connection:
        moments = {"c-12": at("00:00:02", 1), "c-13": at("00:00:04", 1), "c-14": at("09:00")}
        keys: dict[Any, int] = dict(
            connection.execute(
                "select occurred_at, event_key from raw.event where customer_id = %s", [customer]
            ).fetchall()
        )
        assert landed.look(connection, who).traces == {keys[moments["c-12"]], keys[moments["c-14"]]}
