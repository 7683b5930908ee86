"""Each customer's project is locked, and only the customer's recipients reach what is in it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import tableauserverclient as TSC

from broken_requests import answer, sending
from callmart.base.settings import Settings
from callmart.publish import holdings
from callmart.publish.actual import Books
from callmart.publish.applying import apply
from callmart.publish.desired import DataSource, Publication
from callmart.publish.emulator import ensure_running
from callmart.publish.planning import plan
from callmart.publish.reading import accounts
from publications import MONDAY, report, with_members
from published import (
    ALLOW,
    HOME,
    READ,
    Emptied,
    group_of,
    groups,
    held,
    held_file,
    matches,
    members,
    projects,
    publish,
    reached_by,
    read,
    sources,
    subscriptions,
    succeeded,
    uploads,
    users,
    workbooks,
)
from tableau_emulator.client import as_user
from tableau_emulator.faults import Fault, inject

USERS = f"callmart-{HOME}-users"


def test_publishes_each_customer_into_a_locked_project_of_its_own(
    server: TSC.Server, detailed: Publication, standard: Publication, extracts: dict[str, DataSource],
    tmp_path: Path,
) -> None:  # fmt: skip
    assert succeeded(publish(server, detailed, standard))
    assert matches(server, detailed, standard)
    project = projects(server)[detailed.project]
    assert project.parent_id == projects(server)["callmart"].id
    assert project.content_permissions == "LockedToProject"
    source = sources(server)[detailed.project, "Medewerkers"]
    content = server.datasources.download(source.id, str(tmp_path / "downloaded"))
    assert held(content) == held_file(extracts["agents"])


def test_the_customers_group_may_look_and_nothing_else(server: TSC.Server, standard: Publication) -> None:
    publish(server, standard)
    group = groups(server)[group_of(7)]
    project, source = projects(server)[standard.project], next(iter(sources(server).values()))
    server.projects.populate_permissions(project)
    server.datasources.populate_permissions(source)
    assert [(rule.grantee.id, rule.capabilities) for rule in project.permissions] == [(group, {READ: ALLOW})]
    (rule,) = source.permissions
    assert rule.grantee.id == group
    assert {name for name, mode in rule.capabilities.items() if mode == ALLOW} == {READ, "Connect"}
    assert {"ExportXml", "Write"} <= {name for name, mode in rule.capabilities.items() if mode != ALLOW}


def test_data_are_exported_only_where_that_is_ordered(server: TSC.Server, standard: Publication) -> None:
    for publication in (standard, replace(standard, exports=True), standard):
        assert succeeded(publish(server, publication))
        assert matches(server, publication)
        project = projects(server)[standard.project]
        server.projects.populate_workbook_default_permissions(project)
        (rule,) = project.default_workbook_permissions
        assert (rule.capabilities["ExportData"] == ALLOW) == publication.exports
        assert rule.capabilities["ViewUnderlyingData"] != ALLOW


def test_all_users_are_removed(server: TSC.Server, standard: Publication) -> None:
    server.projects.create(TSC.ProjectItem("not ours"))
    assert reached_by(server, "not ours") == {"All Users"}  # or there would be nothing to remove
    publish(server, standard)
    assert reached_by(server, standard.project) == {group_of(7)}
    assert reached_by(server, "callmart") == set()
    assert reached_by(server, "not ours") == {"All Users"}


@pytest.mark.parametrize("status", [409, 404])
def test_all_users_are_removed_for_every_kind_of_content_or_nothing_is_published(
    emptied: Emptied, standard: Publication, status: int
) -> None:
    _, state, server = emptied
    inject(state, Fault("status", status=status, method="DELETE", path="/default-permissions/metrics/"))
    (outcome,) = publish(server, standard)
    assert outcome.error is not None
    assert sources(server) == {}
    assert succeeded(publish(server, standard))
    project = projects(server)[standard.project]
    server.projects.populate_metric_default_permissions(project)
    assert project.default_metric_permissions == []


def test_a_grant_that_was_added_is_taken_back(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    publish(server, detailed, standard)
    project, endpoint = projects(server)[standard.project], server.projects
    rule = TSC.PermissionsRule(TSC.GroupItem.as_reference(groups(server)[group_of(1042)]), {READ: ALLOW})
    for grant in (
        endpoint.update_permissions,
        endpoint.update_datasource_default_permissions,
        endpoint.update_workbook_default_permissions,
    ):
        grant(project, [rule])
        assert reached_by(server, standard.project) == {group_of(7), group_of(1042)}
        changes = plan((detailed, standard), read(server))
        assert [(step.customer_id, step.kind) for step in changes.steps] == [(7, "permissions")]
        assert succeeded(apply(server, changes))
        assert matches(server, detailed, standard)


def test_a_project_that_was_unlocked_is_locked_again(server: TSC.Server, standard: Publication) -> None:
    publish(server, standard)
    project = projects(server)[standard.project]
    server.projects.update(TSC.ProjectItem(id=project.id, content_permissions="ManagedByOwner"))
    assert succeeded(publish(server, standard))
    assert projects(server)[standard.project].content_permissions == "LockedToProject"


def test_a_recipient_sees_the_customers_workbooks_and_no_others(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication,
    extracts: dict[str, DataSource],
) -> None:  # fmt: skip
    other = replace(
        with_members(standard, "winkel@example.com"), workbooks=(report("traffic", extracts["queues"]),)
    )
    assert succeeded(publish(server, detailed, other))
    assert matches(server, detailed, other)
    assert users(server) == {"chef@example.org": "Viewer", "winkel@example.com": "Viewer"}
    chef = as_user(ensure_running(settings), settings.home / "emulator", "chef@example.org")
    assert set(workbooks(chef)) == {(detailed.project, "Drukte"), (detailed.project, "Medewerkers")}
    (workbook,) = (each for key, each in workbooks(chef).items() if key[1] == "Drukte")
    chef.workbooks.populate_views(workbook)
    assert [view.name for view in workbook.views] == ["Drukte"], "the dashboard, not its sheets"
    with pytest.raises(TSC.ServerResponseError):
        chef.workbooks.download(workbook.id)
    assert [user.name for user in TSC.Pager(chef.users)] == ["chef@example.org"]
    assert {project.name for project in TSC.Pager(chef.projects)} == {"Default", detailed.project}


def test_an_address_in_another_case_is_the_same_user(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    both = (detailed, with_members(standard, "Chef@Example.org"))
    assert succeeded(publish(server, *both))
    assert users(server) == {"Chef@Example.org": "Viewer"}, "as customer 7 writes it, who came first"
    assert members(server, group_of(1042)) == {"Chef@Example.org"}
    assert plan(both, read(server)).steps == ()


def test_who_left_is_taken_from_group_and_site(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    server.users.add(TSC.UserItem("adviseur@example.net", "Explorer"))  # was there before
    publish(
        server, with_members(detailed, "a@example.org", "b@example.org", "adviseur@example.net"), standard
    )
    less = with_members(detailed, "b@example.org")
    assert [str(step) for step in plan((less, standard), read(server)).steps] == [
        "- user 'a…@example.org'",
        "- member 'a…@example.net'",
    ]
    assert succeeded(publish(server, less, standard))
    assert matches(server, less, standard)
    assert users(server) == {"adviseur@example.net": "Explorer", "b@example.org": "Viewer"}
    moved = (with_members(detailed), with_members(standard, "b@example.org"))
    assert succeeded(publish(server, *moved))
    assert matches(server, *moved)


def test_a_user_whose_addition_broke_off_is_ours_all_the_same(
    emptied: Emptied, detailed: Publication
) -> None:
    _, state, server = emptied
    inject(state, Fault("status", method="POST", path="/groups/[^/]+/users$"))
    (outcome,) = publish(server, detailed)
    assert outcome.error is not None
    assert succeeded(publish(server, detailed))
    assert plan((detailed,), read(server)).steps == ()
    assert succeeded(publish(server, with_members(detailed)))
    assert users(server) == {}


@pytest.mark.parametrize("role", ["Viewer", "Explorer"])
def test_who_was_added_since_the_site_was_read_is_taken_as_there(
    emptied: Emptied, detailed: Publication, standard: Publication, role: str
) -> None:
    """An account that may be left from a run of ours is ours; any other one stays as it is."""
    server = emptied.server
    both = (detailed, with_members(standard, *detailed.members))
    changes = plan(both, read(server))
    server.users.add(TSC.UserItem("Chef@example.org", role))
    outcomes = apply(server, changes)
    assert [(one.error, one.alert, one.mails_all) for one in outcomes] == [(None, None, True)] * 2
    for each in both:
        assert members(server, group_of(each.customer_id)) == {"Chef@example.org"}
    assert members(server, USERS) == ({"Chef@example.org"} if role == "Viewer" else set())
    assert plan(both, read(server)).steps == ()
    assert succeeded(publish(server, standard))
    assert users(server) == ({} if role == "Viewer" else {"Chef@example.org": role})


def test_who_was_put_into_the_groups_since_the_site_was_read_is_taken_as_there(
    emptied: Emptied, detailed: Publication
) -> None:
    server = emptied.server
    assert succeeded(publish(server, with_members(detailed, "a@example.org")))
    chef = server.users.add(TSC.UserItem("chef@example.org", "Viewer"))
    changes = plan((detailed,), read(server))
    for group in (group_of(1042), USERS):
        server.groups.add_user(TSC.GroupItem.as_reference(groups(server)[group]), chef.id)
    assert succeeded(apply(server, changes))
    assert matches(server, detailed)
    assert members(server, USERS) == {"chef@example.org"}


def test_accounts_are_ours_by_our_books_after_their_group_was_removed(
    emptied: Emptied, detailed: Publication
) -> None:
    _, state, server = emptied
    ours = with_members(detailed, "a@example.org", "b@example.org", "adviseur@example.net")
    server.users.add(TSC.UserItem("adviseur@example.net", "Explorer"))  # was there before
    assert succeeded(publish(server, ours))
    books = noting(server, Books(HOME))
    server.groups.delete(groups(server)[USERS])
    assert noting(server, books) == books
    one = next(user for user in TSC.Pager(server.users) if user.name == "b@example.org")
    one.site_role = "Creator"  # so that nobody would take it for one whose addition broke off
    server.users.update(one)
    less = with_members(detailed, "b@example.org")
    inject(state, Fault("status", method="POST", path="/groups/[^/]+/users$", skip=1))
    publish(server, less, books=books)
    assert len(members(server, USERS)) < 2, "the second could not be added"
    books = noting(server, books)
    assert one.id in books.accounts, "it is not forgotten"
    assert succeeded(publish(server, less, books=books))
    assert users(server) == {"adviseur@example.net": "Explorer", "b@example.org": "Viewer"}
    assert members(server, USERS) == {"b@example.org"}
    assert plan((less,), read(server, books)).steps == ()
    assert len(noting(server, books).accounts) == 1


def noting(server: TSC.Server, books: Books) -> Books:
    """The books after a publication."""
    return replace(books, accounts=accounts(server, HOME, books.accounts))


def test_as_long_as_their_group_is_there_only_its_members_are_ours(
    server: TSC.Server, detailed: Publication
) -> None:
    """Whoever was taken out of it stays, and so does whom only the books of another home name."""
    publish(server, detailed)
    books = noting(server, Books(HOME))
    others = replace(books, installation="ba9876543210")
    changes = plan((), read(server, others))
    assert [step.kind for step in changes.steps if step.name.startswith("chef")] == []
    group = next(each for each in TSC.Pager(server.groups) if each.name == USERS)
    (luid,) = books.accounts
    server.groups.remove_user(group, luid)
    assert succeeded(publish(server, books=books))
    assert users(server) == {"chef@example.org": "Viewer"}


def test_who_was_let_in_by_hand_is_put_out_and_a_role_taken_back(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    publish(server, detailed, standard)
    by_name = {user.name: user for user in TSC.Pager(server.users)}
    group = next(each for each in TSC.Pager(server.groups) if each.name == group_of(7))
    server.groups.add_user(group, by_name["chef@example.org"].id)
    by_name["chef@example.org"].site_role = "Creator"
    server.users.update(by_name["chef@example.org"])
    assert succeeded(publish(server, detailed, standard))
    assert matches(server, detailed, standard)
    assert users(server) == {"chef@example.org": "Viewer"}


def test_a_site_administrator_sets_roles(
    server: TSC.Server, settings: Settings, detailed: Publication
) -> None:
    """Of a user, such an administrator may change the role, and not the name."""
    server.users.add(TSC.UserItem("callmart", "SiteAdministratorCreator"))
    administrator = as_user(ensure_running(settings), settings.home / "emulator", "callmart")
    assert succeeded(publish(administrator, detailed))
    chef = next(user for user in TSC.Pager(server.users) if user.name == "chef@example.org")
    chef.site_role = "Explorer"
    server.users.update(chef)
    assert succeeded(publish(administrator, detailed))
    assert users(server)["chef@example.org"] == "Viewer"
    source = next(iter(sources(server).values()))
    source.owner_id = chef.id
    server.datasources.update(source)
    assert succeeded(publish(administrator, with_members(detailed)))
    assert users(server)["chef@example.org"] == "Unlicensed"
    assert members(server, group_of(1042)) == set()


def test_no_address_is_told_in_full(server: TSC.Server, detailed: Publication) -> None:
    changes = plan((detailed,), read(server))
    assert "chef@" not in "".join([*changes.lines(), json.dumps(changes.as_json())])
    assert {
        "customer_id": 1042,
        "action": "add",
        "kind": "user",
        "name": "c…@example.org",
    } in changes.as_json()["steps"]


def test_what_others_can_reach_is_a_failure(
    server: TSC.Server, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that grants more than it was told, once the data is there; nothing of it is mailed."""
    detailed = replace(detailed, mails=(MONDAY,))
    everybody = TSC.GroupItem.as_reference(groups(server)["All Users"])
    publish_one = type(server.datasources).publish

    def leaky(self: Any, item: TSC.DatasourceItem, *args: Any, **options: Any) -> Any:
        published = publish_one(self, item, *args, **options)
        if item.name == "Medewerkers":
            project = TSC.ProjectItem(id=item.project_id)
            rule = TSC.PermissionsRule(everybody, {READ: ALLOW})
            server.projects.update_datasource_default_permissions(project, [rule])
        return published

    with monkeypatch.context() as patch:
        patch.setattr(type(server.datasources), "publish", leaky)
        first, second = publish(server, standard, detailed)
    assert first.error is None
    assert second.error is not None
    assert "reached by others" in second.error
    assert [each.suspended for each in subscriptions(server)] == [True]


def test_permissions_that_do_not_take_keep_the_data_here(
    server: TSC.Server, settings: Settings, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        return answer(204) if request.method == "DELETE" and "permissions" in (request.url or "") else send()

    publish(server)
    with sending(monkeypatch, instead):
        (outcome,) = publish(server, standard)
    assert outcome.error is not None
    assert uploads(settings) == 0
    assert succeeded(publish(server, standard))
    assert uploads(settings) == 1


@pytest.mark.parametrize(
    ("status", "sub_code", "is_absent"),
    [
        (404, "003", True),  # no such resource
        (403, "157", True),  # the feature is disabled
        (404, "005", False),
        (404, "000", False),
        (400, "000", False),
        (405, "000", False),
    ],
)
def test_only_a_kind_that_tableau_does_not_have_is_left_open(
    emptied: Emptied, detailed: Publication, status: int, sub_code: str, is_absent: bool
) -> None:
    """Whatever else Tableau answers, a project that may be open to all is not published to."""
    flows = Fault("status", path="/default-permissions/flows$", status=status, sub_code=sub_code, count=None)
    inject(emptied.state, flows)
    (outcome,) = publish(emptied.server, detailed)
    assert (outcome.error is None) is is_absent
    assert bool(sources(emptied.server)) is is_absent
    lists = Fault("status", path="/flows$", status=status, sub_code=sub_code, count=None)
    inject(emptied.state, lists)
    if is_absent:
        assert list(holdings.held(emptied.server, {})) != []
    else:
        with pytest.raises(TSC.ServerResponseError):
            list(holdings.held(emptied.server, {}))
