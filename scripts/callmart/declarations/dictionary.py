"""Writes the metric dictionary, docs/metrics.md: the marts from their YAML, and the ratios from metrics.yml.

Run it with `.venv/bin/python -m callmart.declarations.dictionary`. The text around the two parts is written by people.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import fill

from callmart.base import declared
from callmart.base.errors import saying_mistakes
from callmart.base.settings import PROJECT, settings
from callmart.declarations import dbt_project
from callmart.declarations.captions import Captions, captions
from callmart.declarations.mart import Column, Mart
from callmart.declarations.metrics import Metric, as_sql, metrics, view_of

FILE = PROJECT / "docs" / "metrics.md"
COMMAND = ".venv/bin/python -m callmart.declarations.dictionary"

WIDTH = 120  # characters of a line

UNITS = {
    "boolean": "true or false",
    "date": "local day",
    "text": "text",
    "timestamp with time zone": "instant",
    "timestamp without time zone": "local time",
}


def of_marts(marts: Iterable[Mart]) -> str:
    """The marts in Markdown, in the order of captions.yml: the description of each mart and its columns."""
    marts = list(marts)
    words = captions(marts)
    ordered = sorted(marts, key=lambda mart: words.order(mart.name))
    return "\n".join(line for mart in ordered for line in _mart(mart, words))


def _mart(mart: Mart, words: Captions) -> Iterator[str]:
    yield f"### {words.mart(mart.name, 'en')} ({words.mart(mart.name, 'nl')}): `{mart.name}`\n"
    yield f"{_wrapped(mart.description)}\n"
    yield f"Group {mart.group}; key {', '.join(f'`{column}`' for column in mart.key)}.\n"
    yield "| column | in reports | unit | points to | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    rows = (_row(mart, column, words) for column in mart.declared)
    yield from dict.fromkeys(rows)  # the columns of a series give equal rows, of which one is kept
    yield ""


def _row(mart: Mart, column: Column, words: Captions) -> str:
    name, meaning, caption = column.name, column.description, words.columns.get(column.name)
    in_reports = f"{caption.caption.en} ({caption.caption.nl})" if caption else "–"
    for series, shared in mart.series.items():
        bounds = mart.bounds(series)
        bound = name.removeprefix(f"{series}_")
        if bound in map(str, bounds):
            in_reports = f"{shared.caption.en} ({shared.caption.nl})".replace("*", "N")
            name = f"{series}_N"
            meaning = f"{meaning.replace(f' {bound} ', ' N ')} N is {', '.join(map(str, bounds))}."
    is_sum = column.additive or column not in mart.measures
    cells = (f"`{name}`", in_reports, _unit(mart, column), column.person or "–", meaning)
    return f"| {' | '.join(cells)}{'' if is_sum else ' Not additive.'} |"


def _unit(mart: Mart, column: Column) -> str:
    if column.is_number:
        return "seconds" if column.is_duration else "number"
    is_key = column in mart.pseudonyms or column.name == "customer_id"
    return "key" if is_key else UNITS[column.data_type]


def of_ratios(metrics: Iterable[Metric], marts: Iterable[Mart]) -> str:
    """The ratios in Markdown: formula, parts, source, caveats, variants, and the SQL for any days and queues."""
    views = {mart.name: view_of(mart) for mart in marts}
    return "\n".join(line for metric in metrics for line in _ratio(metric, views[metric.mart]))


def _ratio(metric: Metric, view: str) -> Iterator[str]:
    unit = {"share": "a share", "seconds": "in seconds", "agents": "agents at once"}[metric.unit]
    yield f"### {metric.caption.en} ({metric.caption.nl}): `{metric.name}`"
    yield f"\n{_wrapped(f'{metric.description.en} ({unit}).')}\n"
    yield f"- formula: `{metric}`, of `mart.{metric.mart}`; shown in `mart.{view}`"
    yield _wrapped(f"- source: {metric.source}", "  ")
    yield _wrapped(f"- mind: {metric.caveats}", "  ")
    if metric.variants:
        yield "- other definitions, from the same parts:"
        yield from (f"  - {variant.name}: `{variant}`" for variant in metric.variants)
    yield f"\n```sql\n{as_sql(metric).replace(' / ', chr(10) + '/ ')}\n```\n"


def _wrapped(text: str, indent: str = "") -> str:
    """A text in lines, of which all but the first are indented."""
    return fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def write(file: Path, marts: Iterable[Mart], metrics: Iterable[Metric]) -> None:
    """Write the marts and the ratios into the file, each between its two markers. UserError if a marker is missing."""
    marts = list(marts)
    declared.fill(file, COMMAND, {"marts": of_marts(marts), "ratios": of_ratios(metrics, marts)})


if __name__ == "__main__":
    with saying_mistakes():
        write(FILE, dbt_project.marts(settings()), metrics().values())
