"""Files in a request: the parts of a multipart body, and upload sessions that take a file in chunks."""

import time
from email.message import Message

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import ApiError
from callmart.emulator.state import append, new_luid

MIB = 1 << 20


def parts(call: Call) -> dict[str, tuple[str, bytes]]:
    """The parts of a multipart body by name, each with its file name; an ApiError 400 when it is none."""
    boundary = _header(call.content_type).get_param("boundary")
    if not isinstance(boundary, str):
        raise ApiError(400, "000", "The request is not multipart.")
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
    luid = new_luid()
    call.state.write("insert into upload values (?, ?)", luid, time.time())
    append(call.state.uploads / luid, b"")
    return xml.reply(xml.element("fileUpload", uploadSessionId=luid), status=201)


def append_chunk(call: Call) -> Response:
    upload = call.resource("upload")
    if "tableau_file" not in (given := parts(call)):
        raise ApiError(400, "000", "The request has no part 'tableau_file'.")
    size = append(call.state.uploads / upload["id"], given["tableau_file"][1])
    return xml.reply(xml.element("fileUpload", uploadSessionId=upload["id"], fileSize=size // MIB))


def _header(value: str) -> Message:
    message = Message()
    message["content-type"] = value
    return message


ENDPOINTS = (
    Endpoint("POST", "/sites/{site}/fileUploads", initiate),
    Endpoint("PUT", "/sites/{site}/fileUploads/{upload}", append_chunk),
)
