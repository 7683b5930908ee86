"""Data quality warnings of data sources: what their readers should know. A data source has one of each type at most."""

import sqlite3

from starlette.responses import Response

from tableau_emulator import xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.errors import absent, conflict, malformed
from tableau_emulator.state import new_luid, now

_TYPES = ("DEPRECATED", "MAINTENANCE", "SENSITIVE_DATA", "STALE", "WARNING")


def query(call: Call) -> Response:
    return _list(call, call.resource("datasource", "Read"))


def add(call: Call) -> Response:
    source, asked, at = call.resource("datasource", "Write"), call.request("dataQualityWarning"), now()
    kind = asked.get("type", "WARNING")
    if kind not in _TYPES:
        raise malformed(f"'{kind}' is not a type of warnings.")
    if any(each["type"] == kind for each in _of(call, source)):
        raise conflict(f"Data source '{source['id']}' already has a warning of type {kind}.", "000")
    luid = new_luid()
    call.state.insert(
        "quality_warning", id=luid, site_id=call.site_id, content_kind="datasource", content_id=source["id"],
        type=kind, active=_flag(asked, "isActive", True), severe=_flag(asked, "isSevere", False),
        message=asked.get("message"), owner_id=call.user_id, created_at=at, updated_at=at,
    )  # fmt: skip
    return _list(call, source)


def update(call: Call) -> Response:
    """Changes the warning of the type that the request names, or else the only one."""
    source, asked = call.resource("datasource", "Write"), call.request("dataQualityWarning")
    found = [each for each in _of(call, source) if asked.get("type", each["type"]) == each["type"]]
    if len(found) != 1:
        raise absent("quality_warning", source["id"])
    _change(call, found[0], asked)
    return _list(call, source)


def delete(call: Call) -> Response:
    source = call.resource("datasource", "Write")
    call.state.write("delete from quality_warning where content_id = ?", source["id"])
    return Response(status_code=204)


def query_one(call: Call) -> Response:
    return xml.reply(_render(call, _one(call, "Read")))


def update_one(call: Call) -> Response:
    warning = _one(call, "Write")
    _change(call, warning, call.request("dataQualityWarning"))
    return xml.reply(_render(call, _one(call, "Read")))


def delete_one(call: Call) -> Response:
    warning = _one(call, "Write")
    call.state.write("delete from quality_warning where id = ?", warning["id"])
    return Response(status_code=204)


def _of(call: Call, source: sqlite3.Row) -> list[sqlite3.Row]:
    return call.state.all(
        "select * from quality_warning where content_id = ? order by created_at, type", source["id"]
    )


def _one(call: Call, capability: str) -> sqlite3.Row:
    """The warning that the path names. On a data source with which the user may not do this, there is none."""
    warning = call.resource("quality_warning")
    if not call.access.may("datasource", call.find("datasource", warning["content_id"]), capability):
        raise absent("quality_warning", warning["id"])
    return warning


def _change(call: Call, warning: sqlite3.Row, asked: xml.Element) -> None:
    call.state.update(
        "quality_warning", warning["id"], message=asked.get("message", warning["message"]), updated_at=now(),
        active=_flag(asked, "isActive", warning["active"]), severe=_flag(asked, "isSevere", warning["severe"]),
    )  # fmt: skip


def _flag(asked: xml.Element, name: str, otherwise: int) -> bool:
    given = asked.get(name)
    return bool(otherwise) if given is None else given.lower() == "true"


def _list(call: Call, source: sqlite3.Row) -> Response:
    return xml.reply(
        xml.element("dataQualityWarningList", *(_render(call, each) for each in _of(call, source)))
    )


def _render(call: Call, warning: sqlite3.Row) -> xml.Element:
    owner = call.state.one("select full_name from user where id = ?", warning["owner_id"])
    is_shown = owner is not None and (warning["owner_id"] == call.user_id or call.access.sees_all_users())
    return xml.element(
        "dataQualityWarning",
        xml.element("site", id=warning["site_id"]),
        xml.element("owner", id=warning["owner_id"]),
        id=warning["id"], userDisplayName=owner["full_name"] if is_shown and owner else None,
        contentId=warning["content_id"], contentType=warning["content_kind"], message=warning["message"],
        type=warning["type"], isActive=bool(warning["active"]), isSevere=bool(warning["severe"]),
        createdAt=warning["created_at"], updatedAt=warning["updated_at"],
    )  # fmt: skip


_OF = "/sites/{site}/dataQualityWarnings/datasource/{datasource}"
_ONE = "/sites/{site}/dataQualityWarnings/{quality_warning}"
ENDPOINTS = (
    Endpoint("GET", _OF, query),
    Endpoint("POST", _OF, add),
    Endpoint("PUT", _OF, update),
    Endpoint("DELETE", _OF, delete),
    Endpoint("GET", _ONE, query_one),
    Endpoint("PUT", _ONE, update_one),
    Endpoint("DELETE", _ONE, delete_one),
)
