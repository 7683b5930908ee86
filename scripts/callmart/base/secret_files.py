"""Files that hold a secret: only their owner can read them."""

import os
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from callmart.base.errors import UserError


def secret_file(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read, and its folders if they are missing."""
    private_folder(path.parent)
    write_in_folder(path, content.encode() if isinstance(content, str) else content)


def write_in_folder(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read into a folder that is there. It is written whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    try:
        write_synced(draft, content, os.O_CREAT | os.O_EXCL)
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # when a disk is full, the system names no file
        raise


def write_synced(path: Path, content: bytes, flags: int) -> None:
    """Write to a file that only its owner can read, and have the disk keep it. `flags` say how it is opened."""
    with os.fdopen(os.open(path, os.O_WRONLY | flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it, that only their owner can list: folders are named by customers' numbers. With
    `parents=True` only the last one would get the mode.
    """
    if not folder.is_dir():
        private_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def refuse_shared(path: Path, named: str) -> None:
    """Raise UserError if other users can open a file that holds a secret; OSError if it can't be looked at."""
    if path.stat().st_mode & 0o077:
        raise UserError(f"{named}: other users can open {path}; close it with `chmod 600 {path}`")


def secret_of(setting: str, value: SecretStr | None, file: Path | None) -> str:
    """Return a secret that is set by its value or by a file. `setting` is the name of the setting of the file. Raises
    UserError if the file can't be read, or if other users can open it, or if the secret is empty.
    """
    try:
        if file is not None and value is None:
            refuse_shared(file, f"setting {setting}")
        secret = value.get_secret_value() if value else file.read_text().strip() if file else ""
    except (OSError, UnicodeDecodeError):
        raise UserError(f"setting {setting}: {file} can't be read; create it with the secret in it") from None
    if not secret:
        raise UserError(f"setting {setting}: the secret is empty; name a file that contains it")
    return secret
