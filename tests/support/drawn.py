"""What tests of drawn reports share: a week to draw, with a smaller week before it."""

from collections.abc import Callable
from datetime import timedelta

import psycopg
from psycopg import sql

from callmart.declarations.dbt_project import Mart
from callmart.reports import weeks
from callmart.reports.page import Page
from today import YESTERDAY

WEEK = weeks.of(YESTERDAY)
BEFORE = timedelta(days=7)
Draw = Callable[..., Page]


def add_week_before(owner: psycopg.Connection, mart: Mart) -> None:
    """Copy the rows of a mart to the week before theirs; of quarter-hours every second one."""
    if mart.day is None:
        return
    moved = {name: "{} - interval '7 days'" for name in ("interval_start", "interval_local")}
    moved[mart.day] = "{} - 7"
    for day in (WEEK.monday - BEFORE, YESTERDAY - BEFORE):
        owner.execute("select access.ensure_month(%s, %s)", [f"store.{mart.name}", day])
    owner.execute(
        sql.SQL("insert into {table} ({names}) select {columns} from {table} where {half}").format(
            table=sql.Identifier("store", mart.name),
            names=sql.SQL(", ").join(map(sql.Identifier, mart.columns)),
            columns=sql.SQL(", ").join(
                sql.SQL(moved.get(name, "{}")).format(sql.Identifier(name)) for name in mart.columns
            ),
            half=sql.SQL(
                "extract(minute from interval_local) in (0, 30)"
                if "interval_local" in mart.columns
                else "true"
            ),
        )
    )
