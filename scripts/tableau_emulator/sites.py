"""Server info and sites with their settings."""

import json
import re
import sqlite3

from starlette.responses import Response

from tableau_emulator import uploads, xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.errors import absent, conflict, forbidden, malformed
from tableau_emulator.query import Fields, page
from tableau_emulator.state import SITE_SETTINGS, State

_BUILD = "20262.26.0804.1806"
# Further attributes of a site that TSC can send.
_MORE = re.compile(
    "catalogingEnabled|commenting(Mentions)?Enabled|customSubscription(Email|Footer)(Enabled)?|dataAlertsEnabled"
    "|dataAccelerationMode|(editing|scheduling)FlowsEnabled|flowsEnabled|guestAccessEnabled|cacheWarmupEnabled"
    "|requestAccessEnabled|runNowEnabled|authoringEnabled|sheetImageEnabled|timeZone|useDefaultTimeZone"
    "|userQuota|storageQuota|tier(Creator|Explorer|Viewer)Capacity|webExtractionEnabled"
)
_MODES = {
    "adminMode": ("ContentAndUsers", "ContentOnly"),
    "revisionHistoryEnabled": ("true", "false"),
    "state": ("Active", "Suspended"),
    "userVisibilityMode": ("FULL", "LIMITED"),
}
_REVISIONS = re.compile(r"-1|[2-9]|[1-9]\d{1,3}|10000")


def server_info(call: Call) -> Response:
    settings = (
        xml.element("oAuthEnabled", "false"),
        xml.element("offlineInteractionSupportedPhase", "0"),
        xml.element("sheetImageMaxAgeCeiling", "60"),
        xml.element("sheetImageMaxAgeFloor", "0"),
    )
    return xml.reply(
        xml.element(
            "serverInfo",
            xml.element("platform", "tableau-emulator"),
            xml.element("prepConductorVersion", "none"),
            xml.element("productVersion", xml.PRODUCT, build=_BUILD),
            xml.element("restApiVersion", xml.VERSION),
            xml.element("serverSettings", *settings),
        )
    )


def query(call: Call) -> Response:
    """The sites that the user is on."""
    rows = call.state.all(
        "select site.* from site join user on site_id = site.id where user.name = ? order by site.name",
        call.access.user["name"],
    )
    return page(call, "sites", rows, _fields, lambda row: _render(call, row))


def query_one(call: Call) -> Response:
    """A site by LUID, or by name or content URL if `key` in the query says so. The user must be on it."""
    column = {"name": "name", "contentUrl": "content_url"}.get(call.query.get("key", ""), "id")
    row = call.state.one(f"select * from site where {column} = ?", call.path["site"])
    if row is None:
        raise absent("site", call.path["site"])
    _on_it(call, row)
    return xml.reply(_render(call, row))


def query_authentication(call: Call) -> Response:
    """The ways in which users of the site sign in. There is only one."""
    way = xml.element("siteAuthConfiguration", authSetting="ServerDefault", enabled=True)
    return xml.reply(xml.element("siteAuthConfigurations", way))


def create(call: Call) -> Response:
    call.administer_server()
    asked = call.request("site")
    name, content_url = asked.get("name", ""), asked.get("contentUrl", "")
    if not name or not re.fullmatch(r"[A-Za-z0-9_-]+", content_url):
        raise malformed("A site needs a name, and a contentUrl of letters, digits, - and _.")
    _free(call, "", name, content_url)
    settings = SITE_SETTINGS | _settings(asked)
    luid = call.state.found_site(name, content_url, call.state.administrator()["name"])
    call.state.update("site", luid, settings=json.dumps(settings))
    return call.created(_render(call, _row(call, luid)))


def update(call: Call) -> Response:
    call.administer()
    row, asked = _row(call, call.path["site"]), call.request("site")
    if row["id"] != call.site_id:
        call.administer_server()
    name, content_url = asked.get("name", row["name"]), asked.get("contentUrl", row["content_url"])
    if row["content_url"] == "" and content_url:
        raise forbidden("The Default site is the one without a contentUrl.")
    _free(call, row["id"], name, content_url)
    settings = json.dumps(json.loads(row["settings"]) | _settings(asked))
    call.state.update("site", row["id"], name=name, content_url=content_url, settings=settings)
    return xml.reply(_render(call, _row(call, row["id"])))


def delete(call: Call) -> Response:
    """Deletes a site with all its contents. The Default site can't be deleted."""
    call.administer_server()
    row = _row(call, call.path["site"])
    if row["content_url"] == "":
        raise forbidden("The Default site can't be deleted.", "002")
    state, luid = call.state, row["id"]
    for kind in ("datasource", "workbook"):
        for content in state.all(f"select id from {kind} where site_id = ?", luid):
            state.forget(content["id"])
    for project in state.all("select id from project where site_id = ?", luid):
        state.forget(project["id"])
    state.write("update project set parent_id = null where site_id = ?", luid)
    for table in (
        "job", "task", "subscription", "upload", "connection", "view", "workbook", "datasource", "project",
        "user_group",
    ):  # fmt: skip
        state.write(f"delete from {table} where site_id = ?", luid)
    state.write("delete from user where site_id = ?", luid)
    state.write("delete from site where id = ?", luid)
    return Response(status_code=204)


def _free(call: Call, luid: str, name: str, content_url: str) -> None:
    """Refuses a name or URL that another site has."""
    for sub_code, column, value in (("001", "name", name), ("002", "content_url", content_url)):
        if call.state.one(f"select 1 from site where {column} = ? and id <> ?", value, luid) is not None:
            raise conflict(f"Another site already has '{value}'.", sub_code)


def _row(call: Call, luid: str) -> sqlite3.Row:
    row = call.state.one("select * from site where id = ?", luid)
    if row is None:
        raise absent("site", luid)
    return row


def _on_it(call: Call, site: sqlite3.Row) -> None:
    name = call.access.user["name"]
    if call.state.one("select 1 from user where site_id = ? and name = ?", site["id"], name) is None:
        raise forbidden("The user is not on this site.")


def _settings(asked: xml.Element) -> dict[str, str]:
    given = {key: value for key, value in asked.items() if key in SITE_SETTINGS or _MORE.fullmatch(key)}
    if given.get("askDataMode") == "EnabledByDefault":  # TSC sends it although Tableau has removed Ask Data
        del given["askDataMode"]
    for key, modes in _MODES.items():
        if given.get(key, modes[0]) not in modes:
            raise malformed(
                f"'{given[key]}' is not a value of {key}.", "013" if key == "adminMode" else "008"
            )
    if not _REVISIONS.fullmatch(given.get("revisionLimit", "2")):
        raise malformed("revisionLimit is a number from 2 to 10000, or -1.", "008")
    return given


def _fields(site: sqlite3.Row) -> Fields:
    return {"name": site["name"], "contentUrl": site["content_url"], "luid": site["id"]}


def _render(call: Call, site: sqlite3.Row) -> xml.Element:
    settings = dict(sorted(json.loads(site["settings"]).items()))
    asks_usage = call.access.administrator and call.flag("includeUsage")
    usage = [_usage(call.state, site["id"])] if asks_usage else []
    return xml.element(
        "site", *usage, id=site["id"], name=site["name"], contentUrl=site["content_url"], **settings
    )  # fmt: skip


def _usage(state: State, site: str) -> xml.Element:
    roles = [row["site_role"] for row in state.all("select site_role from user where site_id = ?", site)]
    size = sum(
        state.all(f"select coalesce(sum(size), 0) from {kind} where site_id = ?", site)[0][0]
        for kind in ("datasource", "workbook")
    )
    return xml.element(
        "usage", numUsers=len(roles), storage=size // uploads.MIB,
        numCreators=sum(role in ("Creator", "ServerAdministrator", "SiteAdministratorCreator") for role in roles),
        numExplorers=sum("Explorer" in role for role in roles), numViewers=roles.count("Viewer"),
    )  # fmt: skip


ENDPOINTS = (
    Endpoint("GET", "/serverinfo", server_info, public=True),
    Endpoint("GET", "/serverInfo", server_info, public=True),
    Endpoint("GET", "/sites", query),
    Endpoint("POST", "/sites", create),
    Endpoint("GET", "/sites/{site}", query_one),
    Endpoint("GET", "/sites/{site}/site-auth-configurations", query_authentication),
    Endpoint("PUT", "/sites/{site}", update),
    Endpoint("DELETE", "/sites/{site}", delete),
)
