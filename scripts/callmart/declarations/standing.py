"""Standing: the marts' tables as the catalogue has them, whether the project still declares them or not.

What keeps the promises (expiry, contracts) goes by these: a mart whose files were taken away keeps its rows.
"""

from collections.abc import Iterable

import psycopg

from callmart.base import sql_file
from callmart.declarations.dbt_project import Column, Mart

SQL = sql_file.statements(__file__)

SCHEMA = "store"  # in which the tables stand
SHOWN = "mart"  # in which people read them


def marts(connection: psycopg.Connection) -> list[Mart]:
    """All tables among the marts. The group is that of its policy, '' where it has none; the day is what it is
    partitioned by, or else the one date in its key.
    """
    return [
        # As it stands, whatever a declaration would have to say.
        Mart.model_construct(
            name=name,
            group=group or "",  # type: ignore[arg-type]
            key=tuple(key),
            day=day,
            declared=tuple(Column(name=column, data_type=data_type) for column, data_type in columns),
        )
        for name, group, key, day, columns in connection.execute(SQL["marts"], {"schema": SCHEMA})
    ]


def of_customers(connection: psycopg.Connection) -> list[Mart]:
    """The tables that hold customers' rows: a table without customers among the marts is none of callmart's."""
    return [mart for mart in marts(connection) if "customer_id" in mart.columns]


def undeclared(connection: psycopg.Connection, declared: Iterable[Mart]) -> list[Mart]:
    """The tables that no mart of the project declares."""
    names = {mart.name for mart in declared}
    return [mart for mart in marts(connection) if mart.name not in names]


def are_as_declared(connection: psycopg.Connection, declared: Iterable[Mart]) -> bool:
    """Whether every mart has its table, with the columns, the key, the group and the day that it declares."""
    there = {mart.name: _shape(mart) for mart in marts(connection)}
    return all(there.get(mart.name) == _shape(mart) for mart in declared)


def _shape(mart: Mart) -> tuple[object, ...]:
    return mart.types, mart.key, mart.group, mart.day


def remark(mart: Mart) -> str:
    """What is said of a table that no mart declares."""
    return (
        f"{SHOWN}.{mart.name} is not declared by the project any more: "
        f"put its files back, or run `callmart retire {mart.name}`"
    )
