"""What is on a site of Tableau, and what every user reaches there.

Nothing is taken from a plan. Users, groups, content and permission rules are read again, and for each thing its own
rules, not those of the project that it should follow.

The rules are evaluated as Tableau does it. Administrators have everything, and so have the owner of a thing and the
leader of a project above it. For others the user's own rules decide, or without any those of the user's groups. Deny
wins, and what no rule allows is not allowed. In doubt, more is assumed rather than less: a site role takes nothing
away, because it can be changed in a minute, and a rule for something that is neither a user nor a group counts as a
rule for everybody.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import tableauserverclient as TSC

from callmart.publish import marks
from callmart.publish.grants import Grant, content_grants, project_grants
from callmart.publish.listing import everything, incomplete, members
from callmart.publish.marks import Mark
from callmart.publish.plans import shortened
from callmart.publish.reading import WORKERS

Kind = Literal["project", "data source", "workbook", "view"]
EVERYTHING = frozenset({"everything"})

_LOCK = TSC.ProjectItem.ContentPermissions


@dataclass(frozen=True)
class User:
    """A user of the site, with its site role and the roles that its groups give at sign-in."""

    luid: str
    name: str
    roles: frozenset[str]

    @property
    def is_administrator(self) -> bool:
        """Whether the user has access to everything on the site."""
        return any("Administrator" in role for role in self.roles)

    @property
    def signs_in(self) -> bool:
        """Whether the user can sign in."""
        return self.roles != {"Unlicensed"}

    @property
    def shown(self) -> str:
        """The user's name, shortened if it is an address, and roles, as they may be reported."""
        name = shortened(self.name) if "@" in self.name else f"user {self.luid}"
        return f"{name} ({', '.join(sorted(self.roles))})"


@dataclass(frozen=True)
class Thing:
    """A project, data source, workbook or view, and its rules."""

    kind: Kind
    luid: str
    name: str  # of a view: the name of its workbook
    owner: str  # LUID
    project: str | None  # LUID of the project that it is in
    rules: frozenset[Grant]
    mark: Mark | None = None  # names the customer and installation it was published for
    sources: frozenset[str] = frozenset()  # LUIDs of the data sources that a workbook uses
    said: tuple[str, ...] = ()  # what anybody may have written about it: its description and tags


@dataclass(frozen=True)
class Site:
    """What is on a site: users by LUID, the members of groups by LUID, and all things."""

    users: Mapping[str, User]
    groups: Mapping[str, frozenset[str]]
    things: tuple[Thing, ...]
    customer_groups: Mapping[Mark, str] = field(default_factory=dict)  # LUIDs

    @cached_property
    def projects(self) -> Mapping[str, Thing]:
        """The projects by LUID."""
        return {thing.luid: thing for thing in self.things if thing.kind == "project"}

    def above(self, thing: Thing) -> Iterator[Thing]:
        """The projects that a thing is in, the innermost first; a project is in itself."""
        project = thing if thing.kind == "project" else self.projects.get(str(thing.project))
        while project is not None:
            yield project
            project = self.projects.get(str(project.project))

    def owners(self, thing: Thing) -> set[str]:
        """The LUIDs of the owners of a thing and of the projects above it."""
        return {thing.owner, *(project.owner for project in self.above(thing))}

    def reached(self, thing: Thing) -> dict[str, frozenset[str]]:
        """The capabilities that users have on a thing, by LUID. Administrators, who have all, are left out."""
        leaders = {
            luid
            for project in self.above(thing)
            for luid, capabilities in self._allowed(project.rules).items()
            if "ProjectLeader" in capabilities
        }
        found = self._allowed(thing.rules) | dict.fromkeys(leaders | self.owners(thing), EVERYTHING)
        return {luid: capabilities for luid, capabilities in found.items() if self._is_bound(luid)}

    def _is_bound(self, luid: str) -> bool:
        """Whether rules decide what a user may do. They do also for a user who is in no list."""
        user = self.users.get(luid)
        return user is None or (user.signs_in and not user.is_administrator)

    def _allowed(self, rules: Iterable[Grant]) -> dict[str, frozenset[str]]:
        """The capabilities that rules allow, by LUID of the user."""
        said: dict[str, dict[str, set[tuple[bool, str]]]] = defaultdict(lambda: defaultdict(set))
        for rule in rules:
            for luid in self._meant(rule):
                said[luid][rule.capability].add((rule.kind == "user", rule.mode))
        return {
            luid: allowed
            for luid, of_user in said.items()
            if (allowed := frozenset(each for each, modes in of_user.items() if _is_allowed(modes)))
        }

    def _meant(self, rule: Grant) -> Iterable[str]:
        match rule.kind:
            case "user":
                return (rule.grantee,)
            case "group":
                return self.groups.get(rule.grantee, ())
            case _:  # a set of groups, for example: an Allow counts for everybody, a Deny for nobody
                return self.users if rule.mode == "Allow" else ()


def _is_allowed(said: set[tuple[bool, str]]) -> bool:
    """Whether rules allow. Each is the user's own or a group's: own rules come first, and deny wins among equals."""
    own = {mode for is_own, mode in said if is_own}
    return (own or {mode for _, mode in said}) == {"Allow"}


# -- reading -----------------------------------------------------------------------------------------------------------


def read(server: TSC.Server, on_thing: Callable[[int, int], None]) -> Site:
    """Read a site. `on_thing(read, of)` reports progress. Every error is raised."""
    groups = everything(server.groups)
    held = {group.id: members(server, group) for group in groups}
    users = _users(server, groups, held)
    projects = everything(server.projects)
    items: list[tuple[Kind, Any]] = [("project", each) for each in projects]
    items += [("data source", each) for each in everything(server.datasources)]
    items += [("workbook", each) for each in everything(server.workbooks)]
    views = everything(server.views)
    of = len(items) + len(views)
    things: dict[str, Thing] = {}
    tabbed = {each.id for kind, each in items if kind == "workbook" and each.show_tabs}
    locked = _locked(projects)

    def view(each: TSC.ViewItem) -> Thing:
        workbook = things.get(str(each.workbook_id))
        if workbook is None:
            raise incomplete("workbooks")
        follows = workbook.luid in tabbed or workbook.project in locked
        rules = workbook.rules if follows else content_grants(server.views, each)
        return Thing(
            "view",
            str(each.id),
            workbook.name,
            workbook.owner,
            workbook.project,
            rules,
            said=tuple(each.tags),
        )

    def keep(read: Iterable[Thing]) -> None:
        for thing in read:
            things[thing.luid] = thing
            on_thing(len(things), of)

    with ThreadPoolExecutor(WORKERS) as pool:
        keep(pool.map(partial(_thing, server), items))
        keep(pool.map(view, views))  # last: most have the rules of their workbook
    customer_groups = {mark: group.id for group in groups if (mark := marks.grouped(group.name))}
    return Site(users, held, tuple(things.values()), customer_groups)


def _users(
    server: TSC.Server, groups: Iterable[TSC.GroupItem], held: Mapping[str, frozenset[str]]
) -> dict[str, User]:
    roles = defaultdict(set)
    for group in groups:
        for luid in held[group.id] if group.minimum_site_role else ():
            roles[luid].add(group.minimum_site_role)
    return {
        user.id: User(user.id, user.name, frozenset({user.site_role, *roles[user.id]}))
        for user in everything(server.users)
    }


def _thing(server: TSC.Server, item: tuple[Kind, Any]) -> Thing:
    """A project, data source or workbook, with its rules."""
    kind, each = item
    if kind == "project":
        rules = project_grants(server, each.id, "project")
        return Thing(
            kind, each.id, each.name, each.owner_id, each.parent_id, rules, marks.described(each),
            said=(each.description or "",),
        )  # fmt: skip
    endpoint = server.datasources if kind == "data source" else server.workbooks
    rules, sources = content_grants(endpoint, each), frozenset[str]()
    if kind == "workbook":
        server.workbooks.populate_connections(each)
        sources = frozenset(str(connection.datasource_id) for connection in each.connections)
    return Thing(
        kind, each.id, each.name, each.owner_id, each.project_id, rules, marks.described(each), sources,
        (each.description or "", *each.tags),
    )  # fmt: skip


def _locked(projects: Iterable[TSC.ProjectItem]) -> set[str]:
    """The LUIDs of projects whose content has the rules of the project, or of one above it."""
    by_luid = {project.id: project for project in projects}

    def is_locked(project: TSC.ProjectItem | None, locks: tuple[str, ...]) -> bool:
        if project is None:
            return False
        above = by_luid.get(project.parent_id)
        return project.content_permissions in locks or is_locked(above, (_LOCK.LockedToProject,))

    locks = (_LOCK.LockedToProject, _LOCK.LockedToProjectWithoutNested)
    return {luid for luid, project in by_luid.items() if is_locked(project, locks)}
