"""`callmart build` of a day, compared with DuckDB running the same models on the same Parquet, in one run.

`python bench/building.py [CONTACTS]`. The default is 470,000 contacts with six million events. DuckDB runs the SQL that
dbt compiled. Macros replace the few functions that it lacks, and the .sql files beside this one replace the models
that need types that it lacks. Both must get the same totals; otherwise the ratio would mean nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from psycopg import sql
from rich.console import Console

from callmart.base.raw_format import STATUSES
from callmart.base.settings import Settings
from callmart.database import server
from callmart.declarations import dbt_project
from callmart.declarations.dbt_project import Compiled
from callmart.declarations.mart import Mart
from history import CUSTOMERS, scratch
from simulated import CONTACTS_PER_CUSTOMER, command, write_day

CONTACTS = 470_000
ROUNDS = 2
DAY = date.today() - timedelta(days=2)

MACROS = """
create macro date_bin(width, moment, origin) as time_bucket(width, moment, origin);
create macro make_interval(secs := 0, mins := 0) as to_microseconds(((secs + 60 * mins) * 1000000)::bigint);
create macro cardinality(list) as len(list);
create macro width_bucket(value, bounds) as len(list_filter(bounds, lambda bound: bound <= value));
create macro num_nonnulls(a, b, c := null, d := null, e := null, f := null, g := null, h := null, i := null) as
    list_count([a, b, c, d, e, f, g, h, i]);
create macro access.begin_of_day(day, zone) as day::timestamp at time zone zone;
create macro registry.agent_label(customer, key) as key;
create macro registry.name_shown(customer, name) as name;
create macro privacy.is_objector(customer, tombstone, key) as false;
"""

# The file as landing and the registry would store it. Keys need no secret here: a benchmark has nobody to protect.
LANDED = """
create table raw.event as
select
    customer_id, occurred_at, file_row_number as event_key, 0 as ordinal, platform, event, 1 as file_id,
    null::bigint as line_number,
    case when call_id is not null then (hash(platform, call_id) >> 1)::bigint end as call_key,
    queue, agent as agent_key, case when not number_withheld then other_number end as number_key,
    number_withheld, null::text as line, line as device_key, direction,
    case when event = 'agent_status' and not list_contains($statuses, reason) then 'other' else reason end as reason,
    null::text as target,
    target as target_key, target_kind, null::double as duration_s, null::double as wait_s, null::boolean as recorded
from read_parquet($files, file_row_number = true);
"""
REGISTRY = """
create table registry.customer as
select distinct customer_id, 'Europe/Amsterdam' as time_zone, 20 as service_level_s, 5 as short_abandon_s,
    null::double as service_level_target
from raw.event;
create table registry.queue (
    customer_id integer, queue text, queue_key text, service_level_s integer, short_abandon_s integer,
    service_level_target double
);
create table registry.line (customer_id integer, line text, channels integer);
create table privacy.objector (customer_id integer, beginning text, tombstone text);
create table registry.opening_hours (
    customer_id integer, queue text, valid_from date, valid_until date, weekday integer, call_date date,
    opens integer, closes integer
);
create table registry.holiday (customer_id integer, queue text, call_date date);
create table registry.contact_list (customer_id integer, first_day date);
create table raw.call as
select
    customer_id, call_key, min(occurred_at) as first_at, max(occurred_at) as last_at,
    (min(occurred_at) at time zone 'Europe/Amsterdam')::date < (max(occurred_at) at time zone 'Europe/Amsterdam')::date
        as spans_days
from raw.event
where call_key is not null
group by all;
create table build.window as
select distinct
    customer_id, (occurred_at at time zone 'Europe/Amsterdam')::date as call_date, false as reached,
    null::timestamptz as so_far
from raw.event;
"""
KEPT = """
create table registry.kept_contract as
select
    customer_id, case when list_contains($detailed, customer_id) then 'detailed' else 'standard' end as option,
    date '2020-01-01' as valid_from, null::date as valid_until
from registry.customer;
"""


def main() -> None:
    """Print the seconds of both and their ratio per round, and the memory of landing and building."""
    out = Console(highlight=False, soft_wrap=True)
    contacts = int(sys.argv[1]) if len(sys.argv) > 1 else CONTACTS
    customers = CUSTOMERS[: contacts // CONTACTS_PER_CUSTOMER]
    with scratch() as settings:
        file = settings.home / "day.parquet"
        events = write_day(file, DAY, customers)
        landed = command(settings, "land", file)
        out.print(
            f"{contacts:,} contacts of {len(customers)} customers, {events:,} events: "
            f"landed in {landed.seconds:.0f} s ({events / landed.seconds:,.0f}/s), {landed.mib:.0f} MiB"
        )
        for _ in range(ROUNDS):
            built = command(settings, "build")
            duck, seconds = in_duckdb(settings, [file], detailed=customers)
            require_equal(settings, duck)
            duck.close()
            out.print(
                f"callmart build {built.seconds:.1f} s, {built.mib:.0f} MiB; DuckDB {seconds:.1f} s; "
                f"ratio {built.seconds / seconds:.2f} (load {os.getloadavg()[0]:.1f})"
            )


def in_duckdb(
    settings: Settings, files: Sequence[Path], detailed: Sequence[int]
) -> tuple[duckdb.DuckDBPyConnection, float]:
    """A DuckDB that has computed the models from the files, in memory and with two threads, and the seconds that this
    took. Customers have a detailed contract or a standard one.
    """
    models, marts = list(_models(settings)), dbt_project.marts(settings)
    begin = time.perf_counter()
    duck = duckdb.connect()
    duck.execute("attach ':memory:' as callmart; use callmart; set threads = 2; set timezone = 'UTC'")
    duck.execute("set enable_progress_bar = false")
    for schema in ("access", "raw", "registry", "privacy", "build", "store"):
        duck.execute(f"create schema {schema}")
    duck.execute(MACROS)
    duck.execute(LANDED, {"files": list(map(str, files)), "statuses": list(STATUSES)})
    duck.execute(REGISTRY)
    duck.execute(KEPT, {"detailed": list(detailed)})
    for mart in marts:  # their history, which is empty here
        columns = ", ".join(f'"{name}" {type}' for name, type in mart.types.items())
        duck.execute(f"create table store.{mart.name} ({columns})")
    for model in models:
        kind = "view" if model.is_view else "table"
        duck.execute(f"create {kind} build.{model.name} as {_compiled(model)}")
    return duck, time.perf_counter() - begin


def _models(settings: Settings) -> Iterator[Compiled]:
    """The customers' marts and all models that they read, in the order of building. No monthly statistics."""
    models = {model.model: model for model in dbt_project.compiled_marts(settings)}
    read = {name: [on for on in model.reads if on in models] for name, model in models.items()}
    return (models[name] for name in TopologicalSorter(read).static_order())


def _compiled(model: Compiled) -> str:
    """The SQL that dbt compiled, without the offsets, which are only for PostgreSQL's planner."""
    own = Path(__file__).with_name(f"{model.name}.sql")
    return own.read_text() if own.exists() else model.sql.replace("offset 0", "")


def require_equal(
    settings: Settings,
    duck: duckdb.DuckDBPyConnection,
    rows: Callable[[Mart], str] | None = None,
    marts: Sequence[Mart] | None = None,
) -> None:
    """Raises SystemExit with the first mart whose number of rows or sums differ from those of the window, or of other
    rows.
    """
    with server.connect(settings) as connection:
        for mart in marts or dbt_project.marts(settings):
            summed = [
                name for name, type in mart.types.items() if type == "integer" and name != "customer_id"
            ]
            sums = ", ".join(["count(*)", *(f'sum("{name}")' for name in summed)])
            (theirs,) = duck.sql(f"select {sums} from {_window(mart)}").fetchall()
            ours = _one(connection, f"select {sums} from {(rows or _window)(mart)}")
            if ours != theirs:
                different = [
                    name for name, a, b in zip(["rows", *summed], ours, theirs, strict=True) if a != b
                ]
                raise SystemExit(f"mart {mart.name} is not the same in DuckDB: {', '.join(different)}")


def _window(mart: Mart) -> str:
    return f'build."{mart.name}"'


def _one(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(sql.SQL(query)).fetchone()
    assert row is not None
    return row


if __name__ == "__main__":
    main()
