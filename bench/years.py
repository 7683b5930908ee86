"""Three years of nights, simulated: how large callmart's books and PostgreSQL's catalogue become, whether they stay so,
and what the expiry of a night then costs.

`python bench/years.py [RUNS_PER_DAY] [CUSTOMERS] [EVERY]`. One day is taken through all stages. Then the nights pass,
each as of its own day in the past: what its runs would write is copied from that day with other moments, the tables of
a window and the months of marts are made. To save time, only the last night of a week expires what is too old by then,
and with EVERY only one day in so many has runs.
"""

import shutil
import sys
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

import psycopg
import pyarrow.parquet
from rich.console import Console

from callmart.base.settings import Settings
from callmart.database import server
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart.operations import record
from callmart.operations.stages import COUNTS
from callmart.retention import expire, expiry_plan
from callmart.simulator.simulate import simulate
from callmart.validate import quality_pages
from history import registry_of, scratch
from simulated import command

RUNS, CUSTOMERS, EVERY, YEARS = 6, 10, 1, 3
WEEKS = 52  # per year
AT_REST = 4  # weeks after which autovacuum has surely been everywhere

# What the runs of a day write. A day of five-minute runs has more of each.
WRITES = (
    """
    with run as (
        insert into ops.run (began_at, ended_at, outcome)
        select moment, moment + interval '1 minute', 'done'
        from generate_series(%(begin)s::timestamptz, %(end)s, %(every)s) as moment
        returning run_id, began_at, ended_at
    )
    insert into ops.run_stage (run_id, stage, began_at, ended_at, outcome, counts)
    select run_id, stage, began_at, ended_at, 'done', '{"days": 1}'
    from run cross join unnest(%(stages)s::text[]) as stage
    """,
    """
    with real as materialized (select * from ops.build order by build_id limit 1),
    build as (
        insert into ops.build (built_at, days, tables, validated_at, opened_at, definitions, project)
        select moment, real.days, real.tables, moment, moment, real.definitions, real.project
        from generate_series(%(begin)s::timestamptz, %(end)s, %(every)s) as moment
        cross join real
        returning build_id
    )
    insert into ops.quality_result (build_id, mart, expectation, severity, success)
    select build.build_id, mart, expectation, severity, success
    from build cross join ops.quality_result as r
    where r.build_id = (select build_id from real)
    """,
    """
    insert into ops.audit_log (at, action, customer_id, details)
    select moment, action, customer, '{"build": 1, "days": 1, "released": 0}'
    from generate_series(%(begin)s::timestamptz, %(end)s, %(every)s) as moment
    cross join unnest(array['opened', 'published']) as action
    cross join generate_series(1, %(customers)s) as customer
    """,
    """
    insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)
    select customer, %(day)s, mart, 20, (select max(build_id) from ops.build)
    from generate_series(1, %(customers)s) as customer
    cross join unnest(%(marts)s::text[]) as mart
    on conflict do nothing
    """,
)


@dataclass(frozen=True)
class Sizes:
    """What there is after a night."""

    books: int  # bytes of ops
    catalogue: int  # bytes of pg_catalog
    relations: int
    pages: int

    def __str__(self) -> str:
        return (
            f"books {self.books / 2**20:.1f} MiB, catalogue {self.catalogue / 2**20:.1f} MiB, "
            f"{self.relations} relations, {self.pages} quality pages"
        )


def main(runs: int = RUNS, customers: int = CUSTOMERS, every: int = EVERY) -> None:
    """Print sizes after each year, and the seconds of an expiry."""
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{YEARS} years with {runs} runs on one day in {every}, and {customers} customers")
    with scratch(registry_of(dict.fromkeys(range(1, customers + 1), "detailed"))) as settings:
        _play_a_day(settings)
        last = date.today() - timedelta(days=1)
        seconds, sizes = [], []
        status = [command(settings, "status").seconds]
        for week in range(1, YEARS * WEEKS + 1):
            sunday = last - timedelta(weeks=YEARS * WEEKS - week)
            with server.connect(settings) as connection:
                for day in (sunday - timedelta(days=back) for back in range(6, -1, -1)):
                    if day.toordinal() % every == 0:
                        _pass(connection, settings, day, runs, customers)
                seconds.append(_expire(connection, settings, sunday))
            if week % AT_REST == 0:
                with server.connect(settings, autocommit=True) as connection:
                    connection.execute("vacuum")
            if week % WEEKS == 0:
                with server.connect(settings) as connection:
                    sizes.append(_sizes(connection, settings))
                out.print(f"after {week} weeks: {sizes[-1]}; an expiry {median(seconds[-9:]):.2f} s")
        status.append(command(settings, "status").seconds)
    grown = sizes[-1].books / sizes[-2].books, sizes[-1].catalogue / sizes[-2].catalogue
    out.print(
        f"the last year: books {grown[0]:.2f} and catalogue {grown[1]:.2f} of the year before, an expiry "
        f"{median(seconds[-9:]) / median(seconds[-9 - WEEKS : -WEEKS]):.2f}; goal: 1.1; "
        f"status {status[1] / status[0]:.2f} of the first night's"
    )


def _play_a_day(settings: Settings) -> None:
    """Take a day through all stages, so that there is a build with all its results and its page."""
    file, day = settings.home / "day.parquet", date.today() - timedelta(days=1)
    events = simulate(1, [day], "Europe/Amsterdam", ["a"], ["user-1", "user-2"], contacts_per_day=30, seed=1)
    pyarrow.parquet.write_table(events.events, file)
    for arguments in (["land", file], ["build"], ["validate"], ["open"]):
        command(settings, *arguments)


def _pass(connection: psycopg.Connection, settings: Settings, day: date, runs: int, customers: int) -> None:
    """Write what the runs of a day write."""
    marts = [mart for mart in dbt_project.marts(settings) if mart.day]
    values = {
        "begin": datetime.combine(day, datetime.min.time(), settings.zone),
        "end": datetime.combine(day, datetime.max.time(), settings.zone),
        "every": timedelta(days=1) / runs,
        "day": day,
        "customers": customers,
        "marts": [mart.name for mart in marts],
        "stages": list(COUNTS),
    }
    with connection.transaction():
        before = _last_build(connection)
        for statement in WRITES:
            connection.execute(statement, values)
        connection.execute(record.SQL["forget"], {"kept": record.KEPT})
    _pages(settings, day, range(before + 1, _last_build(connection) + 1))
    _make_tables(connection, marts, day)


def _make_tables(connection: psycopg.Connection, marts: list[Mart], day: date) -> None:
    """Make the tables of a window anew, as dbt does, and the month of each mart."""
    for mart in marts:
        with connection.transaction():
            connection.execute(f"drop table if exists build.passing_{mart.name}".encode())
            connection.execute(f"create table build.passing_{mart.name} (like store.{mart.name})".encode())
            connection.execute("select access.ensure_month(%s, %s)", [f"store.{mart.name}", day])


def _pages(settings: Settings, day: date, builds: range) -> None:
    """The pages of builds: copies of the real one."""
    folder = quality_pages.folder(settings)
    real = folder.parent / "page.html"
    if not real.exists():
        shutil.copy(next(folder.glob("2*.html")), real)
    for build in builds:
        shutil.copy(real, folder / f"{day}-{build}.html")


def _last_build(connection: psycopg.Connection) -> int:
    ((build,),) = connection.execute("select max(build_id) from ops.build").fetchall()
    return int(build)


def _expire(connection: psycopg.Connection, settings: Settings, day: date) -> float:
    begin = time.perf_counter()
    outcomes = expire.execute(connection, expiry_plan.plan(connection, settings, day))
    if left := [one for one in outcomes if one.outcome != expire.DONE]:
        raise SystemExit(f"on {day}: {left[0].step.what}: {left[0].outcome}")
    return time.perf_counter() - begin


def _sizes(connection: psycopg.Connection, settings: Settings) -> Sizes:
    ((books, catalogue, relations),) = connection.execute(
        """
        select
            sum(pg_total_relation_size(oid)) filter (where relkind = 'r' and relnamespace = 'ops'::regnamespace),
            sum(pg_total_relation_size(oid)) filter (
                where relkind = 'r' and relnamespace = 'pg_catalog'::regnamespace
            ),
            count(*)
        from pg_class
        """
    ).fetchall()
    return Sizes(int(books), int(catalogue), int(relations), len(list(quality_pages.of_builds(settings))))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
