"""Connections of data sources and workbooks, from the published file and the credentials given with it.

Passwords are not stored, only whether one is embedded.
"""

import io
import sqlite3
import zipfile
from collections import defaultdict
from pathlib import Path

from lxml import etree
from starlette.responses import Response

from tableau_emulator import faults, xml
from tableau_emulator.call import Call, Endpoint, Handler
from tableau_emulator.errors import ApiError, absent, forbidden, malformed
from tableau_emulator.state import State, new_luid

_DOCUMENTS = (".tds", ".twb")
_EXTRACTS = ("hyper", "parquet", "tde")
_WRITE_FORBIDDEN = {"datasource": "023", "workbook": "029"}  # sub-codes


def document(file: Path, file_type: str) -> xml.Element | None:
    """The XML of a published file, unpacked if it is in a package; None for a bare extract."""
    if file_type in _EXTRACTS:
        return None
    content = file.read_bytes()
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as package:
                names = [name for name in package.namelist() if name.endswith(_DOCUMENTS)]
                content = package.read(names[0])
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        return etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, zipfile.BadZipFile, IndexError):
        raise malformed(f"The file is not a readable .{file_type}.", "011") from None


def replace(call: Call, kind: str, luid: str, root: xml.Element | None, asked: xml.Element) -> None:
    """Stores the connections in the document of published content, with the credentials of the request."""
    call.state.write("delete from connection where content_id = ?", luid)
    embedded: dict[str, str] = defaultdict(new_luid)  # the data sources that are only in a workbook
    for position, (node, source) in enumerate(_found(root)):
        values = {
            "type": node.get("class", ""),
            "server": node.get("server", ""),
            "port": node.get("port", ""),
            "user_name": node.get("username", ""),
            "datasource_id": luid if kind == "datasource" else embedded[source],
            "datasource_name": asked.get("name", "") if kind == "datasource" else source,
        }
        published = _published(call, node.get("dbname", "")) if values["type"] == "sqlproxy" else None
        if published is not None:
            values |= {"datasource_id": published["id"], "datasource_name": published["name"]}
        call.state.insert(
            "connection",
            id=new_luid(),
            site_id=call.site_id,
            content_id=luid,
            position=position,
            embed=0,
            **values,
        )
    if faults.take(call, "credentials") is None:
        _embed(call, luid, asked)


def of(state: State, luid: str) -> list[sqlite3.Row]:
    """The connections of content, in their order."""
    return state.all("select * from connection where content_id = ? order by position", luid)


def use(call: Call, workbook: sqlite3.Row) -> None:
    """Refuses a user who may not connect to a published data source of the workbook, unless a password is embedded."""
    for row in of(call.state, workbook["id"]):
        if row["type"] == "sqlproxy" and not row["embed"]:
            call.find("datasource", row["datasource_id"], "Connect")


def query(kind: str) -> Handler:
    """The connections of content."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "Read", "021")
        rows = of(call.state, row["id"])
        return xml.reply(xml.element("connections", *(_render(each) for each in rows)))

    return handler


def update(kind: str) -> Handler:
    """Changes the server, user or password of one connection."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "Write", _WRITE_FORBIDDEN[kind])
        connection = call.resource("connection")
        if connection["content_id"] != row["id"]:
            raise absent("connection", connection["id"])
        _change(call, connection, call.request("connection"))
        return xml.reply(_render(call.find("connection", connection["id"])))

    return handler


def update_many(kind: str) -> Handler:
    """Changes several connections of content in the same way."""

    def handler(call: Call) -> Response:
        row, asked = call.resource(kind, "Write", _WRITE_FORBIDDEN[kind]), call.request("connection")
        luids = [node.text or "" for node in asked.getparent().iter("connectionLUID", "connectionLuid")]
        if not luids:
            raise malformed("The request names no connection.")
        for luid in luids:
            connection = call.find("connection", luid)
            if connection["content_id"] != row["id"]:
                raise absent("connection", luid)
            _change(call, connection, asked)
        shown = [_render(call.find("connection", luid)) for luid in luids]
        return xml.reply(xml.element("connections", *shown))

    return handler


def _found(root: xml.Element | None) -> list[tuple[xml.Element, str]]:
    """The connections in a document, each with the caption of its data source; one for a bare extract."""
    if root is None:
        return [(etree.Element("connection", {"class": "hyper"}), "")]
    sources = [root] if root.tag == "datasource" else root.findall("datasources/datasource")
    found = []
    for source in sources:
        outer = source.find("connection")
        if outer is None or outer.get("class") == "":  # the parameters' data source has no connection
            continue
        inner = outer.findall("named-connections/named-connection/connection")
        caption = source.get("caption") or source.get("formatted-name") or source.get("name") or ""
        found += [(node, caption) for node in inner or [outer]]
    return found


def published(call: Call, content_url: str) -> sqlite3.Row:
    """The published data source with a content URL, to which the user may connect. Raises ApiError if there is none."""
    row = call.state.one(
        "select id from datasource where site_id = ? and content_url = ?", call.site_id, content_url
    )
    if row is None:
        raise forbidden(f"The published data source '{content_url}' does not exist.", "132")
    return call.find("datasource", row["id"], "Connect")


def _published(call: Call, content_url: str) -> sqlite3.Row | None:
    """The published data source with a content URL; None if there is none and the request skips this check."""
    try:
        return published(call, content_url)
    except ApiError as error:
        if error.code.endswith("132") and call.flag("skipConnectionCheck"):
            return None
        raise


def _embed(call: Call, luid: str, asked: xml.Element) -> None:
    """Applies the credentials in a publish request, which are for all connections or by server address."""
    for given in asked.iterfind("connectionCredentials"):
        for row in of(call.state, luid):
            _log_in(call, row["id"], given)
    for wanted in asked.iterfind("connections/connection"):
        given, server, port = (
            wanted.find("connectionCredentials"),
            wanted.get("serverAddress", ""),
            wanted.get("serverPort"),
        )
        for row in of(call.state, luid):
            if given is not None and row["server"] == server and port in (None, row["port"]):
                _log_in(call, row["id"], given)


def _log_in(call: Call, connection: str, given: xml.Element) -> None:
    embed = given.get("embed", "false").lower() == "true" and bool(given.get("password"))
    call.state.update("connection", connection, user_name=given.get("name", ""), embed=embed)


def _change(call: Call, connection: sqlite3.Row, asked: xml.Element) -> None:
    embed = asked.get("embedPassword")
    call.state.update(
        "connection", connection["id"], server=asked.get("serverAddress", connection["server"]),
        port=asked.get("serverPort", connection["port"]),
        user_name=asked.get("userName", connection["user_name"]),
        embed=connection["embed"] if embed is None else embed.lower() == "true",
    )  # fmt: skip


def _render(row: sqlite3.Row) -> xml.Element:
    source = [xml.element("datasource", id=row["datasource_id"], name=row["datasource_name"])]
    return xml.element(
        "connection", *source, id=row["id"], type=row["type"], serverAddress=row["server"],
        serverPort=row["port"] or None, userName=row["user_name"], embedPassword=bool(row["embed"]),
        queryTaggingEnabled=False,
    )  # fmt: skip


def _endpoints(kind: str) -> tuple[Endpoint, ...]:
    path = f"/sites/{{site}}/{kind}s/{{{kind}}}/connections"
    return (
        Endpoint("GET", path, query(kind)),
        Endpoint("PUT", path, update_many(kind)),
        Endpoint("PUT", path + "/{connection}", update(kind)),
    )


ENDPOINTS = (*_endpoints("datasource"), *_endpoints("workbook"))
