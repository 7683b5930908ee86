"""Reads a text file as whole lines of UTF-8, each with its line number."""

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base.errors import UserError
from callmart.land.source import Source, broken

BLOCK = 4 << 20  # bytes read at a time; a longer line is an error


def blocks(source: Source) -> Iterator[pa.Table]:
    """Yield tables of (line_number, text): whole lines without line ends, empty lines left out.

    Raises UserError if the file breaks off, can't be decompressed, or exceeds a limit.
    """
    line_number = 1
    size = 0
    rest = b""
    try:
        with pa.input_stream(source.path, compression=source.compression) as stream:
            while block := stream.read(BLOCK):
                size += len(block)
                source.stay_within(line_number - 1 + block.count(b"\n"), size)
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
        raise broken(source.path) from None
    if rest and source.compression:
        raise UserError(f"{source.path} breaks off in line {line_number}; deliver the whole file again")
    source.tally.incomplete_last_line = bool(rest)


def _clean(source: Source, block: bytes, first: int) -> pa.Table:
    lines = pa.array(block.split(b"\n"), pa.binary())
    numbers = pa.arange(first, first + len(lines))
    table = pa.table({"line_number": numbers, "text": decoded(source.connection, lines)})
    if table["text"].null_count:
        unreadable = pc.is_null(table["text"])
        source.tally.reject(table.filter(unreadable)["line_number"], "the line is not UTF-8 text")
        source.tally.rows += pc.sum(unreadable).as_py()
    if b"\r" in block:
        table = table.set_column(1, "text", pc.ascii_rtrim(table["text"], characters="\r"))
    table = table.filter(pc.greater(pc.binary_length(table["text"]), 0))
    source.tally.rows += table.num_rows
    return table


def decoded(connection: duckdb.DuckDBPyConnection, lines: pa.Array) -> pa.Array:
    """Return the bytes as text; null where they are not UTF-8 or contain a NUL."""
    try:
        text = lines.cast(pa.string())
    except pa.ArrowInvalid:
        undecoded = pa.table({"line": lines})
        connection.register("undecoded", undecoded)
        text = connection.sql("select try(decode(line)) as text from undecoded").to_arrow_table()["text"]
        connection.unregister("undecoded")
    holds_nul = pc.match_substring(text, "\0")
    return pc.if_else(holds_nul, None, text) if pc.any(holds_nul).as_py() else text
