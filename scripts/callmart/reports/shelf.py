"""The folder of drawn pages, CALLMART_HOME/reports: a folder per customer, and index.html with links to all pages.

Only pages are kept there. They are text, so that a person can be sought in them; a PDF is drawn when somebody needs it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import psycopg

from callmart.base import sql_file
from callmart.base.keys import secret_file
from callmart.base.settings import Settings
from callmart.declarations import exposures
from callmart.declarations.captions import Locale
from callmart.declarations.exposures import Report
from callmart.reports import html, weeks
from callmart.reports.html import Link
from callmart.reports.weeks import Week

SQL = sql_file.statements(__file__)


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
    for path in sorted(folder(settings).glob("*/*.html")):
        if found := re.fullmatch(r"([a-z_0-9]+)-(\d{4}-W\d{2})", path.stem):
            yield Drawn(path, int(path.parent.name), found[1], weeks.parse(found[2]))


def unordered(connection: psycopg.Connection, settings: Settings) -> list[Drawn]:
    """The pages that no contract orders today."""
    return [page for page, _, report in _ordered(connection, settings) if report is None]


def tidy(connection: psycopg.Connection, settings: Settings) -> int:
    """Remove the pages that no contract orders any more, and list the others anew. Returns how many were removed."""
    if not folder(settings).exists():
        return 0
    listed: dict[str, list[Link]] = {}
    removed = 0
    for page, customer, report in _ordered(connection, settings):
        if report is None:
            page.path.unlink()
            removed += 1
            continue
        title = str(getattr(report.title, customer.locale))
        address = f"{page.customer_id}/{page.path.name}"
        listed.setdefault(f"{page.customer_id} {customer.name}", []).append(
            Link(address, title, str(page.week))
        )
    for left in folder(settings).iterdir():
        if left.is_dir() and not any(left.iterdir()):
            left.rmdir()
    secret_file(index(settings), html.as_index(listed))
    return removed


def _ordered(
    connection: psycopg.Connection, settings: Settings
) -> Iterator[tuple[Drawn, _Customer, Report | None]]:
    """The pages on the shelf, each with its customer, and its report if the contract orders it."""
    customers = {known: _Customer(*rest) for known, *rest in connection.execute(SQL["with_contract"])}
    for page in pages(settings):
        customer = customers.get(page.customer_id, _Customer("", "en", "none", []))
        report = exposures.reports().get(exposures.current_name(page.report))
        is_ordered = report is not None and report.is_opened_by(customer.option, customer.orders)
        yield page, customer, report if is_ordered else None


def too_old(settings: Settings, floor: date) -> list[Path]:
    """The pages that show a day before the floor: of their own week, or of the one before."""
    return [page.path for page in pages(settings) if page.week.before.monday < floor]
