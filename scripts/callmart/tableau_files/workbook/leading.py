"""Leads from a workbook to the one with the contacts behind its numbers: the menu of every mark has a link to it."""

import re
from urllib.parse import quote

from lxml import etree

from callmart.declarations.exposures import Report
from callmart.tableau_files.workbook.book import Book, texts

WORDS = texts(nl="Elk gesprek", en="Every contact")


def add(book: Book, rows: Report, content_url: str) -> None:
    """Add the link to the report `rows`, whose workbook is at this content URL on the same site."""
    site = f"/site/{quote(book.published.site)}" if book.published.site else ""
    view = re.sub(r"\W", "", book.say(rows.title))  # as Tableau makes it from the dashboard's name
    action = etree.Element("action", caption=book.say(WORDS), name="[Action1]")
    etree.SubElement(action, "activation", type="explicit")
    etree.SubElement(action, "source", dashboard=book.say(book.report.title), type="sheet")
    etree.SubElement(
        action,
        "link",
        {
            "caption": book.say(WORDS),
            "delimiter": ",",
            "escape": "\\",
            "expression": f"{book.published.server.rstrip('/')}/#{site}/views/{quote(content_url)}/{quote(view)}",
            "include-null": "true",
            "multi-select": "true",
            "url-escape": "true",
        },
    )
    book.actions.append(action)
