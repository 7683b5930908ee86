"""How a workbook refers to a published data source: as Tableau 2026.2 itself writes it.

The workbook has a copy of what the server says about the data source: one record and one column per field, and the
tables with their relationships. The copy is marked as layered. So Tableau takes the fields from the server whenever
somebody opens the workbook, and a calculation that is published with the data source is computed as it is there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from lxml import etree

from callmart.base.errors import UserError
from callmart.tableau_files import tds
from callmart.tableau_files.fields import Field, Source

# The numbers of types in the metadata of a published data source, and of its calculations.
REMOTE = {"integer": "20", "real": "5", "string": "130", "date": "7", "datetime": "7", "boolean": "11"}
CALCULATED = "-1"
FIELD_TYPES = {"quantitative": "0", "ordinal": "1", "nominal": "2"}
DIMENSION = "0"
TABLE = "[sqlproxy]"


@dataclass(frozen=True)
class PublishedSource:
    """Where a data source is published: the server's URL, and the content URLs of the site and of the data source."""

    server: str
    site: str
    content_url: str

    @property
    def name(self) -> str:
        """The name of the data source in workbooks."""
        return tds.internal_name("sqlproxy", self.content_url)


def attach(own: etree._Element, source: Source, published: PublishedSource) -> None:
    """Complete a workbook's data source: add where it is published, its records, its fields and its tables.

    Fields that it has already stay as they are. Raises UserError if the server is not a URL.
    """
    position = 1 if own.find("document-format-change-manifest") is not None else 0
    own[position:position] = [_location(published), _connection(source, published), _settings()]
    columns = {str(one.get("name")): one for one in own.findall("column")}
    for one in (*map(layered, _shown(source)), *_counts(source)):
        columns.setdefault(str(one.get("name")), one)
    first = own.find("aliases")
    place = own.index(first) + 1 if first is not None else position + 3
    own[place:place] = [columns[name] for name in sorted(columns)]
    own.append(tds.graph(source, lambda _: _relation(published)))


def layered(field: Field) -> etree._Element:
    """Return a field of the data source as a column of a workbook."""
    element = tds.column(field)
    attributes = {**element.attrib, **layer(field)}
    element.attrib.clear()
    element.attrib.update(sorted(attributes.items()))
    return element


def layer(field: Field) -> dict[str, str]:
    """Return the attributes by which Tableau tells a field of the data source from one of the workbook."""
    return _layer(field.noted_aggregation, field.kind, field.datatype)


def _layer(aggregation: str, kind: str, datatype: str) -> dict[str, str]:
    return {
        "aggregation": aggregation,
        "default-type": kind,
        "layered": "true",
        "pivot": "key",
        "user-datatype": datatype,
        "visual-totals": "Default",
    }


def _shown(source: Source) -> Iterator[Field]:
    return (field for field in source.fields.values() if not field.is_hidden)


def _counts(source: Source) -> Iterator[etree._Element]:
    """The fields that count the rows of a table."""
    for count in tds.counts(source):
        count.attrib.update(_layer("Count", "quantitative", "table"))
        yield count


def _location(published: PublishedSource) -> etree._Element:
    path = f"/t/{published.site}/datasources" if published.site else "/datasources"
    location = {
        "derived-from": f"{published.server.rstrip('/')}{path}/{published.content_url}?rev=1.0",
        "id": published.content_url,
        "path": path,
        "revision": "1.0",
    }
    if published.site:
        location["site"] = published.site
    return etree.Element("repository-location", location)


def _connection(source: Source, published: PublishedSource) -> etree._Element:
    server = urlsplit(published.server)
    if not server.hostname or server.scheme not in ("http", "https"):
        raise UserError(
            f"{published.server} is not the URL of a Tableau server; write it as https://tableau.example.nl"
        )
    connection = etree.Element(
        "connection",
        {
            "channel": server.scheme,
            "class": "sqlproxy",
            "dbname": published.content_url,
            "directory": "dataserver",
            "port": str(server.port or {"https": 443, "http": 80}[server.scheme]),
            "server": server.hostname,
            "server-ds-friendly-name": source.title,
            "username": "",
        },
    )
    tds.add_tables(connection, [_relation(published) for _ in source.marts])
    # As Tableau sorts them: with their brackets.
    fields = {f"[{field.name}]": (ordinal, field) for ordinal, field in enumerate(source.fields.values())}
    calculations = etree.SubElement(connection, "calculations")
    records = etree.SubElement(connection, "metadata-records")
    for name in sorted(fields):
        ordinal, field = fields[name]
        if field.formula is not None:
            etree.SubElement(calculations, "calculation", column=name, formula=field.formula)
        records.append(_record(source, field, ordinal))
    return connection


def _relation(published: PublishedSource) -> etree._Element:
    return etree.Element("relation", connection=published.name, name="sqlproxy", table=TABLE, type="table")


def _record(source: Source, field: Field, ordinal: int) -> etree._Element:
    """What the server says about a field, a hidden one too: relationships and formulas name those."""
    record = etree.Element("metadata-record", {"class": field.role if field.role == "measure" else "column"})
    for name, text in (
        ("remote-name", field.name),
        ("remote-type", REMOTE[field.datatype] if field.formula is None else CALCULATED),
        ("local-name", f"[{field.name}]"),
        ("parent-name", TABLE),
        ("remote-alias", field.name),
        ("ordinal", str(ordinal)),
        ("hidden", "true" if field.is_hidden else None),
        ("layered", "true"),
        ("caption", field.caption or None),
        ("family", field.mart if field.formula is None else None),
        ("local-type", field.datatype),
        ("aggregation", field.noted_aggregation),
        ("contains-null", "true"),
    ):
        if text is not None:
            etree.SubElement(record, name).text = text
    attributes = etree.SubElement(record, "attributes")
    _attribute(attributes, "integer", "field-type", FIELD_TYPES[field.kind])
    if field.formula is not None:
        _attribute(attributes, "string", "formula", _quoted(field.formula))
    if field.role == "dimension":
        _attribute(attributes, "integer", "role", DIMENSION)
    if field.aggregation != "User":  # an aggregate belongs to no table
        etree.SubElement(record, "object-id").text = f"[{tds.object_id(source, field.mart)}]"
    return record


def _attribute(of: etree._Element, datatype: str, name: str, text: str) -> None:
    etree.SubElement(of, "attribute", datatype=datatype, name=name).text = text


def _quoted(text: str) -> str:
    """A text as the value of an attribute of a record."""
    return '"' + re.sub(r'[\\"#%]', r"\\\g<0>", text) + '"'


def _settings() -> etree._Element:
    """What a workbook may set differently from the data source: here, the first day of the week."""
    settings = etree.Element("overridable-settings")
    etree.SubElement(settings, "date-options", {"start-of-week": "monday"})
    etree.SubElement(settings, "default-date-format")
    etree.SubElement(settings, "default-calendar-type").text = "Gregorian"
    return settings
