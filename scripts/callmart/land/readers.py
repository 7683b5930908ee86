"""Opens a file of any format, and reads it as Arrow tables of text with line numbers.

Text files are read in blocks of whole lines, Parquet files in batches of rows, so memory does not grow with the file.
An unreadable row becomes a reject in the `Tally`: line number and reason, never contents.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from callmart.base.errors import UserError
from callmart.land import formats, lines, parquet, text_formats
from callmart.land.source import Limits, Source, as_source


def open_source(path: Path, format: str, limits: Limits, connection: duckdb.DuckDBPyConnection) -> Source:
    """Detect a file's format from its contents, and check it against `format`.

    `connection` is a DuckDB connection in memory that reading uses. Raises UserError if the file can't be opened, its
    format isn't known, or is another one than `format` says.
    """
    if format not in formats.FORMATS:
        raise UserError(f"format {format!r} is not known; use one of {', '.join(formats.FORMATS)}")
    start, compression = formats.first_bytes(path)
    if start.startswith(b"PAR1"):
        if format not in ("auto", "parquet"):
            raise UserError(f"{path} is a Parquet file, not {format}; use --format parquet or auto")
        return Source(path, "parquet", parquet.header(path), compression, limits, connection)
    if format == "parquet":
        raise UserError(f"{path} is not a Parquet file; use --format auto")
    form, header = formats.text_form(path, format, formats.first_lines(path, start))
    return Source(path, form, header, compression, limits, connection)


def batches(source: Source) -> Iterator[pa.Table]:
    """Yield the rows, by SOURCE_SCHEMA. A log yields line_number and LOG_COLUMNS or CEL_READ. Can be called once.

    Raises UserError if the file breaks off, can't be decompressed, or exceeds a limit.
    """
    match source.form:
        case "parquet":
            return map(as_source, parquet.rows(source))
        case "csv":
            return map(as_source, text_formats.csv(source, lines.blocks(source)))
        case "ndjson":
            return map(as_source, text_formats.ndjson(source, lines.blocks(source)))
        case "queue_log":
            return text_formats.queue_log(source, lines.blocks(source))
        case "queue_log_realtime":
            return map(text_formats.log_of_realtime, text_formats.csv(source, lines.blocks(source)))
        case "cel":
            columns = ["line_number", *formats.CEL_READ]
            return (table.select(columns) for table in text_formats.csv(source, lines.blocks(source)))
