"""The folder of drawn pages, CALLMART_HOME/reports: a folder per customer, and index.html with links to all pages.

Only pages are kept there. They are text, so that a person can be sought in them; a PDF is drawn when somebody needs it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import psycopg

from callmart.base import sql_file
from callmart.base.declared import Locale
from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.declarations import exposures
from callmart.declarations.exposures import Report
from callmart.reports import html, weeks
from callmart.reports.html import Link
from callmart.reports.weeks import Week

SQL = sql_file.statements(__file__)

_HEAD = 1000  # bytes
_OLDEST_DAY = re.compile(rb'oldest-day(?:" content="|: )(\d{4}-\d\d-\d\d)', re.IGNORECASE)


@dataclass(frozen=True)
class Drawn:
    """A page on the shelf."""

    path: Path
    customer_id: int
    report: str
    week: Week


class _Customer(NamedTuple):
    name: str
    locale: Locale
    option: str
    orders: list[str]
    contacts_since: date | None  # its list of contacts is kept from this day on


def folder(settings: Settings) -> Path:
    """The folder of all pages."""
    return settings.home / "reports"


def place(settings: Settings, customer_id: int, report: str, week: Week) -> Path:
    """The page of a report of a week."""
    return folder(settings) / str(customer_id) / f"{report}-{week}.html"


def index(settings: Settings) -> Path:
    """The page that lists all others."""
    return folder(settings) / "index.html"


def pages(settings: Settings) -> Iterator[Drawn]:
    """The pages on the shelf, sorted."""
    yield from filter(None, map(_drawn, _files(settings)))


def strays(settings: Settings) -> list[Path]:
    """What is among the pages and has no page's name. Nobody knows what it shows, so it stays."""
    return [path for path in _files(settings) if _drawn(path) is None]


def _files(settings: Settings) -> list[Path]:
    return sorted(folder(settings).glob("*/*.html"))


def _drawn(path: Path) -> Drawn | None:
    found = re.fullmatch(r"([1-9][0-9]*)/([a-z_0-9]+)-(.*)\.html", f"{path.parent.name}/{path.name}")
    week = weeks.named(found[3]) if found else None
    return Drawn(path, int(found[1]), found[2], week) if found and week else None


def unordered(connection: psycopg.Connection, settings: Settings) -> list[Drawn]:
    """The pages that no contract orders today."""
    is_ordered = ordering(connection)
    return [page for page in pages(settings) if not is_ordered(page.customer_id, page.report, page.week)]


def tidy(connection: psycopg.Connection, settings: Settings) -> int:
    """Remove the pages that no contract orders any more, and list the others anew. Returns how many were removed. The
    caller has the lock, so a draft is one that a kill has left: it goes, too, if it can be deleted.

    Raises the OSError of the first page that can't be removed, when all others are.
    """
    if not folder(settings).exists():
        return 0
    for draft in folder(settings).glob("*/*.html.new"):
        with suppress(OSError):  # the next run tries again
            draft.unlink()
    customers = _customers(connection)
    listed: dict[str, list[Link]] = {}
    removed, stuck = 0, list[OSError]()
    for page in pages(settings):
        customer = customers.get(page.customer_id)
        report = _report(customer, page.report, page.week)
        if customer is None or report is None:
            try:
                page.path.unlink()
                removed += 1
            except OSError as error:
                stuck.append(error)
            continue
        title = report.title.of(customer.locale)
        address = f"{page.customer_id}/{page.path.name}"
        listed.setdefault(f"{page.customer_id} {customer.name}", []).append(
            Link(address, title, str(page.week))
        )
    for left in folder(settings).iterdir():
        if left.is_dir() and not any(left.iterdir()):
            left.rmdir()
    secret_file(index(settings), html.as_index(listed))
    if stuck:
        raise stuck[0]
    return removed


def ordering(connection: psycopg.Connection) -> Callable[[int, str, Week], bool]:
    """Return a function that says whether a customer may have the page of a report of a week today."""
    customers = _customers(connection)
    return lambda customer_id, name, week: _report(customers.get(customer_id), name, week) is not None


def _customers(connection: psycopg.Connection) -> dict[int, _Customer]:
    return {known: _Customer(*rest) for known, *rest in connection.execute(SQL["with_contract"])}


def _report(customer: _Customer | None, name: str, week: Week) -> Report | None:
    """The report of that name. None if the customer has not ordered it, or if it would list contacts of a week that is
    too old for that.
    """
    report = exposures.reports().get(exposures.current_name(name))
    if customer is None or report is None or not report.is_opened_by(customer.option, customer.orders):
        return None
    is_kept = not report.shows_contacts or week.monday >= (customer.contacts_since or date.max)
    return report if is_kept else None


def too_old(settings: Settings, floor: date, customer_id: int | None = None) -> list[Path]:
    """The pages, of all customers or of one, that can show a day before the floor."""
    return [
        page.path
        for page in pages(settings)
        if customer_id in (None, page.customer_id) and shows_before(page.path, page.week, floor)
    ]


def shows_before(path: Path, week: Week, floor: date) -> bool:
    """Whether a page or a mail of a week can show a day before the floor. Its head says which day is its oldest: the
    report may have been declared otherwise then. If it does not, as in version 0.2.0, it may have a trend.
    """
    if week.first_of_trend >= floor:
        return False
    try:
        with path.open("rb") as file:
            found = _OLDEST_DAY.search(file.read(_HEAD))
    except OSError:  # whoever deletes it says so
        found = None
    return found is None or date.fromisoformat(found[1].decode()) < floor
