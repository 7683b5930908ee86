"""The errors of the REST API: a status, a code of status and sub-code, a summary, a detail."""

_SUMMARY = {
    400: "Bad Request",
    401: "Unauthorized Access",
    403: "Forbidden",
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
    "upload": "007",
    "group": "012",
    "permission": "013",
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
    """404 with the sub-code that the API documents for a `kind` of resource."""
    return ApiError(404, _ABSENT[kind], f"{kind.capitalize()} '{luid}' could not be found.")


def unknown_resource(path: str) -> ApiError:
    """404 of a path that the API, or this emulator, does not have."""
    return ApiError(404, "003", f"Unknown resource '{path}' specified in URI.")
