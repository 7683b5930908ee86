"""Has another program draw pictures and exports: the command with which the emulator was started.

It is called as COMMAND FORMAT, and gets JSON on standard input: who asks for what. What it writes is sent to the user;
if it writes nothing, the user gets a placeholder. What goes wrong is in the emulator's log, and the user is not told.
"""

import asyncio
import json
import os
import shlex
import shutil
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from tableau_emulator.errors import ApiError, EmulatorError

Format = Literal["png", "pdf", "pptx", "csv", "xlsx"]
Asked = dict[str, Any]
Draw = Callable[[Format, Asked], Awaitable[bytes]]

_AT_ONCE = 2
_PATIENCE_S = 300


def by_command(command: str) -> Draw:
    """Draws by a command, a few at a time. Raises EmulatorError if there is no such program."""
    words = _words(command)
    turn = asyncio.Semaphore(_AT_ONCE)

    async def draw(form: Format, asked: Asked) -> bytes:
        async with turn:
            process = await asyncio.create_subprocess_exec(
                *words,
                form,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            try:
                content, _ = await asyncio.wait_for(
                    process.communicate(json.dumps(asked).encode()), _PATIENCE_S
                )
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            raise ApiError(500, "000", "The view could not be drawn.")
        return content

    return draw


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise EmulatorError(f"--draw: {error}; write the command as in a shell.") from None
    if not words or shutil.which(words[0]) is None:
        raise EmulatorError(f"--draw: there is no program '{''.join(words[:1])}'; name one that exists.")
    return words
