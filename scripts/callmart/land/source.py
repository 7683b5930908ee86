"""A file that was opened: what it is, what it may hold, and what its reader has met in it so far."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from callmart.base.errors import UserError
from callmart.base.raw_format import SOURCE_COLUMNS, SOURCE_SCHEMA

Form = Literal["csv", "ndjson", "parquet", "queue_log", "queue_log_realtime", "cel"]


@dataclass(frozen=True)
class Limits:
    """What a file may hold at most, unpacked: a few kilobytes can unpack to hundreds of millions of rows."""

    rows: int  # lines of a text file, whatever stands on them
    gib: float
    rejects: int


@dataclass
class Tally:
    """What a reader has met so far; complete once the last batch has been taken."""

    rows: int = 0  # lines with something on them (without a header), or rows of Parquet
    incomplete_last_line: bool = False
    rejects: list[pa.Table] = field(default_factory=list)  # line_number, reason
    rejected: int = 0

    def reject(
        self, line_numbers: pa.Array | pa.ChunkedArray, reason: str | pa.Array | pa.ChunkedArray
    ) -> None:
        """Note rows as rejected, for one reason or for a reason each."""
        if len(line_numbers):
            reasons = pa.repeat(reason, len(line_numbers)) if isinstance(reason, str) else reason
            self.rejected += len(line_numbers)
            self.rejects.append(pa.table({"line_number": line_numbers, "reason": reasons}))


class UnknownVerbs(Counter[str]):
    """The verbs of a log that callmart does not know; after so many different ones, the rest as `other`."""

    MOST = 100

    def note(self, verb: str, times: int) -> None:
        """Count a verb."""
        self[verb if verb in self or len(self) < self.MOST else "other"] += times


@dataclass(frozen=True)
class Source:
    """An opened file; `readers.batches` reads it."""

    path: Path
    form: Form
    header: tuple[str, ...] | None  # the columns of CSV and Parquet
    compression: str | None
    limits: Limits
    connection: duckdb.DuckDBPyConnection
    tally: Tally = field(default_factory=Tally)

    def stay_within(self, rows: int, size: int) -> None:
        """Raise UserError where the file has turned out to hold more than it may, in so many rows and bytes."""
        for held, most, unit, remedy in (
            (rows, self.limits.rows, "rows", "deliver it in parts, or raise max_file_rows"),
            (size / (1 << 30), self.limits.gib, "GiB unpacked", "deliver it in parts, or raise max_file_gib"),
            (
                self.tally.rejected, self.limits.rejects, "rows that can't be landed",
                "correct it, or raise max_reject_share or max_file_rows",
            ),
        ):  # fmt: skip
            if held > most:
                raise UserError(f"{self.path} holds more than {most:,} {unit}: {remedy} in callmart.toml")


def broken(path: Path) -> UserError:
    """The file can't be read to its end."""
    return UserError(f"{path} is damaged or breaks off; deliver it again, whole")


def as_source(table: pa.Table) -> pa.Table:
    """All columns of SOURCE_SCHEMA; null where the table has none."""
    return pa.table(
        {
            column: table[column] if column in table.column_names else pa.nulls(table.num_rows, pa.string())
            for column in ("line_number", *SOURCE_COLUMNS)
        },
        schema=SOURCE_SCHEMA,
    )
