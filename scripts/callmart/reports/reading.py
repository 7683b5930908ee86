"""Reads a customer's marts as the customer's own role, by the publisher's login: what a contract does not open fails in
the database.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from callmart.access import roles
from callmart.base import sql_file
from callmart.base.declared import Locale
from callmart.base.errors import UserError, unknown_customer
from callmart.database import ledger
from callmart.declarations.exposures import Dimension, column_of
from callmart.reports.measures import Measure

SQL = sql_file.statements(__file__)

Row = dict[str, Any]


@dataclass(frozen=True)
class Customer:
    """Whose report is drawn. `today` is the day by the customer's clock."""

    customer_id: int
    name: str
    locale: Locale
    time_zone: str
    today: date
    option: str
    orders: Sequence[str]  # what it has ordered besides
    since: date | None  # its first open day
    detailed_since: date | None  # the first day of which data about agents is kept
    contacts_since: date | None  # the first day of its list of contacts


def customer(connection: psycopg.Connection, customer_id: int) -> Customer:
    """Return a customer that may have reports now. Raises UserError for one that is unknown, has no contract today, or
    is closed because ledger and database differ. The connection is the owner's.
    """
    if customer_id in ledger.closed(connection):
        raise UserError(f"customer {customer_id}: {ledger.DIFFERS}")
    with connection.cursor(row_factory=class_row(Customer)) as cursor:
        found = cursor.execute(SQL["customer"], {"customer": customer_id}).fetchone()
    if found is None:
        raise unknown_customer(customer_id)
    if found.option is None:
        raise UserError(
            f"customer {customer_id} has no contract today, so it has no reports: add one to the registry and apply it"
        )
    return found


class Queue(NamedTuple):
    """What the registry says of a queue."""

    label: str | None
    shown: str | None  # the label as people see it
    target: float | None
    threshold_s: int  # the longest wait of a contact that is answered in time
    short_s: int  # an abandoned contact that waited less is a short abandon


class Line(NamedTuple):
    """What the registry says of a line."""

    label: str | None
    shown: str | None


class ByDefinition(NamedTuple):
    """The days of a mart that were computed by one definition. Nobody knows which one if its number is None."""

    definition_id: int | None
    columns: Collection[str]
    last_day: date


class Through(NamedTuple):
    """The last day of a customer's data, and while it is not over, the moment through which it goes."""

    day: date
    so_far: datetime | None  # by the customer's clock


class _Narrowed(NamedTuple):
    """Only rows with one of these values in a column, of all marts or of one."""

    column: str
    chosen: list[str]
    mart: str | None


class Reader:
    """Reads as one customer, in one transaction: all sheets of a report are of the same moment."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._narrowed: list[_Narrowed] = []

    def narrow(self, dimension: Dimension, words: Collection[str], mart: str | None) -> None:
        """Read only the rows with these values of a dimension, of all marts or of one. Queues, agents and lines can
        also be named as people call them; a label that several have chooses all of them.
        """
        called: Mapping[Any, tuple[str | None, ...]] = {}
        match dimension:
            case "agent":
                called = {key: (name,) for key, name in self.agents.items()}
            case "line":
                called = self.lines
            case "queue":
                called = {name: (queue.label, queue.shown) for name, queue in self.queues.items()}
        chosen = [*words, *(name for name, names in called.items() if not set(words).isdisjoint(names))]
        self._narrowed.append(_Narrowed(column_of(dimension), chosen, mart))

    def _only(self, mart: str) -> tuple[sql.Composable, list[list[str]]]:
        """The condition to which the rows of a mart are narrowed, and its values."""
        narrowed = [one for one in self._narrowed if one.mart in (None, mart)]
        each = [sql.SQL("and {}::text = any(%s)").format(sql.Identifier(one.column)) for one in narrowed]
        return sql.SQL(" ").join(each), [one.chosen for one in narrowed]

    def rows(
        self,
        mart: str,
        dimensions: dict[str, str],
        measures: Sequence[Measure],
        days: Sequence[date],
        *,
        where: str = "true",
        with_total: bool = False,
    ) -> list[Row]:
        """The measures by dimensions, which are expressions by name, in their order. With a total, its row comes last
        and has null dimensions.
        """
        per = ", ".join(dimensions.values())
        only, values = self._only(mart)
        sets, total_last = per, ""
        if with_total:
            sets, total_last = f"grouping sets (({per}), ())", f"grouping({per}), "
        query = sql.SQL(
            "select {columns} from mart.{mart} where call_date = any(%s) and {where} {only} {per}"
        ).format(
            columns=sql.SQL(", ").join(
                sql.SQL("{} as {}").format(sql.SQL(text), sql.Identifier(name))
                for name, text in [*dimensions.items(), *((one.name, one.sql) for one in measures)]
            ),
            mart=sql.Identifier(mart),
            where=sql.SQL(where),
            only=only,
            per=sql.SQL(f"group by {sets} order by {total_last}{per}" if per else ""),
        )
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, [list(days), *values]).fetchall()

    def listed(
        self, mart: str, columns: Sequence[Measure], days: Sequence[date], words: Mapping[str, str]
    ) -> list[Row]:
        """The rows of a mart with these words, each with its day, ordered by it and by the columns."""
        names = [sql.Identifier(one.name) for one in columns]
        wanted = [
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(word)) for name, word in words.items()
        ]
        only, values = self._only(mart)
        query = sql.SQL(
            "select call_date as day, {columns} from mart.{mart} where {conditions} {only}"
            " order by call_date, {columns}"
        ).format(
            columns=sql.SQL(", ").join(names),
            mart=sql.Identifier(mart),
            conditions=sql.SQL(" and ").join([sql.SQL("call_date = any(%s)"), *wanted]),
            only=only,
        )
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, [list(days), *values]).fetchall()

    @cached_property
    def agents(self) -> dict[str, str]:
        """What agents are called, by key."""
        return dict(self._connection.execute(SQL["agents"]).fetchall())

    @cached_property
    def queues(self) -> dict[str | None, Queue]:
        """The queues of which the registry says something, by name. None has what it says of all others."""
        return {name: Queue(*said) for name, *said in self._connection.execute(SQL["queues"])}

    @cached_property
    def lines(self) -> dict[str, Line]:
        """The lines that the registry names."""
        return {name: Line(*said) for name, *said in self._connection.execute(SQL["lines"])}

    @cached_property
    def held_back(self) -> tuple[date, ...]:
        """The days that are held back."""
        return tuple(day for (day,) in self._connection.execute(SQL["held_back"]))

    def definitions(self, mart: str, days: Collection[date]) -> list[ByDefinition]:
        """By which definitions days of a mart were computed, the latest first."""
        found = self._connection.execute(SQL["definitions"], {"mart": mart, "days": list(days)})
        return [ByDefinition(*row) for row in found]

    @cached_property
    def through(self) -> Through | None:
        """How far the customer's data goes."""
        return next((Through(*row) for row in self._connection.execute(SQL["through"])), None)


@contextmanager
def reading(publisher: psycopg.Connection, customer: Customer) -> Iterator[Reader]:
    """Read as a customer. Raises UserError if the database refuses."""
    role = roles.customer_role(publisher.info.dbname, customer.customer_id)
    try:
        with publisher.transaction():
            publisher.execute("set transaction isolation level repeatable read")
            publisher.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            yield Reader(publisher)
    except psycopg.errors.InsufficientPrivilege:
        raise Unopened(customer) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise UserError(
            "a mart lacks what the report shows: run `callmart build`, and then this again"
        ) from None


class Unopened(UserError):
    """The database does not let the customer read what a report shows."""

    def __init__(self, customer: Customer) -> None:
        super().__init__(
            f"the contract of customer {customer.customer_id} ({customer.option}) does not open this report: "
            "name another, or change in the registry what the customer orders"
        )
