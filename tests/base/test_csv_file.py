"""CSV files for people, as a spreadsheet reads them. Needs no server."""

import csv

import pytest

from callmart.base import csv_file

WORDS = [
    "=1+1", "sales;=1+1", "sales; @x", "a;b;+1", 'sales;=HYPERLINK("http://x";"y")', "a;\t=1", 'a;"=1+1;b', 'a;" =1',
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("separator", [",", ";"])
def test_no_cell_is_a_formula_whatever_the_spreadsheet_separates_by(word: str, separator: str) -> None:
    """Excel in Dutch takes a semicolon for the end of a cell, in a file with commas too."""
    text = csv_file.written([["1", csv_file.cell(word), "2"]]).decode("utf-8-sig")
    cells = [cell for row in csv.reader([text], delimiter=separator) for cell in row]
    assert any("'" in cell for cell in cells)
    assert not [cell for cell in cells if cell.strip(" ").startswith(("=", "+", "-", "@", "\t"))]


def test_other_words_and_numbers_stay_as_they_are() -> None:
    for word in ("sales", "a;b", "Ma-vr", "a = b; c = d", "x@y"):
        assert csv_file.cell(word) == word
    assert csv_file.cell(-1.5) == "-1.5"
