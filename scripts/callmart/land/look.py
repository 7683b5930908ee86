"""What a file was at a moment, without its content."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from callmart.base import controls
from callmart.base.errors import UserError, kind


@dataclass(frozen=True)
class Look:
    """What a file was at a moment. If two looks are equal, nobody has written to the file or replaced it between.

    A program can give a file any time of its last change (modified_ns), but not the time of the last change to its
    entry (changed_ns): with each write and each renaming the system sets that to its clock.
    """

    place: tuple[int, int]
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """Return the look for what the system says of a file."""
        return cls((found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def grew_from(self, earlier: Self) -> bool:
        """Whether this is the same file as earlier, with at least as much in it, as of a log that is written to."""
        return self.place == earlier.place and self.size >= earlier.size


def refuse_name(path: Path) -> None:
    """Raise UserError if the name of a file or folder is not UTF-8, or has a control character. No message and no key
    could have the former, and whoever delivers a file must not write our messages.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="replace")
        raise UserError(f"{shown} has a name that is not UTF-8; rename it") from None
    if controls.CONTROL.search(path.name):
        shown = controls.shown(path.name)
        raise UserError(f"{path.parent / shown} has a control character in its name; rename it")


def vanished(path: Path) -> UserError:
    """Return the error for a file that was there when its folder was read."""
    return UserError(f"{path} vanished meanwhile, and nothing of it landed; land it again when it is back")


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error for a file or folder that can't be read."""
    if isinstance(error, FileNotFoundError):
        return vanished(path)
    return UserError(
        f"{path} can't be read ({kind(error)}); give this user read permission, or deliver the whole file again"
    )
