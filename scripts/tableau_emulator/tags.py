"""Tags of data sources, workbooks and views."""

from starlette.responses import Response

from tableau_emulator import xml
from tableau_emulator.call import Call, Endpoint, Handler
from tableau_emulator.errors import absent, malformed
from tableau_emulator.state import State

_TAGGED = ("datasource", "workbook", "view")


def labels(state: State, luid: str) -> list[str]:
    """The tags of content, as text."""
    rows = state.all("select label from tag where content_id = ? order by label", luid)
    return [row["label"] for row in rows]


def render(state: State, luid: str) -> xml.Element:
    """The tags of content."""
    return _render(labels(state, luid))


def add(kind: str) -> Handler:
    """Adds tags to content of a kind."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "Read")
        for label in _asked(call.request("tags")):
            call.state.ensure("tag", content_id=row["id"], label=label)
        return xml.reply(render(call.state, row["id"]))

    return handler


def delete(kind: str) -> Handler:
    """Removes one tag from content of a kind."""

    def handler(call: Call) -> Response:
        row = call.resource(kind, "Write")
        if not call.state.write(_DELETE, row["id"], call.path["tag"]):
            raise absent("tag", call.path["tag"])
        return Response(status_code=204)

    return handler


def add_to_many(call: Call) -> Response:
    return _batch(call, "insert or ignore into tag (content_id, label) values (?, ?)")


def delete_from_many(call: Call) -> Response:
    return _batch(call, _DELETE)


def _batch(call: Call, statement: str) -> Response:
    asked = call.request("tagBatch")
    given = _asked(asked.find("tags"))
    changed = []
    for item in asked.iterfind("contents/content"):
        kind = item.get("contentType", "").lower()
        if kind not in _TAGGED:
            raise malformed(f"Content of type '{kind}' has no tags here.")
        row = call.find(kind, item.get("id", ""), "Write")
        for label in given:
            call.state.write(statement, row["id"], label)
        changed.append(xml.element("content", contentType=kind, id=row["id"]))
    if not changed:
        raise malformed("The request names no content.")
    return xml.reply(xml.element("tagBatch", xml.element("contents", *changed), _render(given)))


def _asked(tags: xml.Element | None) -> list[str]:
    if tags is None:
        raise malformed("The request names no tags.")
    # A label in quotes may contain commas and spaces.
    return [tag.get("label", "").strip('"') for tag in tags.iterfind("tag")]


def _render(given: list[str]) -> xml.Element:
    return xml.element("tags", *(xml.element("tag", label=label) for label in given))


_DELETE = "delete from tag where content_id = ? and label = ?"
_SITES = ("/sites/{site}", "")  # the documented path, and the one that TSC uses
ENDPOINTS = (
    *(Endpoint("PUT", f"/sites/{{site}}/{kind}s/{{{kind}}}/tags", add(kind)) for kind in _TAGGED),
    *(
        Endpoint("DELETE", f"/sites/{{site}}/{kind}s/{{{kind}}}/tags/{{tag:path}}", delete(kind))
        for kind in _TAGGED
    ),
    *(Endpoint("PUT", f"{site}/tags:batchCreate", add_to_many) for site in _SITES),
    *(Endpoint("PUT", f"{site}/tags:batchDelete", delete_from_many) for site in _SITES),
)
