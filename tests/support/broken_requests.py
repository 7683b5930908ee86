"""Requests to Tableau that end otherwise than they should."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

FORBIDDEN = (
    b'<tsResponse xmlns="http://tableau.com/api"><error code="403004"><summary>Forbidden</summary>'
    b"<detail>Ander BV</detail></error></tsResponse>"
)


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def sending(monkeypatch: pytest.MonkeyPatch, instead: Callable[..., requests.Response]) -> Iterator[None]:
    """`instead(send, request)` is what happens when a request is sent."""
    original = HTTPAdapter.send

    def send(
        self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        response = instead(lambda: original(self, request, *args, **kwargs), request)
        response.request = request
        return response

    with monkeypatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", send)
        yield


def killed_after(number: int) -> Callable[..., requests.Response]:
    """Ends the process when the server has carried out the write of that number; the first is 1."""
    count = 0

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        nonlocal count
        response = send()
        count += request.method != "GET"
        if count == number:
            count += 1
            raise Killed
        return response

    return instead


def is_killed(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> bool:
    """Do something in a process that ends when the server has carried out the write of that number. Returns whether
    there were so many.
    """
    try:
        with sending(monkeypatch, killed_after(number)):
            act()
    except Killed:
        return True
    return False


def kill() -> None:
    raise Killed


def answer(status: int, body: bytes = b"") -> requests.Response:
    response = requests.Response()
    response.status_code, response._content, response.raw = status, body, None
    return response
