"""Telephone numbers, as DuckDB macros, so that every source and every request spells one the same way.

is_withheld(number)         true for the words that telephone systems write in place of a withheld number
telephone_number(number)    E.164, or a short number as it is; null if the text is no number
is_dialled(exten)           true for what an agent dialled that is a number outside, not an extension
"""

import duckdb

from callmart.base import sql_file

SQL = sql_file.statements(__file__)


def define_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros, for this connection and its cursors."""
    connection.execute(SQL["macros"])
