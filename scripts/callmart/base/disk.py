"""Files and folders on the disk."""

import os
import re
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


def names(folder: Path, within: re.Pattern[str] | None = None) -> list[str]:
    """The names, from the folder on, of all that is below it and is no folder itself, sorted; a link to a folder is one
    of them. `within` says which names in the folder itself are looked at. What vanishes meanwhile is left out. Raises
    UserError if a folder can't be read.
    """
    found = []  # of texts: paths take ten times as long
    for place, folders, files in os.walk(folder, onerror=_unless_gone):
        if within and place == str(folder):
            folders[:] = filter(within.fullmatch, folders)
            files[:] = filter(within.fullmatch, files)
        found += [f"{place}/{name}" for name in files]
        found += [link for name in folders if Path(link := f"{place}/{name}").is_symlink()]
    return sorted(name[len(f"{folder}/") :] for name in found)


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder, as `names` finds them."""
    yield from (path for name in names(folder) if (path := folder / name).is_file())


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
