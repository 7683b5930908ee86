"""Opening files: every format, exact line numbers, and a clear word about what is no raw file."""

import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet.encryption import create_encryption_properties

from callmart.base.errors import UserError
from callmart.land.found import Delivery, find
from callmart.land.gate import Defaults
from callmart.land.parquet import CLIP
from callmart.land.readers import batches, open_source
from callmart.land.source import Limits, Source
from landing import LIMITS

HEADER = "customer_id,event,occurred_at,call_id\n"
ROW = "7001,call_answered,2026-10-05T00:00:31Z,c1\n"
LOG_LINE = "1795529567|1795529567.16|sales|NONE|ABANDON|2|2|11\n"
REALTIME_HEADER = "time,callid,queuename,agent,event,data1,data2,data3,data4,data5\r\n"

Pack = Callable[[bytes], bytes]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def write(folder: Path, content: str | bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(rows: int, **columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    event = pa.repeat("call_answered", rows).dictionary_encode()
    table = pa.table({"event": event, "occurred_at": pa.nulls(rows, pa.string())} | columns)
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def source(path: Path, format: str = "auto", *, limits: Limits = LIMITS) -> Source:
    delivery = Delivery(path, format, Defaults(1, "vcloud", False, None))
    return open_source(find(delivery), 1, limits)


def tables(opened: Source) -> list[pa.Table]:
    found = [rows for _, rows in batches([opened], duckdb.connect(":memory:"))]
    if opened.tally.refusal:
        raise opened.tally.refusal
    return found


def read(opened: Source) -> list[dict[str, object]]:
    """The rows, without empty columns and the number of the file."""
    rows = pa.concat_tables(tables(opened)).drop_columns("file_number").to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def rejected(opened: Source) -> dict[int, str]:
    return {row["line_number"]: row["reason"] for table in opened.tally.rejects for row in table.to_pylist()}


def pzstd(data: bytes) -> bytes:
    """Frames, each after a frame to be skipped, which tells its size."""
    frames = [zstd(data[:20]), zstd(data[20:])]
    return b"".join(b"\x50\x2a\x4d\x18\4\0\0\0" + len(one).to_bytes(4, "little") + one for one in frames)


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, zstd, pzstd, lambda data: gzip.compress(data) + gzip.compress(b"", mtime=0)],
)
@pytest.mark.parametrize(
    ("content", "form"),
    [
        (HEADER + ROW, "csv"),
        ('{"event": "call_answered"}\n', "ndjson"),
        (' \t{"event": "call_answered"}\n\n', "ndjson"),
        (LOG_LINE, "queue_log"),
        (REALTIME_HEADER + "2026-11-24 15:12:38,NONE,NONE,NONE,QUEUESTART,,,,,\r\n", "queue_log_realtime"),
    ],
)
def test_format_and_compression_are_found_by_content(
    tmp_path: Path, content: str, form: str, pack: Pack
) -> None:
    opened = source(write(tmp_path, pack(content.encode()), "misleading.parquet"))
    assert opened.form == form
    assert len(read(opened)) == opened.tally.rows == 1


def test_line_numbers_stay_exact_around_what_is_no_row(tmp_path: Path) -> None:
    content = (
        b"\xef\xbb\xbf" + HEADER.encode()  # 1
        + b"7001,call_answered,2026-10-05T00:00:31Z,first\r\n"  # 2
        + b"\n\r\n"  # 3, 4
        + b"7001,call_answered,2026-10-05T00:00:31Z,caf\xe9\n"  # 5: Latin-1
        + b"7001,call_answered,2026-10-05T00:00:31Z,nul\0\n"  # 6
        + b"7001,call_answered\n"  # 7: too few
        + b"7001,call_answered,2026-10-05T00:00:31Z,c,extra\n"  # 8: too many
        + b'7001,call_answered,2026-10-05T00:00:31Z,"open\n'  # 9
        + b'7001,call_answered,2026-10-05T00:00:31Z,a"b,"c\n'  # 10: a quote opens within
        + b'7001,call_answered,2026-10-05T00:00:31Z,"last, ""quoted"" \xc3\xa9"\n'  # 11
        + b"7001,call_answered,2026-10-05T00:00:31Z,lone\rreturn\n"  # 12
        + b"7001,call_answered,2026-10-05T00:00:31Z,a\"b\n"  # 13: a quote inside is no CSV either
        + b"7001,call_answered,2026-10-05T00:00:31Z,end\n"  # 14
    )  # fmt: skip
    opened = source(write(tmp_path, content))
    rows = read(opened)
    assert [(row["line_number"], row["call_id"]) for row in rows] == [
        (2, "first"),
        (11, 'last, "quoted" é'),
        (14, "end"),
    ]
    assert set(rejected(opened)) == {5, 6, 7, 8, 9, 10, 12, 13}
    assert opened.tally.rows == 11


def test_line_numbers_stay_exact_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callmart.land.found.BLOCK", 100)
    lines = [f"7001,call_answered,2026-10-05T00:00:31Z,line-{number}\n" for number in range(2, 500)]
    lines[100] = "broken\n"
    lines[200] = "\n"
    opened = source(write(tmp_path, HEADER + "".join(lines)))
    rows = read(opened)
    assert all(row["call_id"] == f"line-{row['line_number']}" for row in rows)
    assert len(rows) == 496
    assert rejected(opened) == {102: "the line has more or fewer columns than the header"}


def test_a_last_line_without_its_end_waits(tmp_path: Path) -> None:
    opened = source(write(tmp_path, HEADER + ROW + ROW.rstrip("\n")))
    assert [row["line_number"] for row in read(opened)] == [2]
    assert opened.tally.incomplete_last_line
    whole = source(write(tmp_path, HEADER + ROW))
    read(whole)
    assert not whole.tally.incomplete_last_line


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_compressed_file_must_be_whole(tmp_path: Path, pack: Pack) -> None:
    cut = source(write(tmp_path, pack((HEADER + ROW.rstrip("\n")).encode())))
    with pytest.raises(UserError, match="line 2 is the last one and has no line end"):
        read(cut)
    noise = "".join(f"7001,call_answered,2026-10-05T00:00:31Z,{n * 7919 % 99991}\n" for n in range(50_000))
    packed = pack((HEADER + noise).encode())
    with pytest.raises(UserError, match="damaged or breaks off"):
        read(source(write(tmp_path, packed[:-9])))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (HEADER.encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04 a workbook", "binary file"),
        (b"\x7fELF\x02\x01\0\0\0", "binary file"),
        (b"PAR1 but no more", "damaged"),
        (parquet(1).replace(b"occurred_at", b"occurr\xffd_at"), "damaged"),
        (b"PARE and the rest", "is an encrypted Parquet file; deliver it without encryption"),
        (gzip.compress(b"PAR1", mtime=0), "is a Parquet file packed with gzip; unpack it"),
        (zstd(b"PAR1"), "is a Parquet file packed with zstd; unpack it"),
        (b"[2026-11-24 15:12:38] VERBOSE[1] app_queue.c: hello\n", "or a line of a queue_log"),
        (b'"","0205551234","100","from-internal","""A"" <1>"\n', "or a line of a queue_log"),
        (b'[{"event": "call_answered"}]\n', "one object per line"),
        (b"customer_id;event;occurred_at\n", "commas"),
        ((HEADER + ROW).replace("\n", "\r").encode(), "its lines end in CR; save it with LF or CRLF"),
        ((HEADER + ROW).replace("\n", "\r").encode() + b"\n", "its lines end in CR; save it with LF or CRLF"),
        (LOG_LINE.replace("\n", "\r").encode() * 2, "its lines end in CR; save it with LF or CRLF"),
        (b"customer_id,event,occured_at\n", "column 3 of the header is not known"),
        (b"event,occurred_at,extension\n", r"column 3 of the header \(extension\) is not known"),
        (b"event,occurred_at,event\n", r"column 3 of the header \(event\) occurs twice"),
        (b"customer_id,event\n", "no column occurred_at"),
        (REALTIME_HEADER.replace(",data5", "").encode(), "no column data5"),
    ],
)
def test_what_is_no_raw_file_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UserError, match=says) as refusal:
        source(path)
    assert str(path) in str(refusal.value)


def test_a_row_in_place_of_the_header_is_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path, "event,Jansen,0612345678\n")
    with pytest.raises(UserError) as refusal:
        source(path)
    assert "Jansen" not in str(refusal.value) and "0612345678" not in str(refusal.value)


def test_the_format_asked_for_must_be_the_format_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is csv, not queue_log"):
        source(write(tmp_path, HEADER + ROW), "queue_log")
    with pytest.raises(UserError, match="not a Parquet file"):
        source(write(tmp_path, HEADER + ROW), "parquet")
    with pytest.raises(UserError, match="format 'xlsx' is not known"):
        source(write(tmp_path, HEADER + ROW), "xlsx")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in tmp_path / "absent.csv", tmp_path:
        with pytest.raises(UserError, match="is not a file; name an existing file"):
            source(path)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callmart.land.found.BLOCK", 1000)
    with pytest.raises(UserError, match="line 2 is longer"):
        read(source(write(tmp_path, HEADER + "x" * 5000)))


def test_ndjson_rejects_line_by_line(tmp_path: Path) -> None:
    lines = [
        '{"event": "call_answered", "customer_id": 7001, "duration_s": 1.50,'
        ' "recorded": true, "queue": null}',
        '{"event": "call_answered", "colour": "red"}',
        '{"event": "a", "event": "b"}',
        '{"event": {"name": "a"}}',
        '{"event": ["a"]}',
        '["event"]',
        '{"event": "a"',
        '{"event": "\\ud800"}',
        "",
        '{"event": "é"}',
    ]
    opened = source(write(tmp_path, "\n".join(lines) + "\n"))
    assert read(opened) == [
        {
            "line_number": 1,
            "event": "call_answered",
            "customer_id": "7001",
            "duration_s": "1.5",
            "recorded": "true",
        },
        {"line_number": 10, "event": "é"},
    ]
    assert rejected(opened) == {
        2: "a key is not in the raw format",
        3: "a key occurs twice",
        4: "a value is a list or an object",
        5: "a value is a list or an object",
        6: "the line is not a JSON object",
        7: "the line is not a JSON object",
        8: "the line is not a JSON object",
    }


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "nan", "-inf", "-NaN", "INF"])
def test_what_json_has_no_word_for_is_no_json(tmp_path: Path, word: str) -> None:
    lines = [f'{{"event": "a", "agent": {word}}}', f'{{"event": "a", "agent": "{word}"}}']
    opened = source(write(tmp_path, "\n".join(lines) + "\n"))
    assert read(opened) == [{"line_number": 2, "event": "a", "agent": word}]
    assert rejected(opened) == {1: "the line is not a JSON object"}


def test_parquet_of_any_types_becomes_text(tmp_path: Path) -> None:
    at = datetime(2026, 10, 25, 0, 30, 0, 123456, UTC)
    not_all_text = pa.array([b"c1", b"\xff", b"c3"], pa.binary())
    table = pa.table(
        {
            "customer_id": pa.array([7001, 7001, 7001], pa.int64()),
            "event": pa.array(["call_ended", "call_ended", "call_ended"]).dictionary_encode(),
            "occurred_at": pa.array([at, at, at], pa.timestamp("ns", "Europe/Amsterdam")),
            "duration_s": [1.5, None, 3.0],
            "recorded": [True, False, None],
            "call_id": pa.Array.from_buffers(pa.string(), 3, not_all_text.buffers()),
        }
    )
    path = tmp_path / "file"
    pq.write_table(table, path)
    opened = source(path)
    assert read(opened) == [
        {
            "line_number": 1,
            "customer_id": "7001",
            "event": "call_ended",
            "occurred_at": "2026-10-25 00:30:00.123456Z",
            "duration_s": "1.5",
            "recorded": "true",
            "call_id": "c1",
        },
        {
            "line_number": 3,
            "customer_id": "7001",
            "event": "call_ended",
            "occurred_at": "2026-10-25 00:30:00.123456Z",
            "duration_s": "3",
            "call_id": "c3",
        },
    ]
    assert rejected(opened) == {2: "a value is not UTF-8 text"}


@pytest.mark.parametrize(
    "type",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()],
    ids=str,
)
def test_text_of_parquet_is_utf_8_whatever_its_type(tmp_path: Path, type: pa.DataType) -> None:
    texts = pa.array([b"c1", b"\xff", b"\xc3\xa9"], pa.binary()).cast(type, safe=False)
    opened = source(write(tmp_path, parquet(3, call_id=texts)))
    assert [row["call_id"] for row in read(opened)] == ["c1", "é"]
    assert rejected(opened) == {2: "a value is not UTF-8 text"}


@pytest.mark.parametrize("in_dictionary", [False, True])
def test_an_integer_that_became_a_fraction_in_parquet_is_written_as_it_was(
    tmp_path: Path, in_dictionary: bool
) -> None:
    numbers = pa.array([31612345678.0, None, float("nan"), 31612345678.5, 5.0, 0.1, 2.0**60, float("inf")])
    few = pa.array(np.array([5, 0.5] * 4, np.float16))
    columns = {"other_number": numbers, "duration_s": few}
    if in_dictionary:
        columns = {name: column.dictionary_encode() for name, column in columns.items()}
    path = write(tmp_path, parquet(8, **columns))
    opened = source(path)
    rows = read(opened)
    assert [row.get("other_number") for row in rows] == [
        "31612345678", None, None, "3.16123456785e+10", "5", "0.1", "1.152921504606847e+18", "inf",
    ]  # fmt: skip
    assert [row["duration_s"] for row in rows] == ["5", "0.5"] * 4
    assert rejected(opened) == {}


@pytest.mark.parametrize("type", [pa.decimal64(18, 3), pa.decimal128(38, 10), pa.decimal256(50, 18)], ids=str)
def test_an_integer_that_became_a_decimal_in_parquet_is_written_as_it_was(
    tmp_path: Path, type: pa.DataType
) -> None:
    """But for what calls and events are known by."""
    numbers = pa.array([Decimal(text) for text in ("1001", "0", "612345678", "-100", "1.5", "0.001")], type)
    rows = read(source(write(tmp_path, parquet(6, agent=numbers, call_id=numbers))))
    texts = [str(row["agent"]) for row in rows]
    assert texts[:4] == ["1001", "0", "612345678", "-100"]
    assert [float(text) for text in texts[4:]] == [1.5, 0.001]
    assert [row["call_id"] for row in rows] == numbers.cast(pa.string()).to_pylist()


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array([0], pa.timestamp("us")), "a time without a time zone; write it with the time zone UTC"),
        (pa.array([b"0123456789abcdef"], pa.uuid()), "has type extension<arrow.uuid>; write it as text"),
        (pa.array([0], pa.date32()), "has type date32"),
        (pa.array([["x"]]), "has type list"),
    ],
)
def test_parquet_types_that_would_be_guessed_are_refused(tmp_path: Path, column: pa.Array, says: str) -> None:
    path = tmp_path / "file"
    pq.write_table(pa.table({"event": ["call_ended"], "occurred_at": column}), path)
    with pytest.raises(UserError, match=re.escape(says)):
        source(path)


def test_queue_log_lines_with_too_few_fields_are_rejects(tmp_path: Path) -> None:
    opened = source(
        write(tmp_path, LOG_LINE + "1795529567|a|b|c\n" + "1795529567|NONE|NONE|NONE|QUEUESTART|\n")
    )
    rows = read(opened)
    assert [(row["line_number"], row["event"], row["data"]) for row in rows] == [
        (1, "ABANDON", "2|2|11"),
        (3, "QUEUESTART", ""),
    ]
    assert rejected(opened) == {2: "the line has fewer than five fields"}


# how much a file may hold


LARGE = {
    "csv": HEADER.encode() + ROW.encode() * 99,
    "ndjson": b'{"event": "call_answered"}\n' * 100,
    "queue_log": LOG_LINE.encode() * 100,
    "realtime": REALTIME_HEADER.encode() + b"2026-11-24 15:12:38,NONE,NONE,NONE,QUEUESTART,,,,,\r\n" * 99,
    "empty lines": LOG_LINE.encode() + b"\n" * 99,
    "lines that are none": LOG_LINE.encode() + b"?\n" * 99,
    "parquet": parquet(100),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("what", LARGE)
def test_a_file_with_more_rows_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, pack: Pack
) -> None:
    monkeypatch.setattr("callmart.land.found.BLOCK", 200)
    monkeypatch.setattr("callmart.land.parquet.ROWS", 10)
    content = LARGE[what] if what == "parquet" else pack(LARGE[what])
    path = write(tmp_path, content)
    read(source(path, limits=replace(LIMITS, rows=100)))
    with pytest.raises(
        UserError, match=r"file holds more than 99 rows: .*raise max_file_rows in callmart.toml"
    ):
        read(source(path, limits=replace(LIMITS, rows=99)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_a_file_that_unpacks_to_more_than_the_limit_is_refused_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Pack
) -> None:
    monkeypatch.setattr("callmart.land.found.BLOCK", 1 << 10)
    content = HEADER.encode() + ROW.encode() * 10_000
    opened = source(write(tmp_path, pack(content)), limits=replace(LIMITS, gib=2**16 / 2**30))
    with pytest.raises(UserError, match=r"more than .* GiB unpacked: .*raise max_file_gib in callmart.toml"):
        read(opened)
    assert 0 < opened.tally.rows < 2_000


def test_parquet_unpacks_to_no_more_than_the_limit(tmp_path: Path) -> None:
    content = parquet(50_000, call_id=pa.repeat("c" * 200, 50_000))
    assert len(content) < 10_000
    opened = source(write(tmp_path, content), limits=replace(LIMITS, gib=2**20 / 2**30))
    with pytest.raises(UserError, match=r"more than .* GiB unpacked"):
        read(opened)


def test_encrypted_columns_of_parquet_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "file"
    table = pa.table({"event": ["call_answered"], "occurred_at": ["2026-10-05T00:00:31Z"]})
    key = create_encryption_properties(b"0123456789abcdef", plaintext_footer=True)
    pq.write_table(table, path, encryption_properties=key)
    with pytest.raises(UserError, match=r"or has encrypted columns; .*, without encryption$"):
        read(source(path))


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.binary()], ids=str)
def test_text_of_parquet_that_can_not_be_read_into_a_dictionary(
    tmp_path: Path, type: pa.DataType, encoding: str
) -> None:
    """As Spark and programs in Go write it."""
    texts = pa.array([f"é-{number}" for number in range(50)] + ["c" * 5000, None]).cast(type)
    table = pa.table({"event": texts, "occurred_at": texts, "call_id": texts})
    path = tmp_path / "file"
    pq.write_table(
        table, path, use_dictionary=["call_id"], column_encoding={"event": encoding, "occurred_at": encoding}
    )
    rows = read(source(path))
    assert [row.get("event") for row in rows] == [f"é-{number}" for number in range(50)] + ["c" * CLIP, None]
    assert all(row.get("call_id") == row.get("event") == row.get("occurred_at") for row in rows)


def test_a_later_part_of_a_parquet_file_that_can_not_be_read_into_dictionaries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB decides per row group."""
    monkeypatch.setattr("callmart.land.parquet.ROWS", 1000)
    monkeypatch.setattr("callmart.land.parquet.ROW_GROUP", 1 << 23)
    path = tmp_path / "file"
    duckdb.sql(
        "copy (select 'a' as event, 'b' as occurred_at, case when n < 5000 then 'few' else 'call-' || n end as call_id"
        f" from range(9000) as numbers (n)) to '{path}' (format parquet, parquet_version v2, row_group_size 2048)"
    )
    opened = source(path)
    assert [(row["line_number"], row["call_id"]) for row in read(opened)] == [
        (number + 1, "few" if number < 5000 else f"call-{number}") for number in range(9000)
    ]
    assert opened.tally.rows == 9000


@pytest.mark.thorough
@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.binary()], ids=str)
@pytest.mark.parametrize("encoded", [True, False], ids=["dictionary", "plain"])
def test_a_long_text_that_stands_in_a_parquet_file_once_is_not_repeated_in_memory(
    tmp_path: Path, type: pa.DataType, encoded: bool
) -> None:
    """20,000 times 20 MB would be more than any machine has."""
    text = pa.array(["c" * 20_000_000], type)
    column = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), 20_000), text)
    path = write(tmp_path, b"")
    pq.write_table(
        pa.table({"event": column, "occurred_at": column}), path, compression="zstd", store_schema=encoded
    )
    opened = source(path)
    (batch,) = tables(opened)
    assert set(pc.binary_length(batch["event"]).to_pylist()) == {CLIP}


def test_a_parquet_file_with_a_huge_row_group_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callmart.land.parquet.ROW_GROUP", 1_000)
    path = write(tmp_path, parquet(500, call_id=pa.array([f"c-{i}" for i in range(500)])))
    with pytest.raises(UserError, match=r"row group 1 holds more than .*; write smaller row groups"):
        source(path)
