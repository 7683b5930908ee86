"""Files in a request: the parts of a multipart body, and upload sessions that take a file in chunks."""

import secrets
import time
from email.message import Message

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import ApiError, absent, malformed
from callmart.emulator.state import append, new_luid

MIB = 1 << 20


def part(call: Call, name: str) -> tuple[str, bytes]:
    """The file name and content of one part of a multipart body; an ApiError 400 without it."""
    found = parts(call)
    if name not in found:
        raise malformed(f"The request has no part '{name}'.")
    return found[name]


def parts(call: Call) -> dict[str, tuple[str, bytes]]:
    """The parts of a multipart body by name, each with its file name; an ApiError 400 when it is none."""
    boundary = _header(call.content_type).get_param("boundary")
    if not isinstance(boundary, str):
        raise malformed("The request is not multipart.")
    found = {}
    for section in (b"\r\n" + call.body).split(b"\r\n--" + boundary.encode())[1:-1]:
        head, _, content = section.partition(b"\r\n\r\n")
        for line in head.decode("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() == "content-disposition":
                name = _header(value).get_param("name")
                found[str(name)] = (str(_header(value).get_param("filename", "")), content)
    return found


def initiate(call: Call) -> Response:
    # the form that the schema has for it
    luid = f"{secrets.randbelow(10**6)}:{secrets.token_hex(16).upper()}-1:0"
    file = new_luid()
    call.state.insert("upload", id=luid, file=file, created_at=time.time())
    append(call.state.uploads / file, b"")
    return xml.reply(xml.element("fileUpload", uploadSessionId=luid), status=201)


def append_chunk(call: Call) -> Response:
    upload = call.resource("upload")
    _, content = part(call, "tableau_file")
    size = append(call.state.uploads / upload["file"], content)
    return xml.reply(xml.element("fileUpload", uploadSessionId=upload["id"], fileSize=size // MIB))


def receive(
    call: Call, given: dict[str, tuple[str, bytes]], kind: str, types: tuple[str, ...]
) -> tuple[str, str]:
    """The name under which published content of a `kind` is now kept, and its type, one of `types`."""
    session = call.query.get("uploadSessionId")
    filename, content = given.get(f"tableau_{kind}", ("", b""))
    file_type = call.query.get(f"{kind}Type", filename.rpartition(".")[2])
    if not session and not filename:
        raise ApiError(400, "011", "The request holds no file and names no upload session.")
    if file_type not in types:
        raise ApiError(400, "011", f"A file of type '{file_type}' can't be published as a {kind}.")
    file = new_luid()
    if session:
        upload = call.find("upload", session)
        if not (call.state.uploads / upload["file"]).exists():
            raise absent("upload", session)
        (call.state.uploads / upload["file"]).rename(call.state.files / file)
        call.state.write("delete from upload where id = ?", session)
    else:
        append(call.state.files / file, content)
    return file, file_type


def _header(value: str) -> Message:
    message = Message()
    message["content-type"] = value
    return message


ENDPOINTS = (
    Endpoint("POST", "/sites/{site}/fileUploads", initiate),
    Endpoint("PUT", "/sites/{site}/fileUploads/{upload}", append_chunk),
)
