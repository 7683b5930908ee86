"""Users of a site."""

import csv
import io
import sqlite3
from collections.abc import Collection

from starlette.responses import Response

from tableau_emulator import jobs, uploads, xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.capabilities import ADMINISTRATORS, SITE_ROLES
from tableau_emulator.errors import conflict, forbidden, malformed
from tableau_emulator.query import Fields, page
from tableau_emulator.state import digest, new_luid

_AUTHENTICATION = ("ServerDefault", "SAML", "OpenID")


def query(call: Call) -> Response:
    rows = call.state.all("select * from user where site_id = ? order by name", call.site_id)
    return page(call, "users", shown(call, rows), fields, render)


def query_one(call: Call) -> Response:
    return xml.reply(render(visible(call)))


def add(call: Call) -> Response:
    call.administer()
    asked = call.request("user")
    luid = _add(
        call, asked.get("name", ""), asked.get("siteRole", ""), asked.get("authSetting", "ServerDefault")
    )
    return call.created(render(call.find("user", luid)))


def update(call: Call) -> Response:
    call.administer()
    user, asked = call.resource("user"), call.request("user")
    role = _role(call, asked.get("siteRole", user["site_role"]), user["site_role"])
    if user["id"] == call.user_id and role not in ADMINISTRATORS:
        raise forbidden("Administrators may not remove their own administrator role.", "009")
    password = asked.get("password")
    _may_change_account(call, user, asked.keys())
    call.state.update(
        "user", user["id"], site_role=role, full_name=asked.get("fullName", user["full_name"]),
        auth_setting=_authentication(asked.get("authSetting", user["auth_setting"])),
        password_hash=user["password_hash"] if password is None else digest(password),
    )  # fmt: skip
    if (address := asked.get("email")) is not None:
        call.state.write("update user set email = ? where name = ?", address, user["name"])  # on all sites
    if role == "Unlicensed":
        call.state.write("delete from session where user_id = ?", user["id"])
    return xml.reply(render(call.find("user", user["id"])))


def remove(call: Call) -> Response:
    """Removes a user from the site. If the user owns content, `mapAssetsTo` must name its new owner; otherwise the user
    stays, and becomes unlicensed.
    """
    call.administer()
    user = call.resource("user")
    if user["id"] == call.user_id:
        raise forbidden("Nobody may remove themselves.")
    _may_change(call, user["site_role"])
    heir = call.query.get("mapAssetsTo")
    for kind in _owned(call, user["id"]):
        if heir is None:
            _unlicense(call, user["id"])
            return xml.failure(conflict(f"User '{user['id']}' owns content.", "003"))
        owner = call.find("user", heir)
        call.state.write(f"update {kind} set owner_id = ? where owner_id = ?", owner["id"], user["id"])
    _remove(call, user["id"])
    return Response(status_code=204)


def add_from_file(call: Call) -> Response:
    """Adds users from a CSV file: name, password, full name, licence, administration, publishing, e-mail."""
    call.administer()
    for row in _rows(call, "tableau_user_import"):
        name, password, full_name, licence, administers, publishes, email, *_ = [*row, *[""] * 7]
        luid = _add(call, name, _imported_role(licence, administers, publishes), "ServerDefault")
        call.state.update("user", luid, full_name=full_name or name, email=email)
        if password:
            _may_change_account(call, call.find("user", luid), ["password"])
            call.state.update("user", luid, password_hash=digest(password))
    return jobs.reply(call, jobs.start(call, "CreateSiteUsersCsv", "user", None, "users"))


def remove_from_file(call: Call) -> Response:
    """Removes the users named in a CSV file; those who own content become unlicensed."""
    call.administer()
    for row in _rows(call, "tableau_user_delete"):
        found = call.state.one("select * from user where site_id = ? and name = ?", call.site_id, row[0])
        if found is None or found["id"] == call.user_id:
            continue  # as Tableau does, without a message
        _may_change(call, found["site_role"])
        if _owned(call, found["id"]):
            _unlicense(call, found["id"])
        else:
            _remove(call, found["id"])
    return Response(status_code=204)


def _owned(call: Call, luid: str) -> list[str]:
    """The kinds of content that a user owns."""
    kinds = ("project", "datasource", "workbook")
    return [
        kind for kind in kinds if call.state.one(f"select 1 from {kind} where owner_id = ?", luid) is not None
    ]


def _unlicense(call: Call, luid: str) -> None:
    call.state.update("user", luid, site_role="Unlicensed")
    call.state.write("delete from session where user_id = ?", luid)


def _remove(call: Call, luid: str) -> None:
    call.state.write("delete from rule where grantee_kind = 'user' and grantee_id = ?", luid)
    call.state.write("delete from user where id = ?", luid)


def shown(call: Call, users: list[sqlite3.Row]) -> list[sqlite3.Row]:
    """The users among `users` whom the calling user may see."""
    if call.access.sees_all_users():
        return users
    return [user for user in users if user["id"] == call.user_id]


def visible(call: Call) -> sqlite3.Row:
    """The user that the path names, if the calling user may see that one."""
    user = call.resource("user")
    if not shown(call, [user]):
        raise forbidden("The user may not ask about other users.", "133")
    return user


def fields(user: sqlite3.Row) -> Fields:
    """What users can be filtered and sorted by."""
    return {
        "name": user["name"],
        "luid": user["id"],
        "siteRole": user["site_role"],
        "friendlyName": user["full_name"],
        "fullName": user["full_name"],
        "email": user["email"],
        "authSetting": user["auth_setting"],
        "lastLogin": user["last_login"] or "",
        "domainName": "local",
        "isLocal": True,
    }


def render(user: sqlite3.Row) -> xml.Element:
    """A user in the API's form."""
    return xml.element(
        "user", xml.element("domain", name="local"),
        id=user["id"], name=user["name"], fullName=user["full_name"], email=user["email"] or None,
        siteRole=user["site_role"], authSetting=user["auth_setting"], lastLogin=user["last_login"],
        externalAuthUserId="",
    )  # fmt: skip


def _add(call: Call, name: str, role: str, authentication: str) -> str:
    if not name:
        raise malformed("A user needs a name.")
    if call.state.one("select 1 from user where site_id = ? and name = ?", call.site_id, name) is not None:
        raise conflict(f"User '{name}' is already on the site.", "017")
    if role == "Guest":
        raise conflict("Nobody can be added as a guest.", "005")
    luid = new_luid()
    call.state.add_user(luid, call.site_id, name, _role(call, role), _authentication(authentication))
    return luid


def _role(call: Call, role: str, old: str = "") -> str:
    """The site role, if the calling user may give it to a user who has the `old` one."""
    if role not in SITE_ROLES:
        raise malformed(f"'{role}' is not a site role.", "013")
    _may_change(call, role, old)
    return role


def _may_change(call: Call, *roles: str) -> None:
    """Refuses site administrators to appoint or change server administrators."""
    if "ServerAdministrator" in roles:
        call.administer_server()


def _may_change_account(call: Call, user: sqlite3.Row, asked: Collection[str]) -> None:
    """Refuses site administrators what is of the whole server: to change the name of a user, and the address and
    password of one who is on a site that they don't administer.
    """
    if call.access.server_administrator or not {"fullName", "email", "password"}.intersection(asked):
        return
    elsewhere = call.state.one(
        "select 1 from user where name = ? and site_id not in (select site_id from user where name = ? "
        f"and site_role in ({', '.join('?' * len(ADMINISTRATORS))}))",
        user["name"], call.access.user["name"], *ADMINISTRATORS,
    )  # fmt: skip
    if "fullName" in asked or elsewhere:
        raise forbidden("The user may not change this of another user.", "009")


def _authentication(setting: str) -> str:
    if setting not in _AUTHENTICATION:
        raise malformed(f"'{setting}' is not a value of authSetting.")
    return setting


def _imported_role(licence: str, administers: str, publishes: str) -> str:
    if administers.lower() in ("system", "site"):
        return "ServerAdministrator" if administers.lower() == "system" else "SiteAdministratorCreator"
    publisher = publishes.lower() in ("true", "1", "yes")
    return {
        "creator": "Creator",
        "explorer": "ExplorerCanPublish" if publisher else "Explorer",
        "viewer": "Viewer",
    }.get(licence.lower(), "Unlicensed")


def _rows(call: Call, part: str) -> list[list[str]]:
    try:
        text = uploads.part(call, part).content.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except (UnicodeDecodeError, csv.Error):
        raise malformed("The file is not CSV in UTF-8.") from None
    if xml.NO_TEXT.search(text):
        raise malformed("The file contains characters that are not allowed in names.")
    return rows


ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/users", query, lists=True),
    Endpoint("POST", "/sites/{site}/users", add),
    Endpoint("POST", "/sites/{site}/users/import", add_from_file),
    Endpoint("POST", "/sites/{site}/users/delete", remove_from_file),
    Endpoint("GET", "/sites/{site}/users/{user}", query_one),
    Endpoint("PUT", "/sites/{site}/users/{user}", update),
    Endpoint("DELETE", "/sites/{site}/users/{user}", remove),
)
