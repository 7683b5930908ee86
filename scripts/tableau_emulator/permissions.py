"""Permissions of projects and content, and a project's defaults for its content.

In a locked project, content has no permissions of its own but follows the project's defaults. Nested projects follow
the project as well, unless it is locked without them.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from starlette.responses import Response

from tableau_emulator import xml
from tableau_emulator.access import Place, place
from tableau_emulator.call import Call, Endpoint, Handler
from tableau_emulator.capabilities import CAPABILITIES, DEFAULT_KINDS
from tableau_emulator.errors import absent, forbidden, malformed, unknown_resource
from tableau_emulator.state import State

_GRANTEES = ("group", "user")


class Held(NamedTuple):
    """A set of rules: the kind of content, the place where the rules are kept, and the project that decides, if any."""

    kind: str
    place: Place
    shown: xml.Element
    follows: str | None  # LUID of the project whose rules apply instead


def _project(call: Call) -> Held:
    project = call.resource("project")
    call.lead(project["id"])
    where = place(call.access.projects, {}, "project", project)
    shown = xml.element("project", id=project["id"], name=project["name"])
    return Held("project", where, shown, where.content_id if where.content_id != project["id"] else None)


def _default(call: Call) -> Held:
    kind = DEFAULT_KINDS.get(call.path["kind"].lower())
    if kind is None:
        raise unknown_resource(call.url_path)
    held = _project(call)
    return held._replace(kind=kind, place=held.place._replace(scope=kind))


def _content(kind: str) -> Callable[[Call], Held]:
    def locate(call: Call) -> Held:
        row = call.resource(kind, "ChangePermissions")
        where = place(call.access.projects, call.access.workbooks, kind, row)
        follows = where.content_id if where.scope != "own" else None
        if follows is None and where.content_id != row["id"]:
            raise forbidden("The views of a workbook with tabs have the permissions of the workbook.", "096")
        return Held(kind, where, xml.element(kind, id=row["id"], name=row["name"]), follows)

    return locate


def query(call: Call, held: Held) -> Response:
    return _show(call.state, held)


def add(call: Call, held: Held) -> Response:
    """Adds rules. A capability that the grantee already has stays as it is."""
    _changeable(held)
    _write(call, held)
    return _show(call.state, held)


def replace(call: Call, held: Held) -> Response:
    """Replaces all rules by the request's."""
    _changeable(held)
    call.state.write("delete from rule where content_id = ? and scope = ?", *held.place)
    _write(call, held)
    return _show(call.state, held)


def delete(call: Call, held: Held) -> Response:
    """Removes one capability of one grantee."""
    _changeable(held)
    kind, luid = call.path["grantees"].removesuffix("s"), call.path["grantee"]
    if kind not in _GRANTEES:
        raise unknown_resource(call.url_path)
    call.find(kind, luid)
    _check(held, call.path["capability"], call.path["mode"])
    gone = call.state.write(
        "delete from rule where content_id = ? and scope = ? and grantee_kind = ? and grantee_id = ? "
        "and capability = ? and mode = ?",
        *held.place, kind, luid, call.path["capability"], call.path["mode"],
    )  # fmt: skip
    if not gone:
        raise absent("permission", call.path["capability"])
    return Response(status_code=204)


def _changeable(held: Held) -> None:
    if held.follows is not None:
        raise forbidden(f"The permissions are locked by project '{held.follows}'.", "039")


def _write(call: Call, held: Held) -> None:
    for grantee in call.request("permissions").findall("granteeCapabilities"):
        for kind, luid, capability, mode in _rules(grantee):
            call.find(kind, luid)
            _check(held, capability, mode)
            if (capability, mode) == ("ProjectLeader", "Deny"):
                raise malformed("ProjectLeader can't be denied.", "009")
            call.state.ensure(
                "rule", content_id=held.place.content_id, scope=held.place.scope, grantee_kind=kind,
                grantee_id=luid, capability=capability, mode=mode,
            )  # fmt: skip


def _check(held: Held, capability: str, mode: str) -> None:
    """Refuses a capability that doesn't exist, or not for this kind of content."""
    if mode not in ("Allow", "Deny") or not any(capability in each for each in CAPABILITIES.values()):
        raise absent("permission", f"{capability}: {mode}")
    if capability not in CAPABILITIES[held.kind]:
        raise malformed(f"'{capability}' does not apply to a {held.kind}.", "009")


def _rules(grantee: xml.Element) -> Iterator[tuple[str, str, str, str]]:
    holders = [child for child in grantee if child.tag in _GRANTEES]
    if len(holders) != 1:
        raise malformed("A rule needs one group or one user.")
    for capability in grantee.iterfind("capabilities/capability"):
        yield holders[0].tag, holders[0].get("id", ""), capability.get("name", ""), capability.get("mode", "")


def _show(state: State, held: Held) -> Response:
    rows = state.all(
        "select * from rule where content_id = ? and scope = ? order by grantee_kind, grantee_id, capability",
        *held.place,
    )
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
        ("/sites/{site}/datasources/{datasource}/permissions", _content("datasource")),
        ("/sites/{site}/workbooks/{workbook}/permissions", _content("workbook")),
        ("/sites/{site}/views/{view}/permissions", _content("view")),
    )
    methods = (("GET", "", query), ("PUT", "", add), ("POST", "", replace), ("DELETE", _ONE, delete))
    for path, locate in places:
        for method, suffix, handler in methods:
            yield Endpoint(method, path + suffix, _bound(handler, locate))


def _bound(handler: Callable[[Call, Held], Response], locate: Callable[[Call], Held]) -> Handler:
    return lambda call: handler(call, locate(call))


ENDPOINTS = tuple(_endpoints())
