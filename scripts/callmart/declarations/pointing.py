"""Whom the columns of the database point to. The catalogue has it, in the comments of all columns: of dbt's models from
their YAML, of all other tables and views from database/objects/persons.sql.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from callmart.base import declared, sql_file
from callmart.base.errors import UserError
from callmart.base.matrix import USAGE, matrix
from callmart.database import schema
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)

FILE = declared.in_project(Path(schema.__file__).with_name("objects") / "persons.sql")
MODELS = ("build", "store", "mart", "usage")  # the schemas of what dbt makes


def refuse_undeclared(connection: psycopg.Connection, *, of_models: bool = True) -> None:
    """Raise UserError if there is an undeclared column."""
    if found := undeclared(connection, of_models=of_models):
        raise UserError("; ".join(found))


def undeclared(connection: psycopg.Connection, *, of_models: bool = True) -> list[str]:
    """A sentence per column that does not say whom it points to, or points to a person that its mart may not show.
    `of_models` includes what dbt makes.
    """
    found = []
    for place, column, said, group in connection.execute(SQL["undeclared"]):
        if place in MODELS and not of_models:
            continue
        if group:
            remedy = (
                "drop the column"
                if group in {*matrix().groups, USAGE}
                else "bring the group back into access.yml, `callmart retire` its marts, then take the group away again"
            )
            found.append(
                f"the column {column} points to {said}, whom a mart of the group {group} may not show: {remedy}"
            )
            continue
        where = (
            "in the YAML of its model, and build it again"
            if place in MODELS
            else f"in {FILE}, and run `callmart upgrade`"
        )
        found.append(f"the column {column} does not say whom it points to: drop it, or say so {where}")
    return found


def differing(connection: psycopg.Connection, marts: Iterable[Mart]) -> Iterator[tuple[str, sql.Composed]]:
    """The marts' tables whose columns do not point to whom their YAML says, and the statements that correct that."""
    said: dict[str, dict[str, str]] = dict(connection.execute(SQL["said"]).fetchall())
    for mart in marts:
        there = said.get(mart.table, {})  # a mart that was not built yet has none
        if any(there[name] != person for name, person in _declared(mart).items() if name in there):
            repair = sql.SQL("select access.declare_persons(to_regclass({}), {})")
            yield mart.table, repair.format(mart.table, Jsonb(_declared(mart)))


def declare(connection: psycopg.Connection, marts: Iterable[Mart]) -> None:
    """Write into the comments of the marts' tables whom their columns point to, as their YAML says."""
    declared = {mart.table: Jsonb(_declared(mart)) for mart in marts}
    connection.execute(
        "select access.declare_persons(to_regclass(relation), persons)"
        " from unnest(%s::text[], %s::jsonb[]) as m (relation, persons)",
        [list(declared), list(declared.values())],
    )


def _declared(mart: Mart) -> dict[str, str | None]:
    """Whom the columns point to; None if a column does not say it and need not."""
    return {column.name: column.person for column in mart.declared}
