"""Chooses the files of a folder that can land now. A file that is still being sent waits for the next run.

A file's age is what this machine's clock says now, less the time of the file's last change. If the folder is on another
machine, that machine's clock has written the time. A clock that is ahead shows here, because the file seems to come
from the future. A clock that is behind can't be seen, so `found.find` looks at the file again when it has read it.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from callmart.base.errors import UserError, kind
from callmart.base.settings import Folder
from callmart.land.look import Look, refuse_name, unreadable

MARKER = ".done"
UNFINISHED = (".part", ".tmp", ".filepart")
RECENT_S = 3600  # an unfinished file that came or changed since is no problem where runs come often


@dataclass(frozen=True)
class Arrived:
    """The files to land, as they are now; a sentence per unfinished file that is recent; and one for everything else
    that a person should look at. What was changed first lands first: the older part of a log that was rotated.
    """

    files: tuple[tuple[Path, Look], ...]
    unfinished: tuple[str, ...]
    problems: tuple[str, ...]


def arrived(folder: Folder, clock: Callable[[], float]) -> Arrived:
    """Look into a folder of callmart.toml. Names that begin with a dot are skipped, and so are the markers.

    Raises UserError if the folder can't be read.
    """
    with _opened(folder.path) as opened:
        entries, problems = _entries(folder.path, opened)
    now = clock()  # after that, as a file that is written meanwhile is not from the future
    files: list[tuple[Path, Look]] = []
    unfinished: list[str] = []
    for name, entry in entries.items():
        if is_marker(folder, name, entry):
            continue
        if problem := _no_file(entry):
            problems.append(f"{folder.path / name} {problem}")
        elif reason := awaited(folder, name, entries, now):
            is_recent = entry.st_mtime <= now < max(entry.st_mtime, entry.st_ctime) + RECENT_S
            (unfinished if is_recent else problems).append(f"{folder.path / name} {reason}")
        else:
            files.append((folder.path / name, Look.of(entry)))
    files.sort(key=lambda file: (file[1].modified_ns, file[0].name))
    return Arrived(tuple(files), tuple(unfinished), tuple(problems))


def awaited(folder: Folder, name: str, entries: Mapping[str, os.stat_result], now: float) -> str | None:
    """Why a file is unfinished, and what it waits for; None if it is complete. `entries` is everything beside it."""
    ending = next((ending for ending in UNFINISHED if name.lower().endswith(ending)), None)
    if ending:
        return f"is unfinished: its name ends in {ending}; it lands when the sender has renamed it"
    changed = entries[name].st_mtime
    if folder.settle_seconds and changed > now:
        return (
            "is unfinished: it was changed later than this machine's clock says now; correct the clock of the "
            "machine that wrote it, or `touch` the file"
        )
    if folder.settle_seconds and changed > now - folder.settle_seconds:
        return (
            f"is unfinished: it changed less than {folder.settle_seconds} seconds ago (settle_seconds); "
            "the next run takes it"
        )
    if folder.done and not _is_marked(folder, name, entries):
        return (
            f"is unfinished: {name}{MARKER} is awaited beside it; the next run takes it when the sender has put a "
            "new one there"
        )
    return None


def is_marker(folder: Folder, name: str, entry: os.stat_result) -> bool:
    """Whether this only says that another file is complete. A folder says nothing."""
    return folder.done and name.endswith(MARKER) and not stat.S_ISDIR(entry.st_mode)


def clear_markers(folder: Folder, now: float) -> None:
    """Delete the markers whose files were taken away, each by itself. A marker that has just come may be earlier than
    its file.

    Raises UserError for the first one that can't be deleted, when all others are.
    """
    failed: list[tuple[Path, OSError]] = []
    with _opened(folder.path) as opened:
        entries, _ = _entries(folder.path, opened)
        markers = (name for name, entry in entries.items() if is_marker(folder, name, entry))
        for name in markers:
            if name.removesuffix(MARKER) in entries or entries[name].st_mtime > now - folder.settle_seconds:
                continue
            try:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=opened)
            except OSError as error:
                failed.append((folder.path / name, error))
    if failed:
        path, reason = failed[0]
        raise UserError(
            f"{path} can't be deleted ({kind(reason)}); give this user write permission on {folder.path}"
        )


def _is_marked(folder: Folder, name: str, entries: Mapping[str, os.stat_result]) -> bool:
    """Whether the file has its marker. A marker that is older belongs to an earlier file of the same name."""
    marker = entries.get(name + MARKER)
    if marker is None or not is_marker(folder, name + MARKER, marker):
        return False
    return marker.st_mtime >= entries[name].st_mtime


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The folder, opened: whatever is at its path later, this is looked at. Raises UserError if it lies elsewhere."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} is not a folder; correct `folders` in callmart.toml") from None
    except OSError as error:
        raise unreadable(folder, error) from None
    try:
        place = Path(f"/proc/self/fd/{opened}").readlink()
        if place != folder:
            raise UserError(
                f"{folder} leads to {place}, by a link that is neither root's nor callmart's, or that is new: if that "
                "is right, name that folder in callmart.toml; if not, it can be another customer's, so make the folder "
                "anew, and give the folders above it to root"
            )
        yield opened
    finally:
        os.close(opened)


def _entries(folder: Path, opened: int) -> tuple[dict[str, os.stat_result], list[str]]:
    """What is in an opened folder, by name, and a sentence per entry that can't be looked at, or vanished meanwhile."""
    try:
        names = sorted(name for name in os.listdir(opened) if not name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from None
    found, problems = {}, []
    for name in names:
        try:
            refuse_name(folder / name)
            found[name] = os.lstat(name, dir_fd=opened)
        except UserError as refused:
            problems.append(str(refused))
        except PermissionError as error:  # it concerns all of them
            raise unreadable(folder, error) from None
        except OSError as error:
            problems.append(str(unreadable(folder / name, error)))
    return found, problems


def _no_file(entry: os.stat_result) -> str | None:
    """Why an entry can't be a file of raw events. A link could lead to another customer's folder."""
    if stat.S_ISLNK(entry.st_mode):
        return "is a link; put the file itself into the landing folder"
    if not stat.S_ISREG(entry.st_mode):
        return "is not a file; take it out of the landing folder"
    return None
