"""Computes a customer's contacts from raw, by the very models that compute queue_interval, and reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.build import temporary
from callmart.declarations import dbt_project, metrics
from callmart.declarations.metrics import Sum
from callmart.explain.question import Question

SQL = sql_file.statements(__file__)
MODELS = "+int_contact"  # how dbt selects it and the models that it reads
AROUND = timedelta(days=1)  # another system may count a contact on the day before or after


@dataclass(frozen=True)
class Contact:
    """A contact with a queue, or a call that a queue refused. No number, no agent, and no key is in it."""

    call: int  # contacts of one call have the same; it says nothing outside this answer
    joined_at: datetime
    call_date: date
    queue: str
    outcome: str
    wait_s: float | None  # unrounded
    overflowed_to: str | None
    came_from: str | None  # the queue in which the call was before
    came_after: str | None  # what became of it there
    service_level_s: int
    short_abandon_s: int
    is_asked: bool  # it is of the queues and days that the question names, and of quarter-hours that count
    parts: Sequence[int]  # what it adds to each sum of the measure

    @property
    def is_counted(self) -> bool:
        """Whether it adds anything to the number."""
        return any(self.parts)


@dataclass(frozen=True)
class Totals:
    """What the mart says: the number, its sums, and on how many days what it needs is not shown."""

    number: float | None
    sums: tuple[int, ...]
    hidden_days: int


def compute(connection: psycopg.Connection, settings: Settings, question: Question) -> None:
    """Compute the contacts of the question's days, and of the days around them, in the caller's transaction.

    Raises UserError if the measure needs a column that does not come from contacts.
    """
    temporary.make_window(connection)
    days = {
        "customer": question.customer_id,
        "first": question.first - AROUND,
        "last": question.last + AROUND,
    }
    connection.execute(SQL["days"], days)
    temporary.compute(connection, dbt_project.compiled(settings, MODELS, temporary.SCHEMA))
    named = connection.execute(SQL["none"]).description or ()
    if lacking := question.measure.columns - {column.name for column in named}:
        parts = f" ({', '.join(sorted(lacking))})" if lacking != {question.measure.name} else ""
        raise UserError(f"{question.measure.name} counts no contacts{parts}: name a metric of contacts")


def read(connection: psycopg.Connection, question: Question) -> list[Contact]:
    """Return all contacts of the customer on the question's days and around them, in the order of joining."""
    parts = ", ".join(_added(part) for part in question.measure.parts.values())
    known = ", ".join(f"q.{column}" for column in question.measure.ratio.known)
    query = sql.SQL(SQL["contacts"]).format(known=sql.SQL(known), parts=sql.SQL(parts))
    with connection.cursor(row_factory=class_row(Contact)) as cursor:
        return cursor.execute(query, _asked(question)).fetchall()


def totals(connection: psycopg.Connection, question: Question) -> Totals:
    """Return what the mart says."""
    measure = question.measure
    sums = [metrics.total_sql(measure.ratio, part) for part in measure.parts.values()]
    number = sums[0] if len(sums) == 1 else metrics.as_sql(measure.ratio)
    query = sql.SQL(SQL["totals"]).format(
        number=sql.SQL(number),
        sums=sql.SQL(", ".join(sums)),
        known=sql.SQL(", ".join(measure.ratio.known)),
    )
    ((found, added, hidden_days),) = connection.execute(query, _asked(question)).fetchall()
    return Totals(None if found is None else float(found), tuple(one or 0 for one in added), hidden_days)


def _added(part: Sum) -> str:
    """What a contact adds to a sum: nothing to a column that its quarter-hour does not show, so no agent's work."""
    return part.written(lambda term: f"case when q.{term.column} is null then 0 else c.{term.column} end")


def _asked(question: Question) -> dict[str, object]:
    return {
        "customer": question.customer_id,
        "queues": list(question.queues),
        "first": question.first,
        "last": question.last,
    }
