"""dbt by itself builds and tests the project, and changes nothing of the marts or of who reads them."""

from datetime import date, datetime, time
from typing import Any

import pytest

from callmart.base.settings import PROJECT
from callmart.database.lock import exclusive
from callmart.opening import opening
from callmart_home import Callmart
from catalogue import unprotected
from centre import DAYS, NAMED, WITH_DATA, queue_of
from checking import check
from dbt_by_hand import run_dbt
from events import AMSTERDAM, event, ndjson


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


@pytest.mark.parametrize(
    "arguments", [("run", "--full-refresh"), ("build",), ("test",), ("docs", "generate")], ids=" ".join
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
    """Not while a run is at work, and not if only some models are selected: then the window stays as it was."""
    before, last = offered(played), played.rows("select max(build_id) as build_id from ops.build")
    late_contact(played)
    window = played.rows("table build.window")
    with played.connect() as owner, exclusive(owner):
        refused = run_dbt(played, PROJECT, "run")
        assert refused.returncode != 0
        assert "a callmart run is at work on this database; wait until it has finished" in refused.stdout
    assert run_dbt(played, PROJECT, "run", "--select", "stg_agent").returncode == 0
    assert played.rows("table build.window") == window

    done = run_dbt(played, PROJECT, "run")
    assert done.returncode == 0, done.stdout
    assert "1 days computed; left to do: `callmart validate`, then `callmart open`" in done.stdout
    assert played.rows("select max(build_id) as build_id from ops.build") != last
    assert len(played.rows("select distinct definitions from ops.build")) == 1, "as callmart notes them"
    assert offered(played) == before
    with played.connect() as owner:
        assert check(played, owner, "queue_interval").held_back == set()
        assert opening.open_build(owner, played.settings).days == 1
    assert offered(played) == before + 1


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
