"""The fields of a customer's data source of a mart group, before they are written as XML.

A column of the group's root mart keeps its name; a column of another mart also names the mart: `contacts (agent_day)`.
So a new mart never renames a field that a workbook uses. In addition there are calculated fields: the ratios of
metrics.yml, parts of the day and the week, and durations in hours.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from callmart.base import declared
from callmart.base.declared import Locale, Texts, texts
from callmart.base.matrix import matrix
from callmart.base.settings import PROJECT
from callmart.declarations.captions import Captions
from callmart.declarations.data_through import THROUGH
from callmart.declarations.exposures import QUARTER_HOUR, column_of
from callmart.declarations.mart import Column, Mart
from callmart.declarations.metrics import Metric, as_tableau

MODELS = PROJECT / "models" / "marts"

DataType = Literal["integer", "real", "string", "date", "datetime", "boolean"]
Aggregation = Literal["Sum", "Max", "Count", "User"]

COUNT = "n#,##0;-#,##0"
SHARE = "p0.0%"
AGENTS = "n#,##0.0;-#,##0.0"
NUMBER = "n#,##0.00;-#,##0.00"
SECONDS = '*#,##0 "s"'
DAY = "*d mmm yyyy"
MINUTE = "*d mmm yyyy hh:nn"
HOURS = texts('*#,##0.00 "uur"', '*#,##0.00 "h"')

Folder = Literal["time", "counts", "durations", "ratios", "features"]
FOLDERS: Mapping[Folder, Texts] = {
    "time": texts("Tijd", "Time"),
    "features": texts("Kenmerken", "Features"),
    "counts": texts("Aantallen", "Counts"),
    "durations": texts("Duur", "Durations"),
    "ratios": texts("Verhoudingen", "Ratios"),
}

Part = Literal["year", "month", "week", "weeks_ago", "hour", "quarter_hour", "time_of_day"]

# The calculated parts of the time: type, formula, caption and description. `{}` is the field they are computed from.
PARTS: Mapping[Part, tuple[DataType, str, Texts, Texts]] = {
    "year": (
        "integer",
        "YEAR({})",
        texts("Jaar", "Year"),
        texts("Het jaar van de dag.", "The day's year."),
    ),
    "month": (
        "date",
        "DATE(DATETRUNC('month', {}))",
        texts("Maand", "Month"),
        texts("De maand van de dag.", "The day's month."),
    ),
    "week": (
        "date",
        "DATE(DATETRUNC('week', {}, 'monday'))",
        texts("Week van", "Week of"),
        texts("De maandag van de week.", "The Monday of the week."),
    ),
    "weeks_ago": (
        "integer",
        "DATEDIFF('week', {}, TODAY(), 'monday')",
        texts("Weken geleden", "Weeks ago"),
        texts(
            "0 is de week die nu loopt, 1 de laatste volledige week.",
            "0 is the current week, 1 the last complete week.",
        ),
    ),
    "hour": (
        "string",
        "RIGHT('0' + STR(DATEPART('hour', {})), 2)",
        texts("Uur", "Hour"),
        texts("Het uur van de dag.", "The hour of the day."),
    ),
    "quarter_hour": (
        "string",
        "RIGHT('0' + STR(DATEPART('hour', {0})), 2) + ':' + RIGHT('0' + STR(DATEPART('minute', {0})), 2)",
        texts("Kwartier", "Quarter-hour"),
        texts("Het begin van het kwartier, als tijd op de klok.", "The quarter-hour's start on the clock."),
    ),
    "time_of_day": (
        "real",
        "DATEPART('hour', {0}) + DATEPART('minute', {0}) / 60",
        texts("Tijd van de dag", "Time of day"),
        texts("Het kwartier als getal, voor een as van 0 tot 24.", "The quarter-hour as a number, 0 to 24."),
    ),
}  # fmt: skip
OF_DAY: tuple[Part, ...] = ("year", "month", "week", "weeks_ago")
OF_QUARTER_HOUR: tuple[Part, ...] = ("hour", "quarter_hour", "time_of_day")
HIERARCHY = texts("Jaar tot kwartier", "Year to quarter-hour")


@dataclass(frozen=True)
class Type:
    """A column's declared type, as it is called in a .hyper file and in a data source."""

    hyper: str
    tableau: DataType
    remote: int  # the type's number in Tableau's metadata


TYPES: Mapping[str, Type] = {
    "smallint": Type("smallint", "integer", 2),
    "integer": Type("integer", "integer", 3),
    "bigint": Type("bigint", "integer", 20),
    "double precision": Type("double precision", "real", 5),
    "text": Type("text", "string", 129),
    "date": Type("date", "date", 133),
    "timestamp without time zone": Type("timestamp", "datetime", 135),
    "timestamp with time zone": Type("timestamptz", "datetime", 135),
    "boolean": Type("boolean", "boolean", 11),
}


def type_of(mart: Mart, column: str) -> Type:
    """Return the type of a mart's column. Raises UserError if Tableau has no such type."""
    if found := TYPES.get(mart.types[column]):
        return found
    raise declared.wrong(
        MODELS,
        f"{mart.name}.{column}",
        f"Tableau has no type for {mart.types[column]}; declare one of {', '.join(TYPES)}",
    )


def hyper_types(marts: Iterable[Mart]) -> dict[str, dict[str, str]]:
    """The types that the columns of these marts have in a .hyper file, by mart and column."""
    return {mart.name: {column: type_of(mart, column).hyper for column in mart.columns} for mart in marts}


@dataclass(frozen=True)
class Field:
    """A field of the data source. `name` is without brackets."""

    name: str
    mart: str
    caption: str
    description: str
    datatype: DataType
    role: Literal["dimension", "measure"]
    kind: Literal["nominal", "ordinal", "quantitative"]
    aggregation: Aggregation
    folder: Folder
    format: str | None = None
    column: str | None = None  # the mart's column; a calculated field has a formula instead
    formula: str | None = None
    is_hidden: bool = False
    is_customers_own: bool = False  # its values are the customer's own words, e.g. names of queues or agents
    words: tuple[tuple[str, str], ...] = ()  # pairs of a value and its name in reports

    @property
    def noted_aggregation(self) -> str:
        """The aggregation as Tableau notes it, which says of dates how they are shown at first."""
        return "Year" if self.datatype in ("date", "datetime") else self.aggregation


@dataclass(frozen=True)
class Relationship:
    """How the root and another mart are joined: by pairs of equal fields, the root's and the other mart's."""

    mart: str
    pairs: tuple[tuple[Field, Field], ...]
    is_root_unique: bool
    is_mart_unique: bool


class Source:
    """The data source of a mart group in one language: tables, relationships and fields."""

    def __init__(
        self,
        group: str,
        marts: Iterable[Mart],
        metrics: Iterable[Metric],
        captions: Captions,
        locale: Locale,
    ) -> None:
        """Raises UserError if Tableau has no type for a column, or the group's root mart is missing."""
        self.group, self.locale, self.captions = group, locale, captions
        of_group = {mart.name: mart for mart in marts if mart.group == group}
        root = matrix().groups[group].root
        if root not in of_group:
            raise declared.wrong(MODELS, root, f"the data source of the group {group} needs it; restore it")
        self.root = of_group[root]
        self.marts = [self.root, *(of_group[name] for name in sorted(set(of_group) - {root})), THROUGH]
        self.metrics = {metric.name: metric for metric in metrics if metric.mart in of_group}
        self.title = matrix().groups[group].title.of(locale)
        self._taken: set[str] = set()
        self.fields: dict[str, Field] = {}
        for mart in sorted(self.marts, key=lambda mart: captions.order(mart.name)):
            for field in (*self._columns(mart), *self._hours(mart), *self._parts(mart)):
                self.fields[field.name] = field
        for metric in self.metrics.values():
            self._add_ratio(metric)

    # -- names ---------------------------------------------------------------------------------------------

    def name(self, mart: str, column: str) -> str:
        """Return the name of the field for a mart's column."""
        return column if mart == self.root.name else f"{column} ({mart})"

    def part(self, mart: str, part: Part) -> str:
        """Return the name of the field for a part of the time."""
        return self.name(mart, f"Time_{part}")

    def measure(self, mart: str, measure: str) -> Field:
        """Return the field that shows a report's measure: a ratio, a count, or a duration in hours."""
        if measure in self.metrics and self.metrics[measure].mart == mart:
            return self.fields[f"Calculation_{measure}"]
        hours = self.name(mart, f"Hours_{measure}")
        return self.fields[hours if hours in self.fields else self.name(mart, measure)]

    def ratio(self, metric: Metric, only: str = "") -> str:
        """Return a ratio's formula with the fields of this data source. `only` is a condition on its rows."""
        return as_tableau(metric, lambda column: f"[{self.name(metric.mart, column)}]", only)

    @property
    def agent(self) -> Field:
        """The field with the names of agents, in a group that shows agents."""
        return self.fields["Person_agent"]

    @property
    def filtered(self) -> Field:
        """The field by which people filter reports: queue, agent or line."""
        dimension = matrix().groups[self.group].filtered
        return self.agent if dimension == "agent" else self.fields[column_of(dimension)]

    @cached_property
    def relationships(self) -> list[Relationship]:
        """How the marts are joined to the root: by the columns of its key that they have.

        Raises UserError if a mart has none of them.
        """
        found = []
        root_key = [column for column in self.root.key if column != "customer_id"]
        for mart in self.marts[1:]:
            shared = [column for column in root_key if column in mart.columns]
            if mart is THROUGH:  # which is about the whole customer
                shared = ["customer_id"]
            if not shared:
                raise declared.wrong(
                    MODELS,
                    mart.name,
                    f"it has no column of {self.root.name}'s key; give it one, or another group",
                )
            pairs = tuple(
                (self.fields[column], self.fields[self.name(mart.name, column)]) for column in shared
            )
            found.append(
                Relationship(
                    mart.name,
                    pairs,
                    is_root_unique=set(shared) >= set(root_key),
                    is_mart_unique={"customer_id", *shared} >= set(mart.key),
                )
            )
        return found

    # -- fields --------------------------------------------------------------------------------------------

    def _caption(self, caption: str, mart: str) -> str:
        if caption in self._taken:
            caption = f"{caption} ({self.captions.mart(mart, self.locale)})"
        self._taken.add(caption)
        return caption

    def _columns(self, mart: Mart) -> Iterable[Field]:
        for column in mart.declared:
            yield self._column(mart, column, type_of(mart, column.name).tableau)
        if "agent" in mart.columns:
            yield self._person(mart)

    def _column(self, mart: Mart, declared: Column, datatype: DataType) -> Field:
        column = declared.name
        words = tuple(
            (value, word.of(self.locale)) for value, word in self.captions.values.get(column, {}).items()
        )
        is_measure, is_duration = declared in mart.measures, declared.is_duration
        caption = self.captions.column(column, self.locale)
        is_hidden = (
            column == "customer_id"
            or declared.is_of_a_person  # a key, or what agents are called: Person_agent is shown instead
            or declared.data_type == "timestamp with time zone"  # the local time is shown instead
            or (mart.name != self.root.name and column in self.root.key)  # the root's field is shown instead
        ) and column != mart.day
        if not is_hidden:
            caption = self._caption(f"{caption} (s)" if is_duration and is_measure else caption, mart.name)
        folder: Folder = "features"
        if datatype in ("date", "datetime"):
            folder = "time"
        elif is_measure:
            folder = "durations" if is_duration else "counts"
        aggregation: Aggregation = "Count"
        if is_measure:
            aggregation = "Sum" if declared.additive else "Max"
        return Field(
            name=self.name(mart.name, column),
            mart=mart.name,
            caption=caption,
            description=self.captions.description(column, self.locale, declared.description),
            datatype=datatype,
            role="measure" if is_measure else "dimension",
            kind="quantitative" if is_measure else "nominal" if datatype in ("string", "boolean") else "ordinal",
            aggregation=aggregation,
            folder=folder,
            format=self._format(datatype, declared if is_measure else None),
            column=column,
            is_hidden=is_hidden,
            is_customers_own=datatype == "string" and not words,
            words=words,
        )  # fmt: skip

    def _format(self, datatype: DataType, measure: Column | None) -> str | None:
        if measure:
            return SECONDS if measure.is_duration else NUMBER if measure.has_fractions else COUNT
        return {"date": DAY, "datetime": MINUTE}.get(datatype)

    def _person(self, mart: Mart) -> Field:
        """The field with agents' names. Agents with the same name get the beginning of their keys appended."""
        return Field(
            name="Person_agent",
            mart=mart.name,
            caption=self._caption(self.captions.column("agent", self.locale), mart.name),
            description=self.captions.description("agent", self.locale, mart.descriptions.get("agent", "")),
            datatype="string",
            role="dimension",
            kind="nominal",
            aggregation="Count",
            folder="features",
            formula="IF { FIXED [agent] : COUNTD([agent_key]) } > 1"
            " THEN [agent] + ' (' + LEFT([agent_key], 4) + ')' ELSE [agent] END",
            is_customers_own=True,
        )

    def _hours(self, mart: Mart) -> Iterable[Field]:
        """Summed durations, in hours: in seconds they would soon be too large to read."""
        unit = texts("uren", "hours").of(self.locale)
        for column in mart.measures:
            if column.is_duration and column.additive:
                caption = self.captions.column(column.name, self.locale)
                yield Field(
                    name=self.name(mart.name, f"Hours_{column.name}"),
                    mart=mart.name,
                    caption=self._caption(f"{caption} ({unit})", mart.name),
                    description=self.captions.description(column.name, self.locale, column.description),
                    datatype="real",
                    role="measure",
                    kind="quantitative",
                    aggregation="Sum",
                    folder="durations",
                    format=HOURS.of(self.locale),
                    formula=f"[{self.name(mart.name, column.name)}] / 3600",
                )

    def _parts(self, mart: Mart) -> Iterable[Field]:
        if mart.day is None:
            return
        parts: list[tuple[Part, str]] = [(part, mart.day) for part in OF_DAY]
        if QUARTER_HOUR in mart.columns:
            parts += [(part, QUARTER_HOUR) for part in OF_QUARTER_HOUR]
        for part, column in parts:
            datatype, formula, caption, description = PARTS[part]
            yield Field(
                name=self.part(mart.name, part),
                mart=mart.name,
                caption=self._caption(caption.of(self.locale), mart.name),
                description=description.of(self.locale),
                datatype=datatype,
                role="dimension",
                kind={"string": "nominal", "real": "quantitative"}.get(datatype, "ordinal"),  # type: ignore[arg-type]
                aggregation="Count",
                folder="time",
                format={"month": "*mmmm yyyy", "week": DAY, "time_of_day": '*0":00"'}.get(part),
                formula=formula.format(f"[{self.name(mart.name, column)}]"),
            )

    def _add_ratio(self, metric: Metric) -> None:
        self.fields[f"Calculation_{metric.name}"] = Field(
            name=f"Calculation_{metric.name}",
            mart=metric.mart,
            caption=self._caption(metric.caption.of(self.locale), metric.mart),
            description=f"{metric.description.of(self.locale)}.",
            datatype="real",
            role="measure",
            kind="quantitative",
            aggregation="User",
            folder="ratios",
            format={"share": SHARE, "seconds": SECONDS, "agents": AGENTS}[metric.unit],
            formula=self.ratio(metric),
        )
