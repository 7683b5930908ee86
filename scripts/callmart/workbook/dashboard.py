"""Dashboard: a report's sheets on one page, as large as A4 for screen, PDF and mail, and in one column for a phone."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lxml import etree

from callmart.workbook import sheets
from callmart.workbook.book import BREAK, WEEKS_BACK, Book, Instance, Sheet, dependencies, literal

WHOLE = 100_000  # a dashboard's width and height, in the unit of its zones
PAGE = (1000, 1414)  # the sides of A4, in pixels
PHONE_WIDTH = 375
MARGIN = 12
LEGEND = 170  # the width of a legend beside its sheet


@dataclass(frozen=True)
class Part:
    """What a zone shows, and what makes it the same zone in each layout."""

    key: str
    attributes: dict[str, str]
    texts: tuple[tuple[str, dict[str, str]], ...] = ()


@dataclass
class Row:
    """Parts beside each other: their widths, where they differ, and the height in pixels on the page and a phone."""

    parts: list[Part]
    phone: tuple[int, ...]  # of each part
    page: int = 0  # 0: a share of what is left
    widths: list[int] = field(default_factory=list)  # 0: a share of what is left
    is_paired: bool = False  # on a phone two of its parts stand beside each other


def add(book: Book, customer: str) -> None:
    """The report's sheets and their dashboard."""
    report = book.report
    first = report.sheets[0].mart
    period = sheets.period(book, first)
    message = sheets.message(book, first, book.say(report.empty))
    shown = [(declared, sheets.add(book, declared)) for declared in report.sheets]

    some_sheet = shown[0][1][0]
    rows = [
        Row([_heading(book, customer), _sheet(period, with_title=False)], (88, 34), 76, [0, 380]),
        Row([_filter(book, some_sheet), _weeks(book)], (58, 58), 58),
        Row([_sheet(message, with_title=False)], (34,), 30),
    ]
    for declared, made in shown:
        if declared.kind == "figures":
            rows.append(Row([_sheet(sheet) for sheet in made], (96,) * len(made), 104, is_paired=True))
        else:
            (sheet,) = made
            parts = [_sheet(sheet), *([_legend(sheet)] if sheet.legend else [])]
            rows.append(Row(parts, (320, 96)[: len(parts)], widths=[0, LEGEND][: len(parts)]))
    ids = {
        part.key: str(number) for number, part in enumerate((part for row in rows for part in row.parts), 3)
    }
    book.dashboard = _element(book, rows, ids)
    book.windows = [_window(book)]


# -- parts -----------------------------------------------------------------------------------------------------


def _sheet(sheet: Sheet, *, with_title: bool = True) -> Part:
    attributes = {"name": sheet.name} | ({} if with_title else {"show-title": "false"})
    return Part(f"sheet {sheet.name}", attributes)


def _legend(sheet: Sheet) -> Part:
    return Part(
        f"legend {sheet.name}",
        {"name": sheet.name, "pane-specification-id": "0", "param": sheet.legend, "type-v2": "color"},
    )


def _filter(book: Book, sheet: Sheet) -> Part:
    name = book.qualified(Instance(book.source.filtered, "None", "nominal").name)
    return Part(
        "filter",
        {
            "mode": "checkdropdown",
            "name": sheet.name,
            "param": name,
            "type-v2": "filter",
            "values": "database",
        },
    )


def _weeks(book: Book) -> Part:
    return Part("weeks", {"mode": "slider", "param": WEEKS_BACK, "type-v2": "paramctrl"})


def _heading(book: Book, customer: str) -> Part:
    report = book.report
    return Part(
        "heading",
        {"forceUpdate": "true", "type-v2": "text"},
        (
            (literal(book.say(report.title)), {"bold": "true", "fontcolor": "#1A1A1A", "fontsize": "20"}),
            (f"{BREAK}", {}),
            (literal(customer), {"bold": "true", "fontcolor": "#333333", "fontsize": "12"}),
            (f"  ·  {literal(book.say(report.subtitle))}", {"fontcolor": "#595959", "fontsize": "11"}),
        ),
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
        """As zones write it: in shares of the page."""
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
    charts = [row for row in rows if not row.page]
    y = MARGIN
    for row in rows:
        height = row.page or left // len(charts)
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
    filtered = [Instance(book.source.filtered, "None", "nominal")]
    dashboard.extend(dependencies(book, filtered))

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
    """The same zones under each other; key figures in pairs."""
    inner = PHONE_WIDTH - 2 * MARGIN
    places, y = [], MARGIN
    for row in rows:
        parts = list(zip(row.parts, row.phone, strict=True))
        while parts:
            beside = [parts.pop(0) for _ in range(min(len(parts), 2 if row.is_paired else 1))]
            width, height = inner // len(beside), beside[0][1]
            places += [
                (part, Box(MARGIN + n * width, y, width, height)) for n, (part, _) in enumerate(beside)
            ]
            y += height
    page = (PHONE_WIDTH, y + MARGIN)
    layout = etree.SubElement(etree.SubElement(dashboard, "devicelayouts"), "devicelayout", name="Phone")
    high = str(page[1])
    etree.SubElement(layout, "size", maxheight=high, minheight=high, **{"sizing-mode": "vscroll"})
    around = _around(etree.SubElement(layout, "zones"), str(next_id))
    around.extend(_zone(part, box, page, ids) for part, box in places)


def _around(zones: etree._Element, name: str) -> etree._Element:
    """The zone that all others are in."""
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
    for name, value in (("border-style", "none"), ("border-width", "0"), ("margin", "4")):
        etree.SubElement(style, "format", attr=name, value=value)
    return zone


def _window(book: Book) -> etree._Element:
    window = etree.Element(
        "window", {"class": "dashboard", "maximized": "true", "name": book.say(book.report.title)}
    )
    viewpoints = etree.SubElement(window, "viewpoints")
    for sheet in book.sheets:
        etree.SubElement(etree.SubElement(viewpoints, "viewpoint", name=sheet.name), "zoom", type=sheet.fit)
    etree.SubElement(window, "active", id="-1")
    etree.SubElement(window, "simple-id", uuid=book.id("window", "dashboard"))
    return window
