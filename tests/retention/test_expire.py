"""Two years, exact to the day: what is too old is gone from every table and file, and nothing else is."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from callmart.base import disk
from callmart.base.progress import quietly
from callmart.database import clock
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.publish import deriving
from callmart.reports import shelf, weeks
from callmart.retention import expire, expired_months, expiry_plan
from callmart.tableau_files import hyper
from callmart_home import Callmart
from midnights import AZORES, two_midnights
from six_days import (
    BORDER,
    DAYS,
    HERE,
    ZONES,
    content,
    expired,
    marts_with_days,
    planned,
    too_old,
    two_years_after,
)
from today import TODAY

pytestmark = pytest.mark.dated

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


@pytest.mark.parametrize("number", [2, 3, 4], ids=lambda number: f"{number - 3:+} of the border")
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
        ((build,),) = connection.execute(
            "insert into ops.build (built_at, days, tables) values (%s, 0, '{}') returning build_id",
            [old + timedelta(days=1)],
        ).fetchall()
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
    for page in (f"{old:%Y-%m-%d}-1.html", f"{BORDER}-{build}.html"):
        (pages / page).write_text("results")
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
    assert {page.name for page in pages.iterdir()} == {f"{BORDER}-{build}.html", "index.html"}
    assert not list(extract.folder(full.settings).rglob("*.hyper"))
    shutil.rmtree(pages)


def test_what_was_mailed_is_known_until_its_week_can_not_be_mailed_again(full: Callmart) -> None:
    today = two_years_after(BORDER)
    kept, gone = today - timedelta(days=21), today - timedelta(days=22)
    with full.connect() as connection:
        for week in kept, gone:
            connection.execute(
                "insert into registry.mailed values (1, %s, 'somebody', 'traffic', 'sent')", [week]
            )
    expired(full, BORDER)
    assert [row["week"] for row in full.rows("select week from registry.mailed")] == [kept]


def test_files_that_nobody_can_name_or_delete_stop_nothing(full: Callmart) -> None:
    reports, outbox = full.home / "reports", full.home / "outbox"
    week = weeks.of(BORDER).before
    strays = (
        reports / "1.old" / f"traffic-{week}.html",
        reports / "1" / "traffic-2025-W54.html",
        outbox / "1" / "a.eml",
    )
    old = (
        reports / "1" / f"status-{week}.html",
        reports / "2" / f"status-{week}.html",  # after the one that is stuck
        outbox / "1" / f"{week}.traffic.x.eml",
    )
    for file in (*strays, *old):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    stuck = reports / "1" / f"traffic-{week}.html"
    stuck.mkdir()  # it can't be unlinked, as a page in a folder of another account

    logged = "select details from ops.audit_log where action = 'expired' order by entry"
    before = len(full.rows(logged))
    ran = expired(full, BORDER)
    noted = [row["details"] for row in full.rows(logged)[before:]]
    assert [one["files"] for one in noted if "files" in one][-2:] == [2, 1], "not the one that is stuck"
    assert [one.gone for one in ran if one.step.kind == "files"][-2:] == [2, 1]
    assert shelf.index(full.settings).exists(), "what follows from the files that went is done"
    outcomes = {one.step.what: one.outcome for one in ran}
    assert {what for what, outcome in outcomes.items() if outcome != expire.DONE} == {f"{reports}/*/*.html"}
    assert outcomes[f"{reports}/*/*.html"] == expire.overall(ran) == expire.STUCK
    assert outcomes["the tables above"] == expire.DONE
    assert [file.exists() for file in (*strays, *old)] == [True] * 3 + [False] * 3
    stuck.rmdir()
    assert {one.outcome for one in expired(full, BORDER)} <= {expire.DONE}
    for folder in reports, outbox:
        shutil.rmtree(folder)


def test_what_a_kill_has_left_goes_after_a_day(full: Callmart) -> None:
    """It can be what was downloaded from Tableau. What a command at work has is younger."""
    with disk.temporary(full.home) as folder:
        left, young = folder / "left.tdsx", folder / "young.tdsx"
        for file, changed_at in (left, 0.0), (young, datetime.now(UTC).timestamp()):
            file.touch()
            os.utime(file, (changed_at, changed_at))
        expired(full, BORDER)
        assert list(folder.iterdir()) == [young]


def test_of_a_day_of_many_builds_the_last_stays_and_what_is_still_wrong(full: Callmart) -> None:
    names = ["nothing is wrong", "was wrong", "an open day", "a held-back day", "the last"]
    first = datetime.combine(BORDER, time(12), UTC)
    with full.connect() as connection:
        builds: dict[str, int] = {}
        for hour, name in enumerate(names):
            ((builds[name],),) = connection.execute(
                "insert into ops.build (built_at, days, tables) values (%s, 1, '{}') returning build_id",
                [first + timedelta(hours=hour)],
            ).fetchall()
            failing = name in names[1:4]
            connection.execute(
                "insert into ops.quality_result values (%s, 'queue_interval', 'x', 'warning', %s)",
                [builds[name], not failing],
            )
            if failing:
                connection.execute(
                    "insert into ops.quality_failure values (%s, 'queue_interval', 'x', 1, %s)",
                    [builds[name], BORDER],
                )
        connection.execute(
            "update ops.opened_day set build_id = %s where customer_id = 1 and call_date = %s",
            [builds["an open day"], BORDER],
        )
        connection.execute(
            "insert into ops.held_back (customer_id, call_date, build_id, cause) values (1, %s, %s, 'x')",
            [BORDER, builds["a held-back day"]],
        )
    pages = full.home / "quality"
    pages.mkdir(exist_ok=True)
    for build in builds.values():
        (pages / f"{BORDER}-{build}.html").write_text("<title>results</title>")

    def left() -> set[str]:
        rows = full.rows("select build_id from ops.build where build_id = any(%s)", list(builds.values()))
        stay = {row["build_id"] for row in rows}
        assert {int(page.stem[11:]) for page in pages.glob("2*.html")} == stay
        assert {row["build_id"] for row in full.rows("select build_id from ops.quality_result")} >= stay
        return {name for name, build in builds.items() if build in stay}

    with full.connect() as connection:
        expire.expire(connection, full.settings, BORDER)
    assert left() == set(names), "the day itself"
    outcomes = expired(full, BORDER)
    assert {one.outcome for one in outcomes} == {expire.DONE}
    of_builds = [one.step for one in outcomes if "builds" in one.step.why or one.step.what == "ops.build"]
    assert [step.is_too_old for step in of_builds] == [False, False], "no breach before the expiry"
    assert left() == set(names[2:])
    assert all(step.what != "ops.build" for step in planned(full, BORDER).steps)
    expired(full, BORDER + timedelta(days=1))
    assert left() == set(), "they are two years old"
    shutil.rmtree(pages)


def test_what_runs_did_by_themselves_leaves_the_log_after_two_years_and_nothing_else_does(
    full: Callmart,
) -> None:
    floor = two_years_before(TODAY)
    with full.connect() as connection:
        for action in ("opened", "registry applied"):
            for day in (floor - timedelta(days=1), floor):
                at = datetime.combine(day, time(12), ZoneInfo("Europe/Amsterdam"))
                connection.execute("insert into ops.audit_log (at, action) values (%s, %s)", [at, action])

    def logged() -> list[tuple[date, str]]:
        rows = full.rows(
            "select at::date as day, action from ops.audit_log where at < now() - interval '1 day'"
        )
        return sorted((row["day"], row["action"]) for row in rows)

    kept = [(floor - timedelta(days=1), "registry applied"), (floor, "opened"), (floor, "registry applied")]
    deleting = [
        f"delete from ops.audit_log where at::date = '{day}' and action = '{action}'" for day, action in kept
    ]
    for statement in (*deleting, "update ops.audit_log set at = now()", "truncate ops.audit_log"):
        with full.connect() as connection, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement.encode())
    # Also if somebody expires as of a day that is still to come.
    for today in (TODAY, TODAY + timedelta(days=400)):
        with full.connect() as connection:
            outcomes = expire.expire(connection, full.settings, today)
        assert {one.outcome for one in outcomes} <= {expire.DONE}
        assert logged() == kept


def test_a_day_of_the_log_that_began_twice_stays_as_a_whole(full: Callmart) -> None:
    night = date(2023, 10, 29)
    with full.connect() as connection:
        for moment in two_midnights(night, AZORES):
            connection.execute("insert into ops.audit_log (at, action) values (%s, 'opened')", [moment])
        there = full.settings.model_copy(update={"time_zone": AZORES})
        going = [
            [
                step.count
                for step in expiry_plan.plan(connection, there, day).steps
                if step.what == "ops.audit_log"
            ]
            for day in (date(2025, 10, 29), date(2025, 10, 30))
        ]
    assert going == [[], [2]]


def test_extracts_with_a_day_too_old_go_and_come_back_without_it(full: Callmart) -> None:
    def oldest() -> dict[str, date]:
        found: dict[str, date] = {}
        for path in extract.folder(full.settings).rglob("*.hyper"):
            marts = [
                mart.name for mart in dbt_project.marts(full.settings) if mart.day and mart.group == path.stem
            ]
            query = " union all ".join(
                f"""select '{mart}' as mart, min(call_date) as d from "Extract"."{mart}\"""" for mart in marts
            )
            found |= {f"{path.parent.name}/{mart}": day.to_date() for mart, day in hyper.rows(path, query)}
        return found

    def on_tableau() -> dict[int, tuple[list[str], str | None, str | None]]:
        with full.connect() as connection:
            found = deriving.desired(connection, full.settings)
            stopped = deriving.mail_stopped(connection)
        return {
            one.customer_id: (
                [each.content_hash for each in one.data_sources],
                stopped.get(one.customer_id),
                one.problem,
            )
            for one in found
        }

    # Who logs in for the first night does so in the evening before.
    assert max(oldest().values()) == DAYS[0]
    assert len(oldest()) == len(ZONES) * len(marts_with_days(full))
    wanted = on_tableau()
    assert {len(sources) for sources, *_ in wanted.values()} == {3}
    expired(full, DAYS[2])
    assert oldest() == {}
    # If the next extract fails, what is on Tableau stays, and nothing of it is mailed.
    assert {customer: sources for customer, (sources, *_) in on_tableau().items()} == {
        customer: sources for customer, (sources, *_) in wanted.items()
    }
    assert {(why, problem) for _, why, problem in on_tableau().values()} == {
        ("the extract does not contain all open days; run `callmart extract`", None)
    }
    with full.connect() as connection:
        written = extract.extract(connection, full.settings, quietly)
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
