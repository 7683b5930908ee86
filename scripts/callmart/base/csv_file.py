"""CSV files that people open in a spreadsheet: UTF-8, with the mark by which Excel knows that, and without formulas."""

import csv
import io
import re
from collections.abc import Iterable
from datetime import date, time
from typing import Any

# Where a cell is a formula to a spreadsheet. In countries that write 1,5 it also separates cells by semicolons. A
# quotation mark after one begins a cell, and the formula stands behind it.
FORMULA = re.compile(r"(^|;[ \"]*)(?=[=+\-@\t\r])")


def written(rows: Iterable[Iterable[str]]) -> bytes:
    """Return the file of these rows of cells."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def cell(value: Any) -> str:
    """A value as a cell, with a point and no grouping in numbers."""
    match value:
        case None:
            return ""
        case date():
            return value.isoformat()
        case time():
            return f"{value:%H:%M}"
        case str():
            return word(value)
        case _:
            return repr(value) if isinstance(value, float) else str(value)


def word(text: str) -> str:
    """A text as a cell that is no formula."""
    return FORMULA.sub(r"\1'", text)
