"""Server info and sites with their settings."""

import json
import re
import sqlite3

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import ApiError, absent, forbidden, malformed
from callmart.emulator.query import Fields, page

_BUILD = "20261.26.0210.1200"
_SETTINGS = {
    "adminMode": "ContentAndUsers",
    "allowSubscriptionAttachments": "true",
    "askDataMode": "DisabledByDefault",
    "disableSubscriptions": "false",
    "extractEncryptionMode": "disabled",
    "revisionHistoryEnabled": "true",
    "revisionLimit": "25",
    "state": "Active",
    "subscribeOthersEnabled": "true",
    "userVisibilityMode": "FULL",
}
# attributes of a site in the schema that TSC sends, beside those above
_MORE = re.compile(
    "catalogingEnabled|commenting(Mentions)?Enabled|customSubscription(Email|Footer)(Enabled)?|dataAlertsEnabled"
    "|dataAccelerationMode|(editing|scheduling)FlowsEnabled|flowsEnabled|guestAccessEnabled|cacheWarmupEnabled"
    "|requestAccessEnabled|runNowEnabled|authoringEnabled|sheetImageEnabled|timeZone|useDefaultTimeZone"
    "|userQuota|storageQuota|tier(Creator|Explorer|Viewer)Capacity|webExtractionEnabled"
)
_MODES = {"userVisibilityMode": ("FULL", "LIMITED"), "state": ("Active", "Suspended")}


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
            xml.element("platform", "callmart emulator"),
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
    return page(call, "sites", rows, _fields, _render)


def query_one(call: Call) -> Response:
    """By LUID, or by what `key` in the query names; only a site that the user is on."""
    column = {"name": "name", "contentUrl": "content_url"}.get(call.query.get("key", ""), "id")
    row = call.state.one(f"select * from site where {column} = ?", call.path["site"])
    if row is None:
        raise absent("site", call.path["site"])
    _on_it(call, row)
    return xml.reply(_render(row))


def create(call: Call) -> Response:
    _server_administrator(call)
    asked = call.request("site")
    name, content_url = asked.get("name", ""), asked.get("contentUrl", "")
    if not name or not re.fullmatch(r"[A-Za-z0-9_-]+", content_url):
        raise malformed("A site needs a name, and a contentUrl of letters, digits, - and _.")
    if call.state.one("select 1 from site where name = ? or content_url = ?", name, content_url) is not None:
        raise ApiError(409, "001", f"A site '{name}' or with its contentUrl exists already.")
    luid = call.state.found_site(name, content_url)
    call.state.update("site", luid, settings=json.dumps(_settings(asked)))
    return xml.reply(_render(_row(call, luid)), status=201)


def update(call: Call) -> Response:
    call.administer()
    row, asked = _row(call, call.path["site"]), call.request("site")
    _on_it(call, row)
    name, content_url = asked.get("name", row["name"]), asked.get("contentUrl", row["content_url"])
    taken = call.state.one(
        "select 1 from site where id <> ? and (name = ? or content_url = ?)", row["id"], name, content_url
    )
    if taken is not None:
        raise ApiError(409, "001", f"A site '{name}' or with its contentUrl exists already.")
    settings = json.dumps(json.loads(row["settings"]) | _settings(asked))
    call.state.update("site", row["id"], name=name, content_url=content_url, settings=settings)
    return xml.reply(_render(_row(call, row["id"])))


def delete(call: Call) -> Response:
    """Deletes a site with all that is on it; the Default site stays."""
    _server_administrator(call)
    row = _row(call, call.path["site"])
    if row["content_url"] == "":
        raise forbidden("The Default site can't be deleted.")
    state, luid = call.state, row["id"]
    for kind in ("datasource", "workbook"):
        for content in state.all(f"select id, file from {kind} where site_id = ?", luid):
            state.forget(content["id"])
            state.discard(content["file"])
    for project in state.all("select id from project where site_id = ?", luid):
        state.forget(project["id"])
    state.write("update project set parent_id = null where site_id = ?", luid)
    for table in (
        "job",
        "subscription",
        "connection",
        "view",
        "workbook",
        "datasource",
        "project",
        "user_group",
    ):
        state.write(f"delete from {table} where site_id = ?", luid)
    state.write("delete from user where site_id = ?", luid)
    state.write("delete from site where id = ?", luid)
    return Response(status_code=204)


def _row(call: Call, luid: str) -> sqlite3.Row:
    row = call.state.one("select * from site where id = ?", luid)
    if row is None:
        raise absent("site", luid)
    return row


def _on_it(call: Call, site: sqlite3.Row) -> None:
    name = call.access.user["name"]
    if call.state.one("select 1 from user where site_id = ? and name = ?", site["id"], name) is None:
        raise forbidden("The user is not on this site.")


def _server_administrator(call: Call) -> None:
    if call.access.user["site_role"] != "ServerAdministrator":
        raise forbidden("Only a server administrator may do this.")


def _settings(asked: xml.Element) -> dict[str, str]:
    given = {key: value for key, value in asked.items() if key in _SETTINGS or _MORE.fullmatch(key)}
    if given.get("askDataMode") == "EnabledByDefault":  # Ask Data is gone, and TSC asks for it all the same
        del given["askDataMode"]
    for key, modes in _MODES.items():
        if given.get(key, modes[0]) not in modes:
            raise malformed(f"'{given[key]}' is no value of {key}.")
    return given


def _fields(site: sqlite3.Row) -> Fields:
    return {"name": site["name"], "contentUrl": site["content_url"], "luid": site["id"]}


def _render(site: sqlite3.Row) -> xml.Element:
    settings = _SETTINGS | json.loads(site["settings"])
    return xml.element(
        "site",
        id=site["id"],
        name=site["name"],
        contentUrl=site["content_url"],
        **dict(sorted(settings.items())),
    )


ENDPOINTS = (
    Endpoint("GET", "/serverinfo", server_info, public=True),
    Endpoint("GET", "/serverInfo", server_info, public=True),
    Endpoint("GET", "/sites", query),
    Endpoint("POST", "/sites", create),
    Endpoint("GET", "/sites/{site}", query_one),
    Endpoint("PUT", "/sites/{site}", update),
    Endpoint("DELETE", "/sites/{site}", delete),
)
