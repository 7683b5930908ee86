"""Computes models in temporary tables: nobody else sees them, and a build that is at work meanwhile is not disturbed.
They end with the caller's transaction, which is rolled back.
"""

from collections.abc import Iterable

import psycopg

from callmart.declarations.dbt_project import Compiled

SCHEMA = "pg_temp"


def make_window(connection: psycopg.Connection) -> None:
    """Make a window of its own, for the days to compute."""
    connection.execute('create temporary table "window" (like build."window" including defaults)')


def compute(connection: psycopg.Connection, models: Iterable[Compiled]) -> None:
    """Compute models, each after those that it reads. In their SQL, `SCHEMA` is the schema in which builds compute."""
    for model in models:
        kind = "view" if model.is_view else "table"
        connection.execute(f'create temporary {kind} "{model.name}" as {model.sql}'.encode())
        if not model.is_view:
            connection.execute(f'analyze {SCHEMA}."{model.name}"'.encode())
