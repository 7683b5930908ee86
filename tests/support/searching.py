"""Looks for words in all files below a folder. Knows nothing of callmart, and nothing of its own search."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path


def files_with(folder: Path, words: set[bytes]) -> set[str]:
    """The files, packed ones included, in which one of the words stands in UTF-8 or UTF-16."""
    sought = words | {word.decode().encode("utf-16-le") for word in words if word.isascii()}
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
        for content in _contents(path.read_bytes())
        if any(word in content for word in sought)
    }


def _contents(content: bytes) -> Iterator[bytes]:
    yield content
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member in packed.namelist():
                yield from _contents(packed.read(member))
