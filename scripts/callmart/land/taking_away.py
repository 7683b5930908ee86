"""What becomes of a file of a folder once it has landed: it stays, or is deleted, or is moved to another folder.

Only the database says that a file has landed, and it knows the file by its content. So a crash between the landing and
this step is made good by the next run: the file lands as one that landed before, and is then taken away.
"""

import errno
import os
import re
import shutil
from contextlib import suppress
from datetime import date
from hashlib import file_digest
from pathlib import Path

import psycopg

from callmart.base import sql_file
from callmart.base.disk import is_gone
from callmart.base.errors import UserError, kind
from callmart.base.keys import keyed
from callmart.base.settings import Folder, Settings
from callmart.database.fingerprints import installation_key
from callmart.land.found import Delivery, digest_of, no_link, pieces
from callmart.land.look import Look

SQL = sql_file.statements(__file__)
UNTIL = re.compile(r"until-(\d{4}-\d{2}-\d{2})")


def take_away(
    connection: psycopg.Connection, settings: Settings, folder: Folder, delivery: Delivery, today: date
) -> None:
    """Do with a file that has landed what the folder's `after` says. `connection` is the owner's.

    Raises UserError if the file has to stay.
    """
    if folder.after == "keep":
        return
    path = delivery.path
    try:
        with open(path, "rb", opener=no_link) as file:
            look = Look.of(os.fstat(file.fileno()))
            # A file of nothing but holes is not read for hours.
            if look.size > settings.max_file_gib * (1 << 30):
                raise UserError(
                    f"{path} landed, but holds more than {settings.max_file_gib:,} GiB now, and stays: delete it, or "
                    "raise max_file_gib in callmart.toml"
                )
            digest = digest_of(file, look.size)
        key = keyed(installation_key(connection, settings), "content", digest)
        last_day = _last_day(connection, folder, path, key, delivery.asked, today)
        if folder.move_to is None:
            _delete_unchanged(path, look)
        else:
            _move(path, look, digest, folder.move_to, last_day)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and is_gone(path):  # its sender has taken it away
            return
        remedy = (
            "give this user write permission on" if isinstance(error, PermissionError) else "mend that in"
        )
        places = f"{folder.path} and {folder.move_to}" if folder.move_to else f"{folder.path}"
        raise UserError(
            f"{path} landed, but can't be {'moved' if folder.move_to else 'deleted'} ({kind(error)}); "
            f"{remedy} {places}"
        ) from None


def remove_moved(move_to: Path, today: date) -> tuple[int, UserError | None]:
    """Delete the moved files whose last day has passed, each by itself. Returns how many were deleted, and the error of
    the first one that can't be, or of the folder if it can't be read.
    """
    removed, failed = 0, list[tuple[Path, OSError]]()
    try:
        folders = sorted(move_to.iterdir())
    except OSError as error:
        folders, failed = [], [(move_to, error)]
    for folder in folders:
        last_day = _day(folder.name)
        if last_day is None or last_day >= today:
            continue
        try:
            if folder.is_symlink():  # what it leads to was not moved by callmart
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            for path in sorted(folder.iterdir()):
                try:
                    _delete(path)
                    removed += 1
                except OSError as error:
                    failed.append((folder, error))
            folder.rmdir()
        except OSError as error:
            failed.append((folder, error))
    if not failed:
        return removed, None
    place, reason = failed[0]
    return removed, UserError(
        f"{place}: the raw files that were moved there can't be deleted in time ({kind(reason)}); "
        "mount the folder, and give this user write permission"
    )


def without_last_line(path: Path) -> UserError:
    """Return the error for a file that can't have landed whole."""
    return UserError(
        f"{path} landed without its last line, which has no line end, and stays; let the sender end the line"
    )


def _last_day(
    connection: psycopg.Connection, folder: Folder, path: Path, content_key: str, asked: str, today: date
) -> date:
    """The last day on which a copy of this file may be kept. Raises UserError if its content has not landed whole."""
    found = connection.execute(
        SQL["landed"],
        {"content_key": content_key, "asked": asked, "today": today, "keep_days": folder.keep_days},
    ).fetchone()
    connection.commit()
    if found is None:
        raise _changed(path)
    incomplete, last_day = found
    if incomplete:
        raise without_last_line(path)
    return last_day  # type: ignore[no-any-return]


def _changed(path: Path) -> UserError:
    return UserError(f"{path} changed after it landed, and stays; the next run lands it again")


def _refuse_changed(path: Path, look: Look) -> None:
    """Raise UserError unless the file is still what it was when it was read."""
    if Look.of(path.lstat()) != look:
        raise _changed(path)


def _delete_unchanged(path: Path, look: Look) -> None:
    _refuse_changed(path, look)
    path.unlink()


def _move(path: Path, look: Look, digest: str, move_to: Path, last_day: date) -> None:
    """Move a file into the folder of its last day. A file that is there is never overwritten: this one gets a name that
    begins with the digest of its content.
    """
    folder = move_to / f"until-{last_day}"
    with suppress(FileExistsError):
        # Not its parents: if a mount is missing, nothing may be written in its place.
        folder.mkdir(mode=0o700)
    if folder.is_symlink():
        raise UserError(f"{path} landed, but can't be moved: {folder} is a link; remove it")
    for name in (path.name, f"{digest[:16]}-{path.name}"):
        target = folder / name
        if _has_content(target, digest):  # a run broke off after it had copied the file
            _delete_unchanged(path, look)
            return
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))  # now the name is taken
        except FileExistsError:
            continue
        try:
            _carry(path, look, target)
        except BaseException:
            _draft(target).unlink(missing_ok=True)  # on a disk that is full it would keep all others waiting
            target.unlink()
            raise
        return
    raise UserError(
        f"{path} landed, but can't be moved: {folder} has files of its name; move one of them away"
    )


def _carry(path: Path, look: Look, target: Path) -> None:
    """Put a file in the place of the empty `target`. Raises UserError if somebody changes it meanwhile."""
    _refuse_changed(path, look)
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        draft = _draft(target)
        draft.unlink(missing_ok=True)  # of a run that was killed
        # Not through a link that somebody has put there.
        with open(path, "rb", opener=no_link) as source, draft.open("xb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            copy.writelines(pieces(source, look.size))
            copy.flush()
            os.fsync(copy.fileno())
        draft.replace(target)
        _delete_unchanged(path, look)


def _draft(target: Path) -> Path:
    """Where a file is copied to before it takes its place."""
    return target.with_name(f".{target.name}")


def _delete(path: Path) -> None:
    """Delete a file, or a folder that somebody has put there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _has_content(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        return False


def _day(name: str) -> date | None:
    """The last day in the name of a folder that `_move` made; None for any other folder."""
    found = UNTIL.fullmatch(name)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
