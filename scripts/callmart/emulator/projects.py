"""Projects, nested by their parent."""

import sqlite3

from starlette.responses import Response

from callmart.emulator import permissions, xml
from callmart.emulator.call import Call, Endpoint, resource
from callmart.emulator.errors import ApiError, absent
from callmart.emulator.query import Fields, page
from callmart.emulator.state import State, new_luid, now

_CONTENT_PERMISSIONS = ("ManagedByOwner", "LockedToProject", "LockedToProjectWithoutNested")


def query(call: Call) -> Response:
    rows = call.state.all("select * from project order by created_at, name")
    return page(call, "projects", rows, _fields, lambda row: _render(call.state, row))


def create(call: Call) -> Response:
    asked = call.request("project")
    name, parent_id = asked.get("name", ""), asked.get("parentProjectId")
    if not name:
        raise ApiError(400, "000", "A project needs a name.")
    if parent_id is not None:
        resource(call.state, "project", parent_id)
    _free(call.state, name, parent_id)
    luid, at = new_luid(), now()
    call.state.write(
        "insert into project values (?, ?, ?, ?, ?, ?, ?, ?)",
        luid, name, asked.get("description", ""), _content_permissions(asked, "ManagedByOwner"), parent_id,
        call.user_id, at, at,
    )  # fmt: skip
    permissions.welcome(call.state, luid)
    return xml.reply(_render(call.state, resource(call.state, "project", luid)), status=201)


def update(call: Call) -> Response:
    """Changes what the request names; moves the project where it names a parent."""
    project, asked = call.resource("project"), call.request("project")
    name = asked.get("name", project["name"])
    parent_id = asked.get("parentProjectId", project["parent_id"]) or None
    if (name, parent_id) != (project["name"], project["parent_id"]):
        _free(call.state, name, parent_id)
        _not_inside(call.state, project["id"], parent_id)
    call.state.write(
        "update project set name = ?, description = ?, content_permissions = ?, parent_id = ?, "
        "updated_at = ? where id = ?",
        name, asked.get("description", project["description"]),
        _content_permissions(asked, project["content_permissions"]), parent_id, now(), project["id"],
    )  # fmt: skip
    return xml.reply(_render(call.state, resource(call.state, "project", project["id"])))


def delete(call: Call) -> Response:
    """Deletes the project with all that it holds."""
    project = call.resource("project")
    if project["name"] == "Default" and project["parent_id"] is None:
        raise ApiError(403, "004", "The default project can't be deleted.")
    _delete(call.state, project["id"])
    return Response(status_code=204)


def _delete(state: State, luid: str) -> None:
    for nested in state.all("select id from project where parent_id = ?", luid):
        _delete(state, nested["id"])
    for source in state.all("select id, file from datasource where project_id = ?", luid):
        state.forget(source["id"])
        state.write("delete from datasource where id = ?", source["id"])
        state.discard(source["file"])
    state.forget(luid)
    state.write("delete from project where id = ?", luid)


def _free(state: State, name: str, parent_id: str | None) -> None:
    if state.one("select 1 from project where name = ? and parent_id is ?", name, parent_id) is not None:
        raise ApiError(409, "006", f"A project already exists with the name '{name}'.")


def _not_inside(state: State, luid: str, parent_id: str | None) -> None:
    while parent_id is not None:
        if parent_id == luid:
            raise ApiError(400, "000", "A project can't be nested in itself.")
        parent = state.one("select parent_id from project where id = ?", parent_id)
        if parent is None:
            raise absent("project", parent_id)
        parent_id = parent["parent_id"]


def _content_permissions(asked: xml.Element, default: str) -> str:
    mode: str = asked.get("contentPermissions", default)
    if mode not in _CONTENT_PERMISSIONS:
        raise ApiError(400, "000", f"'{mode}' is no value of contentPermissions.")
    return mode


def _fields(project: sqlite3.Row) -> Fields:
    return {
        "name": project["name"],
        "luid": project["id"],
        "createdAt": project["created_at"],
        "updatedAt": project["updated_at"],
        "ownerName": "callmart",
        "parentProjectId": project["parent_id"] or "",
        "topLevelProject": str(project["parent_id"] is None).lower(),
    }


def _render(state: State, project: sqlite3.Row) -> xml.Element:
    return xml.element(
        "project", xml.element("owner", id=project["owner_id"]),
        id=project["id"], name=project["name"], description=project["description"],
        createdAt=project["created_at"], updatedAt=project["updated_at"],
        contentPermissions=project["content_permissions"], parentProjectId=project["parent_id"],
        controllingPermissionsProjectId=permissions.controlling(state, project),
        topLevelProject=project["parent_id"] is None, writeable=True,
    )  # fmt: skip


ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/projects", query),
    Endpoint("POST", "/sites/{site}/projects", create),
    Endpoint("PUT", "/sites/{site}/projects/{project}", update),
    Endpoint("DELETE", "/sites/{site}/projects/{project}", delete),
)
