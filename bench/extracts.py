"""Extracts of many customers, compared with one bulk write of the same rows with pantab; and the cost of one change.

`python bench/extracts.py [CUSTOMERS]`. First all extracts of 300 customers with two years each are made. Then pantab
writes the same rows, read by the owner without a policy, into one file. Last come the extracts of a night in which one
day of all customers changed, of one in which all days of one customer changed, and of a night without changes.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import LiteralString, TypeVar

import pantab
import pyarrow as pa
from adbc_driver_postgresql import dbapi
from psycopg import sql
from rich.console import Console

from callmart.access import logins
from callmart.base.settings import Settings
from callmart.database import server
from callmart.declarations import dbt_project
from history import registry_of, scratch
from two_years import extract_all, fill_marts, options

T = TypeVar("T")
CUSTOMERS = 300


def main() -> None:
    """Print seconds and ratios."""
    out = Console(highlight=False, soft_wrap=True)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    with scratch(registry_of(options(number))) as settings:
        rows, seconds = _timed(lambda: fill_marts(settings, options(number)))
        out.print(f"{number} customers, two years: {rows:,} rows filled in {seconds:.0f} s")

        made, every = _timed(lambda: extract_all(settings))
        mib = sum(one.path.stat().st_size for one in made) / 2**20
        out.print(
            f"{len(made)} extracts, {sum(one.rows for one in made):,} rows, {mib:,.0f} MiB: {every:.1f} s, "
            f"{number / every:.1f} customers/s (load {os.getloadavg()[0]:.1f})"
        )
        tables, reading = _timed(lambda: read(settings))
        writing = write(settings, tables)
        held = sum(table.num_rows for table in tables.values())
        out.print(
            f"pantab, {held:,} rows in one file: {writing:.1f} s, after reading them in {reading:.1f} s; extracts take "
            f"{every / writing:.2f} times the write, {every / (reading + writing):.2f} times both"
        )
        del tables

        _change(settings, "call_date = current_date - 1")
        made, night = _timed(lambda: extract_all(settings))
        out.print(
            f"one day of all customers changed: {sum(file.written for file in made)} files written in {night:.1f} s, "
            f"{night / every:.2f} of all, {night / writing:.2f} times the write"
        )
        _change(settings, "customer_id = 1")
        made, one = _timed(lambda: extract_all(settings))
        out.print(
            f"one customer changed: {sum(file.written for file in made)} files written in {one:.2f} s, "
            f"{one / every:.3f} of all"
        )
        made, none = _timed(lambda: extract_all(settings))
        out.print(f"none changed: {sum(file.written for file in made)} files written in {none:.2f} s")


def _timed(do: Callable[[], T]) -> tuple[T, float]:
    begin = time.perf_counter()
    done = do()
    return done, time.perf_counter() - begin


def read(settings: Settings) -> dict[str, pa.Table]:
    """All rows of all marts, read by their owner."""
    with dbapi.connect(logins.owner_uri(settings)) as connection, connection.cursor() as cursor:
        tables = {}
        for mart in dbt_project.marts(settings):
            columns = ", ".join(f'"{column}"' for column in mart.columns)
            cursor.execute(f'select {columns} from store."{mart.name}"')
            tables[mart.name] = cursor.fetch_arrow_table()
        return tables


def write(settings: Settings, tables: dict[str, pa.Table]) -> float:
    """Seconds of one write of all tables with pantab."""
    with tempfile.TemporaryDirectory(dir=settings.home) as folder:
        begin = time.perf_counter()
        pantab.frames_to_hyper(
            {("Extract", name): table for name, table in tables.items()},
            Path(folder) / "all.hyper",
            process_params={"default_database_version": "2"},
        )
        return time.perf_counter() - begin


def _change(settings: Settings, which: LiteralString) -> None:
    """Change rows as a night with calls does."""
    with server.connect(settings) as connection:
        for mart in dbt_project.marts(settings):
            if mart.day and mart.additive:
                column = sql.Identifier(mart.additive[0])
                connection.execute(
                    sql.SQL("update {} set {} = {} + 1 where {}").format(
                        sql.Identifier("store", mart.name), column, column, sql.SQL(which)
                    )
                )
        connection.execute(
            sql.SQL("update ops.opened_day set build_id = build_id + 1 where {}").format(sql.SQL(which))
        )


if __name__ == "__main__":
    main()
