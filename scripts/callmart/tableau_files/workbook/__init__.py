"""Builds workbooks: a customer's report as a .twb that uses the customer's published data source.

A workbook is generated from the report's declaration. If there is a template, models/reports/<name>.twb with any of the
report's names, the template is used instead, with its connection and texts replaced. The same input gives the same
bytes. In either case the workbook's fields are checked against the data source.
"""

from pathlib import Path

from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.declarations import exposures
from callmart.declarations.exposures import Report
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import draft, template
from callmart.tableau_files.workbook.published import PublishedSource

TEMPLATES = PROJECT / "models" / "reports"

__all__ = ["PublishedSource", "build"]


def build(
    report: Report,
    customer: str,
    source: Source,
    published: PublishedSource,
    file: Path | None = None,
    *,
    rows_at: str = "",
    target: float | None = None,
) -> bytes:
    """Return the .twb of a report for the customer of that name. `file` is a template to use instead of the report's.
    If it isn't from a template, it leads to the workbook with the content URL `rows_at`, and shows the target of the
    service level.

    Raises UserError, with the file and the fault, if a template is refused.
    """
    if template_file := file or _own_template(report):
        return template.fill(template_file, report, customer, source, published)
    rows = exposures.reports()[report.rows_in] if report.rows_in and rows_at else None
    shared = draft.of(report, source, published.server, bool(published.site), rows, target)
    return shared.filled(customer, published, rows_at)


def _own_template(report: Report) -> Path | None:
    found = [file for name in report.names if (file := TEMPLATES / f"{name}.twb").exists()]
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise UserError(f"{TEMPLATES} has several templates of the report {report.name}, {names}; keep one")
    return found[0] if found else None
