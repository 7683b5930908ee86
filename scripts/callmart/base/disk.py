"""Files and folders on the disk."""

import os
from collections.abc import Iterator
from pathlib import Path


def sync(path: Path) -> None:
    """Have the disk keep a file or folder before anything that is done later."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder, sorted. What vanishes meanwhile is left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path
