"""Has Tableau check a workbook before it is published, where the server can (REST API 3.29, Tableau 2026.2)."""

from io import BytesIO
from typing import Any

import tableauserverclient as TSC
from tableauserverclient.server import RequestFactory
from urllib3.filepost import encode_multipart_formdata

from callmart.base.errors import UserError
from callmart.publish.tableau import TIMEOUT_S

_SINCE = (3, 29)
_UNKNOWN = (404, 405)
_SHOWN = 200  # characters of what Tableau says


def publish(server: TSC.Server, item: TSC.WorkbookItem, content: bytes, mode: str) -> TSC.WorkbookItem:
    """Publish a .twb and return it. Raises UserError, with what Tableau says, if Tableau finds it wrong.

    A workbook that was found right is already on the server, so it isn't sent a second time. It is in no file here,
    which a kill would leave.
    """
    session = _upload(server, item.name, content)
    if session is None:
        return server.workbooks.publish(item, BytesIO(content), mode)
    workbooks = server.workbooks
    overwrites = "&overwrite=true" if mode == server.PublishMode.Overwrite else ""
    request, content_type = RequestFactory.Workbook.publish_req_chunked(item)
    answer = workbooks.post_request(
        f"{workbooks.baseurl}?uploadSessionId={session}&workbookType=twb{overwrites}", request, content_type
    )
    return TSC.WorkbookItem.from_response(answer.content, server.namespace)[0]


def _upload(server: TSC.Server, name: str, content: bytes) -> str | None:
    """The id of the upload session with the workbook; None if the server can't check workbooks."""
    if tuple(int(part) for part in server.version.split(".")) < _SINCE:
        return None
    body, content_type = encode_multipart_formdata(
        {"tableau_workbook": (f"{name}.twb", content, "application/octet-stream")}
    )
    answer = server.session.post(
        f"{server.workbooks.baseurl}/validateWorkbookAndUpload",
        data=body,
        headers={
            "x-tableau-auth": server.auth_token,
            "accept": "application/json",
            "content-type": content_type.replace("form-data", "mixed", 1),
        },
        timeout=TIMEOUT_S,
    )
    if answer.status_code in _UNKNOWN:
        return None
    if answer.status_code != 200:
        raise UserError(
            f"Tableau could not check the workbook '{name}' (status {answer.status_code}); run again, and see its log "
            "if it stays"
        )
    found: dict[str, Any] = answer.json()
    if errors := found.get("errors"):
        raise UserError(_said(name, errors))
    return str(found["uploadId"])


def _said(name: str, errors: list[dict[str, Any]]) -> str:
    first = errors[0]
    line = f", line {first['line']}" if "line" in first else ""
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    message = str(first.get("message"))[:_SHOWN].rstrip(".")
    return (
        f"Tableau refuses the workbook '{name}'{line}: {message}{more}; correct the report's declaration or template, "
        "then publish again"
    )
