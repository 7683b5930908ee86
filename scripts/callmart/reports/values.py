"""A report as a CSV file: one row per value that it shows, so that a spreadsheet can filter and sum."""

import csv
import io
from collections.abc import Iterator
from datetime import date, time
from typing import Any

from callmart.declarations import exposures
from callmart.reports.page import Page, Section

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with these a cell is a formula to a spreadsheet


def as_csv(page: Page) -> bytes:
    """Return the file, in UTF-8. Numbers have a point and no grouping, in the units that the page shows. The files of
    all reports have the same columns, so that they can be put below each other.
    """
    places = ["week", "month", *exposures.places(), "so_far"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("report", "sheet", *places, "row", "measure", "caption", "unit", "value"))
    for section in page.sections:
        writer.writerows(_rows(page, section, places))
    return text.getvalue().encode("utf-8-sig")


def _rows(page: Page, section: Section, names: list[str]) -> Iterator[list[str]]:
    columns = section.records.columns
    places = {column.place: column for column in columns if column.place}
    measures = [column for column in columns if not column.place]
    for number, row in enumerate(section.records.rows, 1):
        about = [cell(places[name].shown(row)) if name in places else "" for name in names]
        for one in measures:
            said = [one.name, cell(one.caption), one.unit, cell(one.shown(row))]
            yield [page.name, section.name, *about, str(number), *said]


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
