"""A report as a spreadsheet: what it is about, and a sheet per sheet of the report, with a column per dimension and
measure.
"""

import io
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import xlsxwriter

from callmart.base.errors import UserError
from callmart.reports.language import AGENTS, HOURS, NUMBER
from callmart.reports.measures import Unit
from callmart.reports.page import Page, Section

FORMS: Mapping[Unit, str] = {
    "count": "#,##0",
    "number": NUMBER,
    "hours": HOURS,
    "seconds": "#,##0",
    "share": "0.0%",
    "agents": AGENTS,
    "moment": "yyyy-mm-dd hh:mm:ss",
    "day": "yyyy-mm-dd",
    "time": "hh:mm",
    "word": "General",
}
MADE = datetime(2000, 1, 1)  # what the file says: the same values give the same bytes
MOST_ROWS = 1_048_576  # of a sheet, with its head; Excel has no more
LONGEST_NAME = 31
FORBIDDEN = r"[\[\]:*?/\\']"  # in the name of a sheet


def as_xlsx(page: Page) -> bytes:
    """Return the file. Numbers are numbers, in the units that the page shows. Raises UserError if a sheet has more rows
    than Excel.
    """
    file = io.BytesIO()
    # Names of queues and agents are the customer's own words: none is a formula or a link.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(file, options) as book:
        book.set_properties({"title": page.title, "created": MADE})
        _about(book, page)
        for number, section in enumerate(page.sections, 1):
            _write(book, number, section)
    return file.getvalue()


def _about(book: Any, page: Page) -> None:
    """Whose report it is, of which days, and what its numbers count."""
    sheet, bold = book.add_worksheet(_name(page.title)), book.add_format({"bold": True})
    sheet.set_column(0, 0, 40)
    sheet.write(0, 0, f"{page.title} · {page.subtitle}", bold)
    said = [page.customer, page.period, page.compared, page.through, *page.notices]
    sheet.write_column(1, 0, [sentence for sentence in said if sentence])
    below = len(said) + 2
    sheet.write(below, 0, page.words["meaning"], bold)
    for row, meaning in enumerate(page.meanings, below + 1):
        sheet.write_row(row, 0, meaning)


def _name(title: str) -> str:
    """A title as Excel allows it as the name of a sheet."""
    name = re.sub(FORBIDDEN, "", title)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1].rstrip() + "…"


def _write(book: Any, number: int, section: Section) -> None:
    columns, rows = section.records.columns, section.records.rows
    if len(rows) >= MOST_ROWS:
        raise UserError(f"{section.title} has more rows than a sheet of Excel: name a .csv instead")
    sheet = book.add_worksheet(_name(f"{number} {section.title}"))
    sheet.write_row(0, 0, [column.caption for column in columns], book.add_format({"bold": True}))
    for at, column in enumerate(columns):
        form = book.add_format({"num_format": FORMS[column.unit]})
        for line, row in enumerate(rows, 1):
            sheet.write(line, at, column.shown(row), form)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, max(len(rows), 1), len(columns) - 1)
    sheet.autofit()
