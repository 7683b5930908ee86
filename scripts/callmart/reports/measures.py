"""What a sheet measures: a ratio of metrics.yml, or a column of the mart, with its name, its words and its unit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from callmart.base.declared import Locale
from callmart.declarations.captions import Captions
from callmart.declarations.mart import Column, Mart
from callmart.declarations.metrics import Metric, as_sql

Unit = Literal["count", "number", "hours", "seconds", "share", "agents", "moment", "day", "time", "word"]


@dataclass(frozen=True)
class Measure:
    """A measure of a mart. `sql` is its aggregate over the mart's rows, in its unit."""

    name: str
    caption: str
    description: str
    unit: Unit
    sql: str
    metric: Metric | None = None  # None of a column

    @property
    def columns(self) -> set[str]:
        """The columns of the mart that it is made of."""
        return self.metric.columns if self.metric else {self.name}


def of(mart: Mart, name: str, metrics: Mapping[str, Metric], captions: Captions, locale: Locale) -> Measure:
    """Return a mart's measure of a name that `exposures.check` has accepted."""
    if (metric := metrics.get(name)) and metric.mart == mart.name:
        return Measure(
            name,
            metric.caption.of(locale),
            metric.description.of(locale),
            metric.unit,
            as_sql(metric),
            metric,
        )
    column = next(column for column in mart.declared if column.name == name)
    # The sum of floats would depend on the order of the rows.
    number = f"{name}::numeric" if column.has_fractions else name
    total = f"sum({number})" if column.additive else f"max({number})"
    if column.unit == "hours":
        total = f"({total} / 3600.0)"
    is_whole = not column.has_fractions and column.unit != "hours"
    sql = f"{total}::bigint" if is_whole else f"{total}::double precision"
    return Measure(name, captions.column(name, locale), _said(column, captions, locale), column.unit, sql)


def listed(mart: Mart, name: str, captions: Captions, locale: Locale) -> Measure:
    """Return a column that a list shows, as it is."""
    column = next(column for column in mart.declared if column.name == name)
    unit: Unit = "word"
    if column.is_number:
        unit = "seconds" if column.is_duration else column.unit
    elif column.data_type == "timestamp without time zone":
        unit = "moment"
    elif column.data_type == "date":
        unit = "day"
    if name == "agent_key":  # shown by name
        return Measure(name, captions.column("agent", locale), "", unit, name)
    return Measure(name, captions.column(name, locale), _said(column, captions, locale), unit, name)


def _said(column: Column, captions: Captions, locale: Locale) -> str:
    """What a column means."""
    description = captions.description(column.name, locale, column.description)
    # An English description can be the one of SQL users, so it has their words.
    readable = re.sub(
        r"\b[a-z]+(_[a-z]+)+\b", lambda found: captions.column(found[0], locale).lower(), description
    )
    return readable.replace("Null ", "Empty ").replace("null ", "empty ").rstrip(".")
