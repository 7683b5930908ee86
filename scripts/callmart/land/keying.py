"""Keys in place of persons, and an identity for each event that its source gave none. All of it is SQL, in DuckDB."""

import duckdb

from callmart.base import sql_file
from callmart.base.raw_format import EVENT_COLUMNS

SQL = sql_file.statements(__file__)

# What a row's identity is made of, where its source gave it none: every column that is stored. No text is empty or
# holds a control character. Of a status it is the source's word: what that is stored as, the registry can change.
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
    """The judged rows of a batch, by EVENT_SCHEMA and with `fault`, `nameable`, `agent`; asked anew of each batch."""
    connection.execute(SQL["macros"])
    return connection.sql(SQL["keyed_events"].format(content=_CONTENT))
