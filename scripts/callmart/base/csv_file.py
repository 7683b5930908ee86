"""CSV files that people open in a spreadsheet: UTF-8, with the mark by which Excel knows that, and without formulas."""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import date, time
from typing import Any

from callmart.base.declared import Locale

# What separates cells, and the decimal sign. Excel in Dutch shows a file with commas in one column, and takes 4.536 for
# thousands.
SIGNS: Mapping[Locale, tuple[str, str]] = {"nl": (";", ","), "en": (",", ".")}
# Where a cell is a formula to a spreadsheet, which can separate cells by the other language's sign. A quotation mark
# after one begins a cell, and the formula stands behind it.
FORMULA = re.compile(r"(^|[;,][ \"]*)(?=[=+\-@\t\r])")


def written(rows: Iterable[Iterable[str]], locale: Locale = "en") -> bytes:
    """Return the file of these rows of cells."""
    text = io.StringIO()
    separator, _ = SIGNS[locale]
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def cell(value: Any, locale: Locale = "en") -> str:
    """A value as a cell, without grouping in numbers."""
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
            _, point = SIGNS[locale]
            return (repr(value) if isinstance(value, float) else str(value)).replace(".", point)


def word(text: str) -> str:
    """A text as a cell that is no formula."""
    return FORMULA.sub(r"\1'", text)
