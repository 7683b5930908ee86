"""What is kept of a customer, and of whom: counts of rows and of persons per table, for the customer to see."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.errors import unknown_customer
from callmart.base.settings import Settings
from callmart.declarations import dbt_project
from callmart.declarations.captions import captions
from callmart.declarations.mart_tables import SCHEMA
from callmart.privacy.package import own_rows

SQL = sql_file.statements(__file__)

# How many different ones of a column are what. The keys of agents who were erased are random, and count nobody.
_COUNTED: Mapping[str, str] = {
    "agent_key": "agents",
    "number_key": "numbers",
    "call_key": "calls",
    "email": "addresses",
    "recipient_key": "recipients",
    "subject": "persons",
}


@dataclass(frozen=True)
class Stock:
    """What is kept of a customer in a table. `persons` counts by kind; it is empty for what is about nobody."""

    table: str
    caption: str
    rows: int
    persons: Mapping[str, int]
    first: date | None
    last: date | None
    kept: str  # for how long, of what is about persons


def kept(connection: psycopg.Connection, settings: Settings, customer_id: int) -> list[Stock]:
    """What is kept of a customer, per table that has something. Raises UserError if there is no such customer."""
    known = connection.execute(SQL["zone"], {"customer": customer_id}).fetchone()
    if known is None:
        raise unknown_customer(customer_id)
    zone = known[0] or settings.time_zone  # of one that has left there are requests only
    return [one for one in _kept(connection, settings, customer_id, zone) if one.rows]


def _kept(connection: psycopg.Connection, settings: Settings, customer_id: int, zone: str) -> Iterator[Stock]:
    marts = dbt_project.marts(settings)
    words = captions(marts)
    days = {mart.table: mart.day for mart in marts}
    named = {mart.table: words.mart(mart.name, "en") for mart in marts}
    of_persons = {holding.table: holding for holding, _ in own_rows.holdings(connection, settings)}
    for table, columns in connection.execute(SQL["tables"]).fetchall():
        holding = of_persons.get(table)
        counted = [name for name in _COUNTED if name in columns and holding and holding.persons.get(name)]
        moment = holding.moment if holding else days.get(table)
        rows, first, last, *persons = _counts(connection, table, customer_id, zone, counted, moment)
        yield Stock(
            table,
            holding.caption.en if holding else named.get(table, ""),
            rows,
            {_COUNTED[name]: found for name, found in zip(counted, persons, strict=True) if found},
            first,
            last,
            holding.kept.en if holding else "",
        )


def _counts(
    connection: psycopg.Connection,
    table: str,
    customer_id: int,
    zone: str,
    counted: Sequence[str],
    moment: str | None,
) -> tuple[Any, ...]:
    """The number of rows, the first and last day, and how many different ones there are of each column."""
    day: sql.Composable = sql.SQL("null::date")
    if moment and table.startswith(f"{SCHEMA}."):
        day = sql.Identifier(moment)
    elif moment:
        day = sql.SQL("({} at time zone {})::date").format(sql.Identifier(moment), zone)
    query = sql.SQL(
        "select count(*), min({day}), max({day}){persons} from {table} where customer_id = {customer}"
    )
    (row,) = connection.execute(
        query.format(
            day=day,
            persons=sql.SQL("").join(
                sql.SQL(", count(distinct {name}) filter (where {name}::text !~ '^~')").format(
                    name=sql.Identifier(name)
                )
                for name in counted
            ),
            table=sql.Identifier(*table.split(".")),
            customer=customer_id,
        )
    ).fetchall()
    return tuple(row)
