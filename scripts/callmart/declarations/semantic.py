"""Writes the ratios of metrics.yml as dbt's semantic models and metrics, in semantic/models/, for MetricFlow.

Run it with `.venv/bin/python -m callmart.declarations.semantic`. The rest of semantic/ is written by people.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from callmart.base.errors import saying_mistakes
from callmart.base.settings import PROJECT, settings
from callmart.declarations import dbt_project
from callmart.declarations.captions import captions
from callmart.declarations.mart import Column, Mart
from callmart.declarations.metrics import Metric, counts_sql, metrics, sum_sql

FOLDER = PROJECT / "semantic" / "models" / "marts"
COMMAND = ".venv/bin/python -m callmart.declarations.semantic"


def files(marts: Iterable[Mart], metrics: Iterable[Metric]) -> dict[str, str]:
    """The contents of FOLDER by file: the SQL and the YAML of each mart that has ratios and days.

    MetricFlow wants a day for everything that it sums, so ratios of a mart without days are left out.
    """
    marts, metrics = list(marts), list(metrics)
    words, captioned = captions(marts), Counter(metric.caption.en for metric in metrics)
    found = {}
    for mart in marts:
        label, ratios = words.mart(mart.name, "en"), {}
        for metric in metrics:
            if metric.mart == mart.name:
                caption = metric.caption.en  # dbt wants each label once
                ratios[caption if captioned[caption] == 1 else f"{caption} ({label})"] = metric
        if ratios and mart.day:
            found[f"{mart.name}.sql"] = f"-- Written by {COMMAND}; nothing is built from it.\nselect 1\n"
            found[f"{mart.name}.yml"] = f"# Written by {COMMAND}\n\n{_yaml(_semantic(mart, label, ratios))}"
    return found


def _yaml(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def _semantic(mart: Mart, label: str, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """A mart's YAML, with its ratios by their labels. `model` is what has its name in the profile's schema."""
    return {
        "version": 2,
        "models": [{"name": mart.name, "description": mart.description}],
        "semantic_models": [
            {
                "name": mart.name,
                "label": label,
                "description": mart.description,
                "model": f"ref('{mart.name}')",
                "primary_entity": mart.name,
                "defaults": {"agg_time_dimension": mart.day},
                "dimensions": [_dimension(column) for column in mart.declared if _is_dimension(column)],
                "measures": [measure for metric in metrics.values() for measure in _measures(metric)],
            }
        ],
        "metrics": [_metric(label, metric) for label, metric in metrics.items()],
    }


def _is_dimension(column: Column) -> bool:
    """Whether rows can be grouped by it. Times in UTC are left out, as they are on Tableau."""
    return column.name == "customer_id" or column.is_word or column.data_type in (*GRANULARITY, "boolean")


GRANULARITY = {"date": "day", "timestamp without time zone": "minute"}


def _dimension(column: Column) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "categorical"}
    if column.data_type in GRANULARITY:
        kind = {"type": "time", "type_params": {"time_granularity": GRANULARITY[column.data_type]}}
    return {"name": column.name, "description": column.description, **kind}


def _measures(metric: Metric) -> Iterator[dict[str, Any]]:
    """The ratio's two sums, each also a metric of its own."""

    def measure(name: str, agg: str, value: str) -> dict[str, Any]:
        of_row = f"case when {counts_sql(metric)} then {value} end"
        return {"name": f"{metric.name}_{name}", "agg": agg, "expr": of_row, "create_metric": True}

    yield measure("over", "sum", sum_sql(metric.over))
    if metric.is_at_once:
        yield measure("per", "count_distinct", "interval_start")
    else:
        yield measure("per", "sum", sum_sql(metric.per))


def _metric(label: str, metric: Metric) -> dict[str, Any]:
    over, per = {"name": f"{metric.name}_over"}, {"name": f"{metric.name}_per"}
    described = {
        "name": metric.name,
        "label": label,
        "description": f"{metric.description.en}. {metric.caveats.strip()}",
    }
    if metric.is_at_once:
        at_once = f"cast({over['name']} as double precision) / (900 * nullif({per['name']}, 0))"
        return described | {"type": "derived", "type_params": {"expr": at_once, "metrics": [over, per]}}
    return described | {"type": "ratio", "type_params": {"numerator": over, "denominator": per}}


def write(folder: Path, files: dict[str, str]) -> None:
    """Make the folder have these files and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        if file.name not in files:
            file.unlink()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    with saying_mistakes():
        write(FOLDER, files(dbt_project.marts(settings()), metrics().values()))
