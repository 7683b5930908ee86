"""The dbt project as a dbt user reads it: descriptions of columns and macros, sources, an empty build, freshness."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from callmart.base.settings import PROJECT
from callmart.declarations import dbt_project
from callmart_home import Callmart, leave_dirty
from dbt_by_hand import run_dbt
from events import at, event, ndjson, registry


@pytest.fixture(scope="module")
def built(callmart: Callmart) -> Callmart:
    """A callmart with one event and all its models: a unit test takes the columns of its inputs from them."""
    callmart.apply(registry("id: 1042, contracts: [{option: standard, from: 2020-01-01}]"))
    callmart.land_text(ndjson(event("call_started", at("10:00"), call_id="c", direction="inbound")), 1042)
    callmart.build_unchecked()
    return callmart


@pytest.fixture(scope="module")
def manifest(built: Callmart) -> dict[str, Any]:
    """The project as dbt reads it."""
    assert run_dbt(built, PROJECT, "parse").returncode == 0
    manifest: dict[str, Any] = json.loads((built.home / "by hand" / "manifest.json").read_text())
    return manifest


def test_every_column_of_every_model_is_described(built: Callmart, manifest: dict[str, Any]) -> None:
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    described = {
        (node["name"], column["name"])
        for node in models
        for column in node["columns"].values()
        if column["description"].strip()
    }
    standing = {
        (row["model"], row["name"])
        for row in built.rows(
            "select r.model, a.attname as name from unnest(%s::text[], %s::text[]) as r (model, relation)"
            " join pg_attribute as a on a.attrelid = r.relation::regclass and a.attnum > 0 and not a.attisdropped",
            [node["name"] for node in models],
            [node["relation_name"] for node in models],
        )
    }
    assert {model for model, _ in standing} == {node["name"] for node in models}
    assert standing == described
    assert [node["name"] for node in models if not node["description"].strip()] == []


def test_every_macro_is_described_in_a_file_of_its_own(manifest: dict[str, Any]) -> None:
    macros = [macro for macro in manifest["macros"].values() if macro["package_name"] == "callmart"]
    files = [macro["original_file_path"] for macro in macros]
    assert len(files) == len(set(files)) == len(list(PROJECT.glob("macros/**/*.sql")))
    for macro in macros:
        signature = re.search(rf"macro {macro['name']}\((.*?)\) -?%}}", macro["macro_sql"], re.DOTALL)
        wanted = re.findall(r"(?:^|, )(\w+)", signature[1]) if signature else []
        told = [argument["name"] for argument in macro["arguments"] if argument["description"].strip()]
        assert macro["description"].strip(), macro["name"]
        assert told == wanted, macro["name"]


def test_only_staging_reads_sources(manifest: dict[str, Any]) -> None:
    readers = {
        (on, str(Path(node["original_file_path"]).parent))
        for node in manifest["nodes"].values()
        for on in node["depends_on"]["nodes"]
        if on.startswith("source.")
    }
    assert readers == {(source, "models/staging") for source in manifest["sources"]}


@pytest.mark.thorough
def test_an_empty_build_and_freshness_work(built: Callmart) -> None:
    """An empty build leaves nothing to open, though days are dirty: it would empty them."""
    builds = built.rows("table ops.build")
    with built.connect() as owner:
        days = owner.execute("select customer_id, call_date from ops.opened_day where isfinite(call_date)")
        leave_dirty(owner, days.fetchmany(1))
    done = run_dbt(built, PROJECT, "build", "--empty", "--exclude-resource-type", "unit_test")
    assert done.returncode == 0, done.stdout
    assert built.rows("table ops.build") == builds
    done = run_dbt(built, PROJECT, "source", "freshness")
    assert done.returncode == 0 and "PASS freshness of raw.event" in done.stdout, done.stdout


def test_a_run_that_ends_while_dbt_is_imported_beside_it_leaves_no_traceback() -> None:
    script = "from callmart.declarations import dbt_project; dbt_project.load_beside()"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_an_interruption_that_dbt_keeps_to_itself_ends_the_command(
    built: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dbt.task.runnable.GraphRunnableTask.execute_nodes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dbt_project.compiled_models(built.settings)
