"""Runs the emulator as a background process, one per folder.

A running emulator holds a lock on a file. If the lock is free, no emulator runs on the folder, even if another process
has its process number by now.
"""

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TextIO

import requests

from tableau_emulator.errors import EmulatorError
from tableau_emulator.state import State, refuse_newer
from tableau_emulator.version import version

TOKEN_NAME = "admin"
_PACKAGES = Path(__file__).resolve().parents[1]
_PATIENCE_S = 30.0
_STARTING_S = 300.0  # for others who start or stop it
_EARLIER_IDENTITY_PATH = "/callmart-emulator"  # of emulators that didn't record it


@dataclass(frozen=True)
class Emulator:
    """The URL of an emulator, and the personal access token that signs in to it."""

    url: str
    token_name: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Record:
    """What a running emulator has recorded about itself. The next one uses the same port, so that links stay valid."""

    url: str
    port: int
    pid: int
    identity: str
    identity_url: str  # returns the identity
    version: str  # of its code; empty if it was started before versions were recorded
    draw: str  # the command that draws its pictures; empty if there is none


def start(
    folder: Path, token_name: str = TOKEN_NAME, token_file: Path | None = None, draw: str | None = None
) -> Emulator:
    """The emulator on the state in `folder`. It is started in the background if it isn't running. One that runs with
    another version of the code, or draws by another command than `draw`, is stopped first.

    Raises EmulatorError if it does not start, with the name of the log, or if the state is from a newer emulator.
    """
    folder = folder.absolute()
    with _starting(folder):
        record = _running(folder)
        if record is None or record.version != version() or draw not in (None, record.draw):
            refuse_newer(folder)
            if record is not None:
                _end(folder, record)
            record = _spawn(folder, token_name, token_file, draw)
        return Emulator(record.url, token_name, admit(folder, token_name, token_file))


def stop(folder: Path) -> bool:
    """Stops the emulator on the state in `folder`. Returns False if none was running."""
    if not folder.exists():
        return False
    with _starting(folder):
        record = _running(folder)
        if record is not None:
            _end(folder, record)
        return record is not None


def is_running(folder: Path) -> bool:
    """Whether an emulator runs on the state in `folder`. Changes nothing."""
    return (folder / "running.lock").exists() and _alive(folder)


def admit(folder: Path, token_name: str, token_file: Path | None) -> str:
    """The secret in the token's file, FOLDER/token by default. The file is created if there is none, and the token is
    added to the state.
    """
    file = token_file or folder / "token"
    with State(folder) as state:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(file, secrets.token_urlsafe(32))
        secret = file.read_text().strip()
        if not secret:
            raise EmulatorError(f"{file} is empty; write a secret into it, or delete it to get a new one")
        state.admit(token_name, secret)
    return secret


def recorded(folder: Path) -> Record | None:
    """The record of the emulator that runs, or ran last."""
    try:
        written = json.loads((folder / "server.json").read_text())
        # Emulators of other versions recorded less, or more.
        values = {
            "identity_url": written["url"] + _EARLIER_IDENTITY_PATH,
            "version": "",
            "draw": "",
        } | written
        return Record(**{each.name: values[each.name] for each in fields(Record)})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def record(folder: Path, running: Record) -> None:
    """Writes the record of the running emulator."""
    write(folder / "server.json", json.dumps(asdict(running)))


def taken(lock: TextIO) -> bool:
    """Takes the lock if it is free; returns whether it was."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def within(seconds: float, true: Callable[[], bool]) -> bool:
    """Waits until the condition is true; returns False if it isn't in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def write(file: Path, text: str) -> None:
    """Writes `file` completely or not at all, readable only by this user."""
    draft = file.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(file)


def _spawn(folder: Path, token_name: str, token_file: Path | None, draw: str | None) -> Record:
    """Starts an emulator in the background; returns its record once it answers."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "tableau_emulator", str(folder), "--token-name", token_name]
    if token_file is not None:
        command += ["--token-file", str(token_file.absolute())]
    if draw is not None:
        command += ["--draw", draw]
    with os.fdopen(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=folder,
            # The caller's environment may contain secrets, so it isn't passed on.
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(_PACKAGES)},
        )  # fmt: skip
    within(_PATIENCE_S, lambda: _alive(folder) or process.poll() is not None)
    running = _running(folder)
    if running is None:
        raise EmulatorError(f"the Tableau emulator does not start; see {log} for the reason")
    return running


def _end(folder: Path, record: Record) -> None:
    os.kill(record.pid, signal.SIGTERM)
    if not within(_PATIENCE_S, lambda: not _alive(folder)):
        raise EmulatorError(f"the Tableau emulator does not stop; end process {record.pid}")


def _running(folder: Path) -> Record | None:
    """The record of the running emulator, once it answers; None if none runs."""
    if not within(_PATIENCE_S, lambda: not _alive(folder) or _answers(recorded(folder))):
        raise EmulatorError(
            f"the Tableau emulator runs but does not answer; end the process that {folder / 'server.json'} names"
        )
    return recorded(folder) if _alive(folder) else None


def _answers(record: Record | None) -> bool:
    if record is None:
        return False
    with requests.Session() as session:
        session.trust_env = False  # no proxy, as it runs on this machine
        try:
            answer = session.get(record.identity_url, timeout=2).json()
        except requests.RequestException:
            return False
    return isinstance(answer, dict) and answer.get("identity") == record.identity


def _alive(folder: Path) -> bool:
    """Whether a process holds the lock that a running emulator holds."""
    with (folder / "running.lock").open("a") as lock:
        return not taken(lock)


@contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """In the block, nobody else starts or stops the emulator on `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "start.lock").open("w") as lock:
        if not within(_STARTING_S, lambda: taken(lock)):
            raise EmulatorError(
                "another process has been starting or stopping the Tableau emulator for five minutes, or was "
                "suspended: end it"
            )
        yield
