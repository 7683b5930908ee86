"""Parquet files that unpack to more than they say, or more than fits into memory. Needs no server."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from callmart.base.errors import UserError
from callmart.land import parquet
from callmart.land.found import Delivery, find
from callmart.land.gate import Defaults
from callmart.land.readers import open_source
from callmart.land.source import Source
from landing import LIMITS


def source(path: Path) -> Source:
    return open_source(find(Delivery(path, "auto", Defaults(1, "vcloud", False, None))), 1, LIMITS)


def write(folder: Path, texts: list[str], row_group_size: int | None = None) -> Path:
    path = folder / "events.parquet"
    table = pa.table({"event": texts, "occurred_at": texts, "call_id": [None] * len(texts)})
    table = table.set_column(2, "call_id", table["call_id"].cast(pa.string()))
    pq.write_table(table, path, row_group_size, compression="zstd", use_dictionary=False)
    return path


def test_a_file_whose_end_says_too_little_is_refused_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what its end says, 64 GiB of a file of one MiB could be read at once."""
    path = write(tmp_path, [f"{number:060}" for number in range(1000)])
    said = pq.ParquetFile(path).metadata.row_group(0).total_byte_size
    assert 1 << 13 < said < 1 << 20, "it is written in three bytes"
    written = path.read_bytes()
    before = bytes([said << 1 & 127 | 128, said >> 6 & 127 | 128, said >> 13])
    assert written.count(before) == 1
    path.write_bytes(written.replace(before, b"\x82\x80\x00"))
    assert pq.ParquetFile(path).metadata.row_group(0).total_byte_size == 1
    assert source(path).footer.sizes == pytest.approx([said], rel=0.1)  # type: ignore[union-attr]
    monkeypatch.setattr(parquet, "ROW_GROUP", 10_000)
    with pytest.raises(UserError, match=r"row group 1 holds more than .*; write smaller row groups"):
        source(path)


def test_row_groups_that_are_too_much_together_are_read_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, [str(number) * 4000 for number in range(5)], 1)
    for most, sizes in ((1 << 20, [5]), (10_000, [1] * 5), (20_000, [2, 2, 1])):
        monkeypatch.setattr(parquet, "ROW_GROUP", most)
        assert [table.num_rows for table in parquet.rows(source(path))] == sizes, most


def test_a_small_file_that_unpacks_to_much_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, ["c" * 40_000])
    assert source(path).is_small
    monkeypatch.setattr(parquet, "SMALL", 70_000)
    assert not source(path).is_small


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
    with pytest.raises(UserError, match="is damaged, breaks off"):
        source(path)
