"""DuckDB macros for telephone numbers, so that every source and every request writes a number the same way.

is_withheld(number)         true for the words that telephone systems write instead of a withheld number
telephone_number(number)    the number in E.164, or a short number unchanged; null if the text is not a number
is_dialled(exten)           true if the agent dialled an outside number, not an extension
"""

import duckdb

from callmart.base import sql_file

SQL = sql_file.statements(__file__)


def define_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros, for this connection and its cursors."""
    connection.execute(SQL["macros"])
