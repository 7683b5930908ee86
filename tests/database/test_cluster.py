"""The chain on a Citus cluster, by CALLMART_TEST_CITUS_DSN: the owner's URI of a database that the tests may empty.

Citus is in no package registry, so these tests are skipped where nobody names a cluster. docs/scale.md says how its
database is made; administrator.sql must have been run in it.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from random import Random

import psycopg
import pyarrow.parquet
import pytest
from psycopg import sql
from pydantic import SecretStr

from callmart.access import drift, logins, memberships, nodes, roles
from callmart.base.errors import UserError
from callmart.base.settings import EMULATOR, Settings, Tableau
from callmart.build import spreading
from callmart.database import cluster
from callmart.declarations import dbt_project
from callmart.operations import run
from callmart.retention import expire
from callmart_home import Callmart, ignore_step
from centre import ANONYMOUS, DAYS, NAMED, REGISTRY, STANDARD, WITH_DATA, events, play
from today import YESTERDAY

DSN = os.environ.get("CALLMART_TEST_CITUS_DSN", "")
SCHEMAS = ("build", "mart", "store", "usage", "access", "ops", "privacy", "raw", "registry")

pytestmark = pytest.mark.skipif(not DSN, reason="CALLMART_TEST_CITUS_DSN names no cluster")


def empty(dsn: str) -> None:
    """Remove what an earlier session has left in the database, and its roles."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("set citus.enable_ddl_propagation to on")
        for schema in SCHEMAS:
            owner.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
        owner.execute("set citus.enable_ddl_propagation to off")
        for role in roles.existing(owner, owner.info.dbname):
            owner.execute(roles.statement("grant {} to current_user with inherit true", role))
            owner.execute(roles.statement("drop owned by {}", role))
            owner.execute(roles.statement("drop role {}", role))


@pytest.fixture(scope="module")
def citus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callmart]:
    """Three customers with open marts, on a cluster."""
    empty(DSN)
    home = tmp_path_factory.mktemp("citus")
    spread = Callmart(Settings(home=home, dsn=SecretStr(DSN), folders=[], tableau=Tableau(server=EMULATOR)))
    play(spread, tmp_path_factory.mktemp("landed"))
    ran = spread.build_and_open()
    assert (ran.held_back_days, ran.opened_days > 0, ran.problems) == (0, True, [])
    yield spread


def marts(callmart: Callmart) -> dict[int, dict[str, list[tuple[object, ...]]]]:
    """What every mart tells of every customer. The names of anonymous agents are made of their keys."""
    return {whose: callmart.told(whose, named=whose != ANONYMOUS) for whose in WITH_DATA}


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
