"""Published data sources: publishing, querying, changing, refreshing."""

import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from callmart.emulator import connections, content, jobs, uploads, xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import absent, malformed
from callmart.emulator.query import Fields, page
from callmart.emulator.state import append, new_luid, now

_TYPES = ("hyper", "tds", "tdsx")


def query(call: Call) -> Response:
    rows = call.state.all(
        "select * from datasource where site_id = ? order by created_at, name", call.site_id
    )
    shown = [row for row in rows if call.access.may("datasource", row, "Read")]
    return page(call, "datasources", shown, _fields(call), _render(call))


def query_one(call: Call) -> Response:
    return xml.reply(_render(call)(call.resource("datasource", "Read")))


def publish(call: Call) -> Response:
    """Makes, overwrites or appends to a data source, from a file in the request or in an upload session.

    A data source that is overwritten keeps its LUID, its tags and its permissions. What is appended only makes
    the data source larger: no extract is opened here.
    """
    given = uploads.parts(call)
    asked = xml.request(uploads.part(call, "request_payload")[1], "datasource")
    project = content.project_of(call, asked)
    name, adds = asked.get("name", ""), call.flag("append")
    if not name:
        raise malformed("A data source needs a name.")
    old = content.replaceable(call, "datasource", project, name, call.flag("overwrite") or adds)
    if adds and old is None:
        raise absent("datasource", name)
    luid = old["id"] if old else new_luid()
    if call.flag("asJob"):
        job = jobs.start(call, "PublishDatasource", "datasource", luid, name)
        if not jobs.fails(job):
            _store(call, luid, old, project, asked, given)
        return jobs.reply(call, job)
    _store(call, luid, old, project, asked, given)
    return xml.reply(_render(call)(call.find("datasource", luid)), status=201)


def _store(
    call: Call,
    luid: str,
    old: sqlite3.Row | None,
    project: sqlite3.Row,
    asked: xml.Element,
    given: dict[str, tuple[str, bytes]],
) -> None:
    file, file_type = uploads.receive(call, given, "datasource", _TYPES)
    path, at = call.state.files / file, now()
    root = connections.document(path, file_type)
    if old is not None and call.flag("append"):
        size = append(call.state.files / old["file"], path.read_bytes())
        call.state.update("datasource", luid, size=size, updated_at=at)
        call.state.discard(file)
        return
    size = path.stat().st_size
    if old is None:
        call.state.insert(
            "datasource", id=luid, site_id=call.site_id, name=asked.get("name"),
            description=asked.get("description", ""),
            content_url=content.free_url(call, "datasource", asked.get("name")), type=file_type,
            project_id=project["id"], owner_id=call.user_id, file=file, size=size, created_at=at, updated_at=at,
        )  # fmt: skip
        content.inherit(call, "datasource", luid, project)
    else:
        call.state.update(
            "datasource", luid, description=asked.get("description", old["description"]), type=file_type,
            file=file, size=size, updated_at=at,
        )  # fmt: skip
        call.state.discard(old["file"])
    connections.replace(call, "datasource", luid, root, asked)


def update(call: Call) -> Response:
    asked = call.request("datasource")
    old = content.change(call, "datasource", asked)
    call.state.update(
        "datasource", old["id"],
        is_certified=asked.get("isCertified", str(bool(old["is_certified"]))).lower() == "true",
        certification_note=asked.get("certificationNote", old["certification_note"]),
    )  # fmt: skip
    return xml.reply(_render(call)(call.find("datasource", old["id"])))


def _fields(call: Call) -> Callable[[sqlite3.Row], Fields]:
    common = content.fields(call)
    return lambda source: {
        **common(source),
        "hasExtracts": source["type"] != "tds",
        "isCertified": bool(source["is_certified"]),
    }


def _render(call: Call) -> Callable[[sqlite3.Row], xml.Element]:
    return lambda source: xml.element(
        "datasource",
        xml.element("owner", id=source["owner_id"]),
        content.folder(call, source["project_id"]),
        content.tags(call.state, source["id"]),
        id=source["id"], name=source["name"], description=source["description"],
        contentUrl=source["content_url"], type=source["type"], size=source["size"] // uploads.MIB,
        createdAt=source["created_at"], updatedAt=source["updated_at"],
        encryptExtracts="false", hasExtracts=source["type"] != "tds", isCertified=bool(source["is_certified"]),
        certificationNote=source["certification_note"], useRemoteQueryAgent=False,
        webpageUrl=content.address(call, "datasource", source["content_url"]),
    )  # fmt: skip


_ONE = "/sites/{site}/datasources/{datasource}"
ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/datasources", query, lists=True),
    Endpoint("POST", "/sites/{site}/datasources", publish),
    Endpoint("GET", _ONE, query_one),
    Endpoint("PUT", _ONE, update),
    Endpoint("DELETE", _ONE, content.remove("datasource")),
    Endpoint("GET", _ONE + "/content", content.download("datasource")),
    Endpoint("POST", _ONE + "/refresh", jobs.refresh("datasource")),
)
