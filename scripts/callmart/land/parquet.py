"""Reads the rows of Parquet files batch by batch, and writes those of many small ones as text at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from callmart.base.errors import UserError
from callmart.base.raw_format import COLUMNS, FORMER_COLUMNS, LONGEST_TEXT, PLACE_SCHEMA, REQUIRED_COLUMNS
from callmart.land import parquet_pages
from callmart.land.formats import check_header
from callmart.land.found import Found
from callmart.land.lines import decoded
from callmart.land.source import Footer, Source, packed, reject

ROWS = 1 << 16  # rows read at a time; more would save planning, and take more memory
ROW_GROUP = 1 << 30  # largest unpacked size of a row group, in bytes; its pages are unpacked as a whole
SMALL = 64 << 20  # bytes, unpacked, up to which a file is read whole
CLIP = 4 * (LONGEST_TEXT + 1)  # bytes; a text cut off here is still recognised as too long
EXPONENT_FROM = 1e10  # from here on Arrow writes a double with an exponent
EXACT_UNTIL = 2.0**53  # beyond, a double does not hold every integer

# Spark and Oracle write ids as decimal(38,10).
WITHOUT_FRACTION = {"customer_id", "agent", "target", "other_number"}
# What a call or an event is known by stays as Arrow writes it: if it came again, it would land once more.
AS_ARROW_WRITES = {"call_id", "event_id"}

_STRINGS = (pa.string(), pa.large_string(), pa.string_view())
_BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())

# What pyarrow raises for a damaged file. If memory runs out it raises another error, so nobody calls that damage.
_DAMAGED = (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError)


def footer(found: Found) -> Footer:
    """Return what a Parquet file says of itself. Raises UserError if a name, a type or a row group is not allowed."""
    path, place = found.delivery.path, packed(found)
    sizes = []
    try:
        with (
            pa.OSFile(str(place)) if isinstance(place, Path) else place as bytes_,
            pq.ParquetFile(bytes_) as file,
        ):
            schema, metadata = file.schema_arrow, file.metadata
            names = tuple(schema.names)  # fails here if a name is not UTF-8
            for size in parquet_pages.unpacked(bytes_, metadata):
                sizes.append(size)
                if size > ROW_GROUP:
                    raise UserError(
                        f"{path}: row group {len(sizes)} holds more than {ROW_GROUP >> 30} GiB; write smaller row "
                        "groups"
                    )
    except (*_DAMAGED, ValueError):
        raise _broken(path) from None
    check_header(path, names, COLUMNS, REQUIRED_COLUMNS)
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
    return Footer(metadata, schema, tuple(sizes))


def rows(source: Source) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file with their places, by the types of its columns. Text comes in dictionaries: one
    long text can be the value of all rows.

    Raises UserError if the file breaks off, or has more rows than the limit.
    """
    first = 1
    for batch in _batches(source):
        source.tally.rows += batch.num_rows
        source.stay_within(source.tally.rows, 0)
        place = {
            "file_number": pa.repeat(pa.scalar(source.number, pa.int32()), batch.num_rows),
            "line_number": pa.arange(first, first + batch.num_rows),
        }
        first += batch.num_rows
        yield pa.table({**place, **dict(zip(batch.schema.names, batch.columns, strict=True))})


def _batches(source: Source) -> Iterator[pa.RecordBatch]:
    assert source.footer is not None
    texts = [column.name for column in source.footer.schema if _is_text(column.type)]
    read = 0
    try:
        for batch in _read(source, ROWS, texts):
            read += batch.num_rows
            yield batch
    except _DAMAGED:
        # Of some encodings, such as DELTA_BYTE_ARRAY, Arrow makes no dictionaries.
        yield from _batches_after(source, read)


def _batches_after(source: Source, skip: int) -> Iterator[pa.RecordBatch]:
    """The rows after the first ones, read without dictionaries, which keep a long text from being repeated. So as many
    rows are read at a time as fit into memory if each has a text as long as a row group, and texts are cut off.
    """
    assert source.footer is not None
    try:
        for batch in _read(source, min(ROW_GROUP // max([1, *source.footer.sizes]), ROWS), []):
            rest = batch.slice(min(skip, batch.num_rows))
            skip -= batch.num_rows - rest.num_rows
            columns = [_in_dictionary(column) if _is_text(column.type) else column for column in rest.columns]
            yield pa.record_batch(columns, names=rest.schema.names)
    except _DAMAGED:
        raise _broken(source.path) from None


def _read(source: Source, at_once: int, in_dictionaries: Sequence[str]) -> Iterator[pa.RecordBatch]:
    assert source.footer is not None
    # A buffer would keep everything that was read.
    file = pq.ParquetFile(
        packed(source.found),
        metadata=source.footer.metadata,
        read_dictionary=in_dictionaries,
        pre_buffer=False,
    )
    with file:
        for groups in _together(source.footer.sizes):
            # Arrow's threads would cost a small file as much as reading it, and gain nothing beside DuckDB's.
            yield from file.iter_batches(at_once, row_groups=groups, use_threads=False)


def _together(sizes: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of row groups that fit into memory together. A batch has rows of several, and all their texts."""
    groups: list[int] = []
    held = 0
    for number, size in enumerate(sizes):
        if groups and held + size > ROW_GROUP:
            yield groups
            groups, held = [], 0
        groups.append(number)
        held += size
    if groups:
        yield groups


def _broken(path: Path) -> UserError:
    return UserError(
        f"{path} is damaged, breaks off or has encrypted columns; deliver the whole file again, without encryption"
    )


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


def _is_text(type: pa.DataType) -> bool:
    return type in (*_STRINGS, *_BYTES)


def _as_text(column: pa.Array, name: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return _as_text(column.dictionary, name).take(column.indices)
    if pa.types.is_timestamp(column.type):
        # Without a zone, because Arrow takes ten times as long to write a time with one, also in UTC.
        moment = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
        utc = pc.binary_join_element_wise(moment.cast(pa.string()), "Z", "")
        # Zero nanoseconds are cut off. A time with other nanoseconds is rejected later.
        return pc.replace_substring_regex(utc, r"(\.\d{6})000Z$", r"\1Z") if column.type.unit == "ns" else utc
    if _is_text(column.type):
        return decoded(_clipped(column))
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


def _clipped(text: pa.Array) -> pa.Array:
    """The bytes of a text, no more of them than are needed to recognise it as too long."""
    column = text.cast(pa.binary())
    longest: int | None = pc.max(pc.binary_length(column)).as_py()
    return pc.binary_slice(column, 0, CLIP) if longest is not None and longest > CLIP else column


def _in_dictionary(text: pa.Array) -> pa.Array:
    """A text, cut off, of the type that it has in the batches that Arrow reads into dictionaries."""
    return _clipped(text).view(pa.string() if text.type in _STRINGS else pa.binary()).dictionary_encode()
