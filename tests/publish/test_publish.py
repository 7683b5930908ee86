"""Publishing, through tableauserverclient to the emulator: what is there afterwards, and who reaches it."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, time
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any, NamedTuple
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest
import requests
import tableauserverclient as TSC
from requests.adapters import HTTPAdapter

import bad_days
from bad_days import Held
from callmart.audit import reach
from callmart.base.errors import UserError
from callmart.base.settings import ConnectedApp, Settings, Tableau
from callmart.declarations import exposures
from callmart.declarations.dbt_project import Group
from callmart.publish import (
    Actual,
    Books,
    DataSource,
    Mail,
    Outcome,
    Publication,
    Step,
    Workbook,
    actual,
    apply,
    applying,
    credentials,
    plan,
    publishing,
    tableau,
)
from callmart.publish.emulator import ensure_running, stop
from callmart.publish.tableau import connect
from callmart.tableau_files import tds
from callmart_home import ignore_step
from emulated import unmark
from tableau_emulator.client import as_user, served
from tableau_emulator.faults import Fault, clear, inject
from tableau_emulator.state import State
from tableau_files import hyper, marts

HOME = "0123456789ab"  # the installation that publishes here
READ = TSC.Permission.Capability.Read
ALLOW = TSC.Permission.Mode.Allow


@pytest.fixture(scope="module")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSource]:
    """Extracts, real ones but for their rows, by a word each."""
    folder = tmp_path_factory.mktemp("extracts")
    groups: dict[str, Group] = {"queues": "queue", "queues later": "queue", "agents": "agent"}
    return {
        word: DataSource(
            tds.source(group, marts(), "nl"),
            hyper(folder / word, group),
            f"hash of {word}".replace(" ", "-"),
            2,
        )
        for word, group in groups.items()
    }


@pytest.fixture(autouse=True, scope="module")
def _types_are_read_once() -> Iterator[None]:
    """Hyper takes its time to start, and the files of this module stay as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tds, "held_types", cache(tds.held_types))
        yield


def report(name: str, on: DataSource, customer: str = "Voorbeeld") -> Workbook:
    return Workbook(exposures.reports()[name], customer, on.source, f"hash-of-{name}")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    yield Settings(home=tmp_path, tableau=Tableau())
    stop(tmp_path)


@pytest.fixture
def server(settings: Settings) -> Iterator[TSC.Server]:
    with connect(settings) as server:
        yield server


class Shared(NamedTuple):
    """An emulator that several tests share, in a thread; the server is signed in to it anew for each test."""

    settings: Settings
    state: State
    server: TSC.Server


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, State]]:
    folder = tmp_path_factory.mktemp("shared")
    with served(folder) as emulator, State(folder) as state:
        yield (
            real(folder, server=emulator.url, token_name=emulator.token_name, token=emulator.token),
            state,
        )


@pytest.fixture
def shared(emulated: tuple[Settings, State]) -> Iterator[Shared]:
    """With nothing of anybody's but the project above all."""
    settings, state = emulated
    clear(state)
    with connect(settings) as server:
        for project in projects(server).values():
            if project.name == "callmart":
                server.projects.delete(project.id)
        for group, luid in groups(server).items():
            if group.startswith("callmart-"):
                server.groups.delete(luid)
        for user in TSC.Pager(server.users):
            if user.id != server.user_id:
                server.users.remove(user.id)
        publish(server)
        yield Shared(settings, state, server)


@pytest.fixture
def detailed(extracts: dict[str, DataSource]) -> Publication:
    return Publication(
        1042,
        "Voorbeeld, Zn & Co: [BV]",
        (extracts["queues"], extracts["agents"]),
        (report("drukte", extracts["queues"]), report("medewerkers", extracts["agents"])),
        ("chef@example.org",),
    )


@pytest.fixture
def standard(extracts: dict[str, DataSource]) -> Publication:
    return Publication(7, "Ander BV", (extracts["queues"],))


@pytest.fixture
def later(standard: Publication, extracts: dict[str, DataSource]) -> Publication:
    """The standard customer when its data have changed."""
    return Publication(standard.customer_id, standard.name, (extracts["queues later"],))


NO_BOOKS = Books(HOME)


def read(server: TSC.Server, books: Books = NO_BOOKS) -> Actual:
    return actual.read(server, books)


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
    """How often a data source or a workbook was published so far, by the emulator's own log."""
    with State(settings.home / "emulator") as state:
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
    assert isinstance(source.held, Path)
    return source.held.read_bytes()


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


# what is published, and to whom


def test_publishes_each_customer_into_a_locked_project_of_its_own(
    server: TSC.Server, detailed: Publication, standard: Publication, extracts: dict[str, DataSource],
    tmp_path: Path,
) -> None:  # fmt: skip
    assert succeeded(publish(server, detailed, standard))
    assert matches(server, detailed, standard)
    project = projects(server)[detailed.project]
    assert project.parent_id == projects(server)["callmart"].id
    assert project.content_permissions == "LockedToProject"
    source = sources(server)[detailed.project, "Medewerkers"]
    content = server.datasources.download(source.id, str(tmp_path / "downloaded"))
    assert held(content) == held_file(extracts["agents"])


def test_the_customers_group_may_look_and_nothing_else(server: TSC.Server, standard: Publication) -> None:
    publish(server, standard)
    group = groups(server)[group_of(7)]
    project, source = projects(server)[standard.project], next(iter(sources(server).values()))
    server.projects.populate_permissions(project)
    server.datasources.populate_permissions(source)
    assert [(rule.grantee.id, rule.capabilities) for rule in project.permissions] == [(group, {READ: ALLOW})]
    (rule,) = source.permissions
    assert rule.grantee.id == group
    assert {name for name, mode in rule.capabilities.items() if mode == ALLOW} == {READ, "Connect"}
    assert {"ExportXml", "Write"} <= {name for name, mode in rule.capabilities.items() if mode != ALLOW}


def test_all_users_are_removed(server: TSC.Server, standard: Publication) -> None:
    server.projects.create(TSC.ProjectItem("not ours"))
    assert reached_by(server, "not ours") == {"All Users"}  # or there would be nothing to remove
    publish(server, standard)
    assert reached_by(server, standard.project) == {group_of(7)}
    assert reached_by(server, "callmart") == set()
    assert reached_by(server, "not ours") == {"All Users"}


@pytest.mark.parametrize("status", [409, 404])
def test_all_users_are_removed_for_every_kind_of_content_or_nothing_is_published(
    shared: Shared, standard: Publication, status: int
) -> None:
    _, state, server = shared
    inject(state, Fault("status", status=status, method="DELETE", path="/default-permissions/metrics/"))
    (outcome,) = publish(server, standard)
    assert outcome.error is not None
    assert sources(server) == {}
    assert succeeded(publish(server, standard))
    project = projects(server)[standard.project]
    server.projects.populate_metric_default_permissions(project)
    assert project.default_metric_permissions == []


@pytest.mark.parametrize("scope", ["project", "datasource", "workbook"])
def test_a_grant_that_was_added_is_taken_back(
    server: TSC.Server, detailed: Publication, standard: Publication, scope: str
) -> None:
    publish(server, detailed, standard)
    project = projects(server)[standard.project]
    rule = TSC.PermissionsRule(TSC.GroupItem.as_reference(groups(server)[group_of(1042)]), {READ: ALLOW})
    if scope == "project":
        server.projects.update_permissions(project, [rule])
    else:
        getattr(server.projects, f"update_{scope}_default_permissions")(project, [rule])
    assert reached_by(server, standard.project) == {group_of(7), group_of(1042)}
    changes = plan((detailed, standard), read(server))
    assert [(step.customer_id, step.kind) for step in changes.steps] == [(7, "permissions")]
    assert succeeded(apply(server, changes))
    assert matches(server, detailed, standard)


def test_a_project_that_was_unlocked_is_locked_again(server: TSC.Server, standard: Publication) -> None:
    publish(server, standard)
    project = projects(server)[standard.project]
    server.projects.update(TSC.ProjectItem(id=project.id, content_permissions="ManagedByOwner"))
    assert succeeded(publish(server, standard))
    assert projects(server)[standard.project].content_permissions == "LockedToProject"


# desired state


def test_a_second_time_changes_and_uploads_nothing(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication
) -> None:
    publish(server, detailed, standard)
    assert uploads(settings) == 5
    again = plan((standard, detailed), read(server))
    assert again.steps == ()
    outcomes = apply(server, again)
    assert succeeded(outcomes)
    assert [outcome.customer_id for outcome in outcomes] == [7, 1042]
    assert uploads(settings) == 5


def test_only_what_changed_is_uploaded(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication, later: Publication
) -> None:
    publish(server, detailed, standard)
    key = (standard.project, standard.data_sources[0].name)
    luid = sources(server)[key].id
    assert succeeded(publish(server, detailed, later))
    assert uploads(settings) == 6
    assert matches(server, detailed, later)
    assert sources(server)[key].id == luid
    # what was there before is not kept for download
    assert len(list((settings.home / "emulator" / "files").iterdir())) == 5


def test_a_downgrade_removes_what_is_no_longer_ordered(
    server: TSC.Server, detailed: Publication, extracts: dict[str, DataSource], settings: Settings
) -> None:
    publish(server, detailed)
    assert (detailed.project, "Medewerkers") in sources(server)
    less = Publication(1042, detailed.name, (extracts["queues"],))
    assert succeeded(publish(server, less))
    assert matches(server, less)
    none = Publication(1042, detailed.name, ())
    assert succeeded(publish(server, none))
    assert matches(server, none)
    assert not list((settings.home / "emulator" / "files").iterdir())


def test_a_customer_that_left_leaves_nothing(
    server: TSC.Server, detailed: Publication, standard: Publication, settings: Settings
) -> None:
    publish(server, detailed, standard)
    changes = plan((standard,), read(server))
    assert changes.leaving == (1042,)
    assert succeeded(apply(server, changes))
    assert matches(server, standard)
    assert len(list((settings.home / "emulator" / "files").iterdir())) == 1
    assert plan((standard,), read(server)).steps == ()


def test_a_customer_that_was_renamed_keeps_its_project(
    server: TSC.Server, settings: Settings, standard: Publication
) -> None:
    publish(server, standard)
    luid = projects(server)[standard.project].id
    renamed = Publication(7, "Nieuwe naam: [7] & zn", standard.data_sources)
    assert succeeded(publish(server, renamed))
    assert matches(server, renamed)
    assert projects(server)[renamed.project].id == luid
    assert uploads(settings) == 1


def test_customers_of_one_name_or_nearly_so_stay_apart(
    shared: Shared, extracts: dict[str, DataSource]
) -> None:
    """Also where a name holds what no filter of Tableau's can match."""
    server = shared.server
    names = {
        1: "Jansen",
        11: "Jansen",
        111: "JANSEN",
        2: "1 Jansen",
        3: "Jansen, A & B: [x]",
        4: "jansen, a & b: [X]",
    }
    for ids in (list(names), list(reversed(names))):  # and after they have changed names with each other
        alike = [
            Publication(number, name, (extracts["queues"],))
            for number, name in zip(ids, names.values(), strict=True)
        ]
        assert succeeded(publish(server, *alike))
        assert matches(server, *alike)
        assert plan(alike, read(server)).steps == ()


def test_a_plan_reads_well(
    server: TSC.Server, detailed: Publication, standard: Publication, extracts: dict[str, DataSource]
) -> None:
    publish(server, detailed, standard)
    later = Publication(7, "Nieuw", (extracts["queues later"], extracts["agents"]))
    name = extracts["queues"].name
    assert list(plan((later,), read(server)).lines()) == [
        "- user 'c…@example.org'",
        "customer 7",
        "  ~ project '7 Nieuw'",
        f"  ~ data source '{name}' (2 rows)",
        "  + data source 'Medewerkers' (2 rows)",
        "customer 1042",
        f"  - project '{detailed.project}'",
        f"  - group '{group_of(1042)}'",
        "= 0 data sources and workbooks unchanged",
    ]


def test_permissions_and_removals_come_before_uploads(
    detailed: Publication, extracts: dict[str, DataSource]
) -> None:
    steps = plan((detailed,), Actual(HOME, None, {}, {}, {}, None, {}, hides_users=False)).steps
    kinds = [step.kind for step in steps if step.customer_id]
    assert kinds == [
        "group", "project", "permissions", "user", "member", "data source", "data source", "workbook", "workbook",
    ]  # fmt: skip


# who may look


def users(server: TSC.Server) -> dict[str, str]:
    """The site roles of all users but the one who publishes."""
    return {user.name: user.site_role for user in TSC.Pager(server.users) if user.id != server.user_id}


def with_members(publication: Publication, *names: str) -> Publication:
    return replace(publication, members=names)


def test_a_recipient_sees_the_customers_workbooks_and_no_others(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication,
    extracts: dict[str, DataSource],
) -> None:  # fmt: skip
    other = replace(
        with_members(standard, "winkel@example.com"), workbooks=(report("drukte", extracts["queues"]),)
    )
    assert succeeded(publish(server, detailed, other))
    assert matches(server, detailed, other)
    assert users(server) == {"chef@example.org": "Viewer", "winkel@example.com": "Viewer"}
    chef = as_user(ensure_running(settings.home), settings.home / "emulator", "chef@example.org")
    assert set(workbooks(chef)) == {(detailed.project, "Drukte"), (detailed.project, "Medewerkers")}
    (workbook,) = (each for key, each in workbooks(chef).items() if key[1] == "Drukte")
    chef.workbooks.populate_views(workbook)
    assert [view.name for view in workbook.views] == ["Drukte"], "the dashboard, not its sheets"
    with pytest.raises(TSC.ServerResponseError):
        chef.workbooks.download(workbook.id)
    assert [user.name for user in TSC.Pager(chef.users)] == ["chef@example.org"]
    assert {project.name for project in TSC.Pager(chef.projects)} == {"Default", detailed.project}


def test_an_address_in_another_case_is_the_same_user(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    both = (detailed, with_members(standard, "Chef@Example.org"))
    assert succeeded(publish(server, *both))
    assert users(server) == {"Chef@Example.org": "Viewer"}, "as customer 7 writes it, who came first"
    assert members(server, group_of(1042)) == {"Chef@Example.org"}
    assert plan(both, read(server)).steps == ()


def test_who_left_is_taken_from_group_and_site(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    server.users.add(TSC.UserItem("adviseur@example.net", "Explorer"))  # was there before
    publish(
        server, with_members(detailed, "a@example.org", "b@example.org", "adviseur@example.net"), standard
    )
    less = with_members(detailed, "b@example.org")
    assert [str(step) for step in plan((less, standard), read(server)).steps] == [
        "- user 'a…@example.org'",
        "- member 'a…@example.net'",
    ]
    assert succeeded(publish(server, less, standard))
    assert matches(server, less, standard)
    assert users(server) == {"adviseur@example.net": "Explorer", "b@example.org": "Viewer"}
    moved = (with_members(detailed), with_members(standard, "b@example.org"))
    assert succeeded(publish(server, *moved))
    assert matches(server, *moved)


def test_a_user_whose_addition_broke_off_is_ours_all_the_same(shared: Shared, detailed: Publication) -> None:
    _, state, server = shared
    inject(state, Fault("status", method="POST", path="/groups/[^/]+/users$"))
    (outcome,) = publish(server, detailed)
    assert outcome.error is not None
    assert succeeded(publish(server, detailed))
    assert plan((detailed,), read(server)).steps == ()
    assert succeeded(publish(server, with_members(detailed)))
    assert users(server) == {}


def test_who_was_let_in_by_hand_is_put_out_and_a_role_taken_back(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    publish(server, detailed, standard)
    by_name = {user.name: user for user in TSC.Pager(server.users)}
    group = next(each for each in TSC.Pager(server.groups) if each.name == group_of(7))
    server.groups.add_user(group, by_name["chef@example.org"].id)
    by_name["chef@example.org"].site_role = "Creator"
    server.users.update(by_name["chef@example.org"])
    assert succeeded(publish(server, detailed, standard))
    assert matches(server, detailed, standard)
    assert users(server) == {"chef@example.org": "Viewer"}


def test_no_address_is_told_in_full(server: TSC.Server, detailed: Publication) -> None:
    changes = plan((detailed,), read(server))
    assert "chef@" not in "".join([*changes.lines(), json.dumps(changes.as_json())])
    assert {
        "customer_id": 1042,
        "action": "add",
        "kind": "user",
        "name": "c…@example.org",
    } in changes.as_json()["steps"]


# the weekly mail


MONDAY = Mail(
    "Drukte",
    "chef@example.org",
    "Uw weekrapport Drukte & meer",
    "Bijgaand: <het rapport>.",
    "Monday",
    "07:00:00",
)


@pytest.fixture(params=["server", "cloud"])
def mailed(
    request: pytest.FixtureRequest, detailed: Publication, monkeypatch: pytest.MonkeyPatch
) -> Publication:
    """A customer of whom one is mailed one report; on Tableau Server and on Tableau Cloud."""
    monkeypatch.setattr(actual, "is_cloud", lambda _: request.param == "cloud")
    return replace(detailed, mails=(MONDAY,))


def subscriptions(server: TSC.Server) -> list[TSC.SubscriptionItem]:
    return list(TSC.Pager(server.subscriptions))


def lines(server: TSC.Server, *desired: Publication) -> list[str]:
    return [str(step) for step in plan(desired, read(server)).steps]


def test_a_report_is_mailed_every_week(
    server: TSC.Server, mailed: Publication, request: pytest.FixtureRequest
) -> None:
    assert succeeded(publish(server, mailed))
    (item,) = subscriptions(server)
    assert (item.subject, item.message) == (MONDAY.subject, MONDAY.message)
    assert (item.attach_pdf, item.send_if_view_empty, item.suspended) == (True, False, False)
    views = {view.id: view.name for view in TSC.Pager(server.views)}
    assert (item.target.type, views[item.target.id]) == ("View", "Drukte")
    if item.schedule_id is None:
        weekly = item.schedule[0].interval_item
        assert (str(weekly.start_time), weekly.interval) == ("07:00:00", ("Monday",))
    else:
        schedule = server.schedules.get_by_id(item.schedule_id)
        assert (schedule.name, schedule.interval_item.interval) == ("callmart Monday 07:00:00", ("Monday",))
    assert lines(server, mailed) == []


def test_a_mail_that_changes_is_another_one(server: TSC.Server, mailed: Publication) -> None:
    publish(server, mailed)
    for change in ({"message": "Anders."}, {"time": "08:00:00"}, {"workbook": "Medewerkers"}):
        changed = replace(mailed, mails=(replace(MONDAY, **change),))
        assert succeeded(publish(server, changed))
        assert len(subscriptions(server)) == 1
        assert lines(server, changed) == []


def test_a_week_that_is_held_back_is_not_mailed(server: TSC.Server, mailed: Publication) -> None:
    held = replace(mailed, hold="1 days of last week are held back")
    (outcome,) = publish(server, held)
    assert subscriptions(server) == [], "none is made that would mail"
    publish(server, mailed)
    (outcome,) = publish(server, held)
    assert outcome.error is None
    assert outcome.alert == "customer 1042: the weekly mail is suspended: 1 days of last week are held back"
    assert [each.suspended for each in subscriptions(server)] == [True]
    assert lines(server, held) == []
    assert lines(server, mailed) == ["~ subscription 'Drukte to c…@example.org'"]
    (outcome,) = publish(server, mailed)
    assert outcome.alert is None
    assert [each.suspended for each in subscriptions(server)] == [False]


def test_a_customer_that_fails_is_not_mailed_what_was_there_before(
    server: TSC.Server, mailed: Publication, extracts: dict[str, DataSource], tmp_path: Path
) -> None:
    publish(server, mailed)
    gone = replace(extracts["queues"], held=tmp_path / "gone.hyper", content_hash="new")
    (outcome,) = publish(server, replace(mailed, data_sources=(gone, extracts["agents"])))
    assert outcome.error is not None
    assert [each.suspended for each in subscriptions(server)] == [True]
    assert succeeded(publish(server, mailed))
    assert [each.suspended for each in subscriptions(server)] == [False]


def test_a_customer_that_waits_for_a_person_is_not_mailed(server: TSC.Server, mailed: Publication) -> None:
    publish(server, mailed)
    waits = replace(mailed, problem="live needs a server that Tableau can reach: set CALLMART_DSN")
    (outcome,) = publish(server, waits)
    assert outcome.error == f"customer 1042: {waits.problem}"
    assert [each.suspended for each in subscriptions(server)] == [True]
    assert lines(server, waits) == []
    assert succeeded(publish(server, mailed))
    assert [each.suspended for each in subscriptions(server)] == [False]


def test_only_recipients_are_mailed(server: TSC.Server, mailed: Publication, settings: Settings) -> None:
    publish(server, with_members(mailed, "chef@example.org", "ander@example.org"))
    ander = as_user(ensure_running(settings.home), settings.home / "emulator", "ander@example.org")
    view = next(view for view in TSC.Pager(ander.views) if view.name == "Drukte")
    schedule = server.schedules.create(
        TSC.ScheduleItem("own", 50, "Subscription", "Parallel", TSC.WeeklyInterval(time(7), "Monday"))
    )
    ander.subscriptions.create(
        TSC.SubscriptionItem("mine", schedule.id, ander.user_id, TSC.Target(view.id, "View"))
    )
    assert lines(server, with_members(mailed, "chef@example.org", "ander@example.org")) == [
        "- subscription 'Drukte to a…@example.org'"
    ]
    left = replace(
        mailed, members=("nieuw@example.org",), mails=(replace(MONDAY, member="nieuw@example.org"),)
    )
    assert succeeded(publish(server, left))
    names = {user.id: user.name for user in TSC.Pager(server.users)}
    assert [names[each.user_id] for each in subscriptions(server)] == ["nieuw@example.org"]
    assert succeeded(publish(server, replace(left, workbooks=(), mails=())))
    assert subscriptions(server) == []


@pytest.mark.parametrize(
    ("zone", "site", "now", "expected"),
    [
        ("Europe/Amsterdam", "Europe/Amsterdam", datetime(2026, 11, 24, tzinfo=UTC), ("Monday", "07:00:00")),
        ("Europe/London", "Europe/Amsterdam", datetime(2026, 11, 24, tzinfo=UTC), ("Monday", "08:00:00")),
        ("Europe/Amsterdam", "UTC", datetime(2026, 11, 24, tzinfo=UTC), ("Monday", "06:00:00")),
        # the Monday to come has summer time, today has not
        ("Europe/Amsterdam", "UTC", datetime(2026, 3, 27, tzinfo=UTC), ("Monday", "05:00:00")),
        ("Pacific/Auckland", "UTC", datetime(2026, 11, 24, tzinfo=UTC), ("Sunday", "18:00:00")),
    ],
)
def test_the_hour_is_the_customers(zone: str, site: str, now: datetime, expected: tuple[str, str]) -> None:
    schedule = exposures.reports()["drukte"].schedule
    assert publishing.mail_time(schedule, ZoneInfo(zone), ZoneInfo(site), now) == expected


# live, and wired


def live(password: str) -> DataSource:
    login = tds.Live("db.example.nl", "5432", "callmart", "callmart_customer_7", "verify-full")
    return DataSource(tds.source("queue", marts(), "nl"), login, f"hash-of-{password}", password=password)


def test_a_live_data_source_has_the_customers_login_embedded(
    server: TSC.Server, settings: Settings, extracts: dict[str, DataSource]
) -> None:
    def wanted(source: DataSource) -> Publication:
        return Publication(7, "Ander BV", (source,), (report("drukte", extracts["queues"]),))

    with State(settings.home / "emulator") as state:
        inject(state, Fault("credentials", count=1))
    assert succeeded(publish(server, wanted(live("one"))))
    assert matches(server, wanted(live("one")))
    (source,) = sources(server).values()
    server.datasources.populate_connections(source)
    assert [(each.username, each.embed_password) for each in source.connections] == [
        ("callmart_customer_7", True)
    ]
    assert [str(step) for step in plan([wanted(live("two"))], read(server)).steps] == [
        "~ data source 'Wachtrijen'"
    ], "another password; the workbook stands where it stood"
    assert succeeded(publish(server, wanted(extracts["queues"])))
    assert matches(server, wanted(extracts["queues"]))


def test_a_login_that_did_not_take_is_given_again(server: TSC.Server, settings: Settings) -> None:
    wanted = Publication(7, "Ander BV", (live("one"),))
    with State(settings.home / "emulator") as state:
        inject(state, Fault("credentials", count=1))
        inject(state, Fault("html", method="PUT", path="/connections/"))
    (outcome,) = publish(server, wanted)
    assert outcome.error is not None
    assert succeeded(publish(server, wanted))
    (source,) = sources(server).values()
    server.datasources.populate_connections(source)
    assert [each.embed_password for each in source.connections] == [True]


def test_a_workbook_follows_its_data_source(server: TSC.Server, detailed: Publication) -> None:
    publish(server, detailed)
    luid = workbooks(server)[detailed.project, "Drukte"].id
    server.datasources.delete(sources(server)[detailed.project, "Wachtrijen"].id)
    changes = plan((detailed,), read(server))
    assert [str(step) for step in changes.steps] == [
        "+ data source 'Wachtrijen' (2 rows)",
        "~ workbook 'Drukte'",
    ]
    assert succeeded(apply(server, changes))
    assert matches(server, detailed)
    assert workbooks(server)[detailed.project, "Drukte"].id == luid


def test_a_report_that_was_renamed_is_there_once(
    server: TSC.Server, standard: Publication, extracts: dict[str, DataSource]
) -> None:
    dutch = replace(standard, workbooks=(report("bereikbaarheid", extracts["queues"]),))
    publish(server, dutch)
    english = replace(extracts["queues"], source=tds.source("queue", marts(), "en"), content_hash="english")
    moved = replace(dutch, data_sources=(english,), workbooks=(report("bereikbaarheid", english),))
    assert succeeded(publish(server, moved))
    assert set(workbooks(server)) == {(standard.project, "Accessibility")}
    assert matches(server, moved)


# what is not ours


def foreign_source(server: TSC.Server, project: str, source: DataSource, name: str = "van een mens") -> str:
    item = TSC.DatasourceItem(projects(server)[project].id, name)
    return str(server.datasources.publish(item, source.held, "CreateNew").id)


def test_foreign_content_is_reported_and_never_touched(
    server: TSC.Server, standard: Publication, extracts: dict[str, DataSource]
) -> None:
    publish(server, standard)
    luid = foreign_source(server, standard.project, extracts["agents"])
    top = projects(server)["callmart"].id
    server.projects.create(TSC.ProjectItem("een map", parent_id=top))
    changes = plan((standard,), read(server))
    assert changes.steps == ()
    assert [line.strip() for line in changes.lines() if "?" in line] == [
        "? project 'een map' is not ours",
        "? data source 'van een mens' is not ours",
    ]

    assert succeeded(publish(server))  # the customer leaves
    assert server.datasources.get_by_id(luid).project_id == projects(server)[standard.project].id
    assert set(sources(server)) == {(standard.project, "van een mens")}
    assert "een map" in projects(server)
    assert reached_by(server, standard.project) == set()
    assert plan((), read(server)).steps == ()


def test_a_foreign_data_source_of_the_same_name_is_not_overwritten(
    server: TSC.Server, detailed: Publication, standard: Publication, extracts: dict[str, DataSource],
    settings: Settings,
) -> None:  # fmt: skip
    publish(server, Publication(7, standard.name, ()))
    luid = foreign_source(server, standard.project, extracts["agents"], extracts["queues"].name.upper())
    before = uploads(settings)
    first, second = publish(server, standard, detailed)
    assert first.error is not None
    assert "not ours" in first.error
    assert second.error is None
    assert uploads(settings) == before + 4
    assert server.datasources.get_by_id(luid).tags == set()


def test_two_projects_with_one_mark_are_for_a_person_to_mend(
    server: TSC.Server, standard: Publication, detailed: Publication
) -> None:
    publish(server, standard)
    top = projects(server)["callmart"].id
    server.projects.create(TSC.ProjectItem("kopie", f"callmart {HOME} customer 7", parent_id=top))
    first, second = publish(server, standard, detailed)
    assert first.error is not None
    assert "several projects" in first.error
    assert second.error is None


# several installations on one site

ELSEWHERE = Books("ba9876543210")


def of_installation(books: Books, state: State) -> Held:
    """All that bears the mark of an installation, and the group of its users."""
    return [
        each for each in bad_days.held(state) if str(each[0]).startswith(f"callmart {books.installation} ")
    ]


@pytest.mark.parametrize("order", ["ababab", "bbabaa"])
def test_each_installation_leaves_what_is_anothers(
    shared: Shared, detailed: Publication, standard: Publication, later: Publication, order: str
) -> None:
    """Whoever comes first, changes, loses a customer, and has none; one person is a recipient of both."""
    _, state, server = shared
    mailed = replace(detailed, mails=(MONDAY,))
    states = {
        "a": (NO_BOOKS, [(mailed, standard), (replace(detailed, name="Anders"), later), ()]),
        "b": (
            ELSEWHERE,
            [
                (
                    replace(mailed, customer_id=3),
                    with_members(replace(standard, customer_id=8), "b@example.org"),
                ),
                (replace(mailed, customer_id=3, name="Drie", members=("b@example.org",), mails=()),),
                (),
            ],
        ),
    }
    wanted: dict[str, tuple[Publication, ...]] = {"a": (), "b": ()}
    for which in order:
        books, ahead = states[which]
        other = states["ab".replace(which, "")][0]
        before = of_installation(other, state)
        wanted[which] = ahead.pop(0)
        assert succeeded(publish(server, *wanted[which], books=books)) or not wanted[which]
        assert of_installation(other, state) == before
        for each in "ab":
            assert plan(wanted[each], read(server, states[each][0])).steps == ()
        assert set(users(server)) == {name for each in "ab" for one in wanted[each] for name in one.members}
    assert {each[1] for books in (NO_BOOKS, ELSEWHERE) for each in of_installation(books, state)} == {"group"}


def test_a_plan_counts_what_is_anothers_and_names_nothing_of_it(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    publish(server, detailed, books=ELSEWHERE)
    changes = plan((standard,), read(server))
    assert "? 1 projects of installation ba9876543210" in list(changes.lines())
    assert changes.as_json()["other_installations"] == {"ba9876543210": 1}
    assert "Voorbeeld" not in "".join([*changes.lines(), json.dumps(changes.as_json())])


def test_a_name_that_another_installation_has_is_one_customers_problem(
    shared: Shared, detailed: Publication, standard: Publication, later: Publication
) -> None:
    _, state, server = shared
    publish(server, standard, books=ELSEWHERE)
    before = of_installation(ELSEWHERE, state)
    first, second = publish(server, later, detailed)
    assert "installation ba9876543210 has a project with the name" in str(first.error)
    assert "BV" not in str(first.error)
    assert (first.project_id, first.done, second.error) == (None, (), None)
    assert of_installation(ELSEWHERE, state) == before
    assert succeeded(publish(server, replace(later, name="Zelfde nummer"), detailed)), (
        "the number alone is free"
    )
    renamed, _ = publish(server, standard, detailed)
    assert "needs; a customer belongs to one installation" in str(renamed.error)
    publish(server, books=ELSEWHERE)
    server.projects.create(TSC.ProjectItem("7 ANDER bv", parent_id=projects(server)["callmart"].id))
    first, _ = publish(server, later, detailed)
    assert "a project that is not ours has the name" in str(first.error)


def test_what_our_books_name_and_another_installation_has_is_left_to_it(
    shared: Shared, detailed: Publication, standard: Publication, later: Publication
) -> None:
    """As where another home works on the same database, or on one that was restored."""
    _, state, server = shared
    made = publish(server, standard, detailed, books=ELSEWHERE)
    before = of_installation(ELSEWHERE, state)
    books = Books(HOME, {int(str(one.customer_id)): one.project_id for one in made})
    first, second = publish(server, later, replace(standard, customer_id=9), books=books)
    assert "bears the mark of installation ba9876543210" in str(first.error)
    assert second.error is None
    assert of_installation(ELSEWHERE, state) == before


BEFORE = Books(HOME, {7: None, 1042: None})


def test_what_stood_before_there_were_marks_is_adopted_and_not_published_again(
    shared: Shared, detailed: Publication, standard: Publication
) -> None:
    _, state, server = shared
    desired = (standard, replace(detailed, mails=(MONDAY,)))
    assert succeeded(publish(server, *desired))
    marked = bad_days.held(state)
    unmark(state, HOME)
    published = len(state.requests())

    waiting = plan(desired, read(server, BEFORE), adopts=False)
    assert [step for step in waiting.steps if step.customer_id] == []
    waited = apply(server, waiting)
    assert all("--yes" in str(one.error) for one in waited)
    assert all(one.project_id is None for one in waited), "or our books would not know it as one of before"
    assert all(not str(each[0]).startswith(f"callmart {HOME} customer") for each in bad_days.held(state))

    changes = plan(desired, read(server, BEFORE))
    assert changes.adopting == (7, 1042)
    assert {step.action for step in changes.steps if step.customer_id} == {"adopt"}
    assert "  * adopt project '7 Ander BV'" in list(changes.lines())
    assert {"customer_id": 7, "action": "adopt", "kind": "group", "name": "callmart-customer-7"} in (
        changes.as_json()["steps"]
    )
    outcomes = apply(server, changes)
    assert succeeded(outcomes)
    assert all(one.project_id for one in outcomes)
    assert bad_days.held(state) == marked
    assert matches(server, *desired)
    assert not [one for one in state.requests()[published:] if one.path.endswith(("/datasources", "/workbooks"))
                and one.method == "POST"]  # fmt: skip
    assert plan(desired, read(server)).steps == ()


def test_a_customer_whom_our_books_do_not_name_is_not_adopted(
    shared: Shared, detailed: Publication, standard: Publication
) -> None:
    """It may be another installation's, of before."""
    _, state, server = shared
    publish(server, standard, detailed)
    unmark(state, HOME)
    left = of_before(1042, state)
    for books in (NO_BOOKS, Books(HOME, {7: "gone", 1042: "gone"}), Books(HOME, {7: None})):
        changes = plan((), read(server, books))
        assert {step.customer_id for step in changes.steps} == (
            {None, 7} if None in books.projects.values() else set()
        )
    assert succeeded(publish(server, standard, books=Books(HOME, {7: None})))
    assert of_before(1042, state) == left
    assert len([each for each in of(7, bad_days.held(state)) if each[1] == "project"]) == 1


def of_before(customer_id: int, state: State) -> Held:
    return [each for each in bad_days.held(state) if each[0] == f"callmart customer {customer_id}"]


def test_who_left_is_removed_also_where_nothing_bore_a_mark(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication
) -> None:
    publish(server, standard, detailed)
    with State(settings.home / "emulator") as state:
        unmark(state, HOME)
    changes = plan((standard,), read(server, BEFORE))
    assert (changes.leaving, changes.adopting) == ((1042,), (7, 1042))
    assert succeeded(apply(server, changes))
    assert matches(server, standard)
    assert users(server) == {}


def test_killed_while_adopting_the_next_run_finishes(
    shared: Shared, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state, server = shared
    desired = (standard, replace(detailed, mails=(MONDAY,)))
    assert succeeded(publish(server, *desired))
    marked = bad_days.held(state)
    number, killed = 0, True
    while killed:
        number += 5
        unmark(state, HOME)
        killed = False
        try:
            with sending(monkeypatch, killed_after(number)):
                publish(server, *desired, books=BEFORE)
        except Killed:
            killed = True
        assert succeeded(publish(server, *desired, books=BEFORE))
        assert bad_days.held(state) == marked
    assert number > 20


def test_a_mark_that_a_person_took_away_is_put_back_when_that_is_confirmed(
    server: TSC.Server, standard: Publication, later: Publication
) -> None:
    (made,) = publish(server, standard)
    project = projects(server)[standard.project]
    project.description = "de klant met de winkels"
    server.projects.update(project)
    (waits,) = apply(server, plan((later,), read(server, Books(HOME, {7: made.project_id})), adopts=False))
    assert "--yes" in str(waits.error)
    changes = plan((standard,), read(server, Books(HOME, {7: made.project_id})))
    assert [str(step) for step in changes.steps] == ["* adopt project '7 Ander BV'"]
    assert succeeded(apply(server, changes))
    assert matches(server, standard)
    (source,) = sources(server).values()
    source.description = "van een mens"
    server.datasources.update(source)
    assert plan((standard,), read(server)).steps == (), "its tag has the mark as well"


def test_content_of_another_installation_in_our_project_is_not_ours(
    server: TSC.Server, standard: Publication
) -> None:
    publish(server, standard)
    (source,) = sources(server).values()
    server.datasources.add_tags(source, f"callmart-{ELSEWHERE.installation}-hash")
    (outcome,) = publish(server, standard)
    assert "holds a data source 'Wachtrijen' that is not ours" in str(outcome.error)
    assert {step.action for step in plan((), read(server)).steps} == {"change", "remove"}
    publish(server)
    assert list(sources(server)) == [(standard.project, "Wachtrijen")]


def test_others_who_cannot_be_read_are_not_nobody(shared: Shared, detailed: Publication) -> None:
    """Else their users would be taken from the site."""
    _, state, server = shared
    publish(server, detailed, books=ELSEWHERE)
    group = groups(server)[f"callmart-{ELSEWHERE.installation}-users"]
    inject(state, Fault("status", "GET", f"/groups/{group}/users$", status=403, body="xml"))
    with pytest.raises(TSC.ServerResponseError):
        read(server)


# failures


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def sending(monkeypatch: pytest.MonkeyPatch, instead: Callable[..., requests.Response]) -> Iterator[None]:
    """`instead(send, request)` is what happens when a request is sent."""
    original = HTTPAdapter.send

    def send(
        self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        response = instead(lambda: original(self, request, *args, **kwargs), request)
        response.request = request
        return response

    with monkeypatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", send)
        yield


def killed_after(number: int) -> Callable[..., requests.Response]:
    """Ends the process when the server has carried out the write of that number; the first is 1."""
    count = 0

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        nonlocal count
        response = send()
        count += request.method != "GET"
        if count == number:
            count += 1
            raise Killed
        return response

    return instead


@pytest.fixture
def states(
    standard: Publication, detailed: Publication, later: Publication
) -> tuple[tuple[Publication, ...], ...]:
    """Two customers, and then a departure, and a downgrade, a change of name and of data at once."""
    mailed = replace(detailed, mails=(MONDAY,))
    return (standard, mailed), (Publication(detailed.customer_id, "Voorbeeld", later.data_sources),)


def test_killed_at_any_point_the_next_run_finishes(
    server: TSC.Server,
    states: tuple[tuple[Publication, ...], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(applying, "close_unused", lambda *_: True)  # many calls, and the same ones again
    number, killed = 0, True
    while killed:
        number += 7  # each point takes its time
        killed = False
        for desired in states:
            try:
                with sending(monkeypatch, killed_after(number)):
                    publish(server, *desired)
            except Killed:
                killed = True
            assert succeeded(publish(server, *desired))
            assert matches(server, *desired)
            assert plan(desired, read(server)).steps == ()
        assert succeeded(publish(server))
        assert set(projects(server)) == {"Default", "callmart"}
        server.projects.delete(projects(server)["callmart"].id)
    assert number > 40  # there were that many points to be killed at


def test_killed_between_upload_and_tag_uploads_again(
    server: TSC.Server,
    settings: Settings,
    standard: Publication,
    later: Publication,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even when what is wanted next is what the old tag spoke of."""
    publish(server, standard)
    with monkeypatch.context() as patch:
        patch.setattr(type(server.datasources), "add_tags", lambda *_: kill())
        with pytest.raises(Killed):
            publish(server, later)
    assert succeeded(publish(server, standard))
    assert uploads(settings) == 3
    (source,) = sources(server).values()
    content = server.datasources.download(source.id, str(settings.home / "content"))
    assert held(content) == held_file(standard.data_sources[0])


def kill() -> None:
    raise Killed


def answer(status: int, body: bytes = b"") -> requests.Response:
    response = requests.Response()
    response.status_code, response._content, response.raw = status, body, None
    return response


FORBIDDEN = (
    b'<tsResponse xmlns="http://tableau.com/api"><error code="403004"><summary>Forbidden</summary>'
    b"<detail>Ander BV</detail></error></tsResponse>"
)


def test_one_customers_failure_leaves_the_others(
    server: TSC.Server, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = Publication(2000, "Derde", standard.data_sources)

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        body = request.body if isinstance(request.body, bytes) else b""
        return answer(403, FORBIDDEN) if b"Medewerkers" in body else send()

    steps: list[Step] = []
    with sending(monkeypatch, instead):
        outcomes = apply(server, plan((standard, detailed, last), read(server)), steps.append)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    error = outcomes[1].error
    assert error is not None
    assert "403004" in error
    assert "BV" not in error
    assert [step.kind for step in outcomes[1].done] == [
        "group", "project", "permissions", "user", "member", "data source",
    ]  # fmt: skip
    assert [step for step in steps if step.customer_id] == [s for outcome in outcomes for s in outcome.done]
    assert succeeded(publish(server, standard, detailed, last))
    assert matches(server, standard, detailed, last)


def test_an_answer_without_what_is_looked_for_is_one_customers(
    shared: Shared, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TSC ends in an IndexError then."""

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        body = request.body if isinstance(request.body, bytes) else b""
        return answer(200, b"<tsResponse></tsResponse>") if group_of(7).encode() in body else send()

    with sending(monkeypatch, instead):
        first, second = publish(shared.server, standard, detailed)
    assert "IndexError in groups_endpoint.py" in str(first.error)
    assert second.error is None
    assert succeeded(publish(shared.server, standard, detailed))
    assert matches(shared.server, standard, detailed)


@pytest.mark.parametrize(
    "path", ["/projects/{project}/default-permissions/workbooks$", "/groups/{group}/users$"]
)
def test_what_cannot_be_read_of_one_customer_leaves_the_others(
    shared: Shared, detailed: Publication, standard: Publication, later: Publication, path: str
) -> None:
    _, state, server = shared
    mailed = replace(detailed, mails=(MONDAY,))
    assert succeeded(publish(server, mailed, standard))
    project = projects(server)[detailed.project].id
    group = groups(server)[group_of(detailed.customer_id)]
    lasting = Fault(
        "status", "GET", path.format(project=project, group=group), status=403, body="xml", count=None
    )
    inject(state, lasting)
    unchanged = of(detailed.customer_id, bad_days.held(state))
    first, second = publish(server, replace(mailed, name="Voorbeeld"), later)
    assert first.error is None
    assert "customer 1042: Tableau answered 403" in str(second.error)
    assert [(step.action, step.kind) for step in second.done] == [("change", "subscription")]
    now = of(detailed.customer_id, bad_days.held(state))
    assert [each for each in now if each[1] != "mail"] == [each for each in unchanged if each[1] != "mail"]
    left, stays = publish(server, later)  # who leaves need not be known
    assert (left.error, stays.error) == (None, None)
    clear(state)
    assert matches(server, later)


def test_a_user_who_cannot_be_removed_leaves_the_others(
    shared: Shared, detailed: Publication, standard: Publication, later: Publication
) -> None:
    _, state, server = shared
    mailed = replace(detailed, mails=(MONDAY,))
    assert succeeded(publish(server, mailed, standard))
    luid = state.user("chef@example.org")["id"]
    inject(state, Fault("status", "DELETE", f"/users/{luid}$", status=403, body="xml", count=None))
    nobody = replace(detailed, name="Voorbeeld", members=(), workbooks=detailed.workbooks[:1])
    first, second = publish(server, nobody, later)
    assert (first.customer_id, first.error) == (7, None)
    assert "customer 1042: the user c…@example.org: Tableau answered 403" in str(second.error)
    assert second.done == ()  # or the user, who is still in the group, would see it
    assert detailed.project in projects(server)
    assert [each[6] for each in bad_days.held(state) if each[1] == "mail"] == [1], "it does not mail"
    above, stays, leaves = publish(server, later)
    assert above.customer_id is None
    assert "the user c…@example.org: Tableau answered 403" in str(above.error)
    assert (stays.error, leaves.error) == (None, None)
    clear(state)
    assert succeeded(publish(server, later))
    assert matches(server, later)
    assert users(server) == {}


LOOKUPS = ("/projects", "/groups", "/datasources", "/workbooks", "/permissions")
NOT_ANSWERS = (
    (200, b""),
    (200, b"<tsResponse/>"),
    (500, b"oops"),
    (429, b""),
    (200, b"<html>"),
    (200, b"<html></html>"),
    (200, b"<tsResponse "),
)


@pytest.mark.parametrize(
    ("lookup", "response"),
    [(lookup, (403, FORBIDDEN)) for lookup in LOOKUPS] + [("/projects", each) for each in NOT_ANSWERS],
)
def test_an_error_at_a_lookup_is_not_absence(
    settings: Settings,
    standard: Publication,
    monkeypatch: pytest.MonkeyPatch,
    lookup: str,
    response: tuple[int, bytes],
) -> None:
    with connect(settings) as server:
        publish(server, standard)

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        path = (request.url or "").partition("?")[0]
        return answer(*response) if request.method == "GET" and path.endswith(lookup) else send()

    before = uploads(settings)
    with sending(monkeypatch, instead), pytest.raises(UserError), connect(settings) as server:
        publish(server, standard)
    assert uploads(settings) == before
    with connect(settings) as server:
        assert matches(server, standard)


def test_what_others_can_reach_is_a_failure(
    server: TSC.Server, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that grants more than it was told, once the data is there; nothing of it is mailed."""
    detailed = replace(detailed, mails=(MONDAY,))
    everybody = TSC.GroupItem.as_reference(groups(server)["All Users"])
    publish_one = type(server.datasources).publish

    def leaky(self: Any, item: TSC.DatasourceItem, *args: Any, **options: Any) -> Any:
        published = publish_one(self, item, *args, **options)
        if item.name == "Medewerkers":
            project = TSC.ProjectItem(id=item.project_id)
            rule = TSC.PermissionsRule(everybody, {READ: ALLOW})
            server.projects.update_datasource_default_permissions(project, [rule])
        return published

    with monkeypatch.context() as patch:
        patch.setattr(type(server.datasources), "publish", leaky)
        first, second = publish(server, standard, detailed)
    assert first.error is None
    assert second.error is not None
    assert "reached by others" in second.error
    assert [each.suspended for each in subscriptions(server)] == [True]


def test_permissions_that_do_not_take_keep_the_data_here(
    server: TSC.Server, settings: Settings, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        return answer(204) if request.method == "DELETE" and "permissions" in (request.url or "") else send()

    publish(server)
    with sending(monkeypatch, instead):
        (outcome,) = publish(server, standard)
    assert outcome.error is not None
    assert uploads(settings) == 0
    assert succeeded(publish(server, standard))
    assert uploads(settings) == 1


@pytest.mark.parametrize(
    ("fault", "megabytes", "sessions"),
    [
        (Fault("status", status=429, body="none", retry_after=1), 10, 1),
        (Fault("status", status=503, count=2), 10, 1),
        (Fault("session"), 10, 1),
        (Fault("truncated"), 10, 2),  # it was added, and then once more: the size says so
        (Fault("cut"), 10, 2),
        (Fault("cut"), 2, 2),  # too small to tell
    ],
    ids=["429", "503", "401", "truncated", "cut", "small"],
)
def test_an_upload_that_breaks_off_goes_on(
    shared: Shared, fault: Fault, megabytes: int, sessions: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TSC_CHUNK_SIZE_MB", str(megabytes // 2))
    monkeypatch.setattr("time.sleep", lambda _: None)
    content = Random(0).randbytes(megabytes << 20)
    (tmp_path / "file").write_bytes(content)
    state = shared.state
    before = len(state.requests())
    inject(state, replace(fault, method="PUT", path="/fileUploads/", skip=1))
    upload = shared.server.fileuploads.upload(tmp_path / "file")
    row = state.one("select file from upload where id = ?", upload)
    assert row is not None
    assert (state.uploads / row["file"]).read_bytes() == content
    assert sum(each.path.endswith("/fileUploads") for each in state.requests()[before:]) == sessions


def test_an_upload_that_never_succeeds_ends(
    server: TSC.Server, settings: Settings, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", "0")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with State(settings.home / "emulator") as state:
        inject(state, Fault("status", status=503, method="PUT", path="/fileUploads/", count=None))
        (outcome,) = publish(server, standard)
        assert "status 503" in str(outcome.error)
        clear(state)
    assert succeeded(publish(server, standard))
    assert matches(server, standard)
    (source,) = sources(server).values()
    assert held(server.datasources.download(source.id, str(settings.home / "content"))) == held_file(
        standard.data_sources[0]
    )


# what is large is published by a job


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", "0")
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.usefixtures("everything_is_large")
def test_what_is_large_is_published_by_a_job_that_is_waited_for(
    shared: Shared, standard: Publication, detailed: Publication, later: Publication
) -> None:
    """Also where Tableau's lists are behind, and where the process dies meanwhile."""
    _, state, server = shared
    changes = plan((standard, detailed), read(server))
    inject(state, Fault("job", polls=3, outcome="Success"))
    inject(state, Fault("lag", path="/datasources$", requests=2))
    assert succeeded(apply(server, changes))
    clear(state)
    assert matches(server, standard, detailed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(server.jobs), "wait_for_job", lambda *_, **__: kill())
        with pytest.raises(Killed):
            publish(server, later, detailed)
    assert not matches(server, later, detailed)
    assert succeeded(publish(server, later, detailed))
    assert matches(server, later, detailed)
    assert len(list(TSC.Pager(server.jobs))) == 5


@pytest.mark.usefixtures("everything_is_large")
def test_a_job_that_does_not_succeed_is_one_customers(
    shared: Shared, standard: Publication, detailed: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_JOB_S", 0)
    _, state, server = shared
    desired = (standard, replace(standard, customer_id=8), detailed)
    changes = plan(desired, read(server))
    inject(state, Fault("job", outcome="Failed"))
    inject(state, Fault("job", polls=None))
    first, second, third = apply(server, changes)
    assert "job" in str(first.error)
    assert "failed" in str(first.error)
    assert "in time" in str(second.error)
    assert third.error is None
    assert succeeded(publish(server, *desired))
    assert matches(server, *desired)


@pytest.mark.parametrize("kind", ["html", "truncated", "cut"])
@pytest.mark.parametrize("path", ["/workbooks$", "/datasources$"])
def test_an_answer_that_is_none(
    shared: Shared, detailed: Publication, standard: Publication, kind: Any, path: str
) -> None:
    """The others are done; what it was that was done is seen by the next run."""
    _, state, server = shared
    changes = plan((standard, detailed), read(server))
    inject(state, Fault(kind, method="POST", path=path))
    assert [outcome.error is None for outcome in apply(server, changes)].count(False) == 1
    assert succeeded(publish(server, standard, detailed))
    assert matches(server, standard, detailed)


def test_a_session_that_ends_is_begun_anew(
    shared: Shared, detailed: Publication, standard: Publication
) -> None:
    """Also in the middle of an upload, and for all who work at once."""
    _, state, server = shared
    inject(state, Fault("session", method="POST", path="/datasources$", count=1))
    inject(state, Fault("session", method="GET", path="/permissions$", skip=3, count=1))
    assert succeeded(apply(server, plan((standard, detailed), read(server)), workers=3))
    assert matches(server, standard, detailed)


def test_a_session_that_ends_again_and_again_ends_the_work_but_loses_no_outcome(
    shared: Shared, detailed: Publication, standard: Publication
) -> None:
    _, state, server = shared
    changes = plan((standard, detailed), read(server))
    inject(state, Fault("session", method="POST", path="/datasources$", count=None))
    inject(state, Fault("session", method="GET", path="/users/", count=None))
    first, second = apply(server, changes)
    clear(state)
    assert [step.kind for step in first.done] == ["group", "project", "permissions"]
    assert second.done == ()
    assert first.error is not None
    assert "session" in first.error
    assert second.error == first.error.replace("customer 7:", "customer 1042:")


def test_several_at_once_do_what_one_does(
    shared: Shared, detailed: Publication, standard: Publication
) -> None:
    server = shared.server
    several = [replace(detailed, customer_id=number) for number in range(1, 7)]
    told: list[Step] = []
    changes = plan((*several, standard), read(server))
    outcomes = apply(server, changes, told.append, workers=4)
    assert succeeded(outcomes)
    assert [outcome.customer_id for outcome in outcomes] == [1, 2, 3, 4, 5, 6, 7]
    assert len(told) == len(changes.steps)
    assert matches(server, *several, standard)
    assert succeeded(apply(server, plan((), read(server)), workers=4))
    assert set(projects(server)) == {"Default", "callmart"}
    assert users(server) == {}


@pytest.fixture(scope="module")
def wanted(extracts: dict[str, DataSource]) -> list[tuple[Publication, ...]]:
    """Three customers, and then a change of name, of recipient and of data, a downgrade, a departure, an arrival."""
    queues, agents = extracts["queues"], extracts["agents"]
    both = ("beide@example.org", "chef@example.org")
    first = Publication(
        7, "Ander BV", (queues,), (report("drukte", queues),), both[:1], (replace(MONDAY, member=both[0]),)
    )
    detailed = Publication(
        1042, "Voorbeeld, Zn & Co: [BV]", (queues, agents),
        (report("drukte", queues), report("medewerkers", agents)), both, (MONDAY,),
    )  # fmt: skip
    less = replace(
        detailed, name="Voorbeeld", data_sources=(extracts["queues later"],), workbooks=detailed.workbooks[:1],
        members=both[1:], hold="not complete",
    )  # fmt: skip
    return [
        (first, Publication(8, "ander bv", (live("one"),)), detailed),
        (Publication(9, "Ander BV", (agents,)), less),
    ]


@pytest.fixture(scope="module")
def good_days(emulated: tuple[Settings, State], wanted: list[tuple[Publication, ...]]) -> list[Held]:
    """What stands there when nothing goes wrong."""
    settings, state = emulated
    with connect(settings) as server:
        return [bad_days.held(state) for desired in wanted if succeeded(publish(server, *desired))]


def of(customer_id: int | None, held: Held) -> Held:
    return [each for each in held if each[0] == f"callmart {HOME} customer {customer_id}"]


@pytest.mark.parametrize("seed", [3, 8, 10])
def test_a_bad_day_ends_as_a_good_one(
    shared: Shared, wanted: list[tuple[Publication, ...]], good_days: list[Held], seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Who is done is as wanted, whoever else is not; the next run makes all of it so, nothing of it twice."""
    random = Random(seed)
    settings, state, server = shared
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(applying, "_JOB_S", 0)
    monkeypatch.setattr(applying, "_INDEX_S", 0)
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", random.choice(("0", "64")))
    for desired, good in zip(wanted, good_days, strict=True):
        faults = bad_days.faults(random)
        outcomes = []
        with suppress(UserError), connect(settings) as bad:
            changes = plan(desired, read(bad))
            for fault in faults:
                inject(state, fault)
            outcomes = apply(bad, changes, workers=3)
        clear(state)
        for outcome in outcomes:
            if outcome.error is None:
                assert of(outcome.customer_id, bad_days.held(state)) == of(outcome.customer_id, good)
        assert succeeded(publish(server, *desired))
        assert bad_days.held(state) == good
        assert plan(desired, read(server)).steps == ()


def test_an_extract_that_is_gone(server: TSC.Server, standard: Publication, tmp_path: Path) -> None:
    gone = DataSource(standard.data_sources[0].source, tmp_path / "gone.hyper", "hash", 1)
    first, second = publish(server, Publication(1, "Eerste", (gone,)), standard)
    assert first.error is not None
    assert "extract" in first.error
    assert second.error is None


# connecting


def real(home: Path, **values: Any) -> Settings:
    return Settings(home=home, tableau=Tableau(**values))


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("https://10ax.online.tableau.com", "allow_cloud"),
        ("https://Prod-UK-A.Online.Tableau.com.", "allow_cloud"),
        ("http://tableau.example.org", "https"),
        ("http://127.0.0.1.example.org", "https"),
        ("tableau.example.org", "https://"),
    ],
)
def test_servers_that_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, remedy: str
) -> None:
    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        raise AssertionError("nothing may be sent")

    with sending(monkeypatch, instead), pytest.raises(UserError, match=remedy), \
            connect(real(tmp_path, server=url, token="secret")):  # fmt: skip
        pass


def test_the_cloud_when_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows that what is refused above would have been sent."""
    asked = []

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        asked.append(request.url)
        raise requests.ConnectionError

    cloud = real(tmp_path, server="https://10ax.online.tableau.com", token="secret", allow_cloud=True)
    with (
        sending(monkeypatch, instead),
        pytest.raises(UserError, match="No Tableau server answers"),
        connect(cloud),
    ):
        pass
    assert asked == ["https://10ax.online.tableau.com/api/2.4/serverinfo"]


def test_a_token_that_is_wrong_or_missing(settings: Settings, tmp_path: Path) -> None:
    emulator = ensure_running(settings.home)
    file = tmp_path / "token"
    file.write_text(emulator.token + "\n")
    file.chmod(0o600)
    with connect(real(settings.home, server=emulator.url, token_file=file)) as server:
        assert server.version == "3.28"
    file.write_text("wrong")
    with pytest.raises(UserError, match="refuses the token callmart") as refused, \
            connect(real(settings.home, server=emulator.url, token_file=file)):  # fmt: skip
        pass
    assert "wrong" not in str(refused.value)
    for values in ({"token_file": tmp_path / "gone"}, {}):
        with pytest.raises(UserError, match="token_file"), \
                connect(real(settings.home, server=emulator.url, **values)):  # fmt: skip
            pass


def test_a_secret_that_others_read_is_refused(tmp_path: Path) -> None:
    (file := tmp_path / "secret").write_text("a secret")
    app = ConnectedApp(client_id="c", secret_id="s", username="u", secret_file=file)
    for wanted in Tableau(token_file=file), Tableau(connected_app=app):
        for mode in 0o644, 0o640, 0o604, 0o440, 0o620:
            file.chmod(mode)
            with pytest.raises(UserError, match=f"other users can open {file}; close it with") as refused:
                credentials.of(wanted)
            assert "a secret" not in str(refused.value)
        for mode in 0o600, 0o400:
            file.chmod(mode)
            credentials.of(wanted)


def connected_app(settings: Settings, **others: Any) -> Settings:
    """Signs in by a connected app that the emulator trusts."""
    emulator = ensure_running(settings.home)
    secret = "q" * 44
    with State(settings.home / "emulator") as state:
        state.connect_app("client", "secret id", secret)
    app = {"client_id": "client", "secret_id": "secret id", "username": "admin", "secret": secret}
    return real(settings.home, server=emulator.url, connected_app=app | others)


def test_a_connected_app_may_do_all_that_is_needed_and_signs_in_again(
    settings: Settings, detailed: Publication, extracts: dict[str, DataSource]
) -> None:
    with connect(connected_app(settings)) as server:
        with State(settings.home / "emulator") as state:
            inject(state, Fault("session", method="POST", path="/workbooks$"))
        mailed = replace(detailed, mails=(MONDAY,))
        assert succeeded(publish(server, mailed))
        assert matches(server, mailed)
        reach.read(server, ignore_step)  # all that the audit asks
        for source in TSC.Pager(server.datasources):
            server.datasources.download(source.id, str(settings.home / source.id))
        moved = Publication(detailed.customer_id, "Anders", (live("one"),))
        assert succeeded(publish(server, replace(mailed, hold="not complete")))
        assert succeeded(publish(server, moved))
        assert matches(server, moved)
        assert succeeded(publish(server))
    with State(settings.home / "emulator") as state:
        assert [each.status for each in state.requests() if each.status in (401, 403)] == [401]


def test_a_connected_app_that_is_refused(settings: Settings, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").touch(0o600)
    for wrong in ({"secret": "w" * 44}, {"username": "nobody"}, {"secret_id": "another"}):
        with pytest.raises(UserError, match="refuses the connected app client") as refused, \
                connect(connected_app(settings, **wrong)):  # fmt: skip
            pass
        assert "www" not in str(refused.value)
    for file in (tmp_path / "gone", empty, None):
        with pytest.raises(UserError, match=r"connected_app\.secret_file"), \
                connect(connected_app(settings, secret=None, secret_file=file)):  # fmt: skip
            pass
    app = connected_app(settings).tableau.connected_app
    with pytest.raises(UserError, match="exactly one"), \
            connect(real(settings.home, server="http://127.0.0.1:1", token="secret", connected_app=app)):  # fmt: skip
        pass


def test_a_server_that_is_down(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError, match=f"No Tableau server answers at {url}"), \
            connect(real(settings.home, server=url, token="secret")):  # fmt: skip
        pass


def test_a_server_that_goes_down(settings: Settings, standard: Publication) -> None:
    with pytest.raises(UserError, match="stopped answering"), connect(settings) as server:
        read(server)
        stop(settings.home)
        read(server)


@contextmanager
def stub(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn, the last for ever: its URL, and the methods called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            status, body = answers[min(len(called), len(answers) - 1)]
            called.append(self.command)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("location", "https://elsewhere.example.org/")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = respond

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", called
        server.shutdown()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((200, b"<!doctype html><title>hello"), "like a running Tableau server"),
        ((200, b"<html><body/></html>"), "like a running Tableau server"),
        ((200, b"<tsResponse></tsResponse>"), "like a running Tableau server"),
        ((404, b""), "like a running Tableau server"),
        ((302, b""), "https://elsewhere.example.org/"),
    ],
)
def test_what_is_not_tableau(tmp_path: Path, given: tuple[int, bytes], says: str) -> None:
    with stub(given) as (url, _), pytest.raises(UserError, match=says), \
            connect(real(tmp_path, server=url, token="secret")):  # fmt: skip
        pass


def test_repeats_what_may_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with stub((503, b""), (429, b""), (200, b"<tsResponse></tsResponse>")) as (url, called):
        assert tableau._session(url).get(url, timeout=5).status_code == 200
        assert len(called) == 3
    for method, path in (("POST", "/datasources"), ("PUT", "/fileUploads/1")):
        with stub((429, b""), (200, b"<tsResponse></tsResponse>")) as (url, called):
            assert tableau._session(url).request(method, url + path, timeout=5).status_code == 200
            assert called == [method, method], "too much at once: nothing of it was done"
        with stub((503, b""), (200, b"fine")) as (url, called):
            assert tableau._session(url).request(method, url + path, timeout=5).status_code == 503
            assert called == [method]
