"""Published data sources: publishing, querying, downloading, tags."""

import re
import sqlite3
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from callmart.emulator import uploads, xml
from callmart.emulator.call import Call, Endpoint, resource
from callmart.emulator.errors import ApiError, absent
from callmart.emulator.query import Fields, page
from callmart.emulator.state import State, append, new_luid, now

_TYPES = ("hyper", "tds", "tdsx")


def query(call: Call) -> Response:
    rows = call.state.all("select * from datasource order by created_at, name")
    return page(
        call, "datasources", rows, lambda row: _fields(call.state, row), lambda row: _render(call, row)
    )


def query_one(call: Call) -> Response:
    return xml.reply(_render(call, call.resource("datasource")))


def publish(call: Call) -> Response:
    """Makes or overwrites a data source from a file in the request or in an upload session.

    A data source that is overwritten keeps its LUID, its tags and its permissions.
    """
    given = uploads.parts(call)
    if "request_payload" not in given:
        raise ApiError(400, "000", "The request has no part 'request_payload'.")
    asked = xml.request(given["request_payload"][1], "datasource")
    project = _project(call.state, asked)
    name, overwrite = asked.get("name", ""), call.flag("overwrite")
    if not name:
        raise ApiError(400, "000", "A data source needs a name.")
    old = call.state.one("select * from datasource where project_id = ? and name = ?", project["id"], name)
    if old is not None and not overwrite:
        raise ApiError(403, "007", f"A data source named '{name}' exists and overwrite is not set.")
    file, kind = _receive(call, given)
    size, at = (call.state.files / file).stat().st_size, now()
    luid = old["id"] if old else new_luid()
    if old is None:
        call.state.write(
            "insert into datasource values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            luid, name, asked.get("description", ""), _content_url(call.state, name), kind, project["id"],
            call.user_id, file, size, at, at,
        )  # fmt: skip
    else:
        call.state.write(
            "update datasource set description = ?, type = ?, file = ?, size = ?, updated_at = ? "
            "where id = ?",
            asked.get("description", old["description"]), kind, file, size, at, luid,
        )  # fmt: skip
        call.state.discard(old["file"])
    return xml.reply(_render(call, resource(call.state, "datasource", luid)), status=201)


def download(call: Call) -> Response:
    source = call.resource("datasource")
    return FileResponse(
        call.state.files / source["file"],
        filename=f"{source['name']}.{source['type']}",
        media_type="application/octet-stream",
    )


def delete(call: Call) -> Response:
    source = call.resource("datasource")
    call.state.forget(source["id"])
    call.state.write("delete from datasource where id = ?", source["id"])
    call.state.discard(source["file"])
    return Response(status_code=204)


def add_tags(call: Call) -> Response:
    source = call.resource("datasource")
    for tag in call.request("tags").findall("tag"):
        # a label in quotes may hold commas and blanks
        label = tag.get("label", "").strip('"')
        call.state.write("insert or ignore into tag values (?, ?)", source["id"], label)
    return xml.reply(_tags(call.state, source["id"]))


def delete_tag(call: Call) -> Response:
    source = call.resource("datasource")
    call.state.write("delete from tag where content_id = ? and label = ?", source["id"], call.path["tag"])
    return Response(status_code=204)


def _project(state: State, asked: xml.Element) -> sqlite3.Row:
    wanted = asked.find("project")
    if wanted is not None:
        return resource(state, "project", wanted.get("id", ""))
    default = state.one("select * from project where name = 'Default' and parent_id is null")
    if default is None:
        raise absent("project", "Default")
    return default


def _receive(call: Call, given: dict[str, tuple[str, bytes]]) -> tuple[str, str]:
    """The name under which the published content is now kept, and its type."""
    session = call.query.get("uploadSessionId")
    filename, content = given.get("tableau_datasource", ("", b""))
    kind = call.query.get("datasourceType", filename.rpartition(".")[2])
    if not session and not filename:
        raise ApiError(400, "011", "The request holds no file and names no upload session.")
    if kind not in _TYPES:
        raise ApiError(400, "011", f"A file of type '{kind}' can't be published as a data source.")
    file = new_luid()
    if session:
        resource(call.state, "upload", session)
        (call.state.uploads / session).rename(call.state.files / file)
        call.state.write("delete from upload where id = ?", session)
    else:
        append(call.state.files / file, content)
    return file, kind


def _content_url(state: State, name: str) -> str:
    """A part of a URL that no other data source of the site has."""
    bare = re.sub(r"\W", "", name) or "datasource"
    number, url = 0, bare
    while state.one("select 1 from datasource where content_url = ?", url) is not None:
        number += 1
        url = f"{bare}_{number}"
    return url


def _fields(state: State, source: sqlite3.Row) -> Fields:
    project = resource(state, "project", source["project_id"])
    tags = state.all("select label from tag where content_id = ?", source["id"])
    return {
        "name": source["name"],
        "luid": source["id"],
        "contentUrl": source["content_url"],
        "createdAt": source["created_at"],
        "updatedAt": source["updated_at"],
        "description": source["description"],
        "ownerName": "callmart",
        "projectName": project["name"],
        "size": source["size"],
        "tags": [row["label"] for row in tags],
        "type": source["type"],
    }


def _render(call: Call, source: sqlite3.Row) -> xml.Element:
    project = resource(call.state, "project", source["project_id"])
    return xml.element(
        "datasource",
        xml.element("owner", id=source["owner_id"]),
        xml.element("project", id=project["id"], name=project["name"]),
        _tags(call.state, source["id"]),
        id=source["id"], name=source["name"], description=source["description"],
        contentUrl=source["content_url"], type=source["type"], size=source["size"] // uploads.MIB,
        createdAt=source["created_at"], updatedAt=source["updated_at"],
        encryptExtracts="false", hasExtracts=source["type"] != "tds", isCertified=False,
        useRemoteQueryAgent=False,
        webpageUrl=f"{call.address}/#/datasources/{quote(source['content_url'])}",
    )  # fmt: skip


def _tags(state: State, luid: str) -> xml.Element:
    rows = state.all("select label from tag where content_id = ? order by label", luid)
    return xml.element("tags", *(xml.element("tag", label=row["label"]) for row in rows))


ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/datasources", query),
    Endpoint("POST", "/sites/{site}/datasources", publish),
    Endpoint("GET", "/sites/{site}/datasources/{datasource}", query_one),
    Endpoint("DELETE", "/sites/{site}/datasources/{datasource}", delete),
    Endpoint("GET", "/sites/{site}/datasources/{datasource}/content", download),
    Endpoint("PUT", "/sites/{site}/datasources/{datasource}/tags", add_tags),
    Endpoint("DELETE", "/sites/{site}/datasources/{datasource}/tags/{tag}", delete_tag),
)
