"""Credentials for Tableau: a personal access token, or a connected app with a new JSON web token per sign-in."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import jwt
import tableauserverclient as TSC

from callmart.base.errors import UserError
from callmart.base.keys import given_secret
from callmart.base.settings import ConnectedApp, Tableau

_LIFETIME_S = 300  # of a JSON web token, which is for one sign-in; Tableau accepts 600 at most
# The fewest scopes that publishing and the audit need. Tableau documents none for subscriptions and schedules: servers
# without scopes of their own for them use those of tasks.
_SCOPES = {
    "content": ("read",),
    "datasource_tags": ("update", "delete"),
    "datasources": ("create", "update", "delete", "download"),
    "file_uploads": ("create",),
    "groups": ("read", "create", "update", "delete"),
    "jobs": ("read",),
    "permissions": ("read", "update", "delete"),
    "projects": ("create", "update", "delete"),
    "schedules": ("read", "create"),
    "sites": ("read", "update"),
    "subscriptions": ("read", "create", "update", "delete"),
    "tasks": ("read", "create", "update", "delete"),
    "users": ("read", "create", "update", "delete"),
    "workbook_tags": ("update", "delete"),
    "workbooks": ("create", "delete"),
}


@dataclass(frozen=True)
class Credentials:
    """Credentials, created anew for each sign-in, and the end of the message for when Tableau refuses them."""

    make: Callable[[], TSC.PersonalAccessTokenAuth | TSC.JWTAuth] = field(repr=False)
    refused: str


def of(wanted: Tableau) -> Credentials:
    """Return the credentials in the settings. Raises UserError if there are none, or both kinds."""
    app = wanted.connected_app
    if (app is not None) == (wanted.token is not None or wanted.token_file is not None):
        raise UserError(
            "settings tableau.token_file and tableau.connected_app: set exactly one of them; signing in needs it."
        )
    if app is not None:
        return _by_app(wanted.site, app)
    token = given_secret("tableau.token_file", wanted.token, wanted.token_file)
    return by_token(wanted.site, wanted.token_name, token)


def by_token(site: str, name: str, token: str) -> Credentials:
    """Return the credentials for a personal access token."""
    return Credentials(
        lambda: TSC.PersonalAccessTokenAuth(name, token, site),
        f"the token {name} for site '{site}'; make a new personal access token and put it into "
        "tableau.token_file.",
    )


def _by_app(site: str, app: ConnectedApp) -> Credentials:
    secret = given_secret("tableau.connected_app.secret_file", app.secret, app.secret_file)
    return Credentials(
        lambda: TSC.JWTAuth(_json_web_token(app, secret), site_id=site),
        f"the connected app {app.client_id} for site '{site}'; check that it is enabled, that tableau.connected_app "
        "has its secret and a user of the site, and that this machine's clock is right.",
    )


def _json_web_token(app: ConnectedApp, secret: str) -> str:
    claims = {
        "iss": app.client_id,
        "sub": app.username,
        "aud": "tableau",
        "exp": int(time.time()) + _LIFETIME_S,
        "jti": str(uuid.uuid4()),
        "scp": [f"tableau:{kind}:{action}" for kind, actions in _SCOPES.items() for action in actions],
    }
    return jwt.encode(claims, secret, "HS256", headers={"kid": app.secret_id, "iss": app.client_id})
