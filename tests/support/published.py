"""What is on a Tableau server and who reaches it, looked at without the code under test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import tableauserverclient as TSC

from bad_days import Held
from callmart.base.settings import Settings, Tableau
from callmart.publish import reading
from callmart.publish.actual import Actual, Books
from callmart.publish.applying import Outcome, apply
from callmart.publish.desired import DataSource, Publication
from callmart.publish.planning import plan
from callmart.publish.tableau import connect
from tableau_emulator.state import State

HOME = "0123456789ab"  # the installation that publishes here
READ = TSC.Permission.Capability.Read
ALLOW = TSC.Permission.Mode.Allow
NO_BOOKS = Books(HOME)


class Emptied(NamedTuple):
    """An emulator that several tests share, in a thread: emptied for each of them, which signs in anew."""

    settings: Settings
    state: State
    server: TSC.Server


def real(home: Path, **values: Any) -> Settings:
    """Settings that name a server."""
    return Settings(home=home, tableau=Tableau(**values))


def read(server: TSC.Server, books: Books = NO_BOOKS) -> Actual:
    return reading.read(server, books)


def publish(server: TSC.Server, *desired: Publication, books: Books = NO_BOOKS) -> list[Outcome]:
    return apply(server, plan(desired, read(server, books)))


def group_of(customer: int) -> str:
    return f"callmart-{HOME}-customer-{customer}"


def succeeded(outcomes: list[Outcome]) -> bool:
    return bool(outcomes) and all(outcome.error is None for outcome in outcomes)


def projects(server: TSC.Server) -> dict[str, TSC.ProjectItem]:
    return {project.name: project for project in TSC.Pager(server.projects)}


def sources(server: TSC.Server) -> dict[tuple[str, str], TSC.DatasourceItem]:
    """The data sources on the server by the names of their project and their own."""
    return {(source.project_name, source.name): source for source in TSC.Pager(server.datasources)}


def groups(server: TSC.Server) -> dict[str, str]:
    return {group.name: group.id for group in TSC.Pager(server.groups)}


def workbooks(server: TSC.Server) -> dict[tuple[str, str], TSC.WorkbookItem]:
    """The workbooks on the server by the names of their project and their own."""
    return {(workbook.project_name, workbook.name): workbook for workbook in TSC.Pager(server.workbooks)}


def uploads(settings: Settings) -> int:
    """How often a data source or a workbook was published so far, by the log of the home's emulator."""
    with State(settings.home / "emulator") as state:
        return uploaded(state)


def uploaded(state: State) -> int:
    """The same, by the log of an emulator."""
    return sum(
        each.method == "POST" and each.path.endswith(("/datasources", "/workbooks"))
        for each in state.requests()
    )


def held(package: str) -> bytes:
    """The extract in a data source that was downloaded."""
    with ZipFile(package) as packed:
        return packed.read(next(name for name in packed.namelist() if name.endswith(".hyper")))


def held_file(source: DataSource) -> bytes:
    """The extract that a data source was made of."""
    assert isinstance(source.data, Path)
    return source.data.read_bytes()


def members(server: TSC.Server, group: str) -> set[str]:
    """The names of a group's members."""
    item = next(each for each in TSC.Pager(server.groups) if each.name == group)
    server.groups.populate_users(item)
    return {user.name for user in item.users}


def matches(server: TSC.Server, *desired: Publication) -> bool:
    """Whether the server holds exactly `desired`, looked at without the code under test."""
    tags = {(each.project, source.name): {f"callmart-{HOME}-{source.content_hash}"} for each in desired
            for source in each.data_sources}  # fmt: skip
    reports_on = {(each.project, workbook.name): workbook.source.title for each in desired
                  for workbook in each.workbooks}  # fmt: skip
    return (
        {key: source.tags for key, source in sources(server).items()} == tags
        and {key: data_sources_of(server, item) for key, item in workbooks(server).items()}
        == {key: {(key[0], title)} for key, title in reports_on.items()}
        and all(len(item.tags) == 1 for item in workbooks(server).values())
        and set(projects(server)) == {"Default", "callmart", *(each.project for each in desired)}
        and set(groups(server)) - {f"callmart-{HOME}-users"}
        == {"All Users", *(group_of(each.customer_id) for each in desired)}
        and all(members(server, group_of(each.customer_id)) == set(each.members) for each in desired)
        and all(reached_by(server, each.project) == {group_of(each.customer_id)} for each in desired)
        and reached_by(server, "callmart") == set()
    )


def data_sources_of(server: TSC.Server, workbook: TSC.WorkbookItem) -> set[tuple[str, str]]:
    """The data sources that a workbook stands on."""
    by_luid = {source.id: key for key, source in sources(server).items()}
    server.workbooks.populate_connections(workbook)
    return {by_luid[connection.datasource_id] for connection in workbook.connections}


def reached_by(server: TSC.Server, project: str) -> set[str]:
    """The names of all that have any rule in the project or on its data sources."""
    names = {luid: name for name, luid in groups(server).items()}
    item = projects(server)[project]
    server.projects.populate_permissions(item)
    server.projects.populate_datasource_default_permissions(item)
    server.projects.populate_workbook_default_permissions(item)
    rules = [*item.permissions, *item.default_datasource_permissions, *item.default_workbook_permissions]
    for source in sources(server).values():
        if source.project_id == item.id:
            server.datasources.populate_permissions(source)
            rules += source.permissions
    for workbook in workbooks(server).values():
        if workbook.project_id == item.id:
            server.workbooks.populate_permissions(workbook)
            rules += workbook.permissions
    return {names[rule.grantee.id] for rule in rules}


def users(server: TSC.Server) -> dict[str, str]:
    """The site roles of all users but the one who publishes."""
    return {user.name: user.site_role for user in TSC.Pager(server.users) if user.id != server.user_id}


def subscriptions(server: TSC.Server) -> list[TSC.SubscriptionItem]:
    return list(TSC.Pager(server.subscriptions))


def of_installation(books: Books, held: Held) -> Held:
    """What bears the mark of an installation, and the group of its users."""
    return [each for each in held if str(each[0]).startswith(f"callmart {books.installation} ")]


def of(customer_id: int | None, held: Held) -> Held:
    """What of all that is held there is a customer's."""
    return [each for each in held if each[0] == f"callmart {HOME} customer {customer_id}"]


@contextmanager
def moved(settings: Settings, customer_id: int) -> Iterator[None]:
    """Somebody has moved a customer's project out of ours."""
    with connect(settings) as server:
        (item,) = (one for name, one in projects(server).items() if name.startswith(f"{customer_id} "))
        top, item.parent_id = item.parent_id, ""
        server.projects.update(item)
        yield
        item.parent_id = top
        server.projects.update(item)
