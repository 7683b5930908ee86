"""Reads the ratios of metrics.yml, and writes each as SQL and as a formula of Tableau."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal

import psycopg
from psycopg import sql
from pydantic import BeforeValidator, Field, model_validator

from callmart.base import declared
from callmart.base.declared import Caption, Name, Text, Texts
from callmart.base.errors import UserError
from callmart.base.matrix import USAGE
from callmart.base.nearest import instead
from callmart.base.settings import PROJECT
from callmart.base.strict import Strict, twice
from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart

FILE = PROJECT / "metrics.yml"


def view_of(mart: Mart) -> str:
    """The view in `mart` that shows a mart's ratios."""
    return mart.ratios or f"{mart.name}_ratios"


def has_ratios(mart: Mart) -> bool:
    """Whether metrics.yml declares a ratio of the mart."""
    return any(metric.mart == mart.name for metric in metrics().values())


def grain_of(mart: Mart) -> list[str]:
    """The columns of which the view has a row per combination: those of the mart's key, moments apart."""
    return [column for column in mart.key if not mart.types[column].startswith("timestamp")]


# -- sums --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """A column of a sum. If it is optional, null counts as 0."""

    column: str
    is_added: bool = True
    is_optional: bool = False


@dataclass(frozen=True)
class Sum:
    """Columns that are added or subtracted: `talk_s + hold_s? - ring_s`. The first has no sign."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return self.written(lambda term: f"{term.column}{'?' if term.is_optional else ''}")

    def written(self, column: Callable[[Term], str], minus: str = "-") -> str:
        """The sum as text, with each column as the function writes it."""
        first, *others = self.terms
        return column(first) + "".join(
            f" {'+' if term.is_added else minus} {column(term)}" for term in others
        )


TERM = r"\s*([a-z_][a-z_0-9]*)(\?)?\s*"


def parse(written: object) -> Sum:
    """Parse a sum of columns. Raises ValueError if it is not one."""
    if isinstance(written, Sum):
        return written
    if not isinstance(written, str) or not re.fullmatch(rf"{TERM}([+-]{TERM})*", written):
        raise ValueError("not a sum of columns; write it as talk_s + hold_s? - ring_s")
    terms = tuple(
        Term(column, sign != "-", bool(mark)) for sign, column, mark in re.findall(rf"([+-])?{TERM}", written)
    )
    if len({term.column for term in terms}) < len(terms):
        raise ValueError("a column is in it twice; keep one of the two")
    return Sum(terms)


Parts = Annotated[Sum, BeforeValidator(parse)]


# As `per`: the seconds of all quarter-hours of which there are rows, each once.
QUARTER_HOURS = "quarter_hours"


# -- ratios ------------------------------------------------------------------------------------------------------


class Ratio(Strict):
    """One sum divided by another, or by the time of the quarter-hours. Rows in which a column that is not optional is
    null are left out.
    """

    over: Parts
    per: Parts

    @property
    def is_at_once(self) -> bool:
        """Whether it is how many there were at once, on average: seconds by the time of the quarter-hours."""
        return str(self.per) == QUARTER_HOURS

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of both sums, in order."""
        return self.over.terms if self.is_at_once else self.over.terms + self.per.terms

    @property
    def columns(self) -> set[str]:
        """The columns of both sums."""
        return {term.column for term in self.terms}

    @property
    def known(self) -> tuple[str, ...]:
        """The columns of both sums that are not optional."""
        return tuple(dict.fromkeys(term.column for term in self.terms if not term.is_optional))

    @model_validator(mode="after")
    def _is_meant(self) -> "Ratio":
        if all(term.is_optional for term in self.per.terms):
            raise ValueError("every column of `per` is optional; remove one of its question marks")
        if both := {term.column for term in self.terms if term.is_optional} & set(self.known):
            raise ValueError(f"{min(both)} is there with and without `?`; choose one")
        return self

    def __str__(self) -> str:
        def readable(part: Sum) -> str:
            text = part.written(lambda term: term.column + ("?" if term.is_optional else ""), "−")
            return f"({text})" if len(part.terms) > 1 else text

        return f"{readable(self.over)} / {readable(self.per)}"


class Variant(Ratio):
    """Another published definition, computed from the same columns."""

    name: Text


Better = Literal["more", "less"]


class Metric(Ratio):
    """A ratio as metrics.yml declares it. `better` says which of two values is the better one, where one can say so.
    `missed` is what the contacts are called that keep a share from being perfect, `target` the column of
    mart.queue_label with what is to be reached.
    """

    name: Name
    mart: Name
    unit: Literal["share", "seconds", "agents"]
    better: Better | None = None
    missed: Caption | None = None
    target: Literal["service_level_target"] | None = None
    caption: Caption
    description: Texts
    source: Text
    caveats: Text
    variants: list[Variant] = Field(default=[])

    @model_validator(mode="after")
    def _fits_its_unit(self) -> "Metric":
        if self.over == self.per:
            raise ValueError("`over` and `per` are the same, so it is always 1; correct one of them")
        if name := twice([variant.name for variant in self.variants]):
            raise ValueError(f"the variant {name} is there twice; choose another name for one")
        if self.missed and (self.unit != "share" or self.better is None):
            raise ValueError("only a share that has `better` has `missed`; remove it")
        if self.is_at_once != (self.unit == "agents"):
            raise ValueError(
                f"`unit: agents` goes with `per: {QUARTER_HOURS}`, and with nothing else; correct one of them"
            )
        return self


class File(Strict):
    metrics: Annotated[list[Metric], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_once(self) -> "File":
        if name := twice([metric.name for metric in self.metrics]):
            raise ValueError(f"{name} is there twice; keep one of the two")
        return self


def read(file: Path) -> list[Metric]:
    """Return the metrics that a file declares, in its order. Raises UserError if it is wrong."""
    return declared.read(file, File).metrics


@cache
def metrics() -> dict[str, Metric]:
    """The metrics of this installation, by name."""
    return {metric.name: metric for metric in read(FILE)}


def check(metrics: Iterable[Metric], marts: Iterable[Mart]) -> None:
    """Raise UserError if a metric uses a column that its mart lacks or that can't be summed, or has a column's name."""
    for mistake in mistakes(metrics, marts):
        raise mistake


def mistakes(
    metrics: Iterable[Metric], marts: Iterable[Mart], unread: Collection[str] = ()
) -> Iterator[UserError]:
    """What is wrong in metrics compared with the marts, but for `unread` marts, whose own declarations are wrong."""
    by_name = {mart.name: mart for mart in marts}
    metrics = list(metrics)
    for metric in metrics:
        if mart := by_name.get(metric.mart):
            others = [one for one in by_name.values() if one.group == mart.group and one is not mart]
            sentences = [
                *_misfits(metric, mart, metrics),
                *_named_as_another(metric, metrics, [mart, *others]),
            ]
            yield from (declared.wrong(FILE, metric.name, sentence) for sentence in sentences)
        elif metric.mart not in unread:
            yield declared.wrong(
                FILE,
                metric.name,
                f"there is no mart {metric.mart}; {instead(metric.mart, by_name)}, or remove it",
            )


def _misfits(metric: Metric, mart: Mart, metrics: Iterable[Metric]) -> Iterator[str]:
    """What is wrong in a metric compared with its mart."""
    if mart.group == USAGE:
        yield f"{mart.name} is a statistic, which has no ratios; name a mart of customers"
    if metric.target and "queue" not in mart.key:
        yield f"{mart.name} is not by queue, and only queues have targets; remove `target`"
    if metric.unit != "share":
        for term in metric.over.terms:
            if term.column in mart.additive and not term.column.endswith("_s"):
                yield f"{mart.name}.{term.column} holds no seconds; correct `over` or `unit`"
    if metric.is_at_once and "interval_start" not in mart.columns:
        yield f"{mart.name} has no quarter-hours; divide by another sum"
    if not mart.additive:
        yield f"{mart.name} has no column that can be summed; name another mart"
        return
    terms = dict.fromkeys(term.column for ratio in (metric, *metric.variants) for term in ratio.terms)
    for column in terms:
        if column not in mart.additive:
            is_ratio = column in {other.name for other in metrics}
            missing = "is a ratio, and ratios can't be summed" if is_ratio else "does not exist"
            what = "can't be summed" if column in mart.columns else missing
            yield f"{mart.name}.{column} {what}; {instead(column, mart.additive)}"


def _named_as_another(metric: Metric, metrics: Iterable[Metric], marts: Collection[Mart]) -> Iterator[str]:
    """What else has a ratio's name or caption in the data source of its group, which has these marts."""
    if holders := [mart.name for mart in marts if metric.name in mart.columns]:
        yield f"{holders[0]} has a column of that name; choose another"
    names = {mart.name for mart in marts}
    for other in takewhile(lambda one: one is not metric, metrics):
        same = other.caption.nl == metric.caption.nl or other.caption.en == metric.caption.en
        if other.mart in names and same:
            yield f"{other.name} has the same caption; choose another"


# -- as SQL ------------------------------------------------------------------------------------------------------


def total_sql(ratio: Ratio, part: Sum) -> str:
    """One of the ratio's two sums as an aggregate over the mart's rows: of the rows that count."""
    if ratio.is_at_once and part == ratio.per:
        return f"900 * count(distinct interval_start) filter (where {counts_sql(ratio)})"
    return f"sum({sum_sql(part)}) filter (where {counts_sql(ratio)})"


def counts_sql(ratio: Ratio) -> str:
    """Whether a row counts in the ratio: none of the columns that are not optional is null."""
    return f"({', '.join(ratio.known)}) is not null"


def sum_sql(part: Sum) -> str:
    """A sum's value in a row that counts."""
    return part.written(lambda term: f"coalesce({term.column}, 0)" if term.is_optional else term.column)


def as_sql(ratio: Ratio) -> str:
    """The ratio as an aggregate over the mart's rows. It is null if no row counts, or if `per` is 0."""
    over, per = total_sql(ratio, ratio.over), total_sql(ratio, ratio.per)
    return f"({over})::double precision / nullif({per}, 0)"


def as_tableau(ratio: Ratio, field: Callable[[str], str] = "[{}]".format, only: str = "") -> str:
    """The ratio as the formula of a calculated field. In Tableau a division by 0 is null.

    `field` returns the data source's name of a column. `only` is a condition for the rows that count.
    """
    conditions = [only] if only else []
    conditions += [f"NOT ISNULL({field(column)})" for column in ratio.known]

    def total(part: Sum) -> str:
        if ratio.is_at_once and part == ratio.per:
            return f"(900 * COUNTD(IF {' AND '.join(conditions)} THEN {field('interval_start')} END))"
        columns = part.written(
            lambda term: f"ZN({field(term.column)})" if term.is_optional else field(term.column)
        )
        return f"SUM(IF {' AND '.join(conditions)} THEN {columns} END)"

    return f"{total(ratio.over)} / {total(ratio.per)}"


def as_view(mart: Mart, metrics: Iterable[Metric]) -> str:
    """The query of the view that shows these ratios of a mart."""
    per = ", ".join(grain_of(mart)[1:])
    ratios = ",\n    ".join(f"{as_sql(metric)} as {metric.name}" for metric in metrics)
    grain = f"    {per},\n" if per else ""
    return (
        f"select\n    access.current_customer() as customer_id,\n{grain}    {ratios}"
        f"\nfrom {mart.table}" + (f"\ngroup by {per}" if per else "")
    )


def show(connection: psycopg.Connection, marts: Iterable[Mart]) -> None:
    """Make or renew the views of ratios, each readable by its mart's group, in the caller's transaction. A mart without
    a table, or without ratios, has no view, and a ratio of a column that the next build adds is shown from then on.
    Raises UserError if metrics.yml does not fit the marts.
    """
    marts = list(marts)
    check(metrics().values(), marts)
    kept = set()
    standing: dict[str, list[str]] = dict(
        connection.execute(
            "select relation, array_agg(attname::text) from unnest(%s::text[]) as relation"
            " inner join pg_attribute on attrelid = to_regclass(relation) and attnum > 0 group by relation",
            [[mart.table for mart in marts]],
        ).fetchall()
    )
    for mart in marts:
        if mart.table not in standing:
            continue
        columns = set(standing[mart.table])
        known = [
            one for one in metrics().values() if one.mart == mart.name and columns.issuperset(one.columns)
        ]
        kept.add((mart.name, f"{mart_tables.SHOWN}.{mart.name}"))
        if known:
            connection.execute(
                "select access.show(%s, %s, %s)", [view_of(mart), mart.group, as_view(mart, known)]
            )
            kept.add((mart.name, f"{mart_tables.SHOWN}.{view_of(mart)}"))
    reading = mart_tables.views(connection, *(mart.name for mart in marts))
    for view in sorted(
        {view for mart, view, is_callmarts in reading if is_callmarts and (mart, view) not in kept}
    ):
        # Of ratios that are gone, or that have another view now.
        connection.execute(sql.SQL("drop view {}").format(sql.Identifier(*view.split("."))))
        connection.execute("delete from access.definition where object = %s", [view])
