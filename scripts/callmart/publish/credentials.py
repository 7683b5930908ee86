"""Credentials for Tableau: a personal access token, or a connected app with a new JSON web token per sign-in."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import jwt
import tableauserverclient as TSC

from callmart.base.errors import UserError
from callmart.base.secret_files import secret_of
from callmart.base.settings import ConnectedApp, Tableau, TableauLogin

_LIFETIME_S = 300  # of a JSON web token, which is for one sign-in; Tableau accepts 600 at most
# The fewest scopes that publishing and the audit need.
_SCOPES: Mapping[str, tuple[str, ...]] = {
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
    "users": ("read", "create", "update", "delete"),
    "workbook_tags": ("update", "delete"),
    "workbooks": ("create", "delete"),
}
# Tableau documents none for these: servers without scopes of their own for them use those of tasks.
_OR_TASKS = ("schedules", "subscriptions")
# Without these, Tableau shows no warning while days are held back.
_OPTIONAL = tuple(f"tableau:data_quality_warnings:{action}" for action in ("read", "create", "delete"))
# By the scope: what can take its place.
_NEEDED = {
    f"tableau:{kind}:{action}": f"tableau:{'tasks' if kind in _OR_TASKS else kind}:{action}"
    for kind, actions in _SCOPES.items()
    for action in actions
}
# Whoever doesn't get this one gets none: it is asked for first.
FIRST = "tableau:content:read"
_ALL = frozenset((*_NEEDED, *_NEEDED.values(), *_OPTIONAL))


@dataclass(frozen=True)
class Credentials:
    """Credentials, created anew for each sign-in, and the end of the message for when Tableau refuses them.

    Those of a connected app ask for scopes, and are made with them. Those of a token ask for none.
    """

    make: Callable[[frozenset[str]], TSC.PersonalAccessTokenAuth | TSC.JWTAuth] = field(repr=False)
    refused: str
    scopes: frozenset[str] = frozenset()

    @property
    def missing(self) -> list[str]:
        """The scopes that are needed, and that these don't ask for."""
        return sorted(
            scope for scope, instead in _NEEDED.items() if self.scopes and not self.scopes & {scope, instead}
        )

    def asking_for(self, scopes: Iterable[str]) -> "Credentials":
        """Return the same credentials with these scopes."""
        return replace(self, scopes=frozenset(scopes))


def of(wanted: Tableau, site: str = "") -> Credentials:
    """Return the credentials in the settings: those for a customer's own site, or else those for all sites. Raises
    UserError if there are none, or both kinds.
    """
    login: TableauLogin = wanted.sites.get(site, wanted)
    setting = f"tableau.sites.{site}" if site in wanted.sites else "tableau"
    app = login.connected_app
    if (app is not None) == (login.token is not None or login.token_file is not None):
        raise UserError(
            f"settings {setting}.token_file and {setting}.connected_app: set exactly one of them; signing in needs it"
        )
    if app is not None:
        return _by_app(site or wanted.site, app, setting)
    token = secret_of(f"{setting}.token_file", login.token, login.token_file)
    return by_token(site or wanted.site, login.token_name, token, setting)


def by_token(site: str, name: str, token: str, setting: str = "tableau") -> Credentials:
    """Return the credentials for a personal access token. `setting` says where a person corrects it."""
    return Credentials(
        lambda _: TSC.PersonalAccessTokenAuth(name, token, site),
        f"the token {name} for {_called(site)}; {_is_there(site)}make a new personal access token and put it where "
        f"the old one is, {setting}.token or {setting}.token_file",
    )


def _by_app(site: str, app: ConnectedApp, setting: str) -> Credentials:
    secret = secret_of(f"{setting}.connected_app.secret_file", app.secret, app.secret_file)
    return Credentials(
        lambda scopes: TSC.JWTAuth(_json_web_token(app, secret, scopes), site_id=site),
        f"the connected app {app.client_id} for {_called(site)}; {_is_there(site)}check that it is enabled and may use "
        f"the scope {FIRST}, that {setting}.connected_app has its secret and a user of the site, and that this "
        "machine's clock is right",
        _ALL,
    )


def _called(site: str) -> str:
    return f"site '{site}'" if site else "the default site"


def _is_there(site: str) -> str:
    """Tableau refuses a site that isn't there, or that the user isn't on, in the same words."""
    return f"if there is a site with /site/{site}/ in its URLs, and the user is on it, " if site else ""


def _json_web_token(app: ConnectedApp, secret: str, scopes: Iterable[str]) -> str:
    claims = {
        "iss": app.client_id,
        "sub": app.username,
        "aud": "tableau",
        "exp": int(time.time()) + _LIFETIME_S,
        "jti": str(uuid.uuid4()),
        "scp": sorted(scopes),
    }
    return jwt.encode(claims, secret, "HS256", headers={"kid": app.secret_id, "iss": app.client_id})
