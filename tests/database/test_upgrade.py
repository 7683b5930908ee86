"""A database of an earlier callmart becomes what this one needs, with its history.

tests/data/homes has a dump of each version: 85f5234.dump holds the three customers of centre.py with three days in
November 2026, landed, built and opened by that commit; e38da65.dump, of the last one without numbered migrations, has
days of two months, a held-back day and a publication. Each release adds one (tests/support/dumps.py).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmart.access import drift, memberships, roles
from callmart.base.errors import UserError
from callmart.cli import main
from callmart.database import lock, migrating, schema
from callmart.database.lock import exclusive
from callmart.declarations import dbt_project, mart_tables, metrics
from callmart.declarations.mart import Mart
from callmart.upgrade import upgrading
from callmart_home import Callmart, leave_opened_dirty
from catalogue import structure, unprotected
from centre import DETAILED, WITH_DATA, queue_of
from commands import use
from dumps import HOMES, dump, restore
from pointing_columns import columns
from today import TODAY

EARLIER = HOMES / "85f5234.dump"
THIS = "this version"
*OLDER, LAST = sorted(file.name for file in HOMES.glob("*.dump"))
LATEST = len(migrating.known(migrating.FOLDER))
GROUPS = ("queue", "line", "agent", "usage")


def rows_of(connection: psycopg.Connection, mart: str) -> tuple[int, str]:
    """How many rows a mart has, and a digest of them."""
    ((table,),) = connection.execute(
        "select coalesce(to_regclass('store.' || %(mart)s), to_regclass('mart.' || %(mart)s))::text",
        {"mart": mart},
    )
    # An upgrade keys the keys of calls. The build adds columns, which are null on days from before.
    told = f"select jsonb_strip_nulls(to_jsonb(m) - 'call_key')::text as told from {table} as m"
    query = f"select count(*), md5(string_agg(told, '|' order by told)) from ({told})"
    ((count, digest),) = connection.execute(query)
    return count, digest


def digests(connection: psycopg.Connection, marts: list[str]) -> dict[str, tuple[int, str]]:
    """The rows of each mart."""
    return {mart: rows_of(connection, mart) for mart in marts}


def differing(
    connection: psycopg.Connection, marts: list[Mart], new: set[tuple[str, str, str | None]]
) -> set[tuple[str, str, str | None]]:
    """Where a database is not as a new one, but for what the next build makes or extends, and ratios of that."""
    waiting = [mart for mart in marts if not mart_tables.are_as_declared(connection, [mart])]
    names = "|".join(name for mart in waiting for name in (mart.name, metrics.view_of(mart)))
    of_waiting = re.compile(rf"\b(store|mart)\.({names})(_pkey|\.|$)")
    return {thing for thing in structure(connection) ^ new if not of_waiting.search(thing[1])}


@pytest.fixture
def earlier(make_callmart: Callable[[], Callmart]) -> Callmart:
    """A database as 85f5234 made it, with the roles that its marts were granted to."""
    callmart = make_callmart()
    with callmart.connect() as owner:
        for group in GROUPS:
            owner.execute(f"create role callmart_reads_{group} nologin")
    restore(callmart, EARLIER)
    return callmart


@pytest.fixture(scope="module")
def new(played: Callmart) -> set[tuple[str, str, str | None]]:
    """What a database of this version consists of."""
    with played.connect() as owner:
        return structure(owner)


def upgrade(callmart: Callmart) -> memberships.Applied:
    with callmart.connect() as owner:
        return upgrading.upgrade(owner, callmart.settings, dbt_project.marts(callmart.settings))


def plan(callmart: Callmart) -> list[str]:
    with callmart.connect() as owner:
        return list(upgrading.plan(owner, callmart.settings, dbt_project.marts(callmart.settings)))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "version", [*(pytest.param(name, marks=pytest.mark.thorough) for name in OLDER), LAST, THIS]
)
def test_a_home_of_every_version_restored_without_its_roles_is_upgraded(
    played: Callmart,
    make_callmart: Callable[[], Callmart],
    new: set[tuple[str, str, str | None]],
    version: str,
    tmp_path: Path,
) -> None:
    """In an empty cluster no mart has a policy for its readers, so nobody reads anything until the upgrade."""
    file = HOMES / version
    if version == THIS:  # as the next release adds it
        dump(played, file := tmp_path / "this.dump")
    callmart = make_callmart()
    restore(callmart, file)
    marts = dbt_project.marts(callmart.settings)
    with callmart.connect() as owner:
        before = {(mart.name, *rows_of(owner, mart.name)) for mart in mart_tables.marts(owner)}
        # Nobody ordered it.
        assert before and all(count for mart, count, _ in before if mart != "queue_contact")
        upgrading.upgrade(owner, callmart.settings, marts)
        former = {name: mart.name for mart in marts for name in mart.renamed_from}
        assert {(mart.name, *rows_of(owner, mart.name)) for mart in mart_tables.marts(owner)} == {
            (former.get(name, name), count, digest) for name, count, digest in before
        }
        schema.require(owner, callmart.settings.time_zone)
        assert drift.find(owner, marts) == []
        assert differing(owner, marts, new) == set()
        assert unprotected(owner) == []


def test_an_earlier_database_is_upgraded_with_its_history(
    earlier: Callmart, new: set[tuple[str, str, str | None]]
) -> None:
    time_zone = earlier.settings.time_zone
    marts = dbt_project.marts(earlier.settings)
    with earlier.connect() as owner:
        names = [mart.name for mart in mart_tables.marts(owner)]
        with pytest.raises(UserError) as older:
            schema.require(owner, time_zone)
        assert str(older.value) == (
            f"the database is at 0, this is {LATEST}: back up, then run `callmart upgrade`"
        )
        before = digests(owner, names)
        assert all(rows for rows, _ in before.values())
        owner.execute("truncate ops.publication")
        owner.execute(
            "insert into ops.publication (customer_id, state, project) values (1042, 'published', 'a name')"
        )
        owner.execute(
            "insert into usage.function_month values ('2026-10-01', 'hold', 9), ('2026-10-01', 'hold_contact', 7)"
        )
        owner.execute("create function access.obsolete() returns integer return 1")
        owner.execute("create view access.obsolete_view as select access.obsolete() as one")
        owner.execute(
            "insert into access.definition select object, definition from access.current_definition"
            " where object like 'access.obsolete%'"
        )
        owner.execute("analyze")  # as an earlier night did, with samples of numbers
        owner.commit()

        for _ in range(2):  # a second time changes nothing
            upgrading.upgrade(owner, earlier.settings, marts)
            assert digests(owner, names) == before
        schema.require(owner, time_zone)
        assert list(upgrading.plan(owner, earlier.settings, marts)) == []
        assert drift.find(owner, marts) == []
        assert differing(owner, marts, new) == set()
        # to be adopted, and known by no name
        books = owner.execute(
            "select project_id, is_from_before, p::text from ops.publication as p"
        ).fetchall()
        assert [(luid, before) for luid, before, said in books if "name" not in said] == [(None, True)]
        assert unprotected(owner) == []
        assert owner.execute("select to_regclass('build.int_talk')").fetchone() == (None,)
        assert owner.execute("select function from usage.function_month").fetchall() == [("hold",)]
        # None is sampled: what the planner expects of any value is what it expects of all.
        sampled = owner.execute(
            "select relation, access.sampled_columns(relation, 'call_date') from access.mart_relation"
            " where mart = any(%s::regclass[])",
            [[f"store.{mart.name}" for mart in marts if mart.day and mart.name in names]],
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


def test_a_mart_that_left_the_project_says_whom_its_columns_could_point_to(earlier: Callmart) -> None:
    """No YAML says it, and still the upgrade finishes."""
    left = {"agent_session", "queue_day"}
    marts = [mart for mart in dbt_project.marts(earlier.settings) if mart.name not in left]
    with earlier.connect() as owner:
        upgrading.upgrade(owner, earlier.settings, marts)
        said = {
            (one.table, one.column, one.person)
            for one in columns(owner)
            if one.schema == "store" and one.table in left
        }
    assert said == {
        *(("agent_session", key, who) for key in ("agent_key", "device_key") for who in ("agent", "caller")),
        ("queue_day", "queue", "nobody"),
    }


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.thorough
def test_an_upgrade_that_is_killed_anywhere_goes_on(
    earlier: Callmart, new: set[tuple[str, str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    marts = dbt_project.marts(earlier.settings)
    with earlier.connect() as owner:
        names = [mart.name for mart in mart_tables.marts(owner)]
        before = digests(owner, names)
    planned = plan(earlier)
    assert planned == [
        *(f"migration {one}" for one in migrating.known(migrating.FOLDER)),
        "functions, views and policies are replaced",
    ]

    advance = migrating._advance

    def advance_once(*arguments: Any) -> None:
        advance(*arguments)
        raise Killed

    def killed(*arguments: Any, **options: Any) -> None:
        raise Killed

    for at in range(LATEST):
        with monkeypatch.context() as inside:  # everything is done, and the transaction never ends
            inside.setitem(
                migrating.SQL,
                "note",
                "select pg_terminate_backend(pg_backend_pid()), %(number)s",
            )
            with pytest.raises(psycopg.OperationalError):
                upgrade(earlier)
        left = plan(earlier)
        assert left == planned[at:]
        with monkeypatch.context() as between:
            between.setattr(migrating, "_advance", advance_once)
            while left == planned[at:]:  # one in steps needs several
                with pytest.raises(Killed):
                    upgrade(earlier)
                left = plan(earlier)
        assert left == planned[at + 1 :]
        with earlier.connect() as owner, pytest.raises(UserError, match=r"run `callmart upgrade`$"):
            schema.require(owner, earlier.settings.time_zone)

    with earlier.connect() as owner:
        # A mart stays in the group that its readers had, whatever its YAML says now.
        groups: dict[str, str] = dict(
            owner.execute("select relation::text, mart_group from access.mart").fetchall()
        )
    assert groups == {f"store.{mart.name}": mart.group for mart in marts if mart.name in names} | {
        "usage.function_month": "usage"
    }
    for module, name in (
        (lock, "wait_at_most"),
        (memberships, "follow_contracts"),
        (memberships, "finish"),
    ):
        with monkeypatch.context() as later:
            later.setattr(module, name, killed)
            with pytest.raises(Killed):
                upgrade(earlier)
        assert plan(earlier) == planned[-1:]
        with earlier.connect() as owner, pytest.raises(UserError, match=r"run `callmart upgrade`$"):
            schema.require(owner, earlier.settings.time_zone)

    upgrade(earlier)
    with earlier.connect() as owner:
        assert differing(owner, marts, new) == set()
        assert digests(owner, names) == before

    # And this version computes the same days again from what is stored. A mart that is defined otherwise since then is
    # to be left out here.
    with earlier.connect() as owner:
        leave_opened_dirty(owner)
    earlier.build_unchecked()
    with earlier.connect() as owner:
        assert digests(owner, names) == before


def test_the_plan_of_an_upgrade_changes_nothing_and_two_are_not_done_at_once(
    earlier: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(earlier.settings, monkeypatch)

    def command(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["callmart", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    def everything() -> list[dict[str, Any]]:
        return earlier.rows(
            "select oid, relname, relnamespace, relacl::text, xmin::text from pg_class order by oid"
        )

    before = everything()
    code, said, error = command("upgrade", "--plan")
    assert (code, said.splitlines()[0], said.splitlines()[LATEST], said.splitlines()[-1], error) == (
        0,
        "migration 0001 tables",
        "functions, views and policies are replaced",
        f"upgrade: {LATEST + 1} changes to make",
        "",
    )
    assert everything() == before

    with earlier.connect() as other, exclusive(other):
        assert command("upgrade") == (
            2,
            "",
            "error: another callmart run is at work on this database; wait until it has finished\n",
        )
    code, said, _ = command("upgrade")
    assert (code, said.splitlines()[-1]) == (0, "upgrade: done; continue with `callmart run`")
    assert command("upgrade") == (0, "upgrade: nothing to do\n", "")
    marts = dbt_project.marts(earlier.settings)
    with monkeypatch.context() as more:  # what a build will do is no change for an upgrade to make
        more.setattr(dbt_project, "marts", lambda _: [*marts, marts[0].model_copy(update={"name": "other"})])
        for option, added in (("--plan", ["mart other: the next build makes it"]), ("", [])):
            code, said, _ = command("upgrade", *option.split())
            of_other = [line for line in said.splitlines()[:-1] if line.startswith("mart other")]
            assert (code, said.splitlines()[-1], of_other) == (0, "upgrade: nothing to do", added)

    # A clock that jumped stops it before anything is done.
    with earlier.connect() as owner:
        owner.execute("delete from ops.migration where number = %s", [LATEST])
        owner.execute("update ops.clock set day = day - 30")
    code, _, error = command("upgrade")
    assert (code, "nothing was done: the clock says" in error) == (2, True)
    assert command("clock")[0] == 1
    assert command("clock", "--accept", str(TODAY))[:2] == (
        0, f"the clock says {TODAY}; callmart last worked on {TODAY}\nclock: believed\n"
    )  # fmt: skip
    assert plan(earlier) == [f"migration {migrating.known(migrating.FOLDER)[-1]}"]


def test_a_database_of_this_version_needs_no_upgrade(played: Callmart) -> None:
    with played.connect() as owner:
        schema.require(owner, played.settings.time_zone)
        assert schema.is_current(owner, played.settings.time_zone)
        assert not schema.is_current(owner, "Asia/Tokyo"), "its floor is another"
        assert roles.existing(owner, "callmart") >= set(roles.showing_roles("callmart"))
