"""What a drawn report says, read from its page and from the files that the page becomes."""

import csv
import io
from typing import Any

import openpyxl
import pypdf

from callmart.reports.drawing import ENDINGS
from callmart.reports.page import Page, Section


def section(page: Page, name: str) -> Section:
    return next(one for one in page.sections if one.name == name)


def words(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages).split())


def of_csv(page: Page) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(ENDINGS[".csv"](page).decode("utf-8-sig"))))


def of_xlsx(page: Page) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    """The head and rows of each sheet, by the name of the report's sheet."""
    book = openpyxl.load_workbook(io.BytesIO(ENDINGS[".xlsx"](page)))
    tables = ([*sheet.iter_rows(values_only=True)] for sheet in book.worksheets[1:])
    return {
        section.name: (list(map(str, table[0])), table[1:])
        for section, table in zip(page.sections, tables, strict=True)
    }
