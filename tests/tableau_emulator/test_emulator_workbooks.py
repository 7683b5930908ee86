"""Workbooks and views: publishing, pictures, rules; favorites and tags."""

import io
from pathlib import Path

import tableauserverclient as TSC

from emulated import World, custom_view, refused

ALLOW = TSC.Permission.Mode.Allow
READ = TSC.Permission.Capability.Read


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
    assert live.datasource_id not in (None, source.id)  # of the data source that is only in the workbook
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


def test_views_that_people_open_are_counted(
    here: World, server: TSC.Server, project: TSC.ProjectItem
) -> None:
    workbook = here.publish_workbook(project, here.publish(project), hidden_views=["Helper"])

    def opened() -> list[int]:
        server.workbooks.populate_views(workbook, usage=True)
        return [view.total_views for view in workbook.views]

    view = server.views.get_by_id(workbook.views[0].id)
    for show in (server.views.populate_image, server.views.populate_pdf, server.views.populate_csv):
        show(view)
    server.views.populate_preview_image(view)  # nobody looks at a report in a thumbnail
    assert view.image
    assert view.pdf
    assert list(view.csv)
    assert view.preview_image
    assert opened() == [3, 0]
    here.publish_workbook(project, here.publish(project, mode="Overwrite"), mode="Overwrite")
    assert opened() == [3, 0, 0], "people go on where they were"
    server.views.delete(view.id)
    assert opened() == [0, 0]


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
    with refused("404003"):
        server.workbooks.populate_powerpoint(workbook)
        _ = workbook.powerpoint
    for picture in (view.image, view.preview_image, workbook.preview_image):
        assert picture.startswith(b"\x89PNG")
    for document in (view.pdf, workbook.pdf):
        assert document.startswith(b"%PDF")
    assert b"".join(view.csv) == b'"Overview"\n'
    assert b"".join(view.excel).startswith(b"PK")


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


def test_tags_of_many(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    workbook = here.publish_workbook(project, source)
    server.tags.batch_add({"one", "two"}, [source, workbook])
    assert server.datasources.get_by_id(source.id).tags == {"one", "two"}
    server.tags.batch_delete("one", [source, workbook])
    assert server.workbooks.get_by_id(workbook.id).tags == {"two"}


def test_custom_views(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    """Administrators see all of them, others their own; they go with the owner and with the workbook."""
    workbook = here.publish_workbook(project, here.publish(project))
    views = []
    for name in ("ada", "bob"):
        user, chosen = here.user(name), io.BytesIO(f'{{"agent": "of {name}"}}'.encode())
        views.append(server.custom_views.publish(custom_view(workbook, user, f"view of {name}"), chosen))
    ada = here.as_user("ada")
    assert [view.name for view in TSC.Pager(server.custom_views)] == ["view of ada", "view of bob"]
    assert [view.name for view in TSC.Pager(ada.custom_views)] == ["view of ada"]
    content = io.BytesIO()
    ada.custom_views.download(views[0], content)
    assert content.getvalue() == b'{"agent": "of ada"}'
    for call in (ada.custom_views.get_by_id, ada.custom_views.delete):
        with refused("403004"):
            call(views[1].id)
    server.custom_views.delete(views[1].id)
    assert [view.id for view in TSC.Pager(server.custom_views)] == [views[0].id]
    server.workbooks.delete(workbook.id)
    assert list(TSC.Pager(server.custom_views)) == []
