"""What the emulator lets a user do: only what Tableau's rules give the user, through every call."""

import re
from collections.abc import Callable
from datetime import time
from itertools import product

import pytest
import requests
import tableauserverclient as TSC

from emulated import World, refused
from emulated_shop import GRAB, Shop, bodies, changes, filled, furnish, paths_of
from tableau_emulator.app import IDENTITY_PATH, RESOURCES
from tableau_emulator.state import new_luid

# TSC sends a setting of sites that is gone, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:FlowsEnabled")

ALLOW, DENY = TSC.Permission.Mode.Allow, TSC.Permission.Mode.Deny
LOCKED = TSC.ProjectItem.ContentPermissions.LockedToProject
EVERYTHING = {
    "Read", "Connect", "ExportXml", "Write", "Delete", "ChangePermissions", "ExtractRefresh", "ExportImage",
    "ExportData",
}  # fmt: skip


ANYBODYS = {"site", "schedule", "kind", "kinds", "grantees", "capability", "mode", "revision"}


def private_of(theirs: dict[str, str]) -> set[str]:
    """What tells of a customer."""
    return {theirs[key] for key in theirs.keys() - ANYBODYS} | {"theirs"}


def held(shop: Shop, private: set[str]) -> list[str]:
    """All rows of the emulator's state with something private in them."""
    with shop.state() as state:
        tables = state.all("select name from sqlite_master where type = 'table' and name <> 'request'")
        rows = [str(tuple(row)) for each in tables for row in state.all(f"select * from {each['name']}")]
        return [row for row in rows if any(each in row for each in private)]


def test_no_call_shows_or_deletes_anything_of_another_customer(shop: Shop) -> None:
    """Every GET and every DELETE that there is: with what is ours, and with guessed LUIDs of what is theirs."""
    furnish(shop)
    ours, theirs = paths_of(shop, "ours"), paths_of(shop, "theirs")
    private = private_of(theirs)
    server, before, answered = shop.as_user("user of ours"), held(shop, private), 0
    header = {"x-tableau-auth": server.auth_token}
    attempts = [
        (method, endpoint, stolen)
        for method in ("GET", "DELETE")
        for endpoint in (each for module in RESOURCES for each in module.ENDPOINTS if each.method == method)
        for stolen in {"", *re.findall(r"{(\w+)", endpoint.path)} - ANYBODYS
        if stolen or method == "GET"  # what is ours is only looked at
    ]
    with requests.Session() as session:
        for method, endpoint, stolen in attempts:
            names = ours | ({stolen: theirs[stolen]} if stolen else {})
            url = f"{server.server_address}/api/3.29{filled(endpoint.path, names)}"
            answer = session.request(method, url, headers=header, timeout=5)
            said = answer.text.replace(names[stolen], "") if stolen else answer.text
            assert not [each for each in private if each in said], (endpoint, stolen, answer.text)
            assert not stolen or answer.status_code in (403, 404), (endpoint, stolen, answer.text)
            answered += answer.ok
    assert answered > 20  # what is ours is there
    assert held(shop, private) == before
    assert before


def grab(shop: Shop, server: TSC.Server) -> None:
    """Every POST and PUT that there is, with all that a request can name of what is theirs."""
    ours, theirs = paths_of(shop, "ours"), paths_of(shop, "theirs")
    asked = GRAB.format(**theirs, me=server.user_id)
    with requests.Session() as session:
        session.headers["x-tableau-auth"] = str(server.auth_token)
        for (method, path), (kind, body) in product(
            (*changes(theirs), *changes(ours)), bodies("application/xml", asked)
        ):
            answer = session.request(
                method, f"{server.server_address}/api/3.29{path}", data=body, headers={"content-type": kind},
                params={"overwrite": "true", "uploadSessionId": theirs["upload"]}, timeout=5,
            )  # fmt: skip
            assert answer.status_code < 500, (method, path, answer.text)


def test_no_call_changes_anything_of_another_customer(shop: Shop) -> None:
    furnish(shop)
    private = private_of(paths_of(shop, "theirs"))
    before = held(shop, private)
    grab(shop, shop.as_user("user of ours"))
    assert held(shop, private) == before
    grab(shop, shop.server)
    assert held(shop, private) != before  # there is something to grab


def test_no_filter_tells_what_is_hidden(shop: Shop) -> None:
    furnish(shop)
    server = shop.as_user("user of ours")

    def found(kind: str, asked: str) -> int:
        answer = server.users.get_request(f"{server.baseurl}/sites/{server.site_id}/{kind}?filter={asked}")
        return int(re.findall(rb'totalAvailable="(\d+)"', answer.content)[0])

    content = ("datasources", "workbooks", "views")
    for kind in ("projects", *content):
        assert found(kind, "name:has:o")
        assert not found(kind, "name:has:theirs") and not found(kind, "ownerName:has:admin")
    # Nobody is counted.
    assert found("groups", "userCount:eq:0") == 2 and not found("groups", "userCount:gt:0")
    assert all(found(kind, "projectName:eq:ours") for kind in content)
    rule = TSC.PermissionsRule(shop.groups["ours"], {"Read": ALLOW})
    shop.server.projects.delete_permission(shop.projects["ours"], [rule])
    assert not any(found(kind, "projectName:eq:ours") for kind in content)


def test_an_administrator_of_a_site_is_none_of_the_server(shop: Shop) -> None:
    other = shop.server.sites.create(TSC.SiteItem("Other", "other"))
    shop.user("of the site", "SiteAdministratorCreator")
    server, users = shop.as_user("of the site"), {each.name: each for each in TSC.Pager(shop.server.users)}
    boss, oneself = users["admin"], users["of the site"]

    def change(path: str, what: str) -> None:
        server.users.put_request(f"{server.baseurl}/sites/{path}", f"<tsRequest>{what}</tsRequest>")

    for call in (
        lambda: change(f"{server.site_id}/users/{oneself.id}", '<user siteRole="ServerAdministrator"/>'),
        lambda: change(f"{server.site_id}/users/{boss.id}", '<user siteRole="Viewer"/>'),
        lambda: change(f"{server.site_id}/users/{boss.id}", '<user password="known"/>'),
        lambda: change(other.id, '<site name="Mine"/>'),
        lambda: server.users.add(TSC.UserItem("another", "ServerAdministrator")),
        lambda: server.users.remove(boss.id, map_assets_to=oneself.id),
        lambda: server.sites.create(TSC.SiteItem("Mine", "mine")),
        lambda: server.schedules.create(
            TSC.ScheduleItem("x", 50, "Extract", "Serial", TSC.DailyInterval(time(3)))
        ),
        server.auth.revoke_all_server_admin_tokens,
    ):
        with refused("403004"):
            call()


def test_what_is_of_the_whole_server_in_an_account(shop: Shop) -> None:
    """Its name only a server administrator changes; address and password whoever administers all sites of the user."""
    other = shop.server.sites.create(TSC.SiteItem("Other", "other"))
    shop.user("of the site", "SiteAdministratorCreator")
    server, reader = shop.as_user("of the site"), shop.user("reader", "Viewer")

    def change(what: str) -> None:
        request = f"<tsRequest><user {what}/></tsRequest>"
        server.users.put_request(f"{server.users.baseurl}/{reader.id}", request)

    with refused("403009"):
        change('siteRole="Explorer" fullName="reader"')
    change('email="reader@example.org" password="fine"')
    with shop.state() as state, state.transaction():
        state.add_user(new_luid(), other.id, "reader", "Viewer")
    for what in ('email="of-both@example.org"', 'password="of both"'):
        with refused("403009"):
            change(what)
    change('siteRole="Explorer"')
    with shop.state() as state, state.transaction():
        state.add_user(new_luid(), other.id, "of the site", "SiteAdministratorExplorer")
    change('email="of-both@example.org" password="of both"')
    found = shop.server.users.get_by_id(reader.id)
    assert (found.site_role, found.email) == ("Explorer", "of-both@example.org")
    with shop.state() as state:
        assert state.user("reader", "other")["email"] == "of-both@example.org"


def test_what_is_for_the_owner_and_for_leaders(shop: Shop) -> None:
    furnish(shop)
    server, stranger = shop.as_user("user of ours"), shop.as_user("user of theirs")
    source, workbook = shop.sources["ours"], shop.workbooks["ours"]
    user = shop.server.users.get_by_id(server.user_id)
    task = shop.server.tasks.get()[0][0]

    def revisions() -> None:
        server.workbooks.populate_revisions(workbook)
        assert workbook.revisions

    for call, code in (
        (revisions, "403056"),
        (lambda: server.datasources.download_revision(source.id, "1"), "403054"),
        (lambda: server.tasks.run(task), "403032"),
        (lambda: server.tasks.delete(task.id), "403032"),
        (lambda: server.jobs.cancel(shop.server.jobs.get()[0][0].id), "404018"),
        (lambda: stranger.favorites.get(user), "403004"),
        (lambda: stranger.favorites.add_favorite_workbook(user, shop.workbooks["theirs"]), "403004"),
        (lambda: server.favorites.add_favorite_workbook(user, shop.workbooks["theirs"]), "403018"),
        (lambda: server.views.delete(paths_of(shop, "ours")["view"]), "403004"),
        (lambda: stranger.fileuploads.append(paths_of(shop, "ours")["upload"], b"", "multipart/mixed; boundary=x"),
         "404015"),
    ):  # fmt: skip
        with refused(code):
            call()
    shop.user("viewer", "Viewer")
    with refused("403015"):
        shop.as_user("viewer").fileuploads.initiate()
    shop.grant("ours", "workbook", shop.groups["ours"], Write=ALLOW)
    revisions()
    shop.grant("ours", "workbook", shop.groups["ours"], ExtractRefresh=ALLOW)
    job = server.workbooks.refresh(workbook)
    with refused("403032"):
        server.jobs.cancel(job)


def test_every_call_needs_a_session(here: World) -> None:
    emulator = here.emulator
    with requests.Session() as session:
        assert emulator.token not in session.get(emulator.url + IDENTITY_PATH, timeout=5).text
        for endpoint in (each for module in RESOURCES for each in module.ENDPOINTS):
            url = f"{emulator.url}/api/3.29{re.sub('{.*?}', 'x', endpoint.path)}"
            for headers in ({}, {"x-tableau-auth": "x"}):
                status = session.request(endpoint.method, url, headers=headers, timeout=5).status_code
                assert (status == 401) is not endpoint.public, url


def test_lists_hold_what_the_user_may_read(shop: Shop) -> None:
    server = shop.customer()
    assert [each.name for each in TSC.Pager(server.projects)] == ["Default", "ours"]
    assert [each.name for each in TSC.Pager(server.datasources)] == ["calls of ours"]
    assert [each.name for each in TSC.Pager(server.workbooks)] == ["report of ours"]
    assert {each.workbook_id for each in TSC.Pager(server.views)} == {shop.workbooks["ours"].id}
    assert len(list(TSC.Pager(shop.server.views))) == 6  # the administrator has them all
    found = list(server.datasources.filter(project_name="theirs"))
    assert not found
    shop.grant("theirs", "datasource", shop.groups["ours"], Read=ALLOW)
    names = {each.name: each.project_name for each in TSC.Pager(server.datasources)}
    assert names == {"calls of ours": "ours", "calls of theirs": None}  # what it is in stays unnamed


def view_of(shop: Shop, name: str) -> str:
    """The URL of a view of a workbook."""
    views = TSC.Pager(shop.server.views)
    luid = next(each.id for each in views if each.workbook_id == shop.workbooks[name].id)
    return f"{shop.server.views.baseurl}/{luid}"


REACHES: dict[str, Callable[[TSC.Server, Shop, str], object]] = {
    "source": lambda server, shop, name: server.datasources.get_by_id(shop.sources[name].id),
    "connections": lambda server, shop, name: (
        server.datasources.populate_connections(shop.sources[name]), shop.sources[name].connections,
    ),
    "workbook": lambda server, shop, name: server.workbooks.get_by_id(shop.workbooks[name].id),
    "views": lambda server, shop, name: (
        server.workbooks.populate_views(shop.workbooks[name]), shop.workbooks[name].views,
    ),
    "view": lambda server, shop, name: server.views.get_request(view_of(shop, name)),
    "image": lambda server, shop, name: server.views.get_request(f"{view_of(shop, name)}/previewImage"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("reach", "code"),
    [
        ("source", "403004"), ("connections", "403021"), ("workbook", "403018"), ("views", "403018"),
        ("view", "403004"), ("image", "403004"),
    ],
)  # fmt: skip
def test_reading_is_for_readers(shop: Shop, reach: str, code: str) -> None:
    server = shop.customer()
    REACHES[reach](server, shop, "ours")
    with refused(code):
        REACHES[reach](server, shop, "theirs")


REFUSALS = {
    "download": "403028", "download workbook": "403019", "update": "403032", "refresh": "403032", "data": "403032",
    "publish": "403007",
}  # fmt: skip
NEEDS: dict[str, tuple[str, str, Callable[[TSC.Server, Shop], object]]] = {
    "download": ("datasource", "ExportXml", lambda server, shop: server.datasources.download(
        shop.sources["ours"].id, str(shop.folder.parent / "got"))),
    "download workbook": ("workbook", "ExportXml", lambda server, shop: server.workbooks.download(
        shop.workbooks["ours"].id, str(shop.folder.parent / "got"))),
    "update": ("datasource", "Write", lambda server, shop: server.datasources.update(shop.sources["ours"])),
    "delete": ("workbook", "Delete", lambda server, shop: server.workbooks.delete(shop.workbooks["ours"].id)),
    "refresh": ("datasource", "ExtractRefresh", lambda server, shop: server.datasources.refresh(shop.sources["ours"])),
    "permissions": ("datasource", "ChangePermissions", lambda server, shop: (
        server.datasources.populate_permissions(shop.sources["ours"]), shop.sources["ours"].permissions)),
    "pdf": ("workbook", "ExportImage", lambda server, shop: (
        server.workbooks.populate_pdf(shop.workbooks["ours"]), shop.workbooks["ours"].pdf)),
    "data": ("workbook", "ExportData", lambda server, shop: server.views.get_request(f"{view_of(shop, 'ours')}/data")),
    "publish": ("project", "Write", lambda server, shop: server.datasources.publish(
        TSC.DatasourceItem(shop.projects["ours"].id, "new"), shop.folder.parent / "source.tdsx", "CreateNew")),
}  # fmt: skip


@pytest.mark.parametrize("need", NEEDS)
def test_each_call_needs_its_capability(shop: Shop, need: str) -> None:
    scope, capability, call = NEEDS[need]
    server = shop.customer(role="Creator")
    if need in ("pdf", "data"):
        shop.grant("ours", "datasource", shop.groups["ours"], Connect=ALLOW)
    with refused(REFUSALS.get(need, "403004")):
        call(server, shop)
    shop.grant("ours", scope, shop.groups["ours"], **{capability: ALLOW})
    call(server, shop)


def test_deny_wins_and_the_user_comes_before_the_group(shop: Shop) -> None:
    server = shop.customer()
    shop.grant("ours", "datasource", shop.everybody, Read=DENY)
    assert not list(TSC.Pager(server.datasources))
    user = next(each for each in TSC.Pager(shop.server.users) if each.name == "reader")
    shop.grant("ours", "datasource", user, Read=ALLOW)
    assert [each.name for each in TSC.Pager(server.datasources)] == ["calls of ours"]


def test_a_site_role_is_the_most(shop: Shop) -> None:
    server = shop.customer()
    shop.grant("ours", "datasource", shop.groups["ours"], ExportXml=ALLOW, Write=ALLOW)
    shop.grant("ours", "project", shop.groups["ours"], ProjectLeader=ALLOW)
    for need in ("download", "update", "publish"):
        with refused(REFUSALS[need]):
            NEEDS[need][2](server, shop)
    user = next(each for each in TSC.Pager(shop.server.users) if each.name == "reader")
    user.site_role = "Explorer"
    shop.server.users.update(user)
    NEEDS["download"][2](server, shop)
    user.site_role = "Unlicensed"
    shop.server.users.update(user)
    with pytest.raises(TSC.FailedSignInError):
        server.projects.get()


def test_the_owner_and_the_leader_may_everything(shop: Shop) -> None:
    server = shop.customer("owner", "Creator")
    with refused("403004"):
        NEEDS["delete"][2](server, shop)
    workbook = shop.workbooks["ours"]
    workbook.owner_id = server.user_id
    shop.server.workbooks.update(workbook)
    NEEDS["delete"][2](server, shop)
    with refused("403004"):
        NEEDS["permissions"][2](server, shop)
    shop.grant("ours", "project", shop.groups["ours"], ProjectLeader=ALLOW)
    NEEDS["permissions"][2](server, shop)
    nested = server.projects.create(TSC.ProjectItem("nested", parent_id=shop.projects["ours"].id))
    server.projects.delete(nested.id)


def test_administration_is_for_administrators(shop: Shop) -> None:
    server = shop.customer(role="Creator")
    interval = TSC.DailyInterval(time(7))
    calls: tuple[Callable[[], object], ...] = (
        lambda: server.projects.create(TSC.ProjectItem("mine")),
        lambda: server.projects.update(shop.projects["ours"]),
        lambda: server.projects.delete(shop.projects["ours"].id),
        lambda: server.projects.update_permissions(
            shop.projects["theirs"], [TSC.PermissionsRule(shop.groups["ours"], {"Read": ALLOW})]
        ),
        lambda: server.projects.update_datasource_default_permissions(
            shop.projects["theirs"], [TSC.PermissionsRule(shop.groups["ours"], {"Read": ALLOW})]
        ),
        lambda: server.groups.create(TSC.GroupItem("mine")),
        lambda: server.groups.add_user(shop.groups["theirs"], server.user_id),
        lambda: server.groups.delete(shop.groups["theirs"].id),
        lambda: server.users.add(TSC.UserItem("mine", "Viewer")),
        lambda: server.users.remove(server.user_id),
        lambda: server.schedules.create(TSC.ScheduleItem("mine", 50, "Subscription", "Parallel", interval)),
        lambda: server.sites.update(TSC.SiteItem("mine", "mine", user_quota=None)),
        lambda: server.datasources.publish(
            TSC.DatasourceItem(shop.projects["theirs"].id, "new"),
            shop.folder.parent / "source.tdsx",
            "CreateNew",
        ),
    )
    for call in calls:
        with pytest.raises((TSC.ServerResponseError, TSC.MissingRequiredFieldError)):
            call()


def test_who_sees_whom(shop: Shop) -> None:
    server = shop.customer()
    assert {each.name for each in TSC.Pager(server.users)} == {"admin", "reader"}
    site = shop.server.sites.get_by_id(shop.server.site_id)
    site.user_visibility_mode = "LIMITED"
    shop.server.sites.update(site)
    assert {each.name for each in TSC.Pager(server.users)} == {"reader"}
    assert {each.name for each in TSC.Pager(server.groups)} == {"All Users", "group of ours"}
    with refused("403133"):
        server.users.get_by_id(shop.server.user_id)
    group = shop.groups["theirs"]
    with refused("404012"):
        server.groups.populate_users(group)
        list(group.users)
    everything = TSC.RequestOptions()
    everything.all_fields = True
    for by, owner in ((server, None), (shop.server, "admin")):
        assert {each.owner.name for each in by.workbooks.get(everything)[0]} == {owner}
        assert bool(list(by.workbooks.filter(owner_name__has="dmi"))) is (owner is not None)
    ours = shop.groups["ours"]
    server.groups.populate_users(ours)
    assert [each.name for each in ours.users] == ["reader"]
    assert {each.name for each in TSC.Pager(shop.server.users)} == {"admin", "reader"}


def test_subscriptions_are_of_who_may_read(shop: Shop) -> None:
    weekly = TSC.WeeklyInterval(time(7), "Monday")
    schedule = shop.server.schedules.create(
        TSC.ScheduleItem("weekly", 50, "Subscription", "Parallel", weekly)
    )
    server, other = shop.customer(), shop.user("other", "Viewer")
    with shop.state() as state:
        state.update("user", server.user_id, email="reader@example.org")

    def subscribed(by: TSC.Server, user: str, name: str) -> TSC.SubscriptionItem:
        target = TSC.Target(shop.workbooks[name].id, "Workbook")
        return by.subscriptions.create(TSC.SubscriptionItem("Your week", schedule.id, user, target))

    own = subscribed(server, server.user_id, "ours")
    subscribed(shop.server, server.user_id, "ours")
    for by, user, name, code in (
        (server, server.user_id, "theirs", "403060"),  # of what it may not see
        (server, other.id, "ours", "403060"),  # of somebody else
        (shop.server, other.id, "ours", "403063"),  # who may not see it
    ):
        with refused(code):
            subscribed(by, user, name)
    assert len(list(TSC.Pager(server.subscriptions))) == 2
    stranger = shop.as_user("other")
    assert not list(TSC.Pager(stranger.subscriptions))
    with refused("403059"):
        stranger.subscriptions.delete(own.id)
    server.subscriptions.delete(own.id)


def test_jobs_are_of_who_started_them(shop: Shop) -> None:
    job = shop.server.datasources.refresh(shop.sources["ours"])
    server = shop.customer()
    assert not list(TSC.Pager(server.jobs))
    with refused("404018"):
        server.jobs.get_by_id(job.id)
    assert len(list(TSC.Pager(shop.server.jobs))) == 1


def test_a_workbook_can_be_on_no_source_that_its_publisher_may_not_use(shop: Shop) -> None:
    server = shop.customer(role="Creator")
    shop.grant("ours", "project", shop.groups["ours"], Write=ALLOW)
    file = shop.folder.parent / "report.twb"
    file.write_text(
        file.read_text().replace(shop.sources["ours"].content_url, shop.sources["theirs"].content_url)
    )
    with refused("403004"):
        server.workbooks.publish(TSC.WorkbookItem(shop.projects["ours"].id, "stolen"), file, "CreateNew")
