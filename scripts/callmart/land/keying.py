"""Replaces persons by keys, and gives each event a key of its own. The work is done in SQL, in DuckDB."""

import duckdb

from callmart.base import sql_file
from callmart.base.raw_format import EVENT_COLUMNS

SQL = sql_file.statements(__file__)

# An event without an event_id is identified by all its stored columns. The separator is safe: no text is empty or
# holds a control character. A status is identified by the source's word, as the registry can change how it is stored.
_CONTENT = ", chr(31), ".join(
    (
        "customer_id",
        "epoch_us(occurred_at)",
        *(
            "coalesce(word_key, reason)" if name == "reason" else name
            for name in EVENT_COLUMNS.names[EVENT_COLUMNS.names.index("platform") :]
            if name != "line_number"
        ),
    )
)


def keyed_events(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return the judged rows of a batch: the columns of EVENT_SCHEMA, and `fault`, `nameable` and `agent`.

    The relation is a query; it is evaluated anew for each batch.
    """
    connection.execute(SQL["macros"])
    return connection.sql(SQL["keyed_events"].format(content=_CONTENT))
