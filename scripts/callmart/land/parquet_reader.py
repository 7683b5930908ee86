"""The program that reads Parquet files, in a process of its own that may take little memory and time.

Arrow believes what a file says of itself. Some files end the process that reads them, and a few bytes can take all of a
machine's memory, or hours. `parquet_process` starts this program and talks to it. It imports nothing of callmart's, so
that it begins at once.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MEMORY = 2 << 30  # bytes
SECONDS = 60  # of CPU per answer; each batch gives it one more
SMALL = 64 << 10  # bytes of a batch up to which it is sent as it is: a file in memory would cost more
MANY = 32 << 20  # bytes of a batch from which its long texts are cut off

# What else an answer has: files in memory, with a batch each, and an end.
FILE, DONE, DAMAGED, TOO_LARGE = b"f", b"d", b"b", b"m"

_STRINGS = (pa.string(), pa.large_string(), pa.string_view())
_BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())

# What pyarrow raises for a damaged file.
_FAULTS = (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError)


def main() -> None:
    """Answer until whoever asks is gone."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    _limit(resource.RLIMIT_DATA, MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    with suppress(EOFError, ConnectionError):
        while True:
            what, *request = connection.recv()
            batches = footer(*request) if what == "footer" else rows(*request)
            connection.send_bytes(_answer(connection, batches))


def _answer(connection: "Connection[Any, Any]", batches: Iterator[pa.RecordBatch]) -> bytes:
    """Send the batches, and return how the answer ends. The next one is made while whoever asked uses one."""
    last = int(time.process_time()) + SECONDS
    _limit(resource.RLIMIT_CPU, last)
    try:
        for more, batch in enumerate(batches, 1):
            _send(connection, batch)
            _limit(resource.RLIMIT_CPU, last + more)
    except MemoryError:
        return TOO_LARGE
    except _FAULTS:
        return DAMAGED
    return DONE


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _send(connection: "Connection[Any, Any]", batch: pa.RecordBatch) -> None:
    written = pa.BufferOutputStream()
    with pa.ipc.new_stream(written, batch.schema) as stream:
        stream.write_batch(batch)
    rows = written.getvalue()
    if rows.size <= SMALL:
        connection.send_bytes(rows)
        return
    with os.fdopen(os.memfd_create("batch"), "wb") as file:
        file.write(rows)
        file.flush()
        connection.send_bytes(FILE)
        send_handle(connection, file.fileno(), None)
    connection.recv_bytes()  # so that no more than one waits


def footer(place: str | bytes) -> Iterator[pa.RecordBatch]:
    """Yield what a file says of itself, as no rows: the schema. Its metadata has the number of rows, and the sizes of
    the row groups, unpacked, in bytes.
    """
    with _open(place) as file:
        groups = range(file.metadata.num_row_groups)
        said = {
            "rows": str(file.metadata.num_rows),
            "sizes": json.dumps([file.metadata.row_group(group).total_byte_size for group in groups]),
        }
        tuple(file.schema_arrow.names)  # fails if a name is not UTF-8
        yield pa.RecordBatch.from_pylist([], file.schema_arrow.with_metadata(said))


def rows(
    place: str | bytes, texts: Sequence[str], sizes: Sequence[int], at_once: int, memory: int, longest: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows, `at_once` together, and of row groups as many as fit into `memory`. `texts` come in dictionaries,
    as a long one can be the value of all rows. In a large batch they are cut off after `longest` bytes.
    """
    read = 0
    try:
        for batch in _batches(place, texts, sizes, at_once, memory):
            read += batch.num_rows
            yield _cut(batch, longest)
    except _FAULTS:
        # Of some encodings, such as DELTA_BYTE_ARRAY, Arrow makes no dictionaries. So as many rows are read at a time
        # as fit into memory if each has a text as long as a row group.
        for batch in _batches(place, [], sizes, min(memory // max([1, *sizes]), at_once), memory):
            rest = batch.slice(min(read, batch.num_rows))
            read -= batch.num_rows - rest.num_rows
            columns = [
                clipped(column, longest).dictionary_encode() if is_text(column.type) else column
                for column in rest.columns
            ]
            yield pa.record_batch(columns, names=rest.schema.names)


def _batches(
    place: str | bytes, in_dictionaries: Sequence[str], sizes: Sequence[int], at_once: int, memory: int
) -> Iterator[pa.RecordBatch]:
    with _open(place, in_dictionaries) as file:
        for groups in _together(sizes, memory):
            # Arrow's threads would cost a small file as much as reading it.
            yield from file.iter_batches(at_once, row_groups=groups, use_threads=False)


def _open(place: str | bytes, in_dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
    source = place if isinstance(place, str) else pa.BufferReader(place)
    # A buffer would keep everything that was read.
    return pq.ParquetFile(source, read_dictionary=in_dictionaries, pre_buffer=False)


def _together(sizes: Sequence[int], memory: int) -> Iterator[list[int]]:
    """The numbers of row groups that fit into memory together. A batch has rows of several, and all their texts."""
    groups: list[int] = []
    held = 0
    for number, size in enumerate(sizes):
        if groups and held + size > memory:
            yield groups
            groups, held = [], 0
        groups.append(number)
        held += size
    if groups:
        yield groups


def is_text(type: pa.DataType) -> bool:
    """Whether a column of this type has texts, or what may be one."""
    return type in (*_STRINGS, *_BYTES)


def _cut(batch: pa.RecordBatch, longest: int) -> pa.RecordBatch:
    """The same rows. If their texts are long, they are cut off."""
    if batch.get_total_buffer_size() <= MANY:
        return batch
    columns = [
        pa.DictionaryArray.from_arrays(column.indices, clipped(column.dictionary, longest))
        if pa.types.is_dictionary(column.type) and is_text(column.type.value_type)
        else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, names=batch.schema.names)


def clipped(text: pa.Array, longest: int) -> pa.Array:
    """A text, or what may be one, cut off after so many bytes."""
    cut = text.cast(pa.binary())
    found: int | None = pc.max(pc.binary_length(cut)).as_py()
    if found is not None and found > longest:
        cut = pc.binary_slice(cut, 0, longest)
    return cut.view(pa.string() if text.type in _STRINGS else pa.binary())


if __name__ == "__main__":
    main()
