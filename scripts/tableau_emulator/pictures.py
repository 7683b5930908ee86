"""Pictures and exports of workbooks and views: small placeholder files of the right type."""

import base64
import io
import sqlite3
import zipfile
from typing import Literal

from starlette.responses import Response

from tableau_emulator.call import Call, Handler
from tableau_emulator.errors import absent

Format = Literal["png", "pdf", "pptx", "csv", "xlsx"]
_OFFICE = "application/vnd.openxmlformats-officedocument"
_MEDIA_TYPES: dict[Format, str] = {
    "png": "image/png",
    "pdf": "application/pdf",
    "pptx": f"{_OFFICE}.presentationml.presentation",
    "csv": "text/csv",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
}
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


def export(kind: str, form: Format, capability: str) -> Handler:
    """Sends a workbook or view in a format, to a user who has the capability."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, capability)
        if kind == "view" and call.path.get("workbook", row["workbook_id"]) != row["workbook_id"]:
            raise absent("view", row["id"])
        return Response(_drawn(row, form), media_type=_MEDIA_TYPES[form])

    return handler


def _drawn(row: sqlite3.Row, form: Format) -> bytes:
    """A workbook or view in a format: a pixel, an empty page, an empty package, or the heading of a table."""
    if form == "png":
        return _PNG
    if form == "pdf":
        return _pdf()
    return f'"{row["name"]}"\n'.encode() if form == "csv" else _package()


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
