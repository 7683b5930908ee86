"""Runs the emulator in the foreground: serves the state in a folder until it is interrupted."""

import os
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from tableau_emulator import drawing
from tableau_emulator.app import IDENTITY_PATH, application
from tableau_emulator.errors import EmulatorError, RunsAlready
from tableau_emulator.process import TOKEN_NAME, Emulator, Record, admit, record, recorded, taken, within
from tableau_emulator.state import State
from tableau_emulator.version import version


def serve(
    folder: Path,
    token_name: str = TOKEN_NAME,
    token_file: Path | None = None,
    port: int | None = None,
    draw: str | None = None,
    announce: Callable[[Emulator], None] = lambda emulator: None,
) -> None:
    """Runs the emulator on the state in `folder` until interrupted. `announce` is called once it can be reached.

    Without a port it uses the port of last time, or a free one if that is taken. Without `draw` pictures are drawn by
    the command of last time; if that is empty they are placeholders.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "running.lock").open("a") as held:
        # A process that checks whether we run holds the lock for a moment.
        if not within(1, lambda: taken(held)):
            raise RunsAlready(f"an emulator is already running on {folder}; stop it, or name another folder")
        last = recorded(folder)
        if draw is None:
            draw = last.draw if last else ""
        by_command = drawing.by_command(draw) if draw else None
        token = admit(folder, token_name, token_file)
        listener = _listen(port, last)
        with State(folder) as state, listener:
            state.sweep()
            running = _record(listener.getsockname()[1], draw)
            record(folder, running)
            announce(Emulator(running.url, token_name, token))
            config = uvicorn.Config(
                application(state, running.identity, by_command), log_level="warning", access_log=False,
                server_header=False, lifespan="off", timeout_graceful_shutdown=3,
            )  # fmt: skip
            # uvicorn ends by the signal that it got. This one would end the process before drawing commands are ended.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            uvicorn.Server(config).run(sockets=[listener])


def _record(port: int, draw: str) -> Record:
    url = f"http://127.0.0.1:{port}"
    return Record(url, port, os.getpid(), secrets.token_hex(16), url + IDENTITY_PATH, version(), draw)


def _listen(wanted: int | None, last: Record | None) -> socket.socket:
    """A socket on 127.0.0.1, on the wanted port, or else on the port of last time or a free one."""
    for port in [wanted] if wanted is not None else [last.port, 0] if last else [0]:
        # asyncio disables Nagle's algorithm only on sockets declared as TCP; otherwise each answer waits 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    raise EmulatorError(
        f"port {wanted} is not available on 127.0.0.1; name another" if wanted else "no port is free"
    )
