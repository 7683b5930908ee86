"""Makes the monthly partitions before there is data for them. This is a transaction of its own, so it happens even if
the expiry of old months fails.

Attaching a partition blocks neither readers nor writers. Only other changes of the same table wait.
"""

from collections.abc import Iterable
from datetime import date

import psycopg

from callmart.base.settings import Settings
from callmart.database import lock
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart

AHEAD = 2  # months after this one
PATIENCE = "5s"


def ensure_ahead(connection: psycopg.Connection, settings: Settings) -> int:
    """Make the partitions of this month and the next ones, of the events and of every mart that has a table. Commits.
    Returns how many were made.
    """
    months = [
        month
        for (month,) in connection.execute(
            """
            select (date_trunc('month', now() at time zone %s) + make_interval(months => ahead))::date
            from generate_series(0, %s) as ahead
            """,
            [settings.time_zone, AHEAD],
        )
    ]
    made = _ensure(connection, ["raw.event", *_tables(dbt_project.marts(settings))], months)
    connection.commit()
    return made


def ensure_window(connection: psycopg.Connection, marts: list[Mart]) -> None:
    """Make the partitions of the window's months. Commits, because making a partition takes locks that should be gone
    before rows are moved.
    """
    months = [
        month
        for (month,) in connection.execute(
            "select distinct date_trunc('month', call_date)::date from build.window"
            " where call_date >= access.retention_floor()"
        )
    ]
    _ensure(connection, _tables(marts), months)
    connection.commit()


def _tables(marts: list[Mart]) -> list[str]:
    return [mart.table for mart in marts if mart.day]


def _ensure(connection: psycopg.Connection, tables: Iterable[str], months: Iterable[date]) -> int:
    lock.wait_at_most(connection, PATIENCE)
    made = 0
    for table in tables:
        for month in months:
            # A mart that was never built has no table yet.
            row = connection.execute(
                "select access.ensure_month(to_regclass(%(table)s), %(month)s)"
                " where to_regclass(%(table)s) is not null",
                {"table": table, "month": month},
            ).fetchone()
            made += row == (True,)
    return made
