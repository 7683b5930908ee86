"""Leads from a workbook to the one with the contacts behind its numbers: the menu of every mark has a link to it.

The link says which contacts: those of the mark's day and queue, as far as its sheet tells them apart, and of its week.
"""

import re
from collections import defaultdict
from urllib.parse import quote

from lxml import etree

from callmart.base.declared import texts
from callmart.declarations.exposures import COLUMN, Report
from callmart.tableau_files.fields import Field
from callmart.tableau_files.workbook.book import WEEKS, WEEKS_BACK, Book
from callmart.tableau_files.workbook.sheet import Sheet

WORDS = texts("Elk gesprek", "Every contact")


def add(book: Book, rows: Report, content_url: str) -> None:
    """Add the links to the report `rows`, whose workbook is at this content URL on the same site. Sheets that tell the
    same apart share one.
    """
    site = f"/site/{quote(book.published.site)}" if book.published.site else ""
    view = re.sub(r"\W", "", book.say(rows.title))  # as Tableau makes it from the dashboard's name
    address = f"{book.published.server.rstrip('/')}/#{site}/views/{quote(content_url)}/{quote(view)}"
    alike: dict[str, list[Sheet]] = defaultdict(list)
    for sheet in book.sheets:
        # Tableau puts the mark's value in the place of <[field]~na>, the value itself instead of its alias.
        asked = "&".join(f"{quote(name)}=<{field}~na>" for name, field in _told(book, sheet).items())
        alike[f"{address}?{asked}"].append(sheet)
    for number, (expression, sheets) in enumerate(alike.items(), 1):
        others = [sheet.name for sheet in book.sheets if sheet not in sheets]
        book.actions.append(_action(book, number, expression, others))


def _told(book: Book, sheet: Sheet) -> dict[str, str]:
    """The filters and the parameter of the other workbook, and the fields of this sheet with their values."""
    told = {book.say(WEEKS): WEEKS_BACK}
    for instance in list(sheet.instances.values()):
        field, name = instance.field, book.qualified(instance.name)
        caption = book.source.captions.column(field.column or "", book.locale)
        if field.column == COLUMN["day"]:
            told[caption], told[book.say(WEEKS)] = _of_the_day(book, sheet, field)
        elif field.column == "queue" and name in sheet.rows + sheet.columns:
            told[caption] = name
    return told


def _of_the_day(book: Book, sheet: Sheet, day: Field) -> list[str]:
    """Put a mark's day into the sheet, which may have its weekday only, and how many weeks ago it was: a day of the
    week before is in another week of the other workbook.
    """
    fields = day, book.part(day.mart, "weeks_ago")
    names = [sheet.use(field, "Attribute") for field in fields]
    sheet.encodings += [("lod", name) for name in names if ("lod", name) not in sheet.encodings]
    return names


def _action(book: Book, number: int, expression: str, others: list[str]) -> etree._Element:
    action = etree.Element("action", caption=book.say(WORDS), name=f"[Action{number}]")
    etree.SubElement(action, "activation", type="explicit")
    source = etree.SubElement(action, "source", dashboard=book.say(book.report.title), type="sheet")
    for name in others:
        etree.SubElement(source, "exclude-sheet", name=name)
    etree.SubElement(
        action,
        "link",
        {
            "caption": book.say(WORDS),
            "delimiter": ",",
            "escape": "\\",
            "expression": expression,
            "include-null": "true",
            "multi-select": "true",
            "url-escape": "true",
        },
    )
    return action
