"""Custom views: what a user has chosen in a workbook, such as the values of a filter. The file is never opened."""

import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from tableau_emulator import uploads, xml
from tableau_emulator.call import Call, Endpoint, named
from tableau_emulator.errors import forbidden, malformed
from tableau_emulator.query import Fields, page
from tableau_emulator.state import new_luid, now


def query(call: Call) -> Response:
    """All of the site for an administrator; for others their own."""
    rows = call.state.all(
        "select * from custom_view where site_id = ? order by created_at, name", call.site_id
    )
    shown = [row for row in rows if _may(call, row)]
    return page(call, "customViews", shown, _fields, _render(call))


def query_one(call: Call) -> Response:
    return xml.reply(_render(call)(_own(call)))


def publish(call: Call) -> Response:
    """Creates a custom view of a workbook that the owner may see, or replaces the one of this name."""
    asked = uploads.payload(call, "customView")
    content = uploads.part(call, "tableau_customview").content
    if not content or not asked.get("name"):
        raise malformed("A custom view needs a name and a file.")
    workbook = call.find("workbook", named(asked, "workbook"), "Read")
    owner = call.find("user", named(asked, "owner"))
    if owner["id"] != call.user_id:
        call.administer()
    luid, at = new_luid(), now()
    call.state.write(
        "delete from custom_view where workbook_id = ? and owner_id = ? and name = ?",
        workbook["id"], owner["id"], asked.get("name"),
    )  # fmt: skip
    call.state.insert(
        "custom_view", id=luid, site_id=call.site_id, workbook_id=workbook["id"], owner_id=owner["id"],
        name=asked.get("name"), shared=asked.get("shared") == "true", content=content, created_at=at,
        updated_at=at,
    )  # fmt: skip
    return call.created(_render(call)(call.find("custom_view", luid)))


def download(call: Call) -> Response:
    return Response(_own(call)["content"], media_type="application/octet-stream")


def delete(call: Call) -> Response:
    call.state.write("delete from custom_view where id = ?", _own(call)["id"])
    return Response(status_code=204)


def _own(call: Call) -> sqlite3.Row:
    """The custom view that the path names. Only its owner and administrators have access."""
    row = call.resource("custom_view")
    if not _may(call, row):
        raise forbidden("The custom view belongs to another user.")
    return row


def _may(call: Call, row: sqlite3.Row) -> bool:
    return call.access.administrator or row["owner_id"] == call.user_id


def _fields(row: sqlite3.Row) -> Fields:
    return {"workbookId": row["workbook_id"], "ownerId": row["owner_id"]}


def _render(call: Call) -> Callable[[sqlite3.Row], xml.Element]:
    """How the API shows a custom view."""

    def rendered(row: sqlite3.Row) -> xml.Element:
        workbook, owner = call.find("workbook", row["workbook_id"]), call.find("user", row["owner_id"])
        return xml.element(
            "customView",
            xml.element("workbook", id=workbook["id"], name=workbook["name"]),
            xml.element("owner", id=owner["id"], name=owner["name"]),
            id=row["id"], name=row["name"], createdAt=row["created_at"], updatedAt=row["updated_at"],
            shared=bool(row["shared"]),
        )  # fmt: skip

    return rendered


_ONE = "/sites/{site}/customviews/{custom_view}"
ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/customviews", query, lists=True),
    Endpoint("POST", "/sites/{site}/customviews", publish),
    Endpoint("GET", _ONE, query_one),
    Endpoint("GET", _ONE + "/content", download),
    Endpoint("DELETE", _ONE, delete),
)
