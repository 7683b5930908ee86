"""Names in a statement that is put together."""

from collections.abc import Iterable

from psycopg import sql


def listed(names: Iterable[str]) -> sql.Composed:
    """Quoted names, with commas between them."""
    return sql.SQL(", ").join(map(sql.Identifier, names))
