"""What data sources and workbooks have in common: projects, owners, changing and deleting."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from urllib.parse import quote

from starlette.responses import Response

from tableau_emulator import tags, xml
from tableau_emulator.call import Call, Handler, luid_of
from tableau_emulator.errors import conflict, forbidden
from tableau_emulator.query import asked_fields
from tableau_emulator.state import Rows, State, now

# Sub-codes that differ between the two kinds.
_MOVE_FORBIDDEN = {"datasource": "030", "workbook": "025"}
_NAME_TAKEN = {"datasource": "015", "workbook": "004"}


def remove(kind: str) -> Handler:
    """Deletes content with everything that belongs to it."""

    def handler(call: Call) -> Response:
        delete(call.state, kind, call.resource(kind, "Delete"))
        return Response(status_code=204)

    return handler


def delete(state: State, kind: str, row: sqlite3.Row) -> None:
    """Deletes the row of content, its file, and everything that belongs to it."""
    if kind == "workbook":
        for view in state.all("select id from view where workbook_id = ?", row["id"]):
            state.forget(view["id"])
    state.forget(row["id"])
    state.write(f"delete from {kind} where id = ?", row["id"])


def change(call: Call, kind: str, asked: xml.Element) -> sqlite3.Row:
    """Renames or moves content or changes its owner, as requested. Returns the row as it was before."""
    row = call.resource(kind, "Write")
    name = asked.get("name", row["name"])
    project_id, owner_id = (
        luid_of(asked, "project") or row["project_id"],
        luid_of(asked, "owner") or row["owner_id"],
    )
    if project_id != row["project_id"]:
        call.find(kind, row["id"], "ChangeHierarchy")
        call.find("project", project_id, "Write", _MOVE_FORBIDDEN[kind])
    if owner_id != row["owner_id"]:
        if row["owner_id"] != call.user_id and not call.access.leads(project_id):
            raise forbidden("Only the owner or the leader of the project may change the owner.", "027")
        call.find("user", owner_id)
    taken = call.state.one(
        f"select 1 from {kind} where project_id = ? and name = ? and id <> ?", project_id, name, row["id"]
    )
    if taken is not None:
        raise conflict(f"A {kind} named '{name}' is already in the project.", _NAME_TAKEN[kind])
    call.state.update(
        kind, row["id"], name=name, project_id=project_id, owner_id=owner_id, updated_at=now(),
        description=asked.get("description", row["description"]),
    )  # fmt: skip
    return row


def listed(call: Call, kind: str, query: str) -> Sequence[sqlite3.Row]:
    """The rows of a list of the site that the user may see. An administrator may see all."""
    if call.access.administrator:
        return Rows(call.state, query, call.site_id)
    return [row for row in call.state.all(query, call.site_id) if call.access.may(kind, row, "Read")]


def owner_fields(call: Call) -> Callable[[sqlite3.Row], dict[str, str]]:
    """The fields of an owner for filters and sorts. They are empty if the user may not see the owner."""

    @cache
    def seen() -> dict[str, sqlite3.Row]:
        all_seen = call.access.sees_all_users()
        rows = call.state.all("select * from user where site_id = ?", call.site_id)
        return {row["id"]: row for row in rows if all_seen or row["id"] == call.user_id}

    def fields(row: sqlite3.Row) -> dict[str, str]:
        user = seen().get(row["owner_id"])
        return {
            "ownerName": user["full_name"] if user else "",
            "ownerEmail": user["email"] if user else "",
            "ownerDomain": "local",
        }

    return fields


def fields(call: Call) -> Callable[[sqlite3.Row], dict[str, object]]:
    """What data sources and workbooks can be filtered and sorted by."""
    owner_of = owner_fields(call)
    return lambda row: {
        **owner_of(row),
        "name": row["name"],
        "luid": row["id"],
        "contentUrl": row["content_url"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "description": row["description"],
        "favoritesTotal": favorites(call.state, row["id"]),
        "projectName": folder(call, row["project_id"]).get("name", ""),
        "size": row["size"],
        "tags": tags.labels(call.state, row["id"]),
        "type": row["type"],
    }


def favorites(state: State, luid: str) -> int:
    """The number of users who have the content among their favorites."""
    return int(state.all("select count(*) from favorite where content_id = ?", luid)[0][0])


def owner(call: Call, luid: str) -> xml.Element:
    """The owner of an item. More than the LUID is shown only if it is requested and the user may see it."""
    asks = any(field == "_all_" or field.startswith("owner.") for field in asked_fields(call))
    if not asks or not (luid == call.user_id or call.access.sees_all_users()):
        return xml.element("owner", id=luid)
    user = call.find("user", luid)
    return xml.element(
        "owner", id=luid, name=user["name"], fullName=user["full_name"], email=user["email"] or None,
        siteRole=user["site_role"], lastLogin=user["last_login"],
    )  # fmt: skip


def folder(call: Call, project_id: str) -> xml.Element:
    """The project that content is in. Its name is shown only to users who may see the project."""
    project = call.access.projects[project_id]
    if not call.access.may("project", project, "Read"):
        return xml.element("project", id=project_id)
    details = {"description": project["description"]} if "_all_" in asked_fields(call) else {}
    return xml.element("project", id=project_id, name=project["name"], **details)


def address(call: Call, kind: str, content_url: str) -> str:
    """The URL at which people would see the content."""
    return f"{call.address}/#/{kind}s/{quote(content_url)}"
