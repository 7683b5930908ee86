"""A report's workbook, drawn once for all customers who get the same but for their name and the addresses.

A draft has marks in the place of what differs. To fill one in costs a sixtieth of drawing the workbook.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote
from xml.sax.saxutils import escape

from callmart.declarations.exposures import Report
from callmart.tableau_files import tds
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import dashboard, leading, references
from callmart.tableau_files.workbook.book import Book, uuid_of
from callmart.tableau_files.workbook.published import PublishedSource
from callmart.tableau_files.workbook.sheet import literal

# Marks: words that no report has, of characters that are the same in texts and in addresses.
CUSTOMER, SITE, CONTENT_URL, ROWS_AT = (
    f"callmart-{one}-of-a-draft" for one in ("customer", "site", "source", "rows")
)
_NAME = PublishedSource("", "", CONTENT_URL).name  # follows from the content URL, so it is a mark as well
_MARKS = (CUSTOMER, SITE, CONTENT_URL, _NAME, ROWS_AT)
_MOST = 128  # drafts that are kept, of 0.3 to 0.6 MiB each


@dataclass(frozen=True)
class Draft:
    """A workbook with marks. Its ids are marks as well."""

    pieces: tuple[str, ...]  # in turn a text and a mark
    ids: Mapping[str, tuple[str, ...]]  # what each is made of, beside the content URL

    def filled(self, customer: str, published: PublishedSource, rows_at: str) -> bytes:
        """Return the workbook of the customer of that name."""
        words = _words(customer, published, rows_at)
        words |= {mark: uuid_of(published.content_url, *made_of) for mark, made_of in self.ids.items()}
        pieces = list(self.pieces)
        pieces[1::2] = [words[mark] for mark in pieces[1::2]]
        return "".join(pieces).encode()


@lru_cache(_MOST)
def of(
    report: Report, source: Source, server: str, has_site: bool, rows: Report | None, target: float | None
) -> Draft:
    """Return the draft of a report for customers on this server, on a site with a name or on the default one."""
    published = PublishedSource(server, SITE if has_site else "", CONTENT_URL)
    text, ids = drawn(report, CUSTOMER, source, published, rows, ROWS_AT, target)
    marks = "|".join(map(re.escape, (*_MARKS, *ids)))
    return Draft(tuple(re.split(f"({marks})", text.decode())), ids)


def drawn(
    report: Report,
    customer: str,
    source: Source,
    published: PublishedSource,
    rows: Report | None,
    rows_at: str,
    target: float | None,
) -> tuple[bytes, Mapping[str, tuple[str, ...]]]:
    """Return the workbook as it is drawn, checked, and its ids. It leads to the report `rows`, at the content URL."""
    book = Book(report, source, published, target)
    dashboard.add(book, customer)
    if rows is not None:
        leading.add(book, rows, rows_at)
    root = book.element()
    references.check(root, source, report.name)
    return tds.serialized(root), book.ids


def _words(customer: str, published: PublishedSource, rows_at: str) -> dict[str, str]:
    """What stands in the place of each mark, as it is written in XML."""
    return {
        CUSTOMER: escape(literal(customer), {"\r": "&#13;"}),
        SITE: published.site,
        CONTENT_URL: escape(published.content_url, {'"': "&quot;"}),
        _NAME: published.name,
        ROWS_AT: quote(rows_at),
    }
