"""semantic/ says of the ratios what metrics.yml says. test_metricflow.py asks MetricFlow itself."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from callmart.base.settings import settings
from callmart.declarations import dbt_project, metrics, semantic
from callmart.declarations.mart import Mart
from callmart.declarations.metrics import Metric


@pytest.fixture(scope="module")
def marts() -> list[Mart]:
    return dbt_project.marts(settings())


def contents(marts: list[Mart], *ratios: Metric) -> dict[str, Any]:
    """The YAML files of these ratios by their marts."""
    files = semantic.files(marts, ratios or metrics.metrics().values())
    return {Path(name).stem: yaml.safe_load(text) for name, text in files.items() if name.endswith(".yml")}


def test_the_files_are_what_the_declarations_say(marts: list[Mart]) -> None:
    files = semantic.files(marts, metrics.metrics().values())
    standing = {file.name: file.read_text("utf-8") for file in semantic.FOLDER.iterdir()}
    assert standing == files, f"run {semantic.COMMAND}"


def test_each_ratio_is_a_metric_of_its_mart(marts: list[Mart]) -> None:
    found = {
        (metric["name"], mart) for mart, content in contents(marts).items() for metric in content["metrics"]
    }
    assert found == {(metric.name, metric.mart) for metric in metrics.metrics().values()}


def test_dbt_takes_them(marts: list[Mart]) -> None:
    """By the rules with which dbt reads semantic models; a label that is there twice is against them."""
    assert mistakes(contents(marts)) == []
    assert any(
        "Average handling time" in one for one in mistakes(contents(marts), label="Average handling time")
    )


def mistakes(contents: dict[str, Any], label: str = "") -> list[str]:
    """What dbt finds wrong in the files. With `label` all metrics have that label."""
    from dbt_semantic_interfaces.parsing.dir_to_model import (
        parse_yaml_files_to_validation_ready_semantic_manifest,
    )
    from dbt_semantic_interfaces.parsing.objects import YamlConfigFile
    from dbt_semantic_interfaces.validations.semantic_manifest_validator import SemanticManifestValidator

    documents: list[dict[str, Any]] = [
        {
            "project_configuration": {
                "time_spines": [
                    {
                        "node_relation": {"alias": "time_spine", "schema_name": "mart"},
                        "primary_column": {"name": "moment", "time_granularity": "minute"},
                    }
                ]
            }
        }
    ]
    for mart, content in contents.items():
        (model,) = content["semantic_models"]
        assert model.pop("model") == f"ref('{mart}')"
        documents.append(
            {"semantic_model": model | {"node_relation": {"alias": mart, "schema_name": "mart"}}}
        )
        documents += [
            {"metric": metric | ({"label": label} if label else {})} for metric in content["metrics"]
        ]
    files = [
        YamlConfigFile(filepath=f"{number}.yml", contents=yaml.safe_dump(one))
        for number, one in enumerate(documents)
    ]
    read = parse_yaml_files_to_validation_ready_semantic_manifest(files, apply_transformations=True)
    checked = SemanticManifestValidator().validate_semantic_manifest(read.semantic_manifest)
    return [issue.message for issue in (*read.issues.errors, *checked.errors)]


def test_an_optional_column_counts_as_0_and_a_row_with_a_null_not_at_all(marts: list[Mart]) -> None:
    (model,) = contents(marts)["agent_day"]["semantic_models"]
    (over,) = [one for one in model["measures"] if one["name"] == "occupancy_over"]
    assert over["expr"] == (
        "case when (talk_s, ready_s, ring_s) is not null"
        " then talk_s + coalesce(hold_s, 0) + coalesce(wrapup_s, 0) end"
    )


def test_a_mart_without_days_has_none(marts: list[Mart]) -> None:
    without = [mart.model_copy(update={"day": None}) if mart.name == "agent_day" else mart for mart in marts]
    assert contents(without).keys() == contents(marts).keys() - {"agent_day"}


def test_a_file_of_a_mart_that_has_no_ratio_any_more_goes(tmp_path: Path) -> None:
    for files in ({"old.yml": "old", "kept.yml": "before"}, {"kept.yml": "now"}):
        semantic.write(tmp_path, files)
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == files
