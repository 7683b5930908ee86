"""Data sources: publishing, overwriting, appending, downloading, revisions, connections."""

import zipfile
from pathlib import Path

import pytest
import tableauserverclient as TSC

from emulated import SOURCE, World, refused

# TSC sends a setting of sites that is gone, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:FlowsEnabled")

ALLOW = TSC.Permission.Mode.Allow
READ = TSC.Permission.Capability.Read


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    """Bytes that a careless reader of multipart bodies would cut or change; the emulator opens no extract."""
    file = tmp_path / "extract.hyper"
    file.write_bytes(b"\r\n--\r\n" + bytes(range(256)) * 10_000 + b"\n\r\n--boundary--\r\n")
    return file


def published(
    server: TSC.Server, project: TSC.ProjectItem, file: Path, name: str = "calls"
) -> TSC.DatasourceItem:
    return server.datasources.publish(TSC.DatasourceItem(project.id, name), file, "CreateNew")


@pytest.mark.parametrize("limit_mb", ["64", "0"])
def test_what_is_published_can_be_downloaded(
    here: World,
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
    with here.state() as state:
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
    here: World, server: TSC.Server, project: TSC.ProjectItem, extract: Path
) -> None:
    files = here.folder / "files"
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


def test_quality_warnings(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)

    def shown() -> list[tuple[str, str | None, bool, bool]]:
        server.datasources.populate_dqw(source)
        return [(each.warning_type, each.message, each.active, each.severe) for each in source.dqws]

    assert shown() == []
    (made,) = server.datasources.add_dqw(source, TSC.DQWItem("STALE", "two days", severe=True))
    assert (made.content_id, made.content_type, made.owner_id) == (source.id, "datasource", server.user_id)
    with refused("409000"):
        server.datasources.add_dqw(source, TSC.DQWItem("STALE", "again"))
    server.datasources.add_dqw(source, TSC.DQWItem("MAINTENANCE", "tonight", active=False))
    server.datasources.update_dqw(source, TSC.DQWItem("STALE", "one day"))
    assert sorted(shown()) == [("MAINTENANCE", "tonight", False, False), ("STALE", "one day", True, False)]
    with refused("404042"):
        server.datasources.update_dqw(source, TSC.DQWItem("WARNING", "none of it"))
    with refused("400000"):
        server.datasources.add_dqw(source, TSC.DQWItem("OTHER", "no type"))

    url = f"{server.baseurl}/sites/{server.site_id}/dataQualityWarnings/{made.id}"
    body = b'<tsRequest><dataQualityWarning message="by its id"/></tsRequest>'
    assert b'message="by its id"' in server.datasources.put_request(url, body).content
    assert b'message="by its id"' in server.datasources.get_request(url).content
    here.publish(project, mode="Overwrite")
    assert len(shown()) == 2, "they stay when the data source is published again"
    server.datasources.delete_request(url)
    assert [kind for kind, *_ in shown()] == ["MAINTENANCE"]
    with refused("404042"):
        server.datasources.get_request(url)
    server.datasources.delete_dqw(source)
    assert shown() == []
    server.datasources.add_dqw(source, TSC.DQWItem("STALE", "two days"))
    server.datasources.delete(source.id)
    with here.state() as state:
        assert state.all("select 1 from quality_warning") == []
