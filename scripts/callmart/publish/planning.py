"""The difference between what should be on Tableau and what is, as steps in the order in which they are safe."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import tableauserverclient as TSC

from callmart.grants import NOBODY, customer_access
from callmart.publish.actual import (
    CUSTOMER_GROUP,
    TOP_PROJECT,
    USERS,
    Actual,
    Content,
    ContentKind,
    Foreign,
    Group,
    Project,
    User,
    identity,
)
from callmart.publish.desired import DataSource, Mail, Publication, Workbook
from callmart.publish.mail import when

# not with the nested ones: the customers' projects would follow it and have no rules of their own
TOP_LOCK = TSC.ProjectItem.ContentPermissions.LockedToProjectWithoutNested
LOCK = TSC.ProjectItem.ContentPermissions.LockedToProject
ROLE = "Viewer"  # the least with which a user can look

Action = Literal["add", "change", "remove"]
Kind = Literal[
    "group",
    "user",
    "member",
    "project",
    "permissions",
    "data source",
    "workbook",
    "schedule",
    "subscription",
    "site",
]
_SIGNS: Mapping[Action, str] = {"add": "+", "change": "~", "remove": "-"}


@dataclass(frozen=True)
class Step:
    """One change. `luid` is that of what there is, `hashes` what its tags name, `content` what comes."""

    customer_id: int | None
    action: Action
    kind: Kind
    name: str
    luid: str | None = None
    hashes: frozenset[str] = frozenset()
    content: DataSource | Workbook | Mail | None = None

    @property
    def shown(self) -> str:
        """The name as it may be read by anybody; of an address no more than tells it from others."""
        if self.kind not in ("user", "member", "subscription"):
            return self.name
        return shortened(self.name)

    def __str__(self) -> str:
        rows = self.content.rows if isinstance(self.content, DataSource) else None
        return f"{_SIGNS[self.action]} {self.kind} '{self.shown}'" + (f" ({rows:,} rows)" if rows else "")


@dataclass(frozen=True)
class CustomerPlan:
    """The changes for one customer in the order in which they are safe; with a `problem` none but to stop its mail."""

    customer_id: int
    project: str
    steps: tuple[Step, ...]
    stays: bool = True
    project_id: str = ""  # until it is made
    group_id: str = ""
    unchanged: tuple[Content, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    members: frozenset[str] = frozenset()  # LUIDs of those in its group until now
    mailing: tuple[str, ...] = ()  # LUIDs of the subscriptions that would mail if nothing were done
    hold: str | None = None  # why nothing may be mailed
    problem: str | None = None


@dataclass(frozen=True)
class Plan:
    """The difference between what should be on Tableau and what is."""

    top: tuple[Step, ...]
    top_id: str | None
    foreign: tuple[Foreign, ...]
    customers: tuple[CustomerPlan, ...]
    users: Mapping[str, User]  # by identity
    users_group: str | None
    schedules: Mapping[str, str] | None  # LUIDs by name; None on Tableau Cloud

    @property
    def steps(self) -> tuple[Step, ...]:
        """All changes."""
        return self.top + tuple(step for customer in self.customers for step in customer.steps)

    @property
    def leaving(self) -> tuple[int, ...]:
        """The customers of whom everything is to be removed."""
        return tuple(plan.customer_id for plan in self.customers if not plan.stays)

    @property
    def unchanged(self) -> int:
        """How many data sources and workbooks stay as they are."""
        return sum(len(customer.unchanged) for customer in self.customers)

    def lines(self) -> Iterator[str]:
        """The plan for a person: + comes, ~ changes, - goes, ? is not ours, ! can't be done, = stays."""
        yield from (str(step) for step in self.top)
        yield from (str(each) for each in self.foreign)
        for customer in self.customers:
            alerts = [f"! {said}" for said in (customer.problem, held(customer)) if said]
            if lines := (*customer.steps, *customer.foreign, *alerts):
                yield f"customer {customer.customer_id}"
                yield from (f"  {line}" for line in lines)
        yield f"= {self.unchanged} data sources and workbooks unchanged"

    def as_json(self) -> dict[str, Any]:
        """The plan for a program."""
        return {
            "steps": [
                {
                    "customer_id": step.customer_id,
                    "action": step.action,
                    "kind": step.kind,
                    "name": step.shown,
                }
                for step in self.steps
            ],
            "foreign": [
                {"customer_id": customer_id, "kind": each.kind, "name": each.name}
                for customer_id, found in (
                    (None, self.foreign),
                    *((customer.customer_id, customer.foreign) for customer in self.customers),
                )
                for each in found
            ],
            "problems": {
                customer.customer_id: customer.problem for customer in self.customers if customer.problem
            },
            "held": {customer.customer_id: customer.hold for customer in self.customers if customer.hold},
            "leaving": list(self.leaving),
            "unchanged": self.unchanged,
        }


def shortened(text: str) -> str:
    """A text whose addresses tell no more than who is who."""
    return re.sub(r"([^\s@])[^\s@]*@", r"\1…@", text)


def plan(desired: Iterable[Publication], actual: Actual) -> Plan:
    """The changes that make what is there what is `desired`; customers that are not in it lose everything."""
    wanted = {publication.customer_id: publication for publication in desired}
    members = {identity(name) for publication in wanted.values() for name in publication.members}
    gone = {user.luid: user for name, user in actual.users.items() if user.is_ours and name not in members}
    return Plan(
        top=tuple(_top_steps(actual, gone, is_user_wanted=bool(members))),
        top_id=actual.top.luid if actual.top else None,
        foreign=actual.top.foreign if actual.top else (),
        customers=tuple(
            _stay(wanted[customer], actual, gone) if customer in wanted else _leave(customer, actual)
            for customer in sorted(wanted.keys() | actual.customers)
        ),
        users=actual.users,
        users_group=actual.users_group,
        schedules=actual.schedules,
    )


def held(customer: CustomerPlan) -> str | None:
    """What a person should know of mail that does not go out."""
    return f"the weekly mail is suspended: {customer.hold}" if customer.hold else None


def tag_of(workbook: Workbook, content_url: str) -> str:
    """The hash of a workbook on the data source of that content URL: on another one it is another workbook."""
    return sha256(f"{workbook.content_hash}\n{content_url}".encode()).hexdigest()


def _top_steps(actual: Actual, gone: Mapping[str, User], *, is_user_wanted: bool) -> Iterator[Step]:
    """What is above all customers. Who is no customer's any more goes first; the others have the least role."""
    for user in actual.users.values():
        if user.luid in gone:
            yield Step(None, "remove", "user", user.name, user.luid)
        elif user.is_ours and user.role != ROLE:
            yield Step(None, "change", "user", user.name, user.luid)
    if is_user_wanted and not actual.hides_users:
        yield Step(None, "change", "site", "users do not see each other")
    if is_user_wanted and actual.users_group is None:
        yield Step(None, "add", "group", USERS)
    top = actual.top
    if top is None:
        yield Step(None, "add", "project", TOP_PROJECT)
    elif top.lock != TOP_LOCK:
        yield Step(None, "change", "project", TOP_PROJECT)
    if top is None or top.access != NOBODY:
        yield Step(None, "change", "permissions", TOP_PROJECT)


def _stay(publication: Publication, actual: Actual, gone: Mapping[str, User]) -> CustomerPlan:
    """What makes a customer's project what `publication` says; permissions and removals before uploads."""
    customer, name = publication.customer_id, publication.project
    found, group = actual.projects.get(customer, ()), actual.groups.get(customer)
    project = found[0] if found else None
    foreign = project.foreign if project else ()
    if problem := publication.problem or actual.unread.get(customer) or _problem(publication, found):
        stops = tuple(
            Step(customer, "change", "subscription", "all", each.luid)
            for other in found
            for each in other.subscriptions
            if not each.is_suspended
        )
        return CustomerPlan(customer, name, stops, foreign=foreign, problem=problem)

    steps = []
    if group is None:
        steps.append(Step(customer, "add", "group", f"{CUSTOMER_GROUP}{customer}"))
    if project is None:
        steps.append(Step(customer, "add", "project", name))
    elif (project.name, project.lock) != (name, LOCK):
        steps.append(Step(customer, "change", "project", name, project.luid))
    if project is None or group is None or project.access != customer_access(group.luid):
        steps.append(Step(customer, "change", "permissions", name))
    stopping, starting, mailing = _mail_steps(publication, project, actual, gone)
    steps += stopping
    steps += _member_steps(publication, group, actual, gone)
    steps += _removals(publication, project)
    unchanged = []
    urls: dict[str, str] = {}
    for source in publication.data_sources:
        old = project.of_kind("data source").get(source.name) if project else None
        if old is not None:
            urls[source.name] = old.content_url
        if old is None or old.hashes != {source.content_hash}:
            steps.append(_coming(customer, "data source", source, old))
        else:
            unchanged.append(old)
    for workbook in publication.workbooks:
        old = project.of_kind("workbook").get(workbook.name) if project else None
        url = urls.get(workbook.source.title)
        if old is None or url is None or old.hashes != {tag_of(workbook, url)}:
            steps.append(_coming(customer, "workbook", workbook, old))
        else:
            unchanged.append(old)
    steps += starting
    return CustomerPlan(
        customer, name, tuple(steps), project_id=project.luid if project else "",
        group_id=group.luid if group else "", unchanged=tuple(unchanged), foreign=foreign,
        members=group.members if group else frozenset(),
        mailing=tuple(mailing), hold=publication.hold if publication.mails else None,
    )  # fmt: skip


def _coming(customer: int, kind: ContentKind, content: DataSource | Workbook, old: Content | None) -> Step:
    if old is None:
        return Step(customer, "add", kind, content.name, content=content)
    return Step(customer, "change", kind, content.name, old.luid, old.hashes, content)


def _member_steps(
    publication: Publication, group: Group | None, actual: Actual, gone: Mapping[str, User]
) -> Iterator[Step]:
    """Who leaves the customer's group, and who joins it, on the site first."""
    customer = publication.customer_id
    wanted = {identity(name): name for name in publication.members}
    present = group.members - gone.keys() if group else frozenset[str]()
    named = {user.luid: (key, user.name) for key, user in actual.users.items()}
    for luid in sorted(present):
        key, name = named.get(luid, ("", luid))
        if key not in wanted:
            yield Step(customer, "remove", "member", name, luid)
    for key, name in wanted.items():
        user = actual.users.get(key)
        # one that was never used may be what an addition left that broke off: it is ours from now on
        if user is None or (user.role == ROLE and user.is_unused and not user.is_ours):
            yield Step(customer, "add", "user", name)
        if user is None or user.luid not in present:
            yield Step(customer, "add", "member", name)


def _mail_steps(
    publication: Publication, project: Project | None, actual: Actual, gone: Mapping[str, User]
) -> tuple[list[Step], list[Step], list[str]]:
    """What stops mail before anything is changed, what starts it when all is, and which subscriptions mail now.

    Every subscription to a workbook of ours is ours to decide on: one that somebody made for themselves would mail
    what is held back.
    """
    customer = publication.customer_id
    stopping: list[Step] = []
    starting: list[Step] = []
    mailing: list[str] = []
    wanted = {(identity(mail.member), mail.workbook): mail for mail in publication.mails}
    workbooks = {each.luid: each.name for each in project.content} if project else {}
    named = {user.luid: name for name, user in actual.users.items()}
    for old in project.subscriptions if project else ():
        if not old.is_suspended:
            mailing.append(old.luid)
        if old.user in gone:
            continue  # goes with the user
        member, workbook = named.get(old.user, old.user), workbooks[old.workbook]
        mail, name = wanted.get((member, workbook)), f"{workbook} to {member}"
        if mail is None or not old.is_as(mail):
            stopping.append(Step(customer, "remove", "subscription", name, old.luid))
            continue
        del wanted[member, workbook]  # a second one is too many
        if old.is_suspended != bool(publication.hold):
            to = stopping if publication.hold else starting
            to.append(Step(customer, "change", "subscription", name, old.luid, content=mail))
    if publication.hold is None:
        for mail in wanted.values():
            if actual.schedules is not None and when(mail) not in actual.schedules:
                starting.append(Step(customer, "add", "schedule", when(mail)))
            name = f"{mail.workbook} to {mail.member}"
            starting.append(Step(customer, "add", "subscription", name, content=mail))
    return stopping, list(dict.fromkeys(starting)), mailing


def _removals(publication: Publication, project: Project | None) -> Iterator[Step]:
    """What is ours and no longer wanted; workbooks before the data sources that they are on."""
    wanted: tuple[tuple[ContentKind, Iterable[DataSource | Workbook]], ...] = (
        ("workbook", publication.workbooks),
        ("data source", publication.data_sources),
    )
    for kind, contents in wanted:
        names = {each.name for each in contents}
        for name, old in (project.of_kind(kind) if project else {}).items():
            if name not in names:
                yield _removal(publication.customer_id, old)


def _leave(customer: int, actual: Actual) -> CustomerPlan:
    """What removes all that a customer had; a project with foreign content is closed and emptied of ours."""
    found, group = actual.projects.get(customer, ()), actual.groups.get(customer)
    steps = []
    for project in found:
        if project.foreign:
            if project.access != NOBODY:
                steps.append(Step(customer, "change", "permissions", project.name, project.luid))
            workbooks_first = sorted(project.content, key=lambda each: each.kind, reverse=True)
            steps += [_removal(customer, each) for each in workbooks_first]
        else:
            steps.append(Step(customer, "remove", "project", project.name, project.luid))
    if group is not None:
        steps.append(Step(customer, "remove", "group", f"{CUSTOMER_GROUP}{customer}", group.luid))
    return CustomerPlan(
        customer, found[0].name if found else str(customer), tuple(steps), stays=False,
        foreign=tuple(each for project in found for each in project.foreign),
    )  # fmt: skip


def _removal(customer: int, content: Content) -> Step:
    return Step(customer, "remove", content.kind, content.name, content.luid)


def _problem(publication: Publication, found: Sequence[Project]) -> str | None:
    """Why a person must act first: more than one project of the customer, or a name that others have taken."""
    if len(found) > 1:
        luids = ", ".join(project.luid for project in found)
        return f"several projects on Tableau carry this customer's mark ({luids}); remove all but one."
    taken = {(each.kind, identity(each.name)) for project in found for each in project.foreign}
    wanted: list[tuple[ContentKind, str]] = [("data source", each.name) for each in publication.data_sources]
    wanted += [("workbook", each.name) for each in publication.workbooks]
    for kind, name in wanted:
        if (kind, identity(name)) in taken:
            return f"the project holds a {kind} '{name}' that is not ours; rename or remove it on Tableau."
    return None
