"""Workbooks: a report of a customer as a .twb on its published data source.

Generated from the report's declaration, or, where models/reports/<name>.twb stands, that template with its connection
and texts swapped. Same input, same bytes; either is held against the data source before it leaves.
"""

from pathlib import Path

from callmart.base.settings import PROJECT
from callmart.declarations.exposures import Report
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import dashboard, references, template
from callmart.tableau_files.workbook.book import Book, PublishedSource

TEMPLATES = PROJECT / "models" / "reports"

__all__ = ["PublishedSource", "build"]


def build(
    report: Report, customer: str, source: Source, published: PublishedSource, file: Path | None = None
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
    references.check(root, source, report.name)
    return references.serialized(root)
