"""The workbooks that tell whether something changed since they were published, built once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from callmart.declarations import captions
from callmart.declarations.exposures import Report
from callmart.publish import deriving
from callmart.tableau_files import workbook
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import PublishedSource

BUILD = workbook.build


@contextmanager
def kept_workbooks() -> Iterator[None]:
    """Within it, each is built once of the same declarations. What is published is always built."""
    known: dict[tuple[object, ...], tuple[tuple[object, ...], bytes]] = {}

    def build(
        report: Report, customer: str, source: Source, published: PublishedSource, *file: Any, **named: Any
    ) -> bytes:
        if published is not deriving._NOWHERE or workbook._own_template(report):
            return BUILD(report, customer, source, published, *file, **named)
        declared = (report, *source.marts, *source.metrics.values(), captions.file())
        told = (*map(id, declared), source.group, source.locale, customer, *named.items())
        if told not in known:  # what is kept beside it keeps its id
            known[told] = declared, BUILD(report, customer, source, published, **named)
        return known[told][1]

    with patch.object(workbook, "build", build):
        yield
