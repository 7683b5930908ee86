"""An opened file: its format, its limits, and what was found out about it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from callmart.base.errors import UserError
from callmart.base.raw_format import PLACE_SCHEMA, SOURCE_SCHEMA
from callmart.land.found import Found
from callmart.land.gate import Defaults

QUEUE_LOGS = ("queue_log", "queue_log_realtime")
LOGS = (*QUEUE_LOGS, "cel")
Form = Literal["csv", "ndjson", "parquet", "queue_log", "queue_log_realtime", "cel"]
REJECT_SCHEMA = pa.schema([*PLACE_SCHEMA, ("reason", pa.string())])


@dataclass(frozen=True)
class Limits:
    """The most that a file may hold, unpacked: a few kilobytes can unpack to hundreds of millions of rows."""

    rows: int  # for a text file lines, including empty ones
    gib: float
    rejects: int  # of any file
    reject_share: float  # of the file's rows, without those that are turned away or wait


class UnknownVerbs(Counter[str]):
    """Counts a log's verbs that callmart does not know: MOST of them by name, any further ones as `other`."""

    MOST = 100

    def note(self, verb: str, times: int) -> None:
        """Add `times` occurrences of a verb."""
        self[verb if verb in self or len(self) < self.MOST else "other"] += times


@dataclass
class Tally:
    """What was found out about a file. The counters are complete once its last batch has been consumed. Only one thread
    adds to each, as adding is no single step.
    """

    rows: int = 0  # non-empty lines without the header, or rows of Parquet
    incomplete_last_line: bool = False
    time_zone: str | None = None  # in which its local times are read, if it has some
    rejects: list[pa.Table] = field(default_factory=list)  # by REJECT_SCHEMA; several threads append
    # By customer. The key None counts the rows of customers that the registry does not know.
    turned_away_by: Counter[int | None] = field(default_factory=Counter)
    waiting_by: Counter[int] = field(default_factory=Counter)  # rows of customers whose key can't be read
    erased: int = 0  # events that were left out because their agent was erased
    unknown_verbs: UnknownVerbs = field(default_factory=UnknownVerbs)
    refusal: UserError | None = None  # why the file does not land

    @property
    def rejected(self) -> int:
        """The number of rejected rows."""
        return sum(rows.num_rows for rows in self.rejects)

    @property
    def turned_away(self) -> int:
        """The number of rows without a contract on their day."""
        return self.turned_away_by.total()

    @property
    def waiting(self) -> int:
        """The number of rows that land when the keys of their customers are back."""
        return self.waiting_by.total()


def reject(tallies: Mapping[int, Tally], rows: pa.Table, reason: str | pa.Array | pa.ChunkedArray) -> None:
    """Note rows as rejected, with one reason for all or one reason per row. `rows` has PLACE_SCHEMA, `tallies` those of
    the files by their numbers.
    """
    if not rows.num_rows:
        return
    reasons = pa.repeat(reason, rows.num_rows) if isinstance(reason, str) else reason
    found = rows.select(PLACE_SCHEMA.names).append_column("reason", reasons).cast(REJECT_SCHEMA)
    for number in pc.unique(found["file_number"]).to_pylist():
        of_file = found if len(tallies) == 1 else found.filter(pc.equal(found["file_number"], number))
        tallies[number].rejects.append(of_file)


class Footer(NamedTuple):
    """What a Parquet file says of itself at its end."""

    schema: pa.Schema
    rows: int
    sizes: tuple[int, ...]  # of the row groups, unpacked


@dataclass(frozen=True)
class Source:
    """An opened file; `readers.batches` reads it."""

    found: Found
    number: int  # among the files that land together
    blocks: float  # that its rows fill; only known of a file that was read
    form: Form
    header: tuple[str, ...] | None  # the columns of CSV and Parquet
    compression: str | None
    limits: Limits
    footer: Footer | None = None  # of Parquet
    tally: Tally = field(default_factory=Tally)

    @property
    def is_small(self) -> bool:
        """Whether all its rows are judged at once. A larger file lands alone."""
        return self.found.data is not None and self.blocks <= 1

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.found.delivery.path

    @property
    def defaults(self) -> Defaults:
        """What applies to all its rows."""
        return self.found.delivery.defaults

    def open(self) -> pa.NativeFile:
        """The unpacked bytes as a stream."""
        return pa.input_stream(packed(self.found), compression=self.compression)

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


def packed(found: Found) -> Path | pa.BufferReader:
    """What to read a file from: the bytes that were found, or the opened file if they are too many."""
    return Path(f"/dev/fd/{found.file.fileno()}") if found.data is None else pa.BufferReader(found.data)


def refuse_many_rejects(source: Source) -> None:
    """Refuse a file, in its Tally, if too many of its rows are rejected. All its rows have been judged."""
    tally, share = source.tally, source.limits.reject_share
    admitted = tally.rows - tally.turned_away - tally.waiting
    if tally.refusal is None and tally.rejected > share * admitted:
        first = min(tally.rejects, key=lambda rows: rows["line_number"][0].as_py()).slice(0, 1).to_pylist()[0]
        tally.refusal = UserError(
            f"{source.path}: {tally.rejected} of {admitted} rows can't be landed "
            f"(first line {first['line_number']}: {first['reason']}), more than the share of "
            f"{share * 100:g}%: correct the file, or raise max_reject_share in callmart.toml"
        )


def broken(path: Path) -> UserError:
    """Return the error for a file that can't be read to its end."""
    return UserError(f"{path} is damaged or breaks off; deliver the whole file again")


def as_source(table: pa.Table) -> pa.Table:
    """Return the table with all columns of SOURCE_SCHEMA; null where it has no such column."""
    return pa.table(
        {
            column: table[column] if column in table.column_names else pa.nulls(table.num_rows, pa.string())
            for column in SOURCE_SCHEMA.names
        },
        schema=SOURCE_SCHEMA,
    )
