"""What Tableau holds of each customer, as desired state: read, planned, applied, read back.

Under one project of ours every customer has a locked project and a group, found again by their marks, never
by the customer's name. The hash of a data source's content is its tag, set only when the upload is through; a
data source of ours without the right tag is uploaded again.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import requests
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import NotSignedInError

from callmart.errors import UserError
from callmart.grants import NOBODY, Access, align, customer_access, data_source_grants, project_access
from callmart.tableau import FAILURES, reason

TOP_PROJECT = "callmart"
# not with the nested ones: the customers' projects would follow it and have no rules of their own
_TOP_LOCK = TSC.ProjectItem.ContentPermissions.LockedToProjectWithoutNested
_LOCK = TSC.ProjectItem.ContentPermissions.LockedToProject
_MARK = "callmart customer"
_GROUP = "callmart-customer-"
_NUMBER = "([1-9][0-9]*)"
_TAG = "callmart-"
_PAGE_SIZE = 1000
_LOST = (NotSignedInError, requests.ConnectionError)  # what ends the work for all customers, not for one

Action = Literal["add", "change", "remove"]
Kind = Literal["group", "project", "permissions", "data source"]
_SIGNS: Mapping[Action, str] = {"add": "+", "change": "~", "remove": "-"}


@dataclass(frozen=True)
class DataSource:
    """An extract that is to be published: its rows by `content_hash`, the same rows having the same hash."""

    group: str
    name: str
    file: Path
    content_hash: str
    rows: int


@dataclass(frozen=True)
class Publication:
    """What a customer is to have, all of it; with no data sources an empty project."""

    customer_id: int
    name: str
    data_sources: tuple[DataSource, ...]

    @property
    def project(self) -> str:
        """The name of the customer's project."""
        return f"{self.customer_id} {self.name}"


class Foreign(NamedTuple):
    """Something in a project of ours that is not ours: reported, never touched."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"? {self.kind} '{self.name}' is not ours"


@dataclass(frozen=True)
class PublishedSource:
    """A data source of ours on Tableau, and the hashes that its tags name."""

    luid: str
    name: str
    hashes: frozenset[str]


@dataclass(frozen=True)
class Project:
    """A project of ours on Tableau, and what is in it."""

    luid: str
    name: str
    lock: str
    access: Access
    data_sources: tuple[PublishedSource, ...] = ()
    foreign: tuple[Foreign, ...] = ()


@dataclass(frozen=True)
class Actual:
    """What Tableau holds; a customer with several projects is a fault that a person must mend."""

    top: Project | None
    projects: Mapping[int, tuple[Project, ...]]
    groups: Mapping[int, str]  # LUIDs

    @property
    def customers(self) -> set[int]:
        """All customers of whom something is there."""
        return {*self.projects, *self.groups}


@dataclass(frozen=True)
class Step:
    """One change. `luid` is that of what there is, `hashes` what its tags name, `source` what comes."""

    customer_id: int | None
    action: Action
    kind: Kind
    name: str
    luid: str | None = None
    hashes: frozenset[str] = frozenset()
    source: DataSource | None = None

    def __str__(self) -> str:
        rows = f" ({self.source.rows:,} rows)" if self.source else ""
        return f"{_SIGNS[self.action]} {self.kind} '{self.name}'{rows}"


@dataclass(frozen=True)
class CustomerPlan:
    """The changes for one customer in the order in which they are safe, or the `problem` that forbids any."""

    customer_id: int
    project: str
    steps: tuple[Step, ...]
    stays: bool = True
    project_id: str = ""  # until it is made
    group_id: str = ""
    unchanged: tuple[PublishedSource, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Plan:
    """The difference between what should be on Tableau and what is."""

    top: tuple[Step, ...]
    top_id: str | None
    foreign: tuple[Foreign, ...]
    customers: tuple[CustomerPlan, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All changes."""
        return self.top + tuple(step for customer in self.customers for step in customer.steps)

    @property
    def leaving(self) -> tuple[int, ...]:
        """The customers of whom everything is to be removed."""
        return tuple(plan.customer_id for plan in self.customers if not plan.stays)

    def lines(self) -> Iterator[str]:
        """The plan for a person: + comes, ~ changes, - goes, ? is not ours, ! can't be done, = stays."""
        yield from (str(step) for step in self.top)
        yield from (str(each) for each in self.foreign)
        for customer in self.customers:
            problem = (f"! {customer.problem}",) if customer.problem else ()
            if lines := (*customer.steps, *customer.foreign, *problem):
                yield f"customer {customer.customer_id}"
                yield from (f"  {line}" for line in lines)
        yield f"= {sum(len(customer.unchanged) for customer in self.customers)} data sources unchanged"


@dataclass(frozen=True)
class Outcome:
    """What was done for a customer, and the error that ended it, if one did, as a sentence for a person."""

    customer_id: int
    project: str
    done: tuple[Step, ...]
    error: str | None = None


def read(server: TSC.Server) -> Actual:
    """What Tableau holds of ours. Every error is raised: something that can't be read is not absent."""
    projects = _everything(server.projects)
    top = next((p for p in projects if p.name == TOP_PROJECT and p.parent_id is None), None)
    groups = {
        int(found[1]): str(group.id)
        for group in _everything(server.groups)
        if (found := re.fullmatch(_GROUP + _NUMBER, group.name))
    }
    if top is None:
        return Actual(None, {}, groups)
    content = _content(server, projects)
    customers: dict[int, tuple[Project, ...]] = {}
    foreign = []
    for kind, item in content[top.id]:
        customer_id = _marked(item) if kind == "project" else None
        if customer_id is None:
            foreign.append(Foreign(kind, item.name))
        else:
            project = _project(server, item, content[item.id])
            customers[customer_id] = (*customers.get(customer_id, ()), project)
    access = project_access(server, top.id)
    return Actual(
        Project(top.id, top.name, top.content_permissions, access, foreign=tuple(foreign)), customers, groups
    )


def plan(desired: Iterable[Publication], actual: Actual) -> Plan:
    """The changes that make what is there what is `desired`; customers that are not in it lose everything."""
    wanted = {publication.customer_id: publication for publication in desired}
    return Plan(
        top=tuple(_top_steps(actual.top)),
        top_id=actual.top.luid if actual.top else None,
        foreign=actual.top.foreign if actual.top else (),
        customers=tuple(
            _stay(wanted[customer], actual) if customer in wanted else _leave(customer, actual)
            for customer in sorted(wanted.keys() | actual.customers)
        ),
    )


def apply(
    server: TSC.Server, plan: Plan, on_step: Callable[[Step], None] = lambda step: None
) -> list[Outcome]:
    """Carries out `plan`, tells `on_step` of each change made, and proves afterwards who can reach what.

    A customer that fails leaves the others alone; what could not be finished is finished by the next plan.
    """
    top_id = plan.top_id
    for step in plan.top:
        top_id = _perform_top(server, top_id, step)
        on_step(step)
    outcomes = []
    lost: str | None = None
    for customer in plan.customers:
        done = []
        error = customer.problem or (lost if customer.steps else None)
        if error is None:
            try:
                for step in _perform(server, top_id, customer):
                    done.append(step)
                    on_step(step)
            except (*FAILURES, OSError, UserError) as failure:
                error = reason(failure)
                lost = error if isinstance(failure, _LOST) else None
        said = f"customer {customer.customer_id}: {error}" if error else None
        outcomes.append(Outcome(customer.customer_id, customer.project, tuple(done), said))
    return outcomes


def _everything(endpoint: Any) -> list[Any]:
    """All items of an endpoint; a Pager raises what iterating a query of TSC would swallow.

    A list that is not as long as the server says is an error too: what is left out of it is not absent.
    """
    announced: list[int] = []

    def get(options: TSC.RequestOptions) -> Any:
        items, pagination = endpoint.get(options)
        announced.append(pagination.total_available)
        return items, pagination

    items = list(TSC.Pager(get, TSC.RequestOptions(pagesize=_PAGE_SIZE)))
    if len(items) != announced[-1]:
        raise UserError("Tableau gave a list that is not complete; run again.")
    return items


def _content(server: TSC.Server, projects: Iterable[TSC.ProjectItem]) -> Mapping[str, list[tuple[str, Any]]]:
    """What is in each project, by the project's LUID: the kind and the item."""
    content: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for project in projects:
        content[project.parent_id].append(("project", project))
    for kind, endpoint in (("data source", server.datasources), ("workbook", server.workbooks)):
        for item in _everything(endpoint):
            content[item.project_id].append((kind, item))
    return content


def _marked(item: Any) -> int | None:
    """The customer whose mark the description of `item` is."""
    found = re.fullmatch(f"{_MARK} {_NUMBER}", item.description or "")
    return int(found[1]) if found else None


def _project(server: TSC.Server, project: TSC.ProjectItem, content: Iterable[tuple[str, Any]]) -> Project:
    ours, foreign = [], []
    for kind, item in content:
        hashes = {tag.removeprefix(_TAG) for tag in getattr(item, "tags", ()) if tag.startswith(_TAG)}
        if kind == "data source" and (hashes or _marked(item) == _marked(project)):
            ours.append(PublishedSource(item.id, item.name, frozenset(hashes)))
        else:
            foreign.append(Foreign(kind, item.name))
    return Project(
        project.id, project.name, project.content_permissions, project_access(server, project.id),
        tuple(ours), tuple(foreign),
    )  # fmt: skip


def _top_steps(top: Project | None) -> Iterator[Step]:
    if top is None:
        yield Step(None, "add", "project", TOP_PROJECT)
    elif top.lock != _TOP_LOCK:
        yield Step(None, "change", "project", TOP_PROJECT)
    if top is None or top.access != NOBODY:
        yield Step(None, "change", "permissions", TOP_PROJECT)


def _stay(publication: Publication, actual: Actual) -> CustomerPlan:
    """What makes a customer's project what `publication` says; permissions and removals before uploads."""
    customer, name = publication.customer_id, publication.project
    found, group_id = actual.projects.get(customer, ()), actual.groups.get(customer, "")
    if len(found) > 1:
        return CustomerPlan(customer, name, (), problem=_several(found))
    project = found[0] if found else None
    present = {source.name: source for source in project.data_sources} if project else {}
    foreign = project.foreign if project else ()
    for source in publication.data_sources:
        if Foreign("data source", source.name) in foreign:
            return CustomerPlan(customer, name, (), foreign=foreign, problem=_taken(source.name))

    steps = []
    if not group_id:
        steps.append(Step(customer, "add", "group", f"{_GROUP}{customer}"))
    if project is None:
        steps.append(Step(customer, "add", "project", name))
    elif (project.name, project.lock) != (name, _LOCK):
        steps.append(Step(customer, "change", "project", name, project.luid))
    if project is None or not group_id or project.access != customer_access(group_id):
        steps.append(Step(customer, "change", "permissions", name))
    wanted = {source.name for source in publication.data_sources}
    steps += [_removal(customer, old) for old in present.values() if old.name not in wanted]
    unchanged = []
    for source in publication.data_sources:
        old = present.get(source.name)
        if old is None:
            steps.append(Step(customer, "add", "data source", source.name, source=source))
        elif old.hashes != {source.content_hash}:
            steps.append(Step(customer, "change", "data source", source.name, old.luid, old.hashes, source))
        else:
            unchanged.append(old)
    return CustomerPlan(
        customer, name, tuple(steps), project_id=project.luid if project else "", group_id=group_id,
        unchanged=tuple(unchanged), foreign=foreign,
    )  # fmt: skip


def _leave(customer: int, actual: Actual) -> CustomerPlan:
    """What removes all that a customer had; a project with foreign content is closed and emptied of ours."""
    found, group_id = actual.projects.get(customer, ()), actual.groups.get(customer)
    steps = []
    for project in found:
        if project.foreign:
            if project.access != NOBODY:
                steps.append(Step(customer, "change", "permissions", project.name, project.luid))
            steps += [_removal(customer, source) for source in project.data_sources]
        else:
            steps.append(Step(customer, "remove", "project", project.name, project.luid))
    if group_id is not None:
        steps.append(Step(customer, "remove", "group", f"{_GROUP}{customer}", group_id))
    return CustomerPlan(
        customer, found[0].name if found else str(customer), tuple(steps), stays=False,
        foreign=tuple(each for project in found for each in project.foreign),
    )  # fmt: skip


def _removal(customer: int, source: PublishedSource) -> Step:
    return Step(customer, "remove", "data source", source.name, source.luid)


def _several(projects: Sequence[Project]) -> str:
    luids = ", ".join(project.luid for project in projects)
    return f"several projects on Tableau carry this customer's mark ({luids}); remove all but one."


def _taken(name: str) -> str:
    return f"the project holds a data source '{name}' that is not ours; rename or remove it on Tableau."


def _perform_top(server: TSC.Server, top_id: str | None, step: Step) -> str:
    """Carries out a step for the project above all customers; its LUID."""
    if step.kind == "permissions":
        assert top_id is not None
        _close(server, top_id, NOBODY)
        return top_id
    item = TSC.ProjectItem(TOP_PROJECT, content_permissions=_TOP_LOCK, id=top_id)
    made = server.projects.create(item) if top_id is None else server.projects.update(item)
    return str(made.id)


def _perform(server: TSC.Server, top_id: str | None, plan: CustomerPlan) -> Iterator[Step]:
    """Carries out a customer's steps, yields each when it is done, and proves the result."""
    project_id, group_id = plan.project_id, plan.group_id
    published = [source.luid for source in plan.unchanged]
    for step in plan.steps:
        match step.action, step.kind:
            case "add", "group":
                group_id = server.groups.create(TSC.GroupItem(step.name)).id
            case "add", "project":
                mark = f"{_MARK} {plan.customer_id}"
                project_id = server.projects.create(TSC.ProjectItem(step.name, mark, _LOCK, top_id)).id
            case "change", "project":
                server.projects.update(TSC.ProjectItem(step.name, content_permissions=_LOCK, id=step.luid))
            case _, "permissions":
                _close(server, step.luid or project_id, customer_access(group_id) if plan.stays else NOBODY)
            case "remove", "data source":
                server.datasources.delete(step.luid)
            case "remove", "project":
                server.projects.delete(step.luid)
            case "remove", "group":
                server.groups.delete(step.luid)
            case _, "data source":
                published.append(_upload(server, project_id, step))
        yield step
    if plan.stays and plan.steps:
        _prove(server, project_id, customer_access(group_id), published)


def _close(server: TSC.Server, project_id: str, access: Access) -> None:
    """Grants exactly `access` in a project; a UserError where the project then says otherwise."""
    align(server, project_id, access)
    if project_access(server, project_id) != access:
        raise UserError(
            f"the permissions of project {project_id} did not become as set; see who changes them."
        )


def _upload(server: TSC.Server, project_id: str, step: Step) -> str:
    """The LUID of the data source that now has the content of the step's source, and says so by its tag."""
    assert step.source is not None
    if step.hashes:
        # the content is about to change: from here until the new tag the data source promises nothing
        server.datasources.delete_tags(step.luid, {f"{_TAG}{each}" for each in step.hashes})
    item = TSC.DatasourceItem(project_id, step.name)
    item.description = f"{_MARK} {step.customer_id}"
    mode = server.PublishMode.Overwrite if step.luid else server.PublishMode.CreateNew
    published = server.datasources.publish(item, step.source.file, mode)
    server.datasources.add_tags(published, f"{_TAG}{step.source.content_hash}")
    return str(published.id)


def _prove(server: TSC.Server, project_id: str, access: Access, data_sources: Iterable[str]) -> None:
    """Reads back that the customer's group, and nobody else, reaches the project and what is in it."""
    reached = [project_access(server, project_id) == access]
    for luid in data_sources:
        item = server.datasources.get_by_id(luid)
        reached.append(item.project_id == project_id)
        reached.append(data_source_grants(server, item) == access["datasource"])
    if not all(reached):
        raise UserError(
            "what was published can be reached by others than the customer's group; correct it on Tableau, "
            "then publish again."
        )
