"""Two years of a small contact centre in all marts, for many customers: one played day, repeated."""

from collections.abc import Mapping
from datetime import date, timedelta

import psycopg
import pyarrow.parquet
from psycopg import sql

from callmart.access import roles
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.build import window
from callmart.database import server
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart.extract import extract
from callmart.extract.drafts import Unproven
from callmart.land import landing
from callmart.land.gate import Defaults
from callmart.opening import opening
from callmart.simulator.simulate import simulate
from history import months, retention_floor

YESTERDAY = date.today() - timedelta(days=1)
CONTACTS, QUEUES, AGENTS = 30, ["a", "b"], ["user-1", "user-2", "user-3"]


def options(customers: int) -> dict[int, str]:
    """This many customers. The first one and every tenth after it have a detailed contract."""
    return {1 + each: "standard" if each % 10 else "detailed" for each in range(customers)}


def _open_a_day(settings: Settings, day: date) -> None:
    """Take a day of the first customer through all stages except the checks."""
    events = simulate(1, [day], "Europe/Amsterdam", QUEUES, AGENTS, contacts_per_day=CONTACTS, seed=1).events
    file = settings.home / "day.parquet"
    pyarrow.parquet.write_table(events, file)
    landing.land(settings, file, "auto", Defaults(1, "vcloud", False, None))
    with server.connect(settings) as connection:
        window.build(connection, settings, quietly)
        connection.execute("update ops.build set validated_at = clock_timestamp()")
        opening.open_build(connection, settings)


def fill_marts(
    settings: Settings, options: Mapping[int, str], first: date | None = None, last: date = YESTERDAY
) -> int:
    """Fill all marts with copies of the last day, from a first one on, by default for all days that customers see.
    Returns the number of rows.
    """
    _open_a_day(settings, last)
    marts, rows = dbt_project.marts(settings), 0
    with server.connect(settings) as connection:
        first = first or retention_floor(connection)
        for mart in marts:
            customers = [id for id, option in options.items() if mart.group in roles.opens(option)]
            if mart.day is None:
                rows += _repeat(connection, mart, customers, last, last, last)
                continue
            for day, until in months(first, last):
                connection.execute("select access.ensure_month(%s, %s)", [mart.table, day])
                rows += _repeat(connection, mart, customers, last, day, until)
        for mart in marts:
            connection.execute(
                sql.SQL(
                    "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)"
                    " select customer_id, {}, {}, count(*), 1 from {} group by 1, 2"
                    " on conflict (customer_id, call_date, mart) do nothing"
                ).format(
                    sql.Identifier(mart.day) if mart.day else sql.SQL("date '-infinity'"),
                    sql.Literal(mart.name),
                    sql.Identifier("store", mart.name),
                )
            )
    with server.connect(settings, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
    return rows


def _repeat(
    connection: psycopg.Connection, mart: Mart, customers: list[int], played: date, first: date, last: date
) -> int:
    """Copy the first customer's played day to all customers and days of the range. Returns the number of rows."""
    moved = {"date": "{} - ago", "customer_id": "customer"} | dict.fromkeys(
        ("timestamp with time zone", "timestamp without time zone"), "{} - make_interval(days => ago)"
    )
    values = [
        sql.SQL(moved.get(column, moved.get(mart.types[column], "{}"))).format(sql.Identifier(column))
        for column in mart.columns
    ]
    return connection.execute(
        sql.SQL(
            """
            with day as materialized (select * from {mart} where customer_id = 1 and {day})
            insert into {mart} ({columns})
            select {values}
            from day
            cross join unnest(%(customers)s::integer[]) as customer
            cross join generate_series(%(from)s::integer, %(to)s::integer) as ago
            where (customer, ago) <> (1, 0)
            order by ago desc, customer
            """
        ).format(
            mart=sql.Identifier("store", mart.name),
            day=sql.SQL("{} = {}").format(sql.Identifier(mart.day), played) if mart.day else sql.SQL("true"),
            columns=sql.SQL(", ").join(map(sql.Identifier, mart.columns)),
            values=sql.SQL(", ").join(values),
        ),
        {"customers": customers, "from": (played - last).days, "to": (played - first).days},
    ).rowcount


def extract_all(settings: Settings) -> list[extract.Extract]:
    """Make all extracts. Raises SystemExit if one can't be proved."""
    with server.connect(settings) as connection:
        made = extract.extract(connection, settings, quietly)
    for one in made:
        if isinstance(one, Unproven):
            raise SystemExit(str(one))
    return made  # type: ignore[return-value]
