"""CSV files for people, as a spreadsheet reads them. Needs no server."""

import csv
from datetime import date
from decimal import Decimal

import pytest

from callmart.base import csv_file
from callmart.base.declared import Locale

WORDS = [
    "=1+1", "sales;=1+1", "sales,=1+1", "sales; @x", "a;b;+1", 'sales;=HYPERLINK("http://x";"y")', "a;\t=1",
    'a;"=1+1;b', 'a;" =1',
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("locale", ["nl", "en"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_no_cell_is_a_formula_whatever_the_spreadsheet_separates_by(
    word: str, separator: str, locale: Locale
) -> None:
    """Excel in Dutch takes a semicolon for the end of a cell, in a file with commas too; and the other way round."""
    text = csv_file.written([["1", csv_file.cell(word), "2"]], locale).decode("utf-8-sig")
    cells = [cell for row in csv.reader([text], delimiter=separator) for cell in row]
    assert any("'" in cell for cell in cells)
    assert not [cell for cell in cells if cell.strip(" ").startswith(("=", "+", "-", "@", "\t"))]


def test_other_words_and_numbers_stay_as_they_are() -> None:
    for word in ("sales", "a;b", "Ma-vr", "a = b; c = d", "x@y"):
        assert csv_file.cell(word) == word
    assert csv_file.cell(-1.5) == "-1.5"


def test_numbers_are_numbers_to_excel_in_the_language_of_the_file() -> None:
    """With commas between them, all cells are in one column to Excel in Dutch, and 4.536 is 4536."""
    row = [csv_file.cell(value, "nl") for value in (4.536, 12, Decimal("0.5"), date(2026, 11, 23), "a.b")]
    assert csv_file.written([row], "nl").decode("utf-8-sig") == "4,536;12;0,5;2026-11-23;a.b\r\n"
