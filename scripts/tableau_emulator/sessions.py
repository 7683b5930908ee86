"""Sign-in, sign-out, and switching to another site."""

import hmac
import json
import secrets
import sqlite3
import time
from collections.abc import Sequence

from starlette.responses import Response

from tableau_emulator import jwt, xml
from tableau_emulator.access import Access
from tableau_emulator.call import Call, Endpoint, luid_of
from tableau_emulator.errors import ApiError, absent, forbidden, malformed
from tableau_emulator.state import State, digest, new_luid, now

LIFETIME_S = 240 * 60  # as on Tableau Server
_WAYS = ("name", "personalAccessTokenName", "jwt")
_PASSWORD = ""  # the hash of a user without a password; no digest is empty


def sign_in(call: Call) -> Response:
    """Signs in by user and password, by personal access token, or by the token of a connected app.

    A personal access token has one session at a time: signing in ends the previous one. A server administrator may sign
    in as another user.
    """
    asked = call.request("credentials")
    if len(given := [way for way in _WAYS if asked.get(way) is not None]) > 1:
        raise malformed(f"The request gives more than one of {' and '.join(given)}.")
    site = _site(call.state, asked.find("site"))
    token_name = asked.get("personalAccessTokenName")
    scopes: Sequence[str] | None = None
    if token_name is not None:
        user = _by_token(call.state, site, token_name, asked.get("personalAccessTokenSecret", ""))
    elif asked.get("jwt") is not None:
        try:
            claims = jwt.verify(call.state, asked.get("jwt"))
        except ValueError as error:
            raise _refused(f"The JSON web token is not valid: {error}.") from None
        user, scopes = _named(call.state, site, claims.user), claims.scopes
    else:
        user = _by_password(call.state, site, asked.get("name", ""), asked.get("password", ""))
    if user["site_role"] == "Unlicensed":
        raise _refused()
    impersonated = luid_of(asked, "user")
    if impersonated is not None:
        if user["site_role"] != "ServerAdministrator":
            raise forbidden("Only a server administrator may sign in as another user.")
        other = call.state.one("select * from user where id = ? and site_id = ?", impersonated, site["id"])
        if other is None:
            raise absent("user", impersonated)
        user = other
    return _open(call.state, site, user, token_name, scopes)


def sign_out(call: Call) -> Response:
    _end(call)
    return Response(status_code=204)


def switch_site(call: Call) -> Response:
    """Opens a session on another site for the same user, and ends the present one."""
    asked = call.request("site")
    if (
        asked.get("contentUrl", "")
        == call.state.all("select * from site where id = ?", call.site_id)[0]["content_url"]
    ):
        raise forbidden("The user is already signed in to this site.", "070")
    try:
        site = _site(call.state, asked)
        user = _named(call.state, site, call.access.user["name"])
    except ApiError:
        raise ApiError(
            401, "003", "The site does not exist, or the user is not on it.", summary="Switch Site Error"
        ) from None
    old = call.state.all("select * from session where key_hash = ?", digest(call.session_key))[0]
    _end(call)
    scopes = json.loads(old["scopes"]) if old["scopes"] else None
    return _open(call.state, site, user, old["token_name"], scopes)


def query_current(call: Call) -> Response:
    """The site and the user of the present session."""
    site = call.state.all("select * from site where id = ?", call.site_id)[0]
    user = call.access.user
    return xml.reply(
        xml.element(
            "session", xml.element("site", id=site["id"], name=site["name"], contentUrl=site["content_url"]),
            xml.element("user", id=user["id"], name=user["name"], siteRole=user["site_role"]),
        )
    )  # fmt: skip


def revoke_administrators_tokens(call: Call) -> Response:
    call.administer_server()
    call.state.write(
        "delete from token where user_id in (select id from user where site_role = 'ServerAdministrator')"
    )
    return Response(status_code=200)


def authenticate(state: State, key: str, site: str | None, endpoint: Endpoint) -> Access:
    """What the user of the session `key` may do. Raises ApiError if the session has ended or is on another `site`."""
    if not key:
        raise ApiError(401, "000", "No authentication credentials were provided.")
    live = state.one(
        "select user.*, scopes from session join user on user.id = user_id "
        "where key_hash = ? and expires_at > ?",
        digest(key), time.time(),
    )  # fmt: skip
    if live is None:
        raise ApiError(401, "002", "Invalid authentication credentials were provided.")
    if site is not None and site != live["site_id"] and endpoint.path != "/sites/{site}":
        if state.one("select 1 from site where id = ?", site) is None:
            raise absent("site", site)
        raise forbidden("The session is for another site.")
    scopes = json.loads(live["scopes"]) if live["scopes"] and not endpoint.path.startswith("/auth") else None
    if scopes is not None and not jwt.permits(scopes, endpoint.method, endpoint.path):
        raise ApiError(401, "002", "The scopes of the JSON web token do not cover this method.")
    return Access(state, live)


def _site(state: State, asked: xml.Element | None) -> sqlite3.Row:
    content_url = asked.get("contentUrl", "") if asked is not None else ""
    site = state.one("select * from site where content_url = ?", content_url)
    if site is None:
        raise _refused()
    return site


def _named(state: State, site: sqlite3.Row, name: str) -> sqlite3.Row:
    user = state.one("select * from user where site_id = ? and name = ?", site["id"], name)
    if user is None:
        raise _refused()
    return user


def _by_token(state: State, site: sqlite3.Row, name: str, secret: str) -> sqlite3.Row:
    token = state.one(
        "select secret_hash, user.name as user from token join user on user.id = user_id where token.name = ?",
        name,
    )
    if token is None or not hmac.compare_digest(digest(secret), token["secret_hash"]):
        raise _refused()
    return _named(state, site, token["user"])


def _by_password(state: State, site: sqlite3.Row, name: str, password: str) -> sqlite3.Row:
    user = _named(state, site, name)
    if not hmac.compare_digest(digest(password), user["password_hash"] or _PASSWORD):
        raise _refused()
    return user


def _refused(why: str = "Error signing in to Tableau Server") -> ApiError:
    return ApiError(401, "001", why, summary="Signin Error")


def _open(
    state: State, site: sqlite3.Row, user: sqlite3.Row, token: str | None, scopes: Sequence[str] | None
) -> Response:
    key = f"{secrets.token_urlsafe(16)}|{secrets.token_urlsafe(24)}|{new_luid()}"
    if token is not None:
        state.write("delete from session where token_name = ?", token)
    state.write("delete from session where expires_at < ?", time.time())
    state.insert(
        "session", key_hash=digest(key), expires_at=time.time() + LIFETIME_S, token_name=token,
        user_id=user["id"], scopes=None if scopes is None else json.dumps(scopes),
    )  # fmt: skip
    state.update("user", user["id"], last_login=now())
    credentials = (
        xml.element("site", id=site["id"], contentUrl=site["content_url"]),
        xml.element("user", id=user["id"]),
    )
    return xml.reply(
        xml.element("credentials", *credentials, token=key, estimatedTimeToExpiration=_duration(LIFETIME_S))
    )


def _end(call: Call) -> None:
    call.state.write("delete from session where key_hash = ?", digest(call.session_key))


def _duration(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


ENDPOINTS = (
    Endpoint("POST", "/auth/signin", sign_in, public=True),
    Endpoint("POST", "/auth/signout", sign_out),
    Endpoint("POST", "/auth/switchSite", switch_site),
    Endpoint("GET", "/sessions/current", query_current),
    Endpoint("POST", "/auth/revokeAllServerAdminTokens", revoke_administrators_tokens),
)
