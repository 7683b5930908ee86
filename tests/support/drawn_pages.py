"""What a drawn report says, read from its page and from the files that the page becomes."""

import csv
import io
from typing import Any

import openpyxl
import pypdf

from callmart.base.csv_file import SIGNS
from callmart.base.declared import Locale
from callmart.reports.drawing import ENDINGS
from callmart.reports.page import Page, Section


def section(page: Page, name: str) -> Section:
    return next(one for one in page.sections if one.name == name)


def words(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages).split())


def of_csv(page: Page) -> list[dict[str, Any]]:
    return rows_of(ENDINGS[".csv"](page), page.locale)


def rows_of(table: bytes, locale: Locale = "nl") -> list[dict[str, Any]]:
    """The rows of a CSV file in a language."""
    separator, _ = SIGNS[locale]
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig")), delimiter=separator))


def of_xlsx(page: Page) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    """The head and rows of each sheet, by the name of the report's sheet."""
    book = openpyxl.load_workbook(io.BytesIO(ENDINGS[".xlsx"](page)))
    tables = ([*sheet.iter_rows(values_only=True)] for sheet in book.worksheets[1:])
    return {
        section.name: (list(map(str, table[0])), table[1:])
        for section, table in zip(page.sections, tables, strict=True)
    }
