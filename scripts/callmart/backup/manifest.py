"""The manifest of a backup: what it was made from, what it holds, and the hashes of its files.

It is written last. So a folder without a manifest, or with files that differ from it, is not a whole backup.
"""

import json
from datetime import date, datetime
from hashlib import file_digest
from pathlib import Path

from pydantic import ValidationError

from callmart.base.errors import UserError
from callmart.base.keys import Whose
from callmart.base.strict import Strict

FORMAT = 1
NAME = "manifest.json"
DATABASE, KEYS = "database.dump", "keys.sealed"


class Content(Strict):
    """The number of rows of a table, and a digest of them."""

    rows: int
    digest: str


class File(Strict):
    """The size of a file, and its hash."""

    size: int
    sha256: str


class Ledger(Strict):
    """How far the ledger of erasures was. It is not in the backup, so that a restore can't bring back an old one."""

    id: str
    entry: int
    has_copy: bool


class Manifest(Strict):
    """What a backup holds."""

    format: int
    backup: str  # the id of the backup
    callmart: str  # the version that the database is of
    schema_version: int  # the last migration that the database has had
    time_zone: str
    postgresql: int  # the server's version, as 180004
    pg_dump: int  # the version of pg_dump, as 18
    made_at: datetime
    day: date | None  # on which callmart last worked
    tables: dict[str, Content]
    keys: dict[Whose, str]  # the fingerprints
    files: dict[str, File]
    ledger: Ledger | None = None  # None if the database had none yet

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables.values())


def of_file(path: Path) -> File:
    """The size and hash of a file."""
    with path.open("rb") as file:
        return File(size=path.stat().st_size, sha256=file_digest(file, "sha256").hexdigest())


def read(folder: Path) -> Manifest:
    """Read the manifest of a backup and compare all files with it. Raises UserError if the backup is not whole, or if
    a version of callmart made it that this one does not know.
    """
    path = folder / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} is not a whole backup: it has no {NAME}; copy the folder again, or name another one"
        ) from None
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} can't be read; copy the folder again, or let this user read it") from None
    _refuse_other_format(path, text)
    try:
        found = Manifest.model_validate_json(text)
    except ValidationError:
        raise _damaged(path) from None
    if found.files.keys() != {DATABASE, KEYS}:
        raise _damaged(path)
    for name, written in found.files.items():
        file = folder / name
        try:
            same = file.stat().st_size == written.size and of_file(file) == written
        except FileNotFoundError:
            raise UserError(f"{file} is missing: the backup was not copied whole; copy it again") from None
        except OSError:
            raise UserError(f"{file} can't be read; let this user read it, or copy it again") from None
        if not same:
            raise UserError(
                f"{file} is not as it was written: copy it again, or if the original is the same, use another backup"
            )
    return found


def _refuse_other_format(path: Path, text: str) -> None:
    """Raise UserError if the manifest is not of our format. A later one may have other keys."""
    try:
        known = json.loads(text)["format"] == FORMAT
    except (ValueError, TypeError, KeyError):
        raise _damaged(path) from None
    if not known:
        raise UserError(f"{path} is of a later version of callmart: restore it with that version")


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; copy the folder again, or use another backup")
