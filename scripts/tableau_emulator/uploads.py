"""Receives files: as parts of a multipart request, and in chunks through upload sessions."""

import secrets
import sqlite3
import time
from email.message import Message
from typing import NamedTuple

from starlette.responses import Response

from tableau_emulator import forms, xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.capabilities import PUBLISHERS
from tableau_emulator.errors import absent, forbidden, malformed
from tableau_emulator.state import append, new_luid

MIB = 1 << 20
# Sub-codes of 400 for a type that can't be published: for a file in the request, and in an upload session.
_WRONG_TYPE = {"datasource": ("010", "010"), "workbook": ("020", "035")}


class Part(NamedTuple):
    """A part of a multipart body."""

    filename: str
    content_type: str
    content: bytes


def part(call: Call, name: str) -> Part:
    """The part of a multipart body with this name. Raises ApiError 400 if it is missing."""
    found = parts(call)
    if name not in found:
        raise malformed(f"The request has no part '{name}'.")
    return found[name]


def payload(call: Call, name: str) -> xml.Element:
    """The element `name` of the request that comes with a file, in XML or JSON."""
    found = part(call, "request_payload")
    return xml.child(forms.read(found.content, found.content_type), name)


def parts(call: Call) -> dict[str, Part]:
    """The parts of a multipart body by name. Raises ApiError 400 if it isn't multipart."""
    boundary = _header(call.content_type).get_param("boundary")
    if not isinstance(boundary, str):
        raise malformed("The request is not multipart.")
    found = {}
    for section in (b"\r\n" + call.body).split(b"\r\n--" + boundary.encode())[1:-1]:
        head, _, content = section.partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode("utf-8", "replace").splitlines())
        headers = {key.strip().lower(): value.strip() for key, _, value in lines}
        disposition = _header(headers.get("content-disposition", ""))
        found[str(disposition.get_param("name"))] = Part(
            str(disposition.get_param("filename", "")), headers.get("content-type", ""), content
        )
    return found


def initiate(call: Call) -> Response:
    require_publisher(call, "015")
    luid = start(call, b"")
    return call.created(xml.element("fileUpload", uploadSessionId=luid), luid)


def start(call: Call, content: bytes) -> str:
    """Begins an upload session that holds `content`; returns its id."""
    # The form of ids in the schema.
    luid = f"{secrets.randbelow(10**6)}:{secrets.token_hex(16).upper()}-1:0"
    file = new_luid()
    call.state.insert(
        "upload", id=luid, site_id=call.site_id, user_id=call.user_id, file=file, created_at=time.time()
    )  # fmt: skip
    append(call.state.uploads / file, content)
    return luid


def append_chunk(call: Call) -> Response:
    require_publisher(call, "007")
    upload = _own(call, call.path["upload"])
    given = parts(call)
    if "tableau_file" not in given:
        raise malformed("The request has no part 'tableau_file'.", "020")
    size = append(call.state.uploads / upload["file"], given["tableau_file"].content)
    return xml.reply(xml.element("fileUpload", uploadSessionId=upload["id"], fileSize=size // MIB))


def require_publisher(call: Call, sub_code: str) -> None:
    """Refuses a user who may not publish."""
    if not (call.access.administrator or call.access.user["site_role"] in PUBLISHERS):
        raise forbidden("The user may not publish on this site.", sub_code)


def _own(call: Call, luid: str) -> sqlite3.Row:
    """An upload session. Only the user who began it can use it; for others it doesn't exist."""
    upload = call.find("upload", luid)
    if upload["user_id"] != call.user_id:
        raise absent("upload", luid)
    return upload


def receive(call: Call, given: dict[str, Part], kind: str, types: tuple[str, ...]) -> tuple[str, str]:
    """Stores the published file of a `kind` of content; returns the file's name in the state, and its type."""
    session = call.query.get("uploadSessionId")
    sent = given.get(f"tableau_{kind}", Part("", "", b""))
    file_type = call.query.get(f"{kind}Type", sent.filename.rpartition(".")[2])
    if not session and not sent.filename:
        raise malformed("The request contains no file and names no upload session.")
    if file_type not in types:
        raise malformed(
            f"A file of type '{file_type}' can't be published as a {kind}.", _WRONG_TYPE[kind][bool(session)]
        )
    file = new_luid()
    if session:
        upload = _own(call, session)
        if not (call.state.uploads / upload["file"]).exists():
            raise absent("upload", session)
        (call.state.uploads / upload["file"]).rename(call.state.files / file)
        call.state.write("delete from upload where id = ?", session)
    else:
        append(call.state.files / file, sent.content)
    return file, file_type


def _header(value: str) -> Message:
    message = Message()
    message["content-type"] = value
    return message


ENDPOINTS = (
    Endpoint("POST", "/sites/{site}/fileUploads", initiate),
    Endpoint("PUT", "/sites/{site}/fileUploads/{upload}", append_chunk),
)
