"""Computes what every user reaches on Tableau, and compares it with what is declared.

Nothing is taken from a plan. Users, groups, content and permission rules are read again, and for each thing its own
rules, not those of the project that it should follow.

The rules are evaluated as Tableau does it. Administrators have everything, and so have the owner of a thing and the
leader of a project above it. For others the user's own rules decide, or without any those of the user's groups. Deny
wins, and what no rule allows is not allowed. In doubt, more is assumed rather than less: a site role takes nothing
away, because it can be changed in a minute, and a rule for something that is neither a user nor a group counts as a
rule for everybody.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import tableauserverclient as TSC

from callmart.base.errors import UserError
from callmart.publish import Actual, Publication, marks, shortened
from callmart.publish.actual import INCOMPLETE, WORKERS, everything, identity, members
from callmart.publish.grants import ALLOWED, EXPORTING, Grant, content_grants, project_grants
from callmart.publish.marks import Mark

Kind = Literal["project", "data source", "workbook", "view"]
_SCOPES: Mapping[Kind, str] = {
    "project": "project",
    "data source": "datasource",
    "workbook": "workbook",
    "view": "workbook",
}
EVERYTHING = frozenset({"everything"})
_BESIDE = 0  # instead of a customer's number: in the project above all customers, but of no customer

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
            raise UserError(INCOMPLETE)
        follows = workbook.luid in tabbed or workbook.project in locked
        rules = workbook.rules if follows else content_grants(server.views, each)
        return Thing("view", str(each.id), workbook.name, workbook.owner, workbook.project, rules)

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
        return Thing(kind, each.id, each.name, each.owner_id, each.parent_id, rules, marks.described(each))
    endpoint = server.datasources if kind == "data source" else server.workbooks
    rules, sources = content_grants(endpoint, each), frozenset[str]()
    if kind == "workbook":
        server.workbooks.populate_connections(each)
        sources = frozenset(str(connection.datasource_id) for connection in each.connections)
    return Thing(
        kind, each.id, each.name, each.owner_id, each.project_id, rules, marks.described(each), sources
    )


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


# -- comparing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """The result of a comparison: how much was looked at, and a sentence per difference."""

    must: int  # things that recipients must reach, counted per recipient
    lacking: list[str]
    things: int
    beyond: list[str]
    astray: list[str]
    persons: dict[
        str, int
    ]  # users who see customers' content because of their position: how many per position


def compare(site: Site, desired: Mapping[int, Publication], actual: Actual) -> Compared:
    """Compare what the users of a site reach with what they should reach.

    Each recipient must reach all the content of its customer, with the declared capabilities. Nobody may reach more.
    All content with a customer's data must be in the customer's project: a workbook elsewhere would show the data to
    others, whatever the rights on its data source. `actual` tells which customer each project belongs to.

    What another installation publishes is checked only for our recipients. They may reach there what the other
    installation's group of the customer gives its members, if they are members, and no more.
    """
    places: dict[str, int | None] = {
        project.luid: customer for customer, projects in actual.projects.items() for project in projects
    }
    if actual.top is not None:
        places[actual.top.luid] = _BESIDE
        for thing in site.projects.values():
            if thing.project == actual.top.luid and _of_another(thing, actual):
                places[thing.luid] = None
    return _Comparison(site, desired, places, actual.installation).result()


def _of_another(thing: Thing, actual: Actual) -> bool:
    return thing.mark is not None and thing.mark.installation not in (None, actual.installation)


class _Comparison:
    def __init__(
        self,
        site: Site,
        desired: Mapping[int, Publication],
        places: Mapping[str, int | None],
        installation: str,
    ) -> None:
        self.site, self.desired, self.places, self.installation = site, desired, places, installation
        self.ours: dict[int | None, list[Thing]] = defaultdict(list)  # None: content of no customer
        for thing in site.things:
            owned = (places[project.luid] for project in site.above(thing) if project.luid in places)
            self.ours[next(owned, None)].append(thing)
        self.reached = {thing.luid: site.reached(thing) for thing in site.things}
        by_name = {identity(user.name): user for user in site.users.values()}
        self.recipients = {
            customer: {name: by_name.get(identity(name)) for name in publication.members}
            for customer, publication in desired.items()
        }
        self.customers: dict[str, set[int]] = {}  # by LUID of the recipient
        for customer, users in self.recipients.items():
            for user in users.values():
                if user is not None:
                    self.customers.setdefault(user.luid, set()).add(customer)

    def result(self) -> Compared:
        must, lacking = 0, []
        for customer, users in self.recipients.items():
            wanted = [thing for thing in self.ours[customer] if self._is_declared(customer, thing)]
            lacking += list(self._absent(customer, wanted))
            must += len(users) * len(wanted)
            for name, user in users.items():
                lacking += list(self._lacking(customer, name, user, wanted))
        ours = sum(len(things) for customer, things in self.ours.items() if customer is not None)
        return Compared(must, lacking, ours, list(self._beyond()), list(self._astray()), self._persons())

    def _is_declared(self, customer: int, thing: Thing) -> bool:
        if customer not in self.desired:
            return False
        match thing.kind:
            case "project":
                return True
            case "data source":
                return thing.name in {each.name for each in self.desired[customer].data_sources}
            case _:
                return thing.name in {each.name for each in self.desired[customer].workbooks}

    def _absent(self, customer: int, there: list[Thing]) -> Iterator[str]:
        publication = self.desired[customer]
        names = {(thing.kind, thing.name) for thing in there}
        wanted = [("data source", each.name) for each in publication.data_sources]
        wanted += [(kind, each.name) for kind in ("workbook", "view") for each in publication.workbooks]
        for kind, name in wanted:
            if (kind, name) not in names:
                yield f"customer {customer}: {kind} '{name}' is not there; publish again"

    def _lacking(self, customer: int, name: str, user: User | None, wanted: list[Thing]) -> Iterator[str]:
        if user is None:
            yield f"customer {customer}: {shortened(name)} is not on the site; publish again"
        elif not user.signs_in:
            yield f"customer {customer}: {user.shown} can't sign in; give it the site role Viewer on Tableau"
        elif not user.is_administrator:
            lacking = [
                thing for thing in wanted if not self._may(thing, user) >= self._declared(customer, thing)
            ]
            if lacking:
                yield (
                    f"customer {customer}: {user.shown} does not fully reach "
                    f"{self._named(customer, lacking)}; publish again"
                )

    def _may(self, thing: Thing, user: User) -> frozenset[str]:
        capabilities = self.reached[thing.luid].get(user.luid, frozenset())
        return self._declared(None, thing) if capabilities == EVERYTHING else capabilities

    def _beyond(self) -> Iterator[str]:
        for luid, customers in self.customers.items():
            if self.site.users[luid].is_administrator:
                who = self.site.users[luid].shown
                numbers = ", ".join(str(customer) for customer in sorted(customers))
                yield f"{who}, a recipient of customer {numbers}, reaches everything; give it the site role Viewer"
        for customer, things in self.ours.items():
            found: dict[str, list[tuple[Thing, frozenset[str]]]] = defaultdict(list)
            for thing in things:
                for luid, capabilities in self.reached[thing.luid].items():
                    if beyond := self._is_beyond(customer, luid, thing, capabilities):
                        found[luid].append((thing, beyond))
            for luid, several in found.items():
                yield self._sentence(customer, luid, several)

    def _is_beyond(
        self, customer: int | None, luid: str, thing: Thing, capabilities: frozenset[str]
    ) -> frozenset[str]:
        """The capabilities on a thing that a user has and should not have."""
        if customer is None:
            # A project of another installation shows only its customer's name.
            is_harmless = thing.kind == "project" and thing.luid not in self.places
            if luid not in self.customers or is_harmless:
                return frozenset()  # nothing of ours
            return capabilities - (
                self._declared(None, thing) if self._is_received(luid, thing) else frozenset()
            )
        if luid not in self.customers and luid in self.site.owners(thing):
            return frozenset()  # because of the position as owner: reported in `persons`, not a breach
        is_own = customer in self.customers.get(luid, ())
        return capabilities - (self._declared(customer, thing) if is_own else frozenset())

    def _declared(self, customer: int | None, thing: Thing) -> frozenset[str]:
        """The declared capabilities of a recipient on a thing; of None, in another installation's project, the most."""
        scope, exporting = EXPORTING
        exports = customer is None or (customer in self.desired and self.desired[customer].exports)
        declared = frozenset(ALLOWED[_SCOPES[thing.kind]])
        return declared | {exporting} if exports and _SCOPES[thing.kind] == scope else declared

    def _is_received(self, luid: str, thing: Thing) -> bool:
        """Whether a thing is in another installation's project of a customer whose group there has the user."""
        project = next((each for each in self.site.above(thing) if each.luid in self.places), None)
        group = self.site.customer_groups.get(project.mark) if project and project.mark else None
        return group is not None and luid in self.site.groups[group]

    def _astray(self) -> Iterator[str]:
        """Content with a customer's data that is outside of its project, or that uses another customer's data."""
        sources = {
            customer: {thing.luid for thing in things if thing.kind == "data source"}
            for customer, things in self.ours.items()
        }
        of_customers = {luid: customer for customer, luids in sources.items() if customer for luid in luids}
        for customer, things in self.ours.items():
            for thing in things:
                what = self._named(customer, [thing])
                mark = thing.mark if thing.kind != "project" else None
                if mark and mark.installation == self.installation and mark.customer_id != customer:
                    yield (
                        f"customer {mark.customer_id}: {thing.kind} {thing.luid} is not in the customer's project; "
                        "remove it, or move it back and publish again"
                    )
                if thing.kind != "workbook":
                    continue
                if not customer:
                    for other in sorted({of_customers[luid] for luid in thing.sources & of_customers.keys()}):
                        yield f"customer {other}: {what}, outside its project, uses its data; remove it"
                elif not thing.sources or not thing.sources <= sources[customer]:
                    yield (
                        f"customer {customer}: {what} does not use the customer's data sources only; remove it "
                        "and publish again"
                    )

    def _sentence(self, customer: int | None, luid: str, found: list[tuple[Thing, frozenset[str]]]) -> str:
        user = self.site.users.get(luid)
        who = user.shown if user else f"user {luid}"
        what = self._named(customer, [thing for thing, _ in found])
        how = ", ".join(sorted(frozenset[str]().union(*(capabilities for _, capabilities in found))))
        if customer is None:
            remedy = "remove the rule that allows it, or keep that content on another site"
            return f"{who}, a recipient, reaches content of no customer: {what} ({how}); {remedy}"
        owned = any(luid in self.site.owners(thing) for thing, _ in found)
        remedy = "give it to another owner on Tableau" if owned else "publish again"
        place = f"customer {customer}" if customer != _BESIDE else "beside the customers"
        return f"{place}: {who} reaches {what} ({how}); {remedy}"

    def _named(self, customer: int | None, things: list[Thing]) -> str:
        """The names of things. Only declared content is named; for anything else the LUID is used, because its name
        could be somebody's. A view is left out if its workbook is named.
        """
        named: dict[Kind, list[str]] = defaultdict(list)
        for thing in things:
            declared = customer is not None and self._is_declared(customer, thing)
            name = f"'{thing.name}'" if declared and thing.kind != "project" else thing.luid
            if thing.kind != "view" or name not in named["workbook"]:
                named[thing.kind].append(name)
        return " and ".join(
            f"{kind}{'s' * (len(names) > 1)} {', '.join(names)}" for kind, names in named.items() if names
        )

    def _persons(self) -> dict[str, int]:
        """The number of users who see customers' content as administrators, by site role, or as owners."""
        found = Counter(
            next(role for role in sorted(user.roles) if "Administrator" in role)
            for user in self.site.users.values()
            if user.is_administrator
        )
        owners = {
            luid
            for customer, things in self.ours.items()
            if customer is not None
            for thing in things
            for luid in self.site.owners(thing) & self.reached[thing.luid].keys() - self.customers.keys()
        }
        if owners:
            found["owner of content, not an administrator"] = len(owners)
        return dict(found)
