"""For tests: an emulator in a thread of their own, and TSC servers that are signed in to it as anybody."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tableauserverclient as TSC
import uvicorn

from callmart.emulator.app import application
from callmart.emulator.process import TOKEN_NAME, Emulator
from callmart.emulator.state import State

_PATIENCE_S = 30


@contextmanager
def served(folder: Path) -> Iterator[Emulator]:
    """An emulator on the state in `folder`, in a thread of this process, for as long as the block lasts.

    It is told to end then, which takes a moment that nobody waits for.
    """
    token = secrets.token_urlsafe(16)
    with State(folder) as state:
        state.admit(TOKEN_NAME, token)
    # the state belongs to the thread that opens it
    config = uvicorn.Config(
        lambda: application(State(folder), token), factory=True, port=0, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, daemon=True).start()
    end = time.monotonic() + _PATIENCE_S
    while not server.started and time.monotonic() < end:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Emulator(f"http://127.0.0.1:{port}", TOKEN_NAME, token)
    finally:
        server.should_exit = True


def administrator(emulator: Emulator) -> TSC.Server:
    """A server signed in with the token of the emulator: ends the session that the token had."""
    server = TSC.Server(emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.PersonalAccessTokenAuth(emulator.token_name, emulator.token))
    return server


def as_user(emulator: Emulator, folder: Path, name: str, site: str = "") -> TSC.Server:
    """A server signed in as a user, who is given a new password in the state in `folder`.

    KeyError where the site has no such user.
    """
    password = secrets.token_urlsafe(16)
    with State(folder) as state:
        state.set_password(name, password, site)
    server = TSC.Server(emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.TableauAuth(name, password, site))
    return server
