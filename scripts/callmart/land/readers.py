"""Opens files of any format, and reads them as Arrow tables of text with the place of each row.

Text files are read in blocks of whole lines, Parquet files in batches of rows, so memory does not grow with the file.
Small files of one format are parsed together. An unreadable row becomes a reject in the file's `Tally`: its place and a
reason, never contents.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby

import duckdb
import pyarrow as pa

from callmart.base.errors import UserError
from callmart.base.raw_format import FORMATS
from callmart.land import formats, found, lines, parquet, text_formats
from callmart.land.found import Found
from callmart.land.source import LOGS, Limits, Source, as_source, broken, packed

ENOUGH_ROWS, ENOUGH_BLOCKS = 1 << 15, 4  # fewer rows and bytes are joined with those that follow


def open_source(file: Found, number: int, limits: Limits) -> Source:
    """Detect a file's format from its contents, and check it against the one that is asked for.

    Raises UserError if the file can't be opened, its format isn't known, or is another one than asked for.
    """
    path, format = file.delivery.path, file.delivery.format
    if format not in FORMATS:
        raise UserError(f"format {format!r} is not known; use one of {', '.join(FORMATS)}")
    start, compression, blocks = _start(file)
    if not start.strip(b"\xef\xbb\xbf\r\n"):
        raise UserError(f"{path} is empty; deliver it again, or leave it out")
    if start.startswith(formats.ENCRYPTED_PARQUET):
        raise UserError(f"{path} is an encrypted Parquet file; deliver it without encryption")
    if start.startswith(formats.PARQUET):
        if compression:
            raise UserError(
                f"{path} is a Parquet file packed with {compression}; unpack it, since Parquet packs its own columns"
            )
        if format not in ("auto", "parquet"):
            raise UserError(f"{path} is a Parquet file, not {format}; use format parquet or auto")
        footer = parquet.footer(file)
        names = tuple(footer.schema.names)
        blocks = max(footer.rows / parquet.ROWS, sum(footer.sizes) / parquet.SMALL)
        source = Source(file, number, blocks, "parquet", names, compression, limits, footer)
        # A few megabytes can have so many rows that to read them takes minutes.
        source.stay_within(footer.rows, 0)
        return _naming_customer(source)
    if format == "parquet":
        raise UserError(f"{path} is not a Parquet file; use format auto")
    form, header = formats.text_form(path, format, formats.first_lines(path, start))
    return _naming_customer(Source(file, number, blocks, form, header, compression, limits))


def _naming_customer(source: Source) -> Source:
    """The source, if it is known whose its rows are. Raises UserError if not."""
    is_log = source.form in LOGS
    if source.defaults.customer_id is None and (
        is_log or "customer_id" not in (source.header or ("customer_id",))
    ):
        raise UserError(
            f"{source.path} does not name the customer; give --customer, or `customer` for its folder in callmart.toml"
        )
    return source


def _start(file: Found) -> tuple[bytes, str | None, float]:
    """The first bytes of a file, unpacked; its compression; and how many blocks they fill, if the file was read."""
    path = file.delivery.path
    try:
        start = (os.pread(file.file.fileno(), formats.DETECT, 0) if file.data is None else file.data)[
            : formats.DETECT
        ]
        compression = formats.compression_of(start)
        if compression is None:
            return start, None, len(file.data or b"") / found.BLOCK
        with pa.input_stream(packed(file), compression=compression) as stream:
            start = _read(stream, formats.DETECT if file.data is None else found.BLOCK + 1)
    except (OSError, EOFError):
        raise broken(path) from None
    return start[: formats.DETECT], compression, len(start) / found.BLOCK


def _read(stream: pa.NativeFile, most: int) -> bytes:
    """The next bytes of a stream, `most` at most; fewer only if it ends."""
    pieces, size = [], 0
    while size < most and (piece := stream.read(most - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def batches(
    sources: Sequence[Source], connection: duckdb.DuckDBPyConnection
) -> Iterator[tuple[Sequence[Source], pa.Table]]:
    """Yield the rows, by SOURCE_SCHEMA, with the files that they are of. A log yields the columns of PLACE_SCHEMA and
    LOG_COLUMNS or CEL_READ. The rows of a small file are in one table. `connection` is to DuckDB, of this thread.

    Raises UserError if a large file breaks off, can't be decompressed, or exceeds a limit. A small one is refused
    alone, in its Tally.
    """
    for _, group in groupby(sorted(sources, key=_alike), _alike):
        alike = list(group)
        for table in _read_alike(alike, connection):
            yield alike, table


def _alike(source: Source) -> tuple[str, ...]:
    """Files of which this is equal are parsed together."""
    if source.footer is not None:
        return (source.form, *(f"{column.name} {column.type}" for column in source.footer.schema))
    if source.form == "cel":  # what a row means depends on the rows before it
        return (source.form, str(source.number))
    if source.form == "queue_log_realtime":  # its local times are those of a customer or a folder
        defaults = source.defaults
        return (source.form, str(defaults.customer_id), str(defaults.time_zone), *(source.header or ()))
    return (source.form, *(source.header or ()))


def _read_alike(sources: list[Source], connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    match sources[0].form:
        case "parquet":
            return map(as_source, parquet.as_text(sources, gathered(_pieces(sources, parquet.rows))))
        case "csv":
            return map(as_source, text_formats.csv(sources, gathered(_pieces(sources, _csv_lines))))
        case "ndjson":
            blocks = gathered(_pieces(sources, lines.blocks))
            return map(as_source, text_formats.ndjson(connection, sources, blocks))
        case "queue_log":
            return text_formats.queue_log(connection, sources, gathered(_pieces(sources, lines.blocks)))
        case "queue_log_realtime":
            rows = text_formats.csv(sources, gathered(_pieces(sources, _csv_lines)))
            return map(text_formats.log_of_realtime, rows)
        case "cel":
            columns = ["file_number", "line_number", *formats.CEL_READ]
            rows = text_formats.csv(sources, _pieces(sources, _csv_lines))
            return (table.select(columns) for table in rows)


def _csv_lines(source: Source) -> Iterator[pa.Table]:
    return text_formats.without_header(source, lines.blocks(source))


def _pieces(sources: Sequence[Source], read: Callable[[Source], Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Read one file after the other: a small one as one table, or not at all if it is refused."""
    for source in sources:
        if not source.is_small:
            yield from read(source)
            continue
        try:
            tables = list(read(source))
        except UserError as refusal:
            source.tally.refusal = refusal
            continue
        if tables:
            yield pa.concat_tables(tables)


def gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables that follow each other."""
    few: list[pa.Table] = []
    rows = size = 0
    for table in chain(tables, [None]):
        if table is not None:
            few.append(table)
            rows, size = rows + table.num_rows, size + table.nbytes
        if few and (table is None or rows >= ENOUGH_ROWS or size >= ENOUGH_BLOCKS * found.BLOCK):
            yield pa.concat_tables(few).combine_chunks() if len(few) > 1 else few[0]
            few, rows, size = [], 0, 0
