"""Workbooks: a report of a customer as a .twb on its published data source.

Generated from the report's declaration, or, where models/reports/<name>.twb stands, that template with its connection
and texts swapped. Same input, same bytes; either is held against the data source before it leaves.
"""

from pathlib import Path

from callmart.fields import Source
from callmart.reports import Report
from callmart.settings import PROJECT
from callmart.workbook import check, dashboard, template
from callmart.workbook.book import Book, Published

TEMPLATES = PROJECT / "models" / "reports"

__all__ = ["Published", "build"]


def build(
    report: Report, customer: str, source: Source, published: Published, file: Path | None = None
) -> bytes:
    """The .twb of a report for the customer of that name; `file` is a template to use instead of the report's own.

    Raises UserError where a template is refused, naming the file and what is wrong in it.
    """
    own = TEMPLATES / f"{report.name}.twb"
    if file is not None or own.exists():
        return template.fill(file or own, report, customer, source, published)
    book = Book(report, source, published)
    dashboard.add(book, customer)
    root = book.element()
    check.check(root, source, report.name)
    return check.serialized(root)
