"""Groups and their members."""

import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from tableau_emulator import users, xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.capabilities import SITE_ROLES
from tableau_emulator.errors import absent, conflict, forbidden, malformed
from tableau_emulator.query import Fields, page
from tableau_emulator.state import ALL_USERS, new_luid


def query(call: Call) -> Response:
    rows = call.state.all("select * from user_group where site_id = ? order by name", call.site_id)
    return page(call, "groups", _shown(call, rows), _fields(call), _render(call))


def create(call: Call) -> Response:
    call.administer()
    asked = _local(call.request("group"))
    name = _free(call, asked.get("name", ""))
    luid = new_luid()
    call.state.insert(
        "user_group", id=luid, site_id=call.site_id, name=name, minimum_site_role=_minimum(asked, None)
    )
    return call.created(_render(call)(call.find("group", luid)))


def update(call: Call) -> Response:
    call.administer()
    group, asked = _changeable(call), _local(call.request("group"))
    name = asked.get("name", group["name"])
    if name != group["name"]:
        _free(call, name)
    minimum = _minimum(asked, group["minimum_site_role"])
    call.state.update("user_group", group["id"], name=name, minimum_site_role=minimum)
    return xml.reply(_render(call)(call.find("group", group["id"])))


def delete(call: Call) -> Response:
    call.administer()
    group = _changeable(call)
    call.state.write("delete from rule where grantee_kind = 'group' and grantee_id = ?", group["id"])
    call.state.write("delete from user_group where id = ?", group["id"])
    return Response(status_code=204)


def query_users(call: Call) -> Response:
    group = call.resource("group")
    if not _shown(call, [group]):
        raise absent("group", group["id"])
    rows = call.state.all(
        "select user.* from user join membership on user_id = id where group_id = ? order by name",
        group["id"],
    )
    return page(call, "users", users.shown(call, rows), users.fields, users.render)


def add_users(call: Call) -> Response:
    """Adds one user, or several if the request has an element `users`."""
    call.administer()
    group, asked = _changeable(call), call.document()
    several = asked.find("users")
    wanted = [call.find("user", each.get("id", "")) for each in asked.iterfind(".//user")]
    if not wanted:
        raise malformed("The request names no user.")
    for user in wanted:
        if several is None and _is_in(call, group["id"], user["id"]):
            raise conflict(f"User '{user['id']}' is already in the group.", "011")
        call.state.ensure("membership", group_id=group["id"], user_id=user["id"])
    shown = [users.render(user) for user in wanted]
    return xml.reply(xml.element("users", *shown) if several is not None else shown[0])


def remove_user(call: Call) -> Response:
    call.administer()
    group, user = _changeable(call), call.resource("user")
    if not _is_in(call, group["id"], user["id"]):
        raise absent("user", user["id"])
    _take_out(call, group["id"], user["id"])
    return Response(status_code=204)


def remove_users(call: Call) -> Response:
    call.administer()
    group = _changeable(call)
    for each in call.request("users").iterfind("user"):
        _take_out(call, group["id"], call.find("user", each.get("id", ""))["id"])
    return Response(status_code=204)


def query_groups_of_user(call: Call) -> Response:
    user = users.visible(call)
    rows = call.state.all(
        "select user_group.* from user_group join membership on group_id = id where user_id = ? order by name",
        user["id"],
    )
    return page(call, "groups", rows, _fields(call), _render(call))


def _fields(call: Call) -> Callable[[sqlite3.Row], Fields]:
    return lambda group: {
        "name": group["name"],
        "luid": group["id"],
        "domainName": "local",
        "domainNickname": "local",
        "isLocal": True,
        "minimumSiteRole": group["minimum_site_role"] or "",
        "userCount": _count(call, group) if call.access.sees_all_users() else 0,
    }


def _render(call: Call) -> Callable[[sqlite3.Row], xml.Element]:
    def render(group: sqlite3.Row) -> xml.Element:
        role = group["minimum_site_role"]
        # The role is in two places: TSC reads this one. The schema allows only this value of `source`.
        granted = xml.element(
            "import", domainName="local", siteRole=role, grantLicenseMode="onLogin", source="ActiveDirectory"
        )
        return xml.element(
            "group", xml.element("domain", name="local"), *([granted] if role else []),
            id=group["id"], name=group["name"], minimumSiteRole=role,
            userCount=_count(call, group) if call.access.sees_all_users() else None,
        )  # fmt: skip

    return render


def _shown(call: Call, groups: list[sqlite3.Row]) -> list[sqlite3.Row]:
    if call.access.sees_all_users():
        return groups
    return [group for group in groups if group["id"] in call.access.groups]


def _count(call: Call, group: sqlite3.Row) -> int:
    return int(call.state.all("select count(*) from membership where group_id = ?", group["id"])[0][0])


def _is_in(call: Call, group: str, user: str) -> bool:
    return (
        call.state.one("select 1 from membership where group_id = ? and user_id = ?", group, user) is not None
    )


def _take_out(call: Call, group: str, user: str) -> None:
    call.state.write("delete from membership where group_id = ? and user_id = ?", group, user)


def _changeable(call: Call) -> sqlite3.Row:
    group = call.resource("group")
    if group["name"] == ALL_USERS:
        raise forbidden(f"The group '{ALL_USERS}' can't be changed.")
    return group


def _local(asked: xml.Element) -> xml.Element:
    """The request, unless it imports a group from Active Directory."""
    source = asked.find("import")
    if source is not None and source.get("source") == "ActiveDirectory":
        raise forbidden("Active Directory is not configured.", "011")
    return asked


def _free(call: Call, name: str) -> str:
    if not name:
        raise malformed("A group needs a name.")
    if (
        call.state.one("select 1 from user_group where site_id = ? and name = ?", call.site_id, name)
        is not None
    ):
        raise conflict(f"A group with the name '{name}' already exists.", "009")
    return name


def _minimum(asked: xml.Element, default: str | None) -> str | None:
    role: str | None = asked.get("minimumSiteRole", default)
    if role is not None and role not in SITE_ROLES:
        raise malformed(f"'{role}' is not a site role.", "013")
    return role


ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/groups", query, lists=True),
    Endpoint("POST", "/sites/{site}/groups", create),
    Endpoint("PUT", "/sites/{site}/groups/{group}", update),
    Endpoint("DELETE", "/sites/{site}/groups/{group}", delete),
    Endpoint("GET", "/sites/{site}/groups/{group}/users", query_users),
    Endpoint("GET", "/sites/{site}/users/{user}/groups", query_groups_of_user),
    Endpoint("POST", "/sites/{site}/groups/{group}/users", add_users),
    Endpoint("PUT", "/sites/{site}/groups/{group}/users/remove", remove_users),
    Endpoint("DELETE", "/sites/{site}/groups/{group}/users/{user}", remove_user),
)
