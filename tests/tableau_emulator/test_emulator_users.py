"""Users and groups."""

import pytest
import tableauserverclient as TSC

from emulated import World, refused

ALLOW = TSC.Permission.Mode.Allow
READ = TSC.Permission.Capability.Read


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
    assert server.users.get_by_id(user.id).site_role == "Unlicensed"
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
    assert [each.name for each in TSC.Pager(server.users)] == ["admin"]


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
        "admin": "ServerAdministrator", "user1": "Unlicensed", "user2": "Viewer",
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
    assert group.id not in {rule.grantee.id for rule in project.permissions}
