"""Six days around the border of a month, of three customers: tests of the expiry let them grow too old.

Days of now are landed, built, opened and extracted like any; then the clock, which is an argument, says that two years
have passed. Every look is made before expiring too: a look that finds nothing proves nothing.
"""

import shutil
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow.parquet as pq

from callmart.base.progress import quietly
from callmart.database import cluster
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.retention import expire, expiry_plan
from callmart.simulator.simulate import simulate
from callmart_home import Callmart
from events import event, ndjson, registry
from today import TODAY

HERE, EAST, WEST = 1, 2, 3
ZONES = {HERE: "Europe/Amsterdam", EAST: "Pacific/Kiritimati", WEST: "Pacific/Pago_Pago"}
REGISTRY = registry(
    *(
        f"id: {customer}, time_zone: {zone}, contracts: [{{option: detailed, from: 2020-01-01}}]"
        for customer, zone in ZONES.items()
    )
)


def _border() -> date:
    """The first of a month past; not of March, where two years on a day may be missing."""
    first = (TODAY.replace(day=1) - timedelta(days=1)).replace(day=1)
    return first if first.month != 3 else (first - timedelta(days=1)).replace(day=1)


BORDER = _border()
DAYS = [BORDER + timedelta(days=n) for n in range(-3, 3)]
KEPT_TABLES = ("ops.audit_log", "ops.clock", "ops.running_now", "ops.to_vacuum")


def two_years_after(floor: date) -> date:
    """The day on which `floor` is the oldest day that stays."""
    return floor.replace(year=floor.year + 2)


def data_tables(connection: psycopg.Connection) -> list[str]:
    """Tables that hold customers' days, or what was done on a day; those that others refer to come first."""
    rows = connection.execute(
        """
        select format('%%s.%%s', nspname, relname)
        from pg_class as c
        join pg_namespace as n on n.oid = relnamespace
        where
            relkind in ('r', 'p') and not relispartition
            and (nspname in ('raw', 'ops', 'store') or nspname = 'registry' and relname in ('agent', 'version'))
            and format('%%s.%%s', nspname, relname) <> all(%s)
        order by relname not in ('file', 'build', 'version'), relname <> 'quality_result', 1
        """,
        [list(KEPT_TABLES)],
    )
    return [name for (name,) in rows]


def marts_with_days(callmart: Callmart) -> list[str]:
    """The marts that are kept by months."""
    marts = dbt_project.marts(callmart.settings)
    # The list of contacts is ordered by itself, and kept by days of its own.
    return [f"store.{mart.name}" for mart in marts if mart.day and mart.group != "contact"]


def content(callmart: Callmart) -> dict[str, list[str]]:
    """Every row of the tables, and the names of the files."""
    with callmart.connect() as connection:
        found = {
            name: sorted(row for (row,) in connection.execute(f"select t::text from {name} as t"))
            for name in data_tables(connection)
        }
    return found | {"files": sorted(str(file) for file in extract.folder(callmart.settings).rglob("*.hyper"))}


def calls_of_a_line(zone: str) -> Iterator[dict[str, Any]]:
    """One on each day."""
    for day in DAYS:
        noon = datetime.combine(day, time(12), ZoneInfo(zone))
        of_call = {"call_id": f"line-{day}", "line": "trunk", "platform": "sip_trunk"}
        yield event("call_started", noon, direction="inbound", **of_call)
        yield event("call_ended", noon + timedelta(seconds=30), reason="caller", **of_call)


def fill(callmart: Callmart) -> None:
    """Three customers with six days around the border of a month; what all tables hold is put aside."""
    callmart.apply(REGISTRY)
    for customer, zone in ZONES.items():
        events = simulate(
            customer, DAYS, zone, ["sales"], [f"SIP/{customer}{n}" for n in range(3)],
            contacts_per_day=30, seed=customer, hours=(0, 24),
        ).events  # fmt: skip
        pq.write_table(events, file := callmart.home / f"{customer}.parquet")
        assert callmart.land(file).landed > 0
        assert callmart.land_text(ndjson(*calls_of_a_line(zone)), customer).landed == 2 * len(DAYS)
    # Who worked on the first day only: nobody refers to this agent once that day is gone.
    noon = datetime.combine(DAYS[0], time(12), ZoneInfo(ZONES[HERE]))
    of_call = {"call_id": "the-last", "queue": "sales"}
    talk = [
        event("queue_joined", noon, **of_call),
        event("agent_connected", noon + timedelta(seconds=5), agent="SIP/gone", **of_call),
        event("call_ended", noon + timedelta(seconds=65), agent="SIP/gone", **of_call),
    ]
    assert callmart.land_text(ndjson(*talk), HERE).landed == 3
    callmart.build_unchecked()
    with callmart.connect() as connection:
        connection.execute(
            "insert into ops.quality_result select build_id, 'queue_interval', 'x', 'critical', true from ops.build"
        )
        extract.extract(connection, callmart.settings, quietly)
        connection.execute("create schema saved")
        for name in data_tables(connection):
            connection.execute(f'create table saved."{name}" (like {name} including comments)')
            connection.execute(f'insert into saved."{name}" select * from {name}')
    shutil.copytree(extract.folder(callmart.settings), callmart.home / "saved")


def restore(filled: Callmart) -> None:
    """Put back what was put aside."""
    with filled.connect() as connection:
        tables = data_tables(connection)
        connection.execute(cluster.TO_NODES)
        connection.execute("truncate " + ", ".join((*tables, "ops.to_vacuum")) + " cascade")
        connection.execute(cluster.TO_ITSELF)
        for name in ("raw.event", *marts_with_days(filled)):
            for month in (BORDER - timedelta(days=1), BORDER):
                connection.execute("select access.ensure_month(%s::regclass, %s)", [name, month])
        for name in tables:
            connection.execute(f'insert into {name} overriding system value select * from saved."{name}"')
        connection.commit()
        connection.autocommit = True
        connection.execute("analyze " + ", ".join(tables))
    shutil.rmtree(extract.folder(filled.settings))
    shutil.copytree(filled.home / "saved", extract.folder(filled.settings))


def expired(callmart: Callmart, floor: date) -> list[expire.Outcome]:
    """Expire on the day on which `floor` is the oldest day that stays."""
    with callmart.connect() as connection:
        return expire.expire(connection, callmart.settings, two_years_after(floor))


def planned(callmart: Callmart, floor: date) -> expiry_plan.Plan:
    with callmart.connect() as connection:
        return expiry_plan.plan(connection, callmart.settings, two_years_after(floor))


def too_old(callmart: Callmart, floor: date) -> dict[str, int]:
    """Every column of every table that holds a day before the floor, by the clock of its customer."""
    found: dict[str, int] = {}
    with callmart.connect() as connection:
        columns = connection.execute(
            """
            select
                c.oid::regclass::text, quote_ident(attname), atttypid <> 'timestamptz'::regtype,
                exists (select from pg_attribute where attrelid = c.oid and attname = 'customer_id')
            from pg_class as c
            join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped
            where
                relkind = 'r'
                and relnamespace in (
                    'raw'::regnamespace, 'ops'::regnamespace, 'store'::regnamespace, 'usage'::regnamespace,
                    'build'::regnamespace, 'registry'::regnamespace
                )
                and atttypid in ('date'::regtype, 'timestamptz'::regtype, 'timestamp'::regtype)
                and c.oid::regclass::text not in ('ops.audit_log', 'ops.followed_contract', 'registry.contract')
            """
        ).fetchall()
        for table, column, is_local, of_customer in columns:
            zone = (
                "(select time_zone from registry.customer as c where c.customer_id = t.customer_id)"
                if of_customer
                else "'Europe/Amsterdam'"
            )
            day = f"{column}::date" if is_local else f"({column} at time zone {zone})::date"
            ((count,),) = connection.execute(
                f"select count(*) from (select * from {table} offset 0) as t where {day} < %s and isfinite({day})",
                [floor],
            ).fetchall()
            if count:
                name = f"{table.rsplit('_2', 1)[0]}.{column}".replace('"', "")
                found[name] = found.get(name, 0) + count
    return found
