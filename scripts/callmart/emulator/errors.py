"""The errors of the REST API: a status, a code of status and sub-code, a summary, a detail."""

_SUMMARY = {
    400: "Bad Request",
    401: "Unauthorized Access",
    403: "Forbidden",
    404: "Resource Not Found",
    405: "Invalid Request Method",
    409: "Resource Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_ABSENT = {
    "site": "000",
    "user": "002",
    "datasource": "004",
    "project": "005",
    "workbook": "006",
    "upload": "007",
    "view": "011",
    "group": "012",
    "permission": "013",
    "flow": "017",
    "subscription": "020",
    "schedule": "021",
    "connection": "025",
    "job": "031",
    "database": "034",
    "table": "035",
    "metric": "040",
    "virtualconnection": "041",
}


class ApiError(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, sub_code: str, detail: str, summary: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = f"{status}{sub_code}"
        self.summary = summary or _SUMMARY[status]
        self.detail = detail


def absent(kind: str, luid: str) -> ApiError:
    """404 with the sub-code for a `kind` of resource."""
    return ApiError(404, _ABSENT[kind], f"{kind.capitalize()} '{luid}' could not be found.")


def forbidden(detail: str) -> ApiError:
    """403 of somebody who is signed in and may not do this."""
    return ApiError(403, "004", detail)


def malformed(detail: str) -> ApiError:
    """400 of a request that lacks something or has it wrong."""
    return ApiError(400, "000", detail)


def unknown_resource(path: str) -> ApiError:
    """404 of a path that the API, or this emulator, does not have."""
    return ApiError(404, "003", f"Unknown resource '{path}' specified in URI.")
