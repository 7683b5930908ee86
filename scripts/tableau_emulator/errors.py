"""The errors of the REST API, and of the emulator itself.

An error of the API has a status, a code (status and sub-code), a summary and a detail. The sub-codes come from the
API's reference, method by method.
"""

from http.client import responses

_SUMMARY = responses | {  # Tableau's names that differ from HTTP's
    401: "Unauthorized Access",
    404: "Resource Not Found",
    405: "Invalid Request Method",
    409: "Resource Conflict",
}
_ABSENT = {
    "site": "000",
    "user": "002",
    "datasource": "004",
    "project": "005",
    "workbook": "006",
    "tag": "007",
    "favorite": "010",
    "view": "011",
    "custom_view": "011",
    "group": "012",
    "permission": "013",
    "upload": "015",
    "job": "018",
    "connection": "020",
    "schedule": "023",
    "revision": "024",
    "subscription": "025",
    "task": "026",
    "flow": "027",
    "database": "034",
    "table": "035",
    "metric": "040",
    "virtualconnection": "041",
    "quality_warning": "042",
}
# The sub-codes for lacking a capability that differ from the usual 403004.
_LACKING = {
    ("workbook", "Read"): "018",
    ("workbook", "ExportXml"): "019",
    ("workbook", "Write"): "027",
    ("workbook", "ExtractRefresh"): "032",
    ("datasource", "ExportXml"): "028",
    ("datasource", "Write"): "032",
    ("datasource", "ExtractRefresh"): "032",
    ("view", "ExportData"): "032",
}


class EmulatorError(Exception):
    """The emulator can't work. The message is one sentence for a person."""


class RunsAlready(EmulatorError):
    """Another emulator serves the folder."""


class ApiError(Exception):
    """An error answer of the API."""

    def __init__(self, status: int, sub_code: str, detail: str, summary: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = f"{status}{sub_code}"
        self.summary = summary or _SUMMARY.get(status, "Error")
        self.detail = detail


def absent(kind: str, luid: str) -> ApiError:
    """404 with the sub-code for a `kind` of resource."""
    return ApiError(404, _ABSENT[kind], f"{kind.capitalize()} '{luid}' could not be found.")


def forbidden(detail: str, sub_code: str = "004") -> ApiError:
    """403 for a user who is signed in but may not do this."""
    return ApiError(403, sub_code, detail)


def lacking(kind: str, luid: str, capability: str, sub_code: str | None = None) -> ApiError:
    """403 for a user who lacks a capability on a resource."""
    usual = _LACKING.get((kind, capability), "004")
    return forbidden(f"The user lacks '{capability}' on {kind} '{luid}'.", sub_code or usual)


def malformed(detail: str, sub_code: str = "000") -> ApiError:
    """400 for a request with something missing or wrong."""
    return ApiError(400, sub_code, detail)


def conflict(detail: str, sub_code: str) -> ApiError:
    """409 for a name or state that conflicts with the request."""
    return ApiError(409, sub_code, detail)


def unknown_resource(path: str) -> ApiError:
    """404 for a path that the API, or this emulator, does not have."""
    return ApiError(404, "003", f"Unknown resource '{path}' specified in URI.")
