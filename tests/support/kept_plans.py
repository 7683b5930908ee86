"""What DuckDB knows of the same queries. It plans each query twice: to learn its columns, and to run it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from duckdb import _seam

from callmart.declarations import expectations
from callmart.land import judging, keying

KEYED = keying.SQL["keyed_events"].format(judged=judging.JUDGED)


@contextmanager
def kept_columns() -> Iterator[None]:
    """Within it, the columns of what judges and keys rows are learnt once: they are the same for all files."""
    bind = _seam.bind
    known: list[_seam.Signature] = []

    def columns(connection: Any, query: Any, *more: Any, **named: Any) -> _seam.Signature:
        if str(getattr(query, "query", query)) != KEYED:
            return bind(connection, query, *more, **named)
        if not known:
            known.append(bind(connection, query, *more, **named))
        return known[0]

    with patch.object(_seam, "bind", columns):
        yield


@contextmanager
def kept_mistakes() -> Iterator[None]:
    """Within it, DuckDB prepares a query of a suite once on the same tables: most tests change another one."""
    look = expectations._unbound
    known: dict[str, str | None] = {}

    def unbound(query: str, tables: Any) -> str | None:
        asked = repr((query, tables))
        if asked not in known:
            known[asked] = look(query, tables)
        return known[asked]

    with patch.object(expectations, "_unbound", unbound):
        yield
