"""The emulator as a process: one a home, in the background or in the foreground.

A running emulator holds a lock on a file for as long as it lives: whoever finds the lock free knows that no
emulator runs here, whatever process has its number by now.
"""

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import requests
import uvicorn

from tableau_emulator.app import IDENTITY_PATH, application
from tableau_emulator.state import State

TOKEN_NAME = "callmart"
_PACKAGES = Path(__file__).resolve().parents[1]
_PATIENCE_S = 30.0


class EmulatorError(Exception):
    """What keeps an emulator from starting or stopping: one sentence, for a person."""


@dataclass(frozen=True)
class Emulator:
    """Where an emulator answers, and the personal access token that signs in to it."""

    url: str
    token_name: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class _Record:
    """What a running emulator has written about itself; its port outlives it, so that links stay valid."""

    url: str
    port: int
    pid: int
    identity: str


def ensure_running(home: Path) -> Emulator:
    """The emulator of `home`, started in the background unless it runs already.

    EmulatorError when it does not come up, with the file that says why.
    """
    folder = _folder(home)
    with _locked(folder / "start.lock"):
        token = _token(home)
        record = _running(folder) or _spawn(folder)
        return Emulator(record.url, TOKEN_NAME, token)


def stop(home: Path) -> bool:
    """Ends the emulator of `home`; False when none was running."""
    folder = _folder(home)
    with _locked(folder / "start.lock"):
        record = _running(folder)
        if record is None:
            return False
        os.kill(record.pid, signal.SIGTERM)
        if not _within(_PATIENCE_S, lambda: not _alive(folder)):
            raise EmulatorError(f"The Tableau emulator does not stop; end process {record.pid}.")
        return True


def serve(home: Path, announce: Callable[[Emulator], None] = lambda emulator: None) -> None:
    """Runs the emulator of `home` here, until interrupted; `announce` is told where, once it can be called.

    EmulatorError when it runs already.
    """
    token = _token(home)
    run(_folder(home), lambda url: announce(Emulator(url, TOKEN_NAME, token)))


def run(folder: Path, announce: Callable[[str], None] = lambda url: None) -> None:
    """Runs the emulator on the state in `folder` until interrupted; `announce` is told its URL."""
    with (folder / "running.lock").open("a") as held:
        # who asks whether we run holds the lock for a moment
        if not _within(1, lambda: _taken(held)):
            raise EmulatorError("The Tableau emulator runs already; stop it with callmart stop.")
        listener = _listen(_recorded(folder))
        port = listener.getsockname()[1]
        record = _Record(f"http://127.0.0.1:{port}", port, os.getpid(), secrets.token_hex(16))
        with State(folder) as state, listener:
            state.sweep()
            _write(folder / "server.json", json.dumps(record.__dict__))
            announce(record.url)
            config = uvicorn.Config(
                application(state, record.identity), log_level="warning", access_log=False,
                server_header=False, lifespan="off", timeout_graceful_shutdown=3,
            )  # fmt: skip
            uvicorn.Server(config).run(sockets=[listener])


def _folder(home: Path) -> Path:
    folder = home / "emulator"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _token(home: Path) -> str:
    """The secret of the emulator's token, made at the first call and known to the emulator's state."""
    file = home / "secrets" / "emulator_token"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        _write(file, secrets.token_urlsafe(32))
    token = file.read_text().strip()
    with State(_folder(home)) as state:
        state.admit(TOKEN_NAME, token)
    return token


def _spawn(folder: Path) -> _Record:
    """Starts an emulator in the background; its record once it answers."""
    log = folder / "server.log"
    with os.fdopen(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tableau_emulator", str(folder)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=folder,
            # nothing of ours that may be a secret
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(_PACKAGES)},
        )  # fmt: skip
    _within(_PATIENCE_S, lambda: _alive(folder) or process.poll() is not None)
    record = _running(folder)
    if record is None:
        raise EmulatorError(f"The Tableau emulator does not start; {log} says why.")
    return record


def _running(folder: Path) -> _Record | None:
    """The record of the emulator that runs, once it answers; None where none does."""
    if not _within(_PATIENCE_S, lambda: not _alive(folder) or _answers(_recorded(folder))):
        raise EmulatorError(
            f"The Tableau emulator runs but does not answer; end the process in {folder / 'server.json'}."
        )
    return _recorded(folder) if _alive(folder) else None


def _answers(record: _Record | None) -> bool:
    if record is None:
        return False
    with requests.Session() as session:
        session.trust_env = False  # no proxy between us and this machine
        try:
            said = session.get(record.url + IDENTITY_PATH, timeout=2).json()
        except requests.RequestException:
            return False
    return isinstance(said, dict) and said.get("identity") == record.identity


def _alive(folder: Path) -> bool:
    """Whether a process holds the lock that a running emulator holds."""
    with (folder / "running.lock").open("a") as lock:
        return not _taken(lock)


def _taken(lock: TextIO) -> bool:
    """Whether the lock is ours now, without waiting for it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _recorded(folder: Path) -> _Record | None:
    try:
        return _Record(**json.loads((folder / "server.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _listen(last: _Record | None) -> socket.socket:
    """A socket on this machine's own address, on the port of last time if that is free."""
    for port in (last.port if last else 0, 0):
        # asyncio sends at once only on a socket that says it is TCP; else each answer waits 40 ms
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    raise EmulatorError("The Tableau emulator finds no free port on 127.0.0.1; free one and start again.")


def _write(file: Path, text: str) -> None:
    """Writes `file` whole or not at all, readable by this user alone."""
    draft = file.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(file)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _within(seconds: float, true: Callable[[], bool]) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
