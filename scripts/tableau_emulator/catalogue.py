"""Kinds of content that can't be created on the emulator. Their lists are always empty."""

from collections.abc import Iterator

from starlette.responses import Response

from tableau_emulator import xml
from tableau_emulator.call import Call, Endpoint, Handler
from tableau_emulator.errors import absent
from tableau_emulator.query import page

_PAGED = {
    "flows/runs": "flowRuns",
    "flows": "flows",
    "metrics": "metrics",
    "databases": "databases",
    "tables": "tables",
    "virtualConnections": "virtualConnections",
    "dataAlerts": "dataAlerts",
    "groupsets": "groupSets",
    "tasks/linked": "linkedTasks",
}
_WHOLE = {"tasks/dataAcceleration": "tasks", "tasks/runFlow": "tasks", "webhooks": "webhooks"}
_BY_LUID = {
    "flows": "flow",
    "metrics": "metric",
    "databases": "database",
    "tables": "table",
    "virtualConnections": "virtualconnection",
}


def query_page(name: str) -> Handler:
    """An empty page."""
    none: list[xml.Element] = []
    return lambda call: page(call, name, none, dict, lambda row: row)


def query_all(name: str) -> Handler:
    """An empty list without pages."""
    return lambda call: xml.reply(xml.element(name))


def query_one(kind: str) -> Handler:
    """Always the API's 404."""

    def handler(call: Call) -> Response:
        raise absent(kind, call.path["luid"])

    return handler


def _endpoints() -> Iterator[Endpoint]:
    for path, name in _PAGED.items():
        yield Endpoint("GET", f"/sites/{{site}}/{path}", query_page(name))
    for path, name in _WHOLE.items():
        yield Endpoint("GET", f"/sites/{{site}}/{path}", query_all(name))
    for path, kind in _BY_LUID.items():
        yield Endpoint("GET", f"/sites/{{site}}/{path}/{{luid}}", query_one(kind))
        yield Endpoint("GET", f"/sites/{{site}}/{path}/{{luid}}/permissions", query_one(kind))


ENDPOINTS = tuple(_endpoints())
