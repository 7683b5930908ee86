"""Converts the times of Asterisk's logs to instants: epoch seconds with or without a fraction, or local times."""

from collections.abc import Mapping
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import sql_file
from callmart.land.source import Tally, reject

EPOCH_TIME = r"\d{1,10}(\.\d{1,6})?"

SQL = sql_file.statements(__file__)


class Times:
    """Reads the times of logs, batch by batch. It remembers the latest local time of a file that comes in several."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, tallies: Mapping[int, Tally], time_zone: str | None
    ) -> None:
        """`time_zone` applies to local times; it is None for logs with epoch seconds."""
        self._connection = connection
        self._tallies = tallies
        self._time_zone = time_zone
        self._latest: dict[int, datetime] = {}  # by file

    def read(self, rows: pa.Table) -> pa.Table:
        """Return the rows with `occurred_at` in place of `time`. Rows without a readable time are rejected.

        An Asterisk `callid` contains the second in which the call began; that helps where a local time is ambiguous.
        """
        self._connection.register("log_rows", rows)
        if self._time_zone is None:
            timed = self._connection.sql(SQL["epoch_times"].format(epoch_time=EPOCH_TIME)).to_arrow_table()
        else:
            numbers = pc.unique(rows["file_number"]).to_pylist()
            # Of several files each is there as a whole.
            before = self._latest.get(numbers[0]) if len(numbers) == 1 else None
            now = {"zone": self._time_zone, "latest": before}
            timed = self._connection.sql(SQL["local_times"], params=now).to_arrow_table()
            for number in numbers:
                self._tallies[number].time_zone = self._time_zone
            latest = max(filter(None, (before, pc.max(timed["occurred_at"]).as_py())), default=None)
            if len(numbers) == 1 and latest:
                self._latest[numbers[0]] = latest
        self._connection.unregister("log_rows")
        readable = pc.is_valid(timed["occurred_at"])
        reject(self._tallies, timed.filter(pc.invert(readable)), "the time can't be read")
        return timed.filter(readable)
