"""Published data sources: publishing, querying, changing, refreshing."""

import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from tableau_emulator import connections, content, jobs, publishing, tags, uploads, xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.query import Fields, asked_fields, page

_TYPES = ("hyper", "parquet", "tde", "tds", "tdsx")


def query(call: Call) -> Response:
    rows = content.listed(
        call, "datasource", "select * from datasource where site_id = ? order by created_at, name"
    )
    return page(call, "datasources", rows, _fields(call), render(call))


def query_one(call: Call) -> Response:
    return xml.reply(render(call)(call.resource("datasource", "Read")))


def publish(call: Call) -> Response:
    return publishing.publish(call, "datasource", _TYPES, _settle, render(call))


def _settle(call: Call, source: sqlite3.Row, root: xml.Element | None, asked: xml.Element) -> None:
    connections.replace(call, "datasource", source["id"], root, asked)


def update(call: Call) -> Response:
    asked = call.request("datasource")
    old = content.change(call, "datasource", asked)
    call.state.update(
        "datasource", old["id"],
        is_certified=asked.get("isCertified", str(bool(old["is_certified"]))).lower() == "true",
        certification_note=asked.get("certificationNote", old["certification_note"]),
    )  # fmt: skip
    return xml.reply(render(call)(call.find("datasource", old["id"])))


def _fields(call: Call) -> Callable[[sqlite3.Row], Fields]:
    common = content.fields(call)

    def fields(source: sqlite3.Row) -> Fields:
        connected = connections.of(call.state, source["id"])
        return {
            **common(source),
            "connectionType": [each["type"] for each in connected],
            "databaseUserName": [each["user_name"] for each in connected],
            "hasAlert": False,
            "hasEmbeddedPassword": any(each["embed"] for each in connected),
            "hasExtracts": source["type"] != "tds",
            "isCertified": bool(source["is_certified"]),
            "isPublished": True,
            "serverName": [each["server"] for each in connected],
            "serverPort": [each["port"] for each in connected],
        }

    return fields


def render(call: Call) -> Callable[[sqlite3.Row], xml.Element]:
    """How the API shows a data source to the user."""
    asks_all = "_all_" in asked_fields(call)

    def more(source: sqlite3.Row) -> dict[str, str | int | bool]:
        workbooks = (
            "select count(distinct content_id) from connection where datasource_id = ? and content_id <> ?"
        )
        return {
            "connectedWorkbooksCount": call.state.all(workbooks, source["id"], source["id"])[0][0],
            "favoritesTotal": content.favorites(call.state, source["id"]),
            "hasAlert": False,
            "isPublished": True,
        }

    return lambda source: xml.element(
        "datasource",
        content.owner(call, source["owner_id"]),
        content.folder(call, source["project_id"]),
        tags.render(call.state, source["id"]),
        id=source["id"], name=source["name"], description=source["description"],
        contentUrl=source["content_url"], type=source["type"], size=source["size"] // uploads.MIB,
        createdAt=source["created_at"], updatedAt=source["updated_at"],
        encryptExtracts="false", hasExtracts=source["type"] != "tds", isCertified=bool(source["is_certified"]),
        certificationNote=source["certification_note"], useRemoteQueryAgent=False,
        webpageUrl=content.address(call, "datasource", source["content_url"]),
        **(more(source) if asks_all else {}),
    )  # fmt: skip


_ONE = "/sites/{site}/datasources/{datasource}"
ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/datasources", query, lists=True),
    Endpoint("POST", "/sites/{site}/datasources", publish),
    Endpoint("GET", _ONE, query_one),
    Endpoint("PUT", _ONE, update),
    Endpoint("DELETE", _ONE, content.remove("datasource")),
    Endpoint("POST", _ONE + "/refresh", jobs.refresh("datasource")),
)
