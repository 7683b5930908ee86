"""Two years, exact to the day: what is too old is gone from every table and file, and nothing else is.

Days of now are landed, built, opened and extracted like any; then the clock, which is an argument, says that two years
have passed. Every look is made before expiring too: a look that finds nothing proves nothing.
"""

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pantab
import psycopg
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from callmart.build import months
from callmart.database import clock
from callmart.database.lock import exclusive
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.opening import opening
from callmart.operations import run
from callmart.retention import expire, expired_months, expiry_plan
from callmart.simulator.simulate import simulate
from callmart_home import Callmart, ignore_step
from commands import command_of, mistake
from events import event, ndjson, registry
from today import TODAY

pytestmark = pytest.mark.dated

HERE, EAST, WEST = 1, 2, 3
ZONES = {HERE: "Europe/Amsterdam", EAST: "Pacific/Kiritimati", WEST: "Pacific/Pago_Pago"}
REGISTRY = registry(
    *(
        f"id: {customer}, time_zone: {zone}, contracts: [{{option: detailed, from: 2020-01-01}}]"
        for customer, zone in ZONES.items()
    )
)


def _border() -> date:
    """The first of a month past; not of March, where two years on a day may be missing."""
    first = (TODAY.replace(day=1) - timedelta(days=1)).replace(day=1)
    return first if first.month != 3 else (first - timedelta(days=1)).replace(day=1)


BORDER = _border()
DAYS = [BORDER + timedelta(days=n) for n in range(-3, 3)]
KEPT_TABLES = ("ops.audit_log", "ops.clock", "ops.running_now", "ops.to_vacuum")


def two_years_after(floor: date) -> date:
    """The day on which `floor` is the oldest day that stays."""
    return floor.replace(year=floor.year + 2)


def data_tables(connection: psycopg.Connection) -> list[str]:
    """Tables that hold customers' days, or what was done on a day; those that others refer to come first."""
    rows = connection.execute(
        """
        select format('%%s.%%s', nspname, relname)
        from pg_class as c
        join pg_namespace as n on n.oid = relnamespace
        where
            relkind in ('r', 'p') and not relispartition
            and (nspname in ('raw', 'ops', 'store') or nspname = 'registry' and relname in ('agent', 'version'))
            and format('%%s.%%s', nspname, relname) <> all(%s)
        order by relname not in ('file', 'build', 'version'), relname <> 'quality_result', 1
        """,
        [list(KEPT_TABLES)],
    )
    return [name for (name,) in rows]


def marts_with_days(callmart: Callmart) -> list[str]:
    """The marts that are kept by months."""
    return [f"store.{mart.name}" for mart in dbt_project.marts(callmart.settings) if mart.day]


def content(callmart: Callmart) -> dict[str, list[str]]:
    """Every row of the tables, and the names of the files."""
    with callmart.connect() as connection:
        found = {
            name: sorted(row for (row,) in connection.execute(f"select t::text from {name} as t"))
            for name in data_tables(connection)
        }
    return found | {"files": sorted(str(file) for file in extract.folder(callmart.settings).rglob("*.hyper"))}


def calls_of_a_line(zone: str) -> Iterator[dict[str, Any]]:
    """One on each day."""
    for day in DAYS:
        noon = datetime.combine(day, time(12), ZoneInfo(zone))
        of_call = {"call_id": f"line-{day}", "line": "trunk", "platform": "sip_trunk"}
        yield event("call_started", noon, direction="inbound", **of_call)
        yield event("call_ended", noon + timedelta(seconds=30), reason="caller", **of_call)


@pytest.fixture(scope="module")
def filled(callmart: Callmart) -> Callmart:
    """Three customers with six days around the border of a month; what all tables hold is put aside."""
    callmart.apply(REGISTRY)
    for customer, zone in ZONES.items():
        events = simulate(
            customer, DAYS, zone, ["sales"], [f"SIP/{customer}{n}" for n in range(3)],
            contacts_per_day=60, seed=customer, hours=(0, 24),
        ).events  # fmt: skip
        pq.write_table(events, file := callmart.home / f"{customer}.parquet")
        assert callmart.land(file).landed > 0
        assert callmart.land_text(ndjson(*calls_of_a_line(zone)), customer).landed == 2 * len(DAYS)
    # Who worked on the first day only: nobody refers to this agent once that day is gone.
    noon = datetime.combine(DAYS[0], time(12), ZoneInfo(ZONES[HERE]))
    of_call = {"call_id": "the-last", "queue": "sales"}
    talk = [
        event("queue_joined", noon, **of_call),
        event("agent_connected", noon + timedelta(seconds=5), agent="SIP/gone", **of_call),
        event("call_ended", noon + timedelta(seconds=65), agent="SIP/gone", **of_call),
    ]
    assert callmart.land_text(ndjson(*talk), HERE).landed == 3
    assert callmart.build_and_open().held_back_days == 0
    with callmart.connect() as connection:
        extract.extract(connection, callmart.settings, ignore_step)
        connection.execute("create schema saved")
        for name in data_tables(connection):
            connection.execute(f'create table saved."{name}" as select * from {name}')
    shutil.copytree(extract.folder(callmart.settings), callmart.home / "saved")
    return callmart


@pytest.fixture
def full(filled: Callmart) -> Callmart:
    """Everything as it was before anything expired."""
    restore(filled)
    return filled


def restore(filled: Callmart) -> None:
    """Put back what was put aside."""
    with filled.connect() as connection:
        tables = data_tables(connection)
        connection.execute("truncate " + ", ".join((*tables, "ops.to_vacuum")) + " cascade")
        for name in ("raw.event", *marts_with_days(filled)):
            for month in (BORDER - timedelta(days=1), BORDER):
                connection.execute("select access.ensure_month(%s::regclass, %s)", [name, month])
        for name in tables:
            connection.execute(f'insert into {name} overriding system value select * from saved."{name}"')
        connection.commit()
        connection.autocommit = True
        connection.execute("analyze " + ", ".join(tables))
    shutil.rmtree(extract.folder(filled.settings))
    shutil.copytree(filled.home / "saved", extract.folder(filled.settings))


def expired(callmart: Callmart, floor: date) -> list[expire.Outcome]:
    """Expire on the day on which `floor` is the oldest day that stays."""
    with callmart.connect() as connection:
        return expire.expire(connection, callmart.settings, two_years_after(floor))


def planned(callmart: Callmart, floor: date) -> expiry_plan.Plan:
    with callmart.connect() as connection:
        return expiry_plan.plan(connection, callmart.settings, two_years_after(floor))


def too_old(callmart: Callmart, floor: date) -> dict[str, int]:
    """Every column of every table that holds a day before the floor, by the clock of its customer."""
    found: dict[str, int] = {}
    with callmart.connect() as connection:
        columns = connection.execute(
            """
            select
                c.oid::regclass::text, quote_ident(attname), atttypid <> 'timestamptz'::regtype,
                exists (select from pg_attribute where attrelid = c.oid and attname = 'customer_id')
            from pg_class as c
            join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped
            where
                relkind = 'r'
                and relnamespace in (
                    'raw'::regnamespace, 'ops'::regnamespace, 'store'::regnamespace, 'usage'::regnamespace,
                    'build'::regnamespace, 'registry'::regnamespace
                )
                and atttypid in ('date'::regtype, 'timestamptz'::regtype, 'timestamp'::regtype)
                and c.oid::regclass::text not in ('ops.audit_log', 'ops.followed_contract', 'registry.contract')
            """
        ).fetchall()
        for table, column, is_local, of_customer in columns:
            zone = (
                "(select time_zone from registry.customer as c where c.customer_id = t.customer_id)"
                if of_customer
                else "'Europe/Amsterdam'"
            )
            day = f"{column}::date" if is_local else f"({column} at time zone {zone})::date"
            ((count,),) = connection.execute(
                f"select count(*) from {table} as t where {day} < %s and isfinite({day})",
                [floor],
            ).fetchall()
            if count:
                name = f"{table.rsplit('_2', 1)[0]}.{column}".replace('"', "")
                found[name] = found.get(name, 0) + count
    return found


# -- which day ----------------------------------------------------------------------------------------------------


def two_years_before(day: date) -> date:
    """As anybody would say it; two years before 29 February is the 28th."""
    try:
        return day.replace(year=day.year - 2)
    except ValueError:
        return date(day.year - 2, 2, 28)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dates(date(1990, 1, 1), date(2150, 1, 1)))
@example(date(2028, 2, 29))
@example(date(2026, 2, 28))
@example(date(2026, 3, 1))
def test_the_floor_is_two_years_ago(floors: Callable[[date], date], today: date) -> None:
    assert floors(today) == two_years_before(today)
    # Never before two years have passed, and never later than the day after.
    assert two_years_before(today) - floors(today - timedelta(days=1)) in (
        timedelta(0),
        timedelta(1),
        timedelta(2),
    )


@pytest.fixture(scope="module")
def floors(filled: Callmart) -> Iterator[Callable[[date], date]]:
    with filled.connect() as connection:
        yield lambda today: expiry_plan.floor_on(connection, today)


def test_the_29th_of_february_stays_until_the_1st_of_march(floors: Callable[[date], date]) -> None:
    assert floors(date(2026, 2, 28)) == date(2024, 2, 28)
    assert floors(date(2026, 3, 1)) == date(2024, 3, 1)


def test_the_policy_and_the_expiry_mean_the_same_day(filled: Callmart) -> None:
    with filled.connect() as connection:
        floor = connection.execute("select access.retention_floor()").fetchone()
        assert (
            expiry_plan.plan(connection, filled.settings, clock.today(connection, filled.settings)).floor,
        ) == floor


# -- what goes and what stays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5], ids=lambda number: f"{number - 3:+} of the border")
def test_exact_to_the_day_in_every_table(full: Callmart, number: int) -> None:
    floor = DAYS[number]
    before = content(full)
    assert {
        "raw.event.occurred_at", "raw.call.first_at", "raw.call.last_at", "raw.file_customer.first_day",
        "registry.agent.last_day", "ops.opened_day.call_date", "store.queue_interval.interval_start",
        "store.queue_interval.interval_local", "store.agent_session.logged_in_at",
        "store.agent_session.logged_in_local",
        *(f"{mart}.call_date" for mart in marts_with_days(full)),
    } <= too_old(full, floor).keys()  # fmt: skip
    assert "store.queue_interval.call_date" not in too_old(full, DAYS[0]), (
        "looked at by each customer's own clock"
    )

    assert {one.outcome for one in expired(full, floor)} == {expire.DONE}
    assert too_old(full, floor) == {}

    after = content(full)
    with full.connect() as connection:
        for table, day in {
            **dict.fromkeys(marts_with_days(full), "t.call_date"),
            "raw.event": "(t.occurred_at at time zone c.time_zone)::date",
            "raw.call": "(t.last_at at time zone c.time_zone)::date",
        }.items():
            rest = connection.execute(
                f'select count(*) from saved."{table}" as t join registry.customer as c using (customer_id)'
                f" where {day} >= %s",
                [floor],
            ).fetchone()
            assert (len(after[table]),) == rest, table
            assert 0 < len(after[table]) < len(before[table])
            # What is left of a call or a login that began before has another beginning.
            if table not in ("raw.call", "store.agent_session"):
                assert set(after[table]) <= set(before[table])
    assert expired(full, floor) == []
    assert content(full) == after


def test_whole_months_are_dropped(full: Callmart) -> None:
    def standing(parent: str) -> list[str]:
        with full.connect() as connection:
            return [
                name[-6:]
                for name in expired_months.partitions(connection, *parent.split("."))
                if name[-6:] in border_months
            ]

    border_months = [f"{BORDER - timedelta(days=1):%Y%m}", f"{BORDER:%Y%m}"]
    marts = marts_with_days(full)
    parents = ("raw.event", *marts)
    assert [standing(parent) for parent in parents] == [border_months] * len(parents)
    expired(full, BORDER)
    # The last hours of that month in UTC are already the next at the customer furthest east.
    assert [standing(parent) for parent in parents] == [border_months] + [border_months[1:]] * len(marts)
    assert too_old(full, BORDER) == {}
    expired(full, BORDER + timedelta(days=1))
    assert [standing(parent) for parent in parents] == [border_months[1:]] * len(parents)
    assert (
        full.rows(
            "select from pg_class where relname ~ %s and relkind = 'r'",
            f"^({'|'.join(parent.split('.')[1] for parent in parents)})_{border_months[0]}$",
        )
        == []
    )


def test_an_agent_goes_with_the_last_day_that_refers_to_it(full: Callmart) -> None:
    query = "select agent from store.agent where customer_id = 1 order by 1"
    agents = [row["agent"] for row in full.rows(query)]
    assert "SIP/gone" in agents
    expired(full, DAYS[1])
    assert [row["agent"] for row in full.rows(query)] == [agent for agent in agents if agent != "SIP/gone"]
    assert full.rows("select from registry.agent where agent = 'SIP/gone'") == []
    (opened,) = full.rows("select row_count from ops.opened_day where mart = 'agent' and customer_id = 1")
    assert opened["row_count"] == len(agents) - 1


def test_a_call_over_the_border_keeps_its_later_part_only(full: Callmart) -> None:
    over = (
        "select call_key from raw.call as k join registry.customer using (customer_id) where customer_id = 1"
    )
    over += (
        " and (first_at at time zone time_zone)::date < %s and (last_at at time zone time_zone)::date >= %s"
    )
    calls = [row["call_key"] for row in full.rows(over, BORDER, BORDER)]
    if not calls:
        with full.connect() as connection:
            ((key,),) = connection.execute(
                "select call_key from raw.call where customer_id = 1 order by first_at desc limit 1"
            ).fetchall()
            connection.execute(
                "update raw.call set first_at = %s, spans_days = true where call_key = %s",
                [datetime.combine(BORDER - timedelta(days=1), time(12), UTC), key],
            )
        calls = [key]
    expired(full, BORDER)
    for key in calls:
        (call,) = full.rows("select first_at from raw.call where customer_id = 1 and call_key = %s", key)
        assert call["first_at"] == datetime.combine(BORDER, time(), ZoneInfo(ZONES[HERE]))


def test_books_and_files_of_the_time_before_go_too(full: Callmart) -> None:
    """What was done before the floor, whenever the days in it are."""
    old = datetime.combine(BORDER - timedelta(days=1), time(12), UTC)
    with full.connect() as connection:
        ((file,),) = connection.execute(
            "update raw.file set landed_at = %s where file_id = (select min(file_id) from raw.file) returning file_id",
            [old],
        ).fetchall()
        connection.execute("insert into raw.reject values (%s, 7, 'no event')", [file])
        connection.execute("update ops.build set built_at = %s", [old])
        connection.execute("update registry.version set applied_at = %s", [old])
        connection.execute("insert into registry.version (applied_at) values (%s)", [old])
        for table in ("dirty_day", "held_back"):
            more = {
                "dirty_day": "cause) values (1, %s, 'by hand'",
                "held_back": "build_id, cause) values (1, %s, 1, 'x'",
            }
            for day in (BORDER - timedelta(days=1), BORDER):
                connection.execute(f"insert into ops.{table} (customer_id, call_date, {more[table]})", [day])
    pages = full.home / "quality"
    pages.mkdir(exist_ok=True)
    for day in (BORDER - timedelta(days=1), BORDER):
        (pages / f"{day}-1.html").write_text("results")
    (pages / "index.html").write_text("all of them")
    (extract.folder(full.settings) / "1" / "queue.new.hyper").write_text("a draft")
    found = too_old(full, BORDER)
    assert {"raw.file.landed_at", "ops.build.built_at", "registry.version.applied_at", "ops.held_back.call_date",
        "ops.dirty_day.call_date"} <= found.keys()  # fmt: skip
    assert full.rows("select from ops.quality_result")

    expired(full, BORDER)
    remaining = too_old(full, BORDER)
    assert remaining == {"registry.version.applied_at": 1}, "the newest says what is in force"
    assert full.rows("select from raw.reject") == full.rows("select from ops.quality_result") == []
    for table in ("dirty_day", "held_back"):
        assert [row["call_date"] for row in full.rows(f"select call_date from ops.{table}")] == [BORDER]
    assert {f"{BORDER}-1.html", "index.html"} <= {page.name for page in pages.iterdir()}
    assert not (pages / f"{BORDER - timedelta(days=1)}-1.html").exists()
    assert not list(extract.folder(full.settings).rglob("*.hyper"))
    shutil.rmtree(pages)


def test_extracts_with_a_day_too_old_go_and_come_back_without_it(full: Callmart) -> None:
    def oldest() -> dict[str, date]:
        found = {}
        for path in extract.folder(full.settings).rglob("*.hyper"):
            marts = [
                mart.name for mart in dbt_project.marts(full.settings) if mart.day and mart.group == path.stem
            ]
            query = " union all ".join(
                f"""select '{mart}' as mart, min(call_date) as d from "Extract"."{mart}\"""" for mart in marts
            )
            rows = pantab.frame_from_hyper_query(path, query, return_type="pyarrow").to_pylist()
            found |= {f"{path.parent.name}/{row['mart']}": row["d"] for row in rows}
        return found

    # Who logs in for the first night does so in the evening before.
    assert max(oldest().values()) == DAYS[0]
    assert len(oldest()) == len(ZONES) * len(marts_with_days(full))
    expired(full, DAYS[2])
    assert oldest() == {}
    assert full.rows("select from ops.extract") == []
    with full.connect() as connection:
        written = extract.extract(connection, full.settings, ignore_step)
    assert all(isinstance(one, extract.Extract) for one in written), written
    assert set(oldest().values()) == {DAYS[2]}
    assert len(oldest()) == len(ZONES) * len(marts_with_days(full))


def test_what_a_build_left_behind_goes(full: Callmart) -> None:
    with full.connect() as connection:
        connection.execute("insert into build.window values (1, %s, 1), (1, %s, 1)", [DAYS[0], DAYS[4]])
        connection.execute(
            "insert into build.queue_interval (customer_id, call_date) values (1, %s)", [DAYS[0]]
        )
    assert {"build.window.call_date", "build.queue_interval.call_date"} <= too_old(full, DAYS[1]).keys()
    expired(full, DAYS[1])
    assert full.rows("select from build.window") == full.rows("select from build.queue_interval") == []


def test_no_sample_of_the_planner_holds_what_is_gone(full: Callmart) -> None:
    query = (
        "select coalesce(most_common_vals::text, '') || coalesce(histogram_bounds::text, '') as sample from pg_stats"
        " where schemaname in ('raw', 'store', 'ops') and attname in ('call_date', 'first_day', 'occurred_at')"
    )

    def samples() -> str:
        with full.superuser() as superuser:
            superuser.execute("set timezone = 'UTC'")
            return " ".join(sample for (sample,) in superuser.execute(query))

    floor = DAYS[2]
    # By UTC a day of a customer far to the east begins on the day before.
    gone = [f"{day}" for day in DAYS[:1]]
    assert all(day in samples() for day in gone)
    expired(full, floor)
    assert not [day for day in gone if day in samples()]


# -- the plan and what is done ------------------------------------------------------------------------------------


def test_the_plan_changes_nothing_and_is_what_is_done(full: Callmart) -> None:
    before = content(full)
    plan = planned(full, DAYS[2])
    assert content(full) == before
    assert plan.floor == DAYS[2]
    assert all(step.count > 0 and step.why for step in plan.steps)
    logged = "select details from ops.audit_log where action = 'expired' and entry > %s order by entry"
    (last,) = full.rows("select coalesce(max(entry), 0) as entry from ops.audit_log")

    with full.connect() as connection:
        outcomes = expire.execute(connection, plan)
    assert [one.step for one in outcomes] == list(plan.steps)
    assert {one.outcome for one in outcomes} == {expire.DONE}
    taken = [step for step in plan.steps if step.kind != "statistics"]
    details = [row["details"] for row in full.rows(logged, last["entry"])]
    assert [entry.pop("before") for entry in details] == [str(DAYS[2])] * len(taken)
    assert [list(entry.values()) for entry in details] == [[step.count] for step in taken]
    after = content(full)
    lost = sum(len(before[table]) - len(after[table]) for table in before if table != "files")
    forgetting = sum(step.count for step in taken if "forgotten" in step.why)
    cascaded = len(before["raw.file_customer"]) - len(after["raw.file_customer"])
    assert expire.taken(outcomes) - forgetting in (lost, lost - cascaded, lost + 6, lost - cascaded + 6)


def test_what_changed_since_the_plan_is_left_alone(full: Callmart) -> None:
    plan = planned(full, BORDER)
    with full.connect() as connection:
        long_ago = DAYS[0] - timedelta(days=9)
        connection.execute("insert into ops.opened_day values (1, %s, 'queue_interval', 1, 1)", [long_ago])
        connection.execute(
            "insert into store.queue_interval (customer_id, call_date, queue, interval_start)"
            " values (1, %s, 'late', now())", [DAYS[1]],
        )  # fmt: skip
        connection.commit()
        before = content(full)
        outcomes = {one.step.what: one.outcome for one in expire.execute(connection, plan)}
    month = f"store.queue_interval_{DAYS[0]:%Y%m}"
    assert {what for what, outcome in outcomes.items() if outcome == expire.CHANGED} == {
        month,
        "ops.opened_day",
    }
    after = content(full)
    assert after["store.queue_interval"] == before["store.queue_interval"]
    days = full.rows("select call_date from ops.opened_day where isfinite(call_date)")
    assert min(row["call_date"] for row in days) == long_ago
    assert after["raw.event"] != before["raw.event"]
    assert too_old(full, BORDER)
    expired(full, BORDER)
    assert too_old(full, BORDER) == {}


@contextmanager
def reading(callmart: Callmart, table: str) -> Iterator[None]:
    """A customer's transaction that has read a mart and stays open."""
    with callmart.connect(HERE) as reader:
        reader.execute(f"select count(*) from {table}")
        yield
        reader.rollback()


def test_a_reader_is_never_kept_waiting(full: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expire, "TRIES", 2)
    stop = threading.Event()
    answered: list[float] = []
    failures: list[Exception] = []

    def read() -> None:
        try:
            with full.connect(HERE) as reader:
                reader.execute("set statement_timeout = '2s'")
                while not stop.is_set():
                    began = datetime.now()
                    reader.execute("select count(*) from mart.queue_interval")
                    reader.commit()
                    answered.append((datetime.now() - began).total_seconds())
        except Exception as failure:
            failures.append(failure)

    month = f"store.queue_interval_{DAYS[0]:%Y%m}"
    with reading(full, "mart.queue_interval"):
        thread = threading.Thread(target=read)
        thread.start()
        outcomes = {one.step.what: one.outcome for one in expired(full, BORDER)}
        stop.set()
        thread.join()
    assert not failures
    assert len(answered) > 10
    assert {what for what, outcome in outcomes.items() if outcome != expire.DONE} == {month}
    assert outcomes[month] == expire.EMPTIED
    assert too_old(full, BORDER) == {}


def test_a_reader_keeps_nobodys_expired_rows(full: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer that reads and stays in its transaction: the rows go all the same, and their month the next time."""
    monkeypatch.setattr(expire, "TRIES", 1)
    month = f"store.queue_interval_{DAYS[0]:%Y%m}"
    (held,) = full.rows(f"select count(*) as rows from {month}")
    ran = run.Ran()
    with reading(full, "mart.queue_interval"):
        with full.connect() as connection:
            monkeypatch.setattr(clock, "today", lambda *_: two_years_after(BORDER))
            run.expire_and_make_months(connection, full.settings, ran, ignore_step)
            monkeypatch.undo()
        assert ran.problems == [], "nothing is left that should not be"
        assert ran.expired > held["rows"] > 0
        assert too_old(full, BORDER) == {}
        assert full.rows(f"select from {month}") == []
        assert full.rows("select from ops.to_vacuum") == []
    (step,) = [step for step in planned(full, BORDER).steps if step.kind != "statistics"]
    assert (step.what, step.count) == (month, 0)
    assert step.why.endswith("before " + str(BORDER) + ", and empty")
    assert {one.outcome for one in expired(full, BORDER)} == {expire.DONE}
    assert full.rows("select to_regclass(%s) is null as gone", month) == [{"gone": True}]
    assert expired(full, BORDER) == []


class Crash(Exception):
    """What no step expects."""


def test_a_crash_in_any_step_is_finished_by_the_next(full: Callmart) -> None:
    """Each step crashes after all that it does, before it is committed; the steps before it are done."""
    found = []
    *_, statistics = steps = planned(full, BORDER).steps
    assert statistics.kind == "statistics"
    for number in [*range(0, len(steps), 2), len(steps) - 1, None]:
        restore(full)
        if number is not None:
            plan = planned(full, BORDER)

            def crashing(connection: psycopg.Connection, step: expiry_plan.Step = plan.steps[number]) -> int:
                if step.kind != "statistics":
                    step.take(connection)
                raise Crash

            broken = dataclasses.replace(plan.steps[number], take=crashing)
            with pytest.raises(Crash), full.connect() as connection:
                expire.execute(connection, dataclasses.replace(plan, steps=(*plan.steps[:number], broken)))
            assert planned(full, BORDER).steps
        expired(full, BORDER)
        assert too_old(full, BORDER) == {}
        assert full.rows("select from ops.to_vacuum") == []
        found.append(content(full))
    assert len(found) > 5
    assert all(one == found[-1] for one in found)


def test_newer_months_are_not_read(full: Callmart) -> None:
    """A night's expiry costs what expires, not two years: the events of newer months are not looked at."""
    with full.connect() as connection:
        later = (BORDER + timedelta(days=40)).replace(day=1)
        connection.execute("select access.ensure_month('raw.event', %s)", [later])
        connection.commit()
        newer = f"event_{later:%Y%m}"
        reads = "select seq_scan, idx_scan from pg_stat_user_tables where relname = %s"

        def looked_at(name: str) -> Any:
            connection.execute("select pg_stat_force_next_flush()")
            connection.commit()
            found = connection.execute(reads, [name]).fetchone()
            connection.commit()
            return found

        old, before = looked_at(f"event_{DAYS[0]:%Y%m}"), looked_at(newer)
        expire.execute(connection, expiry_plan.plan(connection, full.settings, two_years_after(DAYS[1])))
        assert looked_at(f"event_{DAYS[0]:%Y%m}") != old
        assert looked_at(newer) == before


# -- in the run ---------------------------------------------------------------------------------------------------


def test_a_failing_expiry_stops_neither_months_nor_the_run(
    full: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise RuntimeError("a row: +31612345678")

    monkeypatch.setattr(expire, "expire", failing)
    ahead = [(TODAY.replace(day=1) + timedelta(days=31 * n)).replace(day=1) for n in (1, 2)]
    for month in ahead:
        for parent in ("raw.event", *marts_with_days(full)):
            with full.connect() as connection:
                connection.execute(f"drop table if exists {parent}_{month:%Y%m}")
    with full.connect() as connection:
        ran = run.run(connection, full.settings, ignore_step)
        assert ran.problems == ["the expiry broke off (RuntimeError): run `callmart expire` to finish it"]
        groups = {mart.group for mart in dbt_project.marts(full.settings)}
        assert ran.extracts == len(ZONES) * len(groups)
        for month in ahead:
            for name in ("raw.event", *marts_with_days(full)):
                assert expired_months.exists(connection, f"{name}_{month:%Y%m}")


def test_months_that_cannot_be_made_are_a_problem(full: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "PATIENCE", "50ms")
    month = (TODAY.replace(day=1) + timedelta(days=31)).replace(day=1)
    ran = run.Ran()
    with full.connect() as holder, full.connect() as connection:
        holder.execute(f"drop table if exists raw.event_{month:%Y%m}")
        holder.commit()
        holder.execute("lock table raw.event in share update exclusive mode")
        run.expire_and_make_months(connection, full.settings, ran, ignore_step)
        holder.rollback()
        assert ran.problems == ["the months ahead were not made (SQLSTATE 55P03): the next run tries again"]
        assert months.ensure_ahead(connection, full.settings) == 1
        assert months.ensure_ahead(connection, full.settings) == 0


def test_a_late_file_brings_nothing_back(full: Callmart) -> None:
    with full.connect() as connection:
        floor = expiry_plan.plan(connection, full.settings, clock.today(connection, full.settings)).floor
    for customer, zone in ZONES.items():
        moments = [datetime.combine(floor, time(), ZoneInfo(zone)) + timedelta(seconds=s) for s in (-1, 0)]
        rows = [
            {"event": "queue_joined", "occurred_at": at.isoformat(), "call_id": f"late-{n}", "queue": "sales"}
            for n, at in enumerate(moments)
        ]
        landed = full.land_text(ndjson(*rows), customer)
        assert (landed.turned_away, landed.landed) == (1, 1)
    full.build_unchecked()
    rows = full.rows("select call_date from store.queue_interval where call_date < %s", DAYS[0])
    assert {row["call_date"] for row in rows} == {floor}
    assert too_old(full, floor) == {}
    expired(full, floor + timedelta(days=1))
    full.build_unchecked()
    assert not full.rows("select from store.queue_interval where call_date < %s", DAYS[0])


def test_a_backfill_of_an_expired_day_opens_nothing(full: Callmart) -> None:
    with full.connect() as connection:
        floor = expiry_plan.plan(connection, full.settings, clock.today(connection, full.settings)).floor
        expired_day = floor - timedelta(days=1)
        connection.execute("select access.ensure_month('raw.event', %s)", [expired_day])
        connection.execute(
            "insert into raw.event"
            " (customer_id, occurred_at, event_key, platform, event, file_id, call_key, call_id, queue)"
            " values (1, %s, 1, 'vcloud', 'queue_joined', 1, 1, 'old', 'sales')",
            [datetime.combine(expired_day, time(12), UTC)],
        )
        connection.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause) values (1, %s, 'by hand')",
            [expired_day],
        )
    full.build_unchecked()
    assert not full.rows("select from store.queue_interval where call_date < %s", floor)
    with full.connect() as connection:
        expire.expire(connection, full.settings, clock.today(connection, full.settings))
    assert too_old(full, floor) == {}


@pytest.mark.parametrize("age", [0, 1], ids=["still kept", "too old"])
def test_a_day_that_grows_too_old_between_build_and_open_is_not_opened(
    full: Callmart, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    """Midnight comes after the checks. Here the window gets older instead."""
    inner = opening.open_build
    marts = [mart.removeprefix("store.") for mart in marts_with_days(full)]
    with full.connect() as connection:
        day = expiry_plan.floor_on(connection, clock.today(connection, full.settings)) - timedelta(days=age)
        connection.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause) values (1, %s, 'by hand')", [DAYS[3]]
        )

    def after_midnight(connection: psycopg.Connection, settings: Any) -> Any:
        for table in ("window", *marts):
            # The days after it are only looked at again.
            connection.execute(f'delete from build."{table}" where call_date <> %s', [DAYS[3]])
            connection.execute(f'update build."{table}" set call_date = %s', [day])
        connection.commit()
        return inner(connection, settings)

    monkeypatch.setattr(opening, "open_build", after_midnight)
    ran = full.build_and_open()
    assert (ran.built_days, ran.opened_days) == (1, 1 - age)
    for table in marts:
        found = full.rows(f"select from store.{table} where call_date = %s", day)
        assert bool(found) == (age == 0)


# -- the command --------------------------------------------------------------------------------------------------

WRONG = {
    "no date": (["--today", "yesterday"], "--today: yesterday is not a date; write it as 2026-11-24"),
    "no such day": (["--today", "2026-02-29"], "--today: 2026-02-29 is not a date"),
    "before all": (["--today", "0001-01-01"], "--today: 0001-01-01 is not a date"),
    "a day to come": (
        ["--today", str(two_years_after(BORDER))],
        "is not today; look at the plan with `callmart expire --today",
    ),
    "a day long ago": (["--today", "2000-02-29"], "2000-02-29 is not today; look at the plan with"),
    "a plan of nobody": (["--accept", "0123abcd"], "0123abcd is not the current plan"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_clock_is_one_sentence_and_changes_nothing(
    full: Callmart, arguments: list[str], said: str
) -> None:
    before = content(full)
    done = command_of(full.home)("expire", *arguments)
    assert said in mistake(done)
    assert done.stdout == ""
    assert content(full) == before


def test_the_command_shows_the_plan_does_it_and_has_nothing_left(full: Callmart) -> None:
    command = command_of(full.home)
    at = ("--today", str(two_years_after(BORDER)))
    before = content(full)
    shown = command("expire", "--plan", *at)
    assert shown.returncode == 0, shown.stderr
    assert f"store.queue_interval_{DAYS[0]:%Y%m}" in shown.stdout
    *_, how, said = shown.stdout.splitlines()
    assert said == f"expire: planned; the oldest day that is kept is {BORDER}"
    plan = json.loads(command("expire", "--plan", "--json", *at).stdout)
    assert how == f"to do this: callmart expire --today {at[1]} --accept {plan['hash']}"
    assert content(full) == before

    with full.connect() as connection:
        connection.execute(
            "insert into ops.opened_day values (1, %s, 'queue_interval', 1, 1)", [BORDER - timedelta(days=9)]
        )
    changed = content(full)
    assert "is not the current plan" in mistake(command(*how.removeprefix("to do this: callmart ").split()))
    assert content(full) == changed, "neither more nor less than what was shown"
    restore(full)

    done = command("expire", "--accept", plan["hash"], "--json", *at)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["floor"], report["outcome"]) == (str(BORDER), "done")
    assert [step | {"outcome": "planned"} for step in report["steps"]] == plan["steps"]
    nothing = json.loads(command("expire", "--plan", "--json", *at).stdout)
    assert (nothing["outcome"], nothing["steps"]) == ("nothing to do", [])
    again = command("expire", "--accept", nothing["hash"], *at)
    assert (again.returncode, again.stdout) == (
        0,
        f"expire: nothing to do; the oldest day that is kept is {BORDER}\n",
    )


def test_a_lock_not_got_is_exit_code_1(full: Callmart) -> None:
    """Of somebody who keeps even the rows from being deleted: no customer can."""
    command, at = command_of(full.home), ("--today", str(two_years_after(BORDER)))
    plan = json.loads(command("expire", "--plan", "--json", *at).stdout)
    with full.connect() as holder:
        holder.execute("lock table store.queue_interval in share mode")
        done = command("expire", "--accept", plan["hash"], *at)
        holder.rollback()
    assert done.returncode == 1
    assert "lock not obtained" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("expire: lock not obtained; ")


def test_one_at_a_time(full: Callmart) -> None:
    with full.connect() as first, exclusive(first):
        said = mistake(command_of(full.home)("expire"))
        assert command_of(full.home)("expire", "--plan").returncode == 0
    assert "another callmart run is at work" in said
