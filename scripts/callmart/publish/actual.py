"""What Tableau holds of ours, and how it is recognised. Every error is raised: what can't be read is not absent."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import tableauserverclient as TSC

from callmart.errors import UserError
from callmart.grants import Access, project_access
from callmart.publish import mail
from callmart.publish.mail import Subscription
from callmart.tableau import FAILURES, LOST, is_cloud, reason

TOP_PROJECT = "callmart"
USERS = "callmart-users"  # the group of those whom callmart put on the site
CUSTOMER_GROUP = "callmart-customer-"
MARK = "callmart customer"
TAG = "callmart-"
_NUMBER = "([1-9][0-9]*)"
PAGE_SIZE = 1000
INCOMPLETE = "Tableau gave a list that is not complete; run again."

ContentKind = Literal["data source", "workbook"]


class Foreign(NamedTuple):
    """Something in a project of ours that is not ours: reported, never touched."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"? {self.kind} '{self.name}' is not ours"


@dataclass(frozen=True)
class Content:
    """A data source or workbook of ours on Tableau, and the hashes that its tags name."""

    kind: ContentKind
    luid: str
    name: str
    content_url: str
    hashes: frozenset[str]


@dataclass(frozen=True)
class Project:
    """A project of ours on Tableau, and what is in it."""

    luid: str
    name: str
    lock: str
    access: Access
    content: tuple[Content, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()

    def of_kind(self, kind: ContentKind) -> dict[str, Content]:
        """What is ours of a kind, by name."""
        return {each.name: each for each in self.content if each.kind == kind}


@dataclass(frozen=True)
class User:
    """A user of the site; ours are those in our group, and nobody knows yet whose an account is that was never used."""

    luid: str
    name: str
    role: str
    is_ours: bool
    is_unused: bool


@dataclass(frozen=True)
class Group:
    """A customer's group, and the LUIDs of its members."""

    luid: str
    members: frozenset[str]


@dataclass(frozen=True)
class Actual:
    """What Tableau holds; a customer with several projects is a fault that a person must mend."""

    top: Project | None
    projects: Mapping[int, tuple[Project, ...]]
    groups: Mapping[int, Group]
    users: Mapping[str, User]  # by `identity` of their names
    users_group: str | None  # LUID
    schedules: Mapping[str, str] | None  # LUIDs by name; None on Tableau Cloud, which has none
    hides_users: bool  # whether users of the site are kept from seeing each other
    unread: Mapping[int, str] = field(
        default_factory=dict
    )  # why not all of a customer is known: nothing may change

    @property
    def customers(self) -> set[int]:
        """All customers of whom something is there."""
        return {*self.projects, *self.groups}


NOTHING = Actual(None, {}, {}, {}, None, {}, hides_users=False)
HIDDEN = "LIMITED"  # the site's userVisibilityMode


def identity(name: str) -> str:
    """Names that differ in nothing but case are one name to Tableau."""
    return name.casefold()


def read(server: TSC.Server) -> Actual:
    """What Tableau holds of ours. What can't be read of a customer alone leaves the others known."""
    unread: dict[int, str] = {}

    @contextmanager
    def of_one(customer_id: int) -> Iterator[None]:
        try:
            yield
        except LOST:
            raise
        except FAILURES as error:
            unread[customer_id] = reason(error)

    projects = everything(server.projects)
    top = next((p for p in projects if p.name == TOP_PROJECT and p.parent_id is None), None)
    groups, users_group, ours = {}, None, frozenset[str]()
    for group in everything(server.groups):
        if found := re.fullmatch(CUSTOMER_GROUP + _NUMBER, group.name):
            groups[int(found[1])] = Group(group.id, frozenset())
            with of_one(int(found[1])):
                groups[int(found[1])] = Group(group.id, members(server, group))
        elif group.name == USERS:
            users_group, ours = group.id, members(server, group)
    users = {
        identity(user.name): User(
            user.id, user.name, user.site_role, user.id in ours, is_unused=user.last_login is None
        )
        for user in everything(server.users)
    }
    schedules = None if is_cloud(server) else {each.name: each.id for each in everything(server.schedules)}
    hides_users = server.sites.get_by_id(server.site_id).user_visibility_mode == HIDDEN
    if top is None:
        return Actual(None, {}, groups, users, users_group, schedules, hides_users, unread)
    content = _content(server, projects)
    subscriptions = _subscriptions(server, schedules or {})
    customers: dict[int, tuple[Project, ...]] = {}
    foreign = []
    for kind, item in content[top.id]:
        customer_id = marked(item) if kind == "project" else None
        if customer_id is None:
            foreign.append(Foreign(kind, item.name))
        else:
            access: Access = {}
            with of_one(customer_id):
                access = project_access(server, item.id)
            project = _project(item, access, content[item.id], subscriptions)
            customers[customer_id] = (*customers.get(customer_id, ()), project)
    access = project_access(server, top.id)
    return Actual(
        Project(top.id, top.name, top.content_permissions, access, foreign=tuple(foreign)),
        customers, groups, users, users_group, schedules, hides_users, unread,
    )  # fmt: skip


def everything(endpoint: Any) -> list[Any]:
    """All items of an endpoint; a Pager raises what iterating a query of TSC would swallow.

    A list that is not as long as the server says is an error too: what is left out of it is not absent.
    """
    announced: list[int] = []

    def get(options: TSC.RequestOptions) -> Any:
        items, pagination = endpoint.get(options)
        announced.append(pagination.total_available)
        return items, pagination

    items = list(TSC.Pager(get, TSC.RequestOptions(pagesize=PAGE_SIZE)))
    if len(items) != announced[-1]:
        raise UserError(INCOMPLETE)
    return items


def members(server: TSC.Server, group: TSC.GroupItem) -> frozenset[str]:
    """The LUIDs of a group's members."""
    server.groups.populate_users(group, TSC.RequestOptions(pagesize=PAGE_SIZE))
    return frozenset(user.id for user in list(group.users))


def _content(server: TSC.Server, projects: Iterable[TSC.ProjectItem]) -> Mapping[str, list[tuple[str, Any]]]:
    """What is in each project, by the project's LUID: the kind and the item."""
    content: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for project in projects:
        content[project.parent_id].append(("project", project))
    for kind, endpoint in (("data source", server.datasources), ("workbook", server.workbooks)):
        for item in everything(endpoint):
            content[item.project_id].append((kind, item))
    return content


def _subscriptions(server: TSC.Server, schedules: Mapping[str, str]) -> Mapping[str, list[Subscription]]:
    """All subscriptions of the site, by the LUID of the workbook."""
    workbooks = {view.id: view.workbook_id for view in everything(server.views)}
    names = {luid: name for name, luid in schedules.items()}
    found = defaultdict(list)
    for item in everything(server.subscriptions):
        subscription = mail.of(item, workbooks, names)
        found[subscription.workbook].append(subscription)
    return found


def marked(item: Any) -> int | None:
    """The customer whose mark the description of `item` is."""
    found = re.fullmatch(f"{MARK} {_NUMBER}", item.description or "")
    return int(found[1]) if found else None


def _project(
    project: TSC.ProjectItem,
    access: Access,
    content: Iterable[tuple[str, Any]],
    subscriptions: Mapping[str, list[Subscription]],
) -> Project:
    ours, foreign = [], []
    for kind, item in content:
        hashes = frozenset(tag.removeprefix(TAG) for tag in getattr(item, "tags", ()) if tag.startswith(TAG))
        if kind != "project" and (hashes or marked(item) == marked(project)):
            ours.append(Content(kind, item.id, item.name, item.content_url, hashes))  # type: ignore[arg-type]
        else:
            foreign.append(Foreign(kind, item.name))
    return Project(
        project.id, project.name, project.content_permissions, access,
        tuple(ours), tuple(foreign), tuple(each for item in ours for each in subscriptions.get(item.luid, ())),
    )  # fmt: skip
