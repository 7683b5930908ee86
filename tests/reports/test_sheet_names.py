"""What the sheets of an Excel file are called."""

import io

import openpyxl
import pytest

from callmart.reports.page import Page
from callmart.reports.spreadsheet import as_xlsx


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("In- en uitgaand per vestiging en per uur", "In- en uitgaand per vestiging…"),
        ("Bereikbaarheidspercentages per week", "Bereikbaarheidspercentages per…"),
        ("Bereikbaarheidspercentagesperweek", "Bereikbaarheidspercentagesperw…"),
        ("Servicelevel/bereikbaarheid", "Servicelevelbereikbaarheid"),
    ],
)
def test_a_title_that_excel_does_not_take_is_shortened(title: str, name: str) -> None:
    page = Page("x", title, "", 0, "", "nl", "2026-W47", "", "", "", [], [], [], [], {"meaning": ""}, "")
    assert openpyxl.load_workbook(io.BytesIO(as_xlsx(page))).sheetnames == [name]
