"""The audit's checks of Tableau: what is there, who reaches it, and what the downloaded data sources contain."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import psycopg
import tableauserverclient as TSC
from lxml import etree

from callmart.access import roles
from callmart.audit import agents, names, objectors, tableau_rights, tableau_site
from callmart.audit.channels import Board, Cell, Outcome, held_cells
from callmart.audit.check import Check, few
from callmart.base import disk
from callmart.base.errors import UserError
from callmart.base.progress import OnStep
from callmart.base.settings import Settings
from callmart.declarations.mart import Mart
from callmart.publish import bookkeeping, deriving, holdings, reading
from callmart.publish.actual import Actual, Content
from callmart.publish.desired import DataSource, Publication
from callmart.publish.grants import NOBODY, customer_access
from callmart.publish.tableau import FAILURES, PARSER, At, by_luid, reason
from callmart.tableau_files import tds

_LOCK = TSC.ProjectItem.ContentPermissions


@dataclass(frozen=True)
class Published:
    """The outcomes for Tableau."""

    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    # Users who see customers' content because of their position: how many per position.
    persons: dict[str, int]
    words: agents.Words  # in the data sources that every contract opens
    customers: frozenset[int] = frozenset()  # who have content there, or a project with rights


def look(
    connection: psycopg.Connection, settings: Settings, at: At, board: Board, on_step: OnStep
) -> Published:
    """Read what is on each site and who reaches it, and download and open the data sources. A site that can't be read
    is a check that looked at nothing.
    """
    desired = deriving.desired(connection, settings)
    sites = bookkeeping.sites(connection, settings)
    words = agents.Words()
    found: list[tuple[str, Published]] = []
    of_all: list[Check] = []
    for name in sites:
        try:
            found.append(
                (name, _look_at(connection, settings, at(name), name, desired, board, words, on_step))
            )
        except (UserError, *FAILURES) as error:
            of_all.append(_unread(f"the content of the site '{name}'" if name else "its content", error))
    try:
        of_all.append(objectors.of_sites(connection, settings, at))
    except (UserError, *FAILURES) as error:
        if not of_all:  # otherwise it was said of the site
            of_all.append(_unread("everything that Tableau gives back", error))
    cells = [cell for _, of_site in found for cell in of_site.cells]
    cells += _of_closed(board, frozenset[int]().union(*(of_site.customers for _, of_site in found)))
    persons = sum((Counter(of_site.persons) for _, of_site in found), Counter[str]())
    checks = (*_together([(name, of_site.checks) for name, of_site in found]), *of_all)
    return Published(tuple(cells) if found else (), checks, dict(persons), words)


def _unread(what: str, error: Exception) -> Check:
    return Check("Tableau", f"{what} can be read", 0, 0, (reason(error),))


def _look_at(
    connection: psycopg.Connection,
    settings: Settings,
    server: TSC.Server,
    name: str,
    all_desired: list[Publication],
    board: Board,
    words: agents.Words,
    on_step: OnStep,
) -> Published:
    """The outcomes for one site. Raises UserError if something there can't be read."""
    desired = {one.customer_id: one for one in all_desired if one.site == name}
    elsewhere = {one.customer_id for one in all_desired if one.site != name}
    actual = reading.read(server, bookkeeping.books(connection, settings, name))
    for customer, why in actual.unread.items():
        if actual.moved.get(customer) != why:
            raise UserError(f"customer {customer}: {why}")
    site = tableau_site.read(server, lambda asked, of: on_step("reach", "on Tableau", asked, of))
    compared = tableau_rights.compare(site, desired, actual)
    cells: list[Cell] = []
    defined = _Defined()
    here = [customer for customer in board.customers if customer in desired]
    for number, customer in enumerate(here):
        on_step("Tableau", f"customer {customer}", number, len(here))
        cells += _cells(connection, settings, server, board, actual, desired[customer], defined, words)
    on_step("Tableau", "", len(here), len(here))
    checks = (
        _top(actual),
        _marks(actual),
        _projects(actual, desired),
        _content(actual, desired, elsewhere),
        revisions(server, actual),
        _check(
            "the data sources have the connections, formulas and files with which they were published",
            defined.looked_at,
            defined.found,
            applies=any(one.data_sources for one in desired.values()),
        ),
        said(compared, names.of_registry(connection)),
        *_reach(actual, compared, any(one.members for one in desired.values())),
    )
    has_something = frozenset(
        customer
        for customer, projects in actual.projects.items()
        if any(project.content or project.access != NOBODY for project in projects)
    )
    return Published(tuple(cells), checks, compared.persons, words, has_something)


def _together(found: list[tuple[str, tuple[Check, ...]]]) -> Iterator[Check]:
    """Each check once, for all sites. What is found on a customer's own site is said with its name."""
    by_name: dict[str, list[tuple[str, Check]]] = {}
    for site, checks in found:
        for check in checks:
            by_name.setdefault(check.name, []).append((f"site '{site}': " if site else "", check))
    for name, of_sites in by_name.items():
        yield Check(
            "Tableau",
            name,
            sum(check.looked_at for _, check in of_sites),
            sum(check.breaches for _, check in of_sites),
            few([f"{where}{what}" for where, check in of_sites for what in check.found]),
            any(check.applies for _, check in of_sites),
        )


# -- checks ----------------------------------------------------------------------------------------------------------


def _check(name: str, looked_at: int, found: list[str], *, applies: bool = True) -> Check:
    return Check.of("Tableau", name, looked_at, found, applies=applies)


def _top(actual: Actual) -> Check:
    top = actual.top
    wrong = top is not None and (top.lock != _LOCK.LockedToProjectWithoutNested or top.access != NOBODY)
    return _check(
        "the project above all customers is locked, and opens nothing",
        int(top is not None),
        ["it is not locked, or somebody has rights on it; publish again"] if wrong else [],
    )


def _marks(actual: Actual) -> Check:
    found = [
        f"customer {customer}: its project has the mark of installation {other}"
        for customer, other in actual.lost.items()
    ]
    looked_at = len(found)
    for customer in sorted(actual.customers):
        group = actual.groups.get(customer)
        projects = actual.projects.get(customer, ())
        marked = [project.is_marked for project in projects]
        marked += [content.is_marked for project in projects for content in project.content]
        marked += [group.is_marked] if group else []
        looked_at += len(marked)
        if not all(marked):
            found.append(f"customer {customer}: content of ours has no mark of ours; publish with --yes")
    return _check("all our content has the mark of this installation", looked_at, found)


def _projects(actual: Actual, desired: dict[int, Publication]) -> Check:
    found = [f"customer {customer}: {why}" for customer, why in actual.moved.items()]
    for customer, projects in actual.projects.items():
        if len(projects) > 1:
            found.append(f"customer {customer}: more than one project; remove all but one")
        for project in projects:
            if project.lock != _LOCK.LockedToProject:
                found.append(f"customer {customer}: not locked; publish again")
            group, own = actual.groups.get(customer), desired.get(customer)
            if own is None:  # what is not ours keeps the project
                if project.access != NOBODY:
                    found.append(
                        f"customer {customer}: rights on a project that is to be closed; publish again"
                    )
            elif group is None or project.access != customer_access(group.luid, exports=own.exports):
                found.append(f"customer {customer}: other rights than those of its group; publish again")
    return _check(
        "each customer has one locked project, on which only the customer's own group has rights",
        sum(len(projects) for projects in actual.projects.values()),
        found,
    )


def _content(actual: Actual, desired: dict[int, Publication], elsewhere: set[int]) -> Check:
    looked_at, found = 0, []
    for foreign in actual.top.foreign if actual.top else ():
        found.append(f"a {foreign.kind} beside the customers' projects")
    for customer in sorted(actual.customers):
        own = desired.get(customer)
        if own is None:
            lacks = "another site" if customer in elsewhere else "no contract"
            found.append(f"customer {customer} has {lacks}, but a project or a group")
        names = {"data source": {one.name for one in own.data_sources} if own else set(),
                 "workbook": {one.name for one in own.workbooks} if own else set()}  # fmt: skip
        for project in actual.projects.get(customer, ()):
            looked_at += len(project.content) + len(project.foreign)
            found += [
                f"customer {customer}: a {foreign.kind} that is not ours" for foreign in project.foreign
            ]
            found += [
                f"customer {customer}: a {content.kind} that no contract orders"
                for content in project.content
                if content.name not in names[content.kind]
            ]
    return _check("nothing is in the projects that no contract orders or that is not ours", looked_at, found)


def revisions(server: TSC.Server, actual: Actual) -> Check:
    """Check that of what we publish nothing earlier is kept. It has days that have expired since; and if somebody
    publishes over it, ours is the earlier one.
    """
    ours = [
        (customer, content)
        for customer in sorted(actual.customers)
        for project in actual.projects.get(customer, ())
        for content in project.content
    ]

    def earlier(one: tuple[int, Content]) -> int:
        kind, luid = one[1].kind, one[1].luid
        endpoint, item = (
            (server.datasources, TSC.DatasourceItem)
            if kind == "data source"
            else (server.workbooks, TSC.WorkbookItem)
        )
        return len(holdings.earlier(holdings.Held(endpoint, by_luid(item, luid), f"{kind}s")))

    with ThreadPoolExecutor(reading.WORKERS) as pool:
        counts = list(pool.map(earlier, ours))
    return _check(
        "no earlier revision is kept of what we publish: it has expired days, or somebody has published over it",
        len(ours),
        [
            f"customer {customer}: {content.kind} {content.luid} has earlier revisions; remove it on Tableau, and "
            "publish again"
            for (customer, content), count in zip(ours, counts, strict=True)
            if count
        ],
    )


def said(compared: tableau_rights.Compared, known: names.Names) -> Check:
    """Check that nobody's name stands beside the customers' content."""
    found = [
        f"customer {customer}: {what} names {whose}; remove that on Tableau"
        for customer, what, texts in compared.said
        for text in texts
        for whose in names.named_in(text, known)
    ]
    return _check(
        "no description or tag names a person", sum(len(texts) for _, _, texts in compared.said), found
    )


def _reach(actual: Actual, compared: tableau_rights.Compared, has_recipients: bool) -> Iterator[Check]:
    yield _check(
        "each recipient reaches the content of its customer, as declared",
        compared.must,
        compared.lacking,
        applies=has_recipients,
    )
    yield _check(
        "nobody reaches more: recipients reach only their own customer's content, all others nothing",
        compared.things,
        compared.beyond,
    )
    yield _check(
        "all content with a customer's data is in its project, and nothing there or elsewhere uses another's data",
        compared.things,
        compared.astray,
    )
    yield _check(
        "users do not see each other",
        1,
        []
        if actual.hides_users or not has_recipients
        else ["every recipient can list those of all customers; publish again"],
        applies=has_recipients,
    )


# -- cells -----------------------------------------------------------------------------------------------------------


def _of_closed(board: Board, there: frozenset[int]) -> Iterator[Cell]:
    """The outcomes for customers without a contract. `there` are those with something on any site."""
    for customer, option in board.customers.items():
        if option == "none":
            for mart in board.marts:
                yield board.cell(customer, mart, "Tableau", "OPEN" if customer in there else "closed")


@dataclass
class _Defined:
    """The data sources whose definition was compared with the declared one: how many, and those that differ."""

    looked_at: int = 0
    found: list[str] = field(default_factory=list)

    def compare(self, own: DataSource, customer: int, downloaded: Path) -> None:
        """Compare what a downloaded data source connects to, and what its calculated fields calculate. Tableau may
        write the rest in its own way.
        """
        is_live = isinstance(own.data, tds.Live)
        wanted = tds.as_xml(own.source, own.data) if is_live else tds.around_extract(own.source)
        self.looked_at += 1
        extracts = 0 if is_live else 1
        if (
            _definition(_tds(downloaded)) != _definition(wanted)
            or len(_packed(downloaded, ".hyper")) != extracts
        ):
            self.found.append(
                f"customer {customer}: data source '{own.name}' has other connections, formulas or files; remove it "
                "on Tableau, and publish again"
            )


def _cells(
    connection: psycopg.Connection,
    settings: Settings,
    server: TSC.Server,
    board: Board,
    actual: Actual,
    own: Publication,
    defined: _Defined,
    words: agents.Words,
) -> Iterator[Cell]:
    """The outcomes for a customer's data sources, which are downloaded and opened. Their definitions are compared for
    `defined`, and their words go into `words`, for the search for agents.
    """
    customer = own.customer_id
    groups: dict[str, str] = {one.name: one.source.group for one in own.data_sources}
    sources = {
        groups[content.name]: content.luid
        for project in actual.projects.get(customer, ())
        for content in project.content
        if content.kind == "data source" and content.name in groups
    }
    with disk.temporary(settings.home) as folder:
        downloaded = {
            group: Path(server.datasources.download(luid, str(folder / group)))
            for group, luid in sources.items()
        }
        for one in own.data_sources:
            if one.source.group in downloaded:
                defined.compare(one, customer, downloaded[one.source.group])
        if customer in board.live:
            role = roles.customer_role(connection.info.dbname, customer)
            logins = {group: _logins(file) for group, file in downloaded.items()}
            for mart in board.marts:
                yield board.cell(customer, mart, "Tableau", _live(board, customer, mart, logins, role))
            return
        files = {
            group: extracted
            for group, file in downloaded.items()
            if (extracted := _hyper(file, folder / sources[group]))
        }
        for group, file in files.items():
            words.read(f"customer {customer}, {group}", file, group, board.marts)
        yield from held_cells(settings, board, "Tableau", files, customer)


def _live(board: Board, customer: int, mart: Mart, logins: dict[str, set[str]], role: str) -> Outcome:
    """The outcome for a live data source. It shows what its login may read, which the channel `login` checks."""
    if not board.opens(customer, mart):
        return "OPEN" if mart.group in logins else "closed"
    if mart.group not in logins:
        return "MISSING"
    if logins[mart.group] != {role}:
        return "DIFFERS"
    return "own rows only" if board.rows[customer, mart.name].rows else "no rows"


def _logins(downloaded: Path) -> set[str]:
    """The logins of the connections in a data source. A connection without a login gives 'None', which is no
    customer's.
    """
    root = etree.fromstring(_tds(downloaded), PARSER)
    return {str(each.get("username")) for each in root.iterfind(".//named-connection/connection")}


def _tds(downloaded: Path) -> bytes:
    """The definition in a downloaded data source. A bare .hyper file has none."""
    if downloaded.suffix == ".tds":
        return downloaded.read_bytes()
    names = _packed(downloaded, ".tds")
    if not names:
        return b"<datasource/>"
    with ZipFile(downloaded) as packed:
        return packed.read(names[0])


def _packed(downloaded: Path, kind: str) -> list[str]:
    """The files of a kind in a downloaded archive."""
    if not is_zipfile(downloaded):
        return []
    with ZipFile(downloaded) as packed:
        return [name for name in packed.namelist() if name.endswith(kind)]


def _definition(xml: bytes) -> list[tuple[str, ...]]:
    """The connections of a data source and its calculated fields, in an order of their own."""
    root = etree.fromstring(xml, PARSER)
    found = [
        tuple(each.get(name) or "" for name in ("class", "server", "username"))
        for each in root.iterfind(".//named-connection/connection")
    ]
    found += [
        (str(each.getparent().get("name")), str(each.get("formula")))
        for each in root.iterfind("column/calculation")
    ]
    return sorted(found)


def _hyper(downloaded: Path, folder: Path) -> Path | None:
    """The downloaded .hyper file, or the one inside a downloaded archive. None if it has none."""
    if not is_zipfile(downloaded):
        return downloaded
    names = _packed(downloaded, ".hyper")
    with ZipFile(downloaded) as packed:
        return Path(packed.extract(names[0], folder)) if names else None
