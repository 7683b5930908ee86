"""Installation: which callmart this is, where several publish to one Tableau site.

The id stands in a file of the home, and nowhere else: a backup of the database does not carry it, so another home on
the same database, or on a restored one, is another installation. A copy of the file is noticed by its inode: two homes
with one id would remove each other's customers.
"""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from callmart.base.errors import UserError

ID = "[0-9a-f]{12}"


def ensure_id(home: Path) -> str:
    """The id of the installation whose home this is; made where there is none, and bound where a person wrote it."""
    path = home / "installation"
    try:
        text = path.read_text()
    except FileNotFoundError:
        return _make(path)
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} can't be read; let the user that runs callmart read it") from None
    found = re.fullmatch(rf"({ID})(?:\ninode (\d+))?\s*", text)
    if found is None:
        raise UserError(
            f"{path} holds no id of an installation; write the 12 characters there that stand in the description of "
            "its projects on Tableau, or delete the file to begin as a new installation"
        )
    if found[2] is None:
        _draft(path, found[1]).replace(path)
    elif int(found[2]) != path.stat().st_ino:
        raise UserError(
            f"{path} is a copy: if the home that it comes from publishes no more, delete the file's second line to go "
            "on in its place; if it does, delete the file, and this home is an installation of its own"
        )
    return found[1]


def _make(path: Path) -> str:
    """A new id, kept; where another process was first, that one's counts."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = _draft(path, secrets.token_hex(6))
    with suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
    return ensure_id(path.parent)


def _draft(path: Path, installation: str) -> Path:
    """A whole file beside the one that it is to become: the inode goes along."""
    number, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(number, "w") as file:
        file.write(f"{installation}\ninode {os.fstat(number).st_ino}\n")
    return Path(draft)
