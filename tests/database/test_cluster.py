"""The chain on a Citus cluster: what is where, what it computes, who gets in."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any, ClassVar, Self

import psycopg
import pyarrow.parquet
import pytest
from psycopg import sql

import on_cluster
from callmart.access import drift, logins, memberships, nodes
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.raw_format import LONGEST_PHASE
from callmart.build import spreading
from callmart.database import cluster
from callmart.declarations import dbt_project
from callmart.operations import stages
from callmart.privacy import replaying
from callmart.retention import expire
from callmart_home import Callmart, leave_opened_dirty
from centre import DAYS, NAMED, REGISTRY, STANDARD, WITH_DATA, events, queue_of
from events import event, ndjson
from on_cluster import marts, size_of_events
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


class Watched(psycopg.Cursor[Any]):
    """A cursor on a node: what the models read there, and what leaves the node."""

    plans: ClassVar[list[dict[str, Any]]] = []
    asked: ClassVar[list[str]] = []

    def execute(self, query: Any, params: Any = None, **named: Any) -> Self:
        text = query.decode() if isinstance(query, bytes) else str(query)
        if re.match(r'create temporary table "[\w.]+" as|insert into "', text):
            super().execute(f"explain (format json, verbose) {text}".encode())
            self.plans.append(self.fetchall()[0][0][0]["Plan"])
        super().execute(query, params, **named)
        if self.description:
            self.asked.append(text)
        return self

    def copy(self, statement: Any, *more: Any, **named: Any) -> Any:
        self.asked.append(statement.as_string())
        return super().copy(statement, *more, **named)


CATALOGUE = "pg_attribute|pg_class|pg_extension|pg_prepared_xacts|pg_roles"


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan, and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes_of(below)


@contextmanager
def hearing(citus: Callmart, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What Citus asks the nodes for the sessions on the coordinator, those of dbt included. It is told afterwards."""
    from dbt.adapters.postgres.connections import psycopg2

    sessions: list[Any] = []
    told: list[str] = []
    connect, connect_dbt = psycopg.connect, psycopg2.connect

    def noting(*where: Any, **named: Any) -> Any:
        session = connect(*where, **named)
        session.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        return session

    def noting_dbt(*where: Any, **named: Any) -> Any:
        sessions.append(connect_dbt(*where, **named))
        return sessions[-1]

    with citus.connect() as owner, monkeypatch.context() as patch:
        login = sql.Identifier(owner.info.user), sql.Identifier(owner.info.dbname)
        log = sql.SQL("alter role {} in database {} set citus.log_remote_commands to {}")
        owner.execute(log.format(*login, sql.SQL("on")))
        owner.commit()
        patch.setattr(psycopg, "connect", noting)
        patch.setattr(psycopg2, "connect", noting_dbt)
        try:
            yield told
        finally:
            told += [notice for session in sessions for notice in session.notices]
            told[:] = [one for one in told if "issuing" in one]
            owner.execute(log.format(*login, sql.SQL("off")))


def test_models_read_what_is_on_their_node_and_only_rows_of_marts_leave_it(
    citus: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of what suites look at."""
    sent: list[list[Counter[str]]] = []
    compute, connect = spreading.compute, cluster.connect

    def watched(
        connection: psycopg.Connection, planned: spreading.Plan, places: list[cluster.Place]
    ) -> list[Counter[str]]:
        sent.append(compute(connection, planned, places))
        return sent[-1]

    def watching(connection: psycopg.Connection, node: cluster.Node) -> psycopg.Connection:
        there = connect(connection, node)
        there.cursor_factory = Watched
        return there

    with monkeypatch.context() as patch, hearing(citus, monkeypatch) as told:
        patch.setattr(spreading, "compute", watched)
        patch.setattr(cluster, "connect", watching)
        citus.build_in_windows(Random(1), windows=1)
    (of_nodes,) = sent
    with citus.connect() as owner:
        computed = {mart.name for mart in dbt_project.marts(citus.settings)}
        for mart in ("queue_interval", "agent_contact"):
            ((rows,),) = owner.execute(f"select count(*) from store.{mart}").fetchall()
            assert sum(counts[mart] for counts in of_nodes) == rows
        shards = {shard for place in cluster.places(owner, WITH_DATA) for _, shard in place.shards}
        months = owner.execute("select shard_name(logicalrelid, shardid) from pg_dist_shard").fetchall()
    names = {name for counts in of_nodes for name in counts}
    assert names - computed == {"int_landed", "int_login"}

    every = [node for plan in Watched.plans for node in nodes_of(plan)]
    assert not {node["Node Type"] for node in every} & {"Custom Scan", "Foreign Scan"}
    read = {f"{node['Schema']}.{node['Relation Name']}" for node in every if "Relation Name" in node}
    of_events = {name for name in read if not name.startswith("pg_temp")}
    assert of_events and of_events <= shards | {name for (name,) in months}
    of_rows = {text for text in Watched.asked if " stdin " not in text and not re.search(CATALOGUE, text)}
    looked_at = {"int_landed", "int_login", "int_left_out_agent"}  # by suites
    assert of_rows <= {
        f'copy (select * from "pg_temp"."build.{name}") to stdout (format binary)'
        for name in computed | looked_at
    }
    assert told == []
    with hearing(citus, monkeypatch) as told, citus.connect() as owner:  # the control
        owner.execute("select count(*) from raw.call")
    assert any("raw.call" in one for one in told)


def test_who_is_in_the_events_leaves_the_nodes_once_per_person(citus: Callmart) -> None:
    """The audit asks who is there, and a replay who came back. Citus limits what the nodes send for a question, and one
    row per event would be too much some day.
    """
    with citus.connect() as owner:
        owner.execute("set local citus.max_intermediate_result_size to '32kB'")
        owner.execute(
            "insert into privacy.ledger_entry"
            " (entry, commitment, digest, salt, customer_id, kind, until, at, asked_right)"
            " select -n, '', '', '', customer_id, 'agent', now(), now(), 'erasure'"
            " from unnest(%s::integer[]) with ordinality as erased (customer_id, n)",
            [list(WITH_DATA)],
        )
        ((agents,),) = owner.execute("select count(*) from privacy.known_agent").fetchall()
        assert agents >= 3 * len(WITH_DATA)
        assert owner.execute(replaying.SQL["returned"], {"longest_phase": LONGEST_PHASE}).fetchall() == []
        with pytest.raises(psycopg.errors.Error, match="max_intermediate_result_size"):  # the control
            owner.execute("select count(*) from (select agent_key, call_key from raw.event offset 0) as each")


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
        assert left <= {*drift.NEEDED_BY_ALL}
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
        leave_opened_dirty(owner)
        owner.commit()
    places = cluster.places

    def away(connection: psycopg.Connection, customers: list[int]) -> list[cluster.Place]:
        first, *others = places(connection, customers)
        assert first.node
        return [replace(first, node=cluster.Node(first.node.host, 1)), *others]

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "places", away)
        with pytest.raises(UserError, match=r"the node .*:1 of the cluster"):
            citus.build_unchecked()
    citus.build_unchecked()
    assert marts(citus) == before


def test_a_server_that_does_not_load_citus_is_no_node(citus: Callmart, played: Callmart) -> None:
    with citus.connect() as owner, played.connect() as plain:
        node = cluster.Node(plain.info.host, plain.info.port)
        with pytest.raises(UserError, match=f"the node {node} of the cluster does not load Citus"):
            cluster.connect(owner, node)


def test_landing_fetches_no_calls_but_those_that_land(citus: Callmart) -> None:
    """Otherwise each file would fetch the calls of two years, and Citus refuse that one day."""
    # Before midnight there, and after it.
    moments = [datetime.combine(YESTERDAY, time(hour), UTC) for hour in (20, 23)]
    call = {"customer_id": NAMED, "queue": queue_of(NAMED), "call_id": "in two files"}
    files = [
        ndjson(event("queue_joined", moments[0], **call)),
        ndjson(event("queue_left", moments[1], reason="abandoned", **call)),
    ]
    limit = "alter function raw.keep {} citus.max_intermediate_result_size{}"
    with citus.connect() as owner:
        owner.execute(limit.format("set", " to '4kB'").encode())
        owner.commit()
        try:
            assert [citus.land_text(file).landed for file in files] == [1, 1]
        finally:
            owner.execute(limit.format("reset", "").encode())
        found = owner.execute(
            "select last_at, spans_days from raw.call where customer_id = %s and first_at = %s",
            [NAMED, moments[0]],
        )
        assert found.fetchall() == [(moments[1], True)]


def test_a_customer_that_leaves_leaves_nothing_on_a_node(citus: Callmart) -> None:
    without = REGISTRY.replace(
        f"  - id: {STANDARD}\n    name: Fietsen\n    sql_login: true\n"
        "    contracts: [{option: standard, from: 2020-01-01}]\n",
        "",
    )
    assert without != REGISTRY
    citus.apply(without)
    with citus.connect() as owner:
        stages.remove_closed(owner, citus.settings, stages.Ran(), quietly)
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
                assert size_of_events(there) == 0
                assert there.execute(vacuumed).fetchone() == (True,)
