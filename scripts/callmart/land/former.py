"""Keeps the keys of events without an event_id. Such an event is known by all that it says, and version 0.2.0 read some
of that otherwise. If the event comes again it has to be the same one, so its key is that of the former reading.

Rows that were read otherwise are judged once more, by that reading, and only the key is taken from there. All others
cost a look.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property, reduce

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import sql_file
from callmart.base.raw_format import FORMER_COLUMNS
from callmart.land import judging
from callmart.land.keying import connect, keyed_events

SQL = sql_file.statements(__file__)

# What ends as a fraction does, and nine digits, which are a Dutch number without its 0 now. It takes some more texts.
_FRACTION = r"\.0+\s*$"
PERHAPS_OTHER_NUMBER = rf"^[^+0-9]*[1-9]([^0-9]*[0-9]){{8}}[^0-9]*$|{_FRACTION}"


class FormerKeys:
    """Gives events the keys that version 0.2.0 gave them. It opens DuckDB once there is such an event."""

    def __init__(self, rules: Mapping[str, pa.Table], latest: datetime) -> None:
        """`rules` and `latest` are those of judging.set_up."""
        self._rules = rules
        self._latest = latest

    @cached_property
    def _formerly(self) -> tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation]:
        """A connection that reads as version 0.2.0 did, and what it makes of its `source`."""
        connection = connect()
        judging.set_up(connection, self._rules, self._latest)
        connection.execute(SQL["macros"])
        return connection, keyed_events(connection)

    def given(self, judged: pa.Table, rows: pa.Table) -> pa.Table:
        """The judged rows of a batch with their former keys. `rows` is the batch, by SOURCE_SCHEMA."""
        read_otherwise = rows.filter(_perhaps_read_otherwise(rows))
        if not read_otherwise.num_rows:
            return judged
        connection, formerly = self._formerly
        connection.register("source", _as_written(read_otherwise))
        connection.register("formerly", formerly.to_arrow_table())
        connection.register("judged", judged)
        return connection.sql(SQL["with_former_keys"]).to_arrow_table()


def _perhaps_read_otherwise(rows: pa.Table) -> pa.ChunkedArray:
    """Whether version 0.2.0 may have read a row otherwise, and its event has no id."""
    marks = [
        *(pc.is_valid(rows[column]) for column in FORMER_COLUMNS if rows[column].null_count < rows.num_rows),
        _ends_as_fraction(rows["agent"]),
        *(
            pc.match_substring_regex(rows[column], PERHAPS_OTHER_NUMBER)
            for column in ("other_number", "target")
        ),
    ]
    has_no_id = pc.fill_null(pc.equal(rows["event_id"], ""), True)
    return pc.and_(reduce(pc.or_, (pc.fill_null(mark, False) for mark in marks)), has_no_id)


def _ends_as_fraction(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether an id ends as a fraction. Hardly any does, and to look for a text is quicker than for an expression."""
    perhaps = pc.match_substring(ids, ".0")
    return pc.match_substring_regex(ids, _FRACTION) if pc.any(perhaps).as_py() else perhaps


def _as_written(rows: pa.Table) -> pa.Table:
    """The rows as version 0.2.0 read them from their files."""
    written = {
        former.removeprefix("former_"): pc.coalesce(rows[former], rows[former.removeprefix("former_")])
        for former in FORMER_COLUMNS
    }
    return pa.table({name: written.get(name, rows[name]) for name in rows.column_names}, rows.schema)
