"""Remove: what no contract keeps any more goes from the database, the keys and the disk.

What is stored is found in the books (which customers and days a file reached, which days were opened), so that a night
with nothing to remove costs nothing, and compared with registry.kept_contract. A customer is one transaction; its
files go before it is committed, so that whatever a crash leaves is found again by the next run.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from callmart.base.errors import UserError, kind
from callmart.base.keys import key_file
from callmart.base.settings import Settings
from callmart.database import vacuum
from callmart.declarations import dbt_project, standing
from callmart.extract import extract
from callmart.opening import opening
from callmart.registry.applying import forget_customer


@dataclass(frozen=True)
class Removed:
    """What went of a customer, counted by kind; `whole` where nothing of it is left."""

    customer_id: int
    whole: bool
    counts: dict[str, int]


class Unremoved(UserError):
    """What of a customer could not be removed: nothing of it was, and the next run tries again."""


@dataclass(frozen=True)
class _Span:
    """The days that a customer's contract keeps, without a gap; of agents none before `detailed_from`."""

    first: date
    until: date | None
    time_zone: str
    detailed_from: date | None


Whose = dict[str, object]  # a customer and the bounds of its days, as a statement's parameters

# Where it stands that something of a customer is stored.
_STORED = """
    select customer_id from raw.file_customer
    union select customer_id from ops.opened_day
    union select customer_id from ops.dirty_day
    union select customer_id from ops.held_back
    union select customer_id from ops.quality_failure
    union select customer_id from ops.extract
    union select customer_id from registry.agent where name is null
"""

# Who has ordered something now or later. Of others not even these tables hold anything.
_ORDERED = """
    select k.customer_id
    from registry.contract as k
    join registry.customer as c using (customer_id)
    where (k.valid_until is null or (now() at time zone c.time_zone)::date < k.valid_until)
"""
_ORDERED_TABLES = ("contract", "queue", "status_word", "contact", "recipient")
_NAMED = f"""
    select a.customer_id from registry.agent as a
    where a.name is not null and a.customer_id not in ({_ORDERED} and k.option = 'detailed')
"""

# A row's day is none of the span; of a file, all its days are.
_OUTSIDE = "(call_date < %(first)s or call_date >= %(until)s)"
_FILE_OUTSIDE = "(last_day < %(first)s or first_day >= %(until)s)"


def remove(
    connection: psycopg.Connection, settings: Settings, on_customer: Callable[[int, int, int], None]
) -> list[Removed | Unremoved]:
    """Remove what no contract keeps today, and mark the days that change with it. Commits.

    A failure is returned in a customer's place and leaves the others alone.
    """
    _follow_calendar(connection)
    marts = standing.of_customers(connection)
    gone, changed = _gone(connection, settings), _changed(connection, marts)
    connection.commit()
    removed: list[Removed | Unremoved] = []
    for number, customer_id in enumerate([*gone, *changed]):
        try:
            counts = (
                _remove_customer(connection, settings, customer_id, marts)
                if customer_id in gone
                else _remove_days(connection, settings, customer_id, marts)
            )
            counts = +counts  # what there was none of is not told
            if counts:
                connection.execute(
                    "insert into ops.audit_log (action, customer_id, details) values ('removed', %s, %s)",
                    [customer_id, Jsonb(counts)],
                )
            connection.commit()
            if counts:
                removed.append(Removed(customer_id, customer_id in gone, dict(counts)))
        except Exception as error:
            connection.rollback()
            removed.append(
                Unremoved(
                    f"what no contract keeps of customer {customer_id} was not removed ({kind(error)}): "
                    "the next run tries again"
                )
            )
        on_customer(customer_id, number + 1, len(gone) + len(changed))
    vacuum.vacuum(connection)
    return removed


def _follow_calendar(connection: psycopg.Connection) -> None:
    """What a new day opens and closes by itself: days to build, and files that were turned away before."""
    connection.execute("select ops.follow_contracts()")
    connection.execute(
        """
        insert into registry.version (applied_at)
        select now()
        where exists (
            select
            from registry.kept_contract as k
            join registry.customer as c using (customer_id)
            group by k.customer_id, c.time_zone
            having
                min(k.valid_from) > (
                    select (max(v.applied_at) at time zone c.time_zone)::date from registry.version as v
                )
        )
        """
    )
    connection.commit()


def _gone(connection: psycopg.Connection, settings: Settings) -> list[int]:
    """The customers whose contract keeps nothing today, and of whom something is stored."""
    leftovers = " union ".join(
        f"select customer_id from registry.{table} where customer_id not in (select customer_id from ordered)"
        for table in _ORDERED_TABLES
    )
    found = {
        customer_id
        for (customer_id,) in connection.execute(
            f"""
            with ordered as ({_ORDERED})
            select customer_id from ({_STORED} union {_NAMED}) as stored
            where customer_id not in (select customer_id from registry.kept_contract)
            union {leftovers}
            union
            select customer_id from registry.customer
            where key_fingerprint is not null and customer_id not in (select customer_id from ordered)
            """
        )
    }
    keys = [
        int(file.stem.removeprefix("customer_")) for file in (settings.home / "keys").glob("customer_*.key")
    ]
    # A key of somebody whom this database has never known is left alone: it may be another's.
    found |= {
        customer_id
        for (customer_id,) in connection.execute(
            f"""
            select distinct customer_id from ops.audit_log
            where customer_id = any(%s) and action = 'registry applied' and customer_id not in ({_ORDERED})
            """,
            [keys],
        )
    }
    return sorted(found)


def _changed(connection: psycopg.Connection, marts: list[dbt_project.Mart]) -> list[int]:
    """The customers with a contract today of whom days or agents are stored that it does not keep."""
    rows = connection.execute(
        f"""
        with spans as (
            select
                customer_id,
                min(valid_from) as first,
                max(coalesce(valid_until, 'infinity')) as until,
                min(valid_from) filter (where option = 'detailed') as detailed_from
            from registry.kept_contract group by customer_id
        )

        select s.customer_id
        from raw.file_customer as f
        join raw.file using (file_id)
        join registry.customer as c using (customer_id)
        join spans as s using (customer_id)
        where
            f.first_day < s.first
            or f.last_day >= s.until
            or (f.first_day is null and (landed_at at time zone c.time_zone)::date < s.first)
        union
        select s.customer_id
        from (
            select customer_id, call_date from ops.opened_day where isfinite(call_date)
            union all select customer_id, call_date from ops.held_back
            union all select customer_id, call_date from ops.quality_failure where isfinite(call_date)
        ) as days
        join spans as s using (customer_id)
        where call_date < s.first or call_date >= s.until
        union
        select o.customer_id
        from ops.opened_day as o
        join spans as s using (customer_id)
        left join registry.kept_contract as k
            on k.customer_id = o.customer_id
            and k.option = 'detailed'
            and o.call_date >= k.valid_from
            and (o.call_date < k.valid_until or k.valid_until is null)
        where
            o.mart = any(%s)
            and o.row_count > 0
            and case when isfinite(o.call_date) then k.customer_id is null else s.detailed_from is null end
        union
        select s.customer_id
        from registry.agent as a
        join spans as s using (customer_id)
        where a.name is null and (s.detailed_from is null or a.last_day < s.detailed_from)
        union
        select customer_id from spans join ({_NAMED}) as named using (customer_id)
        """,
        [[mart.name for mart in marts if mart.group == "agent"]],
    )
    return sorted(customer_id for (customer_id,) in rows)


def _remove_customer(
    connection: psycopg.Connection, settings: Settings, customer_id: int, marts: list[dbt_project.Mart]
) -> Counter[str]:
    """Remove everything of a customer; how much of each kind."""
    counts: Counter[str] = Counter()
    whose: Whose = {"customer": customer_id}
    for mart in marts:
        counts["rows"] += _delete(connection, _table(mart), "true", whose)
    counts["events"] = _delete(connection, "raw.event", "true", whose)
    counts["calls"] = _delete(connection, "raw.call", "true", whose)
    counts["uses"] = _delete(connection, "raw.function_use", "true", whose)
    counts["files"] = _delete_files(connection, "true", whose)
    counts["agents"] = connection.execute(
        "select from registry.agent where customer_id = %(customer)s", whose
    ).rowcount
    for table in ("dirty_day", "held_back", "opened_day", "quality_failure", "extract"):
        _delete(connection, f"ops.{table}", "true", whose)
    _forget_build(connection)

    needs_key = forget_customer(connection, settings, customer_id)
    files = extract.folder(settings) / str(customer_id)
    counts["extracts"] = len(list(files.glob("*.hyper")))
    shutil.rmtree(files, ignore_errors=True)
    counts["keys"] = 1
    if not needs_key:
        counts["keys"] = int(key_file(settings.home, customer_id).exists())
        key_file(settings.home, customer_id).unlink(missing_ok=True)
    vacuum.note(
        connection,
        *map(_table, marts),
        *("raw.event", "raw.call", "raw.function_use"),
        *("registry.agent", "registry.contact", "registry.recipient", "registry.queue", "registry.customer"),
    )
    return counts


def _remove_days(
    connection: psycopg.Connection, settings: Settings, customer_id: int, marts: list[dbt_project.Mart]
) -> Counter[str]:
    """Remove the days that a customer's contract does not keep, and of the others the agents' data that it does not."""
    first, until, time_zone, detailed_from = connection.execute(
        """
        select
            min(valid_from),
            nullif(max(coalesce(valid_until, 'infinity')), 'infinity'),
            min(c.time_zone),
            min(valid_from) filter (where option = 'detailed')
        from registry.kept_contract join registry.customer as c using (customer_id)
        where customer_id = %s
        """,
        [customer_id],
    ).fetchall()[0]
    if first is None:  # the customer's midnight has come meanwhile
        return Counter()
    span = _Span(first, until, time_zone, detailed_from)
    counts = _remove_events(connection, settings, customer_id, span)
    whose = _bounds(customer_id, span)
    if counts["events"]:  # some marts look back at days that are no more
        connection.execute(
            """
            insert into ops.dirty_day (customer_id, call_date, cause)
            select distinct customer_id, call_date, 'contract'
            from ops.opened_day
            where
                customer_id = %(customer)s
                and call_date >= %(first)s
                and call_date < %(until)s
                and call_date <= %(first)s + %(reach)s
            on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause
            """,
            whose | {"reach": max((mart.reach_days for mart in dbt_project.marts(settings)), default=0)},
        )
    for mart in marts:
        if mart.day:
            outside = _OUTSIDE.replace("call_date", f'"{mart.day}"')
            counts["rows"] += _delete(connection, _table(mart), outside, whose)
    counts["uses"] = _delete(
        connection, "raw.function_use", "(month < %(first)s or month + interval '1 month' > %(until)s)", whose
    )
    for table in ("held_back", "opened_day", "quality_failure"):
        _delete(connection, f"ops.{table}", f"{_OUTSIDE} and isfinite(call_date)", whose)
    counts += _remove_agents(connection, customer_id, span, marts)
    if counts:
        connection.execute("update ops.extract set basis = '{}' where customer_id = %(customer)s", whose)
        _forget_build(connection)
        vacuum.note(
            connection,
            *("raw.event", "raw.call", "raw.function_use", "registry.agent"),
            *map(_table, marts),
        )
    return counts


def _bounds(customer_id: int, span: _Span) -> Whose:
    return {
        "customer": customer_id,
        "first": span.first,
        "until": "infinity" if span.until is None else span.until,
        "time_zone": span.time_zone,
    }


def _remove_events(
    connection: psycopg.Connection, settings: Settings, customer_id: int, span: _Span
) -> Counter[str]:
    """The events outside the span, with what the books say of them. A call that has a part in it keeps that part."""
    counts: Counter[str] = Counter()
    whose = _bounds(customer_id, span)
    begins = "%(first)s::timestamp at time zone %(time_zone)s"
    ends = "%(until)s::timestamp at time zone %(time_zone)s"
    counts["events"] = _delete(
        connection, "raw.event", f"(occurred_at < {begins} or occurred_at >= {ends})", whose
    )
    counts["calls"] = _delete(connection, "raw.call", f"(last_at < {begins} or first_at >= {ends})", whose)
    connection.execute(
        f"""
        with left_over as (
            select
                c.call_key,
                min(e.occurred_at - make_interval(secs => coalesce(e.duration_s, 0) + coalesce(e.wait_s, 0)))
                    as first_at,
                max(e.occurred_at) as last_at
            from raw.call as c
            join raw.event as e
                on e.customer_id = c.customer_id
                and e.call_key = c.call_key
                and e.occurred_at between c.first_at and c.last_at
            where c.customer_id = %(customer)s and (c.first_at < {begins} or c.last_at >= {ends})
            group by c.call_key
        )

        update raw.call as c
        set
            first_at = l.first_at,
            last_at = l.last_at,
            spans_days = (l.first_at at time zone %(time_zone)s)::date < (l.last_at at time zone %(time_zone)s)::date
        from left_over as l
        where c.customer_id = %(customer)s and c.call_key = l.call_key
        """,
        whose,
    )
    counts["files"] = _delete_files(
        connection,
        f"""
        ({_FILE_OUTSIDE} or first_day is null and file_id in (
            select file_id from raw.file where (landed_at at time zone %(time_zone)s)::date < %(first)s
        ))
        """,
        whose,
    )
    connection.execute(
        """
        update raw.file_customer
        set
            first_day = greatest(first_day, %(first)s),
            last_day = least(last_day, %(until)s::timestamp - interval '1 day')
        where customer_id = %(customer)s and (first_day < %(first)s or last_day >= %(until)s)
        """,
        whose,
    )
    rest = connection.execute(
        "select 1 from raw.file_customer where customer_id = %(customer)s limit 1", whose
    ).fetchone()
    if counts["events"] and rest is None:  # it starts as if it had never been there
        forget_customer(connection, settings, customer_id)
        counts["keys"] = 1
    return counts


def _remove_agents(
    connection: psycopg.Connection, customer_id: int, span: _Span, marts: list[dbt_project.Mart]
) -> Counter[str]:
    """Agents' data of days without detailed; those days are built anew, as their queues hide more now."""
    counts: Counter[str] = Counter()
    whose = _bounds(customer_id, span)
    closed = """
        not exists (
            select from registry.kept_contract as k
            where
                k.customer_id = %(customer)s
                and k.option = 'detailed'
                and {day} >= k.valid_from
                and ({day} < k.valid_until or k.valid_until is null)
        )
    """
    of_agents = [mart for mart in marts if mart.group == "agent"]
    with_days = [mart for mart in of_agents if mart.day]
    for mart in with_days:
        counts["agent_rows"] += _delete(connection, _table(mart), closed.format(day=f'"{mart.day}"'), whose)
    connection.execute(
        f"""
        with emptied as (
            update ops.opened_day as o set row_count = 0
            where
                customer_id = %(customer)s and mart = any(%(marts)s) and row_count > 0
                and {closed.format(day="o.call_date")}
            returning customer_id, call_date
        )

        insert into ops.dirty_day (customer_id, call_date, cause)
        select distinct customer_id, call_date, 'contract' from emptied
        on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause
        """,
        whose | {"marts": [mart.name for mart in with_days]},
    )
    if counts["agent_rows"]:
        counts["uses"] = _delete(connection, "raw.function_use", closed.format(day="month"), whose)
    for mart in of_agents:
        if not mart.day:
            counts["agent_rows"] += _remove_unreferenced(connection, mart, with_days, whose)
    counts["agents"] = _delete(
        connection,
        "registry.agent",
        f"""
        (
            name is null and (%(detailed_from)s::date is null or last_day < %(detailed_from)s::date)
            or customer_id in ({_NAMED})
        )
        """,
        whose | {"detailed_from": span.detailed_from},
    )
    return counts


def _remove_unreferenced(
    connection: psycopg.Connection, mart: dbt_project.Mart, with_days: list[dbt_project.Mart], whose: Whose
) -> int:
    """The rows of a mart without days that no day of another mart refers to any more, by its whole key."""
    names = sql.SQL(", ").join(map(sql.Identifier, mart.key))
    referred = [
        sql.SQL("select {} from {} where customer_id = %(customer)s").format(
            names, sql.Identifier(standing.SCHEMA, other.name)
        )
        for other in with_days
        if set(mart.key) <= set(other.columns)
    ]
    if not referred:
        return 0
    rows = connection.execute(
        sql.SQL("delete from {} where customer_id = %(customer)s and ({}) not in ({})").format(
            sql.Identifier(standing.SCHEMA, mart.name), names, sql.SQL(" union ").join(referred)
        ),
        whose,
    ).rowcount
    connection.execute(
        sql.SQL(
            """
            update ops.opened_day
            set row_count = (select count(*) from {} where customer_id = %(customer)s)
            where customer_id = %(customer)s and mart = %(mart)s
            """
        ).format(sql.Identifier(standing.SCHEMA, mart.name)),
        whose | {"mart": mart.name},
    )
    return rows


def _table(mart: dbt_project.Mart) -> str:
    return f'{standing.SCHEMA}."{mart.name}"'


def _delete(connection: psycopg.Connection, table: str, condition: str, whose: Whose) -> int:
    return connection.execute(
        f"delete from {table} where customer_id = %(customer)s and {condition}",
        whose,
    ).rowcount


def _delete_files(connection: psycopg.Connection, condition: str, whose: Whose) -> int:
    """Take the customer out of its files; those that are nobody's then go, with their rejects."""
    files = [
        file_id
        for (file_id,) in connection.execute(
            f"delete from raw.file_customer where customer_id = %(customer)s and {condition} returning file_id",
            whose,
        )
    ]
    connection.execute(
        """
        delete from raw.file
        where file_id = any(%s) and file_id not in (select file_id from raw.file_customer where file_id = any(%s))
        """,
        [files, files],
    )
    return len(files)


def _forget_build(connection: psycopg.Connection) -> None:
    """What was computed and is not opened yet may hold what goes: its days, still dirty, are computed anew."""
    opening.empty_build(connection)
    connection.execute("delete from ops.build where opened_at is null")
