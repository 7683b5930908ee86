"""Favorites of a user: content and projects under labels of the user's own."""

import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from tableau_emulator import datasources, projects, views, workbooks, xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.errors import absent, conflict, forbidden, malformed, unknown_resource
from tableau_emulator.state import now

_RENDER: dict[str, Callable[[Call], Callable[[sqlite3.Row], xml.Element]]] = {
    "datasource": datasources.render,
    "project": projects.render,
    "view": views.render,
    "workbook": workbooks.render,
}


def query(call: Call) -> Response:
    return _show(call, _user(call))


def add(call: Call) -> Response:
    """Adds content that the calling user may see. An existing favorite gets the new label."""
    user, asked = _user(call), call.request("favorite")
    label = asked.get("label", "").strip()
    if not label:
        raise malformed("A favorite needs a label.", "005")
    item = next((child for child in asked if child.tag in _RENDER), None)
    if item is None:
        raise malformed(f"A favorite is one of {', '.join(_RENDER)}.")
    row = call.find(item.tag, item.get("id", ""), "Read")
    taken = call.state.one(
        "select 1 from favorite where user_id = ? and content_kind = ? and label = ? and content_id <> ?",
        user["id"], item.tag, label, row["id"],
    )  # fmt: skip
    if taken is not None:
        raise conflict(f"Another {item.tag} is a favorite named '{label}'.", "007")
    call.state.write(
        "insert or replace into favorite (user_id, content_kind, content_id, label, added_at) values (?, ?, ?, ?, ?)",
        user["id"], item.tag, row["id"], label, now(),
    )  # fmt: skip
    return _show(call, user)


def delete(call: Call) -> Response:
    user, kind = _user(call), call.path["kinds"].removesuffix("s")
    if kind not in _RENDER:
        raise unknown_resource(call.url_path)
    row = call.find(kind, call.path["luid"])
    if not call.state.write(
        "delete from favorite where user_id = ? and content_id = ?", user["id"], row["id"]
    ):
        raise absent("favorite", row["id"])
    return Response(status_code=204)


def _user(call: Call) -> sqlite3.Row:
    """The user that the path names. Only the user and administrators have access."""
    user = call.resource("user")
    if user["id"] != call.user_id and not call.access.administrator:
        raise forbidden("The favorites belong to another user.")
    return user


def _show(call: Call, user: sqlite3.Row) -> Response:
    shown = []
    for favorite in call.state.all(
        "select * from favorite where user_id = ? order by added_at, label", user["id"]
    ):
        kind = favorite["content_kind"]
        row = call.find(kind, favorite["content_id"])
        if call.access.may(kind, row, "Read"):
            content = _RENDER[kind](call)(row)
            shown.append(
                xml.element("favorite", content, label=favorite["label"], addedAt=favorite["added_at"])
            )
    return xml.reply(xml.element("favorites", *shown))


_OF_USER = "/sites/{site}/favorites/{user}"
ENDPOINTS = (
    Endpoint("GET", _OF_USER, query),
    Endpoint("PUT", _OF_USER, add),
    Endpoint("DELETE", _OF_USER + "/{kinds}/{luid}", delete),
)
