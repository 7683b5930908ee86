"""What fails its checks stays out, and nothing else: held back by customer and day, the last good version in place."""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from psycopg import sql

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.build import window
from callmart.declarations import dbt_project
from callmart.opening import opening
from callmart.validate import suites
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, NAMED, STANDARD, WITH_DATA, queue_of
from checking import EVERY_DAY, Day, as_computed, check, compute, only
from events import AMSTERDAM, event, ndjson
from nights import Crash


def held_back(connection: psycopg.Connection) -> set[Day]:
    return set(connection.execute("select customer_id, call_date from ops.held_back").fetchall())


def mart_rows(callmart: Callmart, connection: psycopg.Connection) -> dict[Day, list[Any]]:
    """The marts as they stand, by customer and day."""
    rows: dict[Day, list[Any]] = {}
    for mart in dbt_project.marts(callmart.settings):
        if mart.day:
            assert mart.key[:2] == ("customer_id", mart.day) == mart.columns[:2]
            query = sql.SQL("select * from {} order by {}").format(
                sql.Identifier("store", mart.name), sql.SQL(", ").join(map(sql.Identifier, mart.key))
            )
            for row in connection.execute(query):
                rows.setdefault(row[:2], []).append((mart.name, *row))
    return rows


# Each breaks a day of its own; the rest is as it should be.
BREAKS = {
    (NAMED, DAYS[0]): "update build.queue_interval set offered = offered + 1 where {day}",
    (NAMED, DAYS[1]): "update build.agent_day set rings_unanswered = rings + 1 where {day}",
    (
        NAMED,
        DAYS[2],
    ): "insert into build.queue_interval select * from build.queue_interval where {day} limit 1",
    (ANONYMOUS, DAYS[0]): "update build.queue_interval set talk_s = -1 where {day}",
    (ANONYMOUS, DAYS[1]): "update build.agent_day set agent_key = 'Jan' where {day}",
    (STANDARD, DAYS[0]): "update build.queue_interval set queue = null where {day}",
    (STANDARD, DAYS[1]): "update build.queue_interval set answered_in_threshold = answered + 1 where {day}",
    (STANDARD, DAYS[2]): (
        "update build.queue_interval set interval_local = interval_local - interval '1 day' where {day}"
    ),
}


def test_the_days_that_fail_are_held_back_and_no_others(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = mart_rows(played, owner)
    owner.execute("update store.queue_interval set ring_s = 7")  # to tell what was opened from what stayed
    stayed = mart_rows(played, owner)
    for (customer, day), statement in BREAKS.items():
        where = sql.SQL("customer_id = {} and call_date = {}").format(customer, day)
        assert owner.execute(sql.SQL(statement).format(day=where)).rowcount > 0
    assert check(played, owner).held_back == BREAKS.keys()
    opened = opening.open_build(owner, played.settings)

    assert (opened.days, opened.held_back) == (1, len(BREAKS))
    assert held_back(owner) == BREAKS.keys()
    assert set(owner.execute("select customer_id, call_date from ops.dirty_day").fetchall()) == BREAKS.keys()
    assert mart_rows(played, owner) == stayed | {(ANONYMOUS, DAYS[2]): good[ANONYMOUS, DAYS[2]]}, (
        "the last good version"
    )
    logged = "select details ->> 'days' from ops.audit_log where action = 'held back' and customer_id = %s"
    assert owner.execute(logged, [ANONYMOUS]).fetchall() == [("2",)]
    owner.rollback()

    only(monkeypatch, "queue_interval", "agent_day")  # where the breaks were; all have passed before
    assert played.build_and_open().opened_days == len(BREAKS)
    assert held_back(owner) == set()
    assert mart_rows(played, owner) == good
    again = played.build_and_open()
    assert (again.built_days, again.opened_days, again.held_back_days) == (0, 0, 0), "nothing is dirty"


@pytest.mark.parametrize("column", ["customer_id", "call_date"])
def test_a_row_of_no_day_holds_everything_back(
    played: Callmart, owner: psycopg.Connection, column: str
) -> None:
    """Whose row is missing elsewhere, nobody can say."""
    owner.execute(
        sql.SQL("update build.queue_interval set {} = null where customer_id = {}").format(
            sql.Identifier(column), NAMED
        )
    )
    assert check(played, owner, "queue_interval").held_back == set(EVERY_DAY)


def test_a_mart_without_days_holds_back_all_days_of_its_customer(
    played: Callmart, owner: psycopg.Connection
) -> None:
    owner.execute("update build.agent set agent = null where customer_id = %s", [NAMED])
    assert check(played, owner, "agent").held_back == {(NAMED, day) for day in DAYS}
    assert opening.open_build(owner, played.settings).days == (len(WITH_DATA) - 1) * len(DAYS)


def test_all_failing_days_are_found(played: Callmart, owner: psycopg.Connection) -> None:
    """Great Expectations lists twenty rows, or two hundred, and stops."""
    days = [DAYS[0] - timedelta(days=age) for age in range(250)]
    compute(played, owner, [(NAMED, day) for day in days])
    owner.execute("delete from build.queue_interval")
    owner.execute(
        """
        insert into build.queue_interval (customer_id, call_date, offered, interval_local)
        select customer_id, call_date, -1, 'epoch' from build.window where not reached
        """
    )
    results = check(played, owner, "queue_interval").results
    failing = {r.expectation: set(r.failing) for r in results if r.mart == "queue_interval" and r.failing}
    wanted = {(NAMED, day) for day in days}
    assert failing["the quarter-hour lies in its day"] == wanted, "found by a query"
    assert failing["expect_column_values_to_be_between: min_value 0, column offered"] == wanted, "by a column"


def test_a_warning_holds_nothing_back(played: Callmart, owner: psycopg.Connection) -> None:
    for table in ("queue_interval", "queue_day"):  # they must add up
        owner.execute(f"update build.{table} set wait_max_s = 14401 where customer_id = %s", [STANDARD])
    found = check(played, owner, "queue_interval", "queue_day")
    assert (found.held_back, found.warnings) == (set(), 2)
    assert opening.open_build(owner, played.settings).held_back == 0


def test_a_login_gets_old_by_the_customers_clock(played: Callmart, owner: psycopg.Connection) -> None:
    """In Auckland a day begins while it is the day before in UTC."""
    with_clock = {"customer": NAMED, "midnight": DAYS[0], "zone": "Pacific/Auckland"}
    for statement in (
        "update build.stg_day set time_zone = %(zone)s, begins_at = call_date::timestamp at time zone %(zone)s"
        " where customer_id = %(customer)s",
        "update build.agent_session set logged_out_at = null where customer_id = %(customer)s",
        "delete from build.int_login where customer_id = %(customer)s",
        "insert into build.int_login (customer_id, agent_key, began_at, ended_at)"
        " select distinct customer_id, agent_key, %(midnight)s::timestamp at time zone %(zone)s,"
        " timestamptz 'infinity'"
        " from build.agent_session where customer_id = %(customer)s",
    ):
        assert owner.execute(statement, with_clock).rowcount > 0

    def too_long() -> set[Day]:
        found = check(played, owner, "agent_session")
        name = "nobody is logged in for three days without a logout"
        (days,) = [set(r.failing) for r in found.results if r.expectation == name]
        return days

    assert too_long() == set()
    owner.execute("update build.int_login set began_at = began_at - interval '1 second'")
    assert too_long() == {(NAMED, DAYS[2])}


def test_what_landed_and_was_not_built_is_held_back(played: Callmart, owner: psycopg.Connection) -> None:
    assert owner.execute("select count(*) from build.int_landed").fetchall() == [
        (len(WITH_DATA) * len(DAYS),)
    ]
    owner.execute(
        "update build.int_landed set calls_joined = 1000 where customer_id = %s and call_date = %s",
        [NAMED, DAYS[1]],
    )
    assert check(played, owner, "queue_day").held_back == {(NAMED, DAYS[1])}


def test_a_day_that_fails_as_a_file_lands_for_it_is_left_to_the_next_build(
    played: Callmart, owner: psycopg.Connection
) -> None:
    """Some models have seen the file and others have not. What a contract closes is closed all the same."""
    good, fails, lands = mart_rows(played, owner), (NAMED, DAYS[0]), (NAMED, DAYS[1])
    turned = (STANDARD, DAYS[1])  # it was opened under a detailed contract
    for customer, day in (fails, lands, turned):
        given = {"customer": customer, "day": day, "turned": (customer, day) == turned}
        owner.execute(
            "update build.int_landed set calls_joined = 1000 where customer_id = %(customer)s and call_date = %(day)s",
            given,
        )
        owner.execute(
            "update ops.opened_day set so_far = case when not %(turned)s then now() end, is_detailed = %(turned)s"
            " where customer_id = %(customer)s and call_date = %(day)s",
            given,
        )
    owner.commit()
    for customer, day in (lands, turned):
        late = event(
            "queue_joined", datetime.combine(day, clock_time(12), AMSTERDAM), call_id="b", queue="sales"
        )
        assert played.land_text(ndjson(late), customer).landed == 1
    assert check(played, owner, "queue_day").held_back == {fails, lands, turned}
    opened = opening.open_build(owner, played.settings)
    assert (opened.days, opened.held_back) == (len(EVERY_DAY) - 3, 2)
    assert held_back(owner) == {fails, turned}
    assert mart_rows(played, owner).keys() == good.keys() - {fails, turned}, "what is held back is closed"
    waiting = set(owner.execute("select customer_id, call_date from ops.dirty_day").fetchall())
    assert waiting == {fails, lands, turned}


def test_who_has_no_name_and_what_no_contract_keeps_is_held_back(
    played: Callmart, owner: psycopg.Connection
) -> None:
    nobody = "update build.{} set agent_key = repeat('0', 32) where customer_id = %s and call_date = %s"
    for mart, day in zip(("agent_session", "agent_contact"), DAYS, strict=False):
        owner.execute(nobody.format(mart), [NAMED, day])
    unordered = "update build.agent_interval set customer_id = %s where customer_id = %s and call_date = %s"
    owner.execute(unordered, [STANDARD, NAMED, DAYS[2]])
    found = check(played, owner, "agent_session", "agent_contact", "agent_interval")
    failing = {(r.mart, r.expectation): set(r.failing) for r in found.results if r.failing}
    unknown, unkept = "every agent is one of the mart agent", "a detailed contract keeps the day"
    assert failing["agent_session", unknown] == {(NAMED, DAYS[0])}
    assert failing["agent_contact", unknown] == {(NAMED, DAYS[1])}
    assert failing["agent_interval", unkept] == {(STANDARD, DAYS[2])}


def test_a_day_on_which_an_agent_is_shown_is_held_back(played: Callmart, owner: psycopg.Connection) -> None:
    """By key, id, name or label, under any option; also where the events alone know the key."""
    a_key = "select min(agent_key) from raw.event where customer_id = {}"
    shown = {
        (
            "queue_interval",
            NAMED,
            DAYS[0],
        ): "select min(agent_key) from registry.agent where customer_id = {}",
        ("queue_interval", NAMED, DAYS[1]): "select min(agent) from registry.agent where customer_id = {}",
        ("queue_day", NAMED, DAYS[2]): "select min(name) from registry.agent where customer_id = {}",
        ("queue_interval", ANONYMOUS, DAYS[0]): f"select 'agent-' || left(({a_key}), 10)",
        ("line_interval", STANDARD, DAYS[1]): a_key,
    }
    for (mart, customer, day), agent in shown.items():
        column = "line" if mart == "line_interval" else "queue"
        changed = owner.execute(
            f"update build.{mart} set {column} = ({agent.format(customer)})"
            f" where customer_id = {customer} and call_date = '{day}' and ({agent.format(customer)}) is not null"
        )
        assert changed.rowcount > 0, mart
    # None of theirs: another customer's key, the id of an agent that is a queue of the customer's, a part of a name.
    owner.execute(
        f"update build.queue_interval set queue = ({a_key.format(NAMED)}) where customer_id = {STANDARD}"
    )
    owner.execute("insert into registry.queue values (%s, 'medewerker-1001-2', null, 20, 5)", [NAMED])
    owner.execute(
        "insert into registry.agent (customer_id, agent_key, agent) values (%s, 'k', 'medewerker-1001-2')"
        " on conflict do nothing",
        [NAMED],
    )
    owner.execute("update build.queue_day set queue = 'medewerker-1001-2' where call_date = %s", [DAYS[0]])
    owner.execute("update build.queue_day set queue = 'Noor' where call_date = %s", [DAYS[1]])
    found = check(played, owner)
    assert {
        (r.mart, *day) for r in found.results if r.expectation == "no agent is shown" for day in r.failing
    } == shown.keys()
    assert found.held_back >= {(customer, day) for _, customer, day in shown}
    asked = {r.mart for r in found.results if r.expectation == "no agent is shown"}
    assert asked == {mart.name for mart in dbt_project.marts(played.settings) if mart.group != "agent"}


def test_who_checks_asks_for_agents_and_reads_none(played: Callmart, owner: psycopg.Connection) -> None:
    ask = "select registry.known_agents(%s, %s)"
    with logins.connect(played.settings, "quality") as quality:
        names = ["Noor Zandvliet", "medewerker-1001-1", "noor@example.org", "Noor", queue_of(NAMED)]
        assert quality.execute(ask, [NAMED, names]).fetchall() == [(names[:3],)]
        assert quality.execute(ask, [STANDARD, names]).fetchall() == [([],)]
    for duty in ("loader", "publisher", "auditor", "operator"):
        with (
            logins.connect(played.settings, duty) as login,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            login.execute(ask, [NAMED, ["Noor Zandvliet"]])


def test_a_day_is_compared_with_the_same_week_days_before(
    played: Callmart, owner: psycopg.Connection
) -> None:
    """Two weeks in which one customer had five times the contacts, and another's went on for longer."""
    weeks = """
        insert into store.queue_interval
        select (jsonb_populate_record(q, jsonb_build_object(
            'call_date', call_date - {back}, 'interval_start', interval_start - interval '{back} days',
            'interval_local', interval_local - interval '{back} days' + interval '{later} minutes',
            'offered', offered * {times}
        ))).*
        from store.queue_interval as q where customer_id = {customer} and call_date >= '{first}'
    """
    for customer, later, times in (NAMED, 0, 5), (STANDARD, 200, 1):
        for back in 7, 14:
            for day in DAYS:
                owner.execute(
                    "select access.ensure_month('store.queue_interval', %s)", [day - timedelta(days=back)]
                )
            owner.execute(weeks.format(back=back, later=later, times=times, customer=customer, first=DAYS[0]))
    compute(played, owner, EVERY_DAY)
    found = check(played, owner, "queue_interval", "queue_day")
    assert found.held_back == set()
    assert {(r.mart, r.expectation): set(r.failing) for r in found.results if r.failing} == {
        ("queue_interval", "about as many contacts as on the same week days before"): {
            (NAMED, day) for day in DAYS
        },
        ("queue_interval", "the day goes on for as long as the same week days before"): {
            (STANDARD, day) for day in DAYS
        },
    }
    assert opening.open_build(owner, played.settings).held_back == 0


def test_an_expectation_that_names_no_rows_holds_everything_back(
    played: Callmart, owner: psycopg.Connection, spare_suites: Path
) -> None:
    with (spare_suites / "queue_interval.yml").open("a") as file:
        file.write(
            "\n  - {type: expect_table_row_count_to_equal, severity: critical, kwargs: {value: 1000000}}\n"
        )
    assert check(played, owner, "queue_interval").held_back == set(EVERY_DAY)


def test_a_day_without_a_row_passes_and_empties_the_mart(played: Callmart, owner: psycopg.Connection) -> None:
    """Also the only day of a window, which no later day looks back at: every expectation holds of nothing."""
    good = mart_rows(played, owner)
    compute(played, owner, [(NAMED, DAYS[-1])])
    assert owner.execute("select customer_id, call_date from build.window").fetchall() == [(NAMED, DAYS[-1])]
    tables = [sql.Identifier("build", mart.name) for mart in dbt_project.marts(played.settings)]
    owner.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(tables)))
    as_computed(played, owner)
    found = check(played, owner, "queue_day")
    assert found.held_back == {(NAMED, DAYS[-1])}, "calls have landed and none is built"
    owner.execute("truncate build.int_landed")
    assert check(played, owner).held_back == set()
    assert opening.open_build(owner, played.settings).days == 1
    assert mart_rows(played, owner).keys() == good.keys() - {(NAMED, DAYS[-1])}

    compute(played, owner, [(NAMED, DAYS[-1])])
    check(played, owner, "queue_interval")
    opening.open_build(owner, played.settings)
    assert mart_rows(played, owner) == good


def test_what_was_not_validated_is_not_opened(played: Callmart, owner: psycopg.Connection) -> None:
    with pytest.raises(UserError, match=r"has not been validated: run `callmart validate`"):
        opening.open_build(owner, played.settings)


def test_a_window_computed_again_is_not_the_one_that_was_built(
    played: Callmart, owner: psycopg.Connection
) -> None:
    check(played, owner, "queue_interval")
    owner.commit()
    dbt_project.run(played.settings, quietly)
    for stage in (check, lambda callmart, connection: opening.open_build(connection, callmart.settings)):
        with pytest.raises(UserError, match=r"window changed after .*; run `callmart build` again"):
            stage(played, owner)


def test_a_build_that_broke_off_lets_nothing_of_an_earlier_one_be_opened(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its window has other days, and newer marks of the same ones."""
    check(played, owner, "queue_interval")
    owner.commit()
    good, new = mart_rows(played, owner), DAYS[-1] + timedelta(days=1)
    moments = [datetime.combine(day, clock_time(12), AMSTERDAM) for day in (DAYS[-1], new)]
    late = (event("queue_joined", moment, call_id="late", queue=queue_of(NAMED)) for moment in moments)
    assert played.land_text(ndjson(*late), NAMED).landed == 2
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(dbt_project, "run", Mock(side_effect=Crash))
        window.build(owner, played.settings, quietly)
    owner.rollback()
    assert opening.open_build(owner, played.settings).days == 0
    assert mart_rows(played, owner) == good
    waiting = set(owner.execute("select customer_id, call_date from ops.dirty_day").fetchall())
    assert waiting == {*EVERY_DAY, (NAMED, new)}
    assert not window.is_up_to_date(owner, played.settings), "the next run builds it"


def test_readers_never_see_half(played: Callmart, owner: psycopg.Connection) -> None:
    """Neither while one mart has moved and the next has not, nor in a transaction that began before."""
    counts = """
        select
            (select count(*) from mart.agent_day where talk_s = 7),
            (select count(*) from mart.queue_interval where ring_s = 7)
    """
    owner.execute("update store.agent_day set talk_s = 7")
    owner.execute("update store.queue_interval set ring_s = 7")
    check(played, owner, "queue_interval")
    owner.commit()
    with (
        ThreadPoolExecutor(1) as another,
        played.connect(NAMED) as began_before,
        played.connect(NAMED) as reader,
        played.connect() as pause,
    ):
        reader.autocommit = True
        began_before.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        (old,) = began_before.execute(counts).fetchall()
        assert min(old) > 0
        pause.execute("lock table store.queue_interval in share row exclusive mode")

        def open_all() -> opening.Opened:
            with played.connect() as connection:
                return opening.open_build(connection, played.settings)

        opened = another.submit(open_all)
        waiting = "select 1 from pg_locks where not granted and relation = 'store.queue_interval'::regclass"
        while not owner.execute(waiting).fetchall():
            assert not opened.done(), opened.result()
            time.sleep(0.01)
        assert reader.execute(counts).fetchall() == [old], "agent_day has moved, queue_interval waits"
        pause.rollback()
        assert opened.result().days == len(WITH_DATA) * len(DAYS)
        assert reader.execute(counts).fetchall() != [old]
        assert reader.execute("select count(*) from mart.agent_day where talk_s = 7").fetchall() == [(0,)]
        assert began_before.execute(counts).fetchall() == [old]


def test_nothing_that_was_computed_stays_behind(played: Callmart, owner: psycopg.Connection) -> None:
    tables = [
        name
        for (name,) in owner.execute("select tablename from pg_tables where schemaname = 'build'").fetchall()
    ]

    def filled() -> set[str]:
        return {name for name in tables if owner.execute(f"select 1 from build.{name} limit 1").fetchone()}

    assert filled() >= {"window", "int_visit", "queue_interval", "agent_day", "agent"}
    owner.execute("update build.queue_interval set offered = -1 where customer_id = %s", [NAMED])
    check(played, owner, "queue_interval")
    samples = "select tablename, attname from pg_stats where schemaname = 'build'"
    owner.execute("analyze build.queue_interval")
    assert owner.execute(samples).fetchall()
    opening.open_build(owner, played.settings)
    assert held_back(owner)
    assert filled() == set()
    assert owner.execute(samples).fetchall() == []


def test_checking_needs_no_temporary_table(played: Callmart, owner: psycopg.Connection) -> None:
    owner.execute("update build.queue_interval set offered = -1")
    owner.execute("revoke temporary on database callmart from public")
    may = "select has_database_privilege('callmart_quality', 'callmart', 'temporary')"
    assert owner.execute(may).fetchall() == [(False,)]
    assert len(check(played, owner, "queue_interval").held_back) == len(WITH_DATA) * len(DAYS)


def test_checking_reads_as_the_quality_login(played: Callmart, owner: psycopg.Connection) -> None:
    """Who sees the window, and nothing that is kept of a customer."""
    with logins.connect(played.settings, "quality") as quality:
        assert quality.execute("select 1 from build.window limit 1") is not None
        for table in ("store.queue_interval", "raw.event", "registry.agent", "ops.quality_failure"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                quality.execute(f"select 1 from {table} limit 1")
            quality.rollback()
    owner.execute("revoke select on build.agent from callmart_quality")
    with pytest.raises(UserError, match=r"can't read build\.agent; run `callmart access apply`"):
        check(played, owner, "agent")


def test_a_lost_session_is_no_matter_of_rights(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(mart: str, *_: int) -> None:
        if mart == "agent":
            with played.superuser() as superuser:
                superuser.execute(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'callmart_quality'"
                )

    only(monkeypatch, "agent")
    with pytest.raises(
        UserError,
        match=r"^build\.agent_contact was not checked \(the session of the login `quality` was lost\); when the "
        "database can do it again, run `callmart validate`$",
    ):
        suites.validate(owner, played.settings, end)


QUERY = (
    "{type: unexpected_rows_expectation, kwargs: {unexpected_rows_query:"
    " 'select customer_id, call_date from {batch} where exists (%s)'}}"
)
OF_THE_DATABASE = {
    "a right": (QUERY % "select 1 from raw.event", "42501"),
    "a deadlock": (QUERY % "select 1 where public.deadlock()", "40P01"),
}
OF_THE_SUITE = {
    "a column": QUERY % "select nothing",
    "a value that the driver can not send": (
        "{type: expect_column_values_to_be_in_set, kwargs: {column: queue, value_set: [{a: 1}]}}"
    ),
}


def put_critical(suites: Path, entry: str) -> None:
    (suites / "queue_interval.yml").write_text(f"expectations:\n  - {{severity: critical, {entry[1:]}\n")


@pytest.mark.parametrize(("entry", "state"), OF_THE_DATABASE.values(), ids=OF_THE_DATABASE.keys())
def test_a_trouble_of_the_database_is_not_a_mistake_of_a_suite(
    played: Callmart, owner: psycopg.Connection, spare_suites: Path, entry: str, state: str
) -> None:
    put_critical(spare_suites, entry)
    owner.execute(
        "create function public.deadlock() returns boolean language plpgsql"
        " as $$ begin raise exception using errcode = 'deadlock_detected'; end $$;"
        "grant usage on schema public to callmart_quality;"
        "grant execute on function public.deadlock() to callmart_quality"
    )
    with pytest.raises(
        UserError, match=rf"queue_interval was not evaluated \(SQLSTATE {state}\); when the database"
    ):
        check(played, owner, "queue_interval")


@pytest.mark.parametrize("entry", OF_THE_SUITE.values(), ids=OF_THE_SUITE.keys())
def test_a_mistake_of_a_suite_is_no_trouble_of_the_database(
    played: Callmart, owner: psycopg.Connection, spare_suites: Path, entry: str
) -> None:
    put_critical(spare_suites, entry)
    with pytest.raises(UserError, match=r"can't be evaluated; correct it in .*queue_interval\.yml$"):
        check(played, owner, "queue_interval")


def test_checking_writes_nothing_outside_the_home(
    played: Callmart, owner: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.execute("update build.queue_interval set offered = -1")
    for variable in ("HOME", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    mkdtemp = Mock(wraps=tempfile.mkdtemp)
    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    assert check(played, owner, "queue_interval").held_back
    assert (mkdtemp.mock_calls, [*tmp_path.iterdir()]) == ([], [])


# -- suites --------------------------------------------------------------------------------------------------------


def test_a_mart_without_a_suite_is_refused(
    played: Callmart, owner: psycopg.Connection, spare_suites: Path
) -> None:
    (spare_suites / "agent_day.yml").unlink()
    with pytest.raises(UserError, match=r"mart agent_day has no suite; add .*agent_day\.yml"):
        check(played, owner)
    with pytest.raises(UserError, match="has not been validated"):
        opening.open_build(owner, played.settings)


NO_SUITES = [
    (
        "expectations:\n  - {type: expect_column_to_exist, columns: [queue]}\n",
        r"line 2: expectations\.0\.severity: Field required",
    ),
    (
        "expectations:\n  - {type: expect_column_to_exist, columns: [queue], severity: bad}\n",
        r"line 2: expectations\.0\.severity: Input should be 'critical' or 'warning'",
    ),
    (
        "expectations:\n  - {type: expect_column_to_exist, columns: [queue], severity: warning}\n",
        "no critical expectation",
    ),
    ("expectations: []\n", "no critical expectation"),
    ("", "Input should be a valid dictionary"),
    (
        "expectations:\n  - {type: expect_column_values_to_be_tidy, severity: critical, columns: [queue]}\n",
        "correct it in",
    ),
    (
        "expectations:\n  - {type: unexpected_rows_expectation, severity: critical,"
        " kwargs: {unexpected_rows_query: 'select customer_id, call_date from {batch} where no_column'}}\n",
        "correct it in",
    ),
]


def test_a_suite_that_checks_nothing_is_refused(
    played: Callmart, owner: psycopg.Connection, spare_suites: Path
) -> None:
    for suite, message in NO_SUITES:
        (spare_suites / "queue_interval.yml").write_text(suite)
        with pytest.raises(UserError, match=message):
            check(played, owner, "queue_interval")
        owner.rollback()
        with pytest.raises(UserError, match="has not been validated"):
            opening.open_build(owner, played.settings)
        owner.rollback()
