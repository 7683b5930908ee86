"""One call of the API, as endpoints handle it."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from starlette.responses import Response

from tableau_emulator import forms, xml
from tableau_emulator.access import Access
from tableau_emulator.errors import absent, forbidden, lacking, malformed
from tableau_emulator.state import State

_TABLES = {"group": "user_group"}
_SERVER_WIDE = ("schedule",)


@dataclass(frozen=True)
class Call:
    """A request that was read completely. `signed_in` is None for endpoints without sign-in."""

    state: State
    address: str
    method: str
    url_path: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    content_type: str
    signed_in: Access | None
    session_key: str

    @property
    def access(self) -> Access:
        """What the calling user may do."""
        assert self.signed_in is not None
        return self.signed_in

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the API that the path names. What is experimental is in the newest."""
        asked = self.path["version"]
        return tuple(int(part) for part in (xml.VERSION if asked == xml.EXPERIMENTAL else asked).split("."))

    @property
    def user_id(self) -> str:
        """The LUID of the calling user."""
        return str(self.access.user["id"])

    @property
    def site_id(self) -> str:
        """The LUID of the site that the user is signed in to."""
        return self.access.site_id

    def document(self) -> xml.Element:
        """The root of the request's body, which is in XML or JSON."""
        return forms.read(self.body, self.content_type)

    def request(self, name: str) -> xml.Element:
        """The element `name` in the request's body."""
        return xml.child(self.document(), name)

    def flag(self, name: str, default: str = "false") -> bool:
        """Whether the query has `name=true`, in any case. Raises ApiError 400 for a value other than true and false."""
        given = next(
            (value for key, value in self.query.items() if key.lower() == name.lower()), default
        ).lower()
        if given not in ("true", "false"):
            raise malformed(f"'{given}' is not a value of {name}.", "008")
        return given == "true"

    def resource(self, kind: str, capability: str | None = None, sub_code: str | None = None) -> sqlite3.Row:
        """The row of the resource that the path names. Raises the API's 404 for its kind if there is none.

        With a capability, raises the API's 403 if the user lacks it; `sub_code` replaces the usual sub-code.
        """
        return self.find(kind, self.path[kind], capability, sub_code)

    def find(
        self, kind: str, luid: str, capability: str | None = None, sub_code: str | None = None
    ) -> sqlite3.Row:
        """The row of a resource by LUID, with the same checks as `resource`."""
        table = _TABLES.get(kind, kind)
        row = self.state.one(f"select * from {table} where id = ?", luid)
        if row is None or (kind not in _SERVER_WIDE and row["site_id"] != self.site_id):
            raise absent(kind, luid)
        if kind == "view" and row["hidden"] and capability != "Delete":
            raise absent(kind, luid)  # a hidden view can be deleted, and nothing else
        if capability is not None and not self.access.may(kind, row, capability):
            raise lacking(kind, luid, capability, sub_code)
        return row

    def administer(self) -> None:
        """Refuses everyone but administrators."""
        if not self.access.administrator:
            raise forbidden("Only an administrator may do this.")

    def administer_server(self) -> None:
        """Refuses everyone but server administrators, for what concerns all sites."""
        if not self.access.server_administrator:
            raise forbidden("Only a server administrator may do this.")

    def lead(self, project_id: str | None) -> None:
        """Refuses everyone but leaders of the project and administrators."""
        if not self.access.leads(project_id):
            raise forbidden("Only an administrator or the leader of the project may do this.")

    def created(self, shown: xml.Element, luid: str | None = None) -> Response:
        """The answer 201 to the request that created `shown`, with its location."""
        response = xml.reply(shown, status=201)
        response.headers["location"] = f"{self.url_path}/{luid or shown.get('id')}"
        return response


def luid_of(asked: xml.Element, kind: str) -> str | None:
    """The LUID in a child such as <project id=""/>. Some clients send the child without it if they mean none."""
    child = asked.find(kind)
    return None if child is None else child.get("id") or None


def named(asked: xml.Element, kind: str) -> str:
    """The LUID in a child such as <project id=""/>. Raises ApiError 400 if there is none."""
    luid = luid_of(asked, kind)
    if luid is None:
        raise malformed(f"The request names no {kind}.")
    return luid


Handler = Callable[[Call], Response]


class Endpoint(NamedTuple):
    """A method and a path below /api/VERSION, and the handler."""

    method: str
    path: str
    handler: Handler
    public: bool = False
    lists: bool = False  # answers from the search index, which lags behind
