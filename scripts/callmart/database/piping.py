"""Lets rows flow from one database into another, as PostgreSQL packs them, and without keeping them."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql


def pipe(
    source: psycopg.Connection,
    query: sql.Composable,
    target: psycopg.Connection,
    into: sql.Composable,
    parameters: Mapping[str, Any] | None = None,
) -> int:
    """Copy what a query returns into a relation of another database, with or without its columns in brackets. Returns
    how many rows. In the transactions of both.
    """
    out_of = sql.SQL("copy ({}) to stdout (format binary)").format(query)
    filling = sql.SQL("copy {} from stdin (format binary)").format(into)
    with source.cursor() as reading, target.cursor() as writing:
        with reading.copy(out_of, parameters) as rows, writing.copy(filling) as copied:
            for block in rows:
                copied.write(block)
        return writing.rowcount
