"""Opens a signed-in connection to Tableau: to the server in the settings, or else to the emulator of this home."""

import ipaddress
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import psycopg
import requests
import tableauserverclient as TSC
from adbc_driver_manager import Error as AdbcError
from lxml import etree
from requests.adapters import HTTPAdapter
from tableauserverclient.server.endpoint.exceptions import (
    InternalServerError,
    JobFailedException,
    NonXMLResponseError,
    NotSignedInError,
    TableauError,
    XMLError,
)
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from callmart.base.errors import UserError, is_disk_full, kind
from callmart.base.settings import EMULATOR, Settings
from callmart.publish import credentials, installation
from callmart.publish.chunks import Uploads
from callmart.publish.credentials import Credentials
from callmart.publish.emulator import ensure_running

# Reads Tableau's answers: nothing in them makes it read or fetch anything else.
PARSER = etree.XMLParser(resolve_entities=False, no_network=True)
TIMEOUT_S = (10, 600)  # to connect, and between two pieces of an answer; publishing is slow
_INFO_TIMEOUT_S = (10, 30)
# What a call to Tableau can raise.
FAILURES = (TableauError, ParseError, etree.XMLSyntaxError, requests.RequestException)
# Failures that can concern all customers, not just one.
LOST = (NotSignedInError, requests.ConnectionError, requests.Timeout)
# What Tableau's reference says of a kind of thing that a server doesn't have: the feature is disabled (a licence is
# missing), or there is no such resource. Any other error says nothing about it.
NONE_HERE = ("403157", "404003")
# What Tableau's reference says of a thing that isn't there. Any other error, also another 404, says nothing about it.
_GONE = {
    "404002": "user",  # also if it is no member of the group
    "404004": "data source",
    "404005": "project",
    "404006": "workbook",
    "404007": "tag",
    "404012": "group",
    "404013": "grant",
    "404024": "revision",
    "404025": "subscription",
}
_TOO_MANY, _ENDED, _NOT_FOUND, _DONE = 429, 401, 404, 204
_TOKEN = "x-tableau-auth"
_RENEWALS = 3  # a session lasts hours; if it ends sooner, somebody else has signed in with the same token
_SERVER_INFO = "/api/2.4/serverinfo"  # every server since 2016 answers this version

_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (  # the first match counts
    (
        NotSignedInError,
        "the session has ended, because its token signed in a second time or has expired, or its connected app may not "
        "do this; run again",
    ),
    (
        JobFailedException,
        "Tableau's job {error.job.id} failed; see its notes among the jobs of the site, then run again",
    ),
    (XMLError, "Tableau answered {error.code} {error.summary}; correct the cause, then run again"),
    (InternalServerError, "Tableau answered with status {error.code}; run again when it has recovered"),
    (
        (TableauError, ParseError, etree.XMLSyntaxError),
        "Tableau's answer is not one of its REST API; run again when it has recovered",
    ),
    (requests.TooManyRedirects, "Tableau redirects to another address; set tableau.server to that one"),
    (requests.Timeout, "Tableau did not answer in time; run again"),
    (requests.RequestException, "Tableau stopped answering; run again when it is back"),
    (TimeoutError, "Tableau did not finish its job in time; see the jobs of the site, then run again"),
    (FileNotFoundError, "the extract can't be read; make it again with `callmart extract`"),
    (
        OSError,
        "a file in CALLMART_HOME/extracts or among the temporary files can't be read or written ({error.strerror}); "
        "{remedy}, then run again",
    ),
)


@dataclass(frozen=True)
class _Target:
    url: str
    credentials: Credentials


class _Repeat(Retry):
    """Repeats requests: any that was refused as one too many, and else those that are safe to repeat.

    A chunk of an upload is not safe to repeat, as the server would append it twice; `chunks.py` handles that. What was
    not answered in time is not asked again: everything else would wait for it.
    """

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        too_much = bool(self.total) and status_code == _TOO_MANY
        return too_much or super().is_retry(method, status_code, has_retry_after)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Self:
        refused = response is not None and response.status == _TOO_MANY
        is_chunk = url is not None and "/fileUploads/" in url and not refused
        rest = self.new(total=0) if is_chunk or isinstance(kwargs.get("error"), ReadTimeoutError) else self
        return Retry.increment(rest, method, url, response, *args, **kwargs)


class _Session(requests.Session):
    """Signs in again when the session has ended, and repeats the request that was refused because of it."""

    def __init__(self, renew: Callable[[str], str | None]) -> None:
        super().__init__()
        self._renew = renew

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = super().send(request, **kwargs)
        old = request.headers.get(_TOKEN)
        new = self._renew(str(old)) if response.status_code == _ENDED and old else None
        if new is None:
            return response
        request.headers[_TOKEN] = new
        return super().send(request, **kwargs)


# Signs in to a site: that of a customer, or by default the one that customers share.
At = Callable[..., TSC.Server]


@contextmanager
def at_sites(settings: Settings) -> Iterator[At]:
    """Yield a function that signs in to a site and returns its server. Only one session lives at a time, the last one:
    a personal access token has no second. Errors are those of `connect`.
    """
    with ExitStack() as opened:
        current: dict[str, TSC.Server] = {}

        def at(site: str = "") -> TSC.Server:
            if site not in current:
                current.clear()
                opened.close()
                current[site] = opened.enter_context(connect(settings, site))
            return current[site]

        yield at


@contextmanager
def connect(settings: Settings, site: str = "") -> Iterator[TSC.Server]:
    """Yield a server that is signed in for the duration of the block, with the server's own API version: to a
    customer's own site, or by default to the one that customers share.

    Raises UserError, with the URL and the remedy, if Tableau can't be used. FAILURES that the block doesn't handle
    become such UserErrors, too.
    """
    installation.refuse_restored(settings.home)
    target = _target(settings, site)
    signs_in = target.credentials
    lock, renewals = Lock(), iter(range(_RENEWALS))

    def renew(old: str) -> str | None:
        """Return a token that replaces `old`, the same for all threads; None if signing in fails."""
        with lock:
            if server.is_signed_in() and server.auth_token != old:
                return str(server.auth_token)
            if next(renewals, None) is None:
                return None
            with suppress(*FAILURES, UserError):
                _sign_in(server, target.url, signs_in)
                return str(server.auth_token)
            return None

    server = TSC.Server(
        target.url, http_options={"timeout": TIMEOUT_S}, session_factory=lambda: _session(target.url, renew)
    )
    server.fileuploads = Uploads(server)
    try:
        server.version = _version(target.url)
        signs_in = _first_sign_in(server, target)
        try:
            yield server
        finally:
            with suppress(*FAILURES):  # the session may be gone; the original error matters more
                server.auth.sign_out()
    except FAILURES as error:
        raise UserError(f"{target.url}: {reason(error)}") from None
    finally:
        server.close()


def reason(error: Exception) -> str:
    """Return one sentence about a failure at publishing. It contains no values of customers."""
    if isinstance(error, UserError):
        return str(error)
    remedy = "make room" if is_disk_full(error) else "correct that"
    if isinstance(error, psycopg.Error | AdbcError):  # an extract was made again
        return f"the database failed ({kind(error)}); {remedy}, then run again"
    texts = (text.format(error=error, remedy=remedy) for of, text in _REASONS if isinstance(error, of))
    return next(texts, _unexpected(error))


def _unexpected(error: Exception) -> str:
    """The sentence for an unforeseen error, mostly an answer that lacks what TSC expects. It says where it happened."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: Tableau's answer or callmart is "
        "at fault; run again, and report it if it stays"
    )


def answers(server: TSC.Server) -> bool:
    """Return whether Tableau still answers at all, in this session."""
    try:
        server.users.get_by_id(server.user_id)
    except FAILURES:
        return False
    return True


_Item = TypeVar("_Item", TSC.GroupItem, TSC.DatasourceItem, TSC.WorkbookItem)


def by_luid(kind: type[_Item], luid: str) -> _Item:
    """Return an item of TSC's that stands for the one with this LUID. TSC itself makes only those that it has read."""
    item = kind()
    item._id = luid
    return item


def is_cloud(server: TSC.Server) -> bool:
    """Return whether the server is Tableau Cloud, which works differently in places."""
    return _is_cloud(urlsplit(server.server_address).hostname or "")


def _is_cloud(host: str) -> bool:
    return host == "tableau.com" or host.endswith(".tableau.com")


def require_server(settings: Settings) -> None:
    """Raise UserError if the settings name a database but no Tableau server: it must not go to the emulator unasked."""
    if settings.dsn is not None and settings.tableau.server is None:
        raise UserError(
            "setting tableau.server: a database of your own is not published until this is set; name your Tableau "
            f'server, or write "{EMULATOR}" for the local emulator'
        )


def _target(settings: Settings, site: str) -> _Target:
    """The server and the credentials. Raises UserError if the server must not be used."""
    wanted = settings.tableau
    require_server(settings)
    if wanted.is_emulated or wanted.server is None:
        emulator = ensure_running(settings)
        return _Target(emulator.url, credentials.by_token(site, emulator.token_name, emulator.token))
    url = wanted.server.rstrip("/")
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("http", "https") or not host:
        raise UserError(f"setting tableau.server: {url} is not a URL; write https:// and the server's name")
    if parts.scheme == "http" and not _loopback(host):
        raise UserError(f"setting tableau.server: {url} is not encrypted; use https")
    if _is_cloud(host) and not wanted.allow_cloud:
        raise UserError(
            f"setting tableau.server: {url} is Tableau Cloud, another party; set tableau.allow_cloud = true "
            "if the customers' data may go there"
        )
    return _Target(url, credentials.of(wanted, site))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _session(url: str, renew: Callable[[str], str | None] = lambda old: None) -> requests.Session:
    session = _Session(renew)
    session.max_redirects = 0  # the token must go to no other server than the configured one
    session.hooks["response"] = [_only_tableau, _gone_is_deleted]
    if _loopback(urlsplit(url).hostname or ""):
        session.trust_env = False  # no proxy, as the server is on this machine
    repeat = _Repeat(
        total=5, connect=2, backoff_factor=0.5, backoff_jitter=0.5, raise_on_status=False,
        status_forcelist=(429, 500, 502, 503, 504), allowed_methods=("GET", "PUT", "DELETE"),
    )  # fmt: skip
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=repeat))
    return session


def _only_tableau(response: requests.Response, **_: Any) -> None:
    """Refuse anything but a whole answer of the REST API, such as an HTML page: TSC would read it as an empty list.

    What is not XML can't be read as one: files, and JSON where it was asked for.
    """
    content_type = response.headers.get("content-type", "")
    if response.status_code >= 300 or any(kind in content_type for kind in ("octet-stream", "json")):
        return
    content = response.content
    is_whole = b"<tsResponse" in content[:300] and content.rstrip().endswith(b"</tsResponse>")
    if not is_whole and (content or response.request.method == "GET"):
        raise NonXMLResponseError(b"not of the REST API")


def _gone_is_deleted(response: requests.Response, **_: Any) -> None:
    """What is to be deleted and is gone already counts as deleted. Somebody else may have done it, or we by a request
    whose answer was lost.
    """
    if response.request.method == "DELETE" and response.status_code == _NOT_FOUND:
        with suppress(etree.XMLSyntaxError):
            error = etree.fromstring(response.content, PARSER).find("{*}error")
            if error is not None and error.get("code") in _GONE:
                response.status_code = _DONE


def _version(url: str) -> str:
    """The server's version of the REST API. Raises UserError if no Tableau server answers at `url`."""
    with _session(url) as session:
        try:
            answer = session.get(url + _SERVER_INFO, timeout=_INFO_TIMEOUT_S)
            answer.raise_for_status()
            version = etree.fromstring(answer.content, PARSER).findtext(".//{*}restApiVersion")
            if not version:
                raise NonXMLResponseError(answer.content)
            return str(version)
        except (NonXMLResponseError, etree.XMLSyntaxError, requests.HTTPError):
            raise UserError(
                f"{url} does not answer like a running Tableau server; start it or correct tableau.server"
            ) from None
        except requests.TooManyRedirects as error:
            elsewhere = error.response.headers["location"] if error.response is not None else "elsewhere"
            raise UserError(
                f"{url} redirects to {elsewhere}; set tableau.server to Tableau's own address"
            ) from None
        except requests.exceptions.SSLError:
            raise UserError(
                f"the certificate of the Tableau server at {url} is not trusted; correct it, or name its "
                "authority in REQUESTS_CA_BUNDLE"
            ) from None
        except requests.RequestException:
            raise UserError(
                f"no Tableau server answers at {url}; start it or correct tableau.server"
            ) from None
        except OSError:  # requests raises it before it sends anything
            raise UserError(
                "REQUESTS_CA_BUNDLE does not name a file of certificates; name your authority's, or unset it"
            ) from None


def _first_sign_in(server: TSC.Server, target: _Target) -> Credentials:
    """Sign in; return the credentials to sign in with from then on.

    If Tableau refuses a connected app with all scopes, it is asked for each alone, unless it refuses the app itself.
    Scopes that callmart can do without are left out. Raises UserError that names the scopes which are missing, before
    anything is done.
    """
    url, wanted = target.url, target.credentials
    try:
        _sign_in(server, url, wanted)
        return wanted
    except UserError:
        if not wanted.scopes or not _is_given(server, url, wanted.asking_for([credentials.FIRST])):
            raise
    others = sorted(wanted.scopes - {credentials.FIRST})
    given = wanted.asking_for(
        (credentials.FIRST, *(each for each in others if _is_given(server, url, wanted.asking_for([each]))))
    )
    if given.missing:
        raise UserError(
            f"Tableau at {url} does not give the connected app what callmart needs; let it have the scope "
            f"{', '.join(given.missing)}, then run again"
        )
    _sign_in(server, url, given)
    return given


def _is_given(server: TSC.Server, url: str, one: Credentials) -> bool:
    """Whether Tableau lets the connected app sign in with one scope."""
    try:
        _sign_in(server, url, one)
    except UserError:
        return False
    server.auth.sign_out()
    return True


def _sign_in(server: TSC.Server, url: str, signs_in: Credentials) -> None:
    try:
        server.auth.sign_in(signs_in.make(signs_in.scopes))
    except NotSignedInError:
        raise UserError(f"Tableau at {url} refuses {signs_in.refused}") from None
