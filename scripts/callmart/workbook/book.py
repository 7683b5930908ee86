"""Book: a workbook on one published data source, with what its sheets use of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from lxml import etree

from callmart import tds
from callmart.errors import UserError
from callmart.fields import Field, Part, Source
from callmart.reports import Report

# What Tableau has written since 2020.2, so that a server of any of its supported versions opens it.
BUILD = "2023.3.0 (20233.23.1017.0948)"
MANIFEST = (*tds.MANIFEST, "SheetIdentifierTracking", "WindowsPersistSimpleIdentifiers")
LOCALES = {"nl": "nl_NL", "en": "en_GB"}  # of numbers and of the names of days
WEEKS_BACK = "[Parameters].[weeks_back]"
MEASURE_NAMES = ":Measure Names"
MEASURE_VALUES = "Multiple Values"

# Okabe and Ito's colours, which the colour-blind tell apart too; in an order in which neighbours differ in lightness.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#595959")
GREY = "#8C8C8C"
SHADES = ("#EFF3FF", "#BDD7E7", "#6BAED6", "#3182BD", "#08519C")  # one hue, light to dark

# The numbers that Tableau's metadata has for types.
REMOTE = {"integer": "20", "real": "5", "string": "129", "date": "7", "datetime": "7", "boolean": "11"}
DERIVATIONS = {"None": "none", "Sum": "sum", "Max": "max", "User": "usr", "Weekday": "wd"}
SUFFIXES = {"nominal": "nk", "ordinal": "ok", "quantitative": "qk"}


@dataclass(frozen=True)
class Published:
    """Where the data source was published: the server's URL, the site's content URL, and its own."""

    server: str
    site: str
    content_url: str


@dataclass(frozen=True)
class Instance:
    """A field as a sheet uses it: summed, by week day, as it is."""

    field: Field
    derivation: str
    kind: str

    @property
    def name(self) -> str:
        """Its name within the data source."""
        return f"[{DERIVATIONS[self.derivation]}:{self.field.name}:{SUFFIXES[self.kind]}]"


def texts(**both: str) -> dict[str, str]:
    """A text in both languages."""
    return both


WORDS = {
    "weeks_back": texts(
        nl="Weken terug (1 is de laatste volledige week)", en="Weeks back (1 is the last complete week)"
    ),
    "this": texts(nl="Deze week", en="This week"),
    "before": texts(nl="Week ervoor", en="Week before"),
    "which": texts(nl="Week", en="Week"),
    "shown": texts(nl="In deze week", en="In this week"),
    "both": texts(nl="In deze week of die ervoor", en="In this week or the one before"),
    "from": texts(nl="Van", en="From"),
    "until": texts(nl="Tot en met", en="Until"),
}  # fmt: skip


class Book:
    """The workbook; sheets register the fields that they use."""

    def __init__(self, report: Report, source: Source, published: Published) -> None:
        self.report, self.source, self.published = report, source, published
        self.locale = source.locale
        self.name = tds.identity("sqlproxy", published.content_url)
        self.calculated: dict[str, Field] = {}
        self.sheets: list[Sheet] = []
        self.captions: dict[str, str] = {}  # of measures, as heads of columns and in legends
        self.colours: dict[str, dict[str, str]] = {}  # of values, by the field that has them
        self.dashboard: etree._Element | None = None
        self.windows: list[etree._Element] = []
        self._names: set[str] = {report.title.nl if self.locale == "nl" else report.title.en}

    def say(self, text: Any) -> str:
        """A text in the language of the workbook."""
        return str(text[self.locale] if isinstance(text, dict) else getattr(text, self.locale))

    def word(self, name: str) -> str:
        """A word of the workbook's own."""
        return WORDS[name][self.locale]

    def id(self, *parts: str) -> str:
        """A UUID as Tableau writes it, always the same for the same parts."""
        seed = "/".join(("callmart", self.published.content_url, self.report.name, *parts))
        return f"{{{str(uuid5(NAMESPACE_URL, seed)).upper()}}}"

    # -- fields ------------------------------------------------------------------------------------------------

    def qualified(self, name: str) -> str:
        """A name within the data source, as shelves write it."""
        return f"[{self.name}].{name if name.startswith('[') else f'[{name}]'}"

    def calculate(self, field: Field) -> Field:
        """A calculated field of the workbook's own."""
        return self.calculated.setdefault(field.name, field)

    def find(self, name: str) -> Field | None:
        """The field of that name, of the data source or of the workbook."""
        return self.calculated.get(name) or self.source.fields.get(name)

    def depended(self, instances: Iterable[Instance]) -> dict[str, Field]:
        """The fields of the instances, and those in their formulas; what the data source hides stays there."""
        fields: dict[str, Field] = {}
        waiting = [instance.field for instance in instances]
        while waiting:
            field = waiting.pop()
            if self.source.is_computed_there(field):
                field = replace(field, formula=None)
            if field.name not in fields and not field.is_hidden:
                fields[field.name] = field
                names = re.findall(r"\[([^\]]+)\]", field.formula or "")
                waiting += [found for name in names if (found := self.find(name)) is not None]
        return fields

    def part(self, mart: str, part: Part) -> Field:
        """A mart's part of the time."""
        return self.source.fields[self.source.part(mart, part)]

    def weeks_ago(self, mart: str) -> str:
        """A mart's weeks, as formulas write them."""
        return f"[{self.part(mart, 'weeks_ago').name}]"

    def of_mart(self, caption: str, mart: str) -> str:
        """A caption that names the mart, where it is not the report's first."""
        first = self.report.sheets[0].mart
        return caption if mart == first else f"{caption} ({self.source.captions.mart(mart, self.locale)})"

    def is_shown(self, mart: str, *, with_before: bool = False) -> Field:
        """Whether a row is of the chosen week, or of that and the week before."""
        name = "both" if with_before else "shown"
        formula = f"{self.weeks_ago(mart)} = {WEEKS_BACK}"
        if with_before:
            formula += f" OR {self.weeks_ago(mart)} = {WEEKS_BACK} + 1"
        caption = self.of_mart(self.word(name), mart)
        return self.calculate(
            _calculated(self.source.name(mart, f"Workbook_{name}"), mart, caption, "boolean", formula)
        )

    def which_week(self, mart: str) -> Field:
        """Whether a row is of the chosen week or the one before, in words."""
        this, before = self.word("this"), self.word("before")
        field = self.calculate(
            _calculated(
                self.source.name(mart, "Workbook_which"),
                mart,
                self.of_mart(self.word("which"), mart),
                "string",
                f"IF {self.weeks_ago(mart)} = {WEEKS_BACK} THEN '{this}' ELSE '{before}' END",
            )
        )
        self.colours[Instance(field, "None", "nominal").name] = {f'"{this}"': COLOURS[0], f'"{before}"': GREY}
        return field

    # -- XML ---------------------------------------------------------------------------------------------------

    def sheet(self, name: str, title: str) -> "Sheet":
        """A new sheet; its name is its title, told apart where two are alike."""
        unique = title if title not in self._names else f"{title} ({name})"
        self._names.add(unique)
        sheet = Sheet(self, unique, title)
        self.sheets.append(sheet)
        return sheet

    def element(self) -> etree._Element:
        """The whole workbook."""
        root = etree.Element(
            "workbook",
            {"original-version": tds.VERSION, "source-build": BUILD, "source-platform": "linux",
             "version": tds.VERSION, "locale": LOCALES[self.locale]},
            nsmap={"user": tds.USER},
        )  # fmt: skip
        manifest = etree.SubElement(root, "document-format-change-manifest")
        for change in sorted(MANIFEST):
            etree.SubElement(manifest, change)
        etree.SubElement(root, "preferences")
        sources = etree.SubElement(root, "datasources")
        sources.append(self._parameters())
        sources.append(self._source())
        etree.SubElement(root, "worksheets").extend(sheet.element() for sheet in self.sheets)
        assert self.dashboard is not None
        etree.SubElement(root, "dashboards").append(self.dashboard)
        windows = etree.SubElement(root, "windows")
        windows.extend([*self.windows, *(sheet.window() for sheet in self.sheets)])
        return root

    def link(self, with_parameters: bool = True) -> list[etree._Element]:
        """What a sheet or dashboard says of its data sources."""
        links = [etree.Element("datasource", caption=self.source.title, name=self.name)]
        if with_parameters:
            links.insert(0, etree.Element("datasource", name="Parameters"))
        return links

    def parameter(self) -> etree._Element:
        """The parameter by which people choose the week."""
        element = etree.Element(
            "column",
            {
                "caption": self.word("weeks_back"),
                "datatype": "integer",
                "name": "[weeks_back]",
                "param-domain-type": "range",
                "role": "measure",
                "type": "quantitative",
                "value": "1",
            },
        )
        etree.SubElement(element, "calculation", {"class": "tableau", "formula": "1"})
        etree.SubElement(element, "range", granularity="1", max="104", min="0")
        return element

    def _parameters(self) -> etree._Element:
        parameters = etree.Element(
            "datasource",
            {"hasconnection": "false", "inline": "true", "name": "Parameters", "version": tds.VERSION},
        )
        etree.SubElement(parameters, "aliases", enabled="yes")
        parameters.append(self.parameter())
        return parameters

    def _source(self) -> etree._Element:
        element = etree.Element(
            "datasource",
            {"caption": self.source.title, "inline": "true", "name": self.name, "version": tds.VERSION},
        )
        used = {instance.name: instance for sheet in self.sheets for instance in sheet.instances.values()}
        fields = self.depended(used.values())
        element.extend(connect(self.source, self.published))
        etree.SubElement(element, "aliases", enabled="yes")
        element.extend(tds.column(fields[name]) for name in sorted(fields))
        names = etree.SubElement(
            element, "column", datatype="string", name=f"[{MEASURE_NAMES}]", role="dimension", type="nominal"
        )
        aliases = etree.SubElement(names, "aliases")
        for key, caption in sorted(self.captions.items()):
            etree.SubElement(aliases, "alias", key=f'"{key}"', value=caption)
        element.extend(column_instance(used[name]) for name in sorted(used))
        etree.SubElement(
            element, "layout",
            {"dim-ordering": "alphabetic", "measure-ordering": "alphabetic", "show-structure": "true"},
        )  # fmt: skip
        rule = etree.SubElement(etree.SubElement(element, "style"), "style-rule", element="mark")
        for name, colours in sorted(self.colours.items()):
            encoding = etree.SubElement(rule, "encoding", attr="color", field=name, type="palette")
            for value, colour in colours.items():
                etree.SubElement(etree.SubElement(encoding, "map", to=colour), "bucket").text = value
        etree.SubElement(element, "date-options", {"start-of-week": "monday"})
        return element


def _calculated(name: str, mart: str, caption: str, datatype: Any, formula: str) -> Field:
    return Field(
        name, mart, caption, "", datatype, "dimension", "nominal", "Count", "features", formula=formula
    )


def connect(source: Source, published: Published) -> Iterable[etree._Element]:
    """The one connection of a workbook: to the published data source, by its content URL."""
    server = urlsplit(published.server)
    if not server.hostname or server.scheme not in ("http", "https"):
        raise UserError(
            f"{published.server} is no URL of a Tableau server; write it as https://tableau.example.nl"
        )
    path = f"/t/{published.site}/datasources" if published.site else "/datasources"
    location = {
        "derived-from": f"{published.server.rstrip('/')}{path}/{published.content_url}?rev=1.0",
        "id": published.content_url,
        "path": path,
        "revision": "1.0",
    }
    if published.site:
        location["site"] = published.site
    yield etree.Element("repository-location", location)
    connection = etree.Element(
        "connection",
        {
            "channel": server.scheme,
            "class": "sqlproxy",
            "dbname": published.content_url,
            "directory": "/dataserver",
            "port": str(server.port or {"https": 443, "http": 80}[server.scheme]),
            "server": server.hostname,
            "server-ds-friendly-name": source.title,
            "username": "",
        },
    )
    etree.SubElement(connection, "relation", name="sqlproxy", table="[sqlproxy]", type="table")
    records = etree.SubElement(connection, "metadata-records")
    shown = [
        field
        for field in source.fields.values()
        if not field.is_hidden and (field.formula is None or source.is_computed_there(field))
    ]
    for ordinal, field in enumerate(shown, 1):
        record = etree.SubElement(records, "metadata-record", {"class": "column"})
        for name, text in (
            ("remote-name", field.name),
            ("remote-type", REMOTE[field.datatype]),
            ("local-name", f"[{field.name}]"),
            ("parent-name", "[sqlproxy]"),
            ("remote-alias", field.name),
            ("ordinal", str(ordinal)),
            ("local-type", field.datatype),
            ("aggregation", field.aggregation),
            ("contains-null", "true"),
        ):  # fmt: skip
            etree.SubElement(record, name).text = text
    yield connection


def column_instance(instance: Instance) -> etree._Element:
    """An instance as Tableau writes it."""
    return etree.Element(
        "column-instance",
        column=f"[{instance.field.name}]",
        derivation=instance.derivation,
        name=instance.name,
        pivot="key",
        type=instance.kind,
    )


class Sheet:
    """A worksheet: what it uses, and the parts that one function a kind fills in."""

    def __init__(self, book: Book, name: str, title: str) -> None:
        self.book, self.name, self.title = book, name, title
        self.instances: dict[str, Instance] = {}
        self.filters: list[etree._Element] = []
        self.sorts: list[etree._Element] = []
        self.slices: list[str] = []
        self.styles: list[tuple[str, etree._Element]] = []
        self.mark = "Automatic"
        self.encodings: list[tuple[str, str]] = []
        self.label: list[tuple[str, dict[str, str]]] = []
        self.tooltip: list[tuple[str, str]] = []  # words, and what they say it of
        self.rows = self.columns = ""
        self.legend = ""  # the field whose colours need one
        self.fit = "entire-view"

    def use(self, field: Field, derivation: str = "", kind: str = "") -> str:
        """The field as shelves write it."""
        if not derivation:
            derivation = field.aggregation if field.role == "measure" else "None"
        instance = Instance(field, derivation, kind or field.kind)
        self.instances[instance.name] = instance
        return self.book.qualified(instance.name)

    def element(self) -> etree._Element:
        """The worksheet."""
        book = self.book
        sheet = etree.Element("worksheet", name=self.name)
        title = etree.SubElement(etree.SubElement(sheet, "layout-options"), "title")
        run = etree.SubElement(
            etree.SubElement(title, "formatted-text"), "run", bold="true", fontcolor="#333333", fontsize="11"
        )
        run.text = literal(self.title)
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
        style = etree.SubElement(table, "style")
        for kind in dict.fromkeys(kind for kind, _ in self.styles):
            rule = etree.SubElement(style, "style-rule", element=kind)
            rule.extend(one for of, one in self.styles if of == kind)
        table.append(etree.Element("panes"))
        table[-1].append(self._pane())
        etree.SubElement(table, "rows").text = self.rows
        etree.SubElement(table, "cols").text = self.columns
        etree.SubElement(sheet, "simple-id", uuid=book.id("sheet", self.name))
        return sheet

    def _pane(self) -> etree._Element:
        pane = etree.Element("pane", {"selection-relaxation-option": "selection-relaxation-allow"})
        etree.SubElement(etree.SubElement(pane, "view"), "breakdown", value="auto")
        etree.SubElement(pane, "mark", {"class": self.mark})
        if self.encodings:
            encodings = etree.SubElement(pane, "encodings")
            for kind, name in self.encodings:
                etree.SubElement(encodings, kind, column=name)
        if self.tooltip:
            tooltip = etree.SubElement(pane, "customized-tooltip", {"show-buttons": "false"})
            text = etree.SubElement(tooltip, "formatted-text")
            for number, (words, name) in enumerate(self.tooltip):
                etree.SubElement(text, "run", fontcolor="#555555").text = words
                etree.SubElement(text, "run", bold="true").text = f"<{name}>"
                if number + 1 < len(self.tooltip):
                    etree.SubElement(text, "run").text = BREAK
        if self.label:
            text = etree.SubElement(etree.SubElement(pane, "customized-label"), "formatted-text")
            for words, look in self.label:
                etree.SubElement(text, "run", look).text = words
            mark = etree.SubElement(etree.SubElement(pane, "style"), "style-rule", element="mark")
            etree.SubElement(mark, "format", attr="mark-labels-show", value="true")
            etree.SubElement(mark, "format", attr="mark-labels-cull", value="false")
        return pane

    def window(self) -> etree._Element:
        """Its window; people see the dashboard, not the sheets."""
        window = etree.Element("window", {"class": "worksheet", "hidden": "true", "name": self.name})
        cards = etree.SubElement(window, "cards")
        for place, kinds in (("left", ("pages", "filters", "marks")), ("top", ("columns", "rows", "title"))):
            edge = etree.SubElement(cards, "edge", name=place)
            strip = etree.SubElement(edge, "strip", size="160")
            for kind in kinds:
                etree.SubElement(strip, "card", type=kind)
        etree.SubElement(window, "simple-id", uuid=self.book.id("window", self.name))
        return window


BREAK = "Æ\n"  # how Tableau writes a new line in a text


def literal(text: str) -> str:
    """A text in which Tableau finds no field, however a customer is called."""
    return "".join(
        {"<": "‹", ">": "›"}.get(one, one)
        for one in text
        if one in "\t\n\r" or " " <= one <= "\ud7ff" or "\ue000" <= one <= "\ufffd" or one > "\uffff"
    )


def dependencies(book: Book, instances: Iterable[Instance]) -> Iterable[etree._Element]:
    """What a sheet depends on: its columns, those in their formulas, and the instances."""
    instances = list(instances)
    columns = book.depended(instances)
    if any("[Parameters]" in (field.formula or "") for field in columns.values()):
        parameters = etree.Element("datasource-dependencies", datasource="Parameters")
        parameters.append(book.parameter())
        yield parameters
    element = etree.Element("datasource-dependencies", datasource=book.name)
    element.extend(tds.column(columns[name]) for name in sorted(columns))
    element.extend(column_instance(one) for one in sorted(instances, key=lambda one: one.name))
    yield element
