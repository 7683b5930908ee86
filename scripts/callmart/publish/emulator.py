"""The Tableau emulator of this home, where no other server is set; what keeps it from running is a UserError."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from callmart.base.errors import UserError
from tableau_emulator import process
from tableau_emulator.process import Emulator, EmulatorError


def ensure_running(home: Path) -> Emulator:
    """The emulator, started in the background unless it runs already."""
    with _for_the_user():
        return process.ensure_running(home)


def serve(home: Path, announce: Callable[[Emulator], None]) -> None:
    """Run it here until interrupted; `announce` is told where, once it answers."""
    with _for_the_user():
        process.serve(home, announce)


def stop(home: Path) -> bool:
    """End it; False when none was running."""
    with _for_the_user():
        return process.stop(home)


@contextmanager
def _for_the_user() -> Iterator[None]:
    try:
        yield
    except EmulatorError as error:
        raise UserError(str(error)) from None
