"""Landing on a real server: exactly once, whole or not at all, and nothing of what is turned away."""

import json
import os
import zoneinfo
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from random import Random
from threading import Barrier
from time import sleep
from typing import Any

import pytest

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.keys import ensure_key, keyed
from callmart.land import admission
from callmart.land.gate import Gate
from callmart_home import Callmart
from commands import begun
from events import AMSTERDAM, DAY, DETAILED, at, event, log, ndjson, registry
from handing_over import ROW, keep
from landed import CALL, OWN, change_registry, dirty, rows
from today import TODAY

pytestmark = pytest.mark.dated

ANONYMOUS, STANDARD, BOTH, NONE, RENEWED, UNKNOWN = 1, 2, 3, 4, 5, 9
SECRET = "geheim-4711"
CLOSES = (TODAY - DAY).days + 1  # days after DAY: what is over keeps nothing, so this lies ahead


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(
        registry(
            f"id: {ANONYMOUS}, anonymous_agents: true, {DETAILED}",
            f"id: {STANDARD}, contracts: [{{option: standard, from: 2020-01-01}}]",
            f"id: {BOTH}, contracts: [{{option: standard, from: {DAY - timedelta(days=1)}, until: {DAY}}},"
            f" {{option: detailed, from: {DAY}, until: {DAY + timedelta(days=CLOSES)}}}]",
            f"id: {NONE}, contracts: []",
            f"id: {RENEWED}, contracts: [{{option: detailed, from: 2020-01-01, until: 2022-01-01}},"
            " {option: detailed, from: 2022-01-01}]",
            *(f"id: {number}, {DETAILED}" for number in OWN),
        )
    )


def stored(callmart: Callmart, customer: int) -> list[dict[str, Any]]:
    """The customer's events, but for whose they are and what brought them."""
    found = callmart.rows(
        "select * from raw.event where customer_id = %s order by occurred_at, event, ordinal", customer
    )
    own = ("customer_id", "event_key", "call_key", "file_id")
    return [{name: value for name, value in row.items() if name not in own} for row in found]


def everything(callmart: Callmart) -> str:
    """All that the database holds outside of the marts, as text."""
    tables = callmart.rows(
        "select format('%%I.%%I', schemaname, tablename) as name from pg_tables where schemaname in"
        " ('raw', 'ops', 'registry', 'build')"
    )
    return "\n".join(
        row["text"]
        for table in tables
        for row in callmart.rows(f"select t::text as text from {table['name']} as t")
    )


# exactly once


def test_a_file_lands_once(callmart: Callmart, customer: int) -> None:
    text = ndjson(*rows(3))
    first = callmart.land_text(text, customer)
    assert (first.rows, first.landed, first.repeated, first.unchanged) == (3, 3, 0, False)
    copy = callmart.home / "another name"
    copy.write_text(text)
    assert callmart.land_text(text, customer).unchanged
    assert callmart.land(copy, customer).unchanged
    assert len(stored(callmart, customer)) == 3
    assert len(callmart.rows("select from raw.file where asked like %s", f"%{customer}%")) == 1


def test_a_file_is_read_again_when_the_registry_has_changed(callmart: Callmart, customer: int) -> None:
    text = ndjson(*rows(3))
    callmart.land_text(text, customer)
    change_registry(callmart, customer)
    again = callmart.land_text(text, customer)
    assert (again.unchanged, again.landed, again.repeated) == (False, 0, 3)
    assert len(stored(callmart, customer)) == 3


def test_overlapping_files_in_either_order(callmart: Callmart, customer: int, other: int) -> None:
    early, late = ndjson(*rows(9)[:6]), ndjson(*rows(9)[3:])
    for whose, files in (customer, (early, late)), (other, (late, early)):
        first, second = (callmart.land_text(text, whose) for text in files)
        assert (first.landed, first.repeated, second.landed, second.repeated) == (6, 0, 3, 3)
    assert stored(callmart, customer) == stored(callmart, other)
    assert len(stored(callmart, customer)) == 9


def test_a_file_that_repeats_and_adds(callmart: Callmart, customer: int) -> None:
    """As a log does that grows and is landed every night."""
    callmart.land_text(ndjson(*rows(4)), customer)
    grown = callmart.land_text(ndjson(*rows(7)), customer)
    assert (grown.landed, grown.repeated) == (3, 4)


def test_a_log_in_pieces(callmart: Callmart, customer: int) -> None:
    lines = [
        (at("10:00"), "c-1|sales|NONE|ENTERQUEUE||0612345678"),
        (at("10:00"), "c-1|sales|SIP/1|RINGNOANSWER|1000"),
        (at("10:00"), "c-1|sales|SIP/1|RINGNOANSWER|1000"),
        (at("10:01"), "c-1|sales|SIP/1|CONNECT|60|c-2|3"),
    ]
    callmart.land_text(log(*lines[:2]), customer)
    assert callmart.land_text(log(*lines), customer).landed == 3  # CONNECT is two events
    assert [row["ordinal"] for row in stored(callmart, customer) if row["reason"] == "no_answer"] == [0, 1]


def test_equal_rows_of_one_file_are_as_many_events(callmart: Callmart, customer: int) -> None:
    (row,) = rows(1)
    landed = [callmart.land_text(ndjson(*[row] * size), customer).landed for size in (3, 2, 4, 1)]
    assert landed == [3, 0, 1, 0]
    assert [row["ordinal"] for row in stored(callmart, customer)] == [0, 1, 2, 3]


def test_an_event_id_makes_two_rows_one(callmart: Callmart, customer: int) -> None:
    join, later = rows(2)
    named = join | {"event_id": "e-1"}
    within = callmart.land_text(ndjson(named, named | {"queue": "support"}, join), customer)
    assert (within.rows, within.landed, within.repeated) == (3, 2, 1)
    over = callmart.land_text(
        ndjson(
            named | {"line": "other content"},
            named | {"occurred_at": later["occurred_at"]},
            named | {"platform": "vcare"},
        ),
        customer,
    )
    assert (over.landed, over.repeated) == (2, 1), "another time or platform is another event"


@pytest.mark.parametrize("customers", [1, 2])
def test_of_rows_of_a_file_that_contradict_each_other_the_first_one_lands(
    callmart: Callmart, customer: int, other: int, customers: int
) -> None:
    """Also if they are of different blocks, whoever else has rows in the file, and where the server had room for a
    short row on an earlier page than that of a longer row before it.
    """
    whose, numbers, rng = (customer, other)[:customers], range(10_000), Random(1)
    told = [
        event(
            "queue_joined",
            at("12:00"),
            customer_id=whose[number % customers],
            call_id=f"c{number}",
            event_id=number,
            queue=f"{queue} {'x' * rng.choice([0, 30, 100, 200])}",
        )
        for queues in (("first", "second"), ("third", "fourth"))
        for number in numbers
        for queue in queues
    ]
    assert callmart.land_text(ndjson(*told)).landed == len(numbers)
    query = "select distinct split_part(queue, ' ', 1) as queue, line_number from raw.event where customer_id = any(%s)"
    assert callmart.rows(query, list(whose)) == [{"queue": "first", "line_number": None}]


def test_rows_of_several_customers(callmart: Callmart, customer: int, other: int) -> None:
    (row,) = rows(1)
    text = ndjson(
        row | {"customer_id": customer}, row | {"customer_id": other}, row | {"customer_id": customer}
    )
    assert callmart.land_text(text).landed == 3
    assert [len(stored(callmart, whose)) for whose in (customer, other)] == [2, 1]
    assert callmart.land_text(ndjson(row), other).repeated == 1, (
        "how the customer is told is no part of the event"
    )


def test_the_same_content_for_another_customer(callmart: Callmart, customer: int, other: int) -> None:
    text = ndjson(*rows(2))
    assert [callmart.land_text(text, whose).landed for whose in (customer, other)] == [2, 2]


def test_a_last_line_without_its_end_is_left_for_the_next_landing(callmart: Callmart, customer: int) -> None:
    text = ndjson(*rows(3))
    cut = callmart.land_text(text[:-1], customer)
    assert (cut.incomplete_last_line, cut.rows, cut.landed, cut.rejected) == (True, 2, 2, 0)
    again = callmart.land_text(text[:-1], customer)
    assert (again.unchanged, again.incomplete_last_line) == (True, True)
    whole = callmart.land_text(text, customer)
    assert (whole.incomplete_last_line, whole.landed, whole.repeated) == (False, 1, 2)
    again = callmart.land_text(text, customer)
    assert (again.unchanged, again.incomplete_last_line) == (True, False)


# whole or not at all


@contextmanager
def blocked(callmart: Callmart, lock: str) -> Iterator[Callable[[], bool]]:
    """Hold what a landing needs; yields a test whether one waits for it."""

    def waits() -> bool:
        return bool(callmart.rows("select from pg_locks where not granted"))

    with callmart.connect() as connection:
        connection.execute(lock)
        yield waits


@pytest.mark.parametrize(
    "lock",
    [
        pytest.param("lock table raw.incoming in share mode", id="before the first row"),
        pytest.param("lock table raw.file in share mode", id="after the last row"),
        pytest.param("lock table registry.agent in share mode", id="after the merge"),
    ],
)
def test_killed_in_the_middle(callmart: Callmart, customer: int, tmp_path: Path, lock: str) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(ndjson(*(row | {"event": "agent_connected", "agent": "SIP/1"} for row in rows(500))))
    with blocked(callmart, lock) as waits:
        landing = begun(callmart.home, "land", str(file), "--customer", str(customer))
        while not waits():
            assert landing.is_alive(), "it ended before it could be killed"
            sleep(0.01)
        landing.kill()
        landing.join()
    with callmart.connect() as connection:  # the server ends what nobody hears any more
        connection.execute("lock table raw.incoming in access exclusive mode")
    assert not stored(callmart, customer)
    assert not dirty(callmart, customer)
    for trace in (
        "select from raw.file where asked like %s",
        "select from raw.call where customer_id::text like %s",
        "select from registry.agent where customer_id::text like %s",
    ):
        assert not callmart.rows(trace, f"%{customer}%")
    assert callmart.land(file, customer).landed == 500
    assert dirty(callmart, customer) == {DAY}


def test_two_landings_at_once(callmart: Callmart, customer: int) -> None:
    files = [ndjson(*rows(60)[:40]), ndjson(*rows(60)[20:])] * 2
    together = Barrier(len(files))

    def landed(text: str) -> int:
        together.wait()
        return callmart.land_text(text, customer).landed

    with ThreadPoolExecutor(len(files)) as threads:
        assert sum(threads.map(landed, files)) == 60
    assert len(stored(callmart, customer)) == 60


def locks(callmart: Callmart, customer: int, event: str, since: datetime, until: datetime) -> Counter[Any]:
    """What the loader's transaction has locked when it has stored made-up rows of two moments. Nothing is kept."""
    row = ROW | {"event": f"'{event}'", "call_key": "1" if event == "agent_connected" else "null"}
    if event == "agent_status":
        row["reason"] = "'break'"
    with logins.connect(callmart.settings, "loader") as loader:
        for moment in since, until:
            loader.execute(
                f"insert into raw.incoming ({', '.join(row)}) values ({', '.join(row.values())})".encode(),
                {"customer": customer, "at": moment, "key": "a" * 32},
            )
        assert loader.execute(keep(row_count=2).encode()).fetchall() == [(len({since, until}),)]
        ((own_schema,),) = loader.execute("select pg_my_temp_schema()").fetchall()
        with (
            callmart.connect() as owner
        ):  # the loader sees its own locks where administrator.sql has not been run
            found = owner.execute(
                "select case when c.relnamespace <> %s then relation end::regclass::text, locktype, mode"
                " from pg_locks left join pg_class as c on c.oid = relation where pid = %s",
                [own_schema, loader.info.backend_pid],
            ).fetchall()
        loader.rollback()
    # A table of landing itself is gone by now, or has a number.
    return Counter((name if name and "_temp_" not in name else "", *how) for name, *how in found)


@pytest.mark.parametrize("event_name", ["agent_connected", "agent_status"])
def test_the_loaders_locks_do_not_say_when_a_customer_has_events(
    callmart: Callmart, customer: int, own: Iterator[int], event_name: str
) -> None:
    """Whoever has its password could find each moment by halving, and leave no trace."""
    without = next(own)
    told = [
        event("queue_joined", at("10:00"), **CALL),
        event("agent_status", at("10:00"), agent="SIP/1", reason="away"),
        event("agent_logged_in", at("10:00", 2), agent="SIP/1"),
    ]
    callmart.land_text(ndjson(*told), customer)
    for since, until in (("09:00", "09:30"), ("09:00", "10:30"), ("10:00:01", "10:30")):
        moments = at(since), at(until)
        assert locks(callmart, customer, event_name, *moments) == locks(
            callmart, without, event_name, *moments
        ), since


def test_rejects_have_a_line_and_a_reason_and_nothing_of_the_row(callmart: Callmart, customer: int) -> None:
    good = rows(58)
    bad = rows(1)[0] | {"call_id": SECRET}
    wrong = [bad | {"occurred_at": SECRET}, bad | {"event": SECRET}]
    result = callmart.land_text(ndjson(*good[:10], wrong[0], *good[10:], wrong[1]), customer)
    reasons = ((11, "occurred_at is not a time"), (60, "event is not one of the raw format"))
    assert (result.landed, result.rejected, result.first_rejects) == (58, 2, reasons)
    kept = callmart.rows(
        "select line_number, reason from raw.reject join raw.file using (file_id) where asked like %s order by 1",
        f"%{customer}%",
    )
    assert tuple((row["line_number"], row["reason"]) for row in kept) == reasons
    assert SECRET not in everything(callmart)


def test_more_rejects_than_the_share_land_nothing(callmart: Callmart, customer: int) -> None:
    bad = rows(1)[0] | {"event": "hello"}
    with pytest.raises(
        UserError, match=r"2 of 39 rows can't be landed \(first line 1: event is not .*\), more"
    ):
        callmart.land_text(ndjson(bad, *rows(37), bad), customer)
    assert not stored(callmart, customer)
    assert not dirty(callmart, customer)
    assert not callmart.rows("select from raw.file where asked like %s", f"%{customer}%")
    assert callmart.land_text(ndjson(bad, *rows(38), bad), customer).landed == 38, "5 % is allowed"


def test_rows_turned_away_are_no_part_of_the_share(callmart: Callmart, customer: int) -> None:
    """Else the rows of a customer without a contract would let more of the others' be lost."""
    away = [row | {"customer_id": NONE} for row in rows(100)]
    bad = rows(1)[0] | {"event": "hello", "customer_id": customer}
    with pytest.raises(UserError, match="1 of 1 rows"):
        callmart.land_text(ndjson(*away, bad))


# who may come in


def turned_away(callmart: Callmart, file: str) -> list[tuple[int | None, int]]:
    """What the audit log says of the last file of that content."""
    found = callmart.rows(
        "select customer_id, (details ->> 'rows')::integer as rows from ops.audit_log"
        " where action = 'turned away' and details ->> 'file' = (select max(file_id)::text from raw.file)"
        " order by 1"
    )
    name = callmart.file_key(f"landed-{abs(hash(file))}")
    assert callmart.rows("select from raw.file where name_key = %s", name)
    return [(row["customer_id"], row["rows"]) for row in found]


def test_who_has_no_contract_is_counted_and_not_kept(callmart: Callmart, customer: int) -> None:
    join = rows(1)[0] | {"queue": SECRET, "other_number": "+31612345678"}
    text = ndjson(
        *[join | {"customer_id": NONE}] * 3,
        join | {"customer_id": UNKNOWN},
        join | {"customer_id": UNKNOWN + 1},
        rows(1)[0] | {"customer_id": customer},
    )
    result = callmart.land_text(text)
    assert (result.rows, result.landed, result.turned_away, result.rejected) == (6, 1, 5, 0)
    # A number that the registry does not know may be anybody's: it is counted, not noted.
    assert turned_away(callmart, text) == [(NONE, 3), (None, 2)]
    kept = everything(callmart)
    assert SECRET not in kept
    assert "612345678" not in kept
    assert not dirty(callmart, NONE)


def test_a_contract_opens_and_closes_at_the_customers_midnight(callmart: Callmart) -> None:
    moments = [
        at("23:59:59", -2), at("00:00", -1), at("23:59:59", -1), at("00:00"), at("23:59:59", CLOSES - 1),
        at("00:00", CLOSES),
    ]  # fmt: skip
    text = ndjson(
        *(
            event("agent_connected", moment, call_id=f"c-{i}", queue="q", agent=f"SIP/{i}")
            for i, moment in enumerate(moments)
        )
    )
    result = callmart.land_text(text, BOTH)
    assert (result.landed, result.turned_away) == (4, 2)
    assert turned_away(callmart, text) == [(BOTH, 2)]
    assert [row["occurred_at"] for row in stored(callmart, BOTH)] == moments[1:5]
    named = callmart.rows("select agent from registry.agent where customer_id = %s order by 1", BOTH)
    assert [row["agent"] for row in named] == ["SIP/3", "SIP/4"], "only of the days under detailed"


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        pytest.param(
            "Atlantic/Azores", "2026-10-25", datetime(2026, 10, 25, 0, tzinfo=UTC), id="two midnights"
        ),
        pytest.param("Asia/Beirut", "2026-03-29", datetime(2026, 3, 28, 22, tzinfo=UTC), id="no midnight"),
    ],
)
def test_a_day_begins_with_its_first_instant(
    callmart: Callmart, zone: str, day: str, begins: datetime
) -> None:
    assert callmart.rows("select access.begin_of_day(%s, %s) as begins", day, zone) == [{"begins": begins}]


@pytest.fixture
def other_zones(tmp_path: Path) -> Iterator[None]:
    """Of another release than the server's: in Amsterdam it is three hours after UTC, always."""
    (tmp_path / "Europe").mkdir()
    three_hours = next(path for root in zoneinfo.TZPATH if (path := Path(root, "Etc/GMT-3")).is_file())
    (tmp_path / "Europe/Amsterdam").write_bytes(three_hours.read_bytes())
    zoneinfo.reset_tzpath([tmp_path])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


@pytest.mark.usefixtures("other_zones")
def test_the_servers_time_zones_decide_what_lands_and_not_pythons(callmart: Callmart) -> None:
    """Otherwise the server would refuse the file each night: to Python the agent works under the next contract."""
    text = ndjson(event("agent_connected", at("23:30", -1), call_id="z", queue="q", agent="SIP/8"))
    assert callmart.land_text(text, BOTH).landed == 1


def test_ids_stand_behind_keys_only_where_agents_are_reported_by_name(
    callmart: Callmart, customer: int
) -> None:
    connect = event("agent_connected", at("10:00"), **CALL, agent=SECRET)
    for whose in ANONYMOUS, STANDARD:
        assert callmart.land_text(ndjson(connect), whose).landed == 1
    assert SECRET not in everything(callmart)
    callmart.land_text(ndjson(connect, connect | {"agent": "SIP/2"}), customer)
    key = ensure_key(callmart.home, customer, None)
    kept = callmart.rows("select agent_key, agent from registry.agent where customer_id = %s", customer)
    assert {row["agent_key"]: row["agent"] for row in kept} == {
        keyed(key, "agent", agent): agent for agent in (SECRET, "SIP/2")
    }
    with callmart.connect() as connection:  # the other tests look for it
        connection.execute("delete from registry.agent where agent = %s", [SECRET])


def test_a_contract_that_was_renewed_more_than_two_years_ago_still_names_agents(callmart: Callmart) -> None:
    text = ndjson(event("agent_connected", at("10:00"), **CALL, agent="SIP/9"))
    assert callmart.land_text(text, RENEWED).landed == 1
    named = callmart.rows("select agent from registry.agent where customer_id = %s", RENEWED)
    assert [row["agent"] for row in named] == ["SIP/9"]


def test_a_customer_that_is_named_must_be_known(callmart: Callmart) -> None:
    with pytest.raises(UserError, match=f"customer {UNKNOWN} is not in the registry; add it"):
        callmart.land_text(ndjson(*rows(1)), UNKNOWN)


def test_what_is_older_than_two_years_is_turned_away(callmart: Callmart, customer: int) -> None:
    (row,) = callmart.rows("select access.retention_floor() as floor")
    floor = datetime.combine(row["floor"], time(), AMSTERDAM)
    join = rows(1)[0]
    old = [join | {"occurred_at": (floor - timedelta(seconds=s)).isoformat()} for s in (1, 86_400 * 400)]
    result = callmart.land_text(ndjson(*old, join | {"occurred_at": floor.isoformat()}), customer)
    assert (result.landed, result.turned_away) == (1, 2)
    assert dirty(callmart, customer) == {row["floor"]}


def test_an_event_more_than_a_day_ahead_of_the_database_is_a_reject(
    callmart: Callmart, customer: int
) -> None:
    now = callmart.rows("select now()")[0]["now"]
    ahead = [event("queue_joined", now + timedelta(hours=hours), **CALL) for hours in (23, 25)]
    result = callmart.land_text(ndjson(*ahead, *rows(20)), customer)
    reason = "occurred_at is more than a day ahead of the database's clock"
    assert (result.landed, result.first_rejects) == (21, ((2, reason),))
    assert max(row["occurred_at"] for row in stored(callmart, customer)) == now + timedelta(hours=23)


def test_a_loader_that_believes_another_clock_is_refused_by_the_server(
    callmart: Callmart, customer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = admission.current_gate

    def current_gate(*arguments: Any) -> tuple[int, Gate]:
        version, gate = real(*arguments)
        return version, replace(gate, latest=datetime(3000, 1, 1, tzinfo=UTC))

    with monkeypatch.context() as patch:
        patch.setattr("callmart.land.landing.current_gate", current_gate)
        ahead = ndjson(event("queue_joined", datetime(2951, 1, 10, tzinfo=UTC), **CALL), *rows(3))
        with pytest.raises(
            UserError, match=r"refused .* \(an event is more than a day ahead of the database's"
        ):
            callmart.land_text(ahead, customer)
    assert not stored(callmart, customer)


def months(callmart: Callmart) -> set[str]:
    found = callmart.rows(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'raw.event'::regclass"
    )
    return {row["inhrelid"] for row in found}


def test_only_months_of_events_are_made(callmart: Callmart, customer: int) -> None:
    before = months(callmart)
    far_off = [at("10:00", -days) for days in (600, 500, 400)]
    callmart.land_text(ndjson(*(event("queue_joined", moment, **CALL) for moment in far_off)), customer)
    assert months(callmart) - before == {f"raw.event_{moment:%Y%m}" for moment in far_off}


def test_no_file_makes_months_that_are_not_kept(callmart: Callmart, customer: int) -> None:
    """A row a month over fifty years, and as many to come as a file may be wrong about."""
    moments = [at("10:00", -days) for days in range(0, 50 * 365, 30)]
    ahead = [datetime(2951, month, 10, tzinfo=UTC) for month in (1, 2)]
    text = ndjson(*(event("queue_joined", moment, **CALL) for moment in [*moments, *ahead]), *rows(20))
    result = callmart.land_text(text, customer)
    assert (result.rejected, result.landed + result.turned_away) == (2, len(moments) + 20)
    floor = callmart.rows("select access.retention_floor() as floor")[0]["floor"]
    # Where the customer's month begins, UTC's has not.
    assert min(months(callmart)) >= f"raw.event_{floor - timedelta(days=1):%Y%m}"
    assert max(months(callmart)) <= f"raw.event_{TODAY + timedelta(days=1):%Y%m}"


# how much may come in


def with_limits(callmart: Callmart, **limits: float) -> Callmart:
    return Callmart(callmart.settings.model_copy(update=limits))


def test_a_file_that_holds_more_than_its_limit_is_refused_whole(callmart: Callmart, customer: int) -> None:
    text = ndjson(*rows(30))
    for limit, amount in {"max_file_rows": 29, "max_file_gib": 1e-6}.items():
        with pytest.raises(UserError, match=f"holds more than .* raise {limit} in callmart.toml"):
            with_limits(callmart, **{limit: amount}).land_text(text, customer)
        assert not stored(callmart, customer)
    assert with_limits(callmart, max_file_rows=30).land_text(text, customer).landed == 30


def test_a_file_that_is_larger_than_its_limit_is_not_read(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terabyte without contents takes no place. To read it took hours, every night."""
    monkeypatch.delattr("callmart.land.found.find")
    path = tmp_path / "events.csv"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(UserError, match=r"holds more than 32 GiB: .* raise max_file_gib in callmart.toml"):
        with_limits(callmart, max_file_gib=32).land(path)


REJECTS = {
    "of its rows": json.dumps(rows(1)[0] | {"event": "hello"}),
    "of its lines": "{",
    "of its quotes": 'queue_joined,"',
}


@pytest.mark.parametrize("what", REJECTS)
def test_a_file_of_rejects_is_refused_before_it_ends(
    callmart: Callmart, customer: int, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Once more are rejected than may be of any file, so that they never fill the memory."""
    monkeypatch.setattr("callmart.land.found.BLOCK", 1 << 10)
    first = "event,occurred_at" if what == "of its quotes" else json.dumps(rows(1)[0])
    text = "\n".join([first, *[REJECTS[what]] * 900, ""])
    with pytest.raises(UserError, match="holds more than 50 rows that can't be landed: correct it"):
        with_limits(callmart, max_file_rows=1000).land_text(text, customer)


def test_each_month_has_a_partition(callmart: Callmart, customer: int) -> None:
    """Of UTC's months, whatever the customer's clock says."""
    first = datetime.combine(DAY.replace(day=1), time(), UTC)
    moments = [first - timedelta(microseconds=1), first]
    callmart.land_text(ndjson(*(event("queue_joined", moment, **CALL) for moment in moments)), customer)
    found = callmart.rows(
        "select tableoid::regclass::text as name from raw.event where customer_id = %s order by occurred_at",
        customer,
    )
    months = [f"raw.event_{moment:%Y%m}" for moment in moments]
    # On a cluster a shard has a number behind it.
    assert [row["name"][: len(months[0])] for row in found] == months
