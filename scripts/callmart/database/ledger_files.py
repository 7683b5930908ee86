"""The files of the privacy ledger: the one in the home, and its copy (`privacy.ledger_copy`)."""

import os
from pathlib import Path

from callmart.base.disk import sync
from callmart.base.errors import UserError, kind
from callmart.base.secret_files import private_folder, write_in_folder, write_synced
from callmart.base.settings import Settings
from callmart.database import chain
from callmart.database.chain import Broken, Chain

REPLAY = "run `callmart privacy replay`"


def in_home(settings: Settings) -> Path:
    """The ledger in the home."""
    return settings.home / "privacy" / "ledger"


def both(settings: Settings) -> list[Path]:
    """The ledger and its copy. The copy is written first: if its volume is full, nothing has been written yet."""
    copy = settings.privacy.ledger_copy
    return [copy, in_home(settings)] if copy else [in_home(settings)]


def is_there(path: Path) -> bool:
    """Whether there is a ledger. Raises UserError if its volume does not say."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{path} can't be read ({kind(error)}): mount its volume") from error
    return True


def read(path: Path) -> Chain:
    """Read a ledger. Raises UserError if it is missing or is not as it was written."""
    try:
        return chain.parse(chain.whole_lines(path.read_bytes()))
    except OSError as error:
        raise UserError(
            f"the privacy ledger {path} can't be read ({kind(error)}); bring it back, or {REPLAY}"
        ) from error
    except Broken as error:
        raise UserError(f"the privacy ledger {path} is damaged, {error}; {REPLAY}") from error


def write(settings: Settings, path: Path, ledger: Chain) -> None:
    """Write a whole ledger in the place of what is there, synced to the disk. The folder of the copy must be there: it
    is missing if its volume is not mounted.
    """
    try:
        if path == in_home(settings):
            private_folder(path.parent)
        write_in_folder(path, ledger.text())
        sync(path.parent)
    except OSError as error:
        raise _unwritten(path, error) from None


def extend(path: Path, ledger: Chain) -> None:
    """Append the entries of a ledger that are not in the file yet."""
    try:
        text = chain.whole_lines(path.read_bytes())
        os.truncate(path, len(text))  # what was begun and never finished
        missing = ledger.entries[text.count(b"\n") - 1 :]
        write_synced(path, b"".join(map(chain.line, missing)), os.O_APPEND)
    except OSError as error:
        raise _unwritten(path, error) from None


def _unwritten(path: Path, error: OSError) -> UserError:
    return UserError(
        f"the privacy ledger {path} can't be written ({kind(error)}): make its volume writable, and run "
        "the same command again"
    )
