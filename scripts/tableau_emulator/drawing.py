"""Has another program draw pictures and exports: the command with which the emulator was started.

It is called as COMMAND FORMAT, and gets JSON on standard input: who asks for what. What it writes is sent to the user;
if it writes nothing, the user gets a placeholder. What goes wrong is in the emulator's log, and the user is not told.

A user's drawings are made one after the other, so nobody keeps the others waiting by asking for many.
"""

import asyncio
import json
import os
import shlex
import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from tableau_emulator.errors import ApiError, EmulatorError

Format = Literal["png", "pdf", "pptx", "csv", "xlsx"]
Asked = dict[str, Any]
Draw = Callable[[Format, Asked], Awaitable[bytes]]

_AT_ONCE = 2
_PER_USER = 10  # that run or wait; one more is refused
_PATIENCE_S = 300


class _Queue:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asked = Counter[str]()

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[None]:
        """Wait until this user may have something drawn. Raises ApiError 429 if too much of the user's is waiting."""
        if self._asked[user] >= _PER_USER:
            raise ApiError(429, "000", f"{_PER_USER} views are being drawn for this user; ask again later.")
        self._asked[user] += 1
        try:
            async with self._turns[user], self._places:
                yield
        finally:
            self._asked[user] -= 1
            if not self._asked[user]:
                del self._asked[user], self._turns[user]


def by_command(command: str) -> Draw:
    """Draws by a command, a few at a time. Raises EmulatorError if there is no such program."""
    words = _words(command)
    queue = _Queue()

    async def draw(form: Format, asked: Asked) -> bytes:
        async with queue.turn(asked["user"]["name"]):
            content = await _run([*words, form], json.dumps(asked).encode())
        if content is None:
            raise ApiError(500, "000", "The view could not be drawn.")
        return content

    return draw


async def _run(command: list[str], given: bytes) -> bytes | None:
    """What the command writes; None if it fails or takes too long. It ends with the task that runs it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        content, _ = await asyncio.wait_for(process.communicate(given), _PATIENCE_S)
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return None if process.returncode else content


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise EmulatorError(f"--draw: {error}; write the command as in a shell") from None
    if not words or shutil.which(words[0]) is None:
        raise EmulatorError(f"--draw: there is no program '{''.join(words[:1])}'; name one that exists")
    return words
