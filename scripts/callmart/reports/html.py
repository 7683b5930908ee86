"""A report as a page: one HTML file that loads nothing, readable on a phone, in the dark and on paper."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from callmart.reports.page import Page


def render(page: Page, rows: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return the page. `rows` leads to the contacts behind its numbers: per day an address, and what it is called."""
    return _template("page.html.j2").render(page=page, svg=_inline, rows=rows).encode()


class Link(NamedTuple):
    """A page of a customer in the list of all."""

    address: str
    title: str
    week: str


def as_index(pages: Mapping[str, Sequence[Link]]) -> bytes:
    """Return the page that lists all pages, by customer."""
    return _template("index.html.j2").render(pages=pages).encode()


def _inline(svg: str) -> Markup:
    """A chart within a page, which needs none of the names of a file of its own."""
    return Markup(re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg))


@cache
def _template(name: str) -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files("callmart.reports").joinpath(name).read_text(encoding="utf-8"))
