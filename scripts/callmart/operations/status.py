"""Status: where each customer stands, from the books that the stages keep."""

from dataclasses import dataclass

import psycopg


@dataclass(frozen=True)
class HeldBack:
    """A day that is not opened; `checks` are the ones that it fails, by `mart: expectation`."""

    day: str
    checks: tuple[str, ...]
    released: bool


@dataclass(frozen=True)
class CustomerStatus:
    """A customer as it stands now; days and rows are counts."""

    customer_id: int
    name: str
    option: str
    contacts: int
    first_day: str | None
    last_day: str | None
    dirty_days: int
    held_back_days: int
    turned_away_rows: int
    quality: str
    extract_rows: int
    tableau: str
    held_back: tuple[HeldBack, ...]


def status(connection: psycopg.Connection) -> list[CustomerStatus]:
    """All customers of the registry, by number."""
    opened = connection.execute("select to_regclass('store.queue_interval') is not null").fetchall()[0][0]
    contacts = "select customer_id, sum(offered) as contacts from store.queue_interval group by 1"
    nothing = "select null::integer as customer_id, 0 as contacts where false"
    rows = connection.execute(
        f"""
        with contacts as ({contacts if opened else nothing}),
        days as (
            select customer_id, min(call_date) as first_day, max(call_date) as last_day
            from ops.opened_day where isfinite(call_date) group by 1
        ),
        dirty as (select customer_id, count(*) as days from ops.dirty_day group by 1),
        held_back as (select customer_id, count(*) as days from ops.held_back group by 1),
        turned_away as (
            select customer_id, sum((details ->> 'rows')::bigint) as rows
            from ops.audit_log where action = 'turned away' group by 1
        ),
        extracts as (select customer_id, sum(row_count) as rows from ops.extract group by 1)
        select
            c.customer_id,
            c.name,
            coalesce(o.option, 'none'),
            coalesce(contacts.contacts, 0)::bigint,
            days.first_day::text,
            days.last_day::text,
            coalesce(dirty.days, 0),
            coalesce(held_back.days, 0),
            coalesce(turned_away.rows, 0)::bigint,
            case
                when held_back.days > 0 then held_back.days || ' days held back'
                when days.first_day is null then 'nothing to check'
                else 'passed'
            end,
            coalesce(extracts.rows, 0)::bigint,
            case
                when p.customer_id is null and o.option is null then 'nothing there'
                when p.customer_id is null then 'not published yet'
                when p.state = 'published' then format('callmart / %s %s', c.customer_id, c.name)
                else format('%s: callmart / %s %s', p.state, c.customer_id, c.name)
            end
        from registry.customer as c
        left join registry.current_option as o using (customer_id)
        left join contacts using (customer_id)
        left join days using (customer_id)
        left join dirty using (customer_id)
        left join held_back using (customer_id)
        left join turned_away using (customer_id)
        left join extracts using (customer_id)
        left join ops.publication as p using (customer_id)
        order by c.customer_id
        """
    ).fetchall()
    held_back: dict[int, list[HeldBack]] = {}
    for customer_id, day, cause, released in connection.execute(
        "select customer_id, call_date::text, cause, released_at is not null from ops.held_back order by 1, 2"
    ):
        held_back.setdefault(customer_id, []).append(HeldBack(day, tuple(cause.split("; ")), released))
    connection.commit()
    return [CustomerStatus(*(*row, tuple(held_back.get(row[0], ())))) for row in rows]
