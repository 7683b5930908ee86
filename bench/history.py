"""A scratch callmart with two years of 200 customers in a mart, for the benchmarks that need one."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import psycopg

from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import embedded_server, server
from callmart.declarations import dbt_project
from callmart.registry import applying
from callmart.registry.file import Registry

CUSTOMERS = range(1, 201)
QUEUES = 2
REPORTS = ("accessibility", "traffic", "handling")  # those of a standard contract


@contextmanager
def scratch(wanted: Registry | None = None) -> Iterator[Settings]:
    """A callmart in a temporary folder, with its policies, logins and empty marts."""
    with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", dsn=None, folders=[])
        try:
            with server.connect(settings) as connection:
                applying.apply(
                    connection, settings, wanted or registry_of(dict.fromkeys(CUSTOMERS, "detailed"))
                )
            dbt_project.run(settings, quietly)
            yield settings
        finally:
            embedded_server.stop(settings.home)


def registry_of(options: Mapping[int, str], reports: Sequence[str] = ()) -> Registry:
    """Customers with these options. Each has one recipient of these reports."""
    return Registry.model_validate(
        {
            "customers": [
                {
                    "id": id,
                    "name": f"bench {id}",
                    "sql_login": True,
                    "contracts": [{"option": option, "from": date(2020, 1, 1)}],
                    "recipients": [{"email": f"chef@{id}.example", "reports": list(reports)}],
                }
                for id, option in options.items()
            ]
        }
    )


def retention_floor(connection: psycopg.Connection) -> date:
    """The oldest day that a customer sees."""
    row = connection.execute("select access.retention_floor()").fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


def fill(
    connection: psycopg.Connection, first: date, last: date, quarters: int, customers: range = CUSTOMERS
) -> int:
    """Fill store.queue_interval from the first to the last day, as nights would. Each customer has two queues with
    this many quarter-hours per day in which something happened. Returns the number of rows.

    Every customer has its own numbers, so that each answer can be recognised as its own.
    """
    rows = 0
    for day, until in months(first, last):
        connection.execute("select access.ensure_month('store.queue_interval', %s)", [day])
        rows += connection.execute(
            """
            insert into store.queue_interval (
                customer_id, call_date, queue, interval_start, interval_local, offered, answered, abandoned,
                short_abandoned, timed_out, left_by_key, left_empty, left_otherwise, still_open,
                answered_in_threshold, wait_answered_s, wait_abandoned_s, wait_max_s, ring_s, talk_s
            )
            select
                customer, day, 'queue ' || queue, day + make_interval(mins => 480 + 15 * quarter),
                day + make_interval(mins => 480 + 15 * quarter), 5, 4, 1, 0, 0, 0, 0, 0, 0,
                3, customer + quarter, 30, 60, 20, 700 + quarter
            from generate_series(%s::date, %s::date, interval '1 day') as day
            cross join generate_series(%s::integer, %s) as customer
            cross join generate_series(1, %s::integer) as queue
            cross join generate_series(1, %s::integer) as quarter
            order by day, customer, queue, quarter
            """,
            [day, until, customers[0], customers[-1], QUEUES, quarters],
        ).rowcount
        connection.commit()
    return rows


def months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """The first and last day of each month from the first to the last day."""
    while first <= last:
        until = min(last, (first.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1))
        yield first, until
        first = until + timedelta(days=1)


def settle(settings: Settings) -> None:
    """Vacuum and analyze, as the server would after some nights."""
    with server.connect(settings, autocommit=True) as connection:
        connection.execute("vacuum (analyze) store.queue_interval")
