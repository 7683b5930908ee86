"""A report as a CSV file: one row per value that it shows, so that a spreadsheet can filter and sum."""

import csv
import io
from collections.abc import Iterator
from datetime import date, time
from typing import Any

from callmart.declarations.exposures import COLUMN
from callmart.reports.page import Page, Section
from callmart.reports.scene import NOW

HEAD = ("report", "sheet", "week", "row", *COLUMN, "measure", "caption", "unit", "value")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with these a cell is a formula to a spreadsheet


def as_csv(page: Page) -> bytes:
    """Return the file, in UTF-8. Numbers have a point and no grouping, in the units that the page shows."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    for section in page.sections:
        writer.writerows(_rows(page, section))
    return text.getvalue().encode("utf-8-sig")


def _rows(page: Page, section: Section) -> Iterator[list[str]]:
    for number, row in enumerate(section.records.rows, 1):
        week = page.week if row.get(NOW, True) else page.week_before
        places = [str(number), *(cell(row.get(dimension)) for dimension in COLUMN)]
        for name, caption, unit in section.records.measures:
            yield [page.name, section.name, week, *places, name, cell(caption), unit, cell(row[name])]


def cell(value: Any) -> str:
    """A value as a cell of a CSV file. No word is a formula to a spreadsheet."""
    match value:
        case None:
            return ""
        case date():
            return value.isoformat()
        case time():
            return f"{value:%H:%M}"
        case str():
            return f"'{value}" if value.startswith(FORMULA) else value
        case _:
            return repr(value) if isinstance(value, float) else str(value)
