"""The installation's id, which tells apart several callmart homes that publish to one Tableau site.

The id is in a file of the home and nowhere else. A backup of the database doesn't contain it, so another home on the
same database, or on a restored one, is another installation. A copied file is recognised by its inode: two homes with
the same id would remove each other's customers.
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
    """Return the id of this home's installation. Create one if there is none.

    A file that a person wrote, without inode, is bound to this home. Raises UserError if the file can't be read, is
    malformed, or is a copy from another home.
    """
    path = home / "installation"
    try:
        text = path.read_text()
    except FileNotFoundError:
        return _make(path)
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} can't be read; give the user who runs callmart read permission") from None
    found = re.fullmatch(rf"({ID})(?:\ninode (\d+))?\s*", text)
    if found is None:
        raise UserError(
            f"{path} contains no installation id; put the 12 characters there that are in the description of its "
            "projects on Tableau, or delete the file to begin as a new installation"
        )
    if found[2] is None:
        _draft(path, found[1]).replace(path)
    elif int(found[2]) != path.stat().st_ino:
        raise UserError(
            f"{path} is a copy: if the home that it comes from no longer publishes, delete the file's second line to "
            "take its place; if it does, delete the file, and this home becomes an installation of its own"
        )
    return found[1]


def _make(path: Path) -> str:
    """Create and store a new id. If another process is faster, its id counts."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = _draft(path, secrets.token_hex(6))
    with suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
    return ensure_id(path.parent)


def _draft(path: Path, installation: str) -> Path:
    """Write the whole file under another name beside `path`. It keeps its inode when it is renamed or linked."""
    number, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(number, "w") as file:
        file.write(f"{installation}\ninode {os.fstat(number).st_ino}\n")
    return Path(draft)
