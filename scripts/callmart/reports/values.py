"""A report as a CSV file: one row per value that it shows, so that a spreadsheet can filter and sum."""

from collections.abc import Iterator

from callmart.base import csv_file
from callmart.base.csv_file import cell
from callmart.declarations import exposures
from callmart.reports.page import Page, Section


def as_csv(page: Page) -> bytes:
    """Return the file, as a spreadsheet in the page's language opens it. Numbers are in the units that the page shows.
    The files of all reports have the same columns, so that they can be put below each other.
    """
    places = ["week", "month", *exposures.places(), "so_far"]
    head = ["report", "sheet", *places, "row", "measure", "caption", "unit", "value"]
    rows = (row for section in page.sections for row in _rows(page, section, places))
    return csv_file.written([head, *rows], page.locale)


def _rows(page: Page, section: Section, names: list[str]) -> Iterator[list[str]]:
    columns = section.records.columns
    places = {column.place: column for column in columns if column.place}
    measures = [column for column in columns if not column.place]
    for number, row in enumerate(section.records.rows, 1):
        about = [cell(places[name].shown(row)) if name in places else "" for name in names]
        for one in measures:
            said = [one.name, cell(one.caption), one.unit, cell(one.shown(row), page.locale)]
            yield [page.name, section.name, *about, str(number), *said]
