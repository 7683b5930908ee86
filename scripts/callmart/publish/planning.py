"""Plans the steps from what Tableau has to what it should have, in an order in which nobody sees too much meanwhile."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from callmart.publish import marks
from callmart.publish.actual import TOP_PROJECT, Actual, Content, ContentKind, Group, Project, User, identity
from callmart.publish.desired import DataSource, Publication, Workbook
from callmart.publish.grants import NOBODY, customer_access
from callmart.publish.marks import Mark
from callmart.publish.planned_mail import mail_steps, unmailed
from callmart.publish.plans import LOCK, ROLE, TOP_LOCK, Action, Belongings, CustomerPlan, Plan, Step
from callmart.tableau_files.workbook import PublishedSource

_TO_ADOPT = (
    "its content on Tableau is ours according to our books, but has no mark of ours; check it with "
    "`callmart publish --plan`, and adopt it with --yes"
)


def plan(
    desired: Iterable[Publication],
    actual: Actual,
    *,
    adopts: bool = True,
    waiting: Container[int] = frozenset(),
    only: Container[int] | None = None,
) -> Plan:
    """Return the changes from the actual to the desired state. Customers that aren't in `desired` lose everything, but
    those who are `waiting`, because another site doesn't have them yet. With `only`, the others are left out.

    With `adopts=False` (nobody is there to confirm it), customers with something to adopt are left untouched.
    """
    wanted = {publication.customer_id: publication for publication in desired}
    members = {identity(name) for publication in wanted.values() for name in publication.members}
    wait = {customer for customer in actual.customers if customer in waiting}
    in_use = frozenset[str]().union(*(actual.groups[each].members for each in wait & actual.groups.keys()))
    if not adopts and actual.users_before is not None:
        users = _with_unadopted(actual.users, actual.users_before)
        actual = replace(actual, users=users, users_before=None)
    leavers = [
        user
        for name, user in actual.users.items()
        if user.is_ours and name not in members and user.luid not in in_use
    ]
    if wait & actual.unread.keys():
        leavers = []  # nobody knows whom those who wait still need
    # An account that another installation also uses stays on the site.
    removable = {user.luid: user for user in leavers if not user.is_others}

    def of_one(customer: int) -> CustomerPlan:
        if customer in wait:
            return _wait(customer, actual)
        publication = wanted.get(customer)
        planned = _stay(publication, actual, removable) if publication else _leave(customer, actual)
        return _adopting(planned, actual, adopts=adopts)

    return Plan(
        installation=actual.installation,
        top=tuple(_top_steps(actual, leavers, is_user_wanted=bool(members))),
        top_id=actual.top.luid if actual.top else None,
        foreign=actual.top.foreign if actual.top else (),
        customers=tuple(
            of_one(customer)
            for customer in sorted(wanted.keys() | actual.customers | actual.known)
            if only is None or customer in only
        ),
        users=actual.users,
        users_group=actual.users_group,
        users_before=actual.users_before,
        schedules=actual.schedules,
        others=actual.others,
        belongings={luid: _belongings(luid, actual) for luid in removable},
    )


def _belongings(user: str, actual: Actual) -> Belongings:
    return Belongings(
        tuple(group.luid for group in actual.groups.values() if user in group.members),
        tuple(
            each.luid
            for projects in actual.projects.values()
            for project in projects
            for each in project.subscriptions
            if each.user == user
        ),
    )


def _with_unadopted(users: Mapping[str, User], before: Group) -> dict[str, User]:
    """The users, with the members of our group from before marks. Until that group is adopted, they count as another
    installation's, so that no account of theirs is removed.
    """
    return {
        name: replace(user, is_ours=False, is_others=True) if user.luid in before.members else user
        for name, user in users.items()
    }


def _adopting(planned: CustomerPlan, actual: Actual, *, adopts: bool) -> CustomerPlan:
    """A customer's plan, with what is to be adopted before all else. If nobody is there to confirm that, nothing is
    done.
    """
    adoptions = tuple(_adoptions(planned.customer_id, actual))
    if planned.problem or not adoptions:
        return planned
    if not adopts:
        return replace(planned, steps=(), project_id="", mailing=(), problem=_TO_ADOPT)
    return replace(planned, steps=adoptions + planned.steps)


def _adoptions(customer: int, actual: Actual) -> Iterator[Step]:
    """Steps that mark what is ours only according to our books. The project comes last: until then callmart
    finds the rest through it.
    """
    group = actual.groups.get(customer)
    if group is not None and not group.is_marked:
        name = marks.customer_group(Mark(actual.former, customer))
        yield Step(customer, "adopt", "group", name, group.luid)
    for project in actual.projects.get(customer, ()):
        for content in project.content:
            if not content.is_marked:
                yield Step(customer, "adopt", content.kind, content.name, content.luid, content.tags)
        if not project.is_marked:
            yield Step(customer, "adopt", "project", project.name, project.luid)


def hash_of(workbook: Workbook, source: PublishedSource, rows_at: str) -> str:
    """Return the hash of a workbook on a published data source, that leads to the workbook with the content URL
    `rows_at`, if there is one. What is written into the workbook is part of the hash: of a link the whole address.
    """
    link = (rows_at, source.server, source.site) if rows_at else ()
    return sha256("\n".join([workbook.content_hash, source.content_url, *link]).encode()).hexdigest()


def _top_steps(actual: Actual, leavers: Iterable[User], *, is_user_wanted: bool) -> Iterator[Step]:
    """Steps for the whole site. Users who belong to no customer any more are removed first."""
    users_group = marks.users_group(actual.installation)
    before = actual.users_before
    ungrouped = [user for user in actual.users.values() if user.is_ours and not user.is_grouped]
    if actual.users_group is None and (is_user_wanted or ungrouped or before is not None):
        yield Step(None, "add", "group", users_group)
    if before is not None:
        yield Step(None, "adopt", "group", marks.users_group(actual.former), before.luid)
    for user in ungrouped:
        yield Step(None, "add", "member", user.name, user.luid)
    leaver_luids = {user.luid for user in leavers}
    for user in actual.users.values():
        if user.luid in leaver_luids:
            yield Step(None, "remove", "member" if user.is_others else "user", user.name, user.luid)
        elif user.is_ours and user.role != ROLE:
            yield Step(None, "change", "user", user.name, user.luid)
    if is_user_wanted and not actual.hides_users:
        yield Step(None, "change", "site", "users do not see each other")
    top = actual.top
    if top is None:
        yield Step(None, "add", "project", TOP_PROJECT)
    elif top.lock != TOP_LOCK:
        yield Step(None, "change", "project", TOP_PROJECT)
    if top is None or top.access != NOBODY:
        yield Step(None, "change", "permissions", TOP_PROJECT)


def _stay(publication: Publication, actual: Actual, removable: Mapping[str, User]) -> CustomerPlan:
    """Plan the steps that make a customer's project match `publication`: permissions and removals before uploads."""
    customer, name = publication.customer_id, publication.project
    found, group = actual.projects.get(customer, ()), actual.groups.get(customer)
    project = found[0] if found else None
    problem = publication.problem or actual.unread.get(customer) or _problem(publication, found, actual)
    if problem:
        stopped = _only_stop_mail(customer, name, found, problem)
        # What mails until now has mailed; of what was suspended before, the next publication has to look.
        return replace(stopped, mails_seen=publication.at) if stopped.steps else stopped
    stopping, starting, mailing = mail_steps(publication, project, actual, removable)
    uploads, unchanged = _uploads(publication, project, actual)
    steps = (
        *_project_steps(publication, project, group, actual),
        *stopping,
        *_member_steps(publication, group, actual, removable),
        *_removals(publication, project),
        *uploads,
        *_warnings(publication, project, actual),
        *starting,
    )
    return CustomerPlan(
        customer, name, steps, project_id=project.luid if project else "",
        group_id=group.luid if group else "", unchanged=unchanged, foreign=project.foreign if project else (),
        members=group.members if group else frozenset(),
        mailing=tuple(mailing),
        mail_stopped_because=publication.mail_stopped_because,
        unmailed=unmailed(publication, project, actual),
        mails_seen=publication.at,
        exports=publication.exports,
        warnings=publication.warnings,
        is_severe=publication.warning is not None,
        has_warnings=actual.has_warnings,
        opened=_opened(publication, project),
    )  # fmt: skip


def _only_stop_mail(customer: int, name: str, found: Sequence[Project], problem: str) -> CustomerPlan:
    """Plan nothing for a customer with a problem but that its mail stops."""
    foreign = found[0].foreign if found else ()
    return CustomerPlan(customer, name, _stops(customer, found), foreign=foreign, problem=problem)


def _stops(customer: int, found: Sequence[Project]) -> tuple[Step, ...]:
    """Steps that suspend all of a customer's mail."""
    return tuple(
        Step(customer, "change", "subscription", "all", each.luid)
        for project in found
        for each in project.subscriptions
        if project.is_marked and not each.is_suspended
    )


def _project_steps(
    publication: Publication, project: Project | None, group: Group | None, actual: Actual
) -> Iterator[Step]:
    """Steps that make the customer's group and project, and that let nobody but the group into the project."""
    customer, name = publication.customer_id, publication.project
    if group is None:
        yield Step(customer, "add", "group", marks.customer_group(actual.mark(customer)))
    if project is None:
        yield Step(customer, "add", "project", name)
    elif (project.name, project.lock) != (name, LOCK):
        yield Step(customer, "change", "project", name, project.luid)
    if (
        project is None
        or group is None
        or project.access != customer_access(group.luid, exports=publication.exports)
    ):
        yield Step(customer, "change", "permissions", name)


def _uploads(
    publication: Publication, project: Project | None, actual: Actual
) -> tuple[list[Step], tuple[Content, ...]]:
    """The steps that publish what is new or differs, and the contents that stay as they are."""
    customer = publication.customer_id
    steps: list[Step] = []
    unchanged: list[Content] = []
    urls: dict[str, str] = {}
    sources = project.of_kind("data source") if project else {}
    for source in publication.data_sources:
        old = sources.get(source.name)
        if old is not None:
            urls[source.name] = old.content_url
        if old is None or not _has_hash(old, source.content_hash, actual):
            steps.append(_upload(customer, "data source", source, old, actual))
        else:
            unchanged.append(old)
    there = project.of_kind("workbook") if project else {}
    for workbook in publication.workbooks:
        old = there.get(workbook.name)
        url = urls.get(workbook.source.title, "")
        published = PublishedSource(actual.server, actual.site, url)
        leads = there[workbook.rows_in].content_url if workbook.rows_in in there else workbook.rows_in
        if old is None or not url or not _has_hash(old, hash_of(workbook, published, leads), actual):
            steps.append(_upload(customer, "workbook", workbook, old, actual))
        else:
            unchanged.append(old)
    return steps, tuple(unchanged)


def _upload(
    customer: int, kind: ContentKind, content: DataSource | Workbook, old: Content | None, actual: Actual
) -> Step:
    if old is None:
        return Step(customer, "add", kind, content.name, content=content)
    tags = old.tags
    if not old.is_marked:  # it is adopted first, which marks its tags
        tags = frozenset(str(tag._replace(installation=actual.installation)) for tag in marks.tags(old))
    return Step(customer, "change", kind, content.name, old.luid, tags, content)


def _has_hash(old: Content, content_hash: str, actual: Actual) -> bool:
    """Whether the content on Tableau has this hash in its tag. Adopting changes the tag's mark, not its hash."""
    tag = marks.Tag(actual.installation if old.is_marked else actual.former, content_hash)
    return old.tags == {str(tag)}


def _member_steps(
    publication: Publication, group: Group | None, actual: Actual, removable: Mapping[str, User]
) -> Iterator[Step]:
    """Steps that remove users from the customer's group, and add users, to the site first and then to the group."""
    customer = publication.customer_id
    wanted = {identity(name): name for name in publication.members}
    present = group.members - removable.keys() if group else frozenset[str]()
    for luid in sorted(present):
        user = actual.users_by_luid.get(luid)
        if user is None or identity(user.name) not in wanted:
            yield Step(customer, "remove", "member", user.name if user else luid, luid)
    for key, name in wanted.items():
        user = actual.users.get(key)
        if user is None or (
            not user.is_ours and (user.is_others or is_unclaimed(user.role, is_unused=user.is_unused))
        ):
            yield Step(customer, "add", "user", name)
        if user is None or user.luid not in present:
            yield Step(customer, "add", "member", name)


def is_unclaimed(role: str, *, is_unused: bool) -> bool:
    """Whether an account becomes ours: one that was never used may be left from an interrupted run of ours."""
    return role == ROLE and is_unused


def _opened(publication: Publication, project: Project | None) -> dict[str, int | None]:
    """How often people have opened each report that is there."""
    there = project.of_kind("workbook") if project else {}
    return {each.report.name: there[each.name].opened for each in publication.workbooks if each.name in there}


def _warnings(publication: Publication, project: Project | None, actual: Actual) -> Iterator[Step]:
    """Steps that make the data sources say which days are held back or of an earlier definition, or say it no more."""
    there = project.of_kind("data source") if project else {}
    for source in publication.data_sources if actual.has_warnings else ():
        old = there[source.name].warning if source.name in there else None
        wanted = publication.warnings.get(source.name)
        action: Action | None = None
        if old is None:
            action = "add" if wanted else None
        elif old.message != wanted:
            action = "change" if wanted else "remove"
        if action is not None:
            luid = old.luid if old else None
            yield Step(publication.customer_id, action, "warning", source.name, luid)


def _removals(publication: Publication, project: Project | None) -> Iterator[Step]:
    """Steps that remove content of ours that is no longer wanted, workbooks before their data sources."""
    wanted: tuple[tuple[ContentKind, Iterable[DataSource | Workbook]], ...] = (
        ("workbook", publication.workbooks),
        ("data source", publication.data_sources),
    )
    for kind, contents in wanted:
        names = {each.name for each in contents}
        for name, old in (project.of_kind(kind) if project else {}).items():
            if name not in names:
                yield _removal(publication.customer_id, old)


def _wait(customer: int, actual: Actual) -> CustomerPlan:
    """Plan that a customer's mail stops here, where it is until its other site has it."""
    found = actual.projects.get(customer, ())
    name = found[0].name if found else str(customer)
    return CustomerPlan(customer, name, _stops(customer, found), stays=False, waits=True)


def _leave(customer: int, actual: Actual) -> CustomerPlan:
    """Plan the removal of all that a customer had. A project with foreign content is emptied of ours and closed."""
    found, group = actual.projects.get(customer, ()), actual.groups.get(customer)
    name = found[0].name if found else str(customer)
    if problem := _lost(customer, actual):  # what it had is not gone, only not ours
        return _only_stop_mail(customer, name, found, problem)
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
        installation = actual.installation if group.is_marked else actual.former
        of_group = marks.customer_group(Mark(installation, customer))
        steps.append(Step(customer, "remove", "group", of_group, group.luid))
    return CustomerPlan(
        customer, name, tuple(steps), stays=False,
        foreign=tuple(each for project in found for each in project.foreign),
        mailing=tuple(
            each.luid for project in found for each in project.subscriptions if not each.is_suspended
        ),
    )  # fmt: skip


def _removal(customer: int, content: Content) -> Step:
    return Step(customer, "remove", content.kind, content.name, content.luid)


def _problem(publication: Publication, found: Sequence[Project], actual: Actual) -> str | None:
    """Why a person must act first: the customer's project isn't clearly ours, or a name is taken."""
    customer = publication.customer_id
    if len(found) > 1:
        luids = ", ".join(project.luid for project in found)
        return f"this customer has several projects on Tableau ({luids}); remove all but one"
    if problem := _lost(customer, actual):
        return problem
    name = identity(publication.project)
    if name in actual.taken and name not in {identity(project.name) for project in found}:
        if other := actual.taken[name]:
            return (
                f"installation {other} has a project with the name that this customer's project needs; a customer "
                "belongs to one installation: remove it from the other one's registry and publish there first"
            )
        return (
            "a project that is not ours has the name that this customer's project needs; rename or remove it on "
            "Tableau"
        )
    taken = {(each.kind, identity(each.name)) for project in found for each in project.foreign}
    wanted: list[tuple[ContentKind, str]] = [("data source", each.name) for each in publication.data_sources]
    wanted += [("workbook", each.name) for each in publication.workbooks]
    for kind, name in wanted:
        if (kind, identity(name)) in taken:
            return f"the project holds a {kind} '{name}' that is not ours; rename or remove it on Tableau"
    return None


def _lost(customer: int, actual: Actual) -> str | None:
    """That another installation has marked the customer's project, if one has."""
    other = actual.lost.get(customer)
    return other and (
        f"its project on Tableau bears the mark of installation {other}, but this is {actual.installation}; "
        "publish from that installation's home, or see docs/tableau.md for how to take over from it"
    )
