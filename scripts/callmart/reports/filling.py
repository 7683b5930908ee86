"""Draws all reports of all customers into the folder of pages."""

from dataclasses import dataclass

import psycopg

from callmart.access import logins
from callmart.base.errors import kind
from callmart.base.progress import OnCustomer
from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.declarations import exposures
from callmart.reports import drawing, html, reading, shelf, weeks
from callmart.reports.drawing import Declared, NoData, NoDay
from callmart.reports.page import Page
from callmart.reports.reading import Customer
from callmart.reports.weeks import Week


@dataclass(frozen=True)
class Outcome:
    """What became of a customer's reports: how many were drawn, and why others were not."""

    customer_id: int
    drawn: int
    failures: tuple[str, ...] = ()


def fill(
    connection: psycopg.Connection,
    settings: Settings,
    week: Week | None,
    on_customer: OnCustomer,
) -> list[Outcome]:
    """Draw all reports of all customers, of a week or of each one's last that is over. A report without data gets no
    page. A failure of one customer or report stops no other. `on_customer(customer, finished, of)` is called after each
    customer.
    """
    declared = Declared.of(settings)
    customers = [customer_id for customer_id, *_ in connection.execute(shelf.SQL["with_contract"])]
    outcomes = []
    with logins.connect(settings, "publisher") as publisher:
        for number, customer_id in enumerate(customers, 1):
            try:
                customer = reading.customer(connection, customer_id)
                connection.commit()  # drawing takes long, and an open transaction would keep deleted rows
                outcomes.append(_draw(publisher, settings, declared, customer, week))
            except Exception as error:
                connection.rollback()  # else the next customer's queries are refused
                reason = f"the reports of customer {customer_id} were not drawn: {kind(error)}"
                outcomes.append(Outcome(customer_id, 0, (reason,)))
            on_customer(customer_id, number, len(customers))
    shelf.tidy(connection, settings)
    return outcomes


def _draw(
    publisher: psycopg.Connection,
    settings: Settings,
    declared: Declared,
    customer: Customer,
    week: Week | None,
) -> Outcome:
    pages, failures = {}, []
    for report in exposures.reports().values():
        if not report.is_opened_by(customer.option, customer.orders):
            continue
        try:
            pages[report.name] = drawing.draw(publisher, declared, report, customer, week)
        except NoData:
            continue
        except NoDay:  # of any report
            raise
        except Exception as error:
            failures.append(drawing.undrawn(customer, report, error))
    places = {
        name: shelf.place(settings, page.customer_id, name, weeks.parse(page.week))
        for name, page in pages.items()
    }
    for name, page in pages.items():
        rows_in = exposures.reports()[name].rows_in
        rows = _rows(page, pages[rows_in], places[rows_in].name) if rows_in in pages else []
        secret_file(places[name], html.render(page, rows))
    return Outcome(customer.customer_id, len(pages), tuple(failures))


def _rows(page: Page, listing: Page, address: str) -> list[tuple[str, str]]:
    """The days that the page of contacts shows, too: their addresses there, and what they are called."""
    shown = {day.date for section in listing.sections for day in section.days}
    return [(f"{address}#d{date}", day) for date, day in page.days if date in shown]
