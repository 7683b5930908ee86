"""Check: a workbook held against the data source that it says it stands on."""

import re
from collections.abc import Iterable, Iterator

from lxml import etree

from callmart import tds
from callmart.errors import UserError
from callmart.fields import Source

serialized = tds.serialized

# What Tableau makes itself on any data source.
OWN = re.compile(r"^(:Measure Names|Multiple Values|Number of Records|:ordinal|__tableau_internal.*)$")
REFERENCE = re.compile(r"\[((?:[^\[\]]|\]\])+)\]\.\[((?:[^\[\]]|\]\])+)\]")
INSTANCE = re.compile(r"^(?:[a-z]+:)+(.*?)(?::(?:nk|ok|qk)(?::\d+)?)$")


def check(root: etree._Element, source: Source, name: str) -> None:
    """Raise UserError where the workbook uses a field that the data source lacks or has with another type, or has
    another connection than one to it.
    """
    connected = [one for one in root.iterfind("datasources/datasource") if one.get("name") != "Parameters"]
    classes = [one.get("class") for one in root.iter("connection")]
    if len(connected) != 1 or classes != ["sqlproxy"]:
        raise UserError(
            f"{name}: it has to have one connection, to the published data source; remove the others"
        )
    (own,) = connected
    calculated = {
        unbracketed(one.get("name")) for one in (*own.iterfind("column[calculation]"), *own.iterfind("group"))
    }
    for column in root.iter("column"):
        of = column.getparent()
        if (
            column.get("name") is None
            or of is None
            or of.tag not in ("datasource", "datasource-dependencies")
        ):
            continue
        if of.get("name") == "Parameters" or of.get("datasource") == "Parameters":
            continue
        check_column(column, source, name)
        if column.find("calculation") is not None and of is own:
            check_formula(column, calculated, source, name)
    parameters = {
        unbracketed(one.get("name"))
        for one in root.iterfind("datasources/datasource[@name='Parameters']/column")
    }
    for data_source, field in references(root):
        if data_source == "Parameters":
            if field not in parameters:
                raise UserError(f"{name}: it uses the parameter [{field}], which it does not hold")
        elif data_source != own.get("name"):
            raise UserError(f"{name}: [{field}] is of another data source; use one data source")
        elif not _is_known(base := base_of(field), calculated, source):
            raise UserError(missing(name, base, source))


def check_column(column: etree._Element, source: Source, name: str) -> None:
    """Raise UserError where a column that is not calculated is none of the data source, or of another type."""
    field_name = unbracketed(column.get("name"))
    if OWN.match(field_name) or column.find("calculation") is not None:
        return
    field = source.fields.get(field_name)
    if field is None or field.is_hidden:
        raise UserError(missing(name, field_name, source))
    if column.get("datatype") != field.datatype:
        raise UserError(
            f"{name}: [{field_name}] is {column.get('datatype')} in it and {field.datatype} in the data source "
            f"{source.title}; change its type back in the template"
        )


def check_formula(column: etree._Element, calculated: set[str], source: Source, name: str) -> None:
    """Raise UserError where a calculation of the workbook's own uses a field that is not there."""
    field = source.fields.get(unbracketed(column.get("name")))
    for calculation in column.iterfind("calculation"):
        formula = calculation.get("formula", "")
        if field is not None and field.formula == formula:
            continue  # the data source's own: it may use what it hides
        for used in used_by(formula):
            if not _is_known(used, calculated, source):
                raise UserError(missing(name, used, source))


def _is_known(field: str, calculated: set[str], source: Source) -> bool:
    shown = field in source.fields and not source.fields[field].is_hidden
    return shown or field in calculated or OWN.match(field) is not None


def missing(name: str, field: str, source: Source) -> str:
    """The sentence for a field that is not there."""
    return f"{name}: the data source {source.title} has no field [{field}]; use one that it has"


def unbracketed(name: str | None) -> str:
    """A field's name without the brackets around it."""
    return (name or "").removeprefix("[").removesuffix("]")


def base_of(instance: str) -> str:
    """The field that an instance is of: `sum:offered:qk` is of `offered`."""
    found = INSTANCE.match(instance)
    return found[1] if found and not OWN.match(instance) else instance


def used_by(formula: str) -> Iterator[str]:
    """The fields in a formula, without parameters, and without what stands in quotes or comments."""
    bare = re.sub(r"//[^\n]*|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", "", formula)
    bare = re.sub(r"\[Parameters\]\s*\.\s*\[[^\]]*\]", "", bare)
    for found in re.finditer(r"\[((?:[^\[\]]|\]\])+)\]", bare):
        yield found[1]


def references(root: etree._Element) -> Iterable[tuple[str, str]]:
    """Each reference to a field of a data source, in shelves, filters, texts and zones."""
    names = {one.get("name") for one in root.iterfind("datasources/datasource")}
    for part in ("worksheets", "dashboards", "windows", "shared-views", "actions"):
        for element in root.iterfind(f"{part}//*"):
            values = [str(value) for key, value in element.attrib.items() if key != "op"]
            for text in (*values, element.text or ""):
                for found in REFERENCE.finditer(text):
                    if found[1] in names or element.tag in ("rows", "cols"):
                        yield found[1], found[2]
