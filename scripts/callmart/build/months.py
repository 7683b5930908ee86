"""Months: partitions made ahead of the data, in a transaction of its own, whatever became of the expiry.

Attaching one locks neither readers nor writers out; only other changes of the same table wait.
"""

from collections.abc import Iterable
from datetime import date

import psycopg

from callmart.base.settings import Settings
from callmart.database import lock
from callmart.declarations import dbt_project, standing

AHEAD = 2  # months after this one
PATIENCE = "5s"


def ensure_ahead(connection: psycopg.Connection, settings: Settings) -> int:
    """Make this month and the next ones of every mart that stands, and of the events; how many were made. Commits."""
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


def ensure_window(connection: psycopg.Connection, marts: list[dbt_project.Mart]) -> None:
    """Make the months of the window before its rows move: making one locks, moving rows should not. Commits."""
    months = [
        month
        for (month,) in connection.execute(
            "select distinct date_trunc('month', call_date)::date from build.window"
            " where call_date >= access.retention_floor()"
        )
    ]
    _ensure(connection, _tables(marts), months)
    connection.commit()


def _tables(marts: list[dbt_project.Mart]) -> list[str]:
    return [f'{standing.SCHEMA}."{mart.name}"' for mart in marts if mart.day]


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
