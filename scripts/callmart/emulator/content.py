"""What data sources and workbooks have in common: a file in a project, tags, an owner."""

import re
import sqlite3
from collections.abc import Callable
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from callmart.emulator import xml
from callmart.emulator.access import locked_by
from callmart.emulator.call import Call, Endpoint, Handler
from callmart.emulator.errors import ApiError, absent, forbidden, malformed
from callmart.emulator.state import State, now

_TAGGED = ("datasource", "workbook", "view")


def project_of(call: Call, asked: xml.Element) -> sqlite3.Row:
    """The project that a request to publish names, or Default; the user must be allowed to publish in it."""
    wanted = asked.find("project")
    if wanted is not None:
        return call.find("project", wanted.get("id", ""), "Write")
    default = call.state.one(
        "select id from project where name = 'Default' and parent_id is null and site_id = ?", call.site_id
    )
    if default is None:
        raise absent("project", "Default")
    return call.find("project", default["id"], "Write")


def replaceable(
    call: Call, kind: str, project: sqlite3.Row, name: str, overwrite: bool
) -> sqlite3.Row | None:
    """What has the name already, where it may be overwritten."""
    old = call.state.one(f"select * from {kind} where project_id = ? and name = ?", project["id"], name)
    if old is None:
        return None
    if not overwrite:
        raise ApiError(403, "007", f"A {kind} named '{name}' exists and overwrite is not set.")
    return call.find(kind, old["id"], "Write")


def inherit(call: Call, kind: str, luid: str, project: sqlite3.Row) -> None:
    """Gives new content the rules that the project has as default for its kind."""
    source = locked_by(call.access.projects, project["id"]) or project["id"]
    call.state.write(
        "insert into rule select ?, 'own', grantee_kind, grantee_id, capability, mode from rule "
        "where content_id = ? and scope = ?",
        luid, source, kind,
    )  # fmt: skip


def free_url(call: Call, kind: str, name: str) -> str:
    """A part of a URL that no other content of the kind has on the site."""
    bare = re.sub(r"\W", "", name) or kind
    number, url = 0, bare
    while call.state.one(f"select 1 from {kind} where site_id = ? and content_url = ?", call.site_id, url):
        number += 1
        url = f"{bare}_{number}"
    return url


def download(kind: str) -> Handler:
    """The file as it was published."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "ExportXml")
        return FileResponse(
            call.state.files / row["file"],
            filename=f"{row['name']}.{row['type']}",
            media_type="application/octet-stream",
        )

    return handler


def remove(kind: str) -> Handler:
    """Deletes content with all that hangs on it."""

    def handler(call: Call) -> Response:
        delete(call.state, kind, call.resource(kind, "Delete"))
        return Response(status_code=204)

    return handler


def delete(state: State, kind: str, row: sqlite3.Row) -> None:
    """Deletes the row of content, its file, and what hangs on it."""
    if kind == "workbook":
        for view in state.all("select id from view where workbook_id = ?", row["id"]):
            state.forget(view["id"])
    state.forget(row["id"])
    state.write(f"delete from {kind} where id = ?", row["id"])
    state.discard(row["file"])


def change(call: Call, kind: str, asked: xml.Element) -> sqlite3.Row:
    """Renames, moves or gives away content as the request asks; the row as it was before."""
    row = call.resource(kind, "Write")
    name, project_id, owner_id = asked.get("name", row["name"]), row["project_id"], row["owner_id"]
    project, owner = asked.find("project"), asked.find("owner")
    if project is not None and project.get("id") != project_id:
        call.find(kind, row["id"], "ChangeHierarchy")
        project_id = call.find("project", project.get("id", ""), "Write")["id"]
    if owner is not None and owner.get("id") != owner_id:
        if owner_id != call.user_id and not call.access.leads(project_id):
            raise forbidden("Only the owner and who leads the project may give it away.")
        owner_id = call.find("user", owner.get("id", ""))["id"]
    taken = call.state.one(
        f"select 1 from {kind} where project_id = ? and name = ? and id <> ?", project_id, name, row["id"]
    )
    if taken is not None:
        raise ApiError(409, "004", f"A {kind} named '{name}' is in the project already.")
    call.state.update(
        kind, row["id"], name=name, project_id=project_id, owner_id=owner_id, updated_at=now(),
        description=asked.get("description", row["description"]),
    )  # fmt: skip
    return row


def owners(call: Call) -> dict[str, sqlite3.Row]:
    """The users of the site by LUID."""
    return {row["id"]: row for row in call.state.all("select * from user where site_id = ?", call.site_id)}


def fields(call: Call) -> Callable[[sqlite3.Row], dict[str, object]]:
    """What data sources and workbooks can be filtered and sorted by."""
    users, projects = owners(call), call.access.projects
    return lambda row: {
        "name": row["name"],
        "luid": row["id"],
        "contentUrl": row["content_url"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "description": row["description"],
        "ownerName": users[row["owner_id"]]["full_name"],
        "ownerEmail": users[row["owner_id"]]["email"],
        "ownerDomain": "local",
        "projectName": projects[row["project_id"]]["name"],
        "size": row["size"],
        "tags": labels(call.state, row["id"]),
        "type": row["type"],
    }


def folder(call: Call, project_id: str) -> xml.Element:
    """The project that content is in, as the API shows it; the name only to who may see the project."""
    project = call.access.projects[project_id]
    visible = call.access.may("project", project, "Read")
    return xml.element("project", id=project_id, name=project["name"] if visible else None)


def address(call: Call, kind: str, content_url: str) -> str:
    """Where a person would see the content."""
    return f"{call.address}/#/{kind}s/{quote(content_url)}"


def tags(state: State, luid: str) -> xml.Element:
    """The tags of content."""
    return xml.element("tags", *(xml.element("tag", label=label) for label in labels(state, luid)))


def add_tags(kind: str) -> Handler:
    """Adds tags to content of a kind."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "Read")
        for tag in call.request("tags").findall("tag"):
            # a label in quotes may hold commas and blanks
            call.state.ensure("tag", content_id=row["id"], label=tag.get("label", "").strip('"'))
        return xml.reply(tags(call.state, row["id"]))

    return handler


def delete_tag(kind: str) -> Handler:
    """Takes one tag from content of a kind."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "Write")
        call.state.write("delete from tag where content_id = ? and label = ?", row["id"], call.path["tag"])
        return Response(status_code=204)

    return handler


def _batch(call: Call, statement: str) -> Response:
    asked = call.request("tagBatch")
    labels = [tag.get("label", "").strip('"') for tag in asked.iterfind("tags/tag")]
    changed = []
    for item in asked.iterfind("contents/content"):
        kind = item.get("contentType", "").lower()
        if kind not in _TAGGED:
            raise malformed(f"Content of type '{kind}' has no tags here.")
        row = call.find(kind, item.get("id", ""), "Write")
        for label in labels:
            call.state.write(statement, row["id"], label)
        changed.append(xml.element("content", contentType=kind, id=row["id"]))
    given = xml.element("tags", *(xml.element("tag", label=label) for label in labels))
    return xml.reply(xml.element("tagBatch", xml.element("contents", *changed), given))


def add_tags_to_many(call: Call) -> Response:
    return _batch(call, "insert or ignore into tag (content_id, label) values (?, ?)")


def delete_tags_of_many(call: Call) -> Response:
    return _batch(call, "delete from tag where content_id = ? and label = ?")


def labels(state: State, luid: str) -> list[str]:
    """The tags of content as texts."""
    rows = state.all("select label from tag where content_id = ? order by label", luid)
    return [row["label"] for row in rows]


ENDPOINTS = (
    *(Endpoint("PUT", f"/sites/{{site}}/{kind}s/{{{kind}}}/tags", add_tags(kind)) for kind in _TAGGED),
    *(
        Endpoint("DELETE", f"/sites/{{site}}/{kind}s/{{{kind}}}/tags/{{tag}}", delete_tag(kind))
        for kind in _TAGGED
    ),
    Endpoint("PUT", "/tags:batchCreate", add_tags_to_many),
    Endpoint("PUT", "/tags:batchDelete", delete_tags_of_many),
)
