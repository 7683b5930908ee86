"""JSON web tokens of a connected app: read, and accepted only if they meet all of Tableau's requirements."""

import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any, NamedTuple

from tableau_emulator.state import State

_CONTENT = ("projects", "datasources", "workbooks", "views", "flows", "metrics")
_DOWNLOADS = ("content", "data", "excel", "image", "pdf", "powerpoint", "previewImage")
LONGEST_S = 600  # the longest time that a token may be valid


class Claims(NamedTuple):
    """The contents of a valid token: its user, and the scopes that it permits."""

    user: str
    scopes: tuple[str, ...]


def verify(state: State, token: str) -> Claims:
    """The claims of a token that is signed with the secret of a connected app. Raises ValueError for any other.

    Each token can be used once.
    """
    signed, _, signature = token.rpartition(".")
    head, _, body = signed.partition(".")
    header, claims = _object(head), _object(body)
    app = state.one("select * from connected_app where secret_id = ?", str(header.get("kid")))
    if app is None or header.get("alg") != "HS256" or claims.get("iss") != app["client_id"]:
        raise ValueError("not signed by a known connected app")
    wanted = hmac.digest(app["secret"].encode(), signed.encode(), hashlib.sha256)
    if not hmac.compare_digest(wanted, _bytes(signature)):
        raise ValueError("the signature is wrong")
    expires, now = claims.get("exp"), time.time()
    if not isinstance(expires, int | float) or not now < expires <= now + LONGEST_S:
        raise ValueError("exp is past, or more than ten minutes away")
    if claims.get("aud") not in ("tableau", ["tableau"]):
        raise ValueError("aud is not tableau")
    scopes, user, serial = claims.get("scp"), claims.get("sub"), claims.get("jti")
    if (
        not isinstance(scopes, list)
        or not scopes
        or not all(str(each).startswith("tableau:") for each in scopes)
    ):
        raise ValueError("scp names no scopes")
    given = {
        row["scope"] for row in state.all("select scope from app_scope where secret_id = ?", app["secret_id"])
    }
    if given and (others := {str(each) for each in scopes} - given):
        raise ValueError(f"the connected app does not have the scope {min(others)}")
    if not user or not isinstance(user, str) or not serial:
        raise ValueError("sub or jti is missing")
    state.write("delete from used_jwt where expires_at < ?", now)
    if state.one("select 1 from used_jwt where jti = ?", str(serial)) is not None:
        raise ValueError("jti was used before")
    state.insert("used_jwt", jti=str(serial), expires_at=expires)
    return Claims(user, tuple(str(each) for each in scopes))


def permits(scopes: list[str], method: str, path: str) -> bool:
    """Whether scopes permit a method on a path below /api/VERSION."""
    parts = [part for part in path.split("/")[1:] if part != "sites" and not part.startswith("{")] or [
        "sites"
    ]
    kind, last = parts[0], parts[-1]
    action = {"GET": "read", "POST": "create", "PUT": "update", "DELETE": "delete"}[method]
    if last in _DOWNLOADS:
        action = "download"
    elif "permissions" in parts or "default-permissions" in parts:
        kind = "permissions"
    elif "tags" in parts and kind in _CONTENT:
        kind = f"{kind.removesuffix('s')}_tags"
    elif kind == "fileUploads":
        kind, action = "file_uploads", "create"
    elif kind == "dataQualityWarnings":
        kind = "data_quality_warnings"
    elif action == "read" and kind in _CONTENT:
        kind = "content"
    wanted = f"tableau:{kind}:{action}"
    return any(re.fullmatch(re.escape(each).replace(r"\*", ".*"), wanted) for each in scopes)


def _object(part: str) -> dict[str, Any]:
    found = json.loads(_bytes(part))
    if not isinstance(found, dict):
        raise ValueError("not a JSON web token")
    return found


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
