"""Starts and stops this home's Tableau emulator, a process of its own. It is used if no other server is set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from callmart.base.errors import UserError
from tableau_emulator import process
from tableau_emulator.errors import EmulatorError, RunsAlready
from tableau_emulator.process import Emulator

TOKEN_NAME = "callmart"


def folder(home: Path) -> Path:
    """Return the folder in which the emulator keeps its state."""
    return home / "emulator"


def ensure_running(home: Path) -> Emulator:
    """Return the emulator; start it in the background if it isn't running, or is of another version. Raises UserError
    if it can't start.
    """
    with _for_the_user():
        return process.start(folder(home), TOKEN_NAME, _token_file(home))


def is_running(home: Path) -> bool:
    """Return whether the emulator is running. Starts nothing."""
    return process.is_running(folder(home))


def serve(home: Path, announce: Callable[[Emulator], None]) -> None:
    """Run the emulator in this process until interrupted. `announce` is called once it answers."""
    from tableau_emulator import serve as foreground

    with _for_the_user():
        foreground.serve(folder(home), TOKEN_NAME, _token_file(home), announce=announce)


def stop(home: Path) -> bool:
    """Stop the emulator. Returns False if none was running."""
    with _for_the_user():
        return process.stop(folder(home))


def _token_file(home: Path) -> Path:
    return home / "secrets" / "emulator_token"


@contextmanager
def _for_the_user() -> Iterator[None]:
    """Turn the emulator's errors into UserErrors."""
    try:
        yield
    except RunsAlready:
        raise UserError("The Tableau emulator is already running; stop it with `callmart stop`.") from None
    except EmulatorError as error:
        raise UserError(str(error)) from None
