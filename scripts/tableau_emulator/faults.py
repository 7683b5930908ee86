"""Injects faults: chosen requests fail, a chosen number of times, as on a real server that has problems."""

import asyncio
import json
import re
import socket
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from tableau_emulator import xml
from tableau_emulator.errors import ApiError
from tableau_emulator.state import State, digest

if TYPE_CHECKING:
    from tableau_emulator.call import Call

Kind = Literal[
    "status", "html", "slow", "truncated", "cut", "reset", "session", "lag", "job", "credentials"
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
CONNECTION = "tableau_emulator.connection"  # the key of uvicorn's connection in a request's scope
_IN_TRANSPORT = ("status", "html", "slow", "truncated", "cut", "reset", "session")
_PAGE = b"<!DOCTYPE html><html><head><title>Tableau</title></head><body>Please sign in.</body></html>"
_SUB_CODES = {401: "002", 404: "003"}


@dataclass(frozen=True)
class Fault:
    """A fault. It applies to requests whose method and path match. The first `skip` of them pass, then `count` fail.

    With `every` above 1, only the last of each `every` requests fails. The fault begins `after` seconds after it was
    injected and ends after `lasting` seconds (None: never).

    status: answers with `status` and a `body`; nothing is done. xml is an error of the API, in XML or JSON, with a
        `sub_code`
    html: answers 200 with an HTML page; nothing is done
    slow: answers after `seconds`; the other kinds of answer can be slow, too
    truncated: carries out the request, and answers with the first half of the body
    cut: carries out the request, and breaks the connection in the middle of the answer
    reset: resets the connection without an answer; nothing is done
    session: ends the request's session and answers 401
    lag: lists show an older state, until `seconds` after a write, or until `requests` lists were answered after it;
        stays until it is cleared
    job: the next job is reported as running for `polls` queries (None: until it is ended through the desk), and then
        ends with `outcome`
    credentials: a publication loses the credentials that should be embedded
    """

    kind: Kind
    method: str = ".*"
    path: str = ".*"
    skip: int = 0
    count: int | None = 1  # None: until it is cleared
    every: int = 1
    after: float = 0.0
    lasting: float | None = None
    status: int = 503
    sub_code: str = ""  # of an error of the API; otherwise the usual one of its status
    body: Literal["xml", "html", "none"] = "xml"
    retry_after: int | str | None = None  # seconds, or a date
    seconds: float = 0.0
    requests: int | None = None
    polls: int | None = 0
    outcome: Literal["Success", "Failed", "Cancelled"] = "Failed"
    message: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no kind of fault: {self.kind}")
        if self.every < 1:
            raise ValueError("every must be at least 1")

    def meets(self, method: str, path: str) -> bool:
        """Whether the fault applies to such a request."""
        return bool(re.fullmatch(self.method, method) and re.search(self.path, path))


class Cut(Response):
    """Half of a body with the length of the whole; then the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body)[: len(self.body) // 2]})


class Reset(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope[CONNECTION].transport
        # With a linger time of zero, the system sends a reset.
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        transport.abort()
        await asyncio.sleep(0)  # let the server notice it, so that it doesn't send an answer
        await asyncio.sleep(0)


class Index:
    """The search index from which lists are answered during a lag: an older copy of the state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._copy: sqlite3.Connection | None = None
        self._written: float | None = None  # time of the first write that the copy lacks
        self._answered = 0

    def refresh(self) -> None:
        """Updates the copy if it is time to. Must be called outside a transaction."""
        lag = _active(self._state)
        if lag is None:
            self._copy = None
        elif self._copy is None or self._is_old(lag):
            self._copy = sqlite3.connect(":memory:")
            self._copy.row_factory = sqlite3.Row
            self._state.database.backup(self._copy)
            self._written = None

    @contextmanager
    def reading(self, method: str, path: str) -> Iterator[None]:
        """In the block, everything is read from the index if a lag applies to this list."""
        lag = _active(self._state)
        if lag is None or self._copy is None or not lag.meets(method, path):
            yield
            return
        if self._written is not None:
            self._answered += 1
        with self._state.read_from(self._copy):
            yield

    def wrote(self) -> None:
        """Notes a write that the index does not contain yet."""
        if self._written is None:
            self._written, self._answered = time.monotonic(), 0

    def _is_old(self, lag: Fault) -> bool:
        if self._written is None:
            return False
        if lag.requests is not None:
            return self._answered >= lag.requests
        return time.monotonic() - self._written >= lag.seconds


def inject(state: State, fault: Fault) -> None:
    """Adds a fault. Faults that were added earlier apply first."""
    count = None if fault.kind == "lag" else fault.count
    with state.transaction():
        state.insert(
            "fault", settings=json.dumps(asdict(fault)), skip=fault.skip + fault.every - 1, count=count,
            injected_at=time.time(),
        )  # fmt: skip


def pending(state: State) -> list[Fault]:
    """The faults that are not over yet, with what is left of their skips and counts."""
    return [fault for _, fault, _ in _all(state)]


def clear(state: State) -> None:
    """Removes all faults."""
    with state.transaction():
        state.write("delete from fault")


def take(call: "Call", kind: Kind) -> Fault | None:
    """The fault of a kind that applies to a call, if any. It counts as used."""
    return _take(call.state, (kind,), call.method, call.url_path)


def _take(state: State, kinds: tuple[str, ...], method: str, path: str) -> Fault | None:
    for luid, fault, age in _all(state):
        if age < 0 or fault.kind not in kinds or not fault.meets(method, path):
            continue
        if fault.skip:
            state.write("update fault set skip = skip - 1 where id = ?", luid)
            continue
        # The requests between two failures pass in the same way as the first ones.
        state.write("update fault set count = count - 1, skip = ? where id = ?", fault.every - 1, luid)
        state.write("delete from fault where count <= 0")
        return fault
    return None


def _all(state: State) -> list[tuple[int, Fault, float]]:
    """The faults that are not over, with what is left of their skips and counts, and how long ago they began."""
    found = []
    for row in state.all("select * from fault order by id"):
        fault = Fault(**{**json.loads(row["settings"]), "skip": row["skip"], "count": row["count"]})
        age = time.time() - row["injected_at"] - fault.after
        if fault.lasting is None or age < fault.lasting:
            found.append((row["id"], fault, age))
    return found


def _active(state: State) -> Fault | None:
    return next((fault for _, fault, age in _all(state) if fault.kind == "lag" and age >= 0), None)


async def before(state: State, request: Request) -> tuple[Fault | None, Response | None]:
    """The fault that applies to a request, if any, and the fault's answer if it replaces the real one."""
    if state.one("select 1 from fault") is None:
        return None, None
    with state.transaction():
        fault = _take(state, _IN_TRANSPORT, request.method, request.url.path)
        if fault is not None and fault.kind == "session":
            key = digest(request.headers.get("x-tableau-auth", ""))
            state.write("delete from session where key_hash = ?", key)
    if fault is None:
        return None, None
    await asyncio.sleep(fault.seconds)
    if fault.kind == "html":
        return fault, Response(_PAGE, media_type="text/html")
    if fault.kind == "status":
        return fault, _failure(fault)
    if fault.kind == "reset":
        return fault, Reset()
    return fault, None


def after(fault: Fault | None, response: Response) -> Response:
    """The answer as the fault changes it."""
    if fault is None or fault.kind not in ("truncated", "cut"):
        return response
    whole = Path(response.path).read_bytes() if isinstance(response, FileResponse) else bytes(response.body)
    headers = {key: value for key, value in response.headers.items() if key != "content-length"}
    if fault.kind == "cut" and not whole:
        return Reset()
    if fault.kind == "cut":
        return Cut(whole, response.status_code, headers)
    return Response(whole[: len(whole) // 2], response.status_code, headers)


def _failure(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    if fault.body == "xml":
        detail = fault.message or "An injected fault."
        sub_code = fault.sub_code or _SUB_CODES.get(fault.status, "000")
        response = xml.failure(ApiError(fault.status, sub_code, detail))
        response.headers.update(headers)
        return response
    body = _PAGE if fault.body == "html" else b""
    return Response(body, fault.status, headers, "text/html" if body else None)
