"""Lays out a report's sheets as a dashboard: one A4 page for screen, PDF and mail, and one column for a phone."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lxml import etree

from callmart.declarations.exposures import Sheet as Declared
from callmart.tableau_files.fields import Field
from callmart.tableau_files.workbook import sheets
from callmart.tableau_files.workbook.book import WEEKS_BACK, Book
from callmart.tableau_files.workbook.sheet import BREAK, Instance, Sheet, dependencies, literal

WHOLE = 100_000  # a dashboard's width and height in the unit of zones
PAGE = (1000, 1414)  # width and height of A4, in pixels
PHONE_WIDTH = 375
MARGIN = 12
CHART_ON_A_PHONE = 300
TILE = "#F3F5F7"  # the background of key figures


@dataclass(frozen=True)
class Part:
    """The contents of a zone. `key` identifies the zone in both layouts."""

    key: str
    attributes: dict[str, str]
    texts: tuple[tuple[str, dict[str, str]], ...] = ()
    background: str = ""


@dataclass
class Row:
    """Parts side by side. Their height on a phone is in pixels; on the page it is in pixels, or a share of the rest."""

    parts: list[Part]
    phone: int
    page: int = 0
    share: int = 0
    widths: list[int] = field(default_factory=list)  # in pixels; 0 is an equal share of the rest
    is_paired: bool = False  # on a phone, two of its parts are side by side


def add(book: Book, customer: str) -> None:
    """Add the report's sheets and their dashboard to the workbook."""
    period, message = sheets.period(book), sheets.message(book)
    shown = [(declared, sheets.add(book, declared)) for declared in book.report.sheets]
    first = shown[0][1][0]  # of the main mart, so it has all filters
    choices = [*(_filter(book, first, field) for field in book.choices), _weeks()]
    rows = [
        Row([_heading(book, customer)], 68, 62),
        Row([_bare(period), *choices], 54, 54, widths=[400, *(0 for _ in choices)], is_paired=True),
        Row([_bare(message)], 30, 26),
        *(row for declared, made in shown for row in _rows(book, declared, made)),
    ]
    ids = {
        part.key: str(number) for number, part in enumerate((part for row in rows for part in row.parts), 3)
    }
    book.dashboard = _element(book, rows, ids)
    book.windows = [_window(book)]


def _rows(book: Book, declared: Declared, made: list[Sheet]) -> Iterable[Row]:
    """The rows of one declared sheet: a chart above its legend, or a title above key figures side by side."""
    if declared.kind == "figures":
        yield Row([_title(book, declared)], 28, 28)
        yield Row([_sheet(sheet, background=TILE) for sheet in made], 92, 92, is_paired=True)
        return
    (sheet,) = made
    yield Row([_sheet(sheet)], CHART_ON_A_PHONE, share=declared.share)
    if sheet.legend:
        # On a phone, the legend has two words per line.
        yield Row([_legend(sheet)], 20 + 20 * ((sheet.legend_items + 1) // 2), 40)


# -- parts -----------------------------------------------------------------------------------------------------


def _sheet(sheet: Sheet, background: str = "") -> Part:
    return Part(f"sheet {sheet.name}", {"name": sheet.name}, background=background)


def _bare(sheet: Sheet) -> Part:
    return Part(f"sheet {sheet.name}", {"name": sheet.name, "show-title": "false"})


def _legend(sheet: Sheet) -> Part:
    return Part(
        f"legend {sheet.name}",
        {
            "leg-item-layout": "horz",
            "name": sheet.name,
            "pane-specification-id": "0",
            "param": sheet.legend,
            "show-title": "false",
            "type-v2": "color",
        },
    )


def _filter(book: Book, sheet: Sheet, field: Field) -> Part:
    name = book.qualified(Instance(field, "None", "nominal").name)
    return Part(
        f"filter {field.name}",
        {
            "mode": "checkdropdown",
            "name": sheet.name,
            "param": name,
            "type-v2": "filter",
            "values": "database",
        },
    )


def _weeks() -> Part:
    return Part("weeks", {"mode": "slider", "param": WEEKS_BACK, "type-v2": "paramctrl"})


def _heading(book: Book, customer: str) -> Part:
    report = book.report
    return Part(
        "heading",
        {"forceUpdate": "true", "type-v2": "text"},
        (
            (literal(book.say(report.title)), {"bold": "true", "fontcolor": "#1A1A1A", "fontsize": "20"}),
            (BREAK, {}),
            (literal(customer), {"bold": "true", "fontcolor": "#333333", "fontsize": "12"}),
            (f"  ·  {literal(book.say(report.subtitle))}", {"fontcolor": "#595959", "fontsize": "11"}),
        ),
    )


def _title(book: Book, declared: Declared) -> Part:
    look = {"bold": "true", "fontcolor": "#333333", "fontsize": "11"}
    return Part(
        f"title {declared.name}",
        {"forceUpdate": "true", "type-v2": "text"},
        ((literal(book.say(declared.title)), look),),
    )


# -- layout ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """A place on the dashboard, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def attributes(self, page: tuple[int, int]) -> dict[str, str]:
        """Return the place in the unit of zones, as attributes."""
        wide, high = page
        left, top = self.x * WHOLE // wide, self.y * WHOLE // high
        return {
            "h": str((self.y + self.height) * WHOLE // high - top),
            "w": str((self.x + self.width) * WHOLE // wide - left),
            "x": str(left),
            "y": str(top),
        }


def _page_rows(rows: list[Row]) -> Iterable[tuple[Box, list[tuple[Part, Box]]]]:
    wide, high = PAGE
    inner = wide - 2 * MARGIN
    left = high - 2 * MARGIN - sum(row.page for row in rows)
    shares = sum(row.share for row in rows)
    y = MARGIN
    for row in rows:
        height = row.page or left * row.share // shares
        widths = row.widths or [0] * len(row.parts)
        share = (inner - sum(widths)) // widths.count(0)
        x, parts = MARGIN, []
        for part, width in zip(row.parts, widths, strict=True):
            parts.append((part, Box(x, y, width or share, height)))
            x += width or share
        yield Box(MARGIN, y, inner, height), parts
        y += height


def _element(book: Book, rows: list[Row], ids: dict[str, str]) -> etree._Element:
    dashboard = etree.Element("dashboard", name=book.say(book.report.title))
    style = etree.SubElement(etree.SubElement(dashboard, "style"), "style-rule", element="table")
    etree.SubElement(style, "format", attr="background-color", value="#ffffff")
    wide, high = (str(side) for side in PAGE)
    etree.SubElement(
        dashboard, "size", maxheight=high, maxwidth=wide, minheight=high, minwidth=wide,
        **{"sizing-mode": "fixed"},
    )  # fmt: skip
    etree.SubElement(dashboard, "datasources").extend(book.link())
    parameters = etree.SubElement(dashboard, "datasource-dependencies", datasource="Parameters")
    parameters.append(book.parameter())
    choices = [Instance(field, "None", "nominal") for field in book.choices]
    dashboard.extend(dependencies(book, choices))

    around = _around(etree.SubElement(dashboard, "zones"), "1")
    inner = Box(MARGIN, MARGIN, PAGE[0] - 2 * MARGIN, PAGE[1] - 2 * MARGIN)
    flow = etree.SubElement(
        around, "zone", {**inner.attributes(PAGE), "id": "2", "param": "vert", "type-v2": "layout-flow"}
    )
    next_id = 3 + len(ids)
    for box, parts in _page_rows(rows):
        across = etree.SubElement(
            flow, "zone",
            {
                **box.attributes(PAGE), "id": str(next_id), "param": "horz", "type-v2": "layout-flow",
                "fixed-size": str(box.height), "is-fixed": "true",
            },
        )  # fmt: skip
        next_id += 1
        for part, place in parts:
            zone = _zone(part, place, PAGE, ids)
            zone.set("fixed-size", str(place.width))
            zone.set("is-fixed", "true")
            across.append(zone)

    _phone(dashboard, rows, ids, next_id)
    etree.SubElement(dashboard, "simple-id", uuid=book.id("dashboard"))
    return dashboard


def _phone(dashboard: etree._Element, rows: list[Row], ids: dict[str, str], next_id: int) -> None:
    """Add the phone layout: the same zones below each other, key figures in pairs."""
    inner = PHONE_WIDTH - 2 * MARGIN
    places, y = [], MARGIN
    for row in rows:
        each = 2 if row.is_paired else 1
        for first in range(0, len(row.parts), each):
            beside = row.parts[first : first + each]
            width = inner // len(beside)
            places += [(part, Box(MARGIN + n * width, y, width, row.phone)) for n, part in enumerate(beside)]
            y += row.phone
    page = (PHONE_WIDTH, y + MARGIN)
    layout = etree.SubElement(
        etree.SubElement(dashboard, "devicelayouts"), "devicelayout",
        {"auto-generated": "false", "name": "Phone"},  # otherwise Tableau generates another one
    )  # fmt: skip
    high = str(page[1])
    etree.SubElement(layout, "size", maxheight=high, minheight=high, **{"sizing-mode": "vscroll"})
    around = _around(etree.SubElement(layout, "zones"), str(next_id))
    around.extend(_zone(part, box, page, ids) for part, box in places)


def _around(zones: etree._Element, name: str) -> etree._Element:
    """Add the zone that contains all others."""
    return etree.SubElement(
        zones, "zone", h=str(WHOLE), id=name, w=str(WHOLE), x="0", y="0", **{"type-v2": "layout-basic"}
    )


def _zone(part: Part, box: Box, page: tuple[int, int], ids: dict[str, str]) -> etree._Element:
    zone = etree.Element("zone", {**box.attributes(page), **part.attributes, "id": ids[part.key]})
    if part.texts:
        text = etree.SubElement(zone, "formatted-text")
        for words, look in part.texts:
            etree.SubElement(text, "run", look).text = words
    style = etree.SubElement(zone, "zone-style")
    formats = {"border-style": "none", "border-width": "0", "margin": "4"}
    if part.background:
        formats |= {"background-color": part.background, "padding": "6"}
    for name, value in formats.items():
        etree.SubElement(style, "format", attr=name, value=value)
    return zone


def _window(book: Book) -> etree._Element:
    window = etree.Element(
        "window", {"class": "dashboard", "maximized": "true", "name": book.say(book.report.title)}
    )
    viewpoints = etree.SubElement(window, "viewpoints")
    for sheet in book.sheets:
        viewpoint = etree.SubElement(viewpoints, "viewpoint", name=sheet.name)
        if sheet.zoom:
            etree.SubElement(viewpoint, "zoom", type=sheet.zoom)
    etree.SubElement(window, "active", id="-1")
    etree.SubElement(window, "simple-id", uuid=book.id("window", "dashboard"))
    return window
