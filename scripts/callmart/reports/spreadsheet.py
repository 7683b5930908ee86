"""A report as a spreadsheet: a sheet per sheet of the report, with a row per place and a column per measure."""

import io
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

import xlsxwriter

from callmart.declarations.exposures import COLUMN
from callmart.reports.page import Page, Section
from callmart.reports.scene import NOW

FORMS: Mapping[str, str] = {"count": "#,##0", "hours": "#,##0.0", "seconds": "#,##0", "share": "0.0%"}
MADE = datetime(2000, 1, 1)  # what the file says: the same values give the same bytes
LONGEST_NAME = 31
FORBIDDEN = r"[\[\]:*?/\\']"  # in the name of a sheet


def as_xlsx(page: Page) -> bytes:
    """Return the file. Numbers are numbers, in the units that the page shows."""
    file = io.BytesIO()
    # Names of queues and agents are the customer's own words: none is a formula or a link.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(file, options) as book:
        book.set_properties({"title": page.title, "created": MADE})
        for number, section in enumerate(page.sections, 1):
            _write(book, number, page, section)
    return file.getvalue()


def _write(book: Any, number: int, page: Page, section: Section) -> None:
    rows, measures = section.records.rows, section.records.measures
    places = [name for name in COLUMN if any(name in row for row in rows)]
    sheet = book.add_worksheet(re.sub(FORBIDDEN, "", f"{number} {section.title}")[:LONGEST_NAME].strip())
    sheet.set_column(0, len(places) + len(measures), 16)
    head = [
        page.words["week_of"],
        *(page.words[name] for name in places),
        *(caption for _, caption, _ in measures),
    ]
    sheet.write_row(0, 0, head, book.add_format({"bold": True}))
    forms = {unit: book.add_format({"num_format": form}) for unit, form in FORMS.items()}
    day, clock = (book.add_format({"num_format": form}) for form in ("yyyy-mm-dd", "hh:mm"))
    for at, row in enumerate(rows, 1):
        sheet.write(at, 0, page.week if row.get(NOW, True) else page.week_before)
        for column, name in enumerate(places, 1):
            match row.get(name):
                case date() as value:
                    sheet.write_datetime(at, column, value, day)
                case time() as value:
                    sheet.write_datetime(at, column, value, clock)
                case str() as value:
                    sheet.write(at, column, page.labels.get(name, {}).get(value, value))
        for column, (measure, _, unit) in enumerate(measures, 1 + len(places)):
            sheet.write(at, column, row[measure], forms[unit])
