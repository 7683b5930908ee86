"""Reads the rows of Parquet files batch by batch, and writes those of many small ones as text at once."""

import json
import os
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from callmart.base.errors import UserError
from callmart.base.raw_format import COLUMNS, FORMER_COLUMNS, LONGEST_TEXT, PLACE_SCHEMA, REQUIRED_COLUMNS
from callmart.land import parquet_process
from callmart.land.formats import check_header
from callmart.land.found import Found
from callmart.land.lines import decoded
from callmart.land.parquet_reader import clipped, is_text
from callmart.land.source import Footer, Source, reject

ROWS = 1 << 16  # rows read at a time; more would save planning, and take more memory
ROW_GROUP = 1 << 30  # largest unpacked size of a row group, in bytes, and of those that are read together
SMALL = 64 << 20  # bytes, unpacked, up to which a file is read whole
LARGER = 4  # times as many bytes its rows may have; texts can be longer than what they are written in
CLIP = 4 * (LONGEST_TEXT + 1)  # bytes; a text cut off here is still recognised as too long
EXPONENT_FROM = 1e10  # from here on Arrow writes a double with an exponent
EXACT_UNTIL = 2.0**53  # beyond, a double does not hold every integer

# Spark and Oracle write ids as decimal(38,10).
WITHOUT_FRACTION = {"customer_id", "agent", "target", "other_number"}
# What a call or an event is known by stays as Arrow writes it: if it came again, it would land once more.
AS_ARROW_WRITES = {"call_id", "event_id"}


def footer(found: Found) -> Footer:
    """Return what a Parquet file says of itself. Raises UserError if a name, a type or a row group is not allowed."""
    path = found.delivery.path
    (said,) = parquet_process.ask(path, "footer", _place(found))
    schema, metadata = said.schema.remove_metadata(), said.schema.metadata
    sizes = json.loads(metadata[b"sizes"])
    for number, size in enumerate(sizes, 1):
        if size > ROW_GROUP:
            raise UserError(
                f"{path}: row group {number} holds more than {ROW_GROUP >> 30} GiB; write smaller row groups"
            )
    check_header(path, tuple(schema.names), COLUMNS, REQUIRED_COLUMNS)
    for column in schema:
        kind = _kind(column.type)
        if pa.types.is_timestamp(kind) and kind.tz is None:
            raise UserError(
                f"{path}: column {column.name} is a time without a time zone; write it with the time zone UTC"
            )
        other_time = pa.types.is_temporal(kind) and not pa.types.is_timestamp(kind)
        is_extended = isinstance(kind, pa.BaseExtensionType)  # such as a UUID
        if is_extended or other_time or pa.types.is_nested(kind) or pa.types.is_fixed_size_binary(kind):
            raise UserError(f"{path}: column {column.name} has type {kind}; write it as text")
    return Footer(schema, int(metadata[b"rows"]), tuple(sizes))


def _place(found: Found) -> str | bytes:
    """What the process that reads files reads one from: its bytes, or what we have opened if they are too many."""
    return f"/proc/{os.getpid()}/fd/{found.file.fileno()}" if found.data is None else found.data


def rows(source: Source) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file with their places, by the types of its columns. Text comes in dictionaries: one
    long text can be the value of all rows.

    Raises UserError if the file breaks off, has more rows than the limit, or others than it says.
    """
    assert source.footer is not None
    first, size = 1, 0
    texts = [column.name for column in source.footer.schema if is_text(column.type)]
    asked = _place(source.found), texts, source.footer.sizes, ROWS, ROW_GROUP, CLIP
    for batch in parquet_process.ask(source.path, "rows", *asked):
        source.tally.rows += batch.num_rows
        source.stay_within(source.tally.rows, 0)
        size += batch.get_total_buffer_size()
        if source.is_small and size > LARGER * SMALL:
            raise parquet_process.broken(source.path)
        place = {
            "file_number": pa.repeat(pa.scalar(source.number, pa.int32()), batch.num_rows),
            "line_number": pa.arange(first, first + batch.num_rows),
        }
        first += batch.num_rows
        yield pa.table({**place, **dict(zip(batch.schema.names, batch.columns, strict=True))})
    if source.tally.rows != source.footer.rows:  # Arrow takes a page without rows for the end
        raise parquet_process.broken(source.path)


def as_text(sources: Sequence[Source], tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of files that have the same types as text, whatever these are.

    Raises UserError if a large file unpacks to more than the limit. A small one is refused alone, in its Tally.
    """
    size = 0
    for table in tables:
        if not table.num_rows:
            continue
        typed = table.combine_chunks()
        columns = {
            name: _as_text(typed[name].chunk(0), name) for name in typed.column_names[len(PLACE_SCHEMA) :]
        }
        text = typed.select(PLACE_SCHEMA.names)
        readable = pa.repeat(True, typed.num_rows)
        for name, column in columns.items():
            text = text.append_column(name, column)
            is_float = pa.types.is_floating(_kind(typed[name].type))  # then it is null where it is no number
            if column.null_count > typed[name].null_count and not is_float:
                readable = pc.and_(readable, pc.equal(pc.is_null(column), pc.is_null(typed[name])))
        tallies = {source.number: source.tally for source in sources}
        reject(tallies, text.filter(pc.invert(readable)), "a value is not UTF-8 text")
        for former in FORMER_COLUMNS:
            name = former.removeprefix("former_")
            if name in columns and (found := _formerly(typed[name].chunk(0), columns[name])) is not None:
                text = text.append_column(former, found)
        size += text.nbytes
        if not sources[0].is_small:
            sources[0].stay_within(0, size)
        elif text.nbytes > sources[0].limits.gib * (1 << 30):
            _refuse_large(sources, text)
        yield text if pc.all(readable).as_py() else text.filter(readable)


def _refuse_large(sources: Sequence[Source], text: pa.Table) -> None:
    for source in sources:
        own = text.filter(pc.equal(text["file_number"], source.number))
        try:
            source.stay_within(0, own.nbytes)
        except UserError as refusal:
            source.tally.refusal = refusal


def _kind(type: pa.DataType) -> pa.DataType:
    """The type of the values, whether or not they come in a dictionary."""
    return type.value_type if pa.types.is_dictionary(type) else type


def _as_text(column: pa.Array, name: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return _as_text(column.dictionary, name).take(column.indices)
    if pa.types.is_timestamp(column.type):
        # Without a zone, because Arrow takes ten times as long to write a time with one, also in UTC.
        moment = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
        utc = pc.binary_join_element_wise(moment.cast(pa.string()), "Z", "")
        # Zero nanoseconds are cut off. A time with other nanoseconds is rejected later.
        return pc.replace_substring_regex(utc, r"(\.\d{6})000Z$", r"\1Z") if column.type.unit == "ns" else utc
    if is_text(column.type):
        return decoded(clipped(column, CLIP).cast(pa.binary()))
    if pa.types.is_floating(column.type):
        return _float_as_text(column, name)
    if pa.types.is_decimal(column.type) and name in WITHOUT_FRACTION:
        return _without_fraction(column.cast(pa.string()))
    return column.cast(pa.string())


def _formerly(column: pa.Array, text: pa.Array) -> pa.Array | None:
    """The texts that version 0.2.0 made of numbers, as Arrow writes them, where they were others."""
    kind = _kind(column.type)
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    values = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    written = values.cast(pa.string())
    return pc.if_else(pc.fill_null(pc.equal(written, text), False), None, written)


def _without_fraction(number: pa.Array) -> pa.Array:
    """The text of a decimal, without its fraction if that is 0. Arrow writes 0 as 0E-10."""
    return pc.replace_substring_regex(number, r"^(-?\d+)\.0+$|^(0)E-\d+$", r"\1\2")


def _float_as_text(column: pa.Array, name: str) -> pa.Array:
    """Numbers as text; null where a program wrote NaN for a missing value. Programs make integers fractions as soon as
    one is missing. So a whole number that is exact is written without an exponent, unless calls or events are known by
    this column.
    """
    numbers = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    text = numbers.cast(pa.string())
    # A smaller type can't hold a number of ten digits.
    if name in AS_ARROW_WRITES or column.type != pa.float64():
        return text
    size = pc.abs(numbers)
    if not pc.any(pc.greater_equal(size, EXPONENT_FROM)).as_py():
        return text
    is_whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less(size, EXACT_UNTIL))
    return pc.if_else(is_whole, pc.if_else(is_whole, numbers, 0.0).cast(pa.int64()).cast(pa.string()), text)
