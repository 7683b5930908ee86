"""How PostgreSQL executed a query."""

from collections.abc import Iterator
from typing import Any

import psycopg


def explained(connection: psycopg.Connection, query: str) -> list[dict[str, Any]]:
    """Execute a query. Returns all nodes of its plan, each with the rows it had and removed, and how often it ran."""
    ((plan,),) = connection.execute(f"explain (analyze, timing off, format json) {query}".encode()).fetchall()
    return list(_nodes(plan[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)
