"""Whom the columns in the catalogue point to."""

from typing import NamedTuple

import psycopg


class Column(NamedTuple):
    """A column of a table or view. If it points to several persons, there is one of these for each."""

    schema: str
    table: str
    column: str
    type: str
    person: str


def columns(connection: psycopg.Connection) -> list[Column]:
    """Every column that says whom it points to, nobody included, in the order of their names."""
    return [
        Column(*row)
        for row in connection.execute(
            "select schema_name, relation_name, column_name, data_type, person"
            " from access.pointing_column cross join unnest(persons) as person order by 1, 2, 3, 5"
        )
    ]
