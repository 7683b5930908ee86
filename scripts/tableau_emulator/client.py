"""For tests: an emulator in a thread, TSC servers that are signed in to it as any user, and its desk."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import tableauserverclient as TSC
import uvicorn

from tableau_emulator import desk, faults
from tableau_emulator.app import application
from tableau_emulator.drawing import Draw
from tableau_emulator.process import TOKEN_NAME, Emulator
from tableau_emulator.state import LoggedRequest, State

_PATIENCE_S = 30


@contextmanager
def served(folder: Path, draw: Draw | None = None) -> Iterator[Emulator]:
    """An emulator on the state in `folder`, in a thread of this process, for the duration of the block.

    `draw` makes its pictures. The end of the block doesn't wait for the emulator to stop.
    """
    token = secrets.token_urlsafe(16)
    with State(folder) as state:
        state.admit(TOKEN_NAME, token)
    # The state must be opened in the thread that uses it.
    config = uvicorn.Config(
        lambda: application(State(folder), "here", draw),
        factory=True,
        port=0,
        log_level="critical",
        lifespan="off",
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
    """A server signed in with the emulator's token. This ends the token's previous session."""
    server = TSC.Server(emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.PersonalAccessTokenAuth(emulator.token_name, emulator.token))
    return server


def as_user(emulator: Emulator, folder: Path, name: str, site: str = "") -> TSC.Server:
    """A server signed in as a user, who gets a new password in the state in `folder`.

    Raises KeyError if the site has no such user.
    """
    password = secrets.token_urlsafe(16)
    with State(folder) as state:
        state.set_password(name, password, site)
    server = TSC.Server(emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.TableauAuth(name, password, site))
    return server


class Desk:
    """The emulator's desk, which is not part of Tableau's API. Any process with the emulator's token can use it.

    Raises ValueError, with the emulator's reason, if it refuses.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._url = emulator.url + desk.PATH
        self._session = requests.Session()
        self._session.headers["authorization"] = f"Bearer {emulator.token}"

    def inject(self, kind: faults.Kind, **settings: Any) -> None:
        """Adds a fault; the settings are those of `faults.Fault`."""
        self._ask("POST", "faults", kind=kind, **settings)

    def pending(self) -> list[faults.Fault]:
        """The faults that are not over yet."""
        return [faults.Fault(**each) for each in self._ask("GET", "faults")]

    def clear(self) -> None:
        """Removes all faults."""
        self._ask("DELETE", "faults")

    def requests(self) -> list[LoggedRequest]:
        """The requests to the API that were answered, oldest first."""
        return [LoggedRequest(**each) for each in self._ask("GET", "requests")]

    def set_password(self, user: str, password: str, site: str = "") -> None:
        """Lets a user sign in with this password."""
        self._ask("POST", "passwords", user=user, password=password, content_url=site)

    def admit(self, token_name: str, secret: str, user: str) -> None:
        """Lets a user of the Default site sign in with this personal access token."""
        self._ask("POST", "tokens", token_name=token_name, secret=secret, user=user)

    def connect_app(self, client_id: str, secret_id: str, secret: str) -> None:
        """Trusts the JSON web tokens that a connected app signs with this secret."""
        self._ask("POST", "connected-apps", client_id=client_id, secret_id=secret_id, secret=secret)

    def reset(self) -> None:
        """Resets the state to that of a new emulator. Only the tokens of the first administrator stay."""
        self._ask("DELETE", "state")

    def finish_job(self, luid: str, outcome: str = "Success", notes: str = "") -> None:
        """Ends a running job."""
        self._ask("POST", "jobs", luid=luid, outcome=outcome, notes=notes)

    def _ask(self, method: str, path: str, /, **asked: Any) -> Any:
        answer = self._session.request(method, f"{self._url}/{path}", json=asked or None, timeout=_PATIENCE_S)
        if not answer.ok:
            raise ValueError(answer.json()["error"])
        return answer.json()
