"""Parquet files that hold more than they say, or more than fits into memory: what becomes of each, and of the next.
Most are written by hand, as no library would. Needs no server.
"""

import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGXCPU
from threading import Timer
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from callmart.base.errors import UserError
from callmart.land import parquet, parquet_process, parquet_reader
from callmart.land.found import Delivery, find
from callmart.land.gate import Defaults
from callmart.land.readers import batches, open_source
from callmart.land.source import Source
from commands import exit_code
from landing import LIMITS

COLUMNS = ("event", "occurred_at", "call_id")
PLAIN, RUNS, DICTIONARY, DELTA_LENGTHS = 0, 3, 8, 6
ZSTD = 6
TEXT = b"\x01\0\0\0c"
DAMAGE = "is damaged, breaks off"
LONG_S = 30


class Long(int):
    """An integer that Thrift writes as i64."""


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def thrift(value: Any) -> tuple[int, bytes]:
    """The type of a value and its bytes in Thrift's compact protocol. A struct is a dict."""
    match value:
        case int():
            return 6 if isinstance(value, Long) else 5, varint(value << 1)
        case bytes():
            return 8, varint(len(value)) + value
        case list():
            kinds, items = zip(*map(thrift, value), strict=True)
            return 9, bytes([0xF0 | kinds[0]]) + varint(len(items)) + b"".join(items)
    data, last = b"", 0
    for number, field in value.items():
        kind, written = thrift(field)
        data += bytes([number - last << 4 | kind]) + written
        last = number
    return 12, data + b"\0"


def page(body: bytes, *, head: Any = (), encoding: int = PLAIN, values: int = 1, unpacked: int = 0) -> bytes:
    own = {1: values, 2: encoding, 3: RUNS, 4: RUNS}
    return thrift(head or {1: 0, 2: unpacked or len(body), 3: len(body), 5: own})[1] + body


def by_hand(folder: Path, pages: bytes, *, first: int = 0, more: dict[int, Any] | None = None) -> Path:
    """A file with one row, and these pages for the ids of calls; the first may be a dictionary of so many bytes."""
    texts = page(TEXT)
    body = b"PAR1" + texts + pages
    places = [(4, len(texts)), (4 + len(texts), len(pages))]
    columns = []
    for name, (at, size) in zip(COLUMNS, [places[0], places[0], places[1]], strict=True):
        is_last = name == COLUMNS[-1]
        place = {
            1: 6, 2: [PLAIN], 3: [name.encode()], 4: 0, 5: Long(1), 6: Long(size), 7: Long(size),
            9: Long(at + (first if is_last else 0)),
        }  # fmt: skip
        if is_last and first:
            place[11] = Long(at)
        columns.append({2: Long(0), 3: place | ((more or {}) if is_last else {})})
    schema = [{4: b"schema", 5: 3}, *({1: 6, 3: 0, 4: name.encode(), 6: 0} for name in COLUMNS)]
    _, end = thrift({1: 1, 2: schema, 3: Long(1), 4: [{1: columns, 2: Long(0), 3: Long(1)}]})
    path = folder / "events.parquet"
    path.write_bytes(body + end + struct.pack("<I", len(end)) + b"PAR1")
    return path


def source(path: Path) -> Source:
    return open_source(find(Delivery(path, "auto", Defaults(1, "vcloud", False, None))), 1, LIMITS)


def refusal(path: Path) -> str:
    """Why the rows of a small file don't land."""
    opened = source(path)
    assert not list(batches([opened], duckdb.connect(":memory:")))
    return str(opened.tally.refusal)


def is_read(folder: Path) -> bool:
    """Whether the next file is read."""
    ((_, table),) = batches([source(by_hand(folder, page(TEXT)))], duckdb.connect(":memory:"))
    return bool(table["call_id"].to_pylist() == ["c"])


def write(folder: Path, texts: list[str], row_group_size: int | None = None) -> Path:
    path = folder / "events.parquet"
    table = pa.table({"event": texts, "occurred_at": texts, "call_id": [None] * len(texts)})
    table = table.set_column(2, "call_id", table["call_id"].cast(pa.string()))
    pq.write_table(table, path, row_group_size, compression="zstd", use_dictionary=False)
    return path


# -- memory --------------------------------------------------------------------------------------------------------


def page_of_two_gibibytes() -> dict[str, Any]:
    packed = pa.compress(TEXT, "zstd", asbytes=True)
    return {"pages": page(packed, unpacked=(1 << 31) - 1), "more": {4: ZSTD}}


def lengths_of_texts() -> dict[str, Any]:
    """They are written as one that never changes. 338 bytes took 4.3 GB."""
    values = 1 << 30
    lengths = varint(values) + b"\x01" + varint(values) + b"\0\0\0"
    return {"pages": page(lengths, encoding=DELTA_LENGTHS)}


def dictionary_of_empty_texts() -> dict[str, Any]:
    """33 kB took 6.3 GB."""
    entries = page(b"", head={1: 2, 2: 1 << 28, 3: 0, 7: {1: 1 << 28, 2: PLAIN}})
    return {"pages": entries + page(b"\x01\x02\0", encoding=DICTIONARY), "first": len(entries)}


@pytest.mark.parametrize("column", [page_of_two_gibibytes, lengths_of_texts, dictionary_of_empty_texts])
def test_a_file_that_takes_too_much_memory_is_refused(
    tmp_path: Path, column: Callable[[], dict[str, Any]]
) -> None:
    assert is_read(tmp_path)
    assert (
        refusal(by_hand(tmp_path, **column()))
        == f"{tmp_path}/events.parquet: to read it takes more than 2 GiB of memory; write smaller row groups"
    )
    assert is_read(tmp_path)


def test_a_row_group_of_more_than_a_gibibyte_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, [f"{number:060}" for number in range(1000)])
    monkeypatch.setattr(parquet, "ROW_GROUP", 10_000)
    with pytest.raises(UserError, match=r"row group 1 holds more than .*; write smaller row groups"):
        source(path)


def test_row_groups_that_are_too_much_together_are_read_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, [str(number) * 4000 for number in range(5)], 1)
    for most, sizes in ((1 << 20, [5]), (30_000, [1] * 5), (50_000, [2, 2, 1])):
        monkeypatch.setattr(parquet, "ROW_GROUP", most)
        assert [table.num_rows for table in parquet.rows(source(path))] == sizes, most


def test_a_small_file_that_unpacks_to_much_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, ["c" * 40_000])
    assert source(path).is_small
    monkeypatch.setattr(parquet, "SMALL", 70_000)
    assert not source(path).is_small


def test_one_that_says_less_than_it_holds_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "SMALL", 100)
    monkeypatch.setattr(parquet, "LARGER", 100)
    long = struct.pack("<I", 20_000) + b"c" * 20_000
    size = {6: Long(5), 7: Long(20_100)}
    assert DAMAGE in refusal(by_hand(tmp_path, page(long), more=size))


def test_one_that_says_that_it_has_too_many_rows_is_refused_before_they_are_read(tmp_path: Path) -> None:
    found = find(Delivery(write(tmp_path, ["a", "b"]), "auto", Defaults(1, "vcloud", False, None)))
    with pytest.raises(UserError, match=r"holds more than 1 rows: deliver it in parts"):
        open_source(found, 1, replace(LIMITS, rows=1))


# -- time, and what ends the process ---------------------------------------------------------------------------------


def test_a_file_that_ends_the_process_that_reads_it_stops_no_other(tmp_path: Path) -> None:
    before = reader_of(tmp_path)
    for sent in SIGSTOP, SIGXCPU:  # which ends it when it goes on
        os.kill(before.process.pid, sent)
    Timer(0.2, os.kill, [before.process.pid, SIGCONT]).start()
    with pytest.raises(
        UserError, match=r"events.parquet ended the process that reads it, or took too long; "
    ):
        source(by_hand(tmp_path, page(TEXT)))
    assert is_read(tmp_path)
    assert reader_of(tmp_path).process.pid != before.process.pid


def test_no_file_is_to_blame_for_a_process_that_ended_while_it_read_nothing(tmp_path: Path) -> None:
    before = reader_of(tmp_path)
    before.process.kill()
    before.process.wait()
    assert reader_of(tmp_path).process.pid != before.process.pid


def reader_of(folder: Path) -> Any:
    """The process that reads the next file."""
    assert is_read(folder)
    return parquet_process._idle[os.getpid()][-1]


def test_a_reader_may_take_as_long_as_is_said() -> None:
    assert exit_code(read_for_ever, 1) == -SIGXCPU


def read_for_ever(seconds: int) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        while time.process_time() < LONG_S:  # for ever, but for a mutant
            pass
        yield from ()

    ours, _ = Pipe()
    with patch.object(parquet_reader, "SECONDS", seconds):
        parquet_reader._answer(ours, batches())


def test_who_stops_reading_leaves_no_answer_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 30_000)
    rows = parquet.rows(source(write(tmp_path, [str(number) * 4000 for number in range(5)], 1)))
    next(rows)
    del rows
    assert is_read(tmp_path)


def test_a_reader_has_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_process, "_idle", type(parquet_process._idle)(list))
    for name in ("CALLMART_DSN", "PGPASSWORD", "HARMLESS"):
        monkeypatch.setenv(name, "secret")
    reader = reader_of(tmp_path)
    variables = Path(f"/proc/{reader.process.pid}/environ").read_bytes().split(b"\0")
    reader.end()
    assert b"HARMLESS=secret" in variables
    assert not [variable for variable in variables if variable.startswith((b"CALLMART_", b"PG"))]


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"\x00",  # no fields
        b"\x1c" * 2000,  # too many levels
        b"\x15" + b"\xff" * 20,  # an integer without an end
        b"\x15\x00\x15\x01",  # less than nothing
        b"\x19\xfb" + b"\xff" * 9 + b"\x01",  # a list that is longer than any file
        b"\x1d",  # no type
    ],
)
def test_a_page_without_a_head_is_damage(tmp_path: Path, head: bytes) -> None:
    path = write(tmp_path, [f"{number:060}" for number in range(1000)])
    written = path.read_bytes()
    path.write_bytes(written[:4] + head + written[4 + len(head) :])
    assert DAMAGE in refusal(path)


def test_so_is_a_file_with_fewer_rows_than_it_says(tmp_path: Path) -> None:
    """Arrow took the first page for the end. Nothing of the file landed, and nobody was told."""
    assert DAMAGE in refusal(by_hand(tmp_path, page(b"", values=0) + page(TEXT)))


def test_the_index_of_pandas_is_named_if_it_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    index = pa.array([1])
    pq.write_table(pa.table({"event": ["a"], "occurred_at": ["b"], "__index_level_0__": index}), path)
    with pytest.raises(UserError, match=r"column 3 of the header \(__index_level_0__\) is not known"):
        source(path)
