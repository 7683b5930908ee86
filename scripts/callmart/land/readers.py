"""Open a file of any format: Arrow tables of text, each row with the number of its line.

A text file is read in blocks of whole lines, a Parquet file in batches of rows, so that memory does not grow
with the file. What can't be read becomes a reject (line number and reason, never contents) in the `Tally`.
"""

import csv as header_csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from callmart.base.errors import UserError
from callmart.base.raw_format import COLUMNS, LONGEST_TEXT, REQUIRED_COLUMNS, SOURCE_COLUMNS, SOURCE_SCHEMA

Form = Literal["csv", "ndjson", "parquet", "queue_log", "queue_log_realtime", "cel"]
FORMATS = ("auto", "csv", "ndjson", "parquet", "queue_log", "cel")

BLOCK = 4 << 20  # bytes of text at a time; also more than any line may have
ROWS = 1 << 15  # rows of Parquet at a time
ROW_GROUP = 1 << 30  # bytes of a row group of Parquet, unpacked; its pages are unpacked as a whole
CLIP = 4 * (LONGEST_TEXT + 1)  # bytes: a text that has more is too long, however much of it is looked at
DETECT = 64 << 10  # bytes that tell a file's format

REALTIME_COLUMNS = (
    "time",
    "callid",
    "queuename",
    "agent",
    "event",
    "data1",
    "data2",
    "data3",
    "data4",
    "data5",
)
# What other tables of the kind have besides; of no use here.
REALTIME_IGNORED = ("id", "serverid", "created")
LOG_COLUMNS = ("time", "callid", "queue", "agent", "event", "data")

# The channel event log as Asterisk's own example writes it: Master.csv, which has no header.
CEL_COLUMNS = (
    "eventtype",
    "eventtime",
    "cid_name",
    "cid_num",
    "cid_ani",
    "cid_rdnis",
    "cid_dnid",
    "exten",
    "context",
    "channame",
    "appname",
    "appdata",
    "amaflags",
    "accountcode",
    "uniqueid",
    "linkedid",
    "peer",
    "userfield",
    "userdeftype",
    "eventextra",
)
# What callmart reads of it; of an export with a header, these must be there.
CEL_READ = (
    "eventtype", "eventtime", "channame", "appname", "appdata", "uniqueid", "linkedid", "userdeftype", "eventextra",
)  # fmt: skip
CEL_IGNORED = ("id", "eventname", "peeraccount")  # what tables of it have besides

_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_LOG_LINE = re.compile(r"\d{1,10}\|[^|]*\|[^|]*\|[^|]*\|")
_CEL_TYPE = re.compile(r"[A-Z][A-Z0-9_]{1,39}")
_CEL_TIME = re.compile(r"\d{9,10}(\.\d{1,6})?|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?")
_COLUMN_NAME = re.compile(r"[A-Za-z]\w{0,40}")
_WELL_QUOTED = r'^("([^"]|"")*"|[^",]*)(,("([^"]|"")*"|[^",]*))*$'


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
    """An opened file; `batches` yields SOURCE_SCHEMA, for a log line_number and LOG_COLUMNS or CEL_READ."""

    path: Path
    form: Form
    header: tuple[str, ...] | None  # the columns of CSV and Parquet
    compression: str | None
    limits: Limits
    connection: duckdb.DuckDBPyConnection
    tally: Tally = field(default_factory=Tally)

    def batches(self) -> Iterator[pa.Table]:
        """The rows, once; a file that breaks off, can't be decompressed or holds too much is a UserError."""
        match self.form:
            case "parquet":
                return _parquet(self)
            case "csv":
                return (_canonical(table) for table in _csv(self, _lines(self)))
            case "ndjson":
                return _ndjson(self, _lines(self))
            case "queue_log":
                return _queue_log(self, _lines(self))
            case "queue_log_realtime":
                return (_log_of_realtime(table) for table in _csv(self, _lines(self)))
            case "cel":
                return (table.select(["line_number", *CEL_READ]) for table in _csv(self, _lines(self)))


def open_source(path: Path, format: str, limits: Limits, connection: duckdb.DuckDBPyConnection) -> Source:
    """Find out what a file is, by its contents, and whether it is what `format` says.

    `connection` is a DuckDB connection of this process alone; it holds nothing afterwards.
    """
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not known; use one of {', '.join(FORMATS)}")
    start, compression = _start(path)
    if start.startswith(b"PAR1"):
        if format not in ("auto", "parquet"):
            raise UserError(f"{path} is a Parquet file, not {format}; use --format parquet or auto")
        return Source(path, "parquet", _parquet_header(path), compression, limits, connection)
    if format == "parquet":
        raise UserError(f"{path} is not a Parquet file; use --format auto")
    lines = _first_lines(path, start)
    form, header = _text_form(path, format, lines)
    return Source(path, form, header, compression, limits, connection)


# -- What is it?


def _start(path: Path) -> tuple[bytes, str | None]:
    """The first bytes of a file, decompressed, and its compression."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file in it")
    try:
        with path.open("rb") as file:
            start = file.read(DETECT)
        compression = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
        if compression:
            with pa.input_stream(path, compression=compression) as stream:
                start = stream.read(DETECT)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the name") from None
    except PermissionError:
        raise UserError(f"{path} may not be read by this user; give it the right to") from None
    except (OSError, EOFError):
        raise _broken(path) from None
    if not start.strip(b"\xef\xbb\xbf\r\n"):
        raise UserError(f"{path} is empty; deliver it again, or leave it out")
    return start, compression


def _first_lines(path: Path, start: bytes) -> list[str]:
    """The lines in the first bytes of a text file; a UserError for everything that is no UTF-8 text."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path} is UTF-16; save it as UTF-8")
    lines = start.removeprefix(b"\xef\xbb\xbf").splitlines()
    first = next(line for line in lines if line)
    if b"\0" in first or start.startswith(b"PK\x03\x04"):
        raise UserError(f"{path} is a binary file, or UTF-16; deliver UTF-8 text or Parquet")
    return [line.decode(errors="replace") for line in lines if line]


def _text_form(path: Path, format: str, lines: list[str]) -> tuple[Form, tuple[str, ...] | None]:
    """Which text format these first lines are, and the header of the CSV forms."""
    first = lines[0]
    found: Form | None = None
    header: tuple[str, ...] = ()
    if first.startswith("{"):
        found = "ndjson"
    elif any(_LOG_LINE.match(line) for line in lines[:20]):
        found = "queue_log"
    elif "," in first:
        header = tuple(next(header_csv.reader([first])))
        if {"time", "callid", "queuename", "event"} <= set(header):
            found = "queue_log_realtime"
        elif {"eventtype", "eventtime", "linkedid"} <= set(header):
            found = "cel"
            header = tuple(
                "eventextra" if column == "extra" else column for column in header
            )  # as tables have it
        elif _is_cel_row(header):
            found, header = "cel", ()
        elif {*COLUMNS} & {*header} or format == "csv":
            found = "csv"
    if found is None:
        raise UserError(
            f"{path}: its first line is no header of the raw format, no JSON object and no line of a "
            "queue_log or a channel event log; deliver one of these, with commas between columns and one object a line"
        )
    named = "queue_log" if found == "queue_log_realtime" else found
    if format not in ("auto", named):
        raise UserError(f"{path} is {named}, not {format}; use --format {named} or auto")
    if found == "csv":
        _check_header(path, header, COLUMNS, REQUIRED_COLUMNS)
    elif found == "queue_log_realtime":
        _check_header(path, header, (*REALTIME_COLUMNS, *REALTIME_IGNORED), REALTIME_COLUMNS)
    elif header and found == "cel":
        _check_header(path, header, (*CEL_COLUMNS, *CEL_IGNORED), CEL_READ)
    return found, header or None


def _is_cel_row(values: tuple[str, ...]) -> bool:
    """Whether a first line without a header is one of a channel event log."""
    return (
        len(values) == len(CEL_COLUMNS)
        and _CEL_TYPE.fullmatch(values[0]) is not None
        and _CEL_TIME.fullmatch(values[1]) is not None
    )


def _check_header(path: Path, header: tuple[str, ...], known: Iterable[str], required: Iterable[str]) -> None:
    """Each column known, once, and all required ones there; else a UserError."""
    missing = [column for column in required if column not in header]
    for position, column in enumerate(header, start=1):
        if column not in known:
            # Without the required columns this may be a row, not a header: then it isn't repeated.
            name = f" ({column})" if not missing and _COLUMN_NAME.fullmatch(column) else ""
            raise UserError(
                f"{path}: column {position} of the header{name} is not known; rename or remove it; "
                f"known are {', '.join(known)}"
            )
        if column in header[: position - 1]:
            raise UserError(f"{path}: column {position} of the header ({column}) is there twice; remove one")
    if missing:
        raise UserError(f"{path} has no column {missing[0]}; add it to the header and the rows")


def _broken(path: Path) -> UserError:
    return UserError(f"{path} is damaged or breaks off; deliver it again, whole")


def _stay_within(source: Source, rows: int, size: int) -> None:
    """Raise UserError where a file has turned out to hold more than it may, in so many rows and bytes."""
    for held, most, unit, remedy in (
        (rows, source.limits.rows, "rows", "deliver it in parts, or raise max_file_rows"),
        (size / (1 << 30), source.limits.gib, "GiB unpacked", "deliver it in parts, or raise max_file_gib"),
        (
            source.tally.rejected, source.limits.rejects, "rows that can't be landed",
            "correct it, or raise max_reject_share or max_file_rows",
        ),
    ):  # fmt: skip
        if held > most:
            raise UserError(f"{source.path} holds more than {most:,} {unit}: {remedy} in callmart.toml")


# -- Text: whole, clean lines


def _lines(source: Source) -> Iterator[pa.Table]:
    """Blocks of (line_number, text): whole lines without their ends; empty ones left out."""
    line_number = 1
    size = 0
    rest = b""
    try:
        with pa.input_stream(source.path, compression=source.compression) as stream:
            while block := stream.read(BLOCK):
                size += len(block)
                _stay_within(source, line_number - 1 + block.count(b"\n"), size)
                whole, end, rest = (rest + block).rpartition(b"\n")
                if not end:
                    if len(rest) > BLOCK:
                        raise UserError(
                            f"{source.path}, line {line_number} is longer than {BLOCK >> 20} MiB; "
                            "deliver text with line ends"
                        )
                    continue
                if line_number == 1:
                    whole = whole.removeprefix(b"\xef\xbb\xbf")
                yield _clean(source, whole, line_number)
                line_number += whole.count(b"\n") + 1
    except (OSError, EOFError):
        raise _broken(source.path) from None
    if rest and source.compression:
        raise UserError(f"{source.path}, line {line_number} breaks off; deliver the file again, whole")
    source.tally.incomplete_last_line = bool(rest)


def _clean(source: Source, block: bytes, first: int) -> pa.Table:
    lines = pa.array(block.split(b"\n"), pa.binary())
    numbers = pa.arange(first, first + len(lines))
    table = pa.table({"line_number": numbers, "text": _text(source.connection, lines)})
    if table["text"].null_count:
        unreadable = pc.is_null(table["text"])
        source.tally.reject(table.filter(unreadable)["line_number"], "the line is not UTF-8 text")
        source.tally.rows += pc.sum(unreadable).as_py()
    if b"\r" in block:
        table = table.set_column(1, "text", pc.ascii_rtrim(table["text"], characters="\r"))
    table = table.filter(pc.greater(pc.binary_length(table["text"]), 0))
    source.tally.rows += table.num_rows
    return table


def _text(connection: duckdb.DuckDBPyConnection, lines: pa.Array) -> pa.Array:
    """The bytes as text; null where they are not UTF-8 or hold a NUL."""
    try:
        text = lines.cast(pa.string())
    except pa.ArrowInvalid:
        undecoded = pa.table({"line": lines})
        connection.register("undecoded", undecoded)
        text = connection.sql("select try(decode(line)) as text from undecoded").to_arrow_table()["text"]
        connection.unregister("undecoded")
    holds_nul = pc.match_substring(text, "\0")
    return pc.if_else(holds_nul, None, text) if pc.any(holds_nul).as_py() else text


# -- The formats


def _csv(source: Source, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows of a CSV file by the names in its header; quoting as in RFC 4180, but a row is one line."""
    names = source.header or CEL_COLUMNS
    header_read = source.header is None
    for block in blocks:
        lines = block
        if not header_read and lines.num_rows:
            header_read = True
            source.tally.rows -= 1
            lines = lines.slice(1)
        # A quote left open would swallow the lines after it, and a lone CR would split one.
        if pc.any(pc.match_substring_regex(lines["text"], '[\r"]')).as_py():
            well_quoted = pc.and_not(
                pc.match_substring_regex(lines["text"], _WELL_QUOTED),
                pc.match_substring(lines["text"], "\r"),
            )
            source.tally.reject(
                lines.filter(pc.invert(well_quoted))["line_number"],
                "the line is not CSV: quotes are open or in the wrong place",
            )
            lines = lines.filter(well_quoted)
        if lines.num_rows:
            yield _parse_csv(source, names, lines.combine_chunks())


def _parse_csv(source: Source, header: tuple[str, ...], lines: pa.Table) -> pa.Table:
    whole = pa.ListArray.from_arrays(pa.array([0, lines.num_rows], pa.int32()), lines["text"].chunk(0))
    text = pc.binary_join(whole, "\n")[0].as_buffer()
    wrong: list[int] = []

    def skip(row: pacsv.InvalidRow) -> str:
        wrong.append(row.number - 1)
        return "skip"

    table = pacsv.read_csv(
        pa.BufferReader(text),
        read_options=pacsv.ReadOptions(column_names=header, use_threads=False, block_size=text.size + 1),
        parse_options=pacsv.ParseOptions(invalid_row_handler=skip),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            check_utf8=False,  # _lines did
        ),
    )
    numbers = lines["line_number"]
    if wrong:
        positions = pa.array(wrong, pa.int64())
        than = "the header" if source.header else "a channel event log"
        source.tally.reject(numbers.take(positions), f"the line has more or fewer columns than {than}")
        right = pc.invert(pc.is_in(pa.arange(0, lines.num_rows), value_set=positions))
        numbers = numbers.filter(right)
    return table.add_column(0, "line_number", numbers)


def _ndjson(source: Source, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows of JSON objects; an unknown key, a key twice or a value within a value is a reject."""
    paths = [f"$.{column}" for column in COLUMNS]
    values = ", ".join(f"fields[{position}] as {column}" for position, column in enumerate(COLUMNS, start=1))
    for block in blocks:
        source.connection.register("block", block)
        rows = source.connection.sql(
            f"""
            with objects as (
                select
                    line_number,
                    case when json_valid(text) and json_type(text) = 'OBJECT' then text end as object
                from block
            ),

            parsed as (
                select
                    line_number,
                    json_extract_string(object, $paths) as fields,
                    case
                        when object is null then 'the line is not a JSON object'
                        when not list_has_all($columns, json_keys(object))
                            then 'a key is not of the raw format'
                        when len(list_distinct(json_keys(object))) < len(json_keys(object))
                            then 'a key is there twice'
                        when list_has_any(json_type(object, $paths), ['OBJECT', 'ARRAY'])
                            then 'a value is a list or an object'
                    end as fault
                from objects
            )

            select line_number, fault, {values} from parsed
            """,
            params={"paths": paths, "columns": list(COLUMNS)},
        ).to_arrow_table()
        source.connection.unregister("block")
        yield _canonical(_without_faults(source, rows))


def _parquet(source: Source) -> Iterator[pa.Table]:
    """The rows of a Parquet file as text, whatever the types of its columns."""
    first = 1
    size = 0
    try:
        texts = [column.name for column in pq.read_schema(source.path) if _is_text(column.type)]
        # A text that stands in the file once can be the value of all rows, so texts are read as they stand there.
        with pq.ParquetFile(
            source.path, read_dictionary=texts, pre_buffer=False
        ) as file:  # else it keeps all it read
            for batch in file.iter_batches(ROWS):
                columns = {
                    name: _as_text(source.connection, column)
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                }
                size += sum(text.nbytes for text in columns.values())
                _stay_within(source, first - 1 + batch.num_rows, size)
                numbers = pa.arange(first, first + batch.num_rows)
                first += batch.num_rows
                source.tally.rows += batch.num_rows
                readable = pa.repeat(True, batch.num_rows)
                for name, text in columns.items():
                    if text.null_count > batch[name].null_count:
                        readable = pc.and_(readable, pc.equal(pc.is_null(text), pc.is_null(batch[name])))
                source.tally.reject(numbers.filter(pc.invert(readable)), "a value is not UTF-8 text")
                yield _canonical(pa.table({"line_number": numbers, **columns}).filter(readable))
    except (OSError, pa.ArrowInvalid):
        raise _broken(source.path) from None


def _parquet_header(path: Path) -> tuple[str, ...]:
    """The column names of a Parquet file, after a look at their types."""
    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
    except (OSError, pa.ArrowInvalid):
        raise _broken(path) from None
    for number in range(metadata.num_row_groups):
        if metadata.row_group(number).total_byte_size > ROW_GROUP:
            raise UserError(
                f"{path}: row group {number + 1} holds more than {ROW_GROUP >> 30} GiB; write smaller row groups"
            )
    _check_header(path, tuple(schema.names), COLUMNS, REQUIRED_COLUMNS)
    for column in schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_timestamp(kind) and kind.tz is None:
            raise UserError(f"{path}: column {column.name} is a time without a zone; write it with one, UTC")
        other_time = pa.types.is_temporal(kind) and not pa.types.is_timestamp(kind)
        if other_time or pa.types.is_nested(kind) or pa.types.is_fixed_size_binary(kind):
            raise UserError(f"{path}: column {column.name} has type {kind}; write it as text")
    return tuple(schema.names)


def _is_text(type: pa.DataType) -> bool:
    return any(is_one(type) for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))


def _as_text(connection: duckdb.DuckDBPyConnection, column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return _as_text(connection, column.dictionary).take(column.indices)
    if pa.types.is_timestamp(column.type):
        utc = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.string())
        # Nanoseconds that are none are dropped; others stay, to be rejected.
        return pc.replace_substring_regex(utc, r"(\.\d{6})000Z$", r"\1Z") if column.type.unit == "ns" else utc
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.binary() if pa.types.is_string(column.type) else pa.large_binary())
        column = column.cast(pa.binary())
    if pa.types.is_binary(column.type):
        return _text(connection, pc.binary_slice(column, 0, CLIP) if _is_long(column) else column)
    return column.cast(pa.string())


def _is_long(column: pa.Array) -> bool:
    longest: int | None = pc.max(pc.binary_length(column)).as_py()
    return longest is not None and longest > CLIP


def _queue_log(source: Source, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows of a queue_log file by LOG_COLUMNS; `data` holds the parameters, joined with |."""
    for block in blocks:
        source.connection.register("block", block)
        rows = source.connection.sql(
            """
            with split as (select line_number, string_split(text, '|') as fields from block)

            select
                line_number,
                case when len(fields) < 5 then 'the line has fewer than five fields' end as fault,
                fields[1] as time,
                fields[2] as callid,
                fields[3] as queue,
                fields[4] as agent,
                fields[5] as event,
                array_to_string(fields[6:], '|') as data
            from split
            """
        ).to_arrow_table()
        source.connection.unregister("block")
        yield _without_faults(source, rows)


def _log_of_realtime(table: pa.Table) -> pa.Table:
    """The rows of the realtime table in the shape of the file's."""
    data = pc.binary_join_element_wise(
        *(table[f"data{position}"] for position in range(1, 6)),
        "|",
        null_handling="replace",
        null_replacement="",
    )
    columns = [table["line_number"], *(table[name] for name in REALTIME_COLUMNS[:5]), data]
    return pa.table(columns, names=["line_number", *LOG_COLUMNS])


def _without_faults(source: Source, rows: pa.Table) -> pa.Table:
    """The rows without a `fault`; the others become rejects."""
    faulty = rows.filter(pc.is_valid(rows["fault"]))
    source.tally.reject(faulty["line_number"], faulty["fault"])
    return rows.filter(pc.is_null(rows["fault"])).drop_columns("fault")


def _canonical(table: pa.Table) -> pa.Table:
    """All columns of SOURCE_SCHEMA; null where the file has none."""
    return pa.table(
        {
            column: table[column] if column in table.column_names else pa.nulls(table.num_rows, pa.string())
            for column in ("line_number", *SOURCE_COLUMNS)
        },
        schema=SOURCE_SCHEMA,
    )
