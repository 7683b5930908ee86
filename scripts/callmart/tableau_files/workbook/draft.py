"""A report's workbook, drawn once for all customers who get the same but for their name and the addresses.

A draft has marks in the place of what differs. So a customer's workbook costs a hundredth of what drawing it costs.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote
from xml.sax.saxutils import escape

from callmart.declarations.exposures import Report
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import dashboard, leading, references
from callmart.tableau_files.workbook.book import Book, identity
from callmart.tableau_files.workbook.published import PublishedSource
from callmart.tableau_files.workbook.sheet import literal

# Marks: words that no report has, of characters that are the same in texts and in addresses.
_CUSTOMER, _SITE, _CONTENT_URL, _ROWS_AT = (
    f"callmart-{one}-of-a-draft" for one in ("customer", "site", "source", "rows")
)
_MOST = 64  # drafts that are kept; each has some 100 KiB


@dataclass(frozen=True)
class Draft:
    """The pieces of a workbook, in turn a text and a mark, and what its ids are made of."""

    pieces: tuple[str, ...]
    ids: tuple[tuple[str, ...], ...]

    def filled(self, customer: str, published: PublishedSource, rows_at: str) -> bytes:
        """Return the workbook of the customer of that name."""
        words = _words(customer, published, rows_at, self.ids)
        texts, marks = self.pieces[::2], self.pieces[1::2]
        return "".join(
            (texts[0], *(words[mark] + text for mark, text in zip(marks, texts[1:], strict=True)))
        ).encode()


@lru_cache(_MOST)
def of(
    report: Report, source: Source, server: str, has_site: bool, rows: Report | None, target: float | None
) -> Draft:
    """Return the draft of a report, for customers of this server, with a site of their own or without."""
    published = PublishedSource(server, _SITE if has_site else "", _CONTENT_URL)
    text, ids = drawn(report, _CUSTOMER, source, published, rows, _ROWS_AT, target)
    marks = _words(_CUSTOMER, published, _ROWS_AT, ids)
    return Draft(tuple(re.split(f"({'|'.join(map(re.escape, marks))})", text.decode())), ids)


def drawn(
    report: Report,
    customer: str,
    source: Source,
    published: PublishedSource,
    rows: Report | None,
    rows_at: str,
    target: float | None,
) -> tuple[bytes, tuple[tuple[str, ...], ...]]:
    """Return the workbook as it is drawn, checked, and what its ids are made of. It leads to the report `rows`."""
    book = Book(report, source, published, target)
    dashboard.add(book, customer)
    if rows is not None:
        leading.add(book, rows, rows_at)
    root = book.element()
    references.check(root, source, report.name)
    return references.serialized(root), tuple(book.ids)


def _words(
    customer: str, published: PublishedSource, rows_at: str, ids: tuple[tuple[str, ...], ...]
) -> dict[str, str]:
    """What stands in the place of each mark, as it is written in XML."""
    return {
        _CUSTOMER: escape(literal(customer), {"\r": "&#13;"}),
        _SITE: _in_attribute(published.site),
        _CONTENT_URL: _in_attribute(published.content_url),
        PublishedSource("", "", _CONTENT_URL).name: published.name,
        _ROWS_AT: _in_attribute(quote(rows_at)),
        **{identity(_CONTENT_URL, *parts): identity(published.content_url, *parts) for parts in ids},
    }


def _in_attribute(text: str) -> str:
    return escape(text, {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})
