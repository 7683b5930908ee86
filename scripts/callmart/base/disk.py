"""Files and folders on the disk."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from callmart.base.errors import UserError

TEMPORARY = "tmp"  # in the home
SEGMENT = 16 << 20  # bytes of a file of PostgreSQL's log
PACKAGES = "packages"  # in the home, with a folder per customer (privacy/package/shelf.py)


def sync(path: Path) -> None:
    """Have the disk keep a file or folder before anything that is done later."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def free_files(folder: Path) -> float:
    """The share of a volume's files (inodes) that are free; 1 if it has no such limit. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_favail / found.f_files if found.f_files else 1


def is_gone(path: Path) -> bool:
    """Whether there is nothing at a path, not even a link. Raises OSError if nobody can look."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def is_full(folder: Path) -> bool:
    """Whether a volume has no room for one more file, or for one of those in which PostgreSQL keeps its log."""
    _, _, free = shutil.disk_usage(folder)
    return free < SEGMENT or free_files(folder) == 0


def on_one_volume(one: Path, other: Path) -> bool:
    """Whether two files or folders are on the same volume. Not if one can't be looked at."""
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False


def entries(folder: Path, within: re.Pattern[str] | None = None) -> list[os.DirEntry[str]]:
    """All that is below a folder and is no folder itself, sorted by path; a link to a folder is one of them. `within`
    says which names in the folder itself are looked at. What vanishes meanwhile is left out. Raises UserError if a
    folder can't be read.
    """
    return sorted(_below(str(folder), within), key=lambda entry: entry.path)


def files(folder: Path) -> Iterator[Path]:
    """The files below a folder, as `entries` finds them."""
    yield from (Path(entry.path) for entry in entries(folder) if entry.is_file())


def _below(folder: str, within: re.Pattern[str] | None = None) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            inside = list(found)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{error.filename} can't be read ({error.strerror}): correct its mode") from None
    for entry in inside:
        if within and not within.fullmatch(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
        else:
            yield entry


@contextmanager
def temporary(home: Path) -> Iterator[Path]:
    """A folder for the time of the block. It is in the home: what a kill leaves of it is looked for there."""
    place = home / TEMPORARY
    place.mkdir(mode=0o700, exist_ok=True)
    with TemporaryDirectory(dir=place) as folder:
        yield Path(folder)
