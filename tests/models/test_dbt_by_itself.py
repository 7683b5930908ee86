"""dbt by itself builds and tests the project, and changes nothing of the marts or of who reads them."""

from typing import Any

import pytest

from callmart.base.settings import PROJECT
from callmart_home import Callmart
from catalogue import unprotected
from centre import WITH_DATA
from dbt_by_hand import run_dbt


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
    assert standing(played) == before
    seen = {
        customer: played.rows("select 1 from mart.queue_interval", customer_id=customer)
        for customer in WITH_DATA
    }
    assert all(seen.values())


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
