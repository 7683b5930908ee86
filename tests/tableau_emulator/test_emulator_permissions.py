"""Projects, and the rules of permission that hang on them and on their content."""

import pytest
import tableauserverclient as TSC

from emulated import World, refused

ALLOW = TSC.Permission.Mode.Allow
DENY = TSC.Permission.Mode.Deny
READ = TSC.Permission.Capability.Read
WRITE = TSC.Permission.Capability.Write


def access(item: TSC.ProjectItem | TSC.DatasourceItem) -> set[tuple[str, str, str]]:
    return {
        (rule.grantee.id, name, mode) for rule in item.permissions for name, mode in rule.capabilities.items()
    }


# projects


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


# rules


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


# locked projects


def test_content_of_a_locked_project_follows_it(
    here: World, server: TSC.Server, project: TSC.ProjectItem, all_users: str
) -> None:
    source = here.publish(project)
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
