"""dbt by itself builds and tests the project, and changes nothing of the marts or of who reads them."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time
from time import sleep
from typing import Any

import psycopg
import pytest

from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.database import lock
from callmart.database.lock import exclusive
from callmart.opening import opening
from callmart_home import Callmart, leave_dirty
from catalogue import unprotected
from centre import DAYS, NAMED, WITH_DATA, queue_of
from checking import check
from dbt_by_hand import run_dbt
from events import AMSTERDAM, event, ndjson
from leaks import leaks_of

pytestmark = pytest.mark.thorough


def standing(callmart: Callmart) -> list[dict[str, Any]]:
    """All tables of the marts as the catalogue has them, with their rows' number."""
    with callmart.connect() as owner:
        rows = callmart.rows(
            """
            select
                c.oid::bigint, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relacl::text,
                (
                    select array_agg((polname, polroles, pg_get_expr(polqual, polrelid))::text order by polname)
                    from pg_policy where polrelid = c.oid
                ) as policies
            from pg_class as c
            where relnamespace = 'store'::regnamespace and relkind in ('r', 'p')
            order by relname
            """
        )
        for row in rows:
            (row["rows"],) = owner.execute(f"select count(*) from store.{row['relname']}").fetchall()[0]
    return rows


# A build runs the unit tests, so the tests alone need not.
@pytest.mark.parametrize(
    "arguments",
    [
        ("build",),
        pytest.param(("test", "--exclude-resource-type", "unit_test"), marks=pytest.mark.thorough),
        pytest.param(("docs", "generate"), marks=pytest.mark.thorough),
        pytest.param(("run", "--full-refresh"), marks=pytest.mark.thorough),
    ],
    ids=" ".join,
)
def test_dbt_by_itself_works_and_leaves_the_marts_as_they_are(
    played: Callmart, arguments: tuple[str, ...]
) -> None:
    before = standing(played)
    assert all(row["rows"] > 0 for row in before if row["relname"] == "queue_interval")
    done = run_dbt(played, PROJECT, *arguments)
    assert done.returncode == 0, done.stdout
    assert ("no day was dirty; nothing is left to do" in done.stdout) == (arguments[0] in ("run", "build"))
    assert standing(played) == before
    seen = {
        customer: played.rows("select 1 from mart.queue_interval", customer_id=customer)
        for customer in WITH_DATA
    }
    assert all(seen.values())
    if arguments == ("build",):
        results = json.loads((played.home / "by hand" / "run_results.json").read_text())["results"]
        passed = [one["status"] for one in results if one["unique_id"].startswith("unit_test.")]
        written = sum(path.read_text().count("\n    given:\n") for path in PROJECT.glob("models/**/*.yml"))
        assert passed == ["pass"] * written


def test_after_all_that_nothing_leaks(played: Callmart) -> None:
    assert leaks_of(played) == []


def late_contact(callmart: Callmart) -> None:
    """A file that marks the played days of a customer as dirty again."""
    late = [event("queue_joined", at_noon(DAYS[-1]), call_id="late", queue=queue_of(NAMED))]
    assert callmart.land_text(ndjson(*late), NAMED).landed == 1


def at_noon(day: date) -> datetime:
    return datetime.combine(day, time(12), AMSTERDAM)


def offered(callmart: Callmart) -> int:
    (row,) = callmart.rows("select sum(offered)::integer as n from mart.queue_interval", customer_id=NAMED)
    return int(row["n"])


def test_dbt_by_itself_computes_what_is_dirty(played: Callmart) -> None:
    """Not while a run is at work, and not if only some models are selected: then the window stays as it was. Neither
    does a run begin meanwhile.
    """
    before, last = offered(played), played.rows("select max(build_id) as build_id from ops.build")
    late_contact(played)
    window = played.rows("table build.window")
    with played.connect() as owner, exclusive(owner):
        refused = run_dbt(played, PROJECT, "run")
        assert refused.returncode != 0
        assert "a callmart run is at work on this database; wait until it has finished" in refused.stdout
        assert "OK created" not in refused.stdout, "nothing is computed"
    assert played.rows("table build.window") == window
    assert run_dbt(played, PROJECT, "run", "--select", "stg_agent").returncode == 0
    assert played.rows("table build.window") == window

    with ThreadPoolExecutor() as beside, played.connect() as owner:
        owner.execute("lock table raw.event in access exclusive mode")  # so it waits in the middle
        running = beside.submit(run_dbt, played, PROJECT, "run")
        try:
            wait_until_somebody_waits_for(played, "raw.event")
            refuses_to_begin(played)
        finally:
            owner.rollback()
    done = running.result()
    assert done.returncode == 0, done.stdout
    assert "1 day computed; left to do: `callmart validate`, then `callmart open`" in done.stdout
    assert played.rows("select max(build_id) as build_id from ops.build") != last
    assert len(played.rows("select distinct definitions from ops.build")) == 1, "as callmart notes them"
    assert offered(played) == before
    with played.connect() as owner, exclusive(owner):
        assert check(played, owner, "queue_interval").held_back == set()
        assert opening.open_build(owner, played.settings).days == 1
    assert offered(played) == before + 1


def test_marts_alone_are_no_build(played: Callmart) -> None:
    """What they read was emptied when the last build was opened, and no check would find that."""
    with played.connect() as owner:
        leave_dirty(owner, [(NAMED, DAYS[0])])
    before = played.rows("select max(build_id) as build_id from ops.build")
    done = run_dbt(played, PROJECT, "run", "--select", "marts")
    assert done.returncode == 0, done.stdout
    assert "left to do" not in done.stdout
    assert played.rows("table build.window") == []
    assert played.rows("select max(build_id) as build_id from ops.build") == before


def wait_until_somebody_waits_for(callmart: Callmart, table: str) -> None:
    waiting = "select pid from pg_locks where relation = %s::regclass and not granted"
    for _ in range(600):
        if callmart.rows(waiting, table):
            return
        sleep(0.1)
    raise AssertionError(f"nobody waits for {table}")


def refuses_to_begin(callmart: Callmart) -> None:
    """While dbt by itself is at work, neither callmart nor another dbt begins."""
    with callmart.connect() as owner:
        with (
            pytest.raises(UserError, match="a dbt run is at work on this database; wait until"),
            exclusive(owner),
        ):
            pass
        with pytest.raises(psycopg.errors.RaiseException, match="another dbt is at work on this database"):
            owner.execute("select ops.begin_dbt('another')")


def test_a_dbt_that_was_killed_keeps_nobody_from_beginning(
    played: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "DBT_PATIENCE", "200ms")
    with played.connect() as owner:
        owner.execute("select ops.begin_dbt('killed')")
        owner.commit()
        with exclusive(owner):
            assert played.rows("select invocation from ops.dbt_at_work") == []


def test_dbt_by_itself_waits_for_a_rotation_of_keys(played: Callmart) -> None:
    with played.connect() as owner:
        owner.execute("insert into ops.rotation (customer_id) values (%s)", [NAMED])
        with pytest.raises(psycopg.errors.RaiseException, match="`callmart keys rotate` goes on with it"):
            owner.execute("select ops.begin_dbt('of no use')")
        owner.rollback()


def test_months_are_guarded_as_their_mart_and_granted_to_nobody(played: Callmart) -> None:
    with played.connect() as owner:
        months = "select inhrelid::regclass::text from pg_inherits where inhparent = 'store.queue_interval'::regclass"
        assert owner.execute(months).fetchall()
        assert owner.execute(
            "select access.ensure_month('store.queue_interval', date '2031-02-11')"
        ).fetchone() == (True,)
        assert owner.execute(
            "select access.ensure_month('store.queue_interval', date '2031-02-12')"
        ).fetchone() == (False,)
        assert ("store.queue_interval_203102",) in owner.execute(months).fetchall()
        assert unprotected(owner) == []
        owner.rollback()
