"""Extracts of many customers against one bulk write of the same rows with pantab, and what one changed customer costs.

A day of a small contact centre is played, built and opened; all marts are then filled with two years of that day for
each of 300 customers (another number: the argument), one in ten with a detailed contract. All extracts are made; then
pantab writes the same rows, read by the owner without a policy, into one file. Last, the extracts of a night in which
one customer changed, and of one in which none did.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pantab
import psycopg
import pyarrow as pa
import pyarrow.parquet
from adbc_driver_postgresql import dbapi
from psycopg import sql
from rich.console import Console

from callmart import build, dbt, extract, land, logins, open, roles, server
from callmart.dbt import Mart
from callmart.prepare import Defaults
from callmart.settings import Settings
from callmart.simulate import simulate
from history import retention_floor, scratch

T = TypeVar("T")
CUSTOMERS = 300
YESTERDAY = date.today() - timedelta(days=1)
CONTACTS, QUEUES, AGENTS = 30, ["a", "b"], ["user-1", "user-2", "user-3"]


def main() -> None:
    """Print seconds and ratios."""
    out = Console(highlight=False, soft_wrap=True)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    options = {1 + each: "standard" if each % 10 else "detailed" for each in range(number)}
    with scratch(options) as settings:
        marts = dbt.marts(settings)
        _open_a_day(settings)
        rows, seconds = _timed(lambda: _fill(settings, marts, options))
        out.print(f"{number} customers, two years: {rows:,} rows filled in {seconds:.0f} s")

        made, every = _timed(lambda: _extract(settings))
        mib = sum(one.path.stat().st_size for one in made) / 2**20
        out.print(
            f"{len(made)} extracts, {sum(one.rows for one in made):,} rows, {mib:,.0f} MiB: {every:.1f} s, "
            f"{number / every:.1f} customers/s (load {os.getloadavg()[0]:.1f})"
        )
        tables, reading = _timed(lambda: _read(settings, marts))
        writing = _write(settings, tables)
        held = sum(table.num_rows for table in tables.values())
        out.print(
            f"pantab, {held:,} rows in one file: {writing:.1f} s, after reading them in {reading:.1f} s; extracts take "
            f"{every / writing:.2f} times the write, {every / (reading + writing):.2f} times both"
        )
        del tables

        _change(settings)
        made, one = _timed(lambda: _extract(settings))
        out.print(
            f"one customer changed: {sum(file.written for file in made)} files written in {one:.2f} s, "
            f"{one / every:.3f} of all"
        )
        made, none = _timed(lambda: _extract(settings))
        out.print(f"none changed: {sum(file.written for file in made)} files written in {none:.2f} s")


def _timed(do: Callable[[], T]) -> tuple[T, float]:
    begin = time.perf_counter()
    done = do()
    return done, time.perf_counter() - begin


def _open_a_day(settings: Settings) -> None:
    """Yesterday of the first customer, through all stages but the checks."""
    events = simulate(
        1, [YESTERDAY], "Europe/Amsterdam", QUEUES, AGENTS, contacts_per_day=CONTACTS, seed=1
    ).events
    file = settings.home / "day.parquet"
    pyarrow.parquet.write_table(events, file)
    with logins.connect(settings, "loader") as loader:
        land.land(loader, settings, file, "auto", Defaults(1, "vcloud", False, None))
    with server.connect(settings) as connection:
        build.build(connection, settings, _ignore)
        connection.execute("update ops.build set validated_at = clock_timestamp()")
        open.open_build(connection, settings)


def _fill(settings: Settings, marts: list[Mart], options: Mapping[int, str]) -> int:
    """That day, for all customers and all days that they see, month by month as nights would write it. The rows."""
    rows = 0
    with server.connect(settings) as connection:
        first = retention_floor(connection)
        for mart in marts:
            customers = [id for id, option in options.items() if mart.group in roles.opens(option)]
            if mart.day is None:
                rows += _repeat(connection, mart, customers, YESTERDAY, YESTERDAY)
                continue
            day = first
            while day <= YESTERDAY:
                until = min(
                    YESTERDAY, (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
                )
                connection.execute("select access.ensure_month(%s, %s)", [f"mart.{mart.name}", day])
                rows += _repeat(connection, mart, customers, day, until)
                day = until + timedelta(days=1)
        for mart in marts:
            connection.execute(
                sql.SQL(
                    "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)"
                    " select customer_id, {}, {}, count(*), 1 from {} group by 1, 2"
                    " on conflict (customer_id, call_date, mart) do nothing"
                ).format(
                    sql.Identifier(mart.day) if mart.day else sql.SQL("date '-infinity'"),
                    sql.Literal(mart.name),
                    sql.Identifier("mart", mart.name),
                )
            )
    with server.connect(settings, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
    return rows


def _repeat(connection: psycopg.Connection, mart: Mart, customers: list[int], first: date, last: date) -> int:
    """The first customer's yesterday as the days from `first` to `last` of all customers, but for itself."""
    moved = {"date": "{} - ago", "customer_id": "customer"} | dict.fromkeys(
        ("timestamp with time zone", "timestamp without time zone"), "{} - make_interval(days => ago)"
    )
    values = [
        sql.SQL(moved.get(column, moved.get(mart.types[column], "{}"))).format(sql.Identifier(column))
        for column in mart.columns
    ]
    return connection.execute(
        sql.SQL(
            """
            with day as materialized (select * from {mart} where customer_id = 1 and {day})
            insert into {mart} ({columns})
            select {values}
            from day
            cross join unnest(%(customers)s::integer[]) as customer
            cross join generate_series(%(from)s::integer, %(to)s::integer) as ago
            where (customer, ago) <> (1, 0)
            order by ago desc, customer
            """
        ).format(
            mart=sql.Identifier("mart", mart.name),
            day=sql.SQL("{} = {}").format(sql.Identifier(mart.day), YESTERDAY)
            if mart.day
            else sql.SQL("true"),
            columns=sql.SQL(", ").join(map(sql.Identifier, mart.columns)),
            values=sql.SQL(", ").join(values),
        ),
        {"customers": customers, "from": (YESTERDAY - last).days, "to": (YESTERDAY - first).days},
    ).rowcount


def _extract(settings: Settings) -> list[extract.Extract]:
    """All extracts; SystemExit where one could not be made."""
    with server.connect(settings) as connection:
        made = extract.extract(connection, settings, _ignore)
    for one in made:
        if isinstance(one, extract.Unproven):
            raise SystemExit(str(one))
    return made  # type: ignore[return-value]


def _read(settings: Settings, marts: list[Mart]) -> dict[str, pa.Table]:
    """All rows of all marts, as their owner."""
    with dbapi.connect(logins.owner_uri(settings)) as connection, connection.cursor() as cursor:
        tables = {}
        for mart in marts:
            columns = ", ".join(f'"{column}"' for column in mart.columns)
            cursor.execute(f'select {columns} from mart."{mart.name}"')
            tables[mart.name] = cursor.fetch_arrow_table()
        return tables


def _write(settings: Settings, tables: dict[str, pa.Table]) -> float:
    """Seconds of one write of all of them."""
    with tempfile.TemporaryDirectory(dir=settings.home) as folder:
        begin = time.perf_counter()
        pantab.frames_to_hyper(
            {("Extract", name): table for name, table in tables.items()},
            Path(folder) / "all.hyper",
            process_params={"default_database_version": "2"},
        )
        return time.perf_counter() - begin


def _change(settings: Settings) -> None:
    """What a night makes of the first customer when it had calls."""
    with server.connect(settings) as connection:
        connection.execute("update mart.queue_interval set talk_s = talk_s + 1 where customer_id = 1")
        connection.execute("update ops.opened_day set build_id = build_id + 1 where customer_id = 1")


def _ignore(*step: Any) -> None:
    """Progress that nobody watches."""


if __name__ == "__main__":
    main()
