"""Reads a text file as whole lines of UTF-8, each with its line number."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from callmart.base import duck
from callmart.base.errors import UserError
from callmart.land import found
from callmart.land.formats import PARQUET, compression_of
from callmart.land.source import Source, broken, reject


def blocks(source: Source) -> Iterator[pa.Table]:
    """Yield tables of (file_number, line_number, text): whole lines without line ends, empty lines left out.

    Raises UserError if the file breaks off, can't be decompressed, or exceeds a limit.
    """
    line_number = 1
    size = 0
    rest = b""
    try:
        with source.open() as stream:
            while block := stream.read(found.BLOCK):
                size += len(block)
                source.stay_within(line_number - 1 + block.count(b"\n"), size)
                whole, end, rest = (rest + block).rpartition(b"\n")
                if not end:
                    if len(rest) > found.BLOCK:
                        raise UserError(
                            f"{source.path}, line {line_number} is longer than {found.BLOCK >> 20} MiB; "
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
        raise UserError(
            f"{source.path}, line {line_number} is the last one and has no line end, so it may be half a line; "
            "deliver the whole file again, with that line end"
        )
    source.tally.incomplete_last_line = bool(rest)


def lacks_last_line_end(path: Path) -> bool:
    """Whether a file is a text whose last line has no line end. Of a file that is packed this is not known. False if it
    can't be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(PARQUET))
            file.seek(-1, os.SEEK_END)
            return not (start == PARQUET or compression_of(start)) and file.read(1) != b"\n"
    except OSError:
        return False


def _clean(source: Source, block: bytes, first: int) -> pa.Table:
    lines = pa.array(block.split(b"\n"), pa.binary())
    numbers = pa.arange(first, first + len(lines))
    files = pa.repeat(pa.scalar(source.number, pa.int32()), len(lines))
    table = pa.table({"file_number": files, "line_number": numbers, "text": decoded(lines)})
    if table["text"].null_count:
        unreadable = pc.is_null(table["text"])
        reject({source.number: source.tally}, table.filter(unreadable), "the line is not UTF-8 text")
        source.tally.rows += pc.sum(unreadable).as_py()
    if b"\r" in block:
        table = table.set_column(2, "text", pc.ascii_rtrim(table["text"], characters="\r"))
    table = table.filter(pc.greater(pc.binary_length(table["text"]), 0))
    source.tally.rows += table.num_rows
    return table


def decoded(lines: pa.Array) -> pa.Array:
    """Return the bytes as text; null where they are not UTF-8 or contain a NUL."""
    try:
        text = lines.cast(pa.string())
    except pa.ArrowInvalid:
        with duck.connect() as connection:
            connection.register("undecoded", pa.table({"line": lines}))
            text = connection.sql("select try(decode(line)) as text from undecoded").to_arrow_table()["text"]
    holds_nul = pc.match_substring(text, "\0")
    return pc.if_else(holds_nul, None, text) if pc.any(holds_nul).as_py() else text
