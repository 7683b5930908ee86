"""What Tableau finds wrong in a document: a workbook or a data source.

Tableau opens no document that uses a feature which its manifest doesn't list, so such a document is not published. The
check of a workbook before it is published finds more: fields, calculations and tables that the published data source
doesn't have. A published workbook would show those in red.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from lxml import etree

from tableau_emulator import connections, revisions, xml
from tableau_emulator.call import Call
from tableau_emulator.errors import ApiError, malformed

# Features by what uses them. Tableau's schema of documents doesn't say so; others who opened documents have found out.
_FEATURES = {
    "//manual-sort | //computed-sort": "SortTagCleanup",
    "//shelf-sorts": "IntuitiveSorting",
    "//zone/@type-v2": "SetMembershipControl",
    "//filter/@period-type-v2": "ISO8601PeriodTypes",
    "//devicelayout/@auto-generated": "AutoCreateAndUpdateDSDPhoneLayouts",
    "//@enable-sort-zone-taborder": "AccessibleZoneTabOrder",
    "//edit-parameter-action": "ParameterAction",
    "//clear-option": "ParameterActionClearSelection",
    "//edit-group-action": "GroupAction",
    "//object-graph": "ObjectModelEncapsulateLegacy",
    "//column/@datatype[. = 'table']": "ObjectModelTableType",
    "//worksheet/simple-id": "SheetIdentifierTracking",
    "//window/simple-id": "WindowsPersistSimpleIdentifiers",
}
_OWN = ("[:Measure Names]", "[Multiple Values]", "[Number of Records]")  # fields that every data source has


class Finding(NamedTuple):
    """An error in a workbook. `line` is None if the document can't be read at all."""

    message: str
    element: str = ""
    line: int | None = None

    def shown(self) -> dict[str, Any]:
        """The finding as the API writes it in JSON."""
        place = {} if self.line is None else {"line": self.line}
        return {"severity": "ERROR", "message": self.message, **place, "elementName": self.element}


def unlisted(root: xml.Element) -> dict[str, xml.Element]:
    """The features that a document uses and its manifest doesn't list, each with an element that uses it."""
    # The manifest can name a feature with a flag: _.fcp.<feature>.true...<feature>
    listed = {
        str(each.tag).rpartition("...")[2] for each in root.iterfind("document-format-change-manifest/*")
    }
    return {
        feature: used[0] if etree.iselement(used[0]) else used[0].getparent()
        for path, feature in _FEATURES.items()
        if feature not in listed and (used := root.xpath(path))
    }


def refuse(root: xml.Element | None) -> None:
    """Raises ApiError if Tableau would not open the document. A bare extract has none."""
    if root is not None and (features := unlisted(root)):
        raise malformed(f"The document uses {min(features)}, which its manifest does not list.", "011")


def findings(call: Call, content: bytes) -> list[Finding]:
    """What is wrong in a workbook: a .twb on the data sources that the user may see."""
    try:
        root = etree.fromstring(
            content, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        )
    except etree.XMLSyntaxError:
        return [Finding("The document is not well-formed XML")]
    if root.tag != "workbook":
        return [_finding(root, "The document is not a workbook")]
    return [
        *(
            _finding(node, f"The manifest does not list {feature}")
            for feature, node in unlisted(root).items()
        ),
        *(
            found
            for own in root.iterfind("datasources/datasource")
            if (connection := own.find("connection")) is not None and connection.get("class") == "sqlproxy"
            for found in _of_source(call, root, own, connection)
        ),
    ]


def _of_source(call: Call, root: xml.Element, own: xml.Element, connection: xml.Element) -> Iterator[Finding]:
    try:
        row = connections.published(call, connection.get("dbname", ""))
    except ApiError as error:
        yield _finding(connection, error.detail)
        return
    if root.find("document-format-change-manifest/ObjectModelEncapsulateLegacy") is not None:
        yield from _tables(own)
    document = connections.document(revisions.current(call.state, row["id"]), row["type"])
    if document is None:  # a bare extract, which is never opened
        return
    columns = document.findall("column")
    known = {column.get("name") for column in columns}
    known |= {record.findtext("local-name") for record in document.iterfind("connection//metadata-record")}
    known -= {column.get("name") for column in columns if column.get("hidden") == "true"}
    calculated = {column.get("name") for column in columns if column.find("calculation") is not None}
    yield from _fields(root, own, known, calculated)


def _fields(
    root: xml.Element, own: xml.Element, known: set[str | None], calculated: set[str | None]
) -> Iterator[Finding]:
    """What is wrong with the fields: `known` and `calculated` are those of the published data source."""
    local = {each.get("name") for each in own.iterfind("column") if _is_local(each)}
    local |= {each.get("name") for each in own.iterfind("group")} | set(_OWN)
    name = own.get("name")
    for part in (own, *root.iterfind(f".//datasource-dependencies[@datasource='{name}']")):
        for column in part.iterfind("column"):
            field = column.get("name")
            if field not in known | local:
                yield _finding(column, f"The published data source has no field {field}")
            elif column.find("calculation") is not None and not _is_local(column) and field not in calculated:
                yield _finding(column, f"The published data source has no calculation {field}")
        for instance in part.iterfind("column-instance"):
            if instance.get("column") not in known | local:
                yield _finding(instance, f"The published data source has no field {instance.get('column')}")


def _is_local(column: xml.Element) -> bool:
    """Whether a field is a calculation of the workbook."""
    return column.find("calculation") is not None and column.get("layered") != "true"


def _tables(own: xml.Element) -> Iterator[Finding]:
    """What is wrong with the tables of a data source in a document of the object model."""
    objects = {f"[{each.get('id')}]" for each in own.iterfind("object-graph/objects/object")}
    if not objects:
        yield _finding(own, "The data source has no object-graph")
    for relation in own.iterfind(".//relation[@type='table']"):
        if relation.get("connection") != own.get("name"):
            yield _finding(relation, "The relation is of another connection")
    for luid in own.iterfind(".//metadata-record/object-id"):
        if luid.text not in objects:
            yield _finding(luid, f"The object {luid.text} is not in the object-graph")
    for end in own.xpath(".//first-end-point | .//second-end-point"):
        if f"[{end.get('object-id')}]" not in objects:
            yield _finding(end, f"The object [{end.get('object-id')}] is not in the object-graph")


def _finding(node: xml.Element, message: str) -> Finding:
    return Finding(message, str(node.tag), node.sourceline)
