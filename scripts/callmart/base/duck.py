"""DuckDB in memory. A process begins one database per set of macros, as that takes longer than to land a small file."""

import os
from functools import cache
from pathlib import Path

import duckdb

from callmart.base import sql_file

# The macros for telephone numbers are the same everywhere; telephone.py says what they do.
SQL = sql_file.statements(str(Path(__file__).with_name("telephone.sql")))


def connect(*macros: str) -> duckdb.DuckDBPyConnection:
    """A connection of its own, which knows the macros for telephone numbers, and these. No other sees its temporary
    tables, views and macros, nor what is registered with it.
    """
    return _database(os.getpid(), *macros).cursor()


@cache
def _database(process: int, *macros: str) -> duckdb.DuckDBPyConnection:
    """The database of this process with these macros: a forked one has none of the threads of the one before it."""
    database = duckdb.connect(
        ":memory:", config={"threads": 2, "temp_directory": "", "allocator_flush_threshold": "1MB"}
    )
    database.execute("set global TimeZone = 'UTC'")
    for statements in (SQL["macros"], *macros):
        database.execute(statements)
    return database
