"""Finds the rows of a mart without days that are no longer needed: no row of a mart with days refers to them."""

from collections.abc import Iterable

from psycopg import sql

from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart


def unreferenced(mart: Mart, others: Iterable[Mart], kept: sql.SQL) -> sql.Composed | None:
    """Return the condition that no row of another mart has the key of row `t`; None if no mart refers to this one.

    Only marts of the same group refer to it, if they have days and the whole key. `kept` is a condition on their rows:
    {day} is the row's day.
    """
    key = mart.key[1:]
    referring = [
        other
        for other in others
        if other.day and other.group == mart.group and set(key) <= set(other.columns)
    ]
    if not (key and referring):
        return None
    return sql.SQL(" and ").join(
        sql.SQL(
            "not exists (select 1 from {other} as r where r.customer_id = t.customer_id and {equal} and {kept})"
        ).format(
            other=sql.Identifier(mart_tables.SCHEMA, other.name),
            equal=sql.SQL(" and ").join(
                sql.SQL("r.{0} = t.{0}").format(sql.Identifier(column)) for column in key
            ),
            kept=kept.format(day=sql.Identifier("r", str(other.day))),
        )
        for other in referring
    )
