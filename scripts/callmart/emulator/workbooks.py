"""Workbooks: publishing, querying, changing, refreshing, pictures of them."""

import re
import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from callmart.emulator import connections, content, jobs, pictures, uploads, views, xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import ApiError, malformed
from callmart.emulator.query import Fields, page
from callmart.emulator.state import new_luid, now

_TYPES = ("twb", "twbx")


def query(call: Call) -> Response:
    rows = call.state.all("select * from workbook where site_id = ? order by created_at, name", call.site_id)
    shown = [row for row in rows if call.access.may("workbook", row, "Read")]
    return page(call, "workbooks", shown, _fields(call), _render(call))


def query_of_user(call: Call) -> Response:
    """The workbooks of the site that a user owns or, for oneself, may see."""
    user = call.resource("user")
    if user["id"] == call.user_id:
        return query(call)
    call.administer()
    rows = call.state.all("select * from workbook where owner_id = ? order by created_at, name", user["id"])
    return page(call, "workbooks", rows, _fields(call), _render(call))


def query_one(call: Call) -> Response:
    return xml.reply(_render(call, with_views=True)(call.resource("workbook", "Read")))


def publish(call: Call) -> Response:
    """Makes or overwrites a workbook; one that is overwritten keeps its LUID, tags and permissions.

    A view that is still there by its name keeps its LUID too.
    """
    given = uploads.parts(call)
    asked = xml.request(uploads.part(call, "request_payload")[1], "workbook")
    project, name = content.project_of(call, asked), asked.get("name", "")
    if not name:
        raise malformed("A workbook needs a name.")
    old = content.replaceable(call, "workbook", project, name, call.flag("overwrite"))
    luid = old["id"] if old else new_luid()
    if call.flag("asJob"):
        job = jobs.start(call, "PublishWorkbook", "workbook", luid, name)
        if not jobs.fails(job):
            _store(call, luid, old, project, asked, given)
        return jobs.reply(call, job)
    _store(call, luid, old, project, asked, given)
    return xml.reply(_render(call, with_views=True)(call.find("workbook", luid)), status=201)


def _store(
    call: Call,
    luid: str,
    old: sqlite3.Row | None,
    project: sqlite3.Row,
    asked: xml.Element,
    given: dict[str, tuple[str, bytes]],
) -> None:
    file, file_type = uploads.receive(call, given, "workbook", _TYPES)
    path, at = call.state.files / file, now()
    root = connections.document(path, file_type)
    if root is None or root.tag != "workbook":
        raise ApiError(400, "011", "The file is no workbook.")
    tabs = asked.get("showTabs", "false").lower() == "true"
    size = path.stat().st_size
    if old is None:
        call.state.insert(
            "workbook", id=luid, site_id=call.site_id, name=asked.get("name"),
            description=asked.get("description", ""),
            content_url=content.free_url(call, "workbook", asked.get("name")), type=file_type,
            project_id=project["id"], owner_id=call.user_id, file=file, size=size, show_tabs=tabs,
            created_at=at, updated_at=at,
        )  # fmt: skip
        content.inherit(call, "workbook", luid, project)
    else:
        call.state.update(
            "workbook", luid, description=asked.get("description", old["description"]), type=file_type,
            file=file, size=size, show_tabs=tabs, updated_at=at,
        )  # fmt: skip
        call.state.discard(old["file"])
    connections.replace(call, "workbook", luid, root, asked)
    hidden = {view.get("name") for view in asked.iterfind("views/view") if view.get("hidden") == "true"}
    views.replace(call, call.find("workbook", luid), root, hidden)


def update(call: Call) -> Response:
    asked = call.request("workbook")
    old = content.change(call, "workbook", asked)
    tabs = asked.get("showTabs", str(bool(old["show_tabs"]))).lower() == "true"
    call.state.update("workbook", old["id"], show_tabs=tabs)
    return xml.reply(_render(call, with_views=True)(call.find("workbook", old["id"])))


def _fields(call: Call) -> Callable[[sqlite3.Row], Fields]:
    common = content.fields(call)
    return lambda workbook: {
        **common(workbook),
        "displayTabs": bool(workbook["show_tabs"]),
        "sheetCount": len(views.shown(call, workbook["id"])),
    }


def _render(call: Call, *, with_views: bool = False) -> Callable[[sqlite3.Row], xml.Element]:
    def render(workbook: sqlite3.Row) -> xml.Element:
        sheets = views.shown(call, workbook["id"])
        listed = [xml.element("views", *(views.short(each) for each in sheets))] if with_views else []
        return xml.element(
            "workbook",
            xml.element("owner", id=workbook["owner_id"]),
            content.folder(call, workbook["project_id"]),
            content.tags(call.state, workbook["id"]),
            *listed,
            id=workbook["id"], name=workbook["name"], description=workbook["description"],
            contentUrl=workbook["content_url"], showTabs=bool(workbook["show_tabs"]),
            size=workbook["size"] // uploads.MIB, createdAt=workbook["created_at"],
            updatedAt=workbook["updated_at"], encryptExtracts="false", hasExtracts=workbook["type"] == "twbx",
            sheetCount=len(sheets), defaultViewId=sheets[0]["id"] if sheets else None,
            webpageUrl=content.address(call, "workbook", re.sub(r"\s", "", workbook["content_url"])),
        )  # fmt: skip

    return render


_ONE = "/sites/{site}/workbooks/{workbook}"
ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/workbooks", query, lists=True),
    Endpoint("POST", "/sites/{site}/workbooks", publish),
    Endpoint("GET", "/sites/{site}/users/{user}/workbooks", query_of_user, lists=True),
    Endpoint("GET", _ONE, query_one),
    Endpoint("PUT", _ONE, update),
    Endpoint("DELETE", _ONE, content.remove("workbook")),
    Endpoint("GET", _ONE + "/content", content.download("workbook")),
    Endpoint("POST", _ONE + "/refresh", jobs.refresh("workbook")),
    Endpoint("GET", _ONE + "/previewImage", pictures.image("workbook", "Read")),
    Endpoint("GET", _ONE + "/pdf", pictures.pdf("workbook")),
    Endpoint("GET", _ONE + "/powerpoint", pictures.powerpoint("workbook")),
)
