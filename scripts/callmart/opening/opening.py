"""Open: what passed its checks moves from `build` into `mart`, in one transaction, so that nobody sees half."""

from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from callmart.access import drift, memberships, sessions
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.build import months, window
from callmart.database import lock
from callmart.declarations import dbt_project


@dataclass(frozen=True)
class Opened:
    """What was opened: days (of customers), and rows over all marts; the days that were held back; and a sentence for
    each login that could not be made what the contracts say.
    """

    days: int
    rows: int
    held_back: int
    problems: tuple[str, ...] = ()


class Drifted(UserError):
    """Somebody has other rights than declared, so nothing may be opened, and nothing may leave."""


def open_build(connection: psycopg.Connection, settings: Settings) -> Opened:
    """Open the days of the validated build that pass; hold back the others, whose last good version stays.

    Commits. Raises UserError where the last build has not been validated, or was computed again since, and Drifted.
    """
    problems = tuple(follow_rights(connection, settings))
    marts = dbt_project.marts(settings)
    row = connection.execute(
        "select build_id, tables, validated_at is not null from ops.build where opened_at is null"
        " and build_id = (select max(build_id) from ops.build)"
    ).fetchone()
    if row is None:
        connection.commit()
        return Opened(0, 0, 0, problems)
    build_id, tables, validated = row
    if not validated:
        raise UserError("the last build has not been validated: run `callmart validate` first")
    if window.computed_tables(connection, marts) != tables:
        raise UserError("the window was computed again after it was validated: run `callmart build` again")

    with sessions.making_way(connection):
        months.ensure_window(connection, marts)
        show(connection, marts)
        opened = _open(connection, build_id, marts)
        connection.commit()
    return replace(opened, problems=problems)


def follow_rights(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Let rights be those of today's contracts; a sentence for each login that could not be. Drifted where somebody has
    others than declared. Commits.
    """
    if drifted := drift.holding(connection, settings, drift.find(connection, dbt_project.marts(settings))):
        raise Drifted(
            f"nothing is opened while rights differ from what is declared ({drifted[0].text}"
            f"{f' and {len(drifted) - 1} more' if len(drifted) > 1 else ''}): "
            "look at `callmart access diff`, then run `callmart access apply`"
        )
    return memberships.sync(connection, settings)


def show(connection: psycopg.Connection, marts: list[dbt_project.Mart]) -> None:
    """Let the views be as declared; while somebody reads one, it stays until the next run. Commits."""
    try:
        lock.wait_at_most(connection, months.PATIENCE)
        memberships.show(connection, marts)
        connection.commit()
    except psycopg.errors.LockNotAvailable:
        connection.rollback()


def _open(connection: psycopg.Connection, build_id: int, marts: list[dbt_project.Mart]) -> Opened:
    connection.execute(
        """
        create temporary table failing on commit drop as
        with causes as (
            select
                f.customer_id,
                f.call_date,
                string_agg(distinct f.mart || ': ' || f.expectation, '; ') as cause
            from ops.quality_failure as f
            join ops.quality_result as r using (build_id, mart, expectation)
            where f.build_id = %s and r.severity = 'critical'
            group by f.customer_id, f.call_date
        )

        select
            c.customer_id,
            c.call_date,
            c.cause,
            -- Who released the day did not know of a check that it fails only now.
            h.released_at is not null and string_to_array(c.cause, '; ') <@ string_to_array(h.cause, '; ') as released
        from causes as c
        left join ops.held_back as h using (customer_id, call_date)
        """,
        [build_id],
    )
    connection.execute(
        """
        create temporary table passed on commit drop as
        select w.customer_id, w.call_date, w.mark, w.reached
        from build.window as w
        where
            w.call_date >= access.retention_floor() -- computed before midnight, too old since
            and not exists (
                select
                from failing as f
                where f.customer_id = w.customer_id and f.call_date = w.call_date and not f.released
            )
        """
    )
    connection.execute(
        """
        create temporary table changed on commit drop as
        select customer_id, call_date from passed where not reached
        """
    )
    connection.execute(
        """
        create temporary table passed_customer on commit drop as
        select distinct customer_id, '-infinity'::date as call_date from changed
        """
    )
    connection.execute("analyze passed, changed")
    rows = sum(_move(connection, build_id, mart) for mart in marts)

    connection.execute(
        """
        delete from ops.held_back as h using passed as p
        where h.customer_id = p.customer_id and h.call_date = p.call_date
        """
    )
    held_back = connection.execute(
        """
        insert into ops.held_back (customer_id, call_date, build_id, cause)
        select customer_id, call_date, %s, cause from failing where not released
        on conflict (customer_id, call_date) do update
        set
            build_id = excluded.build_id,
            cause = excluded.cause,
            released_at = null,
            released_by = null,
            release_reason = null
        """,
        [build_id],
    ).rowcount
    # A day that was looked at only because of another, and fails, is looked at again by the next run.
    connection.execute(
        """
        insert into ops.dirty_day (customer_id, call_date, cause)
        select customer_id, call_date, 'held back' from failing where not released
        on conflict do nothing
        """
    )
    # A day that was landed on again meanwhile has a newer mark and stays dirty.
    connection.execute(
        """
        delete from ops.dirty_day as d using passed as p
        where d.customer_id = p.customer_id and d.call_date = p.call_date and d.mark = p.mark
        """
    )
    connection.execute(
        """
        insert into ops.audit_log (action, customer_id, details)
        select
            'opened',
            customer_id,
            jsonb_build_object('build', %(build)s::bigint, 'days', count(*), 'released', count(f.released))
        from changed left join failing as f using (customer_id, call_date)
        group by customer_id
        union all
        select 'held back', customer_id, jsonb_build_object('build', %(build)s::bigint, 'days', count(*))
        from failing where not released group by customer_id
        """,
        {"build": build_id},
    )
    connection.execute("update ops.build set opened_at = clock_timestamp() where build_id = %s", [build_id])
    days = connection.execute("select count(*) from changed").fetchone()
    assert days is not None
    empty_build(connection)
    return Opened(days[0], rows, held_back)


def _move(connection: psycopg.Connection, build_id: int, mart: dbt_project.Mart) -> int:
    """Replace the passed days of a mart and record what was put there; the rows. A mart without days counts as one
    day, -infinity, of each customer that passed on some day.
    """
    parts = {
        "mart": sql.Identifier("store", mart.name),
        "computed": sql.Identifier("build", mart.name),
        "columns": sql.SQL(", ").join(sql.Identifier("m", column) for column in mart.columns),
        "names": sql.SQL(", ").join(map(sql.Identifier, mart.columns)),
        "name": sql.Literal(mart.name),
        "build": sql.Literal(build_id),
        "day": sql.Identifier("m", mart.day) if mart.day else sql.SQL("'-infinity'::date"),
        "passed": sql.SQL(_days_of(mart)),
        "pruned": _within_window(connection, mart),
    }
    for statement in (
        """
        delete from {mart} as m using {passed} as p
        where m.customer_id = p.customer_id and {day} = p.call_date and {pruned}
        """,
        """
        insert into {mart} ({names})
        select {columns}
        from {computed} as m
        join {passed} as p on m.customer_id = p.customer_id and {day} = p.call_date
        """,
        """
        delete from ops.opened_day as o using {passed} as p
        where o.mart = {name} and o.customer_id = p.customer_id and o.call_date = p.call_date
        """,
    ):
        connection.execute(sql.SQL(statement).format(**parts))
    (rows,) = connection.execute(
        sql.SQL(
            """
            with counts as (
                insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)
                select p.customer_id, p.call_date, {name}, count(m.customer_id), {build}
                from {passed} as p
                left join {computed} as m on m.customer_id = p.customer_id and {day} = p.call_date
                group by p.customer_id, p.call_date
                returning row_count
            )
            select coalesce(sum(row_count), 0)::bigint from counts
            """
        ).format(**parts)
    ).fetchall()[0]
    return int(rows)


def _days_of(mart: dbt_project.Mart) -> str:
    """The table of what is replaced: a day that another mart's reach brought into the window has not changed here."""
    if mart.day is None:
        return "passed_customer"
    return "passed" if mart.reach_days else "changed"


def _within_window(connection: psycopg.Connection, mart: dbt_project.Mart) -> sql.Composable:
    """The window's bounds, spelled out: by a join alone the planner would visit every month."""
    first, last = connection.execute("select min(call_date), max(call_date) from passed").fetchall()[0]
    if mart.day is None or first is None:
        return sql.SQL("true")
    return sql.SQL("{} between {} and {}").format(sql.Identifier("m", mart.day), first, last)


def build_tables(connection: psycopg.Connection) -> list[sql.Identifier]:
    """The tables of `build`: the window, and what was computed of it."""
    return [
        sql.Identifier("build", name)
        for (name,) in connection.execute(
            "select relname from pg_class where relnamespace = 'build'::regnamespace and relkind = 'r'"
        )
    ]


def empty_build(connection: psycopg.Connection) -> None:
    """Nothing that was computed stays behind, whether it passed or not; nor a sample of it."""
    tables = build_tables(connection)
    connection.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(tables)))
    for table in tables:
        connection.execute("select access.forget_samples(%s)", [table.as_string(connection)])
