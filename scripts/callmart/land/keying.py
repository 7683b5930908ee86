"""Replaces persons by keys, and gives each event a key of its own. The work is done in SQL, in DuckDB."""

import duckdb
import pyarrow as pa

from callmart.base import duck, sql_file
from callmart.land.judging import JUDGED, MACROS

SQL = sql_file.statements(__file__)


def connect() -> duckdb.DuckDBPyConnection:
    """A connection that knows the macros for judging rows and for computing keys."""
    return duck.connect(MACROS, SQL["macros"])


def keyed_events(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return the judged rows of a batch: the columns of EVENT_SCHEMA, and `fault`, `nameable` and `agent`. Their keys
    have the first layer of the customer's key.

    The relation is a query; it is evaluated anew for each batch.
    """
    return connection.sql(SQL["keyed_events"].format(judged=JUDGED))


def with_layer(connection: duckdb.DuckDBPyConnection, events: pa.Table, layer: pa.Table) -> pa.Table:
    """Return events with one more layer on their keys, as gate.added_layers has it. They have a column `erased`."""
    connection.register("admitted", events)
    connection.register("layer", layer)
    return connection.sql(SQL["with_layer"]).to_arrow_table().cast(events.schema)
