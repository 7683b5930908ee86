"""A mart that is taken out of the project: it is told by its name, keeps no row longer than the others, and can go."""

import dataclasses
import json
from datetime import date
from pathlib import Path

import psycopg
import pytest

from audits import attacks_nothing
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.database import clock
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart
from callmart.opening import opening
from callmart.operations import run
from callmart.retention import expire, expiry_plan, remove, retire
from callmart_home import Callmart
from centre import DAYS, NAMED, REGISTRY, STANDARD, WITH_DATA
from commands import Command, command_of, mistake
from drifting import apply, drifted

pytestmark = [pytest.mark.thorough, pytest.mark.dated, pytest.mark.usefixtures("unchecked", "few_reports")]

NAME, DAYLESS = "left_over", "left_name"
OLD = [date(2020, 1, 31), date(2020, 2, 1)]
REMARKS = [
    f"mart.{name} is no longer declared by the project: put its files back, or run `callmart retire {name}`"
    for name in (DAYLESS, NAME)
]


def leave(owner: psycopg.Connection) -> None:
    """Two marts as the store makes them (store_ensure.sql), of files that are gone."""
    for name in (NAME, DAYLESS):
        owner.execute(f"drop table if exists store.{name} cascade")
    owner.execute(
        f"""
        create table store.{NAME} (
            customer_id integer, call_date date, agent_key text, things integer,
            primary key (customer_id, call_date, agent_key)
        ) partition by range (call_date);
        select access.protect('store.{NAME}', 'agent', 'call_date');
        create table store.{DAYLESS} (customer_id integer, agent_key text, primary key (customer_id, agent_key));
        select access.protect('store.{DAYLESS}', 'agent', null);
        comment on column store.{NAME}.agent_key is 'person: agent';
        comment on column store.{DAYLESS}.agent_key is 'person: agent';
        select access.show_mart('store.{NAME}', 'agent'), access.show_mart('store.{DAYLESS}', 'agent');
        """
    )
    for day in (*OLD, *DAYS):
        owner.execute("select access.ensure_month(%s::regclass, %s)", [f"store.{NAME}", day])
        for customer in WITH_DATA:
            of_day = [customer, day, f"agent of {day}"]
            owner.execute(f"insert into store.{NAME} values (%s, %s, %s, 1)", of_day)
            owner.execute(
                f"insert into store.{DAYLESS} values (%s, %s) on conflict do nothing",
                of_day[::2],
            )
    owner.commit()


@pytest.fixture
def left(played: Callmart) -> Callmart:
    with played.connect() as owner:
        leave(owner)
    return played


@pytest.fixture
def command(played: Callmart) -> Command:
    return command_of(played.home)


# -- as the catalogue has it --------------------------------------------------------------------------------------


def test_the_catalogue_says_of_every_mart_what_its_yaml_says(played: Callmart) -> None:
    def told(marts: list[Mart]) -> list[tuple[object, ...]]:
        return [(mart.name, mart.group, mart.key, mart.day, mart.columns) for mart in marts]

    with played.connect() as owner:
        owner.execute(f"drop table if exists store.{NAME}, store.{DAYLESS} cascade")
        owner.commit()
        declared = dbt_project.marts(played.settings)
        assert len(declared) > 5
        assert told(mart_tables.marts(owner)) == told(declared)
        assert mart_tables.undeclared(owner, declared) == []
        assert mart_tables.undeclared(owner, declared[1:])[0].name == declared[0].name


def test_it_is_told_by_its_name_and_accuses_nobody(left: Callmart, command: Command) -> None:
    assert drifted(left) == REMARKS
    shown = command("access", "diff", "--json")
    assert (shown.returncode, json.loads(shown.stdout)) == (1, REMARKS)
    assert apply(left) == []
    done = command("access", "apply")
    assert done.returncode == 1
    assert done.stderr.splitlines() == REMARKS
    assert {row["customer_id"] for row in left.rows(f"select * from mart.{NAME}", customer_id=NAMED)} == {
        NAMED
    }


OPENED_BY_HAND = {
    "a policy": f"alter policy own_rows on store.{NAME} using (true)",
    "a month": f"grant select on store.{NAME}_{DAYS[0]:%Y%m} to public",
    "not forced": f"alter table store.{DAYLESS} no force row level security",
}


@pytest.mark.parametrize("what", OPENED_BY_HAND)
def test_what_opens_more_of_it_than_before_stops_the_opening_and_is_taken_away(
    left: Callmart, what: str
) -> None:
    with left.connect() as owner:
        opening.open_build(owner, left.settings)  # which the marts themselves don't stop
        owner.execute(OPENED_BY_HAND[what])
        owner.commit()
        with pytest.raises(opening.Drifted):
            opening.open_build(owner, left.settings)
    assert apply(left) != []
    assert drifted(left) == REMARKS


def test_the_run_does_all_the_rest_and_the_audit_finds_it(left: Callmart, tmp_path: Path) -> None:
    with left.connect() as owner:
        owner.execute(f"delete from store.{NAME} where call_date < %s", [DAYS[0]])
        owner.commit()
        ran = run.run(owner, left.settings, quietly)
    assert ran.problems == REMARKS
    assert ran.extracts > 0
    with attacks_nothing():
        found = command_of(left.home)("audit", "--out", tmp_path)
    assert found.returncode == 1
    assert [line.strip() for line in found.stderr.splitlines() if "retire" in line] == REMARKS
    assert "by hand" not in found.stderr


# -- the promises hold for it --------------------------------------------------------------------------------------


def expired(callmart: Callmart, day: date) -> dict[str, tuple[int, str]]:
    """What the expiry of a day takes of the two, which it does: no other table is touched."""
    with callmart.connect() as owner:
        plan = expiry_plan.plan(owner, callmart.settings, day)
        steps = tuple(step for step in plan.steps if step.what.startswith("store.left_"))
        return {
            one.step.what: (one.step.count, one.outcome)
            for one in expire.execute(owner, dataclasses.replace(plan, steps=steps))
        }


def days_left(callmart: Callmart, table: str = f"store.{NAME}") -> list[date]:
    return [row["day"] for row in callmart.rows(f"select distinct call_date as day from {table} order by 1")]


def test_it_expires_to_the_day_with_what_only_gone_days_refer_to(left: Callmart) -> None:
    each = len(WITH_DATA)
    dayless = f"store.{DAYLESS}"
    gone = expired(left, OLD[1].replace(year=2022))
    assert gone == {f"store.{NAME}_202001": (each, expire.DONE), dayless: (each, expire.DONE)}
    assert days_left(left) == [OLD[1], *DAYS]
    with left.connect() as owner:
        now = clock.today(owner, left.settings)
    gone = expired(left, now)
    assert gone == {f"store.{NAME}_202002": (each, expire.DONE), dayless: (each, expire.DONE)}
    assert days_left(left) == DAYS
    assert len(left.rows(f"select from {dayless}")) == each * len(DAYS)


def test_a_month_that_stands_alone_expires_too(left: Callmart) -> None:
    month = f"store.{NAME}_202002"
    with left.connect() as owner:
        owner.execute(f"alter table store.{NAME} detach partition {month}")
        owner.commit()
        now = clock.today(owner, left.settings)
    assert expired(left, now)[month] == (len(WITH_DATA), expire.DONE)
    assert days_left(left, month) == []
    with left.connect() as owner:
        owner.execute(f"drop table {month}")


# -- it goes ------------------------------------------------------------------------------------------------------


def test_a_mart_that_is_declared_or_that_is_none_is_refused(left: Callmart) -> None:
    with left.connect() as owner:
        with pytest.raises(UserError, match=r"the project declares mart.queue_day: nothing was retired"):
            retire.plan(owner, left.settings, "queue_day")
        with pytest.raises(
            UserError, match=f"no mart nonsense to retire; not declared any more: {DAYLESS}, {NAME}"
        ):
            retire.plan(owner, left.settings, "nonsense")


def test_a_view_of_somebody_elses_is_named_and_nothing_goes(left: Callmart) -> None:
    with left.connect() as owner:
        owner.execute(f"create view public.mine as select * from store.{NAME}_{DAYS[0]:%Y%m}")
        owner.commit()
        with pytest.raises(UserError, match=r"public.mine reads the mart; drop that view first"):
            retire.plan(owner, left.settings, NAME)
        owner.execute("drop view public.mine")
        owner.commit()


@pytest.mark.waits
def test_it_goes_everywhere_once_it_is_confirmed(
    left: Callmart, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = {
        "opened_day": "insert into ops.opened_day values (1001, %s, 'left_over', 5, 1)",
        "held": "insert into ops.held_back (customer_id, call_date, build_id, cause)"
        " values (1001, %s, 1, 'left_over: x')",
        "held, too": "insert into ops.held_back (customer_id, call_date, build_id, cause)"
        " values (1003, %s, 1, 'left_over: x; queue_day: y; left_over: z')",
        "build": "insert into ops.build (build_id, built_at, days, tables) overriding system value"
        " values (99, %s, 1, '{\"left_over\": 7, \"queue_day\": 8}')",
    }  # fmt: skip
    with left.connect() as owner:
        for statement in books.values():
            owner.execute(statement, [DAYS[0]])
        for mart in (NAME, "queue_day"):
            owner.execute("insert into ops.quality_result values (99, %s, 'x', 'critical', false)", [mart])
            owner.execute("insert into ops.quality_failure values (99, %s, 'x', 1001, %s)", [mart, DAYS[0]])
        owner.execute(f"create unlogged table build.{NAME} (customer_id integer)")
        owner.execute("select access.show('left_ratios', 'agent', 'select customer_id from store.left_over')")
        owner.commit()

    shown = command("retire", NAME)
    assert "nothing was retired: this can't be undone; confirm it with --yes" in mistake(shown)
    assert shown.stdout.splitlines() == [
        f"- rows of mart.{NAME}: {len(WITH_DATA) * 5}",
        f"- monthly partitions: {len({day.replace(day=1) for day in (*OLD, *DAYS)})}",
        "- opened days: 1",
        "- results of its checks: 1",
        "- days that its checks held back: 2",
        "- the view mart.left_over: 1",
        "- the view mart.left_ratios: 1",
    ]
    assert len(days_left(left)) == 5

    monkeypatch.setattr(expire, "TRIES", 1)
    with left.connect() as owner, left.connect(NAMED) as reader:
        reader.execute(f"select count(*) from mart.{NAME}")
        assert not retire.retire(owner, retire.plan(owner, left.settings, NAME))
        reader.rollback()
    assert len(days_left(left)) == 5

    done = command("retire", NAME, "--yes")
    assert done.returncode == 0, done.stderr
    assert left.rows("select relname from pg_class where relname ~ '^left_(over|ratios)'") == []
    assert left.rows("select from access.definition where object ~ 'left_(over|ratios)'") == []
    assert left.rows("select from ops.opened_day where mart = %s", NAME) == []
    for table in ("quality_result", "quality_failure"):
        assert left.rows(f"select mart from ops.{table} where build_id = 99") == [{"mart": "queue_day"}]
    assert left.rows("select tables from ops.build where build_id = 99") == [{"tables": {"queue_day": 8}}]
    assert left.rows("select customer_id, cause from ops.held_back") == [
        {"customer_id": STANDARD, "cause": "queue_day: y"}
    ]
    (logged,) = left.rows("select details from ops.audit_log where action = 'retired'")
    assert logged["details"]["mart"] == NAME
    assert logged["details"]["by"]
    assert drifted(left) == REMARKS[:1]
    with left.connect() as owner:
        owner.execute("delete from ops.held_back")
        owner.execute("delete from ops.build where build_id = 99")


def test_who_leaves_detailed_leaves_nothing_of_agents_in_it(left: Callmart) -> None:
    """The last of the module: that customer's own marts lose it, too."""
    standard = REGISTRY.replace("detailed", "standard", 1)
    assert standard != REGISTRY
    left.apply(standard)
    with left.connect() as owner:
        (removed,) = remove.remove(owner, left.settings, lambda *_: None)
    assert isinstance(removed, remove.Removed) and removed.customer_id == NAMED
    for table in (NAME, DAYLESS, "agent_day"):
        assert left.rows(f"select from store.{table} where customer_id = %s", NAMED) == [], table
        assert left.rows(f"select from store.{table} where customer_id <> %s", NAMED) != [], table
