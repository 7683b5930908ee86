"""Pictures and exports of sheets: small placeholder files of the right type."""

import base64
import io
import zipfile

from starlette.responses import Response

from tableau_emulator.call import Call, Handler
from tableau_emulator.errors import absent

_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


def image(kind: str, capability: str = "Read") -> Handler:
    """A PNG of one pixel."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, capability)
        if kind == "view" and call.path.get("workbook", row["workbook_id"]) != row["workbook_id"]:
            raise absent("view", row["id"])
        return Response(_PNG, media_type="image/png")

    return handler


def pdf(kind: str) -> Handler:
    """A PDF of one empty page."""

    def handler(call: Call) -> Response:
        call.resource(kind, "ExportImage")
        return Response(_pdf(), media_type="application/pdf")

    return handler


def powerpoint(kind: str) -> Handler:
    """An empty package."""

    def handler(call: Call) -> Response:
        call.resource(kind, "ExportImage")
        return Response(
            _package(), media_type="application/vnd.openxmlformats-officedocument.presentationml.presentation"
        )

    return handler


def data(call: Call) -> Response:
    """The rows of a view as CSV: only a heading."""
    view = call.resource("view", "ExportData")
    return Response(f'"{view["name"]}"\n', media_type="text/csv")


def crosstab(call: Call) -> Response:
    """The rows of a view as a spreadsheet: an empty package."""
    call.resource("view", "ExportData")
    return Response(
        _package(), media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    )


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
