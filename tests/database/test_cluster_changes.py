"""A Citus cluster that grows and fails while nights go on: nothing is lost, doubled, or comes back."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from threading import Event, Thread

import psycopg
import pyarrow.parquet
import pytest

import on_cluster
from callmart.access import drift, memberships, nodes
from callmart.base.errors import UserError
from callmart.base.person import Blocked
from callmart.base.progress import quietly
from callmart.database import cluster, schema
from callmart.declarations import dbt_project
from callmart.land.places import Events
from callmart.opening import opening
from callmart.operations import run, stages
from callmart.privacy import procedure, rotating
from callmart.retention import expire
from callmart_home import Callmart, leave_opened_dirty
from centre import DAYS, NAMED, WITH_DATA, agent_of, events
from erasures import do, left, of, prove
from on_cluster import marts, size_of_events
from today import YESTERDAY

pytestmark = on_cluster.needed


@contextmanager
def losing(citus: Callmart, node: cluster.Node) -> Iterator[None]:
    """Meanwhile every session of ours on a node ends again and again, as if it was killed and came back."""
    over = Event()

    def end_sessions() -> None:
        with citus.connect() as owner, cluster.connect(owner, node) as there:
            there.autocommit = True
            while not over.wait(0.01):
                there.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where usename = current_user and datname = current_database() and pid <> pg_backend_pid()"
                )

    thread = Thread(target=end_sessions)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def node_of(owner: psycopg.Connection, customer: int) -> cluster.Node:
    (place,) = cluster.places(owner, [customer])
    assert place.node
    return place.node


def raw(citus: Callmart) -> list[tuple[object, ...]]:
    """All events and calls, as they are wherever they are."""
    with citus.connect() as owner:
        return [
            row
            for table in cluster.DISTRIBUTED
            for row in owner.execute(f"select '{table}', t::text from {table} as t order by 2").fetchall()
        ]


def make_dirty(citus: Callmart) -> None:
    """Let all days be built again."""
    with citus.connect() as owner:
        leave_opened_dirty(owner)


def no_proof_yet(citus: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there are copies nobody is proved to be erased."""
    with (
        citus.connect() as owner,
        procedure.working(owner, citus.settings) as work,
        monkeypatch.context() as patch,
        pytest.raises(Blocked, match="moving shards"),
    ):
        patch.setattr(cluster, "has_copies", lambda _: True)  # they may be gone by now
        Events().prove(work, of(work, "agent", agent_of(NAMED, 1)))


def test_shards_move_and_the_next_night_computes_the_same(
    citus: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, events_before = marts(citus), raw(citus)
    with citus.connect() as owner:
        owner.autocommit = True
        origin = node_of(owner, NAMED)
        (target, *_) = (node for node in cluster.nodes(owner) if node != origin)
        for source, to in ((origin, target), (target, origin)):
            owner.execute(
                "select citus_move_shard_placement("
                "get_shard_id_for_distribution_column('raw.event', %s), %s, %s, %s, %s, 'block_writes')",
                [NAMED, source.host, source.port, to.host, to.port],
            )
            assert node_of(owner, NAMED) == to
            assert cluster.has_copies(owner)
            assert list(nodes.find(owner)) == []  # Citus removes them
            no_proof_yet(citus, monkeypatch)
            make_dirty(citus)
            citus.build_unchecked()
            assert marts(citus) == before
            owner.execute("call citus_cleanup_orphaned_resources()")
            assert not cluster.has_copies(owner)
            assert list(nodes.find(owner)) == []
    assert raw(citus) == events_before


def test_a_node_that_is_killed_while_files_land_loses_and_doubles_nothing(
    citus: Callmart, played: Callmart, tmp_path: Path
) -> None:
    file = tmp_path / "late.parquet"
    pyarrow.parquet.write_table(events(NAMED, DAYS[1:2], seed=2, contacts_per_day=10), file)
    before = raw(citus)
    with citus.connect() as owner:
        node = node_of(owner, NAMED)
    with losing(citus, node):
        (failed,) = citus.land_all((file, None))
    assert isinstance(failed, str) and "\n" not in failed
    assert raw(citus) == before
    (landed,) = citus.land_all((file, None))
    assert not isinstance(landed, str) and landed.landed > 0
    assert played.land(file).landed == landed.landed
    assert citus.land(file).unchanged


def test_a_node_that_is_killed_while_it_computes_is_named_and_the_next_run_finishes(
    citus: Callmart, played: Callmart
) -> None:
    before = marts(citus)
    with citus.connect() as owner:
        node = node_of(owner, NAMED)
        ran = stages.Ran()
        with losing(citus, node):
            assert not run._attempt(
                owner, citus.settings, ran, quietly, None, "build", stages.build, "the build broke off"
            )
    (problem,) = ran.problems
    assert "\n" not in problem and "again" in problem
    with citus.connect() as owner:
        assert [
            one.text for one in drift.find(owner, dbt_project.marts(citus.settings)) if not one.server
        ] == []
    assert marts(citus) == before
    for one in (citus, played):
        one.build_unchecked()
    assert marts(citus) == marts(played) != before


def test_what_is_open_goes_out_while_a_node_is_away_and_nothing_is_opened(
    citus: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    with citus.connect() as owner:
        (node, *others) = cluster.nodes(owner)
        monkeypatch.setattr(cluster, "nodes", lambda _: [cluster.Node(node.host, 1), *others])
        (away,) = opening.follow_rights(owner, citus.settings, opens=False)
        assert away.startswith(f"the node {node.host}:1 of the cluster") and "\n" not in away
        with pytest.raises(opening.Drifted, match=f"the node {node.host}:1 of the cluster"):
            opening.follow_rights(owner, citus.settings)
        ran = stages.Ran()
        run.deliver(owner, citus.settings, ran, quietly)
        assert (ran.problems, ran.extracts > 0) == ([away], True)


def test_who_was_erased_does_not_come_back_with_a_node(citus: Callmart, tmp_path: Path) -> None:
    """The node is killed during the erasure; then the events land again."""

    def count(keys: frozenset[str]) -> int:
        query = "select count(*) from raw.event where customer_id = %s and agent_key = any(%s)"
        return int(citus.rows(query, NAMED, list(keys))[0]["count"])

    with citus.connect() as owner, procedure.working(owner, citus.settings) as work:
        node = node_of(owner, NAMED)
        leaver = of(work, "agent", agent_of(NAMED, 2))
        assert count(leaver.keys) > 0
        with losing(citus, node), pytest.raises((psycopg.Error, UserError)):
            do(work, leaver, 1)
        owner.rollback()
        do(work, leaver, 1)
        assert left(prove(work, leaver, 1)) == {}
        assert count(leaver.keys) == 0
        owner.execute("select registry.read_again(%s)", [NAMED])
        owner.commit()
    file = tmp_path / "again.parquet"
    pyarrow.parquet.write_table(events(NAMED, DAYS), file)
    assert citus.land(file).landed == 0
    assert count(leaver.keys) == 0


def test_a_key_is_rotated_whatever_breaks_off_and_the_marts_stay(citus: Callmart, tmp_path: Path) -> None:
    citus.build_unchecked()
    before, events_before = marts(citus), raw(citus)
    with citus.connect() as owner:
        node = node_of(owner, NAMED)
        with losing(citus, node), pytest.raises((psycopg.Error, UserError)):
            rotating.rotate(owner, citus.settings, NAMED, quietly)
    with citus.connect() as owner:
        assert rotating.rotate(owner, citus.settings, NAMED, quietly) > 0
        owner.execute("select registry.read_again(%s)", [NAMED])
        owner.commit()
    assert len(raw(citus)) == len(events_before)
    assert raw(citus) != events_before
    file = tmp_path / "once_more.parquet"
    pyarrow.parquet.write_table(events(NAMED, DAYS), file)
    assert citus.land(file).landed == 0  # all is known by the new key, and who was erased stays away
    make_dirty(citus)
    citus.build_unchecked()
    assert marts(citus) == before


def test_events_of_one_machine_move_to_the_nodes_with_an_upgrade(citus: Callmart) -> None:
    """As where a machine that holds data becomes the coordinator; until then builds say so."""
    before, told = raw(citus), marts(citus)
    assert before
    with citus.connect() as owner:
        owner.execute(cluster.TO_NODES)
        owner.execute("select undistribute_table('raw.call')")
        owner.execute("select undistribute_table('raw.event')")
        owner.commit()
        make_dirty(citus)
        with pytest.raises(UserError, match=r"raw\.event is not on its nodes: run `callmart upgrade`"):
            cluster.places(owner, WITH_DATA)
        owner.execute(cluster.TO_NODES)
        owner.execute("select create_distributed_table('raw.call', 'call_key')")
        owner.commit()
        with pytest.raises(UserError, match=r"raw\.call is distributed by call_key, not by customer_id"):
            schema.apply(owner, citus.settings)
        owner.rollback()
        owner.execute(cluster.TO_NODES)
        owner.execute("select undistribute_table('raw.call')")
        owner.commit()
        schema.apply(owner, citus.settings)
        owner.commit()
        # Citus carries the views of a filled table along.
        assert {one.text.partition(", ")[2] for one in nodes.find(owner)} == {
            "the view raw.timed_event is callmart's"
        }
        assert memberships.apply(owner, citus.settings, dbt_project.marts(citus.settings)).problems == []
        assert list(nodes.find(owner)) == []
        assert owner.execute("select pg_relation_size('raw.call')").fetchone() == (0,)
    assert raw(citus) == before
    citus.build_unchecked()
    assert marts(citus) == told


def test_a_node_that_is_killed_while_days_expire_gives_none_of_them_back(citus: Callmart) -> None:
    later = date(YESTERDAY.year + 2, YESTERDAY.month, min(YESTERDAY.day, 28)) + timedelta(days=70)
    with citus.connect() as owner:
        node = node_of(owner, NAMED)
    with losing(citus, node), suppress(psycopg.Error, UserError), citus.connect() as owner:
        broken = expire.expire(owner, citus.settings, later)
        assert not {one.outcome for one in broken} <= {expire.DONE, expire.EMPTIED}
    with citus.connect() as owner:
        outcomes = expire.expire(owner, citus.settings, later)
        assert {one.outcome for one in outcomes} <= {expire.DONE, expire.EMPTIED}, outcomes
        assert raw(citus) == []
        for node in cluster.nodes(owner):
            with cluster.connect(owner, node) as there:
                assert size_of_events(there) == 0
