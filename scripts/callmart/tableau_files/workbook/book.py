"""A generated workbook on one published data source, with the fields that its sheets use."""

import re
from collections.abc import Iterable
from uuid import NAMESPACE_URL, uuid5

from lxml import etree

from callmart.base.declared import Texts, texts
from callmart.declarations.exposures import COLUMN, Report
from callmart.tableau_files import tds
from callmart.tableau_files.fields import Field, Part, Source
from callmart.tableau_files.workbook.published import PublishedSource, attach, layered
from callmart.tableau_files.workbook.sheet import Instance, Sheet

# Features that Tableau has written since 2020.2, so that servers of all supported versions can open the file.
BUILD = "2023.3.0 (20233.23.1017.0948)"
MANIFEST = (
    *tds.MANIFEST,
    "AutoCreateAndUpdateDSDPhoneLayouts",  # attribute auto-generated of a phone layout
    "SetMembershipControl",  # attribute type-v2 of zones
    "SheetIdentifierTracking",
    "SortTagCleanup",  # elements manual-sort and computed-sort
    "WindowsPersistSimpleIdentifiers",
)
LOCALES = {"nl": "nl_NL", "en": "en_GB"}  # for numbers and the names of days
WEEKS_BACK = "[Parameters].[weeks_back]"
MOST_WEEKS_BACK = 104
MEASURE_NAMES = ":Measure Names"
MEASURE_VALUES = "Multiple Values"

# Okabe and Ito's colours, which colour-blind people can tell apart. Neighbours differ in lightness. Greys replace the
# yellow and the black: yellow is hard to see on white paper.
ALARM = "#D55E00"
# Of parts of a bar, in their order: also in grey each is lighter or darker than the one before.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", ALARM, "#56B4E9", "#595959", "#B8B8B8")
GREY = "#8C8C8C"
SHADES = ("#EFF3FF", "#BDD7E7", "#6BAED6", "#3182BD", "#08519C")  # one hue, light to dark


WEEKS = texts("Weken terug (1 is de laatste volledige week)", "Weeks back (1 is the last complete week)")


def uuid_of(content_url: str, *made_of: str) -> str:
    """Return the UUID, in Tableau's form, of a part of the workbook on the data source at this content URL."""
    seed = "/".join(("callmart", content_url, *made_of))
    return f"{{{str(uuid5(NAMESPACE_URL, seed)).upper()}}}"


class Book:
    """The workbook. Its sheets register the fields that they use."""

    def __init__(
        self, report: Report, source: Source, published: PublishedSource, target: float | None = None
    ) -> None:
        self.target = target  # of the service level
        self.report, self.source, self.published = report, source, published
        self.locale = source.locale
        self.name = published.name
        self.calculated: dict[str, Field] = {}
        self.sheets: list[Sheet] = []
        self.captions: dict[str, str] = {}  # of measures, in column headers and legends
        self.colours: dict[str, dict[str, str]] = {}  # by field: the colours of its values
        self.dashboard: etree._Element | None = None
        self.windows: list[etree._Element] = []
        self.actions: list[etree._Element] = []
        self.ids: dict[str, tuple[str, ...]] = {}  # what each is made of, beside the content URL
        self._names = {self.say(report.title)}

    def say(self, text: Texts) -> str:
        """Return a text in the language of the workbook."""
        return text.of(self.locale)

    def id(self, *parts: str) -> str:
        """Return a UUID in Tableau's form that is always the same for the same parts."""
        made_of = (self.report.first_name, *parts)
        made = uuid_of(self.published.content_url, *made_of)
        self.ids[made] = made_of
        return made

    @property
    def choices(self) -> list[Field]:
        """The fields by which people filter the report."""
        marts = {mart.name: mart for mart in self.source.marts}
        hours = self.source.name(self.report.main_mart, "open")
        found = [self.source.filtered]
        return [*found, self.source.fields[hours]] if self.report.filters_hours(marts) else found

    # -- fields ------------------------------------------------------------------------------------------------

    def qualified(self, name: str) -> str:
        """Return a field's name with its data source, as it is written on shelves."""
        return f"[{self.name}].{name if name.startswith('[') else f'[{name}]'}"

    def calculate(self, field: Field) -> Field:
        """Add a calculated field to the workbook and return it."""
        return self.calculated.setdefault(field.name, field)

    def find(self, name: str) -> Field | None:
        """Return the field of that name in the workbook or the data source, if there is one."""
        return self.calculated.get(name) or self.source.fields.get(name)

    def depended(self, instances: Iterable[Instance]) -> dict[str, Field]:
        """Return the fields of the instances and of their formulas, by name. Hidden fields are left out."""
        fields: dict[str, Field] = {}
        waiting = [instance.field for instance in instances]
        while waiting:
            field = waiting.pop()
            if field.name not in fields and not field.is_hidden:
                fields[field.name] = field
                names = re.findall(r"\[([^\]]+)\]", field.formula or "")
                waiting += [found for name in names if (found := self.find(name)) is not None]
        return fields

    def column(self, field: Field) -> etree._Element:
        """Return a field as XML: of the workbook, or of the data source."""
        return tds.column(field) if field.name in self.calculated else layered(field)

    def part(self, mart: str, part: Part) -> Field:
        """Return a mart's field for a part of the time."""
        return self.source.fields[self.source.part(mart, part)]

    def day(self, mart: str) -> Field:
        """Return a mart's field for the day."""
        return self.source.fields[self.source.name(mart, COLUMN["day"])]

    def of_mart(self, caption: str, mart: str) -> str:
        """Return a caption that names the mart if it isn't the report's first."""
        is_first = mart == self.report.marts[0]
        return caption if is_first else f"{caption} ({self.source.captions.mart(mart, self.locale)})"

    def caption(self, mart: str, measure: str) -> str:
        """Return a measure's caption in a sheet: without its unit and its mart."""
        metric = self.source.metrics.get(measure)
        if metric is not None and metric.mart == mart:
            return self.say(metric.caption)
        return self.source.captions.column(measure, self.locale)

    def target_of(self, mart: str, measure: str) -> float | None:
        """Return the target of a measure, if it has one."""
        metric = self.source.metrics.get(measure)
        return self.target if metric is not None and metric.mart == mart and metric.target else None

    # -- XML ---------------------------------------------------------------------------------------------------

    def sheet(self, name: str, title: str) -> Sheet:
        """Add a sheet and return it. Its name is its title, extended if another sheet has the same title."""
        unique = title if title not in self._names else f"{title} ({name})"
        self._names.add(unique)
        sheet = Sheet(self, unique, title)
        self.sheets.append(sheet)
        return sheet

    def element(self) -> etree._Element:
        """Return the whole workbook as XML."""
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
        if self.actions:
            etree.SubElement(root, "actions").extend(self.actions)
        etree.SubElement(root, "worksheets").extend(sheet.element() for sheet in self.sheets)
        assert self.dashboard is not None
        etree.SubElement(root, "dashboards").append(self.dashboard)
        windows = etree.SubElement(root, "windows")
        windows.extend([*self.windows, *(sheet.window() for sheet in self.sheets)])
        return root

    def link(self) -> list[etree._Element]:
        """Return the elements by which a sheet or dashboard refers to its data sources."""
        own = etree.Element("datasource", caption=self.source.title, name=self.name)
        return [etree.Element("datasource", name="Parameters"), own]

    def parameter(self) -> etree._Element:
        """Return the parameter by which people choose the week."""
        element = etree.Element(
            "column",
            {
                "caption": self.say(WEEKS),
                "datatype": "integer",
                "name": "[weeks_back]",
                "param-domain-type": "range",
                "role": "measure",
                "type": "quantitative",
                "value": "1",
            },
        )
        etree.SubElement(element, "calculation", {"class": "tableau", "formula": "1"})
        etree.SubElement(element, "range", granularity="1", max=str(MOST_WEEKS_BACK), min="0")
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
        etree.SubElement(element, "aliases", enabled="yes")
        used_fields = self.depended(used.values())
        element.extend(self.column(field) for name, field in used_fields.items() if name in self.calculated)
        names = etree.SubElement(
            element, "column", datatype="string", name=f"[{MEASURE_NAMES}]", role="dimension", type="nominal"
        )
        aliases = etree.SubElement(names, "aliases")
        for key, caption in sorted(self.captions.items()):
            etree.SubElement(aliases, "alias", key=f'"{key}"', value=caption)
        element.extend(used[name].element() for name in sorted(used))
        etree.SubElement(
            element, "layout",
            {"dim-ordering": "alphabetic", "measure-ordering": "alphabetic", "show-structure": "true"},
        )  # fmt: skip
        rule = etree.SubElement(etree.SubElement(element, "style"), "style-rule", element="mark")
        for name, colours in sorted(self.colours.items()):
            encoding = etree.SubElement(rule, "encoding", attr="color", field=name, type="palette")
            for value, colour in colours.items():
                etree.SubElement(etree.SubElement(encoding, "map", to=colour), "bucket").text = value
        attach(element, self.source, self.published)
        return element
