"""The installation's id, which tells apart several callmart homes that publish to one Tableau site.

The id is in a file of the home and nowhere else. A backup of the database doesn't contain it, so another home on the
same database, or on a restored one, is another installation. A copied file is recognised by its inode: two homes with
the same id would remove each other's customers.

A third line says that the home was restored from a backup. `restored` does not publish. `takes over` publishes in the
place of the installation that the backup is of, until everything of that has been adopted.
"""

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from callmart.base.errors import UserError
from callmart.base.secret_files import private_folder

ID = "[0-9a-f]{12}"
_RESTORED, _TAKES_OVER = "restored", "takes over"


class _File(NamedTuple):
    """What the file says."""

    id: str
    inode: str | None  # None if a person wrote the file
    state: str | None


def ensure_id(home: Path) -> str:
    """Return the id of this home's installation. Create one if there is none.

    A file that a person wrote, without inode, is bound to this home. Raises UserError if the file can't be read, is
    malformed, or is a copy from another home.
    """
    path = _path(home)
    found = _read(path)
    if found is None:
        return _make(path)
    if found.inode is None:
        _draft(path, found.id).replace(path)
    elif int(found.inode) != path.stat().st_ino:
        raise UserError(
            f"{path} is a copy: if the home that it comes from is no longer at work, delete the file's second line to "
            "take its place; if it is, delete the file, and this home becomes an installation that publishes and mails "
            "on its own"
        )
    return found.id


def known_id(home: Path) -> str | None:
    """The id of this home's installation; None if it has none. Changes nothing."""
    found = _read(_path(home))
    return found.id if found else None


def make_restored(home: Path, *, takes_over: bool) -> None:
    """Give a restored home an id of its own. It does not publish, unless it takes over."""
    path = _path(home)
    _draft(path, _new_id(), _TAKES_OVER if takes_over else _RESTORED).replace(path)


def refuse_restored(home: Path) -> None:
    """Raise UserError if the home was restored and has not been told to take over. Then it must not even sign in to
    Tableau: that would end the other installation's session.
    """
    if _state(home) == _RESTORED:
        raise UserError(
            "this home was restored from a backup, so it publishes and mails nothing: if the installation that the "
            "backup is of is gone for good, run `callmart restore --take-over`"
        )


def takes_over(home: Path) -> bool:
    """Whether this home publishes in the place of the installation that its backup is of."""
    return _state(home) == _TAKES_OVER


def take_over(home: Path) -> None:
    """Let a restored home publish in the place of another installation. Raises UserError if it was not restored."""
    if _state(home) is None:
        raise UserError(
            f"{home} was not restored from a backup, or it has taken over already: there is nothing to take over"
        )
    _draft(_path(home), ensure_id(home), _TAKES_OVER).replace(_path(home))


def settle(home: Path) -> None:
    """Make a home that took over an installation like any other."""
    _draft(_path(home), ensure_id(home)).replace(_path(home))


def _path(home: Path) -> Path:
    return home / "installation"


def _state(home: Path) -> str | None:
    found = _read(_path(home))
    return found.state if found else None


def _read(path: Path) -> _File | None:
    """What the file says; None if there is no file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path} can't be read; give the user who runs callmart read permission") from None
    found = re.fullmatch(rf"({ID})(?:\ninode (\d+)(?:\n({_RESTORED}|{_TAKES_OVER}))?)?\s*", text)
    if found is None:
        raise UserError(
            f"{path} contains no installation id; put the 12 characters there that are in the description of its "
            "projects on Tableau, or delete the file to begin as a new installation"
        )
    return _File(found[1], found[2], found[3])


def _new_id() -> str:
    return secrets.token_hex(6)


def _make(path: Path) -> str:
    """Create and store a new id. If another process is faster, its id counts."""
    private_folder(path.parent)
    draft = _draft(path, _new_id())
    with suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
    return ensure_id(path.parent)


def _draft(path: Path, installation: str, state: str = "") -> Path:
    """Write the whole file under another name beside `path`. It keeps its inode when it is renamed or linked."""
    number, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(number, "w") as file:
        file.write(f"{installation}\ninode {os.fstat(number).st_ino}\n{state and state + chr(10)}")
    return Path(draft)
