"""Starts and stops this home's Tableau emulator, a process of its own. It is used if no other server is set."""

import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from callmart.base.errors import UserError
from callmart.base.settings import COMMAND, Settings
from tableau_emulator import process
from tableau_emulator.errors import EmulatorError, RunsAlready
from tableau_emulator.process import Emulator

TOKEN_NAME = "callmart"


def folder(home: Path) -> Path:
    """Return the folder in which the emulator keeps its state."""
    return home / "emulator"


def ensure_running(settings: Settings) -> Emulator:
    """Return the emulator; start it in the background if it isn't running, or is of another version. Raises UserError
    if it can't start.
    """
    home = settings.home
    with _for_the_user(home):
        return process.start(folder(home), TOKEN_NAME, _token_file(home), drawing(settings))


def is_running(home: Path) -> bool:
    """Return whether the emulator is running. Starts nothing."""
    return process.is_running(folder(home))


def serve(settings: Settings, announce: Callable[[Emulator], None]) -> None:
    """Run the emulator in this process until interrupted. `announce` is called once it answers."""
    from tableau_emulator import serve as foreground

    home = settings.home
    with _for_the_user(home):
        foreground.serve(
            folder(home), TOKEN_NAME, _token_file(home), draw=drawing(settings), announce=announce
        )


def stop(home: Path) -> bool:
    """Stop the emulator. Returns False if none was running."""
    with _for_the_user(home):
        return process.stop(folder(home))


def drawing(settings: Settings) -> str:
    """The command by which the emulator has views drawn: `callmart draw`. It names the settings, because an emulator in
    the background has no environment of ours. With a password in the DSN there is none: everybody sees commands.
    """
    needed = [f"CALLMART_HOME={settings.home}", f"CALLMART_TIME_ZONE={settings.time_zone}"]
    if settings.dsn is not None:
        dsn = settings.dsn.get_secret_value()
        if _can_have_password(dsn):
            return ""
        needed.append(f"CALLMART_DSN={dsn}")
    return shlex.join(["env", *needed, str(COMMAND), "draw"])


def _can_have_password(dsn: str) -> bool:
    try:
        return any("password" in key or "secret" in key for key in conninfo_to_dict(dsn))
    except psycopg.ProgrammingError:  # it is not understood, which whoever connects by it says
        return True


def _token_file(home: Path) -> Path:
    return home / "secrets" / "emulator_token"


@contextmanager
def _for_the_user(home: Path) -> Iterator[None]:
    """Turn the emulator's errors into UserErrors."""
    try:
        yield
    except RunsAlready:
        raise UserError("the Tableau emulator is already running; stop it with `callmart stop`") from None
    except EmulatorError as error:
        raise UserError(str(error)) from None
    except sqlite3.Error as error:  # such as a disk that is full; no row is in its words
        raise UserError(
            f"the Tableau emulator in {folder(home)} can't be used ({error}): correct that, and run the same command "
            "again"
        ) from None
