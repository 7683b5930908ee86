"""Views: the sheets of workbooks."""

import re
import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from tableau_emulator import content, pictures, tags, xml
from tableau_emulator.call import Call, Endpoint, Handler
from tableau_emulator.query import Fields, asked_fields, page
from tableau_emulator.state import new_luid, now

_SHEET_TYPES = {"worksheet": "view", "dashboard": "dashboard", "story": "story", "storyboard": "story"}


def replace(call: Call, workbook: sqlite3.Row, root: xml.Element, hidden: set[str | None]) -> None:
    """Updates the views of a workbook from its document. Views in `hidden`, or hidden in the document, are hidden."""
    old = {
        row["name"]: row for row in call.state.all("select * from view where workbook_id = ?", workbook["id"])
    }
    at, used = now(), set()
    for position, window in enumerate(_windows(root)):
        name, taken = window.get("name", ""), 0
        url = f"{workbook['content_url']}/sheets/{re.sub(r'[^0-9A-Za-z_-]', '', name) or 'Sheet'}"
        while url in used:
            taken += 1
            url = f"{url.removesuffix(f'_{taken - 1}')}_{taken}"
        used.add(url)
        values = {
            "position": position,
            "content_url": url,
            "sheet_type": _SHEET_TYPES.get(window.get("class", ""), "view"),
            "hidden": name in hidden or window.get("hidden") == "true",
            "updated_at": at,
        }
        if name in old:
            call.state.update("view", old.pop(name)["id"], **values)
            continue
        luid = new_luid()
        call.state.insert(
            "view",
            id=luid,
            site_id=call.site_id,
            workbook_id=workbook["id"],
            name=name,
            created_at=at,
            **values,
        )
        call.state.write(
            "insert into rule select ?, scope, grantee_kind, grantee_id, capability, mode from rule "
            "where content_id = ? and scope = 'own'",
            luid, workbook["id"],
        )  # fmt: skip
    for row in old.values():
        _remove(call, row)


def shown(call: Call, workbook_id: str) -> list[sqlite3.Row]:
    """The views of a workbook that the user may see, in their order."""
    rows = call.state.all(
        "select * from view where workbook_id = ? and not hidden order by position", workbook_id
    )
    return [row for row in rows if call.access.may("view", row, "Read")]


def query(call: Call) -> Response:
    rows = content.listed(call, "view", "select * from view where site_id = ? and not hidden order by rowid")
    return page(call, "views", rows, _fields(call), render(call))


def query_of_workbook(call: Call) -> Response:
    workbook = call.resource("workbook", "Read")
    return xml.reply(xml.element("views", *(render(call)(row) for row in shown(call, workbook["id"]))))


def query_one(call: Call) -> Response:
    return xml.reply(render(call)(call.resource("view", "Read")))


def delete(call: Call) -> Response:
    """Deletes a view. Deleting the last view deletes the workbook."""
    view = call.resource("view", "Delete")
    others = call.state.one(
        "select 1 from view where workbook_id = ? and id <> ?", view["workbook_id"], view["id"]
    )
    if others is None:
        content.delete(call.state, "workbook", call.find("workbook", view["workbook_id"]))
    else:
        _remove(call, view)
    return Response(status_code=204)


def opened(show: Handler) -> Handler:
    """Shows a view to a person, and counts that."""

    def handler(call: Call) -> Response:
        response = show(call)
        call.state.write(
            "insert into view_use values (?, 1) on conflict (view_id) do update set opened = opened + 1",
            call.path["view"],
        )
        return response

    return handler


def _opened(call: Call, view: sqlite3.Row) -> int:
    """How often people have opened a view."""
    row = call.state.one("select opened from view_use where view_id = ?", view["id"])
    return row["opened"] if row else 0


def _remove(call: Call, view: sqlite3.Row) -> None:
    call.state.forget(view["id"])
    call.state.write("delete from view where id = ?", view["id"])


def short(call: Call, view: sqlite3.Row) -> xml.Element:
    """A view in short form, as part of its workbook."""
    return xml.element(
        "view", tags.render(call.state, view["id"]), id=view["id"], name=view["name"],
        contentUrl=view["content_url"], createdAt=view["created_at"], updatedAt=view["updated_at"],
        viewUrlName=view["content_url"].rpartition("/")[2],
    )  # fmt: skip


def _windows(root: xml.Element) -> list[xml.Element]:
    """The sheets of a document in the order of their tabs."""
    windows = [node for node in root.findall("windows/window") if node.get("class") in _SHEET_TYPES]
    return windows or [*root.findall("worksheets/worksheet"), *root.findall("dashboards/dashboard")]


def _fields(call: Call) -> Callable[[sqlite3.Row], Fields]:
    common = content.fields(call)

    def fields(view: sqlite3.Row) -> Fields:
        workbook = call.access.workbooks[view["workbook_id"]]
        return {
            **common(workbook),
            "name": view["name"],
            "luid": view["id"],
            "caption": view["name"],
            "title": view["name"],
            "hitsTotal": _opened(call, view),
            "favoritesTotal": content.favorites(call.state, view["id"]),
            "contentUrl": view["content_url"],
            "viewUrlName": view["content_url"].rpartition("/")[2],
            "sheetType": view["sheet_type"],
            "sheetNumber": view["position"],
            "createdAt": view["created_at"],
            "updatedAt": view["updated_at"],
            "workbookName": workbook["name"],
            "workbookDescription": workbook["description"],
            "tags": tags.labels(call.state, view["id"]),
        }

    return fields


def render(call: Call) -> Callable[[sqlite3.Row], xml.Element]:
    """How the API shows a view to the user."""
    asks_all = "_all_" in asked_fields(call)

    def rendered(view: sqlite3.Row) -> xml.Element:
        workbook = call.access.workbooks[view["workbook_id"]]
        asks_usage = asks_all or call.flag("includeUsageStatistics") or "view.usage" in asked_fields(call)
        return xml.element(
            "view",
            content.owner(call, workbook["owner_id"]),
            content.folder(call, workbook["project_id"]),
            tags.render(call.state, view["id"]),
            *([xml.element("usage", totalViewCount=_opened(call, view))] if asks_usage else []),
            xml.element("workbook", id=workbook["id"], name=workbook["name"] if asks_all else None),
            id=view["id"], name=view["name"], contentUrl=view["content_url"], createdAt=view["created_at"],
            updatedAt=view["updated_at"], sheetType=view["sheet_type"],
            viewUrlName=view["content_url"].rpartition("/")[2],
            favoritesTotal=content.favorites(call.state, view["id"]) if asks_all else None,
        )  # fmt: skip

    return rendered


_ONE = "/sites/{site}/views/{view}"
ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/views", query, lists=True),
    Endpoint("GET", "/sites/{site}/workbooks/{workbook}/views", query_of_workbook),
    Endpoint(
        "GET",
        "/sites/{site}/workbooks/{workbook}/views/{view}/previewImage",
        pictures.export("view", "png", "Read"),
    ),
    Endpoint("GET", _ONE, query_one),
    Endpoint("DELETE", _ONE, delete),
    Endpoint("GET", _ONE + "/image", opened(pictures.export("view", "png", "ExportImage"))),
    Endpoint("GET", _ONE + "/previewImage", pictures.export("view", "png", "Read")),
    Endpoint("GET", _ONE + "/pdf", opened(pictures.export("view", "pdf", "ExportImage"))),
    Endpoint("GET", _ONE + "/data", opened(pictures.export("view", "csv", "ExportData"))),
    Endpoint("GET", _ONE + "/crosstab/excel", opened(pictures.export("view", "xlsx", "ExportData"))),
)
