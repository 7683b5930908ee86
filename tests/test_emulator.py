"""The emulator of Tableau: sessions, projects, permissions, data sources, and the process that it is.

Called as everybody calls it: by tableauserverclient, or raw where that cannot.
"""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import tableauserverclient as TSC
from lxml import etree  # type: ignore[import-untyped]
from tableauserverclient.server.endpoint.exceptions import FailedSignInError

from callmart.base.errors import UserError
from emulated import refused, watched
from tableau_emulator import client
from tableau_emulator.process import Emulator, ensure_running, serve, stop
from tableau_emulator.state import State

NAMESPACE = "{http://tableau.com/api}"
ALLOW = TSC.Permission.Mode.Allow
DENY = TSC.Permission.Mode.Deny
READ = TSC.Permission.Capability.Read
WRITE = TSC.Permission.Capability.Write


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop(tmp_path)


@pytest.fixture
def emulator(home: Path) -> Iterator[Emulator]:
    with client.served(home / "emulator") as emulator:
        yield emulator


@pytest.fixture
def server(emulator: Emulator) -> TSC.Server:
    return signed_in(emulator)


def signed_in(emulator: Emulator) -> TSC.Server:
    return watched(client.administrator(emulator))


def error_code(response: requests.Response) -> str:
    error = etree.fromstring(response.content).find(NAMESPACE + "error")
    assert error is not None
    return str(error.get("code"))


def access(item: TSC.ProjectItem | TSC.DatasourceItem) -> set[tuple[str, str, str]]:
    return {
        (rule.grantee.id, name, mode) for rule in item.permissions for name, mode in rule.capabilities.items()
    }


def published(
    server: TSC.Server, project: TSC.ProjectItem, file: Path, name: str = "calls"
) -> TSC.DatasourceItem:
    return server.datasources.publish(TSC.DatasourceItem(project.id, name), file, "CreateNew")


@pytest.fixture
def all_users(server: TSC.Server) -> str:
    return next(str(group.id) for group in TSC.Pager(server.groups) if group.name == "All Users")


@pytest.fixture
def project(server: TSC.Server) -> TSC.ProjectItem:
    return server.projects.create(TSC.ProjectItem("a project"))


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    """Bytes that a careless reader of multipart bodies would cut or change; the emulator opens no extract."""
    file = tmp_path / "extract.hyper"
    file.write_bytes(b"\r\n--\r\n" + bytes(range(256)) * 10_000 + b"\n\r\n--boundary--\r\n")
    return file


# sign-in


def test_speaks_the_version_it_says(server: TSC.Server, emulator: Emulator) -> None:
    assert server.version == "3.28"
    assert requests.get(f"{emulator.url}/api/2.4/serverinfo", timeout=5).status_code == 200
    newer = requests.get(f"{emulator.url}/api/9.0/serverinfo", timeout=5)
    assert (newer.status_code, error_code(newer)) == (404, "404003")


def test_a_wrong_secret_is_refused(emulator: Emulator) -> None:
    signed_in(emulator)
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401001"):
        signed_in(Emulator(emulator.url, emulator.token_name, emulator.token + "x"))
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401001"):
        signed_in(Emulator(emulator.url, "nobody", emulator.token))


def test_a_second_sign_in_ends_the_first_session(emulator: Emulator) -> None:
    first = signed_in(emulator)
    first.projects.get()
    second = signed_in(emulator)
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401002"):
        first.projects.get()
    second.projects.get()


def test_a_session_ends_by_sign_out_and_by_age(emulator: Emulator, home: Path) -> None:
    server = signed_in(emulator)
    url, header = f"{server.baseurl}/sites/{server.site_id}/projects", {"x-tableau-auth": server.auth_token}
    assert requests.get(url, headers=header, timeout=5).status_code == 200
    server.auth.sign_out()
    assert error_code(requests.get(url, headers=header, timeout=5)) == "401002"
    assert error_code(requests.get(url, timeout=5)) == "401000"

    server = signed_in(emulator)
    with State(home / "emulator") as state:
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
    url = f"{emulator.url}/api/3.28/serverinfo"
    assert requests.get(url, timeout=5).ok
    assert not requests.get(url, headers={"host": "evil.example"}, timeout=5).ok


def test_sets_no_cookie(server: TSC.Server) -> None:
    server.projects.get()
    assert not server.session.cookies


# projects and groups


def test_a_site_starts_with_default_and_all_users(server: TSC.Server, all_users: str) -> None:
    assert [project.name for project in TSC.Pager(server.projects)] == ["Default"]
    with refused("403004"):
        server.groups.delete(all_users)
    default = next(iter(TSC.Pager(server.projects)))
    with refused("403003"):
        server.projects.delete(default.id)
    default.name = "another"
    with refused("403005"):
        server.projects.update(default)


def test_a_new_project_is_open_to_all_users(
    server: TSC.Server, project: TSC.ProjectItem, all_users: str
) -> None:
    server.projects.populate_permissions(project)
    assert access(project) == {(all_users, READ, ALLOW), (all_users, WRITE, ALLOW)}
    for kind in ("datasource", "workbook"):
        getattr(server.projects, f"populate_{kind}_default_permissions")(project)
        rules = getattr(project, f"default_{kind}_permissions")
        assert [rule.grantee.id for rule in rules] == [all_users]
        assert rules[0].capabilities[READ] == ALLOW


def test_names_are_unique_below_one_parent_only(server: TSC.Server, project: TSC.ProjectItem) -> None:
    with refused("409006"):
        server.projects.create(TSC.ProjectItem("a project"))
    nested = server.projects.create(TSC.ProjectItem("a project", parent_id=project.id))
    assert nested.parent_id == project.id
    assert not nested.top_level_project
    other = server.projects.create(TSC.ProjectItem("other"))
    other.name = "a project"
    with refused("409006"):
        server.projects.update(other)
    with refused("404005"):
        server.projects.create(TSC.ProjectItem("lost", parent_id="nowhere"))


def test_update_changes_what_it_names(server: TSC.Server, project: TSC.ProjectItem) -> None:
    project.name, project.description = "renamed, & [all]: <it>", 'said "so"'
    project.content_permissions = TSC.ProjectItem.ContentPermissions.LockedToProject
    server.projects.update(project)
    found = next(each for each in TSC.Pager(server.projects) if each.id == project.id)
    assert (found.name, found.description) == (project.name, project.description)
    assert found.content_permissions == "LockedToProject"
    server.projects.update(TSC.ProjectItem(id=project.id, description="another"))
    found = next(each for each in TSC.Pager(server.projects) if each.id == project.id)
    assert (found.name, found.description, found.content_permissions) == (
        project.name, "another", "LockedToProject",
    )  # fmt: skip


def test_pages_filters_and_sorts(server: TSC.Server) -> None:
    names = [f"p{number:03}" for number in range(25)]
    for name in names:
        server.projects.create(TSC.ProjectItem(name))
    paged = TSC.Pager(server.projects, TSC.RequestOptions(pagesize=10))
    assert sorted(project.name for project in paged) == ["Default", *names]

    assert [project.name for project in list(server.projects.filter(name="p007"))] == ["p007"]
    assert {p.name for p in list(server.projects.filter(name__in=["p001", "p002"]))} == {"p001", "p002"}
    options = TSC.RequestOptions(pagesize=3)
    options.sort.add(TSC.Sort("name", TSC.RequestOptions.Direction.Desc))
    assert [project.name for project in server.projects.get(options)[0]] == ["p024", "p023", "p022"]

    with refused("400006"):
        server.projects.get(TSC.RequestOptions(pagenumber=4, pagesize=10))
    with refused("403014"):
        server.projects.get(TSC.RequestOptions(pagesize=1001))
    with refused("400065"):
        server.projects.get(nonsense_filter())


def nonsense_filter() -> TSC.RequestOptions:
    options = TSC.RequestOptions()
    options.filter.add(TSC.Filter("nonsense", TSC.RequestOptions.Operator.Equals, "x"))
    return options


def test_groups(server: TSC.Server, project: TSC.ProjectItem) -> None:
    group = server.groups.create(TSC.GroupItem("a group"))
    with refused("409009"):
        server.groups.create(TSC.GroupItem("a group"))
    assert [found.id for found in list(server.groups.filter(name="a group"))] == [group.id]
    server.projects.update_permissions(project, [TSC.PermissionsRule(group, {READ: ALLOW})])
    server.groups.delete(group.id)
    with refused("404012"):
        server.groups.delete(group.id)
    server.projects.populate_permissions(project)
    assert group.id not in {grantee for grantee, _, _ in access(project)}


# permissions


def test_put_adds_and_keeps_what_there_is(
    server: TSC.Server, project: TSC.ProjectItem, all_users: str
) -> None:
    group = server.groups.create(TSC.GroupItem("a group"))
    rules = [
        TSC.PermissionsRule(group, {READ: ALLOW}),
        TSC.PermissionsRule(TSC.GroupItem.as_reference(all_users), {READ: DENY}),
    ]
    server.projects.update_permissions(project, rules)
    server.projects.populate_permissions(project)
    assert access(project) == {
        (group.id, READ, ALLOW),
        (all_users, READ, ALLOW),
        (all_users, WRITE, ALLOW),
    }


def test_post_replaces(server: TSC.Server, project: TSC.ProjectItem) -> None:
    """With the namespace, as the schema has it; TSC sends none."""
    group = server.groups.create(TSC.GroupItem("a group"))
    body = (
        '<tsRequest xmlns="http://tableau.com/api"><permissions><granteeCapabilities>'
        f'<group id="{group.id}"/><capabilities><capability name="Read" mode="Allow"/></capabilities>'
        "</granteeCapabilities></permissions></tsRequest>"
    )
    server.projects.post_request(f"{server.projects.baseurl}/{project.id}/permissions", body)
    server.projects.populate_permissions(project)
    assert access(project) == {(group.id, READ, ALLOW)}


def test_delete_takes_one_capability(server: TSC.Server, project: TSC.ProjectItem, all_users: str) -> None:
    rule = TSC.PermissionsRule(TSC.GroupItem.as_reference(all_users), {WRITE: ALLOW})
    server.projects.delete_permission(project, [rule])
    server.projects.populate_permissions(project)
    assert access(project) == {(all_users, READ, ALLOW)}
    with refused("404013"):
        server.projects.delete_permission(project, [rule])


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"ProjectLeader": DENY}, "400009"),
        ({"Connect": ALLOW}, "400009"),
        ({READ: "Perhaps"}, "404013"),
        ({"Fly": ALLOW}, "404013"),
    ],
)
def test_capabilities_that_do_not_apply(
    server: TSC.Server, project: TSC.ProjectItem, all_users: str, rule: dict[str, str], code: str
) -> None:
    everybody, nobody = TSC.GroupItem.as_reference(all_users), TSC.GroupItem.as_reference("nobody")
    with refused(code):
        server.projects.update_permissions(project, [TSC.PermissionsRule(everybody, rule)])
    with refused("404012"):
        server.projects.update_permissions(project, [TSC.PermissionsRule(nobody, {READ: ALLOW})])


def test_content_of_a_locked_project_follows_it(
    server: TSC.Server, project: TSC.ProjectItem, all_users: str, extract: Path
) -> None:
    source = published(server, project, extract)
    server.datasources.update_permissions(
        source, [TSC.PermissionsRule(TSC.GroupItem.as_reference(all_users), {WRITE: ALLOW})]
    )
    server.datasources.populate_permissions(source)
    own = access(source)
    assert (all_users, WRITE, ALLOW) in own

    server.projects.update(TSC.ProjectItem(id=project.id, content_permissions="LockedToProject"))
    server.datasources.populate_permissions(source)
    assert access(source) == {(all_users, READ, ALLOW), (all_users, "Connect", ALLOW)}
    with refused("403039"):
        server.datasources.update_permissions(
            source, [TSC.PermissionsRule(TSC.GroupItem.as_reference(all_users), {"ExportXml": ALLOW})]
        )


def test_projects_in_a_locked_project_follow_it_unless_it_is_locked_without_them(
    server: TSC.Server, project: TSC.ProjectItem, all_users: str
) -> None:
    nested = server.projects.create(TSC.ProjectItem("nested", parent_id=project.id))
    rule = TSC.PermissionsRule(TSC.GroupItem.as_reference(all_users), {WRITE: ALLOW})
    server.projects.update(TSC.ProjectItem(id=project.id, content_permissions="LockedToProject"))
    with refused("403039"):
        server.projects.delete_permission(nested, [rule])
    server.projects.delete_permission(project, [rule])
    server.projects.populate_permissions(nested)
    assert access(nested) == {(all_users, READ, ALLOW)}

    server.projects.update(TSC.ProjectItem(id=project.id, content_permissions="LockedToProjectWithoutNested"))
    server.projects.delete_permission(nested, [rule])


# data sources


@pytest.mark.parametrize("limit_mb", ["64", "0"])
def test_what_is_published_can_be_downloaded(
    server: TSC.Server,
    project: TSC.ProjectItem,
    extract: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit_mb: str,
) -> None:
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", limit_mb)
    monkeypatch.setenv("TSC_CHUNK_SIZE_MB", "1")
    item = TSC.DatasourceItem(project.id, "Wachtrij: a, b & [c]")
    item.description = "said so"
    source = server.datasources.publish(item, extract, "CreateNew")
    found = server.datasources.get_by_id(source.id)
    assert (found.name, found.description, found.project_id) == (item.name, "said so", project.id)
    content = server.datasources.download(source.id, str(extract.parent / "downloaded"))
    assert Path(content).read_bytes() == extract.read_bytes()
    with State(extract.parent / "emulator") as state:
        chunks = [each for each in state.requests() if each.method == "PUT" and "/fileUploads/" in each.path]
    assert len(chunks) == (3 if limit_mb == "0" else 0)


def test_overwriting_keeps_luid_and_tags(
    server: TSC.Server, project: TSC.ProjectItem, extract: Path, tmp_path: Path
) -> None:
    source = published(server, project, extract)
    assert server.datasources.add_tags(source, {"one", "two, with blank"}) == {"one", "two, with blank"}
    with refused("403007"):
        published(server, project, extract)
    extract.write_bytes(b"other content")
    again = server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), extract, "Overwrite")
    assert again.id == source.id
    assert server.datasources.get_by_id(source.id).tags == {"one", "two, with blank"}
    server.datasources.delete_tags(source, "two, with blank")
    assert server.datasources.get_by_id(source.id).tags == {"one"}
    content = server.datasources.download(source.id, str(tmp_path / "downloaded"))
    assert Path(content).read_bytes() == b"other content"


def test_deleting_removes_the_file(
    server: TSC.Server, project: TSC.ProjectItem, extract: Path, home: Path
) -> None:
    files = home / "emulator" / "files"
    source = published(server, project, extract)
    published(server, project, extract, "other")
    assert len(list(files.iterdir())) == 2
    server.datasources.delete(source.id)
    assert len(list(files.iterdir())) == 1
    with refused("404004"):
        server.datasources.get_by_id(source.id)
    server.projects.delete(project.id)
    assert not list(files.iterdir())
    assert not list(TSC.Pager(server.datasources))


def test_publishing_nothing_or_a_spreadsheet(server: TSC.Server, project: TSC.ProjectItem) -> None:
    payload = f'<tsRequest><datasource name="x"><project id="{project.id}"/></datasource></tsRequest>'
    head = 'content-disposition: form-data; name="request_payload"\r\ncontent-type: text/xml'
    body = f"--x\r\n{head}\r\n\r\n{payload}\r\n--x--\r\n"
    for query, code in (("", "400000"), ("?uploadSessionId=gone&datasourceType=hyper", "404015"),
                        ("?uploadSessionId=gone&datasourceType=xlsx", "400010"),
                        ("?overwrite=maybe", "400008"), ("?overwrite=true&append=true", "400055")):  # fmt: skip
        with refused(code):
            server.datasources.post_request(
                server.datasources.baseurl + query, body, "multipart/mixed; boundary=x"
            )


def test_nobody_else_reads_the_files(extract: Path, home: Path) -> None:
    server = signed_in(ensure_running(home))
    published(server, server.projects.create(TSC.ProjectItem("a project")), extract)
    state = home / "emulator"
    for folder in (state, state / "files", state / "uploads", home / "secrets"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in (*(state / "files").iterdir(), state / "state.sqlite", home / "secrets" / "emulator_token"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


# the process


def test_two_starts_at_once_give_one_server(home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: ensure_running(home), range(4)))
    assert len(found) == 1
    assert ensure_running(home) in found


def test_a_restart_keeps_port_and_content(home: Path) -> None:
    first = ensure_running(home)
    made = signed_in(first).projects.create(TSC.ProjectItem("stays"))
    (home / "emulator" / "files" / "left by a crash").touch()
    assert stop(home)
    assert not stop(home)
    with pytest.raises(requests.ConnectionError):
        requests.get(first.url, timeout=5)
    assert ensure_running(home) == first
    assert made.id in {project.id for project in TSC.Pager(signed_in(first).projects)}
    assert not list((home / "emulator" / "files").iterdir())


def test_a_pid_that_is_not_ours_is_left_alone(home: Path) -> None:
    ensure_running(home)
    assert stop(home)
    record = home / "emulator" / "server.json"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        text = record.read_text()
        record.write_text(text.replace(text.split('"pid": ')[1].split(",")[0], str(other.pid)))
        assert not stop(home)
        assert other.poll() is None
        other.kill()


def test_comes_back_after_it_was_killed(home: Path) -> None:
    ensure_running(home)
    os.kill(pid(home), 9)
    assert signed_in(ensure_running(home)).version == "3.28"


def test_a_port_taken_meanwhile_is_not_fought_for(home: Path) -> None:
    first = ensure_running(home)
    stop(home)
    other = home / "other"
    (other / "emulator").mkdir(parents=True)
    (other / "emulator" / "server.json").write_text((home / "emulator" / "server.json").read_text())
    try:
        assert ensure_running(other).url == first.url
        second = ensure_running(home)
        assert second.url != first.url
        assert signed_in(second).version == "3.28"
    finally:
        stop(other)


def test_the_secret_is_on_no_command_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLMART_DSN", "a secret of another kind")
    token = ensure_running(home).token
    process = Path(f"/proc/{pid(home)}")
    command, environment = (process / "cmdline").read_text(), (process / "environ").read_text()
    assert "tableau_emulator" in command
    assert token not in command + environment
    assert "CALLMART_DSN" not in environment
    kept = (home / "emulator" / "state.sqlite").read_bytes() + (home / "emulator" / "server.log").read_bytes()
    assert token.encode() not in kept


def test_runs_in_the_foreground_unless_it_runs_already(home: Path) -> None:
    program = "import sys, pathlib; from callmart.emulator.process import serve; "
    program += "serve(pathlib.Path(sys.argv[1]), lambda emulator: print(emulator.url, flush=True))"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=paths) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == ensure_running(home).url
        with pytest.raises(UserError, match="runs already"):
            serve(home)
        assert stop(home)
        assert process.wait(10) is not None


def pid(home: Path) -> int:
    text = (home / "emulator" / "server.json").read_text()
    return int(text.split('"pid": ')[1].split(",")[0])
