"""Who reaches what on Tableau: worked out as the emulator enforces it, and each way to more is noticed."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from random import Random

import pytest
import tableauserverclient as TSC
from hypothesis import given, settings
from hypothesis import strategies as st

from callmart.audit import on_tableau, tableau_rights, tableau_site
from callmart.audit.check import Check
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.declarations import exposures
from callmart.publish import applying, planning, reading
from callmart.publish.actual import Books
from callmart.publish.desired import DataSource, Publication, Workbook
from callmart.publish.grants import Grant
from callmart.tableau_files import tds
from emulated import World, world
from publications import live
from tableau_emulator.access import Access
from tableau_emulator.capabilities import CAPABILITIES, SITE_ROLES
from tableau_emulator.state import State
from tableau_files import hyper, marts

HOME, ELSEWHERE = Books("0123456789ab"), Books("ba9876543210")
OURS, THEIRS = 1042, 7
CHEF, OTHER, BOTH = "chef@een.example", "chef@twee.example", "beide@example.org"
ALLOW, DENY = TSC.Permission.Mode.Allow, TSC.Permission.Mode.Deny
UNLOCKED = TSC.ProjectItem.ContentPermissions.ManagedByOwner
LOCKED = TSC.ProjectItem.ContentPermissions.LockedToProject


# -- worked out as it is enforced --------------------------------------------------------------------------------------

RARE = {"ProjectLeader": 0.2}  # who leads may everything
LED_BY_NOBODY = ("ProjectLeader", "Deny")  # a rule that Tableau refuses
LOCKS = (UNLOCKED, UNLOCKED, LOCKED, LOCKED, TSC.ProjectItem.ContentPermissions.LockedToProjectWithoutNested)


@dataclass
class Mixed:
    """A small site with what bears on rights: nested projects, content with and without tabs, users, groups."""

    world: World
    projects: tuple[str, ...]
    # Of rules: where they are kept, scope, and the kind that they are about.
    places: tuple[tuple[str, str, str], ...]
    users: tuple[str, ...]
    groups: tuple[str, ...]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    with world(tmp_path_factory.mktemp("mixed")) as made:
        server = made.server
        outer = server.projects.create(TSC.ProjectItem("outer"))
        inner = server.projects.create(TSC.ProjectItem("inner", parent_id=outer.id))
        source = made.publish(inner)
        made.publish_workbook(inner, source, "sheets")
        made.publish_workbook(outer, source, "tabs", show_tabs=True)
        for name in ("one", "two"):
            server.groups.create(TSC.GroupItem(name))
            made.user(name)
        with made.state() as state:
            content = [(row["id"], "own", kind) for kind in ("datasource", "workbook", "view")
                       for row in state.all(f"select id from {kind}")]  # fmt: skip
            yield Mixed(
                made,
                (outer.id, inner.id),
                (
                    *((each.id, scope, scope.replace("own", "project")) for each in (outer, inner)
                      for scope in ("own", "datasource", "workbook")),
                    *content,
                ),
                tuple(row["id"] for row in state.all("select id from user where name in ('one', 'two')")),
                tuple(row["id"] for row in state.all("select id from user_group")),
            )  # fmt: skip


def mix(mixed: Mixed, state: State, chance: Random) -> None:
    """Locks, roles, owners, members and rules as they come; of few capabilities, so that rules meet."""
    administrator = state.administrator()["id"]
    for luid in mixed.projects:
        state.update("project", luid, content_permissions=chance.choice(LOCKS))
    for luid in mixed.users:
        state.update("user", luid, site_role=chance.choice([*SITE_ROLES, *["Creator"] * 6]))
    for table in ("project", "datasource", "workbook"):
        for row in state.all(f"select id from {table}"):
            owner = chance.choice([*mixed.users, *[administrator] * 9])
            state.update(table, row["id"], owner_id=owner)
    state.write("delete from membership where user_id in (?, ?)", *mixed.users)
    for group, user in product(mixed.groups, mixed.users):
        if chance.random() < 0.5:
            state.insert("membership", group_id=group, user_id=user)
    state.write("delete from rule")
    grantees = [("user", luid) for luid in mixed.users] + [("group", luid) for luid in mixed.groups]
    for (content, scope, kind), (holder, luid) in product(mixed.places, grantees):
        for capability in ("Read", "Write", "ProjectLeader" if kind == "project" else "ExportXml"):
            mode = chance.choice(("Allow", "Deny", None, None))
            if mode and chance.random() < RARE.get(capability, 1) and (capability, mode) != LED_BY_NOBODY:
                state.insert(
                    "rule", content_id=content, scope=scope, grantee_kind=holder, grantee_id=luid,
                    capability=capability, mode=mode,
                )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_worked_out_is_what_is_enforced(mixed: Mixed, seed: int) -> None:
    """Of any rules; where only a site role keeps a user from something, that counts as reached."""
    with mixed.world.state() as state:
        mix(mixed, state, Random(seed))
        site = tableau_site.read(mixed.world.server, quietly)
        for user in (state.all("select * from user where id = ?", luid)[0] for luid in mixed.users):
            access = Access(state, user)
            assert access.administrator == site.users[user["id"]].is_administrator
            for thing in () if access.administrator else site.things:
                kind = thing.kind.replace(" ", "")
                row = state.all(f"select * from {kind} where id = ?", thing.luid)[0]
                may = frozenset(each for each in CAPABILITIES[kind] if access.may(kind, row, each))
                found = site.reached(thing).get(user["id"], frozenset())
                if found == tableau_site.EVERYTHING:
                    found = frozenset(CAPABILITIES[kind])
                assert found >= may, (thing, user["site_role"])
                if user["site_role"] in ("Creator", "ExplorerCanPublish", "Unlicensed"):
                    assert found == may, (thing, user["site_role"])


def test_whom_a_set_of_groups_lets_in_is_everybody() -> None:
    """It is not looked into; whom it keeps out is let in."""
    users = {luid: tableau_site.User(luid, luid, frozenset({"Viewer"})) for luid in ("a", "b")}

    def reached(mode: str) -> dict[str, frozenset[str]]:
        rules = frozenset({Grant("groupSet", "s", "Read", mode), Grant("user", "a", "Read", "Allow")})
        thing = tableau_site.Thing("workbook", "w", "Drukte", "owner", None, rules)
        return tableau_site.Site(users, {}, (thing,)).reached(thing)

    everybody, one = reached("Allow"), reached("Deny")
    assert everybody.keys() - {"owner"} == {"a", "b"}
    assert one.keys() - {"owner"} == {"a"}


# -- each way to more than is declared ---------------------------------------------------------------------------------


@dataclass
class Shop(World):
    """Two customers as they are published, and everything that a person can do about it by hand."""

    desired: dict[int, Publication]

    def compare(self) -> tableau_rights.Compared:
        return tableau_rights.compare(
            tableau_site.read(self.server, quietly), self.desired, reading.read(self.server, HOME)
        )

    def one(self, kind: str, name: str, customer: int = OURS) -> TSC.WorkbookItem | TSC.DatasourceItem:
        """Content of a customer."""
        project = self.project(customer)
        return next(
            each
            for each in TSC.Pager(getattr(self.server, kind))
            if (each.name, each.project_id) == (name, project.id)
        )

    def project(self, customer: int | None = OURS) -> TSC.ProjectItem:
        """The project of a customer, or the one above all."""
        name = "callmart" if customer is None else f"{customer} Klant"
        return next(each for each in TSC.Pager(self.server.projects) if each.name == name)

    def default(self) -> TSC.ProjectItem:
        """The project that every site has, open to everybody."""
        return next(each for each in TSC.Pager(self.server.projects) if each.name == "Default")

    def group(self, name: str) -> TSC.GroupItem:
        return next(each for each in TSC.Pager(self.server.groups) if each.name == name)

    def who(self, name: str) -> TSC.UserItem:
        return next(each for each in TSC.Pager(self.server.users) if each.name == name)

    def join(self, name: str, group: str) -> None:
        self.server.groups.add_user(self.group(group), self.who(name).id)

    def role(self, name: str, role: str) -> None:
        user = self.who(name)
        user.site_role = role
        self.server.users.update(user)

    def give(self, item: TSC.WorkbookItem | TSC.ProjectItem, name: str) -> None:
        item.owner_id = self.who(name).id
        self._endpoint(item).update(item)

    def unlock(self) -> None:
        """What is published keeps the rules that it had."""
        project = self.project()
        project.content_permissions = UNLOCKED
        self.server.projects.update(project)

    def open(self, item: object, grantee: str) -> None:
        """Lets a user, or a group, read a project or content."""
        self._endpoint(item).update_permissions(item, [self.rule(grantee)])

    def rule(self, grantee: str, mode: str = ALLOW, capability: str = "Read") -> TSC.PermissionsRule:
        return TSC.PermissionsRule(
            self.who(grantee) if "@" in grantee else self.group(grantee), {capability: mode}
        )

    def by_default(self, *rules: TSC.PermissionsRule) -> None:
        """Rules for the workbooks of our project."""
        self.server.projects.update_workbook_default_permissions(self.project(), rules)

    def _endpoint(self, item: object) -> TSC.server.Endpoint:
        kinds = {TSC.ProjectItem: "projects", TSC.WorkbookItem: "workbooks", TSC.ViewItem: "views"}
        return getattr(self.server, kinds[type(item)])

    def view(self, workbook: str) -> TSC.ViewItem:
        luid = self.one("workbooks", workbook).id
        return next(each for each in TSC.Pager(self.server.views) if each.workbook_id == luid)

    def wire(self, project: TSC.ProjectItem, name: str, customer: int, mode: str = "CreateNew") -> None:
        """A workbook of somebody's on the data source of a customer."""
        self.publish_workbook(project, self.one("datasources", "Wachtrijen", customer), name, mode=mode)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Two customers, a recipient of each and one of both, a stranger with an account, an administrator."""
    folder = tmp_path_factory.mktemp("reach")
    queues = DataSource(tds.source("queue", marts(), "nl"), hyper(folder, "queue"), "hash", 2)
    book = Workbook(exposures.reports()["traffic"], "Klant", queues.source, "hash")
    with world(folder) as made:
        desired = {
            customer: Publication(customer, "Klant", (queues,), (book,), (chef, BOTH))
            for customer, chef in ((OURS, CHEF), (THEIRS, OTHER))
        }
        outcomes = applying.apply(
            made.server, planning.plan(desired.values(), reading.read(made.server, HOME))
        )
        assert all(outcome.error is None for outcome in outcomes)
        made.user("vreemd@example.org")
        yield Shop(made.emulator, made.folder, made.server, desired)


@pytest.fixture
def shop(standing: Shop) -> Iterator[Shop]:
    """The same, as it was once the test is through."""
    with standing.state() as state:
        kept = sqlite3.connect(":memory:")
        state.database.backup(kept)
        yield standing
        kept.backup(state.database)


def test_what_is_declared_is_what_is_reached(shop: Shop) -> None:
    found = shop.compare()
    assert (found.lacking, found.beyond, found.astray) == ([], [], [])
    assert (found.must, found.things) == (2 * 2 * 4, 1 + 2 * 4)  # project, data source, workbook, view
    assert found.persons == {"ServerAdministrator": 1}


STRANGER, EVERYBODY = "vreemd@example.org", "All Users"
GROUP = f"callmart-{HOME.installation}-customer-{OURS}"
VISIBLE = "(Connect, ExportImage, Filter, Read)"
ALL = "project # and data source 'Wachtrijen' and workbook 'Drukte'"


def unlocked(shop: Shop, grantee: str, *, view: bool = False) -> None:
    shop.unlock()
    shop.open(shop.view("Drukte") if view else shop.one("workbooks", "Drukte"), grantee)


def exporting(shop: Shop) -> None:
    shop.server.projects.delete_workbook_default_permissions(
        shop.project(), shop.rule(GROUP, DENY, "ExportData")
    )
    shop.by_default(shop.rule(GROUP, ALLOW, "ExportData"))


def administering_group(shop: Shop) -> None:
    group = TSC.GroupItem("chefs")
    group.minimum_site_role = "SiteAdministratorExplorer"
    shop.server.groups.create(group)
    shop.join(CHEF, "chefs")


def moved(shop: Shop) -> None:
    source = shop.one("datasources", "Wachtrijen")
    source.project_id = shop.default().id
    shop.server.datasources.update(source)


BEYOND: dict[str, tuple[Callable[[Shop], object], list[str]]] = {
    "a member that is no recipient": (
        lambda shop: shop.join(STRANGER, GROUP),
        [f"customer {OURS}: v…@example.org (Explorer) reaches {ALL} {VISIBLE}; publish again"],
    ),
    "another's recipient in the group": (
        lambda shop: shop.join(OTHER, GROUP),
        [f"customer {OURS}: c…@twee.example (Viewer) reaches {ALL} {VISIBLE}; publish again"],
    ),
    "a rule for a user": (
        lambda shop: shop.open(shop.project(), STRANGER),
        [f"customer {OURS}: v…@example.org (Explorer) reaches project # (Read); publish again"],
    ),
    "a rule by default": (
        lambda shop: shop.by_default(shop.rule(STRANGER)),
        [f"customer {OURS}: v…@example.org (Explorer) reaches workbook 'Drukte' (Read); publish again"],
    ),
    "a rule of everybody's": (
        lambda shop: shop.by_default(shop.rule(EVERYBODY, ALLOW, "WebAuthoring")),
        [
            f"customer {OURS}: {who} reaches workbook 'Drukte' (WebAuthoring); publish again"
            for who in ("c…@twee.example (Viewer)", "v…@example.org (Explorer)")
        ],
    ),
    "a capability more": (
        exporting,
        [
            f"customer {OURS}: {who} (Viewer) reaches workbook 'Drukte' (ExportData); publish again"
            for who in ("b…@example.org", "c…@een.example")
        ],
    ),
    "a workbook's own rule": (
        lambda shop: unlocked(shop, STRANGER),
        [f"customer {OURS}: v…@example.org (Explorer) reaches workbook 'Drukte' (Read); publish again"],
    ),
    "a view's own rule": (
        lambda shop: unlocked(shop, STRANGER, view=True),
        [f"customer {OURS}: v…@example.org (Explorer) reaches view 'Drukte' (Read); publish again"],
    ),
    "a leader of all": (
        lambda shop: shop.server.projects.update_permissions(
            shop.project(None), [shop.rule(STRANGER, ALLOW, "ProjectLeader")]
        ),
        [
            "beside the customers: v…@example.org (Explorer) reaches project # (everything); publish again",
            *(
                f"customer {customer}: v…@example.org (Explorer) reaches {ALL} (everything); publish again"
                for customer in (THEIRS, OURS)
            ),
        ],
    ),
    "a recipient that owns": (
        lambda shop: shop.give(shop.one("workbooks", "Drukte"), OTHER),
        [
            f"customer {OURS}: c…@twee.example (Viewer) reaches workbook 'Drukte' (everything); "
            "give it to another owner on Tableau"
        ],
    ),
    "a recipient that administers": (
        lambda shop: shop.role(BOTH, "SiteAdministratorExplorer"),
        [
            f"b…@example.org (SiteAdministratorExplorer), a recipient of customer {THEIRS}, {OURS}, reaches "
            "everything; give it the site role Viewer"
        ],
    ),
    "a group that makes administrators": (
        administering_group,
        [
            f"c…@een.example (SiteAdministratorExplorer, Viewer), a recipient of customer {OURS}, reaches everything; "
            "give it the site role Viewer"
        ],
    ),
    "what is no customer's": (
        lambda shop: shop.publish(shop.default(), "everybody's calls"),
        [
            f"{who} (Viewer), a recipient, reaches content of no customer: data source # (Connect, Read); "
            "remove the rule that allows it, or keep that content on another site"
            for who in ("b…@example.org", "c…@een.example", "c…@twee.example")
        ],
    ),
}  # fmt: skip
LACKING: dict[str, tuple[Callable[[Shop], object], list[str]]] = {
    "a rule against a user": (
        lambda shop: shop.by_default(shop.rule(CHEF, DENY)),
        [f"customer {OURS}: c…@een.example (Viewer) does not fully reach workbook 'Drukte'; publish again"],
    ),
    "a recipient without a licence": (
        lambda shop: shop.role(CHEF, "Unlicensed"),
        [f"customer {OURS}: c…@een.example (Unlicensed) can't sign in; give it the site role Viewer on Tableau"],
    ),
    "a recipient that is gone": (
        lambda shop: shop.server.users.remove(shop.who(CHEF).id),
        [f"customer {OURS}: c…@een.example is not on the site; publish again"],
    ),
    "a workbook that is gone": (
        lambda shop: shop.server.workbooks.delete(shop.one("workbooks", "Drukte").id),
        [f"customer {OURS}: {kind} 'Drukte' is not there; publish again" for kind in ("view", "workbook")],
    ),
}  # fmt: skip
ASTRAY: dict[str, tuple[Callable[[Shop], object], list[str]]] = {
    "moved to where others are": (
        moved,
        [
            f"customer {OURS}: data source # is not in the customer's project; remove it, or move it back and publish "
            "again",
            f"customer {OURS}: workbook 'Drukte' does not use the customer's data sources only; remove it and "
            "publish again",
        ],
    ),
    "on another's data source": (
        lambda shop: shop.wire(shop.project(), "Drukte", THEIRS, "Overwrite"),
        [
            f"customer {OURS}: workbook 'Drukte' does not use the customer's data sources only; remove it and "
            "publish again"
        ],
    ),
    "a workbook elsewhere": (
        lambda shop: shop.wire(shop.default(), "mine", OURS),
        [f"customer {OURS}: workbook #, outside its project, uses its data; remove it"],
    ),
}  # fmt: skip


def told(found: list[str]) -> list[str]:
    """What was found, whatever the LUIDs."""
    return sorted(re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "#", one) for one in found)


@pytest.mark.parametrize("way", BEYOND)
def test_who_reaches_more_is_told(shop: Shop, way: str) -> None:
    change, expected = BEYOND[way]
    change(shop)
    found = shop.compare()
    assert told(found.beyond) == sorted(expected)
    assert found.lacking == []


@pytest.mark.parametrize("way", LACKING)
def test_who_reaches_less_is_told(shop: Shop, way: str) -> None:
    change, expected = LACKING[way]
    change(shop)
    found = shop.compare()
    assert told(found.lacking) == sorted(expected)
    assert found.beyond == []


@pytest.mark.parametrize("way", ASTRAY)
def test_what_is_not_where_it_should_be_is_told(shop: Shop, way: str) -> None:
    change, expected = ASTRAY[way]
    change(shop)
    assert told(shop.compare().astray) == sorted(expected)


def test_what_another_installation_publishes_is_judged_for_our_recipients_alone(shop: Shop) -> None:
    """One of them may be its recipient, too; who is not, or reaches more, is told, and so is our data in it."""
    ours = shop.desired[OURS]
    theirs = Publication(3, "Klant", ours.data_sources, ours.workbooks, (CHEF, "ander@example.org"))
    changes = planning.plan([theirs], reading.read(shop.server, ELSEWHERE))
    assert all(outcome.error is None for outcome in applying.apply(shop.server, changes))
    found = shop.compare()
    assert (found.lacking, found.beyond, found.astray) == ([], [], [])
    assert (found.must, found.things) == (2 * 2 * 4, 1 + 2 * 4), "nothing of it counts as ours"

    project = shop.project(3)
    shop.open(project, OTHER)
    shop.open(project, STRANGER)
    shop.server.projects.update_workbook_default_permissions(project, [shop.rule(CHEF, ALLOW, "Write")])
    shop.wire(project, "mine", OURS)
    found = shop.compare()
    who = "{} (Viewer), a recipient, reaches content of no customer: {}; {}"
    remedy = "remove the rule that allows it, or keep that content on another site"
    assert told(found.beyond) == [
        who.format("c…@een.example", "workbooks #, # and views #, #, #, # (Write)", remedy),
        who.format("c…@twee.example", "project # (Read)", remedy),
    ]
    assert told(found.astray) == [
        f"customer {OURS}: workbook #, outside its project, uses its data; remove it"
    ]


def test_a_mark_elsewhere_on_the_site_opens_nothing(shop: Shop) -> None:
    """Anybody may describe a project of their own as they like."""
    mine = shop.server.projects.create(
        TSC.ProjectItem("mine", f"callmart {ELSEWHERE.installation} customer 3", parent_id=shop.default().id)
    )
    group = shop.server.groups.create(TSC.GroupItem(f"callmart-{ELSEWHERE.installation}-customer-3"))
    shop.join(CHEF, group.name)
    shop.server.projects.update_datasource_default_permissions(mine, [shop.rule(group.name)])
    shop.publish(mine, "calls")
    assert "c…@een.example (Viewer), a recipient, reaches content of no customer" in "".join(
        shop.compare().beyond
    )


def test_owners_are_told_of_and_no_breach(shop: Shop) -> None:
    shop.give(shop.project(), STRANGER)
    found = shop.compare()
    assert (found.lacking, found.beyond) == ([], [])
    assert found.persons == {"ServerAdministrator": 1, "owner of content, not an administrator": 1}
    shop.role(STRANGER, "Unlicensed")
    assert shop.compare().persons == {"ServerAdministrator": 1}


def test_what_cannot_be_read_is_not_absent(shop: Shop) -> None:
    shop.inject("status", status=403, path="/permissions", count=1)
    with pytest.raises(TSC.ServerResponseError):
        shop.compare()


def test_a_list_that_lags_is_not_believed(shop: Shop) -> None:
    shop.inject("lag", path="/workbooks$", seconds=600)
    shop.default()  # from now on
    shop.wire(shop.default(), "mine", OURS)
    with pytest.raises(UserError, match="incomplete list"):
        shop.compare()


def test_what_stands_beside_the_content_is_searched_for_names(shop: Shop) -> None:
    known = {
        "Noor": [("Noor Zandvliet", "an agent of customer 7")],
        "Klant": [("Klant", "the name of customer 7")],
    }
    assert on_tableau.said(shop.compare(), known).outcome == "holds"
    book = shop.one("workbooks", "Drukte")
    shop.server.workbooks.add_tags(book, {"voor Noor Zandvliet van Klant"})
    assert on_tableau.said(shop.compare(), known).found == (
        f"customer {OURS}: workbook 'Drukte' names an agent of customer 7; remove that on Tableau",
    )


def test_what_somebody_publishes_over_ours_is_told(shop: Shop) -> None:
    def look() -> Check:
        return on_tableau.revisions(shop.server, reading.read(shop.server, HOME))

    assert look().outcome == "holds"
    book = shop.one("workbooks", "Drukte")
    shop.wire(shop.project(), "Drukte", OURS, mode="Overwrite")
    assert look().found == (
        f"customer {OURS}: workbook {book.id} has earlier revisions; remove it on Tableau, and publish again",
    )


def test_another_login_of_a_live_data_source_is_told(tmp_path: Path) -> None:
    defined, source = on_tableau._Defined(), live("secret")
    assert isinstance(source.data, tds.Live)
    for data in (source.data, replace(source.data, user="callmart_customer_8")):
        tds.package(source.source, tmp_path / "queue.tdsx", data)
        defined.compare(source, OURS, tmp_path / "queue.tdsx")
    assert (defined.looked_at, len(defined.found)) == (2, 1)
    assert on_tableau._hyper(tmp_path / "queue.tdsx", tmp_path) is None, (
        "nor does it break off the audit of an extract"
    )


def test_a_recipient_sees_what_was_worked_out(shop: Shop) -> None:
    """As the user: with its own session, what the lists show is what is reached, and no more."""
    site = tableau_site.read(shop.server, quietly)
    for name in (CHEF, OTHER, BOTH, STRANGER):
        user, server = shop.who(name), shop.as_user(name)
        reached = {thing.luid for thing in site.things if "Read" in site.reached(thing).get(user.id, ())}
        seen = {
            each.id
            for endpoint in (server.projects, server.datasources, server.workbooks, server.views)
            for each in TSC.Pager(endpoint)
        }
        assert seen == reached
        assert len(seen) == {CHEF: 5, OTHER: 5, BOTH: 9, STRANGER: 1}[name]  # Default is everybody's
