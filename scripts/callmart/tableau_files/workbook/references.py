"""Checks that a workbook uses only fields and parameters that exist, and only its own data source."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from lxml import etree

from callmart.base.errors import UserError
from callmart.tableau_files import tds
from callmart.tableau_files.fields import Source

# Fields that Tableau itself adds to every data source.
OWN = re.compile(r"^(:Measure Names|Multiple Values|Number of Records|:ordinal)$")
NAME = r"\[((?:[^\[\]]|\]\])+)\]"
REFERENCE = re.compile(rf"{NAME}\.{NAME}(?:\.{NAME})?")
INSTANCE = re.compile(r"^(?:\w+:)+(.*?):(?:nk|ok|qk)(?::\d+)*$")
# The parts of a formula with brackets: comments and texts, in which they mean nothing, parameters, and fields.
FORMULA = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    rf"|\[Parameters\]\s*\.\s*\[(?P<parameter>[^\]]*)\]|{NAME.replace('(', '(?P<field>', 1)}",
    re.DOTALL,
)
PARTS = ("worksheets", "dashboards", "windows", "shared-views", "actions")


def check(root: etree._Element, source: Source, name: str) -> None:
    """Raise UserError if the workbook uses a field or parameter that doesn't exist or has another type, or if it has
    any connection besides the one to the data source.
    """
    connected = [one for one in root.iterfind("datasources/datasource") if one.get("name") != "Parameters"]
    classes = [one.get("class") for one in root.iter("connection")]
    if len(connected) != 1 or classes != ["sqlproxy"]:
        raise UserError(
            f"{name}: it must have exactly one connection, to the published data source; remove the others"
        )
    (own,) = connected
    known = _Known(root, own, source, name)
    for of in (own, *root.iter("datasource-dependencies")):
        if of.get("datasource") != "Parameters":
            known.check_columns(of)
    for element in root.iter("groupfilter"):
        for key in ("level", "expression", "field"):
            known.check_expression(element, element.get(key, ""))
    for element, data_source, field in references(root):
        known.check_reference(element, data_source, field)


class _Known:
    """The fields that a workbook may use: the data source's, and its own."""

    def __init__(self, root: etree._Element, own: etree._Element, source: Source, name: str) -> None:
        self.source, self.name, self.own_name = source, name, own.get("name")
        columns = (*own.iterfind("column[calculation]"), *own.iterfind("group"))
        self.calculated = {unbracketed(one.get("name")) for one in columns}
        parameters = root.iterfind("datasources/datasource[@name='Parameters']/column")
        self.parameters = {unbracketed(one.get("name")) for one in parameters}
        self.published = {
            _bare(field.formula): field.caption
            for field in source.fields.values()
            if field.formula is not None
        }
        self.objects = {tds.object_id(source, mart.name) for mart in source.marts}

    def check_columns(self, of: etree._Element) -> None:
        """Check the fields that a data source or sheet lists."""
        for column in of.iterfind("column"):
            if column.get("name") is not None:
                self._check_column(column)
        for instance in of.iterfind("column-instance"):
            self._check_field(instance, unbracketed(instance.get("column")))

    def _check_column(self, column: etree._Element) -> None:
        field_name = unbracketed(column.get("name"))
        field = self.source.fields.get(field_name)
        calculations = column.findall("calculation")
        for calculation in calculations:
            formula = calculation.get("formula", "")
            if field is None or field.formula != formula:
                self.check_expression(column, formula)
                self._check_copy(column, formula)
            self.check_expression(column, calculation.get("column", ""))
        if calculations or OWN.match(field_name):
            return
        self._check_field(column, field_name)
        if field is not None and column.get("datatype") != field.datatype:
            raise UserError(
                f"{self.name}: [{field_name}] has type {column.get('datatype')} but type {field.datatype} in the data "
                f"source {self.source.title}; change its type back in the template"
            )

    def _check_copy(self, column: etree._Element, formula: str) -> None:
        if (copied := self.published.get(_bare(formula))) is not None:
            raise UserError(
                f"{self.name}: {_where(column)} copies the calculation '{copied}' of the data source "
                f"{self.source.title}, and would stay as it is when that one changes; use that field"
            )

    def check_expression(self, element: etree._Element, expression: str) -> None:
        """Check the fields and parameters in a formula or a single name."""
        for found in FORMULA.finditer(expression):
            if found["parameter"] is not None:
                self.check_reference(element, "Parameters", found["parameter"])
            elif found["field"] is not None and found["field"] != self.own_name:
                self._check_field(element, base_of(found["field"]))

    def check_reference(self, element: etree._Element, data_source: str, field: str) -> None:
        """Check a field of a data source, as it is named in shelves, filters, texts and zones."""
        if data_source == "Parameters":
            if field not in self.parameters:
                raise UserError(
                    f"{self.name}: it uses the parameter [{field}], which does not exist in it; create it"
                )
        elif data_source != self.own_name:
            raise UserError(f"{self.name}: [{field}] belongs to another data source; use one data source")
        else:
            self._check_field(element, base_of(field))

    def _check_field(self, element: etree._Element, field: str) -> None:
        if field.startswith(tds.OBJECT_ID):
            if base_of(field.removeprefix(f"{tds.OBJECT_ID}].[")) not in self.objects:
                raise UserError(
                    f"{self.name}: {_where(element)} counts the rows of a table that {self.source.title} lacks;"
                    " show a field instead"
                )
            return
        shown = field in self.source.fields and not self.source.fields[field].is_hidden
        if not (shown or field in self.calculated or OWN.match(field)):
            raise UserError(
                f"{self.name}: the data source {self.source.title} has no field [{field}], which {_where(element)}"
                " uses; use a field that exists"
            )


def _bare(formula: str) -> str:
    """A formula without spaces and line breaks."""
    return "".join(formula.split())


def _where(element: etree._Element) -> str:
    """The name of the sheet, dashboard or calculated field that contains an element."""
    for one in (element, *element.iterancestors()):
        if one.tag in ("worksheet", "dashboard"):
            return f"'{one.get('name')}'"
        if one.tag == "column" and one.find("calculation") is not None:
            return f"'{one.get('caption') or unbracketed(one.get('name'))}'"
    return "it"


def unbracketed(name: str | None) -> str:
    """Return a field's name without the brackets around it."""
    return (name or "").removeprefix("[").removesuffix("]")


def base_of(instance: str) -> str:
    """Return the field of an instance: for `sum:offered:qk` it is `offered`."""
    found = INSTANCE.match(instance)
    return found[1] if found and not OWN.match(instance) else instance


def field_of(written: str | None) -> str:
    """Return the field that is written, with or without its data source: for `[x].[none:queue:nk]` it is `queue`."""
    found = REFERENCE.fullmatch(written or "")
    return base_of(found[2] if found else unbracketed(written))


def references(root: etree._Element) -> Iterator[tuple[etree._Element, str, str]]:
    """Yield each reference to a field on shelves, in filters, texts, zones and actions: element, source, field."""
    names = {one.get("name") for one in root.iterfind("datasources/datasource")}
    for part in PARTS:
        for element in root.iterfind(f"{part}//*"):
            values = [str(value) for key, value in element.attrib.items() if key != "op"]
            for text in (*values, element.text or ""):
                # The values that an action passes on are URL-encoded.
                for found in REFERENCE.finditer(unquote(text) if text.startswith("tsl:") else text):
                    if found[1] in names or element.tag in ("rows", "cols"):
                        field = f"{found[2]}].[{found[3]}" if found[2] == tds.OBJECT_ID else found[2]
                        yield element, found[1], field
