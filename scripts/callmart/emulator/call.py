"""One call of the API as an endpoint sees it."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.errors import absent
from callmart.emulator.state import State


@dataclass(frozen=True)
class Call:
    """A request that was read in full; `user_id` is empty where nobody needs to be signed in."""

    state: State
    address: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    content_type: str
    user_id: str
    session_key: str

    def request(self, name: str) -> xml.Element:
        """The element `name` that the body asks for."""
        return xml.request(self.body, name)

    def flag(self, name: str) -> bool:
        """Whether the query says `name=true`; the API does not mind the case."""
        return any(key.lower() == name and value.lower() == "true" for key, value in self.query.items())

    def resource(self, kind: str) -> sqlite3.Row:
        """The row of the resource that the path names, or the API's 404 for its kind."""
        return resource(self.state, kind, self.path[kind])


Handler = Callable[[Call], Response]


class Endpoint(NamedTuple):
    """A method and a path below /api/VERSION, and what answers there."""

    method: str
    path: str
    handler: Handler
    public: bool = False


def resource(state: State, kind: str, luid: str) -> sqlite3.Row:
    """The row of a resource by LUID, or the API's 404 for its kind."""
    table = {"group": "user_group"}.get(kind, kind)
    row = state.one(f"select * from {table} where id = ?", luid)
    if row is None:
        raise absent(kind, luid)
    return row
