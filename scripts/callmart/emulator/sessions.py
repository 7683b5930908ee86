"""Server info, sign-in and sign-out, sites."""

import hmac
import secrets
import sqlite3
import time

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import ApiError, absent
from callmart.emulator.query import page
from callmart.emulator.state import State, digest, new_luid

LIFETIME_S = 240 * 60  # as on Tableau Server
_BUILD = "20261.26.0210.1200"


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


def sign_in(call: Call) -> Response:
    """By personal access token; ends the session that the token had before."""
    asked = call.request("credentials")
    name = asked.get("personalAccessTokenName", "")
    token = call.state.one("select * from token where name = ?", name)
    offered = digest(asked.get("personalAccessTokenSecret", ""))
    if token is None or not hmac.compare_digest(offered, token["secret_hash"]):
        raise ApiError(401, "001", "Error signing in to Tableau Server", summary="Signin Error")
    wanted = asked.find("site")
    content_url = wanted.get("contentUrl", "") if wanted is not None else ""
    site = call.state.one("select * from site where content_url = ?", content_url)
    if site is None:
        raise ApiError(401, "001", "Error signing in to Tableau Server", summary="Signin Error")
    key = f"{secrets.token_urlsafe(16)}|{secrets.token_urlsafe(24)}|{new_luid()}"
    call.state.write(
        "insert or replace into session values (?, ?, ?)", name, digest(key), time.time() + LIFETIME_S
    )
    credentials = (
        xml.element("site", id=site["id"], contentUrl=site["content_url"]),
        xml.element("user", id=token["user_id"]),
    )
    return xml.reply(
        xml.element("credentials", *credentials, token=key, estimatedTimeToExpiration=_duration(LIFETIME_S))
    )


def sign_out(call: Call) -> Response:
    call.state.write("delete from session where key_hash = ?", digest(call.session_key))
    return Response(status_code=204)


def query_sites(call: Call) -> Response:
    return page(call, "sites", call.state.all("select * from site"), _fields, _render)


def query_site(call: Call) -> Response:
    return xml.reply(_render(call.resource("site")))


def authenticate(state: State, key: str, site: str | None) -> str:
    """The LUID of the user whose live session `key` is; without one, or without that `site`, an ApiError."""
    if not key:
        raise ApiError(401, "000", "No authentication credentials were provided.")
    live = state.one(
        "select user_id from session join token on token.name = token_name "
        "where key_hash = ? and expires_at > ?",
        digest(key), time.time(),
    )  # fmt: skip
    if live is None:
        raise ApiError(401, "002", "Invalid authentication credentials were provided.")
    if site is not None and state.one("select 1 from site where id = ?", site) is None:
        raise absent("site", site)
    return str(live["user_id"])


def _fields(site: sqlite3.Row) -> dict[str, str]:
    return {"name": site["name"], "contentUrl": site["content_url"]}


def _render(site: sqlite3.Row) -> xml.Element:
    return xml.element(
        "site", id=site["id"], name=site["name"], contentUrl=site["content_url"],
        adminMode="ContentAndUsers", state="Active",
    )  # fmt: skip


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


ENDPOINTS = (
    Endpoint("GET", "/serverinfo", server_info, public=True),
    Endpoint("GET", "/serverInfo", server_info, public=True),
    Endpoint("POST", "/auth/signin", sign_in, public=True),
    Endpoint("POST", "/auth/signout", sign_out),
    Endpoint("GET", "/sites", query_sites),
    Endpoint("GET", "/sites/{site}", query_site),
)
