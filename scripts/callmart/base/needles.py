"""Looks for a person's words and keys in bytes: of files, of what is packed in them, and of what the database tells.

Texts are sought in one pass, by Hyperscan: in UTF-8 and UTF-16, in capitals and small letters. A key of an event or a
call is sought as PostgreSQL stores a bigint, in both byte orders, and as text (base/bigints.py: there can be many). A
text that is a number, such as one to call, is sought in all these forms.

A text of fewer than six bytes would be found by chance, and one that is part of somebody else's word would be found
there. Neither is sought here, but as a whole value of the columns of persons.
"""

import gzip
import json
import os
import re
import shutil
import threading
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from unicodedata import normalize

import hyperscan
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from callmart.base.bigints import LONGEST, Bigints, Bytes, stored
from callmart.base.errors import UserError

SHORTEST = 6  # bytes of a text that is sought in bytes

# A text that is a number, and the smallest that is sought in a bigint: with less than 33 bits half of the eight bytes
# would be zeros, which are everywhere.
_NUMBER, _SMALLEST = re.compile(r"\+?[0-9]{1,18}"), 2**32

_CHUNK = 16 << 20
_NESTED = 4  # containers in containers
_ZIP, _GZIP, _ZSTD, _PARQUET = b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"


@dataclass(frozen=True)
class Hits:
    """The needles that were found, by their place in `Needles.texts` and `Needles.numbers`."""

    texts: frozenset[int] = frozenset()
    numbers: frozenset[int] = frozenset()

    def __or__(self, other: "Hits") -> "Hits":
        return Hits(self.texts | other.texts, self.numbers | other.numbers)

    def __len__(self) -> int:
        return len(self.texts) + len(self.numbers)


class Needles:
    """What is sought of a person. Make it once per search: compiling takes longer than reading a small file."""

    def __init__(
        self, texts: Iterable[str], numbers: Iterable[int] = (), whole: Collection[str] = ()
    ) -> None:
        given = {text for text in texts if text}
        self.texts = sorted(text for text in given.difference(whole) if len(text.encode()) >= SHORTEST)
        self.whole = sorted(given.difference(self.texts))
        self.numbers = sorted(set(numbers))
        self._bigints = Bigints(self.numbers)
        forms = [
            *(
                (place, form, hyperscan.HS_FLAG_CASELESS)
                for place, text in enumerate(self.texts)
                for spelled in _spellings(text)
                for form in (spelled.encode(), spelled.encode("utf-16-le"))
            ),
            *(
                (place, form, 0)
                for place, text in enumerate(self.texts)
                if _NUMBER.fullmatch(text) and int(text) >= _SMALLEST
                for form in stored(int(text))
            ),
            *(
                (len(self.texts) + place, form, 0)
                for place, number in self._bigints.left_out.items()
                for form in (*stored(number), b"%d" % number)
            ),
        ]
        self._longest = max((LONGEST, *(len(form) for _, form, _ in forms)))
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK) if forms else None
        self._own = threading.local()  # what Hyperscan needs of its own in each thread
        if self._database:
            self._database.compile(
                expressions=[b"".join(b"\\x%02x" % byte for byte in form) for _, form, _ in forms],
                ids=[place for place, _, _ in forms],
                flags=[flags | hyperscan.HS_FLAG_SINGLEMATCH for _, _, flags in forms],
                elements=len(forms),
            )

    def __repr__(self) -> str:
        return f"Needles({len(self.texts)} texts, {len(self.whole)} whole, {len(self.numbers)} numbers)"

    def __len__(self) -> int:
        return len(self.texts) + len(self.numbers)

    def in_bytes(self, data: Bytes) -> Hits:
        """Look in bytes that are at hand. They are not unpacked."""
        places: set[int] = set()
        if self._database:
            if not hasattr(self._own, "scratch"):
                self._own.scratch = hyperscan.Scratch(self._database)
            self._database.scan(data, lambda place, *_: places.add(place), scratch=self._own.scratch)  # type: ignore[type-var]
        texts = len(self.texts)
        return Hits(
            frozenset(place for place in places if place < texts),
            self._bigints.in_bytes(data) | {place - texts for place in places if place >= texts},
        )

    def in_chunks(self, chunks: Iterable[Bytes]) -> Hits:
        """Look in bytes that come in pieces. A needle may lie across two of them."""
        found, gathered = Hits(), bytearray()
        for chunk in chunks:
            gathered += chunk
            if len(gathered) >= _CHUNK:
                found |= self.in_bytes(gathered)
                del gathered[: -self._longest]
        return found | self.in_bytes(gathered)

    def in_file(self, path: Path, *, unpacks: bool = True) -> Hits:
        """Look in a file, in its name, and in what is packed in it. A file that vanishes meanwhile has none. Raises
        UserError if it can't be read, or if it begins like a container and can't be unpacked.
        """
        found = self.in_bytes(os.fsencode(path.name))
        try:
            with path.open("rb") as file:
                found |= self._in_pieces(file)
                return found | self._in_packed(file, _NESTED) if unpacks else found
        except FileNotFoundError:
            return found
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, pa.ArrowException):
            raise UserError(
                f"{path} can't be read or unpacked, so nobody knows who is in it; remove it"
            ) from None

    def _in_pieces(self, file: IO[bytes]) -> Hits:
        file.seek(0)
        return self.in_chunks(iter(partial(file.read, _CHUNK), b""))

    def _in_packed(self, file: IO[bytes], depth: int) -> Hits:
        found = Hits()
        for unpacked in _unpacked(file):
            if not depth:
                raise OSError("too many containers in each other")
            found |= self._in_pieces(unpacked) | self._in_packed(unpacked, depth - 1)
        return found


def _spellings(text: str) -> set[str]:
    """The text as others may have written it: in capitals or small letters, with accents composed or not, and as JSON
    escapes it. The case of ASCII letters does not count anyway.
    """
    cases = {text} if text.isascii() else {text, text.lower(), text.upper()}
    composed = {form for one in cases for form in (normalize("NFC", one), normalize("NFD", one))}
    return composed | {json.dumps(one)[1:-1] for one in composed}


def _unpacked(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The files in a container, unpacked; none if the file is no container."""
    file.seek(0)
    magic = file.read(4)
    file.seek(0)
    if magic == _ZIP:
        with zipfile.ZipFile(file) as packed:
            for member in packed.infolist():
                with packed.open(member) as stream:
                    yield from _spooled(stream)
    elif magic.startswith(_GZIP):
        with gzip.open(file) as stream:
            yield from _spooled(stream)
    elif magic == _ZSTD:
        with pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd") as stream:
            yield from _spooled(stream)
    elif magic == _PARQUET:
        for rows in pyarrow.parquet.ParquetFile(file).iter_batches():
            with TemporaryFile() as told:
                pyarrow.csv.write_csv(rows, told)
                yield told


def _spooled(stream: Any) -> Iterator[IO[bytes]]:
    """What a stream gives, as a file without a name."""
    with TemporaryFile() as file:
        shutil.copyfileobj(stream, file, _CHUNK)
        yield file
