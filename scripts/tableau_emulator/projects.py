"""Projects, which can be nested."""

import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from tableau_emulator import content, xml
from tableau_emulator.access import controlling
from tableau_emulator.call import Call, Endpoint, luid_of
from tableau_emulator.errors import conflict, forbidden, malformed
from tableau_emulator.query import Fields, asked_fields, page
from tableau_emulator.state import State, new_luid, now

_CONTENT_PERMISSIONS = ("ManagedByOwner", "LockedToProject", "LockedToProjectWithoutNested")


def query(call: Call) -> Response:
    rows = call.state.all("select * from project where site_id = ? order by created_at, name", call.site_id)
    shown = [row for row in rows if call.access.may("project", row, "Read")]
    return page(call, "projects", shown, _fields(call), render(call))


def create(call: Call) -> Response:
    asked = call.request("project")
    name, parent_id = asked.get("name", ""), asked.get("parentProjectId")
    if not name:
        raise malformed("A project needs a name.")
    if parent_id is not None:
        call.find("project", parent_id)
    call.lead(parent_id)
    _free(call, name, parent_id)
    luid, at = new_luid(), now()
    call.state.insert(
        "project", id=luid, site_id=call.site_id, name=name, description=asked.get("description", ""),
        content_permissions=_content_permissions(asked, "ManagedByOwner"), parent_id=parent_id,
        owner_id=call.user_id, created_at=at, updated_at=at,
    )  # fmt: skip
    call.state.welcome(call.site_id, luid)
    return call.created(render(call)(call.find("project", luid)))


def update(call: Call) -> Response:
    """Changes what the request names. The project is moved if the request names another parent."""
    project, asked = call.resource("project"), call.request("project")
    call.lead(project["id"])
    name = asked.get("name", project["name"])
    parent_id = asked.get("parentProjectId", project["parent_id"]) or None
    if parent_id != project["parent_id"]:
        if parent_id is not None:
            call.find("project", parent_id)
        call.lead(parent_id)
        _not_inside(call, project["id"], parent_id)
    if _is_default(project) and (name, parent_id) != (project["name"], None):
        raise forbidden("The default project can't be renamed or moved.", "005")
    if (name, parent_id) != (project["name"], project["parent_id"]):
        _free(call, name, parent_id)
    owner_id = call.find("user", luid_of(asked, "owner") or project["owner_id"])["id"]
    call.state.update(
        "project", project["id"], name=name, description=asked.get("description", project["description"]),
        content_permissions=_content_permissions(asked, project["content_permissions"]), parent_id=parent_id,
        owner_id=owner_id, updated_at=now(),
    )  # fmt: skip
    return xml.reply(render(call)(call.find("project", project["id"])))


def delete(call: Call) -> Response:
    """Deletes the project with all its contents."""
    project = call.resource("project")
    if _is_default(project):
        raise forbidden("The default project can't be deleted.", "003")
    call.lead(project["id"])
    _delete(call.state, project["id"])
    return Response(status_code=204)


def _delete(state: State, luid: str) -> None:
    for nested in state.all("select id from project where parent_id = ?", luid):
        _delete(state, nested["id"])
    for kind in ("datasource", "workbook"):
        for row in state.all(f"select * from {kind} where project_id = ?", luid):
            content.delete(state, kind, row)
    state.forget(luid)
    state.write("delete from project where id = ?", luid)


def _is_default(project: sqlite3.Row) -> bool:
    return bool(project["name"] == "Default" and project["parent_id"] is None)


def _free(call: Call, name: str, parent_id: str | None) -> None:
    taken = call.state.one(
        "select 1 from project where site_id = ? and name = ? and parent_id is ?",
        call.site_id,
        name,
        parent_id,
    )
    if taken is not None:
        raise conflict(f"A project already exists with the name '{name}'.", "006")


def _not_inside(call: Call, luid: str, parent_id: str | None) -> None:
    while parent_id is not None:
        if parent_id == luid:
            raise malformed("A project can't be nested in itself.")
        parent_id = call.access.projects[parent_id]["parent_id"]


def _content_permissions(asked: xml.Element, default: str) -> str:
    mode: str = asked.get("contentPermissions", default)
    if mode not in _CONTENT_PERMISSIONS:
        raise malformed(f"'{mode}' is not a value of contentPermissions.")
    return mode


def _fields(call: Call) -> Callable[[sqlite3.Row], Fields]:
    owner_of = content.owner_fields(call)
    return lambda project: {
        **owner_of(project),
        "name": project["name"],
        "luid": project["id"],
        "createdAt": project["created_at"],
        "updatedAt": project["updated_at"],
        "parentProjectId": project["parent_id"] or "",
        "topLevelProject": project["parent_id"] is None,
    }


def render(call: Call) -> Callable[[sqlite3.Row], xml.Element]:
    """How the API shows a project to the user."""
    access, asked = call.access, asked_fields(call)
    asks_all = "_all_" in asked
    counts = asks_all or any(field.startswith("contentsCounts.") for field in asked)
    return lambda project: xml.element(
        "project",
        *([_counts(call, project["id"])] if counts else []),
        content.owner(call, project["owner_id"]),
        id=project["id"], name=project["name"], description=project["description"],
        createdAt=project["created_at"], updatedAt=project["updated_at"],
        contentPermissions=project["content_permissions"], parentProjectId=project["parent_id"],
        controllingPermissionsProjectId=controlling(access.projects, project),
        topLevelProject=project["parent_id"] is None, writeable=access.may("project", project, "Write"),
        favoritesTotal=content.favorites(call.state, project["id"]) if asks_all else None,
    )  # fmt: skip


def _counts(call: Call, luid: str) -> xml.Element:
    """The numbers of items in a project that the user may see."""

    def readable(kind: str, query: str) -> int:
        return sum(call.access.may(kind, row, "Read") for row in call.state.all(query, luid))

    views = "select view.* from view join workbook on workbook.id = workbook_id where project_id = ? and not hidden"
    return xml.element(
        "contentsCounts",
        projectCount=readable("project", "select * from project where parent_id = ?"),
        workbookCount=readable("workbook", "select * from workbook where project_id = ?"),
        viewCount=readable("view", views),
        datasourceCount=readable("datasource", "select * from datasource where project_id = ?"),
    )


ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/projects", query, lists=True),
    Endpoint("POST", "/sites/{site}/projects", create),
    Endpoint("PUT", "/sites/{site}/projects/{project}", update),
    Endpoint("DELETE", "/sites/{site}/projects/{project}", delete),
)
