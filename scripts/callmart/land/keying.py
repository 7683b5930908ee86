"""Replaces persons by keys, and gives each event a key of its own. The work is done in SQL, in DuckDB."""

import duckdb

from callmart.base import sql_file
from callmart.land.judging import JUDGED

SQL = sql_file.statements(__file__)


def keyed_events(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return the judged rows of a batch: the columns of EVENT_SCHEMA, and `fault`, `nameable` and `agent`.

    The relation is a query; it is evaluated anew for each batch.
    """
    connection.execute(SQL["macros"])
    return connection.sql(SQL["keyed_events"].format(judged=JUDGED))
