"""Pictures and exports of workbooks and views: as a drawing program makes them, or small files of the right type.

There is no small PowerPoint file: an empty one would be none that PowerPoint opens.
"""

import base64
import io
import re
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping

from starlette.responses import Response

from tableau_emulator import connections, revisions
from tableau_emulator.call import Call, Handler
from tableau_emulator.drawing import Asked, Draw, Format
from tableau_emulator.errors import ApiError, absent

_OFFICE = "application/vnd.openxmlformats-officedocument"
_MEDIA_TYPES: dict[Format, str] = {
    "png": "image/png",
    "pdf": "application/pdf",
    "pptx": f"{_OFFICE}.presentationml.presentation",
    "csv": "text/csv",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
}
_FILTER, _PARAMETER = "vf_", "vf_Parameters."  # how the names of a query's filters and parameters begin
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


class Picture(Response):
    """A placeholder, and what a program is asked to draw in its place."""

    def __init__(self, form: Format, placeholder: bytes, asked: Asked) -> None:
        super().__init__(placeholder, media_type=_MEDIA_TYPES[form])
        self.form, self.asked = form, asked


async def drawn(picture: Picture, draw: Draw | None) -> Response:
    """The picture as the program draws it. It stays the placeholder if the program has nothing to draw. Raises ApiError
    404003 if there is none.
    """
    content = await draw(picture.form, picture.asked) if draw else b""
    if not content and not picture.body:
        raise ApiError(404, "003", f"This emulator has no {picture.form}: no program draws it.")
    return Response(content, media_type=picture.media_type) if content else picture


def export(kind: str, form: Format, capability: str) -> Handler:
    """Sends a workbook or view in a format, to a user who has the capability."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, capability)
        if kind == "view" and call.path.get("workbook", row["workbook_id"]) != row["workbook_id"]:
            raise absent("view", row["id"])
        workbook = call.find("workbook", row["workbook_id"]) if kind == "view" else row
        placeholder, is_preview = _placeholder(row, form), capability == "Read"
        try:
            connections.use(call, workbook)
            if is_preview:
                call.find(kind, row["id"], "ExportImage")
        except ApiError:
            # Whoever may read gets a preview, but no picture for which one needs a permission.
            if is_preview:
                return Response(placeholder, media_type=_MEDIA_TYPES[form])
            raise
        return Picture(form, placeholder, _asked(call, workbook, row if kind == "view" else None))

    return handler


def _asked(call: Call, workbook: sqlite3.Row, view: sqlite3.Row | None) -> Asked:
    """Who asks for what: for the program that draws it."""
    project = call.access.projects[workbook["project_id"]]
    groups = call.state.all(
        "select name from user_group join membership on group_id = id where user_id = ? order by name",
        call.user_id,
    )
    return {
        "user": {
            "name": call.access.user["name"],
            "administers": call.access.administrator,
            "groups": [group["name"] for group in groups],
        },
        "project": {"id": project["id"], "name": project["name"]},
        "workbook": {
            "id": workbook["id"],
            "name": workbook["name"],
            "file": str(revisions.current(call.state, workbook["id"]).absolute()),
        },
        "view": None if view is None else {"id": view["id"], "name": view["name"]},
        "filters": dict(_filters(call.query)),
        "parameters": {
            name.removeprefix(_PARAMETER): value
            for name, value in call.query.items()
            if name.startswith(_PARAMETER)
        },
    }


def _filters(query: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """The filters of a query: vf_NAME=VALUE,VALUE. A backslash precedes a comma or backslash in a value."""
    for name, text in query.items():
        if not name.startswith(_FILTER) or name.startswith(_PARAMETER) or not text:
            continue
        values = [""]
        for token in re.findall(r"\\[\\,]|.", text, re.DOTALL):
            if token == ",":
                values.append("")
            else:
                values[-1] += token[-1]
        yield name.removeprefix(_FILTER), values


def _placeholder(row: sqlite3.Row, form: Format) -> bytes:
    """A workbook or view in a format: a pixel, an empty page, an empty package, or the heading of a table."""
    match form:
        case "png":
            return _PNG
        case "pdf":
            return _pdf()
        case "csv":
            return f'"{row["name"]}"\n'.encode()
        case "xlsx":
            return _package()
        case "pptx":
            return b""


def _pdf() -> bytes:
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
    )
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + (
        b"xref\n0 4\n0000000000 65535 f \n%strailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (table, len(body))
    )


def _package() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("[Content_Types].xml", "<Types/>")
    return buffer.getvalue()
