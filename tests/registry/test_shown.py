"""What customers read of the registry and the books: each its own, and nothing of another."""

from datetime import date, datetime

import psycopg
import pytest

from callmart.access import drift, logins, memberships, roles
from callmart.audit import besides, planner
from callmart.audit.besides import Besides
from callmart.audit.scene import scene_of
from callmart.declarations import dbt_project
from callmart_home import Callmart

REGISTRY = """\
defaults: {service_level_target: 80 %, holidays: [2026-12-25]}
customers:
  - id: 1
    name: One
    contracts: [{option: standard, from: 2025-01-01}]
    queues: [{name: sales, label: Verkoop, service_level_s: 30, service_level_target: 0.9}, {name: help}]
    lines: [{name: trunk, label: Hoofdlijn, channels: 30}]
    opening_hours: [{from: 2026-01-01, sat: "09:00-13:00", 2026-12-26: closed}]
    recipients: [{email: chef@example.org, reports: [], mail_format: both}]
  - id: 2
    name: Two
    contracts: [{option: standard, from: 2025-01-01}]
    queues:
      - name: two
        label: Twee
        service_level_s: 611
        short_abandon_s: 613
        opening_hours: [{from: 2026-01-01, mon: "10:15-11:00"}]
        holidays: [2026-12-26]
    lines: [{name: two, channels: 77}]
  - {id: 3, name: Three}
"""
VIEWS = (
    "queue_label",
    "line_label",
    "opening_hours",
    "holiday",
    "held_back_day",
    "data_through",
    "day_definition",
)
ONE, TWO = 1, 2


@pytest.fixture(scope="module")
def applied(callmart: Callmart) -> Callmart:
    """The registry above, with open and held-back days in the books."""
    callmart.apply(REGISTRY)
    with callmart.connect() as owner:
        memberships.apply(owner, callmart.settings, dbt_project.marts(callmart.settings))
        owner.execute(
            "insert into ops.build (days, tables) values (1, '{}');"
            " insert into ops.definition (mart, fingerprint, columns) values ('m', null, '{}'), ('m', 'f', '{a, b}');"
            " insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id, definition_id)"
            " values (1, '2026-11-01', 'm', 1, 1, 2), (1, '2026-11-02', 'm', 1, 1, 1),"
            " (1, '-infinity', 'm', 1, 1, 2), (2, '2026-11-03', 'm', 1, 1, 2), (2, '2026-11-03', 'of two', 1, 1, 2);"
            " insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id, definition_id)"
            " select 2, date '2025-01-01' + day, 'of two', 1, 1, 2 from generate_series(1, 200) as day;"
            " update ops.opened_day set so_far = call_date + timetz '14:05:31+01' where isfinite(call_date);"
            " insert into ops.held_back (customer_id, call_date, build_id, cause)"
            " values (1, '2026-11-03', 1, 'm: x'), (2, '2026-11-04', 1, 'm: x')"
        )
    return callmart


def read(connection: psycopg.Connection, view: str) -> list[tuple[object, ...]]:
    return sorted(connection.execute(f"select * from mart.{view}").fetchall(), key=repr)


SHOWN: dict[str, list[tuple[object, ...]]] = {
    "queue_label": [
        (1, "help", None, 20, 0.8, 5),
        (1, "sales", "Verkoop", 30, 0.9, 5),
        (1, None, None, 20, 0.8, 5),
    ],
    "line_label": [(1, "trunk", "Hoofdlijn", 30)],
    "opening_hours": [
        (1, None, date(2026, 1, 1), None, 6, None, 540, 780),
        (1, None, date(2026, 1, 1), None, None, date(2026, 12, 26), 0, 0),
    ],
    "holiday": [(1, None, date(2026, 12, 25))],
    "held_back_day": [(1, date(2026, 11, 3))],
    "data_through": [(1, date(2026, 11, 2), datetime(2026, 11, 2, 14, 5))],
    "day_definition": [
        (1, "m", date(2026, 11, 1), 2, ["a", "b"]),
        (1, "m", date(2026, 11, 2), None, []),
    ],
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_customer_reads_its_own(applied: Callmart, view: str) -> None:
    with applied.connect(ONE) as customer:
        assert read(customer, view) == sorted(SHOWN[view], key=repr)


def test_the_publisher_reads_one_customer_after_the_other(applied: Callmart) -> None:
    """In one session, with statements that the server keeps: their plans may not keep the customer."""
    with logins.connect(applied.settings, "publisher") as publisher:
        publisher.prepare_threshold = 0
        for customer in (ONE, TWO) * 6:
            publisher.execute(roles.statement("set role {}", f"callmart_customer_{customer}"))
            for view in VIEWS:
                assert {row[0] for row in read(publisher, view)} <= {customer}
                assert customer == TWO or read(publisher, view) == sorted(SHOWN[view], key=repr)


def test_no_table_is_open_to_a_customer(applied: Callmart) -> None:
    for table in ("registry.queue", "registry.line", "registry.customer", "ops.opened_day", "ops.held_back"):
        with applied.connect(ONE) as customer, pytest.raises(psycopg.errors.InsufficientPrivilege):
            customer.execute(f"select from {table}")


def test_others_read_the_tables_whole(applied: Callmart) -> None:
    for duty, table in (
        ("quality", "registry.queue"),
        ("operator", "ops.held_back"),
        (None, "registry.line"),
    ):
        with logins.connect(applied.settings, duty) if duty else applied.connect() as session:
            customers = session.execute(f"select distinct customer_id from {table}").fetchall()
        assert {row[0] for row in customers} == {ONE, TWO}


SECRETS = {
    "label = '{}'": ("queue_label", "Twee", "Twed"),
    "queue = '{}'": ("queue_label", "two", "twp"),
    "service_level_s = {}": ("queue_label", "611", "612"),
    "short_abandon_s = {}": ("queue_label", "613", "614"),
    "channels = {}": ("line_label", "77", "78"),
    "through >= '{}'": ("data_through", "2026-11-03", "2026-11-04"),
    "so_far = '{}'": ("data_through", "2026-11-03 14:05:00", "2026-11-03 14:06:00"),
    "call_date = '{}'": ("held_back_day", "2026-11-04", "2026-11-05"),
    "call_date in ('{}')": ("day_definition", "2026-11-03", "2026-11-04"),
}


@pytest.mark.parametrize("condition", SECRETS)
def test_a_plan_says_the_same_of_another_customers_value_as_of_nobodys(
    applied: Callmart, condition: str
) -> None:
    view, anothers, nobodys = SECRETS[condition]
    with applied.connect() as owner:
        owner.execute(
            "analyze registry.queue, registry.line, registry.customer, ops.opened_day, ops.held_back"
        )
    with applied.connect(ONE) as customer:
        plans = []
        for value in (anothers, nobodys):
            query = (
                f"explain (analyze, timing off, summary off, buffers off) select * from mart.{view} where "
            )
            lines = [line for (line,) in customer.execute(query + condition.format(value))]
            plans.append([line.replace(value, "…") for line in lines])
    assert plans[0] == plans[1]
    assert not any(" OR " in line or "own()" in line for line in plans[0]), "the policy is folded"


ASKED = {  # the columns in which the second customer has what the first has not, besides its number
    "queue_label": {"queue", "label", "service_level_s", "short_abandon_s"},
    "line_label": {"line", "channels"},
    "opening_hours": {"queue", "weekday", "opens", "closes"},
    "holiday": {"queue", "call_date"},
    "held_back_day": {"call_date"},
    "data_through": {"through", "so_far"},
    "day_definition": {"mart", "call_date"},
}


@pytest.fixture(scope="module")
def asked(applied: Callmart) -> dict[str, Besides]:
    """What the audit asks besides the marts: what customers may read, as the catalogue tells."""
    with applied.connect() as owner:
        owner.execute(
            "create table public.news as select 7 as read_by_all; grant select on public.news to public"
        )
        owner.execute("grant usage on schema public to public")
        owner.commit()
        found = besides.besides(owner, applied.settings, scene_of(owner, applied.settings))
        owner.execute("drop table public.news")
    return {one.relation.removeprefix("mart."): one for one in found}


def test_the_audit_asks_all_that_the_catalogue_grants(asked: dict[str, Besides]) -> None:
    assert asked.keys() == {*VIEWS, "public.news"}


@pytest.mark.parametrize("view", VIEWS)
def test_no_condition_is_evaluated_for_another_customers_row(
    applied: Callmart, asked: dict[str, Besides], view: str
) -> None:
    """Not even one that costs nothing, in any shape and context."""
    with applied.connect(ONE) as customer:
        secrets = asked[view].secrets(customer)
        looked_at, found = planner.oracle(customer, f"mart.{view}", secrets)
    assert {secret.column for secret in secrets} == {"customer_id", *ASKED[view]}
    assert any(secret.greatest for secret in secrets)
    assert looked_at >= 35
    assert found == []


@pytest.mark.parametrize("view", VIEWS)
def test_no_estimate_says_what_another_customer_has(
    applied: Callmart, asked: dict[str, Besides], view: str
) -> None:
    """Also when the planner has sampled whatever it may."""
    with applied.connect() as owner:
        owner.execute("analyze")
    with applied.connect(ONE) as customer:
        secrets = planner.with_nobodys(asked[view].secrets(customer), ONE)
        looked_at, found = planner.estimates(customer, f"mart.{view}", secrets)
    assert looked_at >= len(planner.ESTIMATED)
    assert found == []


def test_a_union_all_is_found_out(applied: Callmart, asked: dict[str, Besides]) -> None:
    """As mart.queue_label once was: then a condition that costs nothing went before the policies."""
    with applied.connect(ONE) as customer:
        secrets = [one for one in asked["queue_label"].secrets(customer) if one.column == "service_level_s"]
    with applied.superuser() as superuser:
        ((query,),) = superuser.execute("select pg_get_viewdef('mart.queue_label'::regclass)")
        superuser.execute(f"create or replace view mart.queue_label as {query.replace('UNION', 'UNION ALL')}")
        superuser.execute(roles.statement("set local role {}", "callmart_customer_1"))
        _, found = planner.oracle(superuser, "mart.queue_label", secrets, ["plain"])
        superuser.rollback()
    assert found


DRIFTS = {
    "no policy": ("drop policy own_rows on registry.queue", "the policies of registry.queue"),
    "a wider policy": ("create policy more on registry.queue using (true)", "the policies of registry.queue"),
    "no row-level security": ("alter table ops.held_back no force row level security", "ops.held_back"),
    "a right of its own": ("grant select on registry.line to callmart_reads_line", "registry.line"),
    "another view": (
        "drop view mart.line_label; create view mart.line_label as select * from registry.line",
        "mart.line_label",
    ),
}


@pytest.mark.parametrize(("statement", "named"), DRIFTS.values(), ids=DRIFTS)
def test_drift_is_found(applied: Callmart, statement: str, named: str) -> None:
    marts = dbt_project.marts(applied.settings)
    with applied.connect() as owner:
        assert not [one for one in drift.find(owner, marts) if not one.server]
        owner.execute(statement)
        assert any(named in one.text for one in drift.find(owner, marts))
        owner.rollback()
