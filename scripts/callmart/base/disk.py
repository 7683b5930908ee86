"""Files and folders on the disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from callmart.base.errors import UserError

TEMPORARY = "tmp"  # in the home


def sync(path: Path) -> None:
    """Have the disk keep a file or folder before anything that is done later."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def entries(folder: Path) -> Iterator[Path]:
    """All that is below a folder and is no folder itself, sorted; a link to a folder is one of them. What vanishes
    meanwhile is left out. Raises UserError if a folder can't be read.
    """
    found = []  # of texts: sorting paths takes ten times as long
    for place, folders, names in os.walk(folder, onerror=_unless_gone):
        found += [f"{place}/{name}" for name in names]
        found += [link for name in folders if Path(link := f"{place}/{name}").is_symlink()]
    yield from map(Path, sorted(found))


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder, as `entries` finds them."""
    yield from (path for path in entries(folder) if path.is_file())


@contextmanager
def temporary(home: Path) -> Iterator[Path]:
    """A folder for the time of the block. It is in the home: what a kill leaves of it is looked for there."""
    place = home / TEMPORARY
    place.mkdir(mode=0o700, exist_ok=True)
    with TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise UserError(f"{error.filename} can't be read ({error.strerror}): correct its mode") from None
