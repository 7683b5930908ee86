"""A report as a page: one HTML file that loads nothing, readable on a phone, in the dark and on paper."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from callmart.base.templates import template
from callmart.reports.page import Page


def render(page: Page, rows: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return the page. `rows` leads to the contacts behind its numbers: per day an address, and what it is called."""
    return template("callmart.reports", "page.html.j2").render(page=page, svg=_inline, rows=rows).encode()


class Link(NamedTuple):
    """A page of a customer in the list of all."""

    address: str
    title: str
    week: str


def as_index(pages: Mapping[str, Sequence[Link]]) -> bytes:
    """Return the page that lists all pages, by customer."""
    return template("callmart.reports", "index.html.j2").render(pages=pages).encode()


def _inline(svg: str) -> Markup:
    """A chart within a page, which needs none of the names of a file of its own."""
    return Markup(re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg))
