"""A worksheet: its fields and its XML. `sheets` has one function per kind that fills it in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from callmart.tableau_files.fields import Field

if TYPE_CHECKING:
    from callmart.tableau_files.workbook.book import Book

DERIVATIONS = {
    "None": "none",
    "Sum": "sum",
    "Max": "max",
    "User": "usr",
    "Weekday": "wd",
    "Attribute": "attr",
}
SUFFIXES = {"nominal": "nk", "ordinal": "ok", "quantitative": "qk"}
BREAK = "Æ\n"  # Tableau's line break in a text


@dataclass(frozen=True)
class Instance:
    """A field as it is used in a sheet: summed, by weekday, or as it is."""

    field: Field
    derivation: str
    kind: str

    @property
    def name(self) -> str:
        """The instance's name within the data source."""
        return f"[{DERIVATIONS[self.derivation]}:{self.field.name}:{SUFFIXES[self.kind]}]"

    def element(self) -> etree._Element:
        """Return the instance as XML."""
        return etree.Element(
            "column-instance",
            column=f"[{self.field.name}]",
            derivation=self.derivation,
            name=self.name,
            pivot="key",
            type=self.kind,
        )


class Sheet:
    """A worksheet: the fields that it uses, and the parts that `sheets` fills in."""

    def __init__(self, book: "Book", name: str, title: str) -> None:
        self.book, self.name, self.title = book, name, title
        self.instances: dict[str, Instance] = {}
        self.filters: list[etree._Element] = []
        self.sorts: list[etree._Element] = []
        self.slices: list[str] = []
        self.styles: list[tuple[str, etree._Element]] = []
        self.title_size = "11"
        self.mark = "Automatic"
        self.encodings: list[tuple[str, str]] = []
        self.label: list[tuple[str, dict[str, str]]] = []
        self.marks: dict[str, str] = {}  # how they look
        self.tooltip: list[tuple[str, str]] = []  # pairs of words and a field
        self.rows = self.columns = ""
        self.axes: list[str] = []  # measures below each other, each with a pane of its own
        # Of measures in `axes`: the value, and what it is called.
        self.targets: dict[str, tuple[float, str]] = {}
        self.legend = ""  # the field whose colours need a legend
        self.legend_items = 0
        self.zoom = "entire-view"  # empty: the styles set the size of the cells

    def use(self, field: Field, derivation: str = "", kind: str = "") -> str:
        """Register a field for this sheet; return its name as it is written on shelves."""
        if not derivation:
            derivation = field.aggregation if field.role == "measure" else "None"
        instance = Instance(field, derivation, kind or field.kind)
        self.instances[instance.name] = instance
        return self.book.qualified(instance.name)

    def style(self, element: str, attribute: str, value: str, **where: str) -> None:
        """Add a format for an element of the sheet; `where` can limit it to a field or scope."""
        self.styles.append((element, etree.Element("format", {"attr": attribute, "value": value, **where})))

    def element(self) -> etree._Element:
        """Return the worksheet as XML."""
        book = self.book
        sheet = etree.Element("worksheet", name=self.name)
        title = etree.SubElement(etree.SubElement(sheet, "layout-options"), "title")
        look = {"bold": "true", "fontcolor": "#333333", "fontsize": self.title_size}
        etree.SubElement(etree.SubElement(title, "formatted-text"), "run", look).text = literal(self.title)
        table = etree.SubElement(sheet, "table")
        view = etree.SubElement(table, "view")
        etree.SubElement(view, "datasources").extend(book.link())
        view.extend(dependencies(book, self.instances.values()))
        view.extend([*self.filters, *self.sorts])
        if self.slices:
            slices = etree.SubElement(view, "slices")
            for name in self.slices:
                etree.SubElement(slices, "column").text = name
        etree.SubElement(view, "aggregation", value="true")
        _add_styles(etree.SubElement(table, "style"), self.styles)
        etree.SubElement(table, "panes").extend(self._panes())
        etree.SubElement(table, "rows").text = self.rows
        etree.SubElement(table, "cols").text = self.columns
        etree.SubElement(sheet, "simple-id", uuid=book.id("sheet", self.name))
        return sheet

    def _panes(self) -> Iterator[etree._Element]:
        yield self._pane(self.tooltip)
        if len(self.axes) > 1:
            for number, axis in enumerate(self.axes, 1):
                # A mark can show only the measure of its own axis.
                own = [part for part in self.tooltip if part[1] == axis or part[1] not in self.axes]
                yield self._pane(own, {"id": str(number), "y-axis-name": axis})

    def _pane(self, tooltip: list[tuple[str, str]], of: dict[str, str] | None = None) -> etree._Element:
        pane = etree.Element(
            "pane", {"selection-relaxation-option": "selection-relaxation-allow", **(of or {})}
        )
        etree.SubElement(etree.SubElement(pane, "view"), "breakdown", value="auto")
        etree.SubElement(pane, "mark", {"class": self.mark})
        # A tooltip can show only fields of the sheet, so the other ones get an encoding of their own.
        shown = {name for _, name in self.encodings}
        extra = [
            ("tooltip", name)
            for _, name in tooltip
            if name not in shown and name not in self.rows and name not in self.columns
        ]
        encodings = etree.SubElement(pane, "encodings")
        for kind, name in (*self.encodings, *extra):
            etree.SubElement(encodings, kind, column=name)
        axis = (of or {}).get("y-axis-name", self.axes[0] if len(self.axes) == 1 else "")
        if axis in self.targets:
            pane.append(self._target(axis))
        customized = etree.SubElement(pane, "customized-tooltip", {"show-buttons": "false"})
        text = etree.SubElement(customized, "formatted-text")
        for number, (words, name) in enumerate(tooltip):
            if number:
                etree.SubElement(text, "run").text = BREAK
            if words:
                etree.SubElement(text, "run", fontcolor="#555555").text = words
            etree.SubElement(text, "run", bold="true").text = f"<{name}>"
        if self.label:
            text = etree.SubElement(etree.SubElement(pane, "customized-label"), "formatted-text")
            for words, look in self.label:
                etree.SubElement(text, "run", {"fontalignment": "0", **look}).text = words
        if self.marks:
            styles = [("mark", *each) for each in self.marks.items()]
            if self.label:
                styles.insert(0, ("cell", "text-align", "left"))
            _add_styles(
                etree.SubElement(pane, "style"),
                [(of, etree.Element("format", attr=name, value=value)) for of, name, value in styles],
            )
        return pane

    def _target(self, axis: str) -> etree._Element:
        """A line at the target of a measure."""
        value, words = self.targets[axis]
        return etree.Element(
            "reference-line",
            {
                "axis-column": axis,
                "enable-instant-analytics": "true",
                "formula": "constant",
                "id": f"target{self.axes.index(axis)}",
                "label": words,
                "label-type": "custom",
                "scope": "per-table",
                "value": str(value),
                "value-column": axis,
                "z-order": "1",
            },
        )

    def window(self) -> etree._Element:
        """Return the sheet's window. It is hidden, as people see the dashboard only."""
        window = etree.Element("window", {"class": "worksheet", "hidden": "true", "name": self.name})
        cards = etree.SubElement(window, "cards")
        for place, kinds in (("left", ("pages", "filters", "marks")), ("top", ("columns", "rows", "title"))):
            edge = etree.SubElement(cards, "edge", name=place)
            strip = etree.SubElement(edge, "strip", size="160")
            for kind in kinds:
                etree.SubElement(strip, "card", type=kind)
        etree.SubElement(window, "simple-id", uuid=self.book.id("window", self.name))
        return window


def _add_styles(style: etree._Element, formats: list[tuple[str, etree._Element]]) -> None:
    for kind in dict.fromkeys(kind for kind, _ in formats):
        etree.SubElement(style, "style-rule", element=kind).extend(one for of, one in formats if of == kind)


def literal(text: str) -> str:
    """Return a text without field references, whatever a customer's name is, and without characters illegal in XML."""
    return "".join(
        {"<": "‹", ">": "›"}.get(one, one)
        for one in text
        if one in "\t\n\r" or " " <= one <= "\ud7ff" or "\ue000" <= one <= "\ufffd" or one > "\uffff"
    )


def dependencies(book: "Book", instances: Iterable[Instance]) -> Iterable[etree._Element]:
    """Yield the fields that a sheet depends on: its fields, those in their formulas, and the instances."""
    instances = list(instances)
    columns = book.depended(instances)
    if any("[Parameters]" in (field.formula or "") for field in columns.values()):
        parameters = etree.Element("datasource-dependencies", datasource="Parameters")
        parameters.append(book.parameter())
        yield parameters
    element = etree.Element("datasource-dependencies", datasource=book.name)
    element.extend(book.column(columns[name]) for name in sorted(columns))
    element.extend(one.element() for one in sorted(instances, key=lambda one: one.name))
    yield element
