"""The chain on a Citus cluster: what is where, what it computes, who gets in."""

from dataclasses import replace
from datetime import date, timedelta
from random import Random

import psycopg
import pyarrow.parquet
import pytest
from psycopg import sql

import on_cluster
from callmart.access import drift, logins, memberships, nodes
from callmart.base.errors import UserError
from callmart.build import spreading
from callmart.database import cluster
from callmart.declarations import dbt_project
from callmart.operations import run
from callmart.retention import expire
from callmart_home import Callmart, ignore_step
from centre import DAYS, NAMED, REGISTRY, STANDARD, WITH_DATA, events
from on_cluster import marts
from today import YESTERDAY

pytestmark = on_cluster.needed


def test_it_is_a_cluster_and_the_events_are_on_its_nodes(citus: Callmart) -> None:
    with citus.connect() as owner:
        places = cluster.places(owner, WITH_DATA)
        for place in places:
            assert dict(place.shards).keys() == {*cluster.DISTRIBUTED}
        assert sorted(whose for place in places for whose in place.customers) == sorted(WITH_DATA)
        assert owner.execute("select pg_relation_size('raw.call')").fetchone() == (0,)


def test_the_marts_are_those_of_one_machine(citus: Callmart, played: Callmart) -> None:
    assert marts(citus) == marts(played)


def test_late_events_change_the_same_days_and_rows(
    citus: Callmart, played: Callmart, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of the middle day again with other calls: what was there is found on the nodes."""
    file = tmp_path_factory.mktemp("late") / "late.parquet"
    pyarrow.parquet.write_table(events(NAMED, DAYS[1:2], seed=2, contacts_per_day=10), file)
    for one in (citus, played):
        assert one.land(file).landed > 0
        assert one.land(file).unchanged
        one.build_unchecked()
    assert marts(citus) == marts(played)


def test_only_rows_of_marts_and_of_what_suites_look_at_come_from_a_node(
    citus: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[spreading.Sent] = []
    compute = spreading.compute

    def watched(connection: psycopg.Connection, planned: spreading.Plan) -> spreading.Sent:
        sent.append(compute(connection, planned))
        return sent[-1]

    monkeypatch.setattr(spreading, "compute", watched)
    citus.build_in_windows(Random(1), windows=1)
    (of_nodes,) = sent
    with citus.connect() as owner:
        computed = {mart.name for mart in dbt_project.marts(citus.settings)}
        for mart in ("queue_interval", "agent_contact"):
            ((rows,),) = owner.execute(f"select count(*) from store.{mart}").fetchall()
            assert sum(counts[mart] for counts in of_nodes.values()) == rows
    names = {name for counts in of_nodes.values() for name in counts}
    assert names - computed == {"int_landed", "int_login"}


def test_a_node_has_nothing_of_ours_but_events_and_lets_nobody_in(citus: Callmart) -> None:
    with citus.connect() as owner:
        assert list(nodes.find(owner)) == []
        assert [
            one.text for one in drift.find(owner, dbt_project.marts(citus.settings)) if not one.server
        ] == []
        for node in cluster.nodes(owner):
            for duty in ("loader", "publisher", "auditor"):
                uri = logins.duty_uri(citus.settings, duty)
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(uri, host=node.host, port=node.port)
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(
                    logins.customer_uri(owner, citus.settings, NAMED), host=node.host, port=node.port
                )


# What a customer would ask the nodes through the coordinator, and how the cluster is described.
DOORS = (
    "select * from run_command_on_workers('select 1')",
    "select * from run_command_on_all_nodes('select 1')",
    "select * from citus_shard_sizes()",
    "select * from citus_shards",
    "select * from citus_tables",
    "select * from citus_stat_activity",
    "select * from citus_locks",
    "select citus_check_connection_to_node('127.0.0.1', 22)",
    "select create_intermediate_result('mine', 'select 1')",
    "select lock_shard_metadata(5, array[1]::bigint[])",
    "select master_get_new_shardid()",
    "select worker_create_or_replace_object('create schema mine')",
    "select pg_cancel_backend(10000000001::bigint)",
    "select * from pg_dist_node",
    "select * from pg_dist_placement",
    "select * from pg_dist_shard",
    "select * from pg_dist_transaction",
    "select citus_table_size('raw.event')",
    "select get_shard_id_for_distribution_column('raw.event', 1)",
)


def test_a_customer_gets_nothing_of_the_cluster_from_the_coordinator(citus: Callmart) -> None:
    open_to_all = """
        select p.proname from pg_proc as p
        join pg_depend as d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        join pg_extension as e on d.refobjid = e.oid and e.extname = 'citus'
        where has_function_privilege(p.oid, 'execute')
    """
    with citus.connect(NAMED) as customer:
        customer.autocommit = True
        assert customer.execute("select count(*) > 0 from mart.queue_interval").fetchone() == (True,)
        for door in DOORS:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                customer.execute(door.encode())
        left = {name for (name,) in customer.execute(open_to_all)}
        assert left == {*drift.NEEDED_BY_ALL}
        plan = customer.execute("explain (analyze, verbose) select * from mart.queue_interval").fetchall()
        assert not [line for (line,) in plan if "Citus" in line or "Task" in line]
    with citus.connect() as owner:  # the control: the doors are there
        owner.execute(
            "select citus_table_size('raw.event'), get_shard_id_for_distribution_column('raw.event', 1)"
        )
        assert len(owner.execute("select * from citus_shards").fetchall()) > 0


def test_what_is_opened_on_a_node_is_found_and_closed(citus: Callmart) -> None:
    with citus.connect() as owner:
        node = cluster.nodes(owner)[0]
        with cluster.connect(owner, node) as there:
            there.execute("grant usage on schema raw to public")
            there.execute("create function raw.left_over() returns integer return 1")
            ((shard,),) = there.execute(
                "select oid::regclass::text from pg_class where relname ~ '^call_[0-9]+$' limit 1"
            ).fetchall()
            there.execute(f"grant select on {shard} to public".encode())
            there.execute(f"create table raw.a_copy as table {shard}".encode())
        found = [one.text for one in nodes.find(owner)]
        assert len(found) == 4, found
        all_marts = dbt_project.marts(citus.settings)
        with pytest.raises(UserError, match=r"the table raw\.a_copy is no part of the cluster"):
            memberships.apply(owner, citus.settings, all_marts)
        assert len(list(nodes.find(owner))) == 1
        with cluster.connect(owner, node) as there:
            there.execute("drop table raw.a_copy")
        assert list(nodes.find(owner)) == []


def test_a_node_that_is_away_is_named_and_the_next_build_finishes(
    citus: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = marts(citus)
    with citus.connect() as owner:
        owner.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause)"
            " select distinct customer_id, call_date, 'test' from ops.opened_day where isfinite(call_date)"
        )
        owner.commit()
    places = cluster.places

    def away(connection: psycopg.Connection, customers: list[int]) -> list[cluster.Place]:
        first, *others = places(connection, customers)
        return [replace(first, node=cluster.Node(first.node.host, 1)), *others]

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "places", away)
        with pytest.raises(UserError, match=r"the node .*:1 of the cluster"):
            citus.build_unchecked()
    citus.build_unchecked()
    assert marts(citus) == before


def test_a_customer_that_leaves_leaves_nothing_on_a_node(citus: Callmart) -> None:
    without = REGISTRY.replace(
        f"  - id: {STANDARD}\n    name: Fietsen\n    sql_login: true\n"
        "    contracts: [{option: standard, from: 2020-01-01}]\n",
        "",
    )
    assert without != REGISTRY
    citus.apply(without)
    with citus.connect() as owner:
        run.remove_closed(owner, citus.settings, run.Ran(), ignore_step)
        for table in cluster.DISTRIBUTED:
            query = sql.SQL("select count(*) from {} where customer_id = %s").format(
                sql.Identifier(*table.split("."))
            )
            assert owner.execute(query, [STANDARD]).fetchone() == (0,)


def test_what_expires_leaves_the_nodes(citus: Callmart) -> None:
    """First all days but the last, then whole months."""
    last = date(YESTERDAY.year + 2, YESTERDAY.month, min(YESTERDAY.day, 28))
    with citus.connect() as owner:
        for day in (last, last + timedelta(days=70)):
            outcomes = expire.expire(owner, citus.settings, day)
            assert {one.outcome for one in outcomes} <= {expire.DONE}, outcomes
        ((left,),) = owner.execute("select count(*) from raw.event").fetchall()
        assert left == 0
        vacuumed = "select count(last_vacuum) > 0 from pg_stat_user_tables where schemaname = 'raw'"
        for node in cluster.nodes(owner):
            with cluster.connect(owner, node) as there:
                ((rows,),) = there.execute(
                    "select coalesce(sum(pg_relation_size(oid)), 0) from pg_class"
                    " where relname ~ '^event_[0-9]{6}_[0-9]+$' and relkind = 'r'"
                ).fetchall()
                assert rows == 0
                assert there.execute(vacuumed).fetchone() == (True,)
