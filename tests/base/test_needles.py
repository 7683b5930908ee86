"""The search of a person's words and keys in bytes."""

import gzip
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet
import pytest

from callmart.base import needles
from callmart.base.errors import UserError
from callmart.base.needles import Hits, Needles

NAME, KEY = "Noor Zandvliet", -8234710923847102937
ODD = -4611686018427387905  # a key with parts that are everywhere
SOUGHT = Needles([NAME, "", "101"], [KEY])
NOTHING, BOTH = Hits(), Hits(frozenset({0}), frozenset({0}))


@pytest.mark.parametrize(
    "form",
    [
        NAME.encode(),
        NAME.upper().encode(),
        NAME.encode("utf-16-le"),
        KEY.to_bytes(8, "little", signed=True),
        KEY.to_bytes(8, "big", signed=True),
        str(KEY).encode(),
    ],
)
def test_each_form_is_found_where_it_stands_and_nowhere_else(form: bytes) -> None:
    around = bytes(range(256)) * 3
    assert len(SOUGHT.in_bytes(around + form + around)) == 1
    assert SOUGHT.in_bytes(around + form[:-1] + b"?" + around) == NOTHING


@pytest.mark.parametrize("form", [ODD.to_bytes(8, "little", signed=True), str(ODD).encode()])
def test_a_key_that_is_no_random_number_is_found(form: bytes) -> None:
    assert Needles([], [KEY, ODD]).in_bytes(b"-" + form + b"-") == Hits(numbers=frozenset({1}))


def test_each_of_many_keys_is_found_wherever_it_begins_and_nothing_that_differs() -> None:
    """Random keys are sought by their words: one word each lies in what is read, in any of eight positions."""
    keys = sorted(random.getrandbits(64) - 2**63 for _ in range(2000))
    sought = Needles([NAME], keys)
    for place, key in random.sample(list(enumerate(keys)), 40):
        for form in (
            key.to_bytes(8, "little", signed=True),
            key.to_bytes(8, "big", signed=True),
            b"%d" % key,
        ):
            for before in range(9):
                text = random.randbytes(before) + form + random.randbytes(random.randrange(9))
                assert sought.in_bytes(text) == Hits(numbers=frozenset({place}))
                changed = bytearray(text)
                changed[before + random.randrange(len(form))] ^= 1
                assert sought.in_bytes(changed) == NOTHING
    together = b"".join(random.randbytes(3) + b"%d" % key for key in keys)
    assert sought.in_bytes(together) == Hits(numbers=frozenset(range(2000)))


@pytest.mark.parametrize(
    "written",
    [
        "Élise Zandvliet",
        "ÉLISE ZANDVLIET",
        "élise zandvliet",
        "E\u0301lise Zandvliet",
        r"\u00c9lise Zandvliet",
    ],
)
def test_a_name_with_accents_is_found_however_it_is_written(written: str) -> None:
    """A label is sought as `registry apply` compares it, which would refuse each of these."""
    sought = Needles(["Élise Zandvliet"])
    for form in (written.encode(), written.encode("utf-16-le")):
        assert sought.in_bytes(b"-" + form + b"-") == Hits(frozenset({0}))
    assert sought.in_bytes(b"Elise Zandvliet") == NOTHING


@pytest.mark.parametrize("spelled", ["+31612345678", "0031612345678", "31612345678"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_a_number_in_a_bigint_is_found(spelled: str, order: Literal["little", "big"]) -> None:
    around = bytes(range(256)) * 3
    stored, next_one = (number.to_bytes(8, order) for number in (31612345678, 31612345679))
    assert Needles([spelled]).in_bytes(around + stored + around) == Hits(frozenset({0}))
    assert Needles([spelled]).in_bytes(around + next_one + around) == NOTHING


def test_a_number_that_is_mostly_zeros_is_sought_as_text_only() -> None:
    small = Needles(["0612345678"])
    assert small.in_bytes((612345678).to_bytes(8)) == NOTHING
    assert small.in_bytes(b"-0612345678-") == Hits(frozenset({0}))


def test_threads_search_beside_each_other() -> None:
    needles = Needles([f"somebody {number}" for number in range(100, 200)])
    told = b" ".join(text.encode() for text in needles.texts) * 100
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(needles.in_bytes, [told] * 40))
    assert found == {Hits(frozenset(range(100)))}


def test_what_is_too_short_for_bytes_is_named_apart() -> None:
    assert SOUGHT.whole == ["101"]
    assert SOUGHT.in_bytes(b"101" * 9) == NOTHING
    assert len(Needles(["été12"]).texts) == 1  # six bytes are not six letters


def test_a_needle_may_lie_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needles, "_CHUNK", 64)
    for before in range(40, 80):  # the needles lie across the end of what is gathered, or not
        text = b"-" * before + NAME.encode() + b"-" * 40 + KEY.to_bytes(8, "big", signed=True) + b"-" * 7
        for size in (1, 3, 64):
            pieces = (text[place : place + size] for place in range(0, len(text), size))
            assert SOUGHT.in_chunks(pieces) == BOTH


def test_containers_are_unpacked_also_in_each_other(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.tdsx", {"Extract.hyper": b"\0" * 99 + NAME.encode()})
    packed = {
        "a.tdsx": inner.read_bytes(),
        "b.gz": gzip.compress(b"-" * 99 + str(KEY).encode()),
    }
    assert SOUGHT.in_file(zipped(tmp_path / "outer.twbx", packed)) == BOTH
    assert SOUGHT.in_file(tmp_path / "outer.twbx", unpacks=False) == NOTHING
    compressed = tmp_path / "events.zst"
    compressed.write_bytes(pa.compress(NAME.encode() * 9, "zstd", asbytes=True))
    assert SOUGHT.in_file(compressed) == Hits(frozenset({0}))
    columns = {"agent": [NAME, "nobody"] * 500, "call": pa.array([KEY, 1] * 500, pa.int64())}
    pyarrow.parquet.write_table(
        pa.table(columns), tmp_path / "events.parquet", compression="gzip", write_statistics=False
    )
    assert SOUGHT.in_file(tmp_path / "events.parquet") == BOTH


def test_a_name_of_a_file_is_sought_too_and_what_vanished_has_nothing(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.txt").touch()
    assert SOUGHT.in_file(tmp_path / f"{NAME}.txt") == Hits(frozenset({0}))
    assert SOUGHT.in_file(tmp_path / "gone") == NOTHING


def test_what_is_packed_too_often_or_with_a_password_is_not_passed_over(tmp_path: Path) -> None:
    content = NAME.encode()
    for depth in range(6):
        content = gzip.compress(content)
        (tmp_path / f"{depth}.gz").write_bytes(content)
    assert SOUGHT.in_file(tmp_path / "3.gz") == Hits(frozenset({0}))
    locked = bytearray(zipped(tmp_path / "locked.zip", {"a": NAME.encode()}).read_bytes())
    locked[6] |= 1  # in the local header and in the directory: encrypted
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    for name in ("5.gz", "locked.zip"):
        with pytest.raises(UserError, match=f"{name} can't be read or unpacked"):
            SOUGHT.in_file(tmp_path / name)


@pytest.mark.parametrize("beginning", [b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd"])
def test_what_cannot_be_unpacked_is_not_passed_over(tmp_path: Path, beginning: bytes) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(beginning + b"and then nothing that belongs to it")
    with pytest.raises(UserError, match="broken can't be read or unpacked"):
        SOUGHT.in_file(broken)


def test_an_empty_file_and_nothing_to_seek(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert SOUGHT.in_file(tmp_path / "empty") == NOTHING
    assert Needles(["", "101"]).in_bytes(b"101") == NOTHING


def test_no_word_is_shown() -> None:
    assert "Noor" not in repr(SOUGHT)


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path
