"""Reads the rows of a Parquet file as text, batch by batch."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from callmart.base.errors import UserError
from callmart.base.raw_format import COLUMNS, LONGEST_TEXT, REQUIRED_COLUMNS
from callmart.land.formats import check_header
from callmart.land.found import Found
from callmart.land.lines import decoded
from callmart.land.source import Source, broken, packed, reject

ROWS = 1 << 16  # rows read at a time; more would save planning, and take more memory
ROW_GROUP = 1 << 30  # largest unpacked size of a row group, in bytes; its pages are unpacked as a whole
CLIP = 4 * (LONGEST_TEXT + 1)  # bytes; a text cut off here is still recognised as too long


def header(found: Found) -> tuple[tuple[str, ...], int]:
    """Return the column names of a Parquet file, and its number of rows.

    Raises UserError if a name, a type or a row group is not allowed.
    """
    path = found.delivery.path
    try:
        with pq.ParquetFile(packed(found)) as file:
            schema, metadata = file.schema_arrow, file.metadata
    except (OSError, pa.ArrowInvalid):
        raise broken(path) from None
    for number in range(metadata.num_row_groups):
        if metadata.row_group(number).total_byte_size > ROW_GROUP:
            raise UserError(
                f"{path}: row group {number + 1} holds more than {ROW_GROUP >> 30} GiB; write smaller row groups"
            )
    check_header(path, tuple(schema.names), COLUMNS, REQUIRED_COLUMNS)
    for column in schema:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_timestamp(kind) and kind.tz is None:
            raise UserError(f"{path}: column {column.name} is a time without a time zone; write it in UTC")
        other_time = pa.types.is_temporal(kind) and not pa.types.is_timestamp(kind)
        if other_time or pa.types.is_nested(kind) or pa.types.is_fixed_size_binary(kind):
            raise UserError(f"{path}: column {column.name} has type {kind}; write it as text")
    return tuple(schema.names), metadata.num_rows


def rows(source: Source) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file as text, whatever the types of its columns.

    Raises UserError if the file breaks off or exceeds a limit.
    """
    first = 1
    size = 0
    try:
        schema = pq.read_schema(packed(source.found))
        texts = [column.name for column in schema if _is_text(column.type)]
        # One long text in a dictionary can be the value of all rows, so dictionaries are not unpacked here.
        # A buffer would keep everything that was read.
        file = pq.ParquetFile(packed(source.found), read_dictionary=texts, pre_buffer=False)
        with file:
            for batch in file.iter_batches(ROWS):
                columns = {
                    name: _as_text(column)
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                }
                size += sum(text.nbytes for text in columns.values())
                source.stay_within(first - 1 + batch.num_rows, size)
                place = {
                    "file_number": pa.repeat(pa.scalar(source.number, pa.int32()), batch.num_rows),
                    "line_number": pa.arange(first, first + batch.num_rows),
                }
                first += batch.num_rows
                source.tally.rows += batch.num_rows
                readable = pa.repeat(True, batch.num_rows)
                for name, text in columns.items():
                    if text.null_count > batch[name].null_count:
                        readable = pc.and_(readable, pc.equal(pc.is_null(text), pc.is_null(batch[name])))
                table = pa.table({**place, **columns})
                unreadable = table.filter(pc.invert(readable))
                reject({source.number: source.tally}, unreadable, "a value is not UTF-8 text")
                yield table.filter(readable)
    except (OSError, pa.ArrowInvalid):
        raise broken(source.path) from None


def _is_text(type: pa.DataType) -> bool:
    return any(is_one(type) for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary))


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return _as_text(column.dictionary).take(column.indices)
    if pa.types.is_timestamp(column.type):
        # Without a zone, because Arrow takes ten times as long to write a time with one, also in UTC.
        moment = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
        utc = pc.binary_join_element_wise(moment.cast(pa.string()), "Z", "")
        # Zero nanoseconds are cut off. A time with other nanoseconds is rejected later.
        return pc.replace_substring_regex(utc, r"(\.\d{6})000Z$", r"\1Z") if column.type.unit == "ns" else utc
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.binary() if pa.types.is_string(column.type) else pa.large_binary())
        column = column.cast(pa.binary())
    if pa.types.is_binary(column.type):
        return decoded(pc.binary_slice(column, 0, CLIP) if _is_long(column) else column)
    return column.cast(pa.string())


def _is_long(column: pa.Array) -> bool:
    longest: int | None = pc.max(pc.binary_length(column)).as_py()
    return longest is not None and longest > CLIP
