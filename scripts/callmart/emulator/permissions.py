"""Permissions of projects and content, and the defaults that a project has for the content in it.

In a locked project content has no permissions of its own: it follows the project's defaults, and the projects
nested in it follow it too, unless it is locked without them.
"""

import sqlite3
from collections.abc import Callable, Iterator
from typing import NamedTuple

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.call import Call, Endpoint, Handler, resource
from callmart.emulator.errors import ApiError, absent
from callmart.emulator.state import State

CAPABILITIES = {
    "project": {"ProjectLeader", "Read", "Write"},
    "datasource": {
        "ChangeHierarchy", "ChangePermissions", "Connect", "Delete", "ExportXml", "ExtractRefresh",
        "PulseMetricDefine", "Read", "SaveAs", "VizqlDataApiAccess", "Write",
    },
    "workbook": {
        "AddComment", "ChangeHierarchy", "ChangePermissions", "CreateRefreshMetrics", "Delete", "ExportData",
        "ExportImage", "ExportXml", "ExtractRefresh", "Filter", "Read", "RunExplainData", "ShareView",
        "ViewComments", "ViewUnderlyingData", "WebAuthoring", "Write",
    },
}  # fmt: skip
# what everybody may in a new project, until somebody takes it away
NEW_PROJECT = {
    "own": ("Read", "Write"),
    "datasource": ("Connect", "Read"),
    "workbook": (
        "AddComment", "ExportData", "ExportImage", "Filter", "Read", "RunExplainData", "ShareView",
        "ViewComments", "ViewUnderlyingData",
    ),
}  # fmt: skip
_GRANTEES = ("group", "user")


class Held(NamedTuple):
    """Where a set of rules is kept, and what they are about."""

    content_id: str
    scope: str  # 'own', or the kind of content that a project's default is for
    kind: str
    shown: xml.Element
    follows: str | None  # LUID of the project that decides instead


def welcome(state: State, project_id: str) -> None:
    """Gives a new project the rules that Tableau gives it: All Users may view and publish."""
    everybody = state.all_users()
    for scope, capabilities in NEW_PROJECT.items():
        for capability in capabilities:
            state.write(
                "insert into rule values (?, ?, 'group', ?, ?, 'Allow')",
                project_id, scope, everybody, capability,
            )  # fmt: skip


def controlling(state: State, project: sqlite3.Row) -> str | None:
    """The LUID of the outermost project above `project` that is locked with its nested ones, if any."""
    found = None
    parent_id = project["parent_id"]
    while parent_id is not None:
        parent = resource(state, "project", parent_id)
        if parent["content_permissions"] == "LockedToProject":
            found = str(parent["id"])
        parent_id = parent["parent_id"]
    return found


def _project(call: Call) -> Held:
    project = call.resource("project")
    shown = xml.element("project", id=project["id"], name=project["name"])
    return Held(project["id"], "own", "project", shown, controlling(call.state, project))


def _default(call: Call) -> Held:
    kind = call.path["kind"].removesuffix("s")
    if kind not in CAPABILITIES or kind == "project":
        raise ApiError(404, "003", f"There are no default permissions for '{call.path['kind']}'.")
    return _project(call)._replace(scope=kind, kind=kind)


def _datasource(call: Call) -> Held:
    source = call.resource("datasource")
    project = resource(call.state, "project", source["project_id"])
    locked = project["content_permissions"] != "ManagedByOwner"
    follows = controlling(call.state, project) or (project["id"] if locked else None)
    shown = xml.element("datasource", id=source["id"], name=source["name"])
    return Held(source["id"], "own", "datasource", shown, follows)


def query(call: Call, held: Held) -> Response:
    return _show(call.state, held)


def add(call: Call, held: Held) -> Response:
    """Adds rules; a capability that the grantee has already stays as it is."""
    _changeable(held)
    _write(call, held)
    return _show(call.state, held)


def replace(call: Call, held: Held) -> Response:
    """Puts the rules of the request in the place of all others."""
    _changeable(held)
    call.state.write("delete from rule where content_id = ? and scope = ?", held.content_id, held.scope)
    _write(call, held)
    return _show(call.state, held)


def delete(call: Call, held: Held) -> Response:
    """Takes one capability from one grantee."""
    _changeable(held)
    kind, luid = call.path["grantees"].removesuffix("s"), call.path["grantee"]
    if kind not in _GRANTEES:
        raise ApiError(404, "003", f"There are no grantees '{call.path['grantees']}'.")
    resource(call.state, kind, luid)
    gone = call.state.write(
        "delete from rule where content_id = ? and scope = ? and grantee_kind = ? and grantee_id = ? "
        "and capability = ? and mode = ?",
        held.content_id, held.scope, kind, luid, call.path["capability"], call.path["mode"],
    )  # fmt: skip
    if not gone:
        raise absent("permission", call.path["capability"])
    return Response(status_code=204)


def _changeable(held: Held) -> None:
    if held.follows is not None:
        raise ApiError(403, "004", f"The permissions are locked by project '{held.follows}'.")


def _write(call: Call, held: Held) -> None:
    for grantee in call.request("permissions").findall("granteeCapabilities"):
        for kind, luid, capability, mode in _rules(grantee):
            resource(call.state, kind, luid)
            if capability not in CAPABILITIES[held.kind] or mode not in ("Allow", "Deny"):
                raise ApiError(400, "009", f"'{capability}: {mode}' does not apply to a {held.kind}.")
            if (capability, mode) == ("ProjectLeader", "Deny"):
                raise ApiError(400, "009", "ProjectLeader can't be denied.")
            call.state.write(
                "insert or ignore into rule values (?, ?, ?, ?, ?, ?)",
                held.content_id, held.scope, kind, luid, capability, mode,
            )  # fmt: skip


def _rules(grantee: xml.Element) -> Iterator[tuple[str, str, str, str]]:
    holders = [child for child in grantee if child.tag in _GRANTEES]
    if len(holders) != 1:
        raise ApiError(400, "000", "A rule needs one group or one user.")
    for capability in grantee.iterfind("capabilities/capability"):
        yield holders[0].tag, holders[0].get("id", ""), capability.get("name", ""), capability.get("mode", "")


def _show(state: State, held: Held) -> Response:
    scope = held.scope
    if held.follows is not None and scope == "own" and held.kind != "project":
        scope = held.kind
    rows = state.all(
        "select * from rule where content_id = ? and scope = ? order by grantee_kind, grantee_id, capability",
        held.follows or held.content_id, scope,
    )  # fmt: skip
    grantees: dict[tuple[str, str], list[xml.Element]] = {}
    for row in rows:
        capability = xml.element("capability", name=row["capability"], mode=row["mode"])
        grantees.setdefault((row["grantee_kind"], row["grantee_id"]), []).append(capability)
    rules = [
        xml.element(
            "granteeCapabilities", xml.element(kind, id=luid), xml.element("capabilities", *capabilities)
        )
        for (kind, luid), capabilities in grantees.items()
    ]
    parent = [xml.element("parent", id=held.follows, type="Project")] if held.follows else []
    return xml.reply(xml.element("permissions", held.shown, *rules, *parent))


_ONE = "/{grantees}/{grantee}/{capability}/{mode}"


def _endpoints() -> Iterator[Endpoint]:
    places = (
        ("/sites/{site}/projects/{project}/permissions", _project),
        ("/sites/{site}/projects/{project}/default-permissions/{kind}", _default),
        ("/sites/{site}/datasources/{datasource}/permissions", _datasource),
    )
    methods = (("GET", "", query), ("PUT", "", add), ("POST", "", replace), ("DELETE", _ONE, delete))
    for path, locate in places:
        for method, suffix, handler in methods:
            yield Endpoint(method, path + suffix, _bound(handler, locate))


def _bound(handler: Callable[[Call, Held], Response], locate: Callable[[Call], Held]) -> Handler:
    return lambda call: handler(call, locate(call))


ENDPOINTS = tuple(_endpoints())
