"""Workbooks: publishing, querying, changing, refreshing, and their pictures."""

import re
import sqlite3
from collections.abc import Callable

from starlette.responses import JSONResponse, Response

from tableau_emulator import (
    connections,
    content,
    jobs,
    pictures,
    publishing,
    tags,
    uploads,
    validation,
    views,
    xml,
)
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.errors import malformed, unknown_resource
from tableau_emulator.query import Fields, page
from tableau_emulator.state import now

_TYPES = ("twb", "twbx")
_VALIDATES_SINCE = (3, 29)


def query(call: Call) -> Response:
    rows = content.listed(
        call, "workbook", "select * from workbook where site_id = ? order by created_at, name"
    )
    return page(call, "workbooks", rows, _fields(call), render(call))


def query_of_user(call: Call) -> Response:
    """The workbooks that a user owns. For the calling user, all that the user may see."""
    user = call.resource("user")
    if user["id"] == call.user_id:
        return query(call)
    call.administer()
    rows = call.state.all("select * from workbook where owner_id = ? order by created_at, name", user["id"])
    return page(call, "workbooks", rows, _fields(call), render(call))


def query_one(call: Call) -> Response:
    return xml.reply(render(call, with_views=True)(call.resource("workbook", "Read")))


def publish(call: Call) -> Response:
    """Creates or overwrites a workbook. A view with the same name as before keeps its LUID."""
    return publishing.publish(call, "workbook", _TYPES, _settle, render(call, with_views=True))


def _settle(call: Call, workbook: sqlite3.Row, root: xml.Element | None, asked: xml.Element) -> None:
    if root is None or root.tag != "workbook":
        raise malformed("The file is not a workbook.", "011")
    call.state.update("workbook", workbook["id"], show_tabs=asked.get("showTabs", "false").lower() == "true")
    connections.replace(call, "workbook", workbook["id"], root, asked)
    hidden = {view.get("name") for view in asked.iterfind("views/view") if view.get("hidden") == "true"}
    views.replace(call, workbook, root, hidden)


def validate(call: Call) -> Response:
    """Checks a .twb. One without errors is kept in an upload session, with which it can be published.

    The answer is in JSON, whatever is asked for: Tableau documents no other form.
    """
    if call.version < _VALIDATES_SINCE:
        raise unknown_resource(call.url_path)
    uploads.require_publisher(call, "004")
    sent = uploads.part(call, "tableau_workbook")
    if not sent.filename.endswith(".twb"):
        raise malformed("Only a .twb can be validated.", "020")
    answer: dict[str, object] = {"timestamp": now()}
    if found := validation.findings(call, sent.content):
        answer["errors"] = [each.shown() for each in found]
    else:
        answer["uploadId"] = uploads.start(call, sent.content)
    return JSONResponse(answer)


def update(call: Call) -> Response:
    asked = call.request("workbook")
    old = content.change(call, "workbook", asked)
    tabs = asked.get("showTabs", str(bool(old["show_tabs"]))).lower() == "true"
    call.state.update("workbook", old["id"], show_tabs=tabs)
    return xml.reply(render(call, with_views=True)(call.find("workbook", old["id"])))


def _fields(call: Call) -> Callable[[sqlite3.Row], Fields]:
    common = content.fields(call)
    return lambda workbook: {
        **common(workbook),
        "displayTabs": bool(workbook["show_tabs"]),
        "hasAlerts": False,
        "hasExtracts": workbook["type"] == "twbx",
        "sheetCount": len(views.shown(call, workbook["id"])),
    }


def render(call: Call, *, with_views: bool = False) -> Callable[[sqlite3.Row], xml.Element]:
    """How the API shows a workbook to the user."""

    def rendered(workbook: sqlite3.Row) -> xml.Element:
        sheets = views.shown(call, workbook["id"])
        listed = [xml.element("views", *(views.short(call, each) for each in sheets))] if with_views else []
        return xml.element(
            "workbook",
            content.owner(call, workbook["owner_id"]),
            content.folder(call, workbook["project_id"]),
            tags.render(call.state, workbook["id"]),
            *listed,
            id=workbook["id"], name=workbook["name"], description=workbook["description"],
            contentUrl=workbook["content_url"], showTabs=bool(workbook["show_tabs"]),
            size=workbook["size"] // uploads.MIB, createdAt=workbook["created_at"],
            updatedAt=workbook["updated_at"], encryptExtracts="false", hasExtracts=workbook["type"] == "twbx",
            sheetCount=len(sheets), defaultViewId=sheets[0]["id"] if sheets else None,
            webpageUrl=content.address(call, "workbook", re.sub(r"\s", "", workbook["content_url"])),
        )  # fmt: skip

    return rendered


_ONE = "/sites/{site}/workbooks/{workbook}"
ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/workbooks", query, lists=True),
    Endpoint("POST", "/sites/{site}/workbooks", publish),
    Endpoint("POST", "/sites/{site}/workbooks/validateWorkbookAndUpload", validate),
    Endpoint("GET", "/sites/{site}/users/{user}/workbooks", query_of_user, lists=True),
    Endpoint("GET", _ONE, query_one),
    Endpoint("PUT", _ONE, update),
    Endpoint("DELETE", _ONE, content.remove("workbook")),
    Endpoint("POST", _ONE + "/refresh", jobs.refresh("workbook")),
    Endpoint("GET", _ONE + "/previewImage", pictures.export("workbook", "png", "Read")),
    Endpoint("GET", _ONE + "/pdf", pictures.export("workbook", "pdf", "ExportImage")),
    Endpoint("GET", _ONE + "/powerpoint", pictures.export("workbook", "pptx", "ExportImage")),
)
