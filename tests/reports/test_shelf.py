"""The pages of all customers: which are drawn and kept, and that a person who is erased is in none of them."""

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from callmart.base.errors import UserError
from callmart.base.needles import Needles
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.base.secret_files import secret_file
from callmart.declarations import exposures
from callmart.reports import drawing, filling, reading, shelf, weeks
from callmart.reports.places import Pages
from callmart.retention import expiry_plan
from callmart_home import Callmart
from centre import ANONYMOUS, DETAILED, NAMED, STANDARD, WITH_DATA
from drawn import BEFORE, WEEK
from today import TODAY, YESTERDAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

NOOR = "Noor Zandvliet"


@pytest.fixture
def owner(two_weeks: Callmart) -> Iterator[psycopg.Connection]:
    """The owner, with an empty shelf."""
    shutil.rmtree(shelf.folder(two_weeks.settings), ignore_errors=True)
    with two_weeks.connect() as connection:
        yield connection


def fill(callmart: Callmart, owner: psycopg.Connection) -> list[filling.Outcome]:
    return filling.fill(owner, callmart.settings, WEEK, quietly)


def on_shelf(callmart: Callmart) -> set[tuple[int, str]]:
    return {(page.customer_id, page.report) for page in shelf.pages(callmart.settings)}


def ordered(customer_id: int) -> set[tuple[int, str]]:
    option = "detailed" if customer_id in DETAILED else "standard"
    orders = ["contact_list"] if customer_id == STANDARD else []
    return {
        (customer_id, name) for name, one in exposures.reports().items() if one.is_opened_by(option, orders)
    }


def test_each_customer_gets_what_its_contract_opens(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    outcomes = fill(two_weeks, owner)
    assert [(one.customer_id, one.failures) for one in outcomes] == [(customer, ()) for customer in WITH_DATA]
    wanted = set().union(*map(ordered, WITH_DATA))
    assert on_shelf(two_weeks) == wanted
    listed = shelf.index(two_weeks.settings).read_text()
    contacts = shelf.place(two_weeks.settings, STANDARD, "contacts", WEEK).read_text()
    days = sorted(re.findall(r'<h3 id="d([0-9-]+)"', contacts))  # with contacts: no link leads to another day
    assert str(YESTERDAY) in days
    for page in shelf.pages(two_weeks.settings):
        assert f'href="{page.customer_id}/{page.path.name}"' in listed
        assert page.path.stat().st_mode & 0o077 == 0
        led_to = re.findall(rf'href="contacts-{WEEK}.html#d([0-9-]+)"', page.path.read_text())
        leads = page.customer_id == STANDARD and bool(exposures.reports()[page.report].rows_in)
        assert led_to == (days if leads else [])


def test_one_failing_customer_or_report_stops_no_other(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, of_customer = drawing.draw, reading.customer

    def draw(publisher: Any, declared: Any, report: Any, customer: Any, *more: Any) -> Any:
        if customer.customer_id == NAMED and report.name == "agents":
            raise RuntimeError(NOOR)
        if customer.customer_id == STANDARD and report.name == "traffic":
            raise UserError("a sentence")
        return inner(publisher, declared, report, customer, *more)

    def customer(connection: psycopg.Connection, customer_id: int) -> Any:
        if customer_id == ANONYMOUS:
            connection.execute("select 1 / 0")
        return of_customer(connection, customer_id)

    monkeypatch.setattr(drawing, "draw", draw)
    monkeypatch.setattr(reading, "customer", customer)
    failures = {one.customer_id: one.failures for one in fill(two_weeks, owner)}
    assert failures == {
        NAMED: (f"customer {NAMED}: the report agents was not drawn: RuntimeError",),
        ANONYMOUS: (f"the reports of customer {ANONYMOUS} were not drawn: SQLSTATE 22012",),
        STANDARD: (f"customer {STANDARD}: the report traffic was not drawn: a sentence",),
    }
    failed = {(NAMED, "agents"), (STANDARD, "traffic")}
    assert on_shelf(two_weeks) == (ordered(NAMED) | ordered(STANDARD)) - failed


def test_a_week_that_has_not_begun_is_said_once_of_each_customer(
    two_weeks: Callmart, owner: psycopg.Connection
) -> None:
    later = weeks.parse("2099-W01")
    said = "were not drawn: 2099-W01 has no day that is over: name a week before it, or leave --week out"
    for one in filling.fill(owner, two_weeks.settings, later, quietly):
        assert one.failures == (f"the reports of customer {one.customer_id} {said}",)


def test_pages_that_no_contract_orders_are_removed(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    fill(two_weeks, owner)
    too_old = shelf.place(two_weeks.settings, STANDARD, "contacts", WEEK.before)
    too_old.touch()
    kept_days = "update registry.customer set contact_list_days = %s where customer_id = %s"
    owner.execute(kept_days, [(TODAY - WEEK.monday).days, STANDARD])
    assert [page.path for page in shelf.unordered(owner, two_weeks.settings)] == [too_old]
    too_old.unlink()
    owner.execute("update registry.contract set option = 'standard' where customer_id = %s", [NAMED])
    owner.execute("delete from registry.contract where customer_id = %s", [STANDARD])
    owner.execute("update registry.customer set contact_list_days = null")
    unordered = shelf.unordered(owner, two_weeks.settings)
    removed = shelf.tidy(owner, two_weeks.settings)
    assert len(unordered) == removed
    owner.rollback()
    left = on_shelf(two_weeks)
    assert {name for customer, name in left if customer == NAMED} == {
        name for _, name in ordered(STANDARD)
    } - {"contacts"}
    assert not any(customer == STANDARD for customer, _ in left)
    assert not (shelf.folder(two_weeks.settings) / str(STANDARD)).exists()
    assert removed == len(ordered(NAMED)) - len(ordered(STANDARD)) + 1 + len(ordered(STANDARD))
    assert f"{STANDARD}/" not in shelf.index(two_weeks.settings).read_text()


def test_a_page_that_a_kill_has_left_half_written_goes(
    two_weeks: Callmart, owner: psycopg.Connection
) -> None:
    page = shelf.place(two_weeks.settings, NAMED, "agents", WEEK)
    secret_file(page, NOOR)
    drafts = [page.with_name(f"{page.name}.new"), page.with_name("agents-2026-W01.html.new")]
    for draft in drafts:
        draft.write_text(NOOR)
    assert shelf.tidy(owner, two_weeks.settings) == 0
    assert not any(draft.exists() for draft in drafts) and page.exists()


def test_a_page_expires_with_the_first_day_that_it_shows(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its report has no trend any more. A page that does not say its oldest day may have one."""
    fill(two_weeks, owner)
    reports = {
        name: one.model_copy(update={"sheets": [sheet for sheet in one.sheets if not sheet.is_trend]})
        for name, one in exposures.reports().items()
    }
    monkeypatch.setattr(exposures, "reports", lambda: reports)
    pages = sorted(page.path for page in shelf.pages(two_weeks.settings))
    first, of_trend = WEEK.monday - BEFORE, WEEK.first_of_trend
    assert WEEK.monday - of_trend > timedelta(days=365)
    assert shelf.too_old(two_weeks.settings, of_trend) == []
    with_trend = [page for page in pages if page.name.startswith("handling")]
    assert shelf.too_old(two_weeks.settings, of_trend + timedelta(days=1)) == with_trend
    assert shelf.too_old(two_weeks.settings, first) == with_trend
    assert shelf.too_old(two_weeks.settings, first + timedelta(days=1)) == pages
    unmarked = pages[-1]
    unmarked.write_text("<!doctype html>")
    assert shelf.too_old(two_weeks.settings, of_trend + timedelta(days=1)) == [*with_trend, unmarked]
    planned = expiry_plan.plan(owner, two_weeks.settings, TODAY.replace(year=TODAY.year + 4, day=1))
    (step,) = [step for step in planned.steps if step.why.startswith("drawn reports")]
    assert step.count == step.take(owner) == len(pages)
    assert on_shelf(two_weeks) == set()
    owner.rollback()


def test_a_person_who_is_erased_is_in_no_page(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    fill(two_weeks, owner)
    place, day = Pages(), weeks.Week(WEEK.monday).sunday
    work: Any = Work(owner, two_weeks.settings, lambda: None, Needles([NOOR]))
    person: Any = Person(NAMED, "agent", frozenset([NOOR]), frozenset(), day)  # type: ignore[arg-type]
    assert place.find(work, person)["pages"] == 2, "the agents' reports name them"
    assert place.prove(work, person).left["files"] == 2
    draft = shelf.folder(two_weeks.settings) / str(NAMED) / "agents-2026-W01.html.new"
    draft.write_text(NOOR)  # left by a kill
    treated = place.treat(work, person)
    assert treated["pages"] == len(ordered(NAMED)) + 1
    assert on_shelf(two_weeks) == set().union(*map(ordered, WITH_DATA)) - ordered(NAMED)
    proof = place.prove(work, person)
    assert not proof.left and proof.searched["files"]
    assert place.treat(work, person)["pages"] == 0


def test_a_name_that_html_writes_otherwise_is_found(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    page = shelf.place(two_weeks.settings, NAMED, "agents", WEEK)
    page.parent.mkdir(parents=True)
    page.write_text("<p>O&#39;Brien &amp; Zn.</p>")
    work: Any = Work(owner, two_weeks.settings, lambda: None, Needles(["O'Brien & Zn."]))
    person: Any = Person(NAMED, "agent", frozenset(), frozenset(), TODAY)  # type: ignore[arg-type]
    assert Pages().find(work, person)["pages"] == 1
    assert Pages().prove(work, person).left["files"] == 1
