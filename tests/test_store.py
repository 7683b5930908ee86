"""The store: a mart that is not declared does not build, one that has drifted stops, and nothing is ever lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from callmart.settings import PROJECT
from catalogue import unprotected
from centre import NAMED, WITH_DATA
from conftest import Callmart

Declaration = dict[str, Any]


def run_dbt(callmart: Callmart, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """dbt as a person runs it, on this callmart's server."""
    scratch = callmart.home / "by hand"
    # A build in this process, of a callmart elsewhere, leaves its server's port there.
    kept = {name: value for name, value in os.environ.items() if "CALLMART_PG" not in name}
    return subprocess.run(
        [
            Path(sys.executable).parent / "dbt",
            *arguments,
            f"--project-dir={project}",
            f"--profiles-dir={project}",
            f"--target-path={scratch}",
            f"--log-path={scratch}",
        ],
        env=kept | {"CALLMART_PG_HOST": str(callmart.home / "socket")},
        capture_output=True,
        text=True,
        check=False,
    )


# -- a project of its own, with marts that are next to nothing -----------------------------------------------------


@dataclass
class Project:
    """A copy of the dbt project, to which a test adds marts."""

    callmart: Callmart
    folder: Path

    def declare(self, name: str, change: Callable[[Declaration], object] = lambda declared: None) -> None:
        """Write a small mart with its YAML, after `change`; the SQL selects what the YAML names."""
        declared: Declaration = {
            "name": name,
            "config": {"meta": {"group": "queue", "key": ["customer_id", "call_date"], "day": "call_date"}},
            "columns": [
                {"name": "customer_id", "data_type": "integer"},
                {"name": "call_date", "data_type": "date"},
                {"name": "things", "data_type": "integer"},
            ],
        }
        change(declared)
        known = {"customer_id": "customer_id", "call_date": "call_date"}
        columns = ", ".join(
            f"{known.get(column['name'], 'null')}::{column['data_type']} as {column['name']}"
            for column in declared["columns"]
        )
        marts = self.folder / "models/marts/queue"
        (marts / f"{name}.sql").write_text(f"select {columns} from {{{{ ref('stg_day') }}}}\n")
        with (marts / f"{name}.yml").open("w") as file:
            YAML().dump({"version": 2, "models": [declared]}, file)

    def run(self, *options: str) -> str:
        """Run all marts of one's own; what dbt says."""
        return run_dbt(self.callmart, self.folder, "run", "--select", "stg_day", "tiny_*", *options).stdout


@pytest.fixture
def project(played: Callmart, tmp_path: Path) -> Project:
    for name in ("models", "macros"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, tmp_path)
    return Project(played, tmp_path)


def column(declared: Declaration, name: str, data_type: str, **more: Any) -> None:
    declared["columns"].append({"name": name, "data_type": data_type, **more})


def meta(**values: Any) -> Callable[[Declaration], None]:
    return lambda declared: declared["config"]["meta"].update(values)


UNDECLARED: dict[str, tuple[Callable[[Declaration], object], str]] = {
    "tiny_no_meta": (lambda d: d["config"].pop("meta"), "config.meta.group: one of"),
    "tiny_no_group": (lambda d: d["config"]["meta"].pop("group"), "config.meta.group: one of"),
    "tiny_other_group": (meta(group="everybody"), "config.meta.group: one of"),
    "tiny_no_key": (lambda d: d["config"]["meta"].pop("key"), "config.meta.key: the columns of its grain"),
    "tiny_day_first": (meta(key=["call_date", "customer_id"]), "customer_id first"),
    "tiny_no_day": (lambda d: d["config"]["meta"].pop("day"), "config.meta.day: the column of its local day"),
    "tiny_free_day": (meta(key=["customer_id"]), "call_date to config.meta.key"),
    "tiny_no_column": (meta(key=["customer_id", "call_date", "queue"]), "a column queue: its key"),
    "tiny_agent": (lambda d: column(d, "agent_id", "text"), "meta: {person: agent}"),
    "tiny_varying": (lambda d: column(d, "caller_name", "character varying(9)"), "meta: {person: agent}"),
    "tiny_number": (lambda d: column(d, "phone", "bigint"), "meta: {person: agent}"),
    "tiny_grants": (lambda d: d["config"].update(grants={"select": ["public"]}), "grants of its own: remove"),
    "tiny_hook": (
        lambda d: d["config"].update({"post-hook": "grant select on {{ this }} to public"}),
        "hooks of its own: remove",
    ),
    "tiny_no_contract": (
        lambda d: d["config"].update(contract={"enforced": False}),
        "config.contract.enforced: true",
    ),
}


def test_a_mart_that_is_not_declared_does_not_build(project: Project) -> None:
    for name, (change, _) in UNDECLARED.items():
        project.declare(name, change)
    project.declare("tiny_good")
    project.declare(
        "tiny_person", lambda d: column(d, "agent_id", "text", config={"meta": {"person": "agent"}})
    )
    said = " ".join(project.run().split())
    for name, (_, remedy) in UNDECLARED.items():
        start = said.find(f"mart {name} ")
        assert start >= 0, name
        assert remedy in said[start : start + 400], name
    standing = {
        row["name"]
        for row in project.callmart.rows(
            "select relname as name from pg_class where relnamespace = 'store'::regnamespace"
            " and relname like 'tiny%%' and relkind in ('r', 'p')"
        )
    }
    assert standing == {"tiny_good", "tiny_person"}
    with project.callmart.connect() as owner:
        assert unprotected(owner) == []


@pytest.mark.parametrize("materialized", ["table", "view", "incremental"])
def test_nothing_but_stores_stands_in_mart(project: Project, materialized: str) -> None:
    project.declare(
        "tiny_plain", lambda d: d["config"].update(materialized=materialized, on_schema_change="fail")
    )
    assert "tiny_plain is no store" in project.run()
    assert not project.callmart.rows("select 1 from pg_class where relname = 'tiny_plain'")


@pytest.mark.parametrize(
    ("columns", "materialized", "remedy"),
    [
        (("call_date", "things"), "frozen", "sum over them"),
        (("customer_id", "things"), "frozen", "sum over them"),
        (("things",), "table", "tiny_told is no frozen"),
    ],
)
def test_nothing_but_sums_over_all_customers_stands_in_usage(
    project: Project, columns: tuple[str, ...], materialized: str, remedy: str
) -> None:
    def change(declared: Declaration) -> None:
        declared["columns"] = [column for column in declared["columns"] if column["name"] in columns]
        declared["config"] = {
            "meta": {"group": "usage", "key": [columns[0]], "day": "none"},
            "materialized": materialized,
            "schema": "usage",
        }

    project.declare("tiny_told", change)
    assert remedy in " ".join(project.run().split())
    assert not project.callmart.rows("select 1 from pg_class where relname = 'tiny_told'")


DRIFT: dict[str, tuple[Callable[[Declaration], object], str]] = {
    "tiny_removed": (lambda d: d["columns"].pop(), "the column things is not declared any more"),
    "tiny_retyped": (
        lambda d: d["columns"][2].update(data_type="text"),
        "things is integer, declared as text",
    ),
    "tiny_rekeyed": (meta(key=["customer_id", "call_date", "things"]), "its key is customer_id, call_date"),
    "tiny_undated": (meta(day="none"), "it is partitioned by RANGE (call_date)"),
}


@pytest.mark.parametrize("options", [(), ("--full-refresh",)])
def test_drift_stops_with_what_to_do_and_a_new_column_is_added(
    project: Project, options: tuple[str, ...]
) -> None:
    names = [*DRIFT, "tiny_added"]
    history = "select customer_id, call_date, things, tableoid::regclass::text as month from store.{}"
    for name in names:
        project.declare(name)
    project.run()
    with project.callmart.connect() as owner:
        for name in names:
            owner.execute("select access.ensure_month(%s::regclass, current_date)", [f"store.{name}"])
            owner.execute(
                f"insert into store.{name} values (%s, current_date, 7) on conflict do nothing",  # type: ignore[arg-type]
                [NAMED],
            )
    before = {name: project.callmart.rows(history.format(name)) for name in names}
    assert all(len(rows) == 1 for rows in before.values())

    for name, (change, _) in DRIFT.items():
        project.declare(name, change)
    project.declare("tiny_added", lambda d: column(d, "more", "integer"))
    said = " ".join(project.run(*options).split())
    for name, (_, difference) in DRIFT.items():
        start = said.find(f'"store"."{name}" does not stand as declared: {difference}')
        assert start >= 0, (name, said)
        assert "docs/runbook.md" in said[start : start + 400], name
    assert {name: project.callmart.rows(history.format(name)) for name in names} == before
    assert project.callmart.rows("select more from mart.tiny_added", customer_id=NAMED) == [{"more": None}]
    with project.callmart.connect() as owner:
        assert unprotected(owner) == []


# -- the project itself --------------------------------------------------------------------------------------------


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
            (row["rows"],) = owner.execute(f"select count(*) from store.{row['relname']}").fetchall()[0]  # type: ignore[arg-type]
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
