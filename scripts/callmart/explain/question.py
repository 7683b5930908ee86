"""What is asked: which number, of which customer, queues and days. What is not there is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.nearest import instead
from callmart.base.settings import Settings
from callmart.declarations import dbt_project, metrics
from callmart.declarations.metrics import Ratio, Sum
from callmart.reports import reading

SQL = sql_file.statements(__file__)
MART = "queue_interval"


@dataclass(frozen=True)
class Measure:
    """A sum of the mart's columns, or a ratio of two. `parts` are the sums, by their names in the answer."""

    name: str
    variant: str | None
    parts: Mapping[str, Sum]
    ratio: Ratio  # of a single column: over itself, which says the rows that count

    @property
    def columns(self) -> set[str]:
        """The columns of the mart that it is made of."""
        return self.ratio.columns

    @property
    def is_of_threshold(self) -> bool:
        """Whether it counts contacts by a wait that was agreed."""
        return any(column.endswith("_in_threshold") for column in self.columns)


@dataclass(frozen=True)
class Question:
    """A measure of a customer's queues from `first` to `last`, by the customer's clock."""

    measure: Measure
    customer_id: int
    zone: ZoneInfo  # of the customer
    queues: tuple[str, ...]  # at the source
    labels: Mapping[str, str]  # what people call them, by the name at the source
    first: date
    last: date


def measure(settings: Settings, name: str, variant: str | None) -> Measure:
    """Return the measure of this name: a column of queue_interval that can be summed, or a ratio of metrics.yml.

    A variant is named by any part of its name that no other has. Raises UserError if there is none of that name.
    """
    marts = dbt_project.marts(settings)
    mart = next(one for one in marts if one.name == MART)
    ratios = {one.name: one for one in metrics.metrics().values() if one.mart == MART}
    if name in mart.additive:
        if variant is not None:
            raise UserError(f"{name} is a column, which has no variants: leave out --variant")
        column = metrics.parse(name)
        return Measure(name, None, {"value": column}, Ratio(over=column, per=column))
    if name in mart.columns:
        raise UserError(f"{name} can't be summed, so no contacts add up to it: name a column that can")
    if name in metrics.metrics() and name not in ratios:
        mart_of = metrics.metrics()[name].mart
        raise UserError(
            f"{name} is a ratio of {mart_of}, and only contacts with queues can be listed: name one of"
            f" {', '.join(ratios)}"
        )
    if others := [one.name for one in marts if name in one.columns]:
        raise UserError(
            f"{name} is a column of {others[0]}, and only contacts with queues can be listed: name offered to see all "
            "of them"
        )
    if name not in ratios:
        there = instead(name, [*ratios, *mart.additive])
        raise UserError(f"there is no metric {name}: {there}; docs/metrics.md lists all")
    ratio, called = (ratios[name], None) if variant is None else _variant(ratios[name], variant)
    return Measure(name, called, {"over": ratio.over, "per": ratio.per}, ratio)


def _variant(metric: metrics.Metric, wanted: str) -> tuple[Ratio, str]:
    found = [one for one in metric.variants if one.name.casefold() == wanted.casefold()] or [
        one for one in metric.variants if wanted.casefold() in one.name.casefold()
    ]
    if len(found) == 1:
        return found[0], found[0].name
    if not metric.variants:
        raise UserError(f"{metric.name} has no variants: leave out --variant")
    said = "; ".join(f'"{one.name}"' for one in found or metric.variants)
    raise UserError(f"--variant does not name one variant of {metric.name}: name {said}")


def ask(
    connection: psycopg.Connection,
    measure: Measure,
    customer_id: int,
    queue: str | None,
    first: date,
    last: date,
) -> Question:
    """Return the question. The connection is the owner's.

    Raises UserError if the customer is unknown or has left, if a day is not there, not computed yet or held back, or if
    the customer has no such queue then.
    """
    customer = reading.customer(connection, customer_id)
    if last < first:
        raise UserError(f"--to {last} is before --from {first}: exchange them")
    if last > customer.today:
        raise UserError(f"{last} has not come yet: the last day that you can name is {customer.today}")
    span = {"customer": customer_id, "mart": MART, "first": first, "last": last}
    _refuse_days(connection, span)
    queues: dict[str, str | None] = dict(connection.execute(SQL["queues"], span).fetchall())
    chosen = [name for name, label in queues.items() if queue is None or queue in (name, label)]
    if queue is not None and not chosen:
        raise UserError(
            f"customer {customer_id} has no queue {queue} on these days: {instead(queue, queues)}"
        )
    labels = {name: label for name, label in queues.items() if label}
    return Question(measure, customer_id, ZoneInfo(customer.time_zone), tuple(chosen), labels, first, last)


def _refuse_days(connection: psycopg.Connection, span: Mapping[str, object]) -> None:
    """Raise UserError if no day of the span is open, or if one is held back or waits to be computed."""
    ((opened, earliest, latest, held_back, dirty),) = connection.execute(SQL["days"], span).fetchall()
    whose = f"of customer {span['customer']}"
    if held_back is not None:
        raise UserError(
            f"{held_back} {whose} is held back by its checks: `callmart status` says by which; repair or release it"
        )
    if dirty is not None:
        raise UserError(f"{dirty} {whose} is not computed yet: run `callmart run`, then ask again")
    if not opened:
        there = f"there are {earliest} to {latest}" if earliest else "there are none yet"
        raise UserError(f"no day {whose} from {span['first']} to {span['last']} is there: {there}")
