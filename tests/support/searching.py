"""Looks for words in all files below a folder. Knows nothing of callmart, and nothing of its own search."""

import gzip
import io
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb


def files_with(folder: Path, words: set[bytes]) -> set[str]:
    """The files in which a word stands in UTF-8 or UTF-16: in the name, in the bytes, or in what is packed."""
    sought = words | {word.decode().encode("utf-16-le") for word in words if word.isascii()}
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
        for content in (path.name.encode(), *_contents(path.read_bytes()), *_rows(path))
        if any(word in content for word in sought)
    }


def _contents(content: bytes) -> Iterator[bytes]:
    yield content
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member in packed.namelist():
                yield from _contents(packed.read(member))
    elif content.startswith(b"\x1f\x8b"):
        yield from _contents(gzip.decompress(content))


def _rows(path: Path) -> Iterator[bytes]:
    """The rows of a database of SQLite, as statements, and the lines of a file that is packed with zstd."""
    with path.open("rb") as file:
        begin = file.read(16)
    if begin.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield "\n".join(database.iterdump()).encode()
    elif begin.startswith(b"\x28\xb5\x2f\xfd"):
        query = "select content from read_text(?, compression = 'zstd')"
        yield from (text.encode() for (text,) in duckdb.execute(query, [str(path)]).fetchall())
