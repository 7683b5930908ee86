"""The emulators of homes, forked from a process that has what they import: that takes 0.4 s of CPU each time."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from commands import served
from tableau_emulator import process


@contextmanager
def forked_emulators() -> Iterator[None]:
    """Within it, an emulator that this process starts is forked. Those that commands in processes of their own start
    are not, nor are those of its own tests.
    """

    def popen(command: Sequence[str], *, cwd: Path, env: dict[str, str], **_: Any) -> SimpleNamespace:
        started = served(_emulator, *command[2:], cwd=cwd, environment=env, log=cwd / "server.log")
        return SimpleNamespace(poll=lambda: started.exitcode)

    forking = SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL)
    with patch.object(process, "subprocess", forking):
        yield


def _emulator() -> None:
    from tableau_emulator.cli import main

    main()
