"""Reads what callmart has on Tableau. Every error is raised: what can't be read must not count as absent."""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import tableauserverclient as TSC

from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.publish import marks, quality_warning, subscriptions
from callmart.publish.actual import (
    HIDDEN,
    TOP_PROJECT,
    Actual,
    Books,
    Content,
    Foreign,
    Group,
    Project,
    User,
    identity,
)
from callmart.publish.grants import Access, project_access
from callmart.publish.listing import everything, items_in, members
from callmart.publish.marks import Mark
from callmart.publish.quality_warning import Unavailable
from callmart.publish.subscriptions import Subscription
from callmart.publish.tableau import LOST, is_cloud, reason

WORKERS = 4  # requests at a time; Tableau also has other work to do


def read(server: TSC.Server, books: Books) -> Actual:
    """Return what Tableau has of ours.

    An error that concerns one customer is noted in `unread`. Raises LOST and any other FAILURES, and UserError if a
    list of all is incomplete.
    """
    unread: dict[int, str] = {}
    of_one = _noting(unread)
    projects, groups, users = _together(
        *(partial(everything, endpoint) for endpoint in (server.projects, server.groups, server.users))
    )
    top = next((p for p in projects if p.name == TOP_PROJECT and p.parent_id is None), None)
    if books.takes_over:
        books = replace(books, former=_former(projects, books))
    has_before = books.former is not None or None in books.projects.values()
    before = _users_group(server, groups, books.former) if has_before else None
    ours = _users_group(server, groups, books.installation)
    own = [each for each in (ours, before) if each]
    found = Actual(
        installation=books.installation,
        top=None,
        projects={},
        groups=_customer_groups(server, groups, books, of_one),
        users=_users(server, users, own, _groups_of_others(groups, books, own), _ungrouped(books, own)),
        users_group=ours.luid if ours else None,
        users_before=before,
        former=books.former,
        schedules=None if is_cloud(server) else {each.name: each.id for each in everything(server.schedules)},
        hides_users=server.sites.get_by_id(server.site_id).user_visibility_mode == HIDDEN,
        unread=unread,
        known=books.known,
        server=server.server_address,
        site=server.site_url,
    )
    moved = _moved(projects, top, books)
    if moved and top is None:
        raise UserError(
            f"the site has {several(len(moved), 'project')} of customers, and no project {TOP_PROJECT} at its top: "
            "give that one its name and its place again, or remove them"
        )
    of_moved = {
        customer_id: f"its project {each.name} was moved: move it back into the project {TOP_PROJECT}"
        for customer_id, each in moved
    }
    unread.update(of_moved)
    found = replace(found, moved=of_moved)
    return found if top is None else _with_projects(server, found, top, projects, moved, books, of_one)


def _moved(
    projects: Iterable[TSC.ProjectItem], top: TSC.ProjectItem | None, books: Books
) -> list[tuple[int, TSC.ProjectItem]]:
    """The customers' projects outside the top project. They are those of our books: elsewhere on a site anybody who may
    make a project can write our mark into its description.
    """
    published = books.published
    return [
        (published[each.id], each)
        for each in projects
        if each.id in published
        and (top is None or each.parent_id != top.id)
        and (mark := marks.described(each)) is not None
        and _is_ours(mark, books)
    ]


_OfOne = Callable[[int], AbstractContextManager[None]]


def _noting(unread: dict[int, str]) -> _OfOne:
    """In the block for a customer, an error that concerns this customer alone is noted."""

    @contextmanager
    def of_one(customer_id: int) -> Iterator[None]:
        try:
            yield
        except LOST:
            raise
        except Exception as error:  # also an answer that TSC doesn't understand
            unread[customer_id] = reason(error)

    return of_one


def _with_projects(
    server: TSC.Server,
    found: Actual,
    top: TSC.ProjectItem,
    projects: Iterable[TSC.ProjectItem],
    moved: Iterable[tuple[int, TSC.ProjectItem]],
    books: Books,
    of_one: _OfOne,
) -> Actual:
    """What was found, with what is in the top project, and projects of customers that were moved out of it. Of
    customers who are not due only the project is read.
    """
    beside = _Beside(books)
    ours = [
        (customer_id, item)
        for item in projects
        if item.parent_id == top.id and (customer_id := beside.sort("project", item)) is not None
    ]
    ours += moved
    due = [(customer_id, item) for customer_id, item in ours if books.is_due(customer_id)]

    def read_access(customer_id: int, item: TSC.ProjectItem) -> Access:
        with of_one(customer_id):
            return project_access(server, item.id)
        return {}

    # Lists keep the server busy, and rights keep us busy.
    data_sources, workbooks, views, subscribed, *accesses = _together(
        *_lists(server, {top.id, *(item.id for _, item in due)}),
        *(partial(read_access, *of_one_customer) for of_one_customer in due),
    )
    inside = _inside(projects, data_sources, workbooks)
    for kind, item in inside[top.id]:
        if kind != "project":
            beside.sort(kind, item)
    opened = _opened(views)
    subscriptions = _subscriptions(subscribed, views, found.schedules or {})

    has_warnings = True
    customers = defaultdict[int, tuple[Project, ...]](tuple)
    access = {item.id: of_item for (_, item), of_item in zip(due, accesses, strict=True)}
    for customer_id, item in ours:
        of_item = inside[item.id] if item.id in access else ()
        project = _project(item, found, customer_id, access.get(item.id, {}), of_item, subscriptions, opened)
        if customer_id in books.warned and item.id in access and has_warnings:
            with of_one(customer_id):
                try:
                    project = _with_warnings(server, project)
                except Unavailable:
                    has_warnings = False
        customers[customer_id] += (project,)
    return replace(
        found,
        top=_top(server, top, beside.foreign),
        projects=dict(customers),
        has_warnings=has_warnings,
        others=beside.others,
        taken=beside.taken,
        lost=beside.lost,
    )


def _top(server: TSC.Server, top: TSC.ProjectItem, foreign: Iterable[Foreign]) -> Project:
    access = project_access(server, top.id)
    return Project(top.id, top.name, top.content_permissions, access, foreign=tuple(foreign))


def _lists(server: TSC.Server, projects: Container[str]) -> Iterator[Callable[[], Any]]:
    """What reads the data sources, workbooks and views in these projects, and all subscriptions."""
    yield partial(items_in, server.datasources, TSC.DatasourceItem, projects)
    yield partial(items_in, server.workbooks, TSC.WorkbookItem, projects)
    yield partial(items_in, server.views, TSC.ViewItem, projects, "?includeUsageStatistics=true")
    yield partial(everything, server.subscriptions)


def _together(*read: Callable[[], Any]) -> list[Any]:
    """What each of these reads, a few at a time."""
    pool = ThreadPoolExecutor(WORKERS)
    try:
        return list(pool.map(lambda read_one: read_one(), read))
    finally:
        pool.shutdown(cancel_futures=True)


class _Beside:
    """Sorts what is in the top project: our customers' projects, other installations' projects, and anything else."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._published = books.published
        self.foreign: list[Foreign] = []
        self.others: Counter[str] = Counter()
        self.taken: dict[str, str | None] = {}
        self.lost: dict[int, str] = {}

    def sort(self, kind: str, item: Any) -> int | None:
        """Return the customer of the project; None if the item is not ours."""
        mark = marks.described(item) if kind == "project" else None
        if mark is not None and _is_ours(mark, self._books):
            return mark.customer_id
        customer_id = self._published.get(item.id)
        installation = mark.installation if mark else None
        if installation is not None:
            self.others[installation] += 1
            self.taken[identity(item.name)] = installation
            if customer_id is not None:
                self.lost[customer_id] = installation
            return None
        if customer_id is None:
            self.foreign.append(Foreign(kind, item.name))
            if kind == "project":
                self.taken[identity(item.name)] = None
        return customer_id


def _former(projects: Iterable[TSC.ProjectItem], books: Books) -> str | None:
    """The installation whose marks the projects in our books have. Raises UserError if there are several."""
    published = set(books.projects.values())
    found = [marks.described(project) for project in projects if project.id in published]
    others = {mark.installation for mark in found if mark} - {None, books.installation}
    if len(others) > 1:
        raise UserError(
            f"our projects have the marks of several installations ({', '.join(sorted(map(str, others)))}), "
            'so this one can\'t take over; see docs/tableau.md, "Take the place of another home"'
        )
    return next(iter(others), None)


def _users_group(
    server: TSC.Server, groups: Iterable[TSC.GroupItem], installation: str | None
) -> Group | None:
    """The group with the users whom an installation has added to the site."""
    name = marks.users_group(installation)
    found = next((group for group in groups if group.name == name), None)
    return Group(found.id, members(server, found)) if found else None


def _groups_of_others(
    groups: Iterable[TSC.GroupItem], books: Books, own: Iterable[Group]
) -> list[TSC.GroupItem]:
    """Other installations' groups of users, and groups of customers from before marks that aren't ours."""
    known = {group.luid for group in own}
    return [
        each for each in groups
        if (marks.is_users_group(each.name) and each.id not in known)
        or ((mark := marks.grouped(each.name)) and mark.installation is None and not _is_ours(mark, books))
    ]  # fmt: skip


def _ungrouped(books: Books, own: Iterable[Group]) -> frozenset[str]:
    """The accounts of our books whose group was removed. While it is there, only its members are ours. During a
    take-over nobody has confirmed yet that what the books name is ours.
    """
    if books.takes_over:
        return frozenset()
    there = {group.luid for group in own}
    return frozenset(user for user, group in books.accounts.items() if group not in there)


def accounts(server: TSC.Server, installation: str, noted: Mapping[str, str]) -> dict[str, str]:
    """Return the accounts that are ours, as `Books.accounts` has them: the members of our group, and of those that were
    `noted` before whoever could not be put back into it. Raises FAILURES, and UserError if a list is incomplete.
    """
    group = _users_group(server, everything(server.groups), installation)
    if group is None:
        return dict(noted)
    left_out = {user: of for user, of in noted.items() if of != group.luid and user not in group.members}
    if left_out:
        on_site = {user.id for user in everything(server.users)}
        left_out = {user: of for user, of in left_out.items() if user in on_site}
    return left_out | dict.fromkeys(group.members, group.luid)


def _users(
    server: TSC.Server,
    users: Iterable[TSC.UserItem],
    ours: Iterable[Group],
    others: Iterable[TSC.GroupItem],
    ungrouped: Container[str],
) -> dict[str, User]:
    """The users of the site, by `identity`. An account in another installation's group is no longer ours by our books
    alone: they can be a copy of that one's.
    """
    put_by_us = frozenset[str]().union(*(group.members for group in ours))
    put_by_others = frozenset[str]().union(*(members(server, group) for group in others))
    return {
        identity(user.name): User(
            user.id,
            user.name,
            user.site_role,
            is_ours=user.id in put_by_us or (user.id in ungrouped and user.id not in put_by_others),
            is_unused=user.last_login is None,
            is_others=user.id in put_by_others,
            is_grouped=user.id in put_by_us,
            has_address=bool(user.email),
        )
        for user in users
    }


def _customer_groups(
    server: TSC.Server,
    groups: Iterable[TSC.GroupItem],
    books: Books,
    of_one: _OfOne,
) -> dict[int, Group]:
    """Our customers' groups. A group from before marks counts only if the customer has no marked one."""
    found: dict[int, TSC.GroupItem] = {}
    marked: set[int] = set()
    for group in groups:
        mark = marks.grouped(group.name)
        is_marked = mark is not None and mark.installation == books.installation
        if mark is None or not _is_ours(mark, books) or (not is_marked and mark.customer_id in found):
            continue
        found[mark.customer_id] = group
        if is_marked:
            marked.add(mark.customer_id)

    def read_members(customer_id: int) -> frozenset[str]:
        with of_one(customer_id):
            return members(server, found[customer_id])
        return frozenset()

    due = [customer_id for customer_id in found if books.is_due(customer_id)]
    within = dict(zip(due, _together(*(partial(read_members, each) for each in due)), strict=True))
    return {
        customer_id: Group(group.id, within.get(customer_id, frozenset()), customer_id in marked)
        for customer_id, group in found.items()
    }


def _is_ours(mark: Mark, books: Books) -> bool:
    """Whether a mark is ours. One without an installation is ours if the books say that we published it back then."""
    if mark.installation is None:
        return books.projects.get(mark.customer_id, "") is None
    return mark.installation in (books.installation, books.former)


def holds_others(server: TSC.Server, project_id: str, mark: Mark) -> bool:
    """Return whether a project has anything without this mark. Raises FAILURES, and UserError if a list is
    incomplete.
    """
    content = [
        *items_in(server.datasources, TSC.DatasourceItem, {project_id}),
        *items_in(server.workbooks, TSC.WorkbookItem, {project_id}),
    ]
    return any(each.parent_id == project_id for each in everything(server.projects)) or any(
        each.project_id == project_id and not marks.bears(each, mark, mark) for each in content
    )


def _inside(
    projects: Iterable[TSC.ProjectItem],
    data_sources: Iterable[TSC.DatasourceItem],
    workbooks: Iterable[TSC.WorkbookItem],
) -> Mapping[str, list[tuple[str, Any]]]:
    """The contents of each project, by the project's LUID, as pairs of kind and item."""
    inside: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for project in projects:
        inside[project.parent_id].append(("project", project))
    for kind, items in (("data source", data_sources), ("workbook", workbooks)):
        for item in items:
            inside[item.project_id].append((kind, item))
    return inside


def _opened(views: Iterable[TSC.ViewItem]) -> Counter[str]:
    """How often people have opened each workbook, by its LUID, as far as Tableau says so."""
    opened = Counter[str]()
    for view in views:
        if view._total_views is not None:  # TSC's property would raise an error
            opened[view.workbook_id] += view._total_views
    return opened


def _subscriptions(
    items: Iterable[TSC.SubscriptionItem], views: Iterable[TSC.ViewItem], schedules: Mapping[str, str]
) -> Mapping[str, list[Subscription]]:
    """All subscriptions of the site, by the workbook's LUID."""
    workbooks = {view.id: view.workbook_id for view in views}
    names = {luid: name for name, luid in schedules.items()}
    found = defaultdict(list)
    for item in items:
        subscription = subscriptions.from_tableau(item, workbooks, names)
        found[subscription.workbook].append(subscription)
    return found


def _project(
    project: TSC.ProjectItem,
    actual: Actual,
    customer_id: int,
    access: Access,
    content: Iterable[tuple[str, Any]],
    subscriptions: Mapping[str, list[Subscription]],
    opened: Mapping[str, int],
) -> Project:
    mark, former = actual.mark(customer_id), Mark(actual.former, customer_id)
    is_marked = marks.described(project) == mark
    ours, foreign = [], []
    for kind, item in content:
        known = kind != "project" and marks.bears(item, mark, former)
        if known or (kind != "project" and not is_marked and marks.bears(item, former, mark)):
            labels = frozenset(str(tag) for tag in marks.tags(item))
            times = opened.get(item.id)
            ours.append(
                Content(kind, item.id, item.name, item.content_url, labels, item.project_id, known, times)  # type: ignore[arg-type]
            )
        else:
            foreign.append(Foreign(kind, item.name))
    return Project(
        project.id, project.name, project.content_permissions, access,
        tuple(ours), tuple(foreign), tuple(each for item in ours for each in subscriptions.get(item.luid, ())),
        is_marked,
    )  # fmt: skip


def _with_warnings(server: TSC.Server, project: Project) -> Project:
    """The project, with our warnings on its data sources."""
    content = (
        replace(each, warning=quality_warning.read(server, each.luid)) if each.kind == "data source" else each
        for each in project.content
    )
    return replace(project, content=tuple(content))
