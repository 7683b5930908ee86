"""Publishing connects only to the server that is meant, with credentials that nobody else reads."""

import re
import socket
import textwrap
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
import requests
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import NotSignedInError

from broken_requests import sending
from callmart.audit import tableau_site
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import PROJECT, ConnectedApp, Settings, Tableau
from callmart.publish import credentials, tableau
from callmart.publish.applying import apply
from callmart.publish.desired import DataSource, Publication
from callmart.publish.emulator import ensure_running, stop
from callmart.publish.planning import plan
from callmart.publish.tableau import connect
from publications import MONDAY, live
from published import NO_BOOKS, Emptied, matches, publish, read, real, succeeded
from tableau_emulator.faults import Fault, inject
from tableau_emulator.state import State


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("https://10ax.online.tableau.com", "allow_cloud"),
        ("https://Prod-UK-A.Online.Tableau.com.", "allow_cloud"),
        ("http://tableau.example.org", "https"),
        ("http://127.0.0.1.example.org", "https"),
        ("tableau.example.org", "https://"),
    ],
)
def test_servers_that_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, remedy: str
) -> None:
    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        raise AssertionError("nothing may be sent")

    with sending(monkeypatch, instead), pytest.raises(UserError, match=remedy), \
            connect(real(tmp_path, server=url, token="secret")):  # fmt: skip
        pass


def test_the_cloud_when_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows that what is refused above would have been sent."""
    asked = []

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        asked.append(request.url)
        raise requests.ConnectionError

    cloud = real(tmp_path, server="https://10ax.online.tableau.com", token="secret", allow_cloud=True)
    with (
        sending(monkeypatch, instead),
        pytest.raises(UserError, match="no Tableau server answers"),
        connect(cloud),
    ):
        pass
    assert asked == ["https://10ax.online.tableau.com/api/2.4/serverinfo"]


def test_a_token_that_is_wrong_or_missing(settings: Settings, tmp_path: Path) -> None:
    emulator = ensure_running(settings)
    file = tmp_path / "token"
    file.write_text(emulator.token + "\n")
    file.chmod(0o600)
    with connect(real(settings.home, server=emulator.url, token_file=file)) as server:
        assert server.version == "3.29"
    file.write_text("wrong")
    with pytest.raises(UserError, match="refuses the token callmart") as refused, \
            connect(real(settings.home, server=emulator.url, token_file=file)):  # fmt: skip
        pass
    assert "wrong" not in str(refused.value)
    for values in ({"token_file": tmp_path / "gone"}, {}):
        with pytest.raises(UserError, match="token_file"), \
                connect(real(settings.home, server=emulator.url, **values)):  # fmt: skip
            pass


def test_a_token_that_expires_in_the_middle(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    """Nobody goes on without a session, and the next run says what to do."""
    settings, state, server = emptied
    assert succeeded(publish(server, detailed))
    changes = plan((standard, replace(detailed, name="Voorbeeld")), read(server))
    tokens = state.all("select * from token")
    with state.transaction():
        state.write("delete from token")
        state.write("delete from session")
    try:
        outcomes = apply(server, changes)
        with pytest.raises(UserError, match=r"refuses the token .* for the default site; make a new"), \
                connect(settings):  # fmt: skip
            pass
    finally:
        with state.transaction():
            for token in tokens:
                state.insert("token", **dict(token))
    assert [one.done for one in outcomes] == [(), ()]
    assert all("its token signed in a second time or has expired" in str(one.error) for one in outcomes)
    with connect(settings) as server:
        assert succeeded(publish(server, standard, detailed))


def test_a_secret_that_others_read_is_refused(tmp_path: Path) -> None:
    (file := tmp_path / "secret").write_text("a secret")
    app = ConnectedApp(client_id="c", secret_id="s", username="u", secret_file=file)
    for wanted in Tableau(token_file=file), Tableau(connected_app=app):
        for mode in 0o644, 0o640, 0o604, 0o440, 0o620:
            file.chmod(mode)
            with pytest.raises(UserError, match=f"other users can open {file}; close it with") as refused:
                credentials.of(wanted)
            assert "a secret" not in str(refused.value)
        for mode in 0o600, 0o400:
            file.chmod(mode)
            credentials.of(wanted)


def connected_app(settings: Settings, scopes: Iterable[str] | None = None, **others: Any) -> Settings:
    """Signs in by a connected app that the emulator trusts, for these scopes or for all."""
    emulator = ensure_running(settings)
    secret = "q" * 44
    with State(settings.home / "emulator") as state:
        state.connect_app("client", "secret id", secret, None if scopes is None else list(scopes))
    app = {"client_id": "client", "secret_id": "secret id", "username": "admin", "secret": secret}
    return real(settings.home, server=emulator.url, connected_app=app | others)


def test_a_connected_app_may_do_all_that_is_needed_and_signs_in_again(
    settings: Settings, detailed: Publication, extracts: dict[str, DataSource]
) -> None:
    with connect(connected_app(settings)) as server:
        with State(settings.home / "emulator") as state:
            inject(state, Fault("session", method="POST", path="/workbooks$"))
        mailed = replace(detailed, mails=(MONDAY,))
        assert succeeded(publish(server, mailed))
        assert matches(server, mailed)
        tableau_site.read(server, quietly)  # all that the audit asks
        for source in TSC.Pager(server.datasources):
            server.datasources.download(source.id, str(settings.home / source.id))
        moved = Publication(detailed.customer_id, "Anders", (live("one"),))
        assert succeeded(publish(server, replace(mailed, no_mail_because="not complete")))
        assert succeeded(publish(server, moved))
        assert matches(server, moved)
        assert succeeded(publish(server))
    with State(settings.home / "emulator") as state:
        assert [each.status for each in state.requests() if each.status in (401, 403)] == [401]


def test_a_connected_app_that_is_refused(settings: Settings, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").touch(0o600)
    for wrong in ({"secret": "w" * 44}, {"username": "nobody"}, {"secret_id": "another"}):
        with pytest.raises(UserError, match="refuses the connected app client") as refused, \
                connect(connected_app(settings, **wrong)):  # fmt: skip
            pass
        assert "www" not in str(refused.value)
    lacking = connected_app(settings, scopes_without("content:read"))
    with pytest.raises(UserError, match="may use the scope tableau:content:read"), connect(lacking):
        pass
    with State(settings.home / "emulator") as state:
        asked = [each.path.rpartition("/")[2] for each in state.requests()]
    assert asked == ["serverinfo", "signin", "signin"] * 4, "with all scopes, and with one"
    for file in (tmp_path / "gone", empty, None):
        with pytest.raises(UserError, match=r"connected_app\.secret_file"), \
                connect(connected_app(settings, secret=None, secret_file=file)):  # fmt: skip
            pass
    app = connected_app(settings).tableau.connected_app
    with pytest.raises(UserError, match="exactly one"), \
            connect(real(settings.home, server="http://127.0.0.1:1", token="secret", connected_app=app)):  # fmt: skip
        pass


def scopes_without(*missing: str) -> set[str]:
    """What callmart asks for, as it does in one of its tokens, but for these."""
    app = ConnectedApp(client_id="c", secret_id="s", username="u", secret="x" * 32)
    made = credentials.of(Tableau(connected_app=app))
    return set(made.scopes) - {f"tableau:{each}" for each in missing}


def test_the_scope_that_an_app_lacks_is_named_before_anything_is_done(settings: Settings) -> None:
    lacking = connected_app(settings, scopes_without("groups:delete", "workbooks:create"))
    with pytest.raises(
        UserError, match=r"let it have the scope tableau:groups:delete, tableau:workbooks:create, then run again$"
    ), connect(lacking):  # fmt: skip
        pass
    with State(settings.home / "emulator") as state:
        assert {each.path.rpartition("/")[2] for each in state.requests()} == {
            "serverinfo",
            "signin",
            "signout",
        }


def test_what_an_app_can_do_without_is_left_out(
    settings: Settings, detailed: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sign-in asks for what the first found out. Servers may know one of two names only, and need no warnings."""
    optional = [f"data_quality_warnings:{action}" for action in ("read", "create", "delete")]
    with connect(connected_app(settings, scopes_without("tasks:read", "tasks:update", *optional))) as server:
        with State(settings.home / "emulator") as state:
            inject(state, Fault("session", method="POST", path="/workbooks$"))
        assert succeeded(publish(server, detailed))
        warned = replace(detailed, warning="one day")
        books = replace(NO_BOOKS, warned=frozenset({detailed.customer_id}))
        assert plan((warned,), read(server, books)).steps == ()
        assert succeeded(publish(server, warned, books=books))
    for scopes in scopes_without("subscriptions:read"), scopes_without("tasks:read"):
        with connect(connected_app(settings, scopes)):
            pass
    with pytest.raises(UserError, match="the scope tableau:subscriptions:read, then"), \
            connect(connected_app(settings, scopes_without("subscriptions:read", "tasks:read"))):  # fmt: skip
        pass


def test_a_server_that_is_down(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError, match=f"no Tableau server answers at {url}"), \
            connect(real(settings.home, server=url, token="secret")):  # fmt: skip
        pass


def test_a_server_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tableau, "_INFO_TIMEOUT_S", (1, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match=f"no Tableau server answers at {url}"), \
                connect(real(tmp_path, server=url, token="secret")):  # fmt: skip
            pass
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_server_that_goes_down(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, tableau=Tableau())  # its emulator is a process, which can be stopped
    with pytest.raises(UserError, match="stopped answering"), connect(settings) as server:
        read(server)
        stop(settings.home)
        read(server)


@contextmanager
def stub(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn, the last for ever: its URL, and the methods called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            status, body = answers[min(len(called), len(answers) - 1)]
            called.append(self.command)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("location", "https://elsewhere.example.org/")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = respond

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", called
        server.shutdown()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((200, b"<!doctype html><title>hello"), "like a running Tableau server"),
        ((200, b"<html><body/></html>"), "like a running Tableau server"),
        ((200, b"<tsResponse></tsResponse>"), "like a running Tableau server"),
        ((404, b""), "like a running Tableau server"),
        ((302, b""), "https://elsewhere.example.org/"),
    ],
)
def test_what_is_not_tableau(tmp_path: Path, given: tuple[int, bytes], says: str) -> None:
    with stub(given) as (url, _), pytest.raises(UserError, match=says), \
            connect(real(tmp_path, server=url, token="secret")):  # fmt: skip
        pass


def test_repeats_what_may_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with stub((503, b""), (429, b""), (200, b"<tsResponse></tsResponse>")) as (url, called):
        assert tableau._session(url).get(url, timeout=5).status_code == 200
        assert len(called) == 3
    for method, path in (("POST", "/datasources"), ("PUT", "/fileUploads/1")):
        with stub((429, b""), (200, b"<tsResponse></tsResponse>")) as (url, called):
            assert tableau._session(url).request(method, url + path, timeout=5).status_code == 200
            assert called == [method, method], "too much at once: nothing of it was done"
        with stub((503, b""), (200, b"fine")) as (url, called):
            assert tableau._session(url).request(method, url + path, timeout=5).status_code == 503
            assert called == [method]


def test_the_token_for_embedding_in_the_docs_is_one_that_a_connected_app_takes(settings: Settings) -> None:
    """As far as an emulator can say: it checks what Tableau asks of every such token, and shows no page."""
    of_docs = re.findall(r"```python\n(.*?)```", (PROJECT / "docs/tableau.md").read_text(), re.DOTALL)
    code = textwrap.dedent(next(one for one in of_docs if "views:embed" in one))
    apart = connected_app(settings, {"tableau:views:embed"})
    app = apart.tableau.connected_app
    assert app is not None and app.secret is not None
    given = {"client_id": app.client_id, "secret_id": app.secret_id, "secret": app.secret.get_secret_value()}
    with connect(settings) as administrator:
        administrator.users.add(TSC.UserItem("chef@example.org", "Viewer"))
    server = TSC.Server(ensure_running(settings).url, use_server_version=True)
    for change, is_accepted in ({}, True), ({"secret": "w" * 44}, False), ({"secret_id": "another"}, False):
        names: dict[str, Any] = {"jwt": jwt, "time": time, "uuid": uuid, **given, **change}
        exec(code, names)
        if is_accepted:
            server.auth.sign_in(TSC.JWTAuth(names["token"], site_id=""))
            with pytest.raises(NotSignedInError):  # it may show views, and do nothing else
                server.workbooks.get()
        else:
            with pytest.raises(NotSignedInError):
                server.auth.sign_in(TSC.JWTAuth(names["token"], site_id=""))
