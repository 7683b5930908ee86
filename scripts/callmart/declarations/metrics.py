"""Metrics: the ratios of metrics.yml, defined once: as SQL and as Tableau's formulas."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import psycopg
from pydantic import BeforeValidator, Field, model_validator

from callmart.base import declared
from callmart.base.declared import Name, Text, Texts
from callmart.base.settings import PROJECT
from callmart.base.strict import Strict
from callmart.declarations.dbt_project import Mart

FILE = PROJECT / "metrics.yml"


@dataclass(frozen=True)
class View:
    """The SQL view that shows the ratios of a mart, and what its rows are: one of each `per`."""

    name: str
    per: tuple[str, ...]


VIEWS = {
    "queue_interval": View("queue_ratios", ("customer_id", "call_date", "queue")),
    "agent_day": View("agent_ratios", ("customer_id", "call_date", "agent_key")),
}


# -- sums --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """A column of a sum. An optional one counts as nothing where it is not known."""

    column: str
    is_added: bool = True
    is_optional: bool = False


@dataclass(frozen=True)
class Sum:
    """Columns that are added and taken off: `talk_s + hold_s? - ring_s`, the first without a sign."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return self.written(lambda term: f"{term.column}{'?' if term.is_optional else ''}")

    def written(self, column: Callable[[Term], str], minus: str = "-") -> str:
        """The sum, each column as the function writes it."""
        first, *others = self.terms
        return column(first) + "".join(
            f" {'+' if term.is_added else minus} {column(term)}" for term in others
        )


TERM = r"\s*([a-z_][a-z_0-9]*)(\?)?\s*"


def parse(written: object) -> Sum:
    """The sum that stands there; ValueError where it is none."""
    if isinstance(written, Sum):
        return written
    if not isinstance(written, str) or not re.fullmatch(rf"{TERM}([+-]{TERM})*", written):
        raise ValueError("no sum of columns; write it as talk_s + hold_s? - ring_s")
    terms = tuple(
        Term(column, sign != "-", bool(mark)) for sign, column, mark in re.findall(rf"([+-])?{TERM}", written)
    )
    if len({term.column for term in terms}) < len(terms):
        raise ValueError("a column stands in it twice; keep one of the two")
    return Sum(terms)


Parts = Annotated[Sum, BeforeValidator(parse)]


# -- ratios ------------------------------------------------------------------------------------------------------


class Ratio(Strict):
    """A sum by a sum, over the rows in which each column that is not optional is known."""

    over: Parts
    per: Parts

    @property
    def terms(self) -> tuple[Term, ...]:
        """All columns, in the order in which they stand there."""
        return self.over.terms + self.per.terms

    @property
    def known(self) -> tuple[str, ...]:
        """The columns without which a row is left out, of both sums."""
        return tuple(dict.fromkeys(term.column for term in self.terms if not term.is_optional))

    @model_validator(mode="after")
    def _is_meant(self) -> "Ratio":
        if all(term.is_optional for term in self.per.terms):
            raise ValueError("of `per` nothing need be known; leave out one of its question marks")
        if both := {term.column for term in self.terms if term.is_optional} & set(self.known):
            raise ValueError(f"{min(both)} stands there with and without `?`; choose one")
        return self

    def __str__(self) -> str:
        def readable(part: Sum) -> str:
            text = part.written(lambda term: term.column + ("?" if term.is_optional else ""), "−")
            return f"({text})" if len(part.terms) > 1 else text

        return f"{readable(self.over)} / {readable(self.per)}"


class Variant(Ratio):
    """Another published definition that the same parts give."""

    name: Text


class Metric(Ratio):
    """A ratio as the file declares it."""

    name: Name
    mart: Name
    unit: Literal["share", "seconds"]
    caption: Texts
    description: Texts
    source: Text
    caveats: Text
    variants: list[Variant] = Field(default=[])

    @model_validator(mode="after")
    def _has_a_view(self) -> "Metric":
        if self.mart not in VIEWS:
            raise ValueError(f"no view shows ratios of {self.mart}; take a part of {' or '.join(VIEWS)}")
        return self


class _File(Strict):
    metrics: Annotated[list[Metric], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_once(self) -> "_File":
        names = [metric.name for metric in self.metrics]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{min(twice)} stands there twice; keep one of the two")
        return self


def read(file: Path) -> list[Metric]:
    """The metrics that a file declares, in its order; UserError where it is wrong."""
    return declared.read(file, _File).metrics


@cache
def metrics() -> dict[str, Metric]:
    """The metrics of this installation, by name."""
    return {metric.name: metric for metric in read(FILE)}


def check(metrics: Iterable[Metric], marts: Iterable[Mart]) -> None:
    """Raise UserError where a metric has a part that its mart lacks or that can't be summed, or is named like one."""
    by_name = {mart.name: mart for mart in marts}
    for metric in metrics:
        mart = by_name.get(metric.mart)
        if mart is None:
            raise declared.wrong(FILE, metric.name, f"there is no mart {metric.mart}; name one that exists")
        if metric.name in mart.columns:
            raise declared.wrong(FILE, metric.name, f"{mart.name} has a column of that name; give it another")
        for ratio in (metric, *metric.variants):
            for term in ratio.terms:
                if term.column not in mart.additive:
                    what = "can't be summed" if term.column in mart.columns else "does not exist"
                    raise declared.wrong(
                        FILE,
                        metric.name,
                        f"{mart.name}.{term.column} {what}; take a column that can be summed",
                    )


# -- as SQL ------------------------------------------------------------------------------------------------------


def as_sql(ratio: Ratio) -> str:
    """The ratio as an aggregate over the mart's rows; NULL where nothing is known or `per` comes to nothing."""
    known = f"({', '.join(ratio.known)}) is not null"  # of a row: each of them

    def total(part: Sum) -> str:
        columns = part.written(
            lambda term: f"coalesce({term.column}, 0)" if term.is_optional else term.column
        )
        return f"sum({columns}) filter (where {known})"

    return f"({total(ratio.over)})::double precision / nullif({total(ratio.per)}, 0)"


def as_tableau(ratio: Ratio, field: Callable[[str], str] = "[{}]".format, only: str = "") -> str:
    """The ratio as the formula of a calculated field; a division by 0 is NULL in Tableau.

    `field` says what the data source calls a column, `only` over which rows.
    """
    conditions = [only] if only else []
    conditions += [f"NOT ISNULL({field(column)})" for column in ratio.known]

    def total(part: Sum) -> str:
        columns = part.written(
            lambda term: f"ZN({field(term.column)})" if term.is_optional else field(term.column)
        )
        return f"SUM(IF {' AND '.join(conditions)} THEN {columns} END)"

    return f"{total(ratio.over)} / {total(ratio.per)}"


def as_view(mart: str, metrics: Iterable[Metric]) -> str:
    """The query of the mart's view."""
    per = ", ".join(VIEWS[mart].per[1:])
    ratios = ",\n    ".join(f"{as_sql(metric)} as {metric.name}" for metric in metrics if metric.mart == mart)
    return (
        f"select\n    access.current_customer() as customer_id,\n    {per},\n    {ratios}"
        f"\nfrom store.{mart}\ngroup by {per}"
    )


def show(connection: psycopg.Connection, marts: Iterable[Mart]) -> None:
    """Let the views say what metrics.yml says, each for its mart's group, in the caller's transaction. A mart that has
    no table yet has no view.
    """
    marts = list(marts)
    check(metrics().values(), marts)
    for mart in marts:
        if mart.name in VIEWS:
            connection.execute(
                "select access.show(%s, %s, %s) where to_regclass(%s) is not null",
                [
                    VIEWS[mart.name].name,
                    mart.group,
                    as_view(mart.name, metrics().values()),
                    f"store.{mart.name}",
                ],
            )
