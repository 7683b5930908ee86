"""Fills in a template: a workbook saved by Tableau Desktop is moved to a customer's published data source.

The connection and the texts are replaced, and fields get the names of the published data source. A template that would
reveal something of another customer, or would not work, is refused with the file and the field.
"""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

from lxml import etree

from callmart.base.declared import texts
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.declarations.exposures import Report
from callmart.tableau_files import tds
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import forbidden, references
from callmart.tableau_files.workbook.book import LOCALES
from callmart.tableau_files.workbook.published import PublishedSource, attach, layer, layered
from callmart.tableau_files.workbook.sheet import literal

PERIOD = texts("de laatste volledige week", "the last complete week")
PLACEHOLDER = re.compile(r"(?:\{\{|%7B%7B)\s*([a-z_]+)\s*(?:\}\}|%7D%7D)")
BRACKETS = re.compile(r"(\[Parameters\]\s*\.\s*)?\[((?:[^\[\]]|\]\])+)\]")
# The values that an action passes on are URL-encoded.
ENCODED = re.compile(r"%5B((?:(?!%5B|%5D).)+)%5D", re.IGNORECASE)
COUNTED = re.compile(rf"{tds.OBJECT_ID}\]\.\[((\w+)_[0-9A-F]{{32}})")  # a table whose rows are counted
FLAG = "_.fcp."
FEATURE = re.compile(r"_\.fcp\.\w+\.(true|false)\.\.\.")
# Where the workbook was published, pictures of it, and what was selected when it was saved.
STATE = (
    "repository-location", "thumbnails", "selection-collection", "bucket-selection", "current-page", "sort-filter-info"
)  # fmt: skip
# What the published data source has itself, and the feature of the tree in which Tableau notes what it is made of.
SERVED = (
    "connection", "extract", "overridable-settings", "object-graph", "drill-paths", "folders-common", "semantic-values",
    "folder", "data-source-tree",
)  # fmt: skip
SERVED_BY = "ExtendedPublishedDataSourceUI"
# The author, computer and site.
AUTHOR = re.compile(r"(creator-)?(author-id|license-type|machine-id|site-id)|\{.*\}base|upgrade-extracts")


def fill(file: Path, report: Report, customer: str, source: Source, published: PublishedSource) -> bytes:
    """Return the template's workbook for the customer of that name. Raises UserError if the template is refused."""
    name = str(file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file)
    root = _parse(file, name)
    own = _data_source(root, name)
    forbidden.bring_along(root, own, name)
    _rename(root, _new_names(own, source, published))
    _forget(root)
    _disconnect(root, own, source)
    captions = _translate(root, source)
    forbidden.members(root, own, source, name)
    _forget_members(root, own, source)
    _fill_placeholders(root, name, report, customer, source, captions)
    root.set("locale", LOCALES[source.locale])
    _drop_unused(root, own, source)
    attach(own, source, published)
    _list_features(root)
    references.check(root, source, name)
    return tds.serialized(root)


def _parse(file: Path, name: str) -> etree._Element:
    if file.suffix == ".twbx":
        raise UserError(f"{name}: a .twbx contains data; save the workbook as .twb")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        document = etree.fromstring(file.read_bytes(), parser).getroottree()
    except OSError as error:
        raise UserError(f"{name} can't be read ({error.strerror}); name a .twb that Tableau saved") from None
    except etree.XMLSyntaxError as error:
        raise UserError(
            f"{name}, line {error.lineno}: it is not XML; save the workbook again as .twb"
        ) from None
    root = document.getroot()
    if root.tag != "workbook" or document.docinfo.doctype:
        raise UserError(f"{name} is not a workbook; save it as .twb with Tableau")
    _choose_features(root, name)
    return root


def _choose_features(root: etree._Element, name: str) -> None:
    """Resolve feature flags as a Tableau with all features does: `_.fcp.<feature>.true...tag` becomes the tag, and an
    element with `false` is removed.
    """
    for element in list(root.iter(etree.Element)):
        flags = FEATURE.findall(element.tag)
        if "false" in flags:
            _remove(element)
        elif FLAG in element.tag:
            element.tag = _without_flags(element, element.tag, name)
        for key in [str(key) for key in element.keys() if FLAG in str(key)]:  # noqa: SIM118
            value = element.attrib.pop(key)
            if "false" not in FEATURE.findall(key):
                element.set(_without_flags(element, key, name), value)


def _without_flags(element: etree._Element, written: str, name: str) -> str:
    """The name of a tag or attribute without its flags. Raises UserError if the flags have another form."""
    plain = FEATURE.sub("", written)
    try:
        if FLAG not in plain:
            return str(etree.QName(plain).text)
    except ValueError:
        pass
    raise UserError(
        f"{name}, line {element.sourceline}: '{written[:80]}' is not of the form _.fcp.<feature>.true...<name> that "
        "Tableau writes; save the workbook again with Tableau, or correct it"
    )


def _data_source(root: etree._Element, name: str) -> etree._Element:
    found = [one for one in root.iterfind("datasources/datasource") if one.get("name") != "Parameters"]
    if not found:
        raise UserError(f"{name}: it has no data source; connect it to the published one")
    if len(found) > 1:
        captions = ", ".join(sorted(f"'{one.get('caption') or one.get('name')}'" for one in found))
        raise UserError(
            f"{name}: it has the connections {captions}; a report uses one data source, remove the others"
        )
    return found[0]


# -- names -----------------------------------------------------------------------------------------------------


def _new_names(own: etree._Element, source: Source, published: PublishedSource) -> dict[str, str]:
    """The names of fields and of the data source: in the template, and in the published data source."""
    names: dict[str, str] = {}

    def add(old: str | None, table: str, column: str) -> None:
        new = _own_name(source, references.unbracketed(table.rpartition(".")[2]), column)
        if new is not None:
            names.setdefault(references.unbracketed(old), new)

    for record in own.iterfind("connection//metadata-record[@class='column']"):
        add(
            record.findtext("local-name"),
            record.findtext("parent-name") or "",
            record.findtext("remote-name") or "",
        )
    for pair in own.iterfind("connection//map"):
        table, _, column = (pair.get("value") or "").rpartition(".")
        add(pair.get("key"), table, references.unbracketed(column))
    for name in (references.unbracketed(column.get("name")) for column in own.iterfind("column")):
        if found := re.fullmatch(r"(.+) \((\w+)\)", name):
            add(name, found[2], found[1])
        elif found := COUNTED.fullmatch(name):
            if found[2] in {mart.name for mart in source.marts}:
                names[found[1]] = tds.object_id(source, found[2])
        elif name in source.fields:
            names.setdefault(name, _shown(source, name))
    return names | {str(own.get("name")): published.name}


def _own_name(source: Source, table: str, column: str) -> str | None:
    mart = next((mart for mart in source.marts if mart.name == table), None)
    if mart is not None and column in mart.columns:
        return _shown(source, source.name(mart.name, column))
    return None


def _shown(source: Source, name: str) -> str:
    """The field that the data source shows instead of a hidden field, or else the field itself."""
    field = source.fields[name]
    if not field.is_hidden or field.column is None:
        return name
    if field.column == "agent":
        return source.agent.name
    root = source.fields.get(field.column)
    return root.name if root is not None and not root.is_hidden else name


def _rename(root: etree._Element, names: dict[str, str]) -> None:
    def renamed(inner: str) -> str:
        base = references.base_of(inner)
        if inner in names or base == inner:
            return names.get(inner, inner)
        return inner.replace(f":{base}:", f":{names.get(base, base)}:")

    def in_brackets(found: re.Match[str]) -> str:
        return found[0] if found[1] else f"[{renamed(found[2])}]"

    def encoded(found: re.Match[str]) -> str:
        old = unquote(found[1])
        return found[0] if (new := renamed(old)) == old else f"%5B{quote(new, safe=':().')}%5D"

    def changed(_: str, text: str) -> str:
        return names.get(text) or ENCODED.sub(encoded, BRACKETS.sub(in_brackets, text))

    _change_texts(root, changed)


def _change_texts(root: etree._Element, change: Callable[[str, str], str]) -> None:
    """Replace each attribute and text by the result of `change`, which gets its name (or tag) and its text."""
    for element in root.iter(etree.Element):
        for key, value in element.attrib.items():
            if (new := change(str(key), str(value))) != value:
                element.set(key, new)
        if element.text and element.text.strip():
            element.text = change(str(element.tag), element.text)


# -- what is replaced ------------------------------------------------------------------------------------------


def _forget(root: etree._Element) -> None:
    """Remove the state that Tableau saved, and the author."""
    for element in list(root.iter(*STATE)):
        _remove(element)
    for key in list(root.attrib):
        if AUTHOR.fullmatch(str(key)):
            del root.attrib[key]


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _disconnect(root: etree._Element, own: etree._Element, source: Source) -> None:
    """Remove the connection, and what the published data source already has."""
    for gone in SERVED:
        for element in own.findall(gone):
            own.remove(element)
    for element in root.findall(f"document-format-change-manifest/{SERVED_BY}"):
        _remove(element)
    for link in root.iter("datasource"):
        if link.get("name") == own.get("name"):
            link.set("caption", source.title)


def _list_features(root: etree._Element) -> None:
    """Add to the manifest what our data source uses, and an older Tableau, which saved the template, didn't."""
    manifest = root.find("document-format-change-manifest")
    if manifest is None:
        manifest = etree.Element("document-format-change-manifest")
        root.insert(0, manifest)
    listed = {feature.tag: feature for feature in manifest}
    manifest[:] = [
        listed.get(name, etree.Element(name)) for name in sorted({*map(str, listed), *tds.OBJECT_MODEL})
    ]


def _translate(root: etree._Element, source: Source) -> dict[str, str]:
    """Make the fields of the data source layered, with its captions and formulas. Return new captions by old ones."""
    captions = {}
    for column in root.iter("column"):
        field = source.fields.get(references.unbracketed(column.get("name")))
        if field is None or field.is_hidden or column.get("datatype") is None:
            continue
        captions[column.get("caption", "")] = field.caption
        column.attrib.update({"caption": field.caption} | layer(field))
        for tag in ("calculation", "aliases", "desc"):
            for old in column.findall(tag):
                column.remove(old)
        column[0:0] = list(layered(field))
    for part in root.iter("datasource-dependencies"):
        _complete(part, source)
    return captions


def _complete(part: etree._Element, source: Source) -> None:
    """Add the fields that our formulas use, but the replaced formulas didn't, to the fields that a sheet lists."""
    there = {references.unbracketed(column.get("name")) for column in part.iterfind("column")}
    waiting = part.findall("column")
    while waiting:
        for calculation in waiting.pop().iterfind("calculation"):
            for found in references.FORMULA.finditer(calculation.get("formula", "")):
                field = source.fields.get(found["field"] or "")
                if field is not None and not field.is_hidden and field.name not in there:
                    there.add(field.name)
                    waiting.append(layered(field))
                    part.append(waiting[-1])


def _forget_members(root: etree._Element, own: etree._Element, source: Source) -> None:
    """Remove colours, sort orders and aliases of single queues, agents or lines: they belong to one customer."""
    fields = forbidden.customers_own(own, source)
    for element in list(root.iter("encoding", "manual-sort", "sort", "column")):
        if (
            references.field_of(element.get("field") or element.get("column") or element.get("name"))
            in fields
        ):
            if element.find("dictionary") is not None:
                _remove(element)
            for gone in (*element.findall("map"), *element.findall("aliases")):
                element.remove(gone)


def _fill_placeholders(
    root: etree._Element, name: str, report: Report, customer: str, source: Source, captions: dict[str, str]
) -> None:
    """Fill in the texts in double braces, and translate the captions by which actions name fields."""
    declared = {"title": report.title, "subtitle": report.subtitle, "empty": report.empty, "period": PERIOD}
    words = {"customer": customer, **{name: text.of(source.locale) for name, text in declared.items()}}

    def filled(place: str, text: str) -> str:
        def word(found: re.Match[str]) -> str:
            if found[1] not in words:
                raise UserError(
                    f"{name}: there is no text {{{{{found[1]}}}}}; use one of {', '.join(sorted(words))}"
                )
            plain = literal(words[found[1]])
            if found[0].startswith("%"):
                return quote(plain)
            return re.sub(r"([\\'\"])", r"\\\1", plain) if place == "formula" else plain

        return PLACEHOLDER.sub(word, text)

    _change_texts(root, filled)
    for parameter in root.iter("param"):
        if parameter.get("name") == "field-captions":
            old = (parameter.get("value") or "").split(",")
            parameter.set("value", ",".join(captions.get(caption, caption) for caption in old))


def _drop_unused(root: etree._Element, own: etree._Element, source: Source) -> None:
    """Remove unknown fields that the template lists but doesn't use."""
    used = {references.base_of(field) for _, _, field in references.references(root)}
    for part in root.iter("datasource-dependencies"):
        used |= {references.unbracketed(column.get("name")) for column in part.iterfind("column")}
    for calculation in own.iterfind("column/calculation"):
        found = references.FORMULA.finditer(calculation.get("formula", ""))
        used |= {str(one["field"]) for one in found} | {references.unbracketed(calculation.get("column"))}
    for element in [*own.iterfind("column"), *own.iterfind("column-instance")]:
        field = references.unbracketed(element.get("column") or element.get("name"))
        is_known = field in source.fields and not source.fields[field].is_hidden
        # A calculation is checked against the data source, whether it is used or not.
        if (
            element.find("calculation") is None
            and field not in used
            and not is_known
            and not references.OWN.match(field)
        ):
            own.remove(element)
