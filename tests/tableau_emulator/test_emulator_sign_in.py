"""Signing in: by token, password and connected app; sessions, versions, and what the API does not have."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
import requests
import tableauserverclient as TSC
from lxml import etree
from tableauserverclient.server.endpoint.exceptions import FailedSignInError

from emulated import World, refused, signed_in
from tableau_emulator import client
from tableau_emulator.process import Emulator

NAMESPACE = "{http://tableau.com/api}"


def error_code(response: requests.Response) -> str:
    error = etree.fromstring(response.content).find(NAMESPACE + "error")
    assert error is not None
    return str(error.get("code"))


@pytest.fixture
def emulator(here: World) -> Emulator:
    return here.emulator


def test_speaks_the_version_it_says(server: TSC.Server, emulator: Emulator) -> None:
    assert server.version == "3.29"
    assert requests.get(f"{emulator.url}/api/2.4/serverinfo", timeout=5).status_code == 200
    newer = requests.get(f"{emulator.url}/api/9.0/serverinfo", timeout=5)
    assert (newer.status_code, error_code(newer)) == (404, "404003")


def test_a_wrong_secret_is_refused(emulator: Emulator) -> None:
    signed_in(emulator)
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401001"):
        signed_in(Emulator(emulator.url, emulator.token_name, emulator.token + "x"))
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401001"):
        signed_in(Emulator(emulator.url, "nobody", emulator.token))


def test_sign_in_in_json(here: World, emulator: Emulator, server: TSC.Server) -> None:
    user = here.user("someone")
    server.users.update(user, password="secret")
    with here.state() as state:
        state.connect_app("client", "secret id", "app secret")
    url, header = f"{emulator.url}/api/3.29", {"accept": "application/json"}

    def sign_in(**credentials: Any) -> Any:
        asked = {"credentials": credentials | {"site": {"contentUrl": ""}}}
        return requests.post(f"{url}/auth/signin", json=asked, headers=header, timeout=5).json()

    by_password = {"name": "someone", "password": "secret"}
    by_token = {"personalAccessTokenName": emulator.token_name, "personalAccessTokenSecret": emulator.token}
    for given, luid in (
        (by_password, user.id),
        (by_password | {"user": {}}, user.id),  # as nobody else
        ({"jwt": token()}, user.id),
        (by_token | {"user": {"id": None}}, server.user_id),
        (by_token | {"user": {"id": ""}}, server.user_id),
        (by_token | {"user": {"id": user.id}}, user.id),
    ):
        said = sign_in(**given)["credentials"]
        assert said["site"] == {"id": server.site_id, "contentUrl": ""}
        assert said["user"] == {"id": luid}
        signed, projects = (
            header | {"x-tableau-auth": said["token"]},
            f"{url}/sites/{server.site_id}/projects",
        )
        assert requests.get(projects, headers=signed, timeout=5).json()["projects"]["project"]
        assert requests.post(f"{url}/auth/signout", headers=signed, timeout=5).status_code == 204
        assert requests.get(projects, headers=signed, timeout=5).json()["error"]["code"] == "401002"
    assert sign_in(name="someone", password="wrong") == {
        "error": {"summary": "Signin Error", "detail": "Error signing in to Tableau Server", "code": "401001"}
    }


def test_a_second_sign_in_ends_the_first_session(emulator: Emulator) -> None:
    first = signed_in(emulator)
    first.projects.get()
    second = signed_in(emulator)
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401002"):
        first.projects.get()
    second.projects.get()


def test_a_session_ends_by_sign_out_and_by_age(emulator: Emulator, here: World) -> None:
    server = signed_in(emulator)
    url, header = f"{server.baseurl}/sites/{server.site_id}/projects", {"x-tableau-auth": server.auth_token}
    assert requests.get(url, headers=header, timeout=5).status_code == 200
    server.auth.sign_out()
    assert error_code(requests.get(url, headers=header, timeout=5)) == "401002"
    assert error_code(requests.get(url, timeout=5)) == "401000"

    server = signed_in(emulator)
    with here.state() as state:
        state.write("update session set expires_at = ?", time.time() - 1)
    with pytest.raises(FailedSignInError):
        server.projects.get()


def test_what_the_api_does_not_have(server: TSC.Server) -> None:
    header = {"x-tableau-auth": server.auth_token}
    site = f"{server.baseurl}/sites/{server.site_id}"
    assert error_code(requests.get(f"{site}/nonsense", headers=header, timeout=5)) == "404003"
    assert error_code(requests.delete(f"{site}/projects", headers=header, timeout=5)) == "405000"
    elsewhere = requests.get(f"{server.baseurl}/sites/other/projects", headers=header, timeout=5)
    assert error_code(elsewhere) == "404000"
    odd = requests.get(f"{site}/users/%00%01", headers=header, timeout=5)
    assert error_code(odd) == "404002"
    bad = requests.post(f"{site}/projects", data="<tsRequest><project", headers=header, timeout=5)
    assert error_code(bad) == "400000"


def test_answers_only_to_its_own_name(emulator: Emulator) -> None:
    url = f"{emulator.url}/api/3.29/serverinfo"
    assert requests.get(url, timeout=5).ok
    assert not requests.get(url, headers={"host": "evil.example"}, timeout=5).ok


def test_sets_no_cookie(server: TSC.Server) -> None:
    server.projects.get()
    assert not server.session.cookies


# by password


def test_sign_in_by_password(here: World, server: TSC.Server) -> None:
    user = here.user("someone@example.org", "Viewer")
    other = here.as_user("someone@example.org")
    assert other.user_id == user.id
    assert here.as_user("someone@example.org").users.get_by_id(user.id).last_login is not None
    other.users.get_by_id(user.id)  # a password has several sessions
    with pytest.raises(FailedSignInError):
        TSC.Server(here.emulator.url).auth.sign_in(TSC.TableauAuth("someone@example.org", "wrong"))
    with pytest.raises(FailedSignInError):
        TSC.Server(here.emulator.url).auth.sign_in(TSC.TableauAuth("admin", ""))
    user.site_role = "Unlicensed"
    server.users.update(user)
    with pytest.raises(FailedSignInError):
        here.as_user("someone@example.org")


def test_nobody_is_signed_in_as_nobody(here: World) -> None:
    with pytest.raises(KeyError):
        client.as_user(here.emulator, here.folder, "nobody")


def test_sign_in_as_somebody_else_is_for_server_administrators(here: World) -> None:
    user = here.user("someone")
    here.server.users.update(user, password="secret")
    with here.state() as state:
        state.set_password("admin", "known")
    server = TSC.Server(here.emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.TableauAuth("admin", "known", user_id_to_impersonate=user.id))
    assert server.user_id == user.id
    with refused("403004"):
        server.auth.sign_in(TSC.TableauAuth("someone", "secret", user_id_to_impersonate=user.id))


# by connected app


def token(secret: str = "app secret", header: dict[str, Any] | None = None, **claims: Any) -> str:
    said = {
        "iss": "client", "sub": "someone", "aud": "tableau", "exp": time.time() + 300, "jti": str(time.time_ns()),
        "scp": ["tableau:content:read"],
    }  # fmt: skip
    parts = [
        {"alg": "HS256", "typ": "JWT", "kid": "secret id", "iss": "client"} | (header or {}),
        said | claims,
    ]
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.fixture
def app(here: World) -> World:
    here.user("someone")
    with here.state() as state:
        state.connect_app("client", "secret id", "app secret")
    return here


def test_sign_in_by_connected_app(app: World) -> None:
    server = TSC.Server(app.emulator.url, use_server_version=True)
    once = token(scp=["tableau:content:read", "tableau:datasources:*"])
    server.auth.sign_in(TSC.JWTAuth(once))
    list(TSC.Pager(server.projects))
    with pytest.raises(FailedSignInError):
        list(TSC.Pager(server.groups))  # not within the scopes
    with refused("404004"):
        server.datasources.delete("nowhere")  # within them
    with pytest.raises(FailedSignInError):
        server.auth.sign_in(TSC.JWTAuth(once))


def test_an_app_has_the_scopes_that_it_was_given(app: World) -> None:
    with app.state() as state:
        state.connect_app(
            "client", "secret id", "app secret", ["tableau:content:read", "tableau:groups:read"]
        )
    server = TSC.Server(app.emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.JWTAuth(token(scp=["tableau:groups:read"])))
    list(TSC.Pager(server.groups))
    with pytest.raises(FailedSignInError, match="does not have the scope tableau:groups:delete"):
        server.auth.sign_in(TSC.JWTAuth(token(scp=["tableau:groups:read", "tableau:groups:delete"])))


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "another"}, {"exp": time.time() - 1}, {"exp": time.time() + 3600}, {"aud": "others"},
        {"sub": "nobody"}, {"sub": None}, {"scp": []}, {"scp": ["all"]}, {"jti": ""}, {"iss": "another"},
        {"header": {"alg": "none"}}, {"header": {"kid": "another"}},
    ],
    ids=["secret", "past", "far", "aud", "sub", "no-sub", "no-scp", "scp", "jti", "iss", "alg", "kid"],
)  # fmt: skip
def test_a_token_of_a_connected_app_must_be_right_in_everything(app: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(FailedSignInError):
        TSC.Server(app.emulator.url).auth.sign_in(TSC.JWTAuth(token(**wrong)))
    with pytest.raises(FailedSignInError):
        TSC.Server(app.emulator.url).auth.sign_in(TSC.JWTAuth("no.json.token"))
