"""What tests of drawn reports share: a week to draw, with a smaller week before it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql

from callmart.access import memberships
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart.reports import weeks
from callmart.reports.page import Page
from callmart_home import Callmart
from centre import STANDARD
from today import YESTERDAY

WEEK = weeks.of(YESTERDAY)
BEFORE = timedelta(days=7)
Draw = Callable[..., Page]


def add_weeks(played: Callmart) -> None:
    """Let played days have weeks before them, and queues and lines all that the registry can say of them."""
    marts = dbt_project.marts(played.settings)
    with played.connect() as owner:
        add_contacts(owner, STANDARD)
        for mart in marts:
            if mart.name == "queue_interval":  # whose weeks and months are drawn
                add_week_before(owner, mart, weeks=6)
            add_week_before(owner, mart)
            add_week_before(owner, mart, weeks=70)  # the data goes back to before all weeks and months
        owner.execute(
            "update ops.opened_day set call_date = call_date - 490 where (customer_id, call_date, mart) in"
            " (select customer_id, min(call_date), min(mart) from ops.opened_day where isfinite(call_date) group by 1)"
        )
        owner.execute("update registry.customer set service_level_target = 0.8")
        owner.execute("update store.queue_interval set needed_s = 900 * (1 + offered) where offered > 0")
        owner.execute(
            "update store.queue_interval set open = extract(hour from interval_local) < 17, refused_full = 1"
        )
        owner.execute("update store.line_interval set channels = 4")
        memberships.apply(owner, played.settings, marts)


def add_week_before(owner: psycopg.Connection, mart: Mart, weeks: int = 1) -> None:
    """Copy the rows of a mart to the week before theirs, or further back; of quarter-hours every second one."""
    if mart.day is None:
        return
    moments = ("interval_start", "interval_local", "joined_at", "joined_local")
    moved = {name: f"{{}} - interval '{7 * weeks} days'" for name in moments}
    moved[mart.day] = f"{{}} - {7 * weeks}"
    table = sql.Identifier("store", mart.name)
    days = sql.SQL("select distinct {} - %s from {}").format(sql.Identifier(mart.day), table)
    for (day,) in owner.execute(days, [7 * weeks]).fetchall():
        owner.execute("select access.ensure_month(%s, %s)", [f"store.{mart.name}", day])
    owner.execute(
        sql.SQL("insert into {table} ({names}) select {columns} from {table} where {half}").format(
            table=table,
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


def add_contacts(owner: psycopg.Connection, customer_id: int) -> None:
    """Order a list of contacts, with as many as the queues had, some seconds apart."""
    owner.execute(
        "update registry.customer set contact_list_days = 365 where customer_id = %s", [customer_id]
    )
    for day in (WEEK.monday, YESTERDAY):
        owner.execute("select access.ensure_month('store.queue_contact', %s)", [day])
    owner.execute(
        """
        insert into store.queue_contact (
            customer_id, call_date, queue, call_key, visit_no, interval_start, joined_at, joined_local, outcome,
            offered, wait_s, wait_ceiling_s, short_abandoned, answered_in_threshold, abandoned_in_threshold, talk_s,
            caller_number
        )
        select
            q.customer_id, call_date, queue, row_number() over (), 1, interval_start,
            interval_start + interval '7 s' * n, interval_local + interval '7 s' * n, outcome, 1, 5 * n, 5 * n,
            (outcome = 'abandoned' and n < 2)::int, (outcome = 'answered' and n < 4)::int,
            (outcome = 'abandoned' and n < 4)::int, case outcome when 'answered' then 60 + n end,
            case when n %% 2 = 0 then 'shown' else 'withheld' end
        from store.queue_interval as q
        cross join lateral (values ('answered', answered), ('abandoned', abandoned)) as became (outcome, contacts)
        cross join lateral generate_series(1, contacts) as n
        where customer_id = %s
        """,
        [customer_id],
    )


def asked(callmart: Callmart, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """The owner's answer, from the tables without views and policies of customers."""
    with callmart.connect() as owner:
        return owner.execute(query.encode(), values).fetchall()
