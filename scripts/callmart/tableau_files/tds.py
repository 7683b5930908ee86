"""Writes data sources: a customer's .tdsx of a mart group, with its .hyper file or for a live connection.

The fields have the same names in both, so that workbooks work with either. The same input gives the same bytes.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from lxml import etree
from psycopg.conninfo import conninfo_to_dict

from callmart.base import sql_file, zip_file
from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.settings import LONGEST_KEPT_DAYS
from callmart.database import server
from callmart.declarations.captions import captions
from callmart.declarations.data_through import THROUGH
from callmart.declarations.mart import Mart
from callmart.declarations.metrics import metrics
from callmart.tableau_files import fields, hyper
from callmart.tableau_files.fields import Field, Part, Relationship, Source

SQL = sql_file.statements(__file__)

USER = "http://www.tableausoftware.com/xml/user"
VERSION = "18.1"
# The features of later formats that the file uses. Tableau refuses a file that uses others, whatever the schema says.
OBJECT_MODEL = ("ObjectModelEncapsulateLegacy", "ObjectModelTableType", "SchemaViewerObjectModel")
MANIFEST = ("ISO8601PeriodTypes", *OBJECT_MODEL)  # the first one is for period-type-v2
OBJECT_ID = "__tableau_internal_object_id__"  # precedes the name of a table whose rows are counted

Types = Mapping[str, Mapping[str, str]]  # of columns in a .hyper file, by table and column


@dataclass(frozen=True)
class Live:
    """A live connection to the database with the customer's own login. Publishing gives Tableau the password."""

    server: str
    port: str
    database: str
    user: str
    sslmode: str = "prefer"

    @classmethod
    def of(cls, uri: str) -> "Live":
        """Return the connection from the libpq URI of a customer's login.

        Raises UserError if Tableau couldn't reach that server.
        """
        own = conninfo_to_dict(uri)
        host = str(own.get("host") or own.get("hostaddr") or "")
        if "," in host:
            raise UserError(
                "live needs one server, as Tableau can't choose among several; name one host in CALLMART_DSN, or write "
                "connection: extract for this customer"
            )
        if server.on_this_machine(host):
            raise UserError("live needs a server that Tableau can reach; set CALLMART_DSN")
        return cls(
            host,
            str(own.get("port") or server.DEFAULT_PORT),
            str(own["dbname"]),
            str(own["user"]),
            str(own.get("sslmode") or "prefer"),
        )


def source(group: str, marts: list[Mart], locale: Locale) -> Source:
    """Return the data source of a group, with the metrics and captions that this project declares."""
    return Source(group, marts, metrics().values(), captions([*marts, THROUGH]), locale)


def package(source: Source, target: Path, held: Path | Live, types: Types | None = None) -> None:
    """Write the .tdsx, with mode 0600, around a .hyper file or for a live connection. `types` are those of the file, if
    they are known: otherwise they are read from it.

    Raises UserError if the .hyper file has other tables, columns or types than the marts declare.
    """
    if isinstance(held, Path):
        check_types(source, types or held_types(held), held.name)
    draft = target.with_suffix(".new.tdsx")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    try:
        # A .hyper file is already compressed.
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            if isinstance(held, Path):
                _add(archive, place(source), held)
            xml = as_xml(source, held) if isinstance(held, Live) else around_extract(source)
            archive.writestr(zip_file.entry(f"{source.group}.tds"), xml)
    except BaseException:
        draft.unlink()
        raise
    draft.replace(target)


def _add(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    with archive.open(zip_file.entry(name), "w", force_zip64=True) as into, file.open("rb") as own:
        shutil.copyfileobj(own, into, 1 << 20)


def place(source: Source) -> str:
    """Return the path of the .hyper file in the .tdsx."""
    return f"Data/Extracts/{source.group}.hyper"


# -- types -----------------------------------------------------------------------------------------------------


def held_types(file: Path) -> dict[str, dict[str, str]]:
    """Return each table's columns in a .hyper file, in order, with their types."""
    found: dict[str, dict[str, str]] = {}
    for mart, name, kind in hyper.rows(file, SQL["held_types"].format(schema=hyper.SCHEMA)):
        found.setdefault(mart, {})[name] = kind
    return found


def check_types(source: Source, held: Types, name: str) -> None:
    """Raise UserError if a file has other tables, columns or types than the marts declare."""
    wanted = fields.hyper_types(source.marts)
    for mart, columns in wanted.items():
        for column, kind in columns.items():
            has = held.get(mart, {}).get(column)
            if has != kind:
                raise UserError(
                    f"{name}: {mart}.{column} is {has or 'missing'} but its contract says {kind}; "
                    "build the mart again, then run `callmart extract`"
                )
    for mart, held_columns in held.items():
        if extra := set(held_columns) - set(wanted.get(mart, {})):
            raise UserError(
                f"{name}: {mart}.{min(extra)} is not in the contract; run `callmart extract` again"
            )


# -- XML -------------------------------------------------------------------------------------------------------


@cache
def around_extract(source: Source) -> bytes:
    """Return the .tds file around an extract. It is the same for all customers of the source."""
    return as_xml(source, Path())


def as_xml(source: Source, held: Path | Live) -> bytes:
    """Return the .tds file."""
    root = etree.Element("datasource", nsmap={"user": USER})
    name = internal_name("federated", source.group, "live" if isinstance(held, Live) else "extract")
    for key, value in {
        "formatted-name": name,
        "inline": "true",
        "source-platform": "linux",
        "version": VERSION,
    }.items():
        root.set(key, value)
    manifest = etree.SubElement(root, "document-format-change-manifest")
    for change in MANIFEST:
        etree.SubElement(manifest, change)
    _connect(root, source, held)
    etree.SubElement(root, "aliases", enabled="yes")
    for field in source.fields.values():
        root.append(column(field))
    root.extend(counts(source))
    add_order(root, source)
    etree.SubElement(
        root,
        "layout",
        {"dim-ordering": "alphabetic", "measure-ordering": "alphabetic", "show-structure": "true"},
    )
    etree.SubElement(root, "date-options", {"start-of-week": "monday"})
    for mart in source.marts:
        if mart.day is not None:
            _keep_two_years(root, source.name(mart.name, mart.day))
    root.append(graph(source, lambda mart: _table(source, mart, held)))
    return serialized(root)


def serialized(root: etree._Element) -> bytes:
    """Return a document as bytes, indented."""
    etree.indent(root)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8")) + b"\n"


def internal_name(prefix: str, *parts: str) -> str:
    """Return a name in Tableau's form that is always the same for the same parts."""
    return f"{prefix}.{uuid5(NAMESPACE_URL, '/'.join(('callmart', *parts))).hex[:28]}"


def column(field: Field) -> etree._Element:
    """Return a field as an XML element."""
    element = etree.Element("column")
    if field.role == "measure" and field.formula is None:
        element.set("aggregation", field.aggregation)
    if field.caption:
        element.set("caption", field.caption)
    element.set("datatype", field.datatype)
    if field.format:
        element.set("default-format", field.format)
    if field.is_hidden:
        element.set("hidden", "true")
    element.set("name", f"[{field.name}]")
    element.set("role", field.role)
    element.set("type", field.kind)
    if field.formula is not None:
        etree.SubElement(element, "calculation", {"class": "tableau", "formula": field.formula})
    if field.words:
        aliases = etree.SubElement(element, "aliases")
        for value, word in field.words:
            key = value if field.datatype == "boolean" else f'"{value}"'
            etree.SubElement(aliases, "alias", key=key, value=word)
    if field.description:
        text = etree.SubElement(etree.SubElement(element, "desc"), "formatted-text")
        etree.SubElement(text, "run").text = field.description
    return element


def counts(source: Source) -> Iterator[etree._Element]:
    """Yield, per table, the field that counts its rows."""
    for mart in source.marts:
        yield etree.Element(
            "column", caption=source.captions.mart(mart.name, source.locale), datatype="table",
            name=f"[{OBJECT_ID}].[{object_id(source, mart.name)}]", role="measure",
            type="quantitative",
        )  # fmt: skip


def add_order(root: etree._Element, source: Source) -> None:
    """Add the drill paths from years to quarter-hours, and the folders of fields."""
    in_path = _add_drill_paths(root, source)
    folders = etree.SubElement(root, "folders-common")
    for folder, title in fields.FOLDERS.items():
        paths = _dated(source) if folder == "time" else []
        items = [(_path(source, mart), "drillpath") for mart, _ in paths] + [
            (f"[{field.name}]", "field")
            for field in source.fields.values()
            if field.folder == folder and not field.is_hidden and field.name not in in_path
        ]
        if items:
            shown = etree.SubElement(folders, "folder", name=title.of(source.locale))
            for name, kind in items:
                etree.SubElement(shown, "folder-item", name=name, type=kind)


def _add_drill_paths(root: etree._Element, source: Source) -> set[str]:
    """Add a path per mart with days. Returns the fields that are in one."""
    drills = etree.SubElement(root, "drill-paths")
    in_path = set[str]()
    above: tuple[Part, ...] = ("year", "month", "week")
    for mart, day in _dated(source):
        steps = [*(source.part(mart.name, part) for part in above), source.name(mart.name, day)]
        if (quarter_hour := source.part(mart.name, "quarter_hour")) in source.fields:
            steps.append(quarter_hour)
        path = etree.SubElement(drills, "drill-path", name=_path(source, mart))
        for step in steps:
            etree.SubElement(path, "field").text = f"[{step}]"
        in_path.update(steps)
    return in_path


def _dated(source: Source) -> list[tuple[Mart, str]]:
    """The marts with days, each with the column of its day."""
    return [(mart, mart.day) for mart in source.marts if mart.day is not None]


def _path(source: Source, mart: Mart) -> str:
    of_mart = source.captions.mart(mart.name, source.locale)
    return f"{fields.HIERARCHY.of(source.locale)} ({of_mart})"


def object_id(source: Source, mart: str) -> str:
    """Return Tableau's id of a mart's table, by which it counts the table's rows."""
    return f"{mart}_{uuid5(NAMESPACE_URL, f'callmart/{source.group}/{mart}').hex.upper()}"


def _connect(root: etree._Element, source: Source, held: Path | Live) -> None:
    connection = etree.SubElement(root, "connection", {"class": "federated"})
    named = etree.SubElement(
        etree.SubElement(connection, "named-connections"),
        "named-connection",
        caption=held.server if isinstance(held, Live) else source.group,
        name=_connection_name(source, held),
    )
    if isinstance(held, Live):
        settings = {
            "authentication": "username-password",
            "class": "postgres",
            "dbname": held.database,
            "odbc-native-protocol": "",
            "one-time-sql": "",
            "port": held.port,
            "server": held.server,
            "sslmode": held.sslmode if held.sslmode in ("require", "verify-ca", "verify-full") else "",
            "username": held.user,
        }
    else:
        settings = {
            "authentication": "auth-none",
            "author-locale": "en_US",
            "class": "hyper",
            "dbname": place(source),
            "default-settings": "yes",
            "schema": hyper.SCHEMA,
            "sslmode": "",
            "tablename": source.root.name,
            "username": "",
        }
    etree.SubElement(named, "connection", settings)
    add_tables(connection, [_table(source, mart.name, held) for mart in source.marts])
    columns = [field for field in source.fields.values() if field.column is not None]
    names = etree.SubElement(connection, "cols")
    for field in sorted(columns, key=lambda field: field.name):
        etree.SubElement(names, "map", key=f"[{field.name}]", value=f"[{field.mart}].[{field.column}]")
    records = etree.SubElement(connection, "metadata-records")
    for ordinal, field in enumerate(columns, 1):
        records.append(_metadata(source, field, ordinal))


def add_tables(connection: etree._Element, tables: list[etree._Element]) -> None:
    """Add the relations of tables to a connection: as a collection if there are several."""
    if len(tables) > 1:
        etree.SubElement(connection, "relation", type="collection").extend(tables)
    else:
        connection.append(tables[0])


def _connection_name(source: Source, held: Path | Live) -> str:
    return internal_name("postgres" if isinstance(held, Live) else "hyper", source.group)


def _table(source: Source, mart: str, held: Path | Live) -> etree._Element:
    schema = "mart" if isinstance(held, Live) else hyper.SCHEMA
    return etree.Element(
        "relation",
        connection=_connection_name(source, held),
        name=mart,
        table=f"[{schema}].[{mart}]",
        type="table",
    )


def _metadata(source: Source, field: Field, ordinal: int) -> etree._Element:
    mart = next(mart for mart in source.marts if mart.name == field.mart)
    assert field.column is not None
    record = etree.Element("metadata-record", {"class": "column"})
    for name, text in (
        ("remote-name", field.column),
        ("remote-type", str(fields.type_of(mart, field.column).remote)),
        ("local-name", f"[{field.name}]"),
        ("parent-name", f"[{field.mart}]"),
        ("remote-alias", field.column),
        ("ordinal", str(ordinal)),
        ("local-type", field.datatype),
        ("aggregation", field.noted_aggregation),
        ("contains-null", "true"),
        ("object-id", f"[{object_id(source, field.mart)}]"),
    ):
        etree.SubElement(record, name).text = text
    return record


def _keep_two_years(root: etree._Element, name: str) -> None:
    # Rows without a day come from another table, so nulls are included.
    etree.SubElement(
        root,
        "filter",
        {
            "class": "relative-date",
            "column": f"[{name}]",
            "first-period": str(-LONGEST_KEPT_DAYS),
            "include-future": "true",
            "include-null": "true",
            "last-period": "0",
            "period-type-v2": "day",
        },
    )


def graph(source: Source, table: Callable[[str], etree._Element]) -> etree._Element:
    """Return the tables with their relationships. `table` makes the relation of a mart."""
    graph = etree.Element("object-graph")
    objects = etree.SubElement(graph, "objects")
    for mart in source.marts:
        caption = source.captions.mart(mart.name, source.locale)
        node = etree.SubElement(objects, "object", caption=caption, id=object_id(source, mart.name))
        etree.SubElement(node, "properties", context="").append(table(mart.name))
    if source.relationships:
        relationships = etree.SubElement(graph, "relationships")
        for one in source.relationships:
            relationships.append(_relationship(source, one))
    return graph


def _relationship(source: Source, one: Relationship) -> etree._Element:
    element = etree.Element("relationship")
    parent = element if len(one.pairs) == 1 else etree.SubElement(element, "expression", op="AND")
    for own, other in one.pairs:
        equal = etree.SubElement(parent, "expression", op="=")
        etree.SubElement(equal, "expression", op=f"[{own.name}]")
        etree.SubElement(equal, "expression", op=f"[{other.name}]")
    for tag, mart, is_unique in (
        ("first-end-point", source.root.name, one.is_root_unique),
        ("second-end-point", one.mart, one.is_mart_unique),
    ):
        end = etree.SubElement(element, tag, {"object-id": object_id(source, mart)})
        if is_unique:
            end.set("unique-key", "true")
    return element
