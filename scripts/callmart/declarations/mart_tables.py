"""The marts' tables that are in the database, whether the project still declares them or not.

Expiry and contracts work on these tables: if the files of a mart are removed, its rows are still there.
"""

from collections.abc import Iterable

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.declarations.mart import Column, Mart

SQL = sql_file.statements(__file__)

SCHEMA = "store"  # the schema of the tables
SHOWN = "mart"  # the schema of the views that people read


def marts(connection: psycopg.Connection, *, without: Iterable[str] = ()) -> list[Mart]:
    """Return all tables in `store` as marts, `without` those of some names. The group is that of its policy, or ''
    without one. The day is the column that it is partitioned by, or else the only date in its key.
    """
    wanted = {"schema": SCHEMA, "without": list(without)}
    return [
        # Not validated: a table need not meet the rules for declarations.
        Mart.model_construct(
            name=name,
            group=group or "",
            key=tuple(key),
            day=day,
            declared=tuple(
                Column.model_construct(name=column, data_type=data_type) for column, data_type in columns
            ),
            ratios=ratios,
        )
        for name, group, key, day, columns, ratios in connection.execute(SQL["marts"], wanted)
    ]


def of_customers(connection: psycopg.Connection) -> list[Mart]:
    """The tables with rows of customers. A table without a customer is not one of callmart's."""
    return [mart for mart in marts(connection) if "customer_id" in mart.columns]


def day_of(mart: Mart, *of_table: str) -> sql.Composable:
    """The day of a mart's row. A mart without days has one, -infinity."""
    return sql.Identifier(*of_table, mart.day) if mart.day else sql.SQL("'-infinity'::date")


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
            other=sql.Identifier(*other.table.split(".")),
            equal=sql.SQL(" and ").join(
                sql.SQL("r.{0} = t.{0}").format(sql.Identifier(column)) for column in key
            ),
            kept=kept.format(day=sql.Identifier("r", str(other.day))),
        )
        for other in referring
    )


def undeclared(connection: psycopg.Connection, declared: Iterable[Mart]) -> list[Mart]:
    """The tables that no mart of the project declares."""
    return marts(connection, without=(mart.name for mart in declared))


def views(connection: psycopg.Connection, *names: str) -> list[tuple[str, str, bool]]:
    """The views that read one of these marts or a month of it, directly or through other views: mart, view, and whether
    it is callmart's.
    """
    return connection.execute(SQL["views"], {"schema": SCHEMA, "marts": list(names)}).fetchall()


def are_as_declared(connection: psycopg.Connection, declared: Iterable[Mart]) -> bool:
    """Whether every mart has a table with the columns, key, group and day that it declares."""
    there = {mart.name: _shape(mart) for mart in marts(connection)}
    return all(there.get(mart.name) == _shape(mart) for mart in declared)


def _shape(mart: Mart) -> tuple[object, ...]:
    return mart.types, mart.key, mart.group, mart.day


def becomes(connection: psycopg.Connection, name: str, declared: Iterable[Mart]) -> Mart | None:
    """The mart that a table is declared to be now, if `callmart upgrade` has not renamed the table yet. None if the
    mart has a table, or another one of its former names: then a person has to decide which holds the history.
    """
    renamed, tables = _renamed(connection, name, declared)
    return renamed if tables == {name} else None


def _renamed(
    connection: psycopg.Connection, name: str, declared: Iterable[Mart]
) -> tuple[Mart | None, set[str]]:
    """The mart that had a table's name, if one had, and all tables that have one of its names."""
    renamed = next((mart for mart in declared if name in mart.renamed_from), None)
    names = {renamed.name, *renamed.renamed_from} if renamed else set()
    return renamed, names & {mart.name for mart in marts(connection)}


def remark(connection: psycopg.Connection, mart: Mart, declared: Iterable[Mart]) -> str:
    """The message about a table that no mart declares, with the remedy."""
    renamed, tables = _renamed(connection, mart.name, declared)
    if renamed and tables == {mart.name}:
        return f"{SHOWN}.{mart.name} is declared as {renamed.name} now: back up, then run `callmart upgrade`"
    if renamed:
        both = " and ".join(f"{SHOWN}.{one}" for one in sorted(tables))
        return (
            f"{both} have names of one mart, {renamed.name}: look which holds the history, and remove the other with "
            "`callmart retire`, then run `callmart upgrade`"
        )
    return (
        f"{SHOWN}.{mart.name} is no longer declared by the project: "
        f"put its files back, or run `callmart retire {mart.name}`"
    )
