"""The calls of the REST API, each made by tableauserverclient; every answer is checked against the schema's shapes."""

import base64
import hashlib
import hmac
import json
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import tableauserverclient as TSC
from lxml import etree  # type: ignore[import-untyped]
from tableauserverclient.server.endpoint.exceptions import FailedSignInError

from emulated import SOURCE, World, refused, world
from tableau_emulator import client, jobs
from tableau_emulator.state import State

# TSC sends a setting of sites that is gone, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:FlowsEnabled")

ALLOW, DENY = TSC.Permission.Mode.Allow, TSC.Permission.Mode.Deny
READ = TSC.Permission.Capability.Read


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def server(here: World) -> TSC.Server:
    return here.server


@pytest.fixture
def project(server: TSC.Server) -> TSC.ProjectItem:
    return server.projects.create(TSC.ProjectItem("a project"))


# sign-in


def test_sign_in_by_password(here: World, server: TSC.Server) -> None:
    user = here.user("someone@example.org", "Viewer")
    other = here.as_user("someone@example.org")
    assert other.user_id == user.id
    assert here.as_user("someone@example.org").users.get_by_id(user.id).last_login is not None
    other.users.get_by_id(user.id)  # a password has several sessions
    with pytest.raises(FailedSignInError):
        TSC.Server(here.emulator.url).auth.sign_in(TSC.TableauAuth("someone@example.org", "wrong"))
    with pytest.raises(FailedSignInError):
        TSC.Server(here.emulator.url).auth.sign_in(TSC.TableauAuth("callmart", ""))
    user.site_role = "Unlicensed"
    server.users.update(user)
    with pytest.raises(FailedSignInError):
        here.as_user("someone@example.org")


def test_sign_in_as_somebody_else_is_for_server_administrators(here: World) -> None:
    user = here.user("someone")
    here.server.users.update(user, password="secret")
    with here.state() as state:
        state.set_password("callmart", "known")
    server = TSC.Server(here.emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.TableauAuth("callmart", "known", user_id_to_impersonate=user.id))
    assert server.user_id == user.id
    with refused("403004"):
        server.auth.sign_in(TSC.TableauAuth("someone", "secret", user_id_to_impersonate=user.id))


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


# sites


def test_sites(here: World, server: TSC.Server) -> None:
    made = server.sites.create(TSC.SiteItem("Other", "other"))
    with refused("409001"):
        server.sites.create(TSC.SiteItem("Other", "another"))
    assert {site.name for site in TSC.Pager(server.sites)} == {"Default", "Other"}
    server.projects.create(TSC.ProjectItem("of the first"))
    first = server.site_id
    server.auth.switch_site(made)
    assert server.site_id == made.id != first
    assert [each.name for each in TSC.Pager(server.projects)] == ["Default"]
    header = {"x-tableau-auth": server.auth_token}
    elsewhere = requests.get(f"{server.baseurl}/sites/{first}/projects", headers=header, timeout=5)
    assert elsewhere.status_code == 403
    server.auth.switch_site(TSC.SiteItem("Default", ""))
    # TSC deletes only the site that it is signed in to
    header = {"x-tableau-auth": server.auth_token}
    assert requests.delete(f"{server.baseurl}/sites/{made.id}", headers=header, timeout=5).status_code == 204
    assert [site.name for site in TSC.Pager(server.sites)] == ["Default"]


def test_where_one_is(server: TSC.Server) -> None:
    header = {"x-tableau-auth": server.auth_token}
    answer = requests.get(f"{server.baseurl}/sessions/current", headers=header, timeout=5)
    assert server.user_id in answer.text
    answer = requests.get(
        f"{server.baseurl}/sites/{server.site_id}?includeUsage=true", headers=header, timeout=5
    )
    assert 'numUsers="1"' in answer.text
    assert [each.auth_setting for each in server.sites.list_auth_configurations()] == ["ServerDefault"]
    server.auth.switch_site(TSC.SiteItem("Default", ""))  # TSC takes 403070 for a warning
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401003"):
        server.auth.switch_site(TSC.SiteItem("No site", "no_site"))


def test_what_is_made_says_where_it_is(server: TSC.Server) -> None:
    url, header = f"{server.baseurl}/sites/{server.site_id}/projects", {"x-tableau-auth": server.auth_token}
    made = requests.post(url, '<tsRequest><project name="p"/></tsRequest>', headers=header, timeout=5)
    luid = next(each.id for each in TSC.Pager(server.projects) if each.name == "p")
    assert (made.status_code, made.headers["location"]) == (
        201,
        f"/api/3.28/sites/{server.site_id}/projects/{luid}",
    )


def test_site_settings(server: TSC.Server) -> None:
    site = server.sites.get_by_id(server.site_id)
    assert (site.name, site.user_visibility_mode, site.subscribe_others_enabled) == ("Default", "FULL", True)
    site.user_visibility_mode = "LIMITED"
    server.sites.update(site)
    assert server.sites.get_by_id(server.site_id).user_visibility_mode == "LIMITED"
    site.user_visibility_mode = "NOBODY"
    with refused("400008"):
        server.sites.update(site)


# users and groups


def test_users(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    user = server.users.add(TSC.UserItem("someone", "Viewer", "ServerDefault"))
    with refused("409017"):
        server.users.add(TSC.UserItem("SOMEONE", "Viewer"))
    with refused("400013"):
        server.users.post_request(
            server.users.baseurl, '<tsRequest><user name="x" siteRole="King"/></tsRequest>'
        )
    user.fullname, user.email, user.site_role = "Some One", "someone@example.org", "Creator"
    server.users.update(user, password="secret")
    found = server.users.get_by_id(user.id)
    assert (found.fullname, found.email, found.site_role, found.domain_name) == (
        "Some One", "someone@example.org", "Creator", "local",
    )  # fmt: skip
    assert [each.id for each in list(server.users.filter(site_role="Creator"))] == [user.id]
    assert [each.name for each in list(server.users.filter(friendly_name="Some One"))] == ["someone"]

    project.owner_id = user.id
    server.projects.update(project)
    with refused("409003"):
        server.users.remove(user.id)
    server.users.remove(user.id, map_assets_to=server.user_id)
    with refused("404002"):
        server.users.get_by_id(user.id)
    assert (
        next(each for each in TSC.Pager(server.projects) if each.id == project.id).owner_id == server.user_id
    )
    with refused("403004"):
        server.users.remove(server.user_id)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"some\x00one,,,viewer,,,"], ids=["encoding", "control character"]
)
def test_a_file_of_users_that_is_none(server: TSC.Server, content: bytes) -> None:
    head = b'--x\r\ncontent-disposition: form-data; name="tableau_user_import"; filename="f"\r\n\r\n'
    with refused("400000"):
        server.users.post_request(
            f"{server.users.baseurl}/import", head + content + b"\r\n--x--\r\n", "multipart/mixed; boundary=x"
        )
    assert [each.name for each in TSC.Pager(server.users)] == ["callmart"]


def test_users_from_a_file(server: TSC.Server, project: TSC.ProjectItem) -> None:
    users = [TSC.UserItem(f"user{number}", "Viewer") for number in range(3)]
    server.jobs.wait_for_job(server.users.bulk_add(users), timeout=10)
    assert [each.site_role for each in list(server.users.filter(name__in=["user0", "user2"]))] == [
        "Viewer"
    ] * 2
    project.owner_id = next(each.id for each in TSC.Pager(server.users) if each.name == "user1")
    server.projects.update(project)
    server.users.bulk_remove(users[:2])
    assert {each.name: each.site_role for each in TSC.Pager(server.users)} == {
        "callmart": "ServerAdministrator", "user1": "Unlicensed", "user2": "Viewer",
    }  # fmt: skip


def test_groups_and_their_users(here: World, server: TSC.Server) -> None:
    group = server.groups.create(TSC.GroupItem("a group"))
    one, two, three = (here.user(name) for name in ("one", "two", "three"))
    server.groups.add_user(group, one.id)
    with refused("409011"):
        server.groups.add_user(group, one.id)
    server.groups.add_users(group, [two, three])
    server.groups.populate_users(group, TSC.RequestOptions(pagesize=2))
    assert [each.name for each in group.users] == ["one", "three", "two"]
    server.groups.remove_user(group, one.id)
    with refused("404002"):
        server.groups.remove_user(group, one.id)
    server.groups.remove_users(group, [two])
    server.groups.populate_users(group)
    assert [each.name for each in group.users] == ["three"]
    server.users.populate_groups(three)
    assert {each.name for each in three.groups} == {"All Users", "a group"}
    group.name, group.minimum_site_role = "renamed", "Viewer"
    server.groups.update(group)
    assert [each.id for each in list(server.groups.filter(name="renamed", minimum_site_role="Viewer"))] == [
        group.id
    ]
    everybody = next(each for each in TSC.Pager(server.groups) if each.name == "All Users")
    with refused("403004"):
        server.groups.add_user(everybody, one.id)


# lists


def test_filters(server: TSC.Server) -> None:
    for name in ("one", "two", "a, b & [c]: d"):
        made = server.projects.create(TSC.ProjectItem(name))
    with refused("409006"):
        server.projects.create(TSC.ProjectItem("One"))
    server.projects.create(TSC.ProjectItem("One", parent_id=made.id))

    def found(field: str, operator: str, value: Any) -> set[str]:
        options = TSC.RequestOptions()
        options.filter.add(TSC.Filter(field, operator, value))
        return {each.name for each in server.projects.get(options)[0]}

    assert found("name", "eq", "one") == {"one"}
    assert found("name", "cieq", "one") == {"one", "One"}
    assert found("name", "in", ["one", "two"]) == {"one", "two"}
    assert found("name", "has", "n") == {"one", "One"}
    assert found("name", "eq", "a*b*c*d") == {"a, b & [c]: d"}
    assert found("name", "eq", "a: d") == set()
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert found("createdAt", "lt", soon) == {"Default", "one", "two", "a, b & [c]: d", "One"}
    assert found("createdAt", "gte", soon) == set()
    assert found("topLevelProject", "eq", False) == {"One"}
    for field, operator, value, code in (
        ("name", "like", "x", "400000"), ("nonsense", "eq", "x", "400065"), ("name", "eq", "a, b", "400000"),
    ):  # fmt: skip
        with refused(code):
            found(field, operator, value)


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "x", "\u0663", "9" * 5000])
def test_a_number_that_is_none_or_too_long(server: TSC.Server, number: str) -> None:
    for key, code in (("pageSize", "400007"), ("pageNumber", "400006")):
        with refused(code):
            server.projects.get_request(f"{server.projects.baseurl}?{key}={number}")
    body = SCHEDULE.format(priority=number)
    with refused("400000"):
        server.schedules.post_request(server.schedules.baseurl, body.encode())


SCHEDULE = (
    '<tsRequest><schedule name="s" type="Extract" priority="{priority}" executionOrder="Serial" frequency="Daily">'
    '<frequencyDetails start="07:00:00"/></schedule></tsRequest>'
)


def test_sets_of_tsc_know_their_length(server: TSC.Server) -> None:
    for number in range(11):
        server.projects.create(TSC.ProjectItem(f"p{number:02}"))
    found = server.projects.filter(name__has="p", page_size=3).order_by("name")
    assert (len(found), found[0].name, found[-1].name) == (11, "p00", "p10")
    assert [each.name for each in found[2:5]] == ["p02", "p03", "p04"]
    assert [each.name for each in found] == [f"p{number:02}" for number in range(11)]


def test_fields_that_are_asked_for(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    here.publish_workbook(project, here.publish(project))
    bare = server.workbooks.get_request(
        f"{server.workbooks.baseurl}?fields=workbook.name,workbook.tags,owner.fullName"
    )
    (workbook,) = etree.fromstring(bare.content)[1]
    assert dict(workbook.attrib) == {"name": "report"}
    assert [(etree.QName(child).localname, dict(child.attrib)) for child in workbook] == [
        ("owner", {"fullName": "callmart"}), ("tags", {}),
    ]  # fmt: skip
    everything = TSC.RequestOptions()
    everything.all_fields = True
    (source,) = server.datasources.get(everything)[0]
    assert (source.owner.fullname, source.connected_workbooks_count, source.favorites_total) == (
        "callmart",
        1,
        0,
    )
    counts = {each.name: each.workbook_count for each in server.projects.get(everything)[0]}
    assert counts == {"Default": 0, "a project": 1}


def test_sorts_by_several_and_by_number(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    for name, size in (("b", 9), ("a", 10), ("c", 9)):
        file = here.folder.parent / f"{name}.hyper"
        file.write_bytes(b"x" * size)
        server.datasources.publish(TSC.DatasourceItem(project.id, name), file, "CreateNew")
    url = f"{server.datasources.baseurl}?sort=size:asc,name:desc"
    names = [
        each.name
        for each in TSC.DatasourceItem.from_response(
            server.datasources.get_request(url).content, server.namespace
        )
    ]
    assert names == ["c", "b", "a"]
    with refused("400000"):
        server.datasources.get_request(f"{server.datasources.baseurl}?sort=size:up")


def test_what_is_never_there(server: TSC.Server) -> None:
    kinds = (server.flows, server.metrics, server.databases, server.tables, server.virtual_connections)
    for endpoint in (
        *kinds, server.flow_runs, server.custom_views, server.data_alerts, server.group_sets, server.linked_tasks,
        server.tasks, server.webhooks,
    ):  # fmt: skip
        found = endpoint.get()
        assert not (found[0] if isinstance(found, tuple) else found)
    for endpoint in kinds:
        with pytest.raises(TSC.ServerResponseError, check=lambda error: error.code.startswith("404")):
            endpoint.get_request(f"{endpoint.baseurl}/{server.site_id}")


def test_what_is_not_emulated_says_so(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    for call, code in (
        (lambda: server.datasources.create_extract(source), "404003"),
        (lambda: server.datasources.update_hyper_data(source, request_id="x", actions=[]), "404003"),
        (lambda: server.datasources.add_dqw(source, TSC.DQWItem("WARNING", "m", True, True)), "404003"),
        (lambda: server.sites.encrypt_extracts(server.site_id), "404003"),
        (lambda: server.metadata.query("{workbooks {name}}"), "404003"),
        (lambda: server.custom_views.get_by_id(source.id), "404003"),
        (lambda: server.group_sets.create(TSC.GroupSetItem("a set")), "405000"),
        (lambda: server.groups.create_AD_group(TSC.GroupItem("a group", "a domain")), "403011"),
    ):
        with refused(code):
            call()


# permissions


@pytest.mark.parametrize(
    "kind",
    [
        "workbook",
        "datasource",
        "flow",
        "lens",
        "metric",
        "datarole",
        "virtualconnection",
        "database",
        "table",
    ],
)
def test_default_permissions(server: TSC.Server, project: TSC.ProjectItem, kind: str) -> None:
    group = server.groups.create(TSC.GroupItem("a group"))
    rule = TSC.PermissionsRule(group, {READ: DENY})
    getattr(server.projects, f"update_{kind}_default_permissions")(project, [rule])
    populate = getattr(server.projects, f"populate_{kind}_default_permissions")
    populate(project)
    assert {r.grantee.id: r.capabilities.get(READ) for r in getattr(project, f"default_{kind}_permissions")}[
        group.id
    ] == DENY
    getattr(server.projects, f"delete_{kind}_default_permissions")(project, rule)
    populate(project)
    assert group.id not in {rule.grantee.id for rule in getattr(project, f"default_{kind}_permissions")}


# data sources


def test_data_source_is_changed(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source, other = here.publish(project), server.projects.create(TSC.ProjectItem("other"))
    owner = here.user("owner", "Creator")
    source.name, source.project_id, source.owner_id, source.description = (
        "renamed",
        other.id,
        owner.id,
        "text",
    )
    source.certified, source.certification_note = True, "checked"
    server.datasources.update(source)
    found = server.datasources.get_by_id(source.id)
    assert (found.name, found.project_id, found.owner_id, found.description, found.certified) == (
        "renamed", other.id, owner.id, "text", True,
    )  # fmt: skip
    second = here.publish(other)
    second.name = "renamed"
    with refused("409015"):
        server.datasources.update(second)


def test_connections_of_a_data_source(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(
        project, connection_credentials=TSC.ConnectionCredentials("reader", "secret", embed=True)
    )
    server.datasources.populate_connections(source)
    (connection,) = source.connections
    assert (connection.connection_type, connection.server_address, connection.server_port) == (
        "postgres", "db.example", "5432",
    )  # fmt: skip
    assert (connection.username, connection.embed_password) == ("reader", True)
    connection.server_address, connection.username, connection.password = "other.example", "writer", "secret"
    server.datasources.update_connection(source, connection)
    server.datasources.update_connections(
        source, [connection.id], "username-password", "last", "secret", True
    )
    source = server.datasources.get_by_id(source.id)
    server.datasources.populate_connections(source)
    assert [(each.server_address, each.username) for each in source.connections] == [
        ("other.example", "last")
    ]


def test_append_makes_it_larger(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    file = here.folder.parent / "rows.hyper"
    file.write_bytes(b"rows")
    with refused("404004"):
        server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), file, "Append")
    source = server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), file, "CreateNew")
    server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), file, "Append")
    assert Path(server.datasources.download(source.id, str(file.parent / "got"))).read_bytes() == b"rowsrows"


def test_new_content_has_the_defaults_of_its_project(
    here: World, server: TSC.Server, project: TSC.ProjectItem
) -> None:
    source = here.publish(project)
    server.datasources.populate_permissions(source)
    (rule,) = source.permissions
    assert rule.capabilities == {READ: ALLOW, "Connect": ALLOW}


def test_revisions(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    file, files = here.folder.parent / "rows.hyper", here.folder / "files"

    def publish(content: bytes) -> TSC.DatasourceItem:
        file.write_bytes(content)
        return server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), file, "Overwrite")

    def kept() -> dict[str, bool]:
        server.datasources.populate_revisions(source)
        return {each.revision_number: each.current for each in source.revisions}

    source = publish(b"first")
    publish(b"second")
    publish(b"third")
    assert kept() == {"1": False, "2": False, "3": True}
    got = server.datasources.download_revision(source.id, "2", str(file.parent / "got"))
    assert Path(got).read_bytes() == b"second"
    server.datasources.delete_revision(source.id, "2")
    with refused("404024"):
        server.datasources.download_revision(source.id, "2")
    with refused("403055"):
        server.datasources.delete_revision(source.id, "3")
    assert kept() == {"1": False, "3": True}
    assert len(list(files.iterdir())) == 2

    def limit(**settings: str) -> None:
        said = " ".join(f'{key}="{value}"' for key, value in settings.items())
        server.sites.put_request(
            f"{server.sites.baseurl}/{server.site_id}", f"<tsRequest><site {said}/></tsRequest>"
        )

    limit(revisionLimit="2")
    publish(b"fourth")
    assert kept() == {"3": False, "4": True}
    limit(revisionHistoryEnabled="false")
    publish(b"fifth")
    assert [each.read_bytes() for each in files.iterdir()] == [b"fifth"]
    with refused("403053"):
        kept()


def test_download_without_the_extract(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    file = here.folder.parent / "calls.tdsx"
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("calls.tds", SOURCE)
        package.writestr("Data/calls.hyper", b"rows")
    source = server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), file, "CreateNew")
    for include, wanted in ((True, ["calls.tds", "Data/calls.hyper"]), (False, ["calls.tds"])):
        got = server.datasources.download(source.id, str(file.parent), include_extract=include)
        with zipfile.ZipFile(got) as package:
            assert package.namelist() == wanted


# workbooks and views


def test_workbook(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    workbook = here.publish_workbook(project, source, hidden_views=["Helper"])
    assert [view.name for view in workbook.views] == ["Overview", "Calls a day"]
    with refused("403007"):
        here.publish_workbook(project, source)
    found = server.workbooks.get_by_id(workbook.id)
    assert (found.name, found.project_id, found.show_tabs) == ("report", project.id, False)
    server.workbooks.populate_views(found, usage=True)
    assert [view.total_views for view in found.views] == [0, 0]
    luids = {view.name: view.id for view in found.views}
    again = here.publish_workbook(project, source, mode="Overwrite", show_tabs=True)
    assert again.id == workbook.id
    views = {view.name: view for view in TSC.Pager(server.views)}
    assert {name: views[name].id for name in luids} == luids
    assert set(views) == {"Overview", "Calls a day", "Helper"}
    assert [view.sheet_type for view in views.values()] == ["dashboard", "view", "view"]
    got = server.workbooks.download(workbook.id, str(here.folder.parent / "got"))
    assert Path(got).read_text().startswith("<?xml")
    again.name, again.show_tabs = "renamed", False
    server.workbooks.update(again)
    assert [each.name for each in list(server.workbooks.filter(name="renamed"))] == ["renamed"]
    server.workbooks.add_tags(workbook, "a tag")
    assert [each.id for each in list(server.workbooks.filter(tags="a tag"))] == [workbook.id]
    server.workbooks.delete(workbook.id)
    assert not list(TSC.Pager(server.views))
    with refused("404006"):
        server.workbooks.get_by_id(workbook.id)
    with refused("404011"):
        server.views.get_by_id(luids["Overview"])


def test_a_view_is_deleted_and_with_the_last_its_workbook(
    here: World, server: TSC.Server, project: TSC.ProjectItem
) -> None:
    workbook = here.publish_workbook(project, here.publish(project), hidden_views=["Helper"])
    with here.state() as state:
        views = [row["id"] for row in state.all("select id from view order by position")]
    with refused("404011"):
        server.views.get_request(f"{server.views.baseurl}/{views[-1]}/data")  # of a hidden one
    server.views.delete(views[0])
    assert [each.name for each in TSC.Pager(server.views)] == ["Calls a day"]
    for view in views[1:]:
        server.views.delete(view)
    with refused("404006"):
        server.workbooks.get_by_id(workbook.id)


def test_favorites(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    workbook = here.publish_workbook(project, source)
    user = server.users.get_by_id(server.user_id)
    items = {"workbook": workbook, "view": server.views.get_by_id(workbook.views[0].id), "datasource": source,
             "project": project}  # fmt: skip

    def held() -> list[str]:
        server.favorites.get(user)
        return [kind for kind, found in user.favorites.items() if found]

    assert held() == []
    for kind, item in items.items():
        getattr(server.favorites, f"add_favorite_{kind}")(user, item)
    assert set(held()) == {f"{kind}s" for kind in items}
    other = here.publish(project, "other")
    other.name = source.name
    with refused("409007"):
        server.favorites.add_favorite_datasource(user, other)
    for kind, item in items.items():
        getattr(server.favorites, f"delete_favorite_{kind}")(user, item)
    assert held() == []
    with refused("404010"):
        server.favorites.delete_favorite_workbook(user, workbook)
    server.favorites.add_favorite_workbook(user, workbook)
    server.workbooks.delete(workbook.id)
    assert held() == []


def test_connections_of_a_workbook(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    credentials = TSC.ConnectionItem()
    credentials.server_address, credentials.connection_credentials = (
        "db.example",
        TSC.ConnectionCredentials("a", "b"),
    )
    workbook = here.publish_workbook(project, source, connections=[credentials])
    server.workbooks.populate_connections(workbook)
    published, live = workbook.connections
    assert (published.connection_type, published.datasource_id) == ("sqlproxy", source.id)
    assert (live.connection_type, live.username, live.embed_password) == ("postgres", "a", True)
    live.username = "c"
    server.workbooks.update_connection(workbook, live)
    server.workbooks.update_connections(workbook, [live.id], username="d")
    with refused("404020"):
        server.datasources.update_connection(source, live)


def test_what_is_no_workbook(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    server.datasources.delete(source.id)
    with refused("403132"):
        here.publish_workbook(project, source)
    server.workbooks.delete(here.publish_workbook(project, source, skip_connection_check=True).id)
    file = here.folder.parent / "junk.twb"
    for junk in (b"not XML", b"<datasource/>"):
        file.write_bytes(junk)
        with refused("400011"):
            server.workbooks.publish(TSC.WorkbookItem(project.id, "junk"), file, "CreateNew")
    assert not list(TSC.Pager(server.workbooks))


def test_pictures(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    workbook = here.publish_workbook(project, here.publish(project))
    view = server.views.get_by_id(workbook.views[0].id)
    server.views.populate_image(view)
    server.views.populate_preview_image(view)
    server.views.populate_pdf(view)
    server.views.populate_csv(view)
    server.views.populate_excel(view)
    server.workbooks.populate_preview_image(workbook)
    server.workbooks.populate_pdf(workbook)
    server.workbooks.populate_powerpoint(workbook)
    for picture in (view.image, view.preview_image, workbook.preview_image):
        assert picture.startswith(b"\x89PNG")
    for document in (view.pdf, workbook.pdf):
        assert document.startswith(b"%PDF")
    assert b"".join(view.csv) == b'"Overview"\n'
    for package in (b"".join(view.excel), workbook.powerpoint):
        assert package.startswith(b"PK")


def test_views_have_rules_of_their_own_without_tabs(
    here: World, server: TSC.Server, project: TSC.ProjectItem
) -> None:
    source = here.publish(project)
    workbook = here.publish_workbook(project, source)
    group, view = server.groups.create(TSC.GroupItem("a group")), server.views.get_by_id(workbook.views[0].id)
    server.views.update_permissions(view, [TSC.PermissionsRule(group, {READ: ALLOW})])
    server.views.populate_permissions(view)
    assert {rule.grantee.id for rule in view.permissions} >= {group.id}
    server.workbooks.populate_permissions(workbook)
    assert group.id not in {rule.grantee.id for rule in workbook.permissions}
    here.publish_workbook(project, source, mode="Overwrite", show_tabs=True)
    with refused("403096"):
        server.views.populate_permissions(server.views.get_by_id(view.id))
        _ = view.permissions
        server.views.update_permissions(view, [TSC.PermissionsRule(group, {READ: ALLOW})])


def test_tags_of_many(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    workbook = here.publish_workbook(project, source)
    server.tags.batch_add({"one", "two"}, [source, workbook])
    assert server.datasources.get_by_id(source.id).tags == {"one", "two"}
    server.tags.batch_delete("one", [source, workbook])
    assert server.workbooks.get_by_id(workbook.id).tags == {"two"}


# jobs


def test_publishing_as_a_job(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    for job in (
        here.publish(project, "second", as_job=True),
        here.publish_workbook(project, source, as_job=True),
        server.datasources.refresh(source),
    ):
        assert server.jobs.wait_for_job(job, timeout=10).finish_code == TSC.JobItem.FinishCode.Success
    assert {each.name for each in TSC.Pager(server.datasources)} == {"calls", "second"}
    assert len(list(TSC.Pager(server.jobs))) == 3
    assert len(list(server.jobs.filter(job_type="RefreshExtract"))) == 1


def test_one_refresh_at_a_time(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    here.inject("job", polls=1, outcome="Success")
    job = server.datasources.refresh(source)
    assert server.datasources.refresh(source) is None  # TSC takes 409093 for a warning
    server.jobs.wait_for_job(job, timeout=10)
    assert server.datasources.refresh(source) is not None


def test_a_job_ends_when_it_is_ended(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    here.inject("job", polls=None, outcome="Success", count=2)
    first, second = here.publish(project, as_job=True), here.publish(project, "second", as_job=True)
    assert server.jobs.get_by_id(first.id).completed_at is None
    with here.state() as state:
        jobs.finish(state, first.id)
    assert server.jobs.get_by_id(first.id).finish_code == 0
    server.jobs.cancel(second.id)
    assert server.jobs.get_by_id(second.id).finish_code == TSC.JobItem.FinishCode.Cancelled


# schedules and subscriptions


@pytest.fixture
def schedule(server: TSC.Server) -> TSC.ScheduleItem:
    weekly = TSC.WeeklyInterval(datetime(2026, 1, 5, 7).time(), "Monday")
    return server.schedules.create(TSC.ScheduleItem("Monday 7:00", 50, "Subscription", "Parallel", weekly))


def test_schedules(server: TSC.Server, schedule: TSC.ScheduleItem) -> None:
    with refused("409021"):
        server.schedules.create(
            TSC.ScheduleItem(
                "Monday 7:00", 50, "Extract", "Serial", TSC.DailyInterval(datetime(2026, 1, 1, 7).time())
            )
        )
    found = server.schedules.get_by_id(schedule.id)
    assert (found.name, found.schedule_type, str(found.interval_item.start_time)) == (
        "Monday 7:00", "Subscription", "07:00:00",
    )  # fmt: skip
    found.name, found.state = "renamed", "Suspended"
    found.interval_item = TSC.WeeklyInterval(datetime(2026, 1, 5, 8).time(), "Monday", "Friday")
    server.schedules.update(found)
    assert [(each.name, each.state) for each in TSC.Pager(server.schedules)] == [("renamed", "Suspended")]
    server.schedules.delete(schedule.id)
    with refused("404023"):
        server.schedules.get_by_id(schedule.id)


def test_states_of_several_schedules(server: TSC.Server, schedule: TSC.ScheduleItem) -> None:
    assert server.schedules.batch_update_state([schedule], "suspended") == [schedule.id]
    assert server.schedules.get_by_id(schedule.id).state == "Suspended"
    assert server.schedules.batch_update_state([], "active", update_all=True) == [schedule.id]
    with refused("404023"):
        server.schedules.batch_update_state([server.site_id], "active")


def test_refreshes_on_a_schedule(
    here: World, server: TSC.Server, project: TSC.ProjectItem, schedule: TSC.ScheduleItem
) -> None:
    source = here.publish(project)
    workbook = here.publish_workbook(project, source)
    nightly = server.schedules.create(
        TSC.ScheduleItem(
            "nightly", 50, "Extract", "Parallel", TSC.DailyInterval(datetime(2026, 1, 1, 3).time())
        )
    )
    for item in ({"workbook": workbook}, {"datasource": source}, {"datasource": source}):
        assert server.schedules.add_to_schedule(nightly.id, **item) == []
    with refused("400047"):
        server.schedules.add_to_schedule(schedule.id, datasource=source)
    extracts, page = server.schedules.get_extract_refresh_tasks(nightly.id)
    assert {each.datasource_id or each.workbook_id for each in extracts} == {source.id, workbook.id}
    assert page.total_available == 2
    tasks = {each.target.id: each for each in server.tasks.get()[0]}
    found = server.tasks.get_by_id(tasks[source.id].id)
    assert (found.schedule_id, found.priority, found.target.type) == (nightly.id, 50, "datasource")
    job = TSC.JobItem.from_response(server.tasks.run(found), server.namespace)[0]
    assert server.jobs.wait_for_job(job, timeout=10).datasource_id == source.id
    server.tasks.delete(found.id)
    server.workbooks.delete(workbook.id)
    assert server.tasks.get()[0] == []


def test_refreshes_of_tableau_cloud(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    monthly = TSC.ScheduleItem(
        None, None, None, None, TSC.MonthlyInterval(datetime(2026, 1, 1, 3).time(), 15)
    )
    target = TSC.Target(source.id, "datasource")
    server.tasks.create(TSC.TaskItem(None, "FullRefresh", None, schedule_item=monthly, target=target))
    (task,) = server.tasks.get()[0]
    assert (task.schedule_id, task.target.id) == (None, source.id)
    assert task.schedule_item.interval_item.interval == ("15",)
    with refused("404026"):
        server.tasks.get_by_id(source.id)


@pytest.fixture
def report(here: World, project: TSC.ProjectItem) -> TSC.WorkbookItem:
    return here.publish_workbook(project, here.publish(project))


def test_subscription_of_tableau_server(
    here: World, server: TSC.Server, schedule: TSC.ScheduleItem, report: TSC.WorkbookItem
) -> None:
    user = here.user("reader", "Viewer")
    item = TSC.SubscriptionItem("Your week", schedule.id, user.id, TSC.Target(report.views[0].id, "view"))
    item.message, item.attach_pdf, item.send_if_view_empty = "Good morning", True, False
    item.page_orientation, item.page_size_option = "PORTRAIT", "A4"
    made = server.subscriptions.create(item)
    found = server.subscriptions.get_by_id(made.id)
    assert (found.subject, found.message, found.attach_pdf, found.send_if_view_empty, found.suspended) == (
        "Your week", "Good morning", True, False, False,
    )  # fmt: skip
    assert (found.schedule_id, found.user_id, found.target.id) == (schedule.id, user.id, report.views[0].id)
    found.suspended, found.subject = True, "Later"
    server.subscriptions.update(found)
    (listed,) = TSC.Pager(server.subscriptions)
    assert (listed.suspended, listed.subject, listed.message) == (True, "Later", "Good morning")
    server.subscriptions.delete(made.id)
    with refused("404025"):
        server.subscriptions.get_by_id(made.id)


CLOUD = (
    '<tsRequest><subscription subject="Your week" attachPdf="true"><content id="{content}" type="Workbook" '
    'sendIfViewEmpty="false"/><user id="{user}"/></subscription><schedule frequency="Weekly"><frequencyDetails '
    'start="07:00:00"><intervals><interval weekDay="{day}"/></intervals></frequencyDetails></schedule></tsRequest>'
)


def test_subscription_of_tableau_cloud(here: World, server: TSC.Server, report: TSC.WorkbookItem) -> None:
    user = here.user("reader", "Viewer")
    body = CLOUD.format(content=report.id, user=user.id, day="Monday")
    answer = server.subscriptions.post_request(server.subscriptions.baseurl, body)
    (made,) = TSC.SubscriptionItem.from_response(answer.content, server.namespace)
    found = server.subscriptions.get_by_id(made.id)
    assert found.schedule_id is None
    assert str(found.schedule[0].interval_item.start_time) == "07:00:00"
    found.suspended = True
    server.subscriptions.update(found)
    found = server.subscriptions.get_by_id(made.id)
    assert (found.suspended, found.schedule[0].interval_item.interval) == (
        True,
        found.schedule[0].interval_item.interval,
    )
    with refused("400000"):
        server.subscriptions.post_request(
            server.subscriptions.baseurl, CLOUD.format(content=report.id, user=user.id, day="Someday")
        )


def test_a_subscription_goes_with_its_content_and_its_user(
    here: World, server: TSC.Server, schedule: TSC.ScheduleItem, report: TSC.WorkbookItem
) -> None:
    users = [here.user(name, "Viewer") for name in ("one", "two")]
    for user in users:
        target = TSC.Target(report.id, "Workbook")
        server.subscriptions.create(TSC.SubscriptionItem("Your week", schedule.id, user.id, target))
    server.users.remove(users[0].id)
    assert [each.user_id for each in TSC.Pager(server.subscriptions)] == [users[1].id]
    server.workbooks.delete(report.id)
    assert not list(TSC.Pager(server.subscriptions))


# the state


def test_a_state_of_an_older_form_is_made_anew(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.admit("token", "secret")
        state.database.execute("pragma user_version = 1")
    with State(tmp_path) as state:
        assert state.one("select 1 from token") is None
        assert state.user("callmart")["site_role"] == "ServerAdministrator"


def test_nobody_is_signed_in_as_nobody(here: World) -> None:
    with pytest.raises(KeyError):
        client.as_user(here.emulator, here.folder, "nobody")
