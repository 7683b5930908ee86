"""The emulator's views show callmart's reports: to whom the permissions let see them, and of that customer only."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import openpyxl
import pypdf
import pytest
import tableauserverclient as TSC

from callmart.access import logins
from callmart.declarations import exposures
from callmart.publish import applying, bookkeeping, emulator, planning, views
from callmart.publish.desired import DataSource, Publication
from callmart.publish.reading import read
from callmart.reports import drawing, reading, weeks
from callmart.reports.drawing import ENDINGS, Declared
from callmart.tableau_files import tds
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, STANDARD, queue_of
from drawn import WEEK
from drawn_pages import rows_of
from emulated import refused
from publications import report
from published import succeeded
from tableau_emulator.client import administrator, as_user, served
from tableau_emulator.process import Emulator
from tableau_files import marts
from today import TODAY

CHEFS = {NAMED: "chef@een.example", ANONYMOUS: "chef@twee.example"}
PLANNER = "planner@een.example"
PIXEL = 100  # bytes: what is smaller is the emulator's placeholder
EXPORTS = ("image", "pdf", "csv", "excel")
DENY = TSC.Permission.Mode.Deny
ALLOW = TSC.Permission.Mode.Allow


@dataclass
class Site:
    """What callmart has published of its customers, on an emulator in a thread that draws as callmart does."""

    callmart: Callmart
    running: Emulator
    server: TSC.Server  # the administrator's
    asked: list[str] = field(default_factory=list)  # the formats that were drawn

    def as_chef(self, customer_id: int) -> TSC.Server:
        return self.as_user(CHEFS[customer_id])

    def as_user(self, name: str) -> TSC.Server:
        return as_user(self.running, self.callmart.home / "emulator", name)

    def project(self, customer_id: int) -> TSC.ProjectItem:
        return next(one for one in TSC.Pager(self.server.projects) if one.name.startswith(str(customer_id)))

    def view(self, customer_id: int, title: str = "Drukte") -> TSC.ViewItem:
        luid = self.project(customer_id).id
        found = next(
            one for one in TSC.Pager(self.server.views) if (one.project_id, one.name) == (luid, title)
        )
        return self.server.views.get_by_id(found.id)


@pytest.fixture(scope="module")
def site(two_weeks: Callmart, extracts: dict[str, DataSource]) -> Iterator[Site]:
    """Two customers, whose users may export data. What their extracts hold is not what is drawn."""
    folder = two_weeks.home / "emulator"
    folder.mkdir(mode=0o700)
    made: list[Site] = []

    async def draw(form: str, asked: dict[str, Any]) -> bytes:
        made[0].asked.append(form)
        with two_weeks.connect() as connection:
            return views.draw(connection, two_weeks.settings, form, views.Asked.model_validate(asked))

    desired = [
        Publication(
            customer_id,
            f"customer {customer_id}",
            (extracts["queues"], extracts["agents"]),
            (report("traffic", extracts["queues"]), report("agents", extracts["agents"])),
            (chef, PLANNER) if customer_id == NAMED else (chef,),
            exports=True,
        )
        for customer_id, chef in CHEFS.items()
    ]
    with served(folder, draw) as running, two_weeks.connect() as owner:
        server = administrator(running)
        books = bookkeeping.books(owner, two_weeks.settings)
        outcomes = applying.apply(server, planning.plan(desired, read(server, books)))
        assert succeeded(outcomes)
        bookkeeping.record(owner, two_weeks.settings, outcomes)
        made.append(Site(two_weeks, running, server))
        yield made[0]


def of_the_week(kind: Any = TSC.CSVRequestOptions) -> Any:
    """Options that ask for the week with data, in how many weeks ago that is."""
    back = (weeks.of(TODAY).monday - WEEK.monday).days // 7
    return kind().parameter("weeks_back", str(back))


def exported(server: TSC.Server, view: TSC.ViewItem, what: str, options: Any = None) -> bytes:
    """A view in a format, as this user gets it."""
    kinds = {
        "image": TSC.ImageRequestOptions,
        "pdf": TSC.PDFRequestOptions,
        "csv": TSC.CSVRequestOptions,
        "excel": TSC.ExcelRequestOptions,
    }
    getattr(server.views, f"populate_{what}")(view, options or of_the_week(kinds[what]))
    content = getattr(view, what)
    return content if isinstance(content, bytes) else b"".join(content)


def previewed(server: TSC.Server, view: TSC.ViewItem) -> bytes:
    """The picture of a view's workbook in a list, as this user gets it."""
    workbook = server.workbooks.get_by_id(view.workbook_id)
    server.workbooks.populate_preview_image(workbook)
    return bytes(workbook.preview_image)


def said(document: bytes) -> str:
    """The words of a PDF."""
    return "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(document)).pages)


def offered(table: bytes) -> int:
    """The contacts of the week by a CSV file."""
    return sum(
        int(row["value"])
        for row in rows_of(table)
        if (row["sheet"], row["measure"], row["week"]) == ("offered_by_moment", "offered", str(WEEK))
    )


def in_the_mart(callmart: Callmart, customer_id: int) -> int:
    rows = callmart.rows(
        "select sum(offered) as offered from mart.queue_interval where call_date = any(%s)",
        list(WEEK.days),
        customer_id=customer_id,
    )
    return int(rows[0]["offered"])


@pytest.mark.parametrize("customer_id", CHEFS)
def test_a_customers_user_sees_its_report(site: Site, customer_id: int) -> None:
    chef, view = site.as_chef(customer_id), site.view(customer_id)
    with site.callmart.connect() as owner, logins.connect(site.callmart.settings, "publisher") as publisher:
        page = drawing.draw(
            publisher,
            Declared.of(site.callmart.settings),
            exposures.named("traffic"),
            reading.customer(owner, customer_id),
            WEEK,
        )
    assert exported(chef, view, "image") == ENDINGS[".png"](page)
    words = said(exported(chef, view, "pdf"))
    assert page.customer in words
    assert "Drukte" in words
    contacts = in_the_mart(site.callmart, customer_id)
    assert contacts > 0
    assert offered(exported(chef, view, "csv")) == contacts
    book = openpyxl.load_workbook(io.BytesIO(exported(chef, view, "excel")))
    (name,) = (name for name in book.sheetnames if "Aangeboden" in name)
    head, *rows = book[name].iter_rows(values_only=True)
    assert head == ("Week", "Dag", "Begin van het kwartier", "Aangeboden")
    assert sum(row[3] for row in rows) == contacts
    assert {type(row[3]) for row in rows} == {int}


def test_nobody_sees_the_view_of_another_customer(site: Site) -> None:
    chef, view = site.as_chef(NAMED), site.view(ANONYMOUS)
    site.asked.clear()
    for what in EXPORTS:
        with refused("403032" if what in ("csv", "excel") else "403004"):
            exported(chef, view, what)
    workbook = site.server.workbooks.get_by_id(view.workbook_id)
    for populate in (chef.workbooks.populate_pdf, chef.workbooks.populate_preview_image):
        with refused("403004" if "pdf" in populate.__name__ else "403018"):
            populate(workbook)
            _ = workbook.pdf if "pdf" in populate.__name__ else workbook.preview_image
    assert site.asked == []


def test_a_user_without_the_capability_gets_no_numbers(site: Site) -> None:
    """Nor a picture by way of the preview, for which one needs to read only."""
    planner = next(one for one in TSC.Pager(site.server.users) if one.name == PLANNER)
    project, defaults = site.project(NAMED), site.server.projects
    server, view = site.as_user(PLANNER), site.view(NAMED)
    png = exported(server, view, "image")
    rule = TSC.PermissionsRule(planner, {"ExportData": DENY})
    defaults.update_workbook_default_permissions(project, [rule])
    with refused("403032"):
        exported(server, view, "csv")
    assert exported(server, view, "image") == png
    defaults.delete_workbook_default_permissions(project, rule)
    rule = TSC.PermissionsRule(planner, {"ExportImage": DENY})
    defaults.update_workbook_default_permissions(project, [rule])
    with refused("403004"):
        exported(server, view, "image")
    assert len(previewed(server, view)) < PIXEL
    defaults.delete_workbook_default_permissions(project, rule)
    assert len(previewed(server, view)) > PIXEL


def test_whoever_is_let_in_by_hand_is_not_shown_a_customers_data(site: Site) -> None:
    """Nor told why. An administrator, who may see everything, is the control."""
    chef = next(one for one in TSC.Pager(site.server.users) if one.name == CHEFS[NAMED])
    project, view = site.project(ANONYMOUS), site.view(ANONYMOUS)
    sources = [one for one in TSC.Pager(site.server.datasources) if one.project_id == project.id]
    workbooks = TSC.PermissionsRule(chef, dict.fromkeys(("Read", "ExportImage", "ExportData"), ALLOW))
    connects = TSC.PermissionsRule(chef, dict.fromkeys(("Read", "Connect"), ALLOW))
    site.server.projects.update_workbook_default_permissions(project, [workbooks])
    assert sources
    with refused("403004"):  # the permission to connect to the data source is needed, too
        exported(site.as_chef(NAMED), view, "image")
    site.server.projects.update_datasource_default_permissions(project, [connects])
    for what in EXPORTS:
        with pytest.raises(TSC.server.endpoint.exceptions.InternalServerError) as failed:
            exported(site.as_chef(NAMED), view, what)
        assert str(ANONYMOUS) not in str(failed.value).partition("<error")[2], "only the address has it"
    assert len(exported(site.server, view, "image")) > PIXEL
    site.server.projects.delete_workbook_default_permissions(project, workbooks)
    site.server.projects.delete_datasource_default_permissions(project, connects)


@pytest.mark.parametrize(
    ("name", "value", "whole"),
    [
        ("Wachtrij", queue_of(NAMED), True),
        ("Wachtrij", f"nowhere,{queue_of(NAMED)}", True),
        ("Wachtrij", queue_of(ANONYMOUS), False),
        ("Wachtrij", "x') or true --", False),
        ("customer_id", str(ANONYMOUS), True),
        ("Dag", ",".join(map(str, WEEK.days)), True),
        ("Dag", str(WEEK.before.monday), False),
    ],
)
def test_a_filter_never_adds_anything(site: Site, name: str, value: str, whole: bool) -> None:
    """A filter by the queue leaves that queue. As on Tableau, a filter by what the dashboard lacks changes nothing."""
    table = exported(site.as_chef(NAMED), site.view(NAMED), "csv", of_the_week().vf(name, value))
    assert offered(table) == (in_the_mart(site.callmart, NAMED) if whole else 0)
    assert queue_of(ANONYMOUS).encode() not in table


def test_a_filter_by_opening_hours_parts_the_contacts(site: Site) -> None:
    chef, view = site.as_chef(NAMED), site.view(NAMED)
    within, outside = (
        offered(exported(chef, view, "csv", of_the_week().vf("Binnen openingstijden", word)))
        for word in ("true", "false")
    )
    assert within > 0 < outside
    assert within + outside == in_the_mart(site.callmart, NAMED)


@pytest.fixture
def asked(site: Site) -> Iterator[Callable[..., bytes]]:
    """Draws a report as an administrator gets it, also of the customer with a list of contacts, who has no project."""
    projects = {NAMED: site.project(NAMED).id, STANDARD: "a project"}
    with site.callmart.connect() as owner:
        owner.execute(
            "insert into ops.publication (customer_id, state, project_id) values (%s, '', %s)",
            [STANDARD, projects[STANDARD]],
        )

    def draw(customer_id: int, name: str, form: str, back: int, filters: dict[str, list[str]]) -> bytes:
        asked = {
            "user": {"administers": True, "groups": []},
            "project": {"id": projects[customer_id]},
            "workbook": {"name": exposures.named(name).title.nl},
            "filters": filters,
            "parameters": {"weeks_back": str(back)},
        }
        with site.callmart.connect() as connection:
            return views.draw(connection, site.callmart.settings, form, views.Asked.model_validate(asked))

    yield draw
    with site.callmart.connect() as owner:
        owner.execute("delete from ops.publication where customer_id = %s", [STANDARD])


@pytest.mark.parametrize("name", exposures.reports())
def test_the_filter_of_each_dashboard_filters_its_drawing(asked: Callable[..., bytes], name: str) -> None:
    """By the caption that the field has on Tableau."""
    group, back = exposures.named(name).group, (weeks.of(TODAY).monday - WEEK.monday).days // 7
    customer_id = STANDARD if group == "contact" else NAMED
    people = tds.source(group, marts(), "nl").filtered.caption
    whole, none = (
        rows_of(asked(customer_id, name, "csv", back, filters)) for filters in ({}, {people: ["nowhere"]})
    )
    assert group == "line" or {row["week"] for row in whole} >= {str(WEEK)}, "the control: nobody has lines"
    assert not [row for row in none if row["week"] == str(WEEK)]


@pytest.mark.parametrize("form", ["pdf", "csv", "png"])
def test_a_week_that_begins_today_is_drawn_empty_and_says_so(
    asked: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    real, monday = reading.customer, WEEK.monday + timedelta(days=7)
    monkeypatch.setattr(reading, "customer", lambda *of: replace(real(*of), today=monday))
    for name in ("traffic", "agents"):
        table = asked(NAMED, name, form, 0, {})
        assert len(table) > PIXEL
        if form == "pdf":
            assert "er is nog geen dag voorbij" in " ".join(said(table).split())


def test_a_week_without_data_is_drawn_and_says_so(site: Site) -> None:
    options = TSC.PDFRequestOptions().parameter("weeks_back", "104")
    words = said(exported(site.as_chef(NAMED), site.view(NAMED), "pdf", options))
    assert "Geen gesprekken in deze periode" in words


def test_a_week_that_the_dashboard_lacks_changes_nothing(site: Site) -> None:
    chef, view = site.as_chef(NAMED), site.view(NAMED)
    tables = [
        exported(chef, view, "csv", TSC.CSVRequestOptions().parameter("weeks_back", back))
        for back in ("1", "9999")
    ]
    assert (
        tables[0]
        == tables[1]
        != exported(chef, view, "csv", TSC.CSVRequestOptions().parameter("weeks_back", "2"))
    )


def test_what_somebody_else_published_shows_no_customers_data(site: Site) -> None:
    """Not even with a report's name and a customer's mark: only callmart puts anything into a customer's project."""
    ours = site.server.workbooks.get_by_id(site.view(NAMED).workbook_id)
    file = site.server.workbooks.download(ours.id, str(site.callmart.home / "tmp"))
    default = next(one for one in TSC.Pager(site.server.projects) if one.name == "Default")
    item = TSC.WorkbookItem(default.id, ours.name)
    item.description = ours.description
    forged = site.server.workbooks.publish(item, file, "CreateNew")
    site.server.workbooks.add_tags(forged, list(ours.tags))
    assert "customer" in forged.description
    view = site.server.views.get_by_id(forged.views[0].id)
    site.asked.clear()
    assert len(exported(site.server, view, "image")) < PIXEL
    assert site.asked == ["png"]
    assert len(exported(site.server, site.view(NAMED), "image")) > PIXEL


def test_a_report_that_the_contract_no_longer_opens_is_not_drawn(site: Site) -> None:
    chef, view = site.as_chef(NAMED), site.view(NAMED, "Medewerkers")
    assert len(exported(chef, view, "image")) > PIXEL
    with site.callmart.connect() as owner:
        change = "update registry.contract set option = %s where customer_id = %s"
        owner.execute(change, ["standard", NAMED])
        owner.commit()
        with suppress(TSC.server.endpoint.exceptions.InternalServerError):
            pytest.fail(f"drawn: {len(exported(chef, view, 'image'))} bytes")
        owner.execute(change, ["detailed", NAMED])


@pytest.mark.thorough
def test_the_emulator_in_the_background_draws_by_the_command(site: Site) -> None:
    """Last, because another process then serves the state."""
    view, png = site.view(NAMED), exported(site.as_chef(NAMED), site.view(NAMED), "image")
    running = emulator.ensure_running(site.callmart.settings)
    chef = as_user(running, site.callmart.home / "emulator", CHEFS[NAMED])
    assert exported(chef, view, "image") == png
    command = emulator.drawing(site.callmart.settings)
    assert f"CALLMART_HOME={site.callmart.home}" in command
