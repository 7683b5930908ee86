"""An opened file: its format, its limits, and the reader's counters."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import duckdb
import pyarrow as pa

from callmart.base.errors import UserError, kind
from callmart.base.raw_format import SOURCE_COLUMNS, SOURCE_SCHEMA

Form = Literal["csv", "ndjson", "parquet", "queue_log", "queue_log_realtime", "cel"]


@dataclass(frozen=True)
class Limits:
    """The most that a file may hold, unpacked: a few kilobytes can unpack to hundreds of millions of rows."""

    rows: int  # for a text file lines, including empty ones
    gib: float
    rejects: int


@dataclass
class Tally:
    """A reader's counters. They are complete once the last batch has been consumed."""

    rows: int = 0  # non-empty lines without the header, or rows of Parquet
    incomplete_last_line: bool = False
    rejects: list[pa.Table] = field(default_factory=list)  # line_number, reason
    rejected: int = 0

    def reject(
        self, line_numbers: pa.Array | pa.ChunkedArray, reason: str | pa.Array | pa.ChunkedArray
    ) -> None:
        """Note rows as rejected, with one reason for all or one reason per row."""
        if len(line_numbers):
            reasons = pa.repeat(reason, len(line_numbers)) if isinstance(reason, str) else reason
            self.rejected += len(line_numbers)
            self.rejects.append(pa.table({"line_number": line_numbers, "reason": reasons}))


class UnknownVerbs(Counter[str]):
    """Counts a log's verbs that callmart does not know: MOST of them by name, any further ones as `other`."""

    MOST = 100

    def note(self, verb: str, times: int) -> None:
        """Add `times` occurrences of a verb."""
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
        """Raise UserError if the rows, the unpacked bytes (`size`) or the rejects so far exceed a limit."""
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


@dataclass(frozen=True)
class Look:
    """What a file was at a moment. If two looks are equal, nobody has written to the file or replaced it between."""

    place: tuple[int, int]
    size: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """Return the look for what the system says of a file."""
        return cls((found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)

    def grew_from(self, earlier: Self) -> bool:
        """Whether this is the same file as earlier, with at least as much in it, as of a log that is written to."""
        return self.place == earlier.place and self.size >= earlier.size


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error for a file or folder that can't be read."""
    return UserError(
        f"{path} can't be read ({kind(error)}); give this user read permission, or deliver the whole file again"
    )


def broken(path: Path) -> UserError:
    """Return the error for a file that can't be read to its end."""
    return UserError(f"{path} is damaged or breaks off; deliver the whole file again")


def as_source(table: pa.Table) -> pa.Table:
    """Return the table with all columns of SOURCE_SCHEMA; null where it has no such column."""
    return pa.table(
        {
            column: table[column] if column in table.column_names else pa.nulls(table.num_rows, pa.string())
            for column in ("line_number", *SOURCE_COLUMNS)
        },
        schema=SOURCE_SCHEMA,
    )
