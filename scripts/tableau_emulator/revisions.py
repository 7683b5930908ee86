"""The published files of a data source or workbook: the current one, and earlier revisions.

A site keeps as many as its settings say. Without revision history it keeps only the current one.
"""

import io
import sqlite3
import zipfile
from pathlib import Path
from urllib.parse import quote

from starlette.responses import FileResponse, Response

from tableau_emulator import xml
from tableau_emulator.call import Call, Endpoint, Handler
from tableau_emulator.errors import absent, forbidden
from tableau_emulator.query import page
from tableau_emulator.state import State, now

_UNLIMITED = -1
_SECRET = {"datasource": "054", "workbook": "056"}  # sub-codes of 403 for users who may not see revisions
_EXTRACTS = (".hyper", ".tde")


def add(call: Call, luid: str, file: str, size: int) -> None:
    """Makes a file the current revision of content, and deletes revisions that the site does not keep."""
    state, site = call.state, call.site_id
    number = 1 + state.all("select coalesce(max(number), 0) from revision where content_id = ?", luid)[0][0]
    state.insert(
        "revision", content_id=luid, number=number, file=file, size=size, publisher_id=call.user_id,
        published_at=now(),
    )  # fmt: skip
    kept = int(state.setting(site, "revisionLimit")) if _has_history(call) else 1
    if kept != _UNLIMITED:
        _forget(state, state.all(
            "select * from revision where content_id = ? and number <= ?", luid, number - kept
        ))  # fmt: skip


def current(state: State, luid: str) -> Path:
    """The last published file of this content."""
    rows = state.all("select file from revision where content_id = ? order by number desc limit 1", luid)
    return state.files / str(rows[0]["file"])


def download(kind: str) -> Handler:
    """The last published file."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "ExportXml")
        return _send(call, row, current(call.state, row["id"]))

    return handler


def query(kind: str) -> Handler:
    """The revisions of content, oldest first."""

    def handler(call: Call) -> Response:
        rows = _revisions(call, _content(call, kind, "Read", "Write"))
        return page(
            call, "revisions", rows, lambda row: {"revisionNumber": row["number"]},
            lambda row: _render(row, row["number"] == rows[-1]["number"]),
        )  # fmt: skip

    return handler


def download_revision(kind: str) -> Handler:
    """The file of one revision."""

    def handler(call: Call) -> Response:
        row = _content(call, kind, "Read", "Write", "ExportXml")
        return _send(call, row, call.state.files / _one(call, row)["file"])

    return handler


def delete(kind: str) -> Handler:
    """Removes a revision that is not the current one."""

    def handler(call: Call) -> Response:
        row = _content(call, kind, "Read", "Write")
        revision = _one(call, row)
        if revision["number"] == _revisions(call, row)[-1]["number"]:
            raise forbidden("The current revision can't be deleted.", "055")
        _forget(call.state, [revision])
        return Response(status_code=204)

    return handler


def _content(call: Call, kind: str, *capabilities: str) -> sqlite3.Row:
    """The content whose revisions are requested. Raises ApiError 403 if the user lacks one of the capabilities."""
    row = call.resource(kind)
    if not all(call.access.may(kind, row, capability) for capability in capabilities):
        raise forbidden(f"The user may not see the revisions of {kind} '{row['id']}'.", _SECRET[kind])
    if not _has_history(call):
        raise forbidden("The site keeps no revisions.", "053")
    return row


def _has_history(call: Call) -> bool:
    return call.state.setting(call.site_id, "revisionHistoryEnabled") == "true"


def _revisions(call: Call, row: sqlite3.Row) -> list[sqlite3.Row]:
    return call.state.all(
        "select revision.*, user.name as publisher from revision left join user on user.id = publisher_id "
        "where content_id = ? order by number",
        row["id"],
    )


def _one(call: Call, row: sqlite3.Row) -> sqlite3.Row:
    for revision in _revisions(call, row):
        if str(revision["number"]) == call.path["revision"]:
            return revision
    raise absent("revision", call.path["revision"])


def _forget(state: State, revisions: list[sqlite3.Row]) -> None:
    for each in revisions:
        state.discard(each["file"])
        state.write(
            "delete from revision where content_id = ? and number = ?", each["content_id"], each["number"]
        )


def _send(call: Call, row: sqlite3.Row, file: Path) -> Response:
    name = f"{row['name']}.{row['type']}"
    if call.flag("includeExtract", "true") or not zipfile.is_zipfile(file):
        return FileResponse(file, filename=name, media_type="application/octet-stream")
    headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(name)}"}
    return Response(_without_extract(file), headers=headers, media_type="application/octet-stream")


def _without_extract(package: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(package) as whole, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bare:
        for entry in whole.infolist():
            if not entry.filename.endswith(_EXTRACTS):
                bare.writestr(entry, whole.read(entry))
    return buffer.getvalue()


def _render(revision: sqlite3.Row, is_current: bool) -> xml.Element:
    publisher = [xml.element("publisher", id=revision["publisher_id"], name=revision["publisher"])]
    return xml.element(
        "revision", *(publisher if revision["publisher"] else []), revisionNumber=revision["number"],
        publishedAt=revision["published_at"], current=is_current, deleted=False, sizeInBytes=revision["size"],
    )  # fmt: skip


def _endpoints(kind: str) -> tuple[Endpoint, ...]:
    one = f"/sites/{{site}}/{kind}s/{{{kind}}}"
    return (
        Endpoint("GET", f"{one}/content", download(kind)),
        Endpoint("GET", f"{one}/revisions", query(kind)),
        Endpoint("GET", f"{one}/revisions/{{revision}}/content", download_revision(kind)),
        Endpoint("DELETE", f"{one}/revisions/{{revision}}", delete(kind)),
    )


ENDPOINTS = (*_endpoints("datasource"), *_endpoints("workbook"))
