"""Template: a workbook saved by Tableau Desktop, put on a customer's published data source.

The connection and the texts are swapped, and fields get the names that the published data source has. What would bring
something of another customer along, or not work, is refused with the file and the field.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lxml import etree

from callmart import tds
from callmart.errors import UserError
from callmart.fields import Source
from callmart.reports import Report
from callmart.settings import PROJECT
from callmart.workbook import check
from callmart.workbook.book import LOCALES, Published, connect
from callmart.workbook.sheet import literal

PERIOD = {"nl": "de laatste volledige week", "en": "the last complete week"}
PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")
BRACKETS = re.compile(r"(\[Parameters\]\s*\.\s*)?\[((?:[^\[\]]|\]\])+)\]")
ROW_COUNT = "[__tableau_internal_object_id__]"


def fill(file: Path, report: Report, customer: str, source: Source, published: Published) -> bytes:
    """The template's workbook for the customer of that name; UserError where it is refused."""
    name = str(file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file)
    root = _parse(file, name)
    own = _data_source(root, name)
    _refuse_foreign(root, own, name)
    _rename(root, _new_names(own, source, published))
    _connect(root, own, source, published)
    _translate(root, own, source)
    _forget_members(root, source, name)
    _say(root, name, report, customer, source)
    root.set("locale", LOCALES[source.locale])
    _drop_unused(root, own, source)
    check.check(root, source, name)
    return check.serialized(root)


def _parse(file: Path, name: str) -> etree._Element:
    if file.suffix == ".twbx":
        raise UserError(f"{name}: a .twbx holds data of its own; save the workbook as .twb")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    try:
        document = etree.fromstring(file.read_bytes(), parser).getroottree()
    except OSError as error:
        raise UserError(f"{name} can't be read ({error.strerror}); name a .twb that Tableau saved") from None
    except etree.XMLSyntaxError:
        raise UserError(f"{name} is no XML; save the workbook again as .twb") from None
    root = document.getroot()
    if root.tag != "workbook" or document.docinfo.doctype:
        raise UserError(f"{name} is no workbook; save it as .twb with Tableau")
    return root


def _data_source(root: etree._Element, name: str) -> etree._Element:
    found = [one for one in root.iterfind("datasources/datasource") if one.get("name") != "Parameters"]
    if not found:
        raise UserError(f"{name}: it has no data source; connect it to the published one")
    if len(found) > 1:
        captions = ", ".join(sorted(f"'{one.get('caption') or one.get('name')}'" for one in found))
        raise UserError(
            f"{name}: it has the connections {captions}; a report stands on one data source, remove the others"
        )
    return found[0]


def _refuse_foreign(root: etree._Element, own: etree._Element, name: str) -> None:
    """Whatever would come along beside the published data source."""
    caption = own.get("caption") or own.get("name")
    for element in root.iter(etree.Element):
        kind = _kind(element)
        if kind == "relation" and _attribute(element, "type") in ("text", "stored-proc", "custom-sql-table"):
            raise UserError(f"{name}: '{caption}' holds custom SQL; use the marts' tables as they are")
        if element.get("one-time-sql", "").strip():
            raise UserError(f"{name}: '{caption}' holds initial SQL; take it out of the connection")
        if kind == "extract" and element.get("enabled") != "false":
            raise UserError(
                f"{name}: '{caption}' has an extract, data of its own; choose Live and save it again"
            )
        if kind == "connection" and not _is_within(element, own):
            raise UserError(
                f"{name}: it has a connection of its own outside '{caption}'"
                f" ({element.get('class') or 'unknown'}); remove it"
            )


def _kind(element: etree._Element) -> str:
    """The tag; Tableau puts `_.fcp.<feature>.<true or false>...` before what only some versions know."""
    return str(element.tag).rpartition("...")[2]


def _attribute(element: etree._Element, name: str) -> str | None:
    return next(
        (str(value) for key, value in element.attrib.items() if str(key).rpartition("...")[2] == name), None
    )


def _is_within(element: etree._Element, own: etree._Element) -> bool:
    return element is own or any(one is own for one in element.iterancestors())


# -- names -----------------------------------------------------------------------------------------------------


def _new_names(own: etree._Element, source: Source, published: Published) -> dict[str, str]:
    """What the template calls a field or the data source, and what it is called here."""
    names = {}
    for record in own.iter("metadata-record"):
        if record.get("class") == "column":
            table = check.unbracketed((record.findtext("parent-name") or "").rpartition(".")[2])
            column, local = record.findtext("remote-name") or "", record.findtext("local-name") or ""
            names[check.unbracketed(local)] = _own_name(source, table, column)
    for pair in own.iter("map"):
        table, _, column = (pair.get("value") or "").rpartition(".")
        if pair.get("key") and table:
            names[check.unbracketed(pair.get("key"))] = _own_name(
                source, check.unbracketed(table.rpartition(".")[2]), check.unbracketed(column)
            )
    for column in (check.unbracketed(one.get("name")) for one in own.iterfind("column")):
        if found := re.fullmatch(r"(.+) \((\w+)\)", column):
            names.setdefault(column, _own_name(source, found[2], found[1]))
        elif column in source.fields:
            names.setdefault(column, _shown(source, column))
    names = {old: new for old, new in names.items() if new is not None and old != new}
    return {old: str(new) for old, new in names.items()} | {
        str(own.get("name")): tds.identity("sqlproxy", published.content_url)
    }


def _own_name(source: Source, table: str, column: str) -> str | None:
    mart = next((mart for mart in source.marts if mart.name == table), None)
    if mart is not None and column in mart.columns:
        return _shown(source, source.name(mart.name, column))
    return None


def _shown(source: Source, name: str) -> str:
    """Of what the data source hides because another field shows it, that other field."""
    field = source.fields[name]
    if not field.is_hidden or field.column is None:
        return name
    if field.column == "agent":
        return "Person_agent"
    root = source.fields.get(field.column)
    return root.name if root is not None and not root.is_hidden else name


def _rename(root: etree._Element, names: dict[str, str]) -> None:
    def in_brackets(found: re.Match[str]) -> str:
        parameter, inner = found[1], found[2]
        if parameter:
            return found[0]
        if inner in names:
            return f"[{names[inner]}]"
        base = check.base_of(inner)
        if base != inner and base in names:
            return f"[{inner.replace(f':{base}:', f':{names[base]}:')}]"
        return found[0]

    def renamed(text: str) -> str:
        return names.get(text) or BRACKETS.sub(in_brackets, text)

    _change_texts(root, lambda _, text: renamed(text))


def _change_texts(root: etree._Element, change: Callable[[str, str], str]) -> None:
    """Each attribute and text as the function wants it, told the name of the attribute, or `run` or so."""
    for element in root.iter(etree.Element):
        for key, value in element.attrib.items():
            if (new := change(str(key), str(value))) != value:
                element.set(key, new)
        if element.text and element.text.strip():
            element.text = change(str(element.tag), element.text)


# -- what is swapped -------------------------------------------------------------------------------------------


def _connect(root: etree._Element, own: etree._Element, source: Source, published: Published) -> None:
    for element in list(root.iter(etree.Element)):
        # where it was published before, and pictures of what was on it then
        if _kind(element) in ("repository-location", "thumbnails", "thumbnail"):
            _remove(element)
    for element in list(own):
        gone = (
            "connection",
            "extract",
            "object-graph",
            "drill-paths",
            "folders-common",
            "semantic-values",
            "folder",
        )
        if _kind(element) in gone or str(element.get("name")).startswith(ROW_COUNT):
            own.remove(element)
    position = next((n for n, one in enumerate(own) if _kind(one) != "document-format-change-manifest"), 0)
    for number, element in enumerate(connect(source, published)):
        own.insert(position + number, element)
    for link in root.iter("datasource"):
        if link.get("name") == own.get("name"):
            link.set("caption", source.title)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _translate(root: etree._Element, own: etree._Element, source: Source) -> None:
    """The data source's own fields are called and computed as it says."""
    for column in root.iter("column"):
        field = source.fields.get(check.unbracketed(column.get("name")))
        if field is None or field.is_hidden or column.get("datatype") is None:
            continue
        column.set("caption", field.caption)
        for calculation in column.iterfind("calculation"):
            if field.formula is not None:
                calculation.set("formula", field.formula)
        for tag in ("aliases", "desc"):
            for old in column.findall(tag):
                column.remove(old)
        ours = tds.column(field)
        place = 1 if column.find("calculation") is not None else 0
        for new in [one for one in ours if one.tag in ("aliases", "desc")]:
            column.insert(place, new)
            place += 1


def _forget_members(root: etree._Element, source: Source, name: str) -> None:
    """A queue or an agent that the template names is one customer's: no other has it, or may read of it."""

    def is_their_own(written: str | None) -> bool:
        field = source.fields.get(check.base_of(check.unbracketed((written or "").rpartition("].[")[2])))
        return field is not None and field.is_their_own

    for member in root.iter("groupfilter"):
        chosen = [one.get(key) for one in (member,) for key in ("member", "from", "to") if one.get(key)]
        if chosen and is_their_own(member.get("level")):
            field = check.base_of(check.unbracketed((member.get("level") or "").rpartition("].[")[2]))
            raise UserError(
                f"{name}: a filter on [{field}] names single members, which are one customer's; choose all and save it"
            )
    for encoding in root.iter("encoding"):
        if is_their_own(encoding.get("field")):
            for one in encoding.findall("map"):
                encoding.remove(one)
    for sort in list(root.iter("manual-sort")):
        if is_their_own(sort.get("column")):
            _remove(sort)


def _say(root: etree._Element, name: str, report: Report, customer: str, source: Source) -> None:
    """Texts in double braces."""
    words = {key: str(getattr(getattr(report, key), source.locale)) for key in ("title", "subtitle", "empty")}
    words |= {"customer": customer, "period": PERIOD[source.locale]}

    def said(place: str, text: str) -> str:
        def word(found: re.Match[str]) -> str:
            if found[1] not in words:
                raise UserError(
                    f"{name}: there is no text {{{{{found[1]}}}}}; use one of {', '.join(sorted(words))}"
                )
            plain = literal(words[found[1]])
            return re.sub(r"([\\'\"])", r"\\\1", plain) if place == "formula" else plain

        return PLACEHOLDER.sub(word, text)

    _change_texts(root, said)


def _drop_unused(root: etree._Element, own: etree._Element, source: Source) -> None:
    """Fields that the template lists and uses nowhere need not be there."""
    used = set(_used(root, own))
    for element in [*own.iterfind("column"), *own.iterfind("column-instance")]:
        if element.find("calculation") is not None:
            continue  # a calculation is held against the data source, used or not
        field = check.unbracketed(element.get("column") or element.get("name"))
        is_known = field in source.fields and not source.fields[field].is_hidden
        if field not in used and not is_known and not check.OWN.match(field):
            own.remove(element)


def _used(root: etree._Element, own: etree._Element) -> Iterator[str]:
    yield from (check.base_of(field) for _, field in check.references(root))
    yield from _dependencies(root)
    for calculation in own.iterfind("column/calculation"):
        yield from check.used_by(calculation.get("formula", ""))


def _dependencies(root: etree._Element) -> Iterable[str]:
    for element in root.iter("datasource-dependencies"):
        for column in element.iterfind("column"):
            yield check.unbracketed(column.get("name"))
