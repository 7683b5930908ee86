"""A workbook refers to its published data source as Tableau 2026.2 itself writes it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lxml import etree

from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.declarations import exposures
from callmart.tableau_files import workbook
from tableau_files import CUSTOMER, PUBLISHED, built, each_report, errors, source, unknown_to_reader, unlisted

# Saved by Tableau 2026.2.5 on a published data source of three tables. It is not ours, so it is not in the project, but
# lies beside it where it was developed.
PLACE = Path("shared") / "data" / "tableau" / "superstore-datasource.twb"
GENUINE = next((file for folder in PROJECT.parents if (file := folder / PLACE).exists()), PLACE)
genuine = pytest.mark.skipif(not GENUINE.exists(), reason="the workbook that Tableau saved is not here")

RELATION = {"name": "sqlproxy", "table": "[sqlproxy]", "type": "table"}
LAYERED = {"aggregation", "default-type", "layered", "pivot", "user-datatype", "visual-totals"}
RECORD = (
    "remote-name", "remote-type", "local-name", "parent-name", "remote-alias", "ordinal", "hidden", "layered",
    "caption", "family", "local-type", "aggregation", "precision", "contains-null", "collation", "attributes",
    "object-id",
)  # fmt: skip
FIELD_TYPES = {"quantitative": "0", "ordinal": "1", "nominal": "2"}
REMOTE = {"integer": "20", "real": "5", "string": "130", "date": "7", "datetime": "7", "boolean": "11"}


def records(own: etree._Element) -> dict[str, etree._Element]:
    """The records of fields, by the field's name in brackets."""
    return {
        one.findtext("local-name"): one
        for one in own.iter("metadata-record")
        if one.find("local-name") is not None
    }


def attributes(record: etree._Element) -> dict[str, str]:
    return {one.get("name"): one.text for one in record.iterfind("attributes/attribute")}


def deviations(document: etree._Element) -> Iterator[str]:
    """In what a workbook's reference to a published data source differs from how Tableau writes one."""
    (own,) = (one for one in document.iterfind("datasources/datasource") if one.get("name") != "Parameters")
    yield from _tables(own)
    yield from _records(own)
    yield from _calculations(own)
    columns = {one.get("name"): one for one in own.iterfind("column")}
    for part in document.iter("datasource-dependencies"):
        for column in part.iterfind("column") if part.get("datasource") == own.get("name") else ():
            if dict(column.attrib) != dict(columns[column.get("name")].attrib):
                yield f"a sheet has {column.get('name')} in another way"


def _tables(own: etree._Element) -> Iterator[str]:
    relation = RELATION | {"connection": own.get("name")}
    objects = {one.get("id"): one for one in own.iterfind("object-graph/objects/object")}
    listed = own.findall("connection/relation[@type='collection']/relation") or own.findall(
        "connection/relation"
    )
    if len(listed) != len(objects) or not objects:
        yield f"{len(listed)} relations for {len(objects)} tables"
    for one in (
        *listed,
        *(each for table in objects.values() for each in table.iterfind("properties/relation")),
    ):
        if dict(one.attrib) != relation:
            yield f"the relation {dict(one.attrib)}"
    counted = {
        f"[__tableau_internal_object_id__].[{luid}]": one.get("caption") for luid, one in objects.items()
    }
    for name, caption in counted.items():
        column = own.find(f"column[@name='{name}']")
        if column is None or (column.get("caption"), column.get("datatype")) != (caption, "table"):
            yield f"the rows of {caption} can't be counted"
    for one in own.iterfind("object-graph/relationships/relationship"):
        if not {end.get("object-id") for end in one if end.get("object-id")} <= objects.keys():
            yield "a relationship of tables that are not there"
        if not {each.get("op") for each in one.iter("expression")} - {"=", "AND"} <= records(own).keys():
            yield "a relationship of fields that are not there"


def _records(own: etree._Element) -> Iterator[str]:
    known = records(own)
    columns = {one.get("name"): one for one in own.iterfind("column")}
    objects = {f"[{one.get('id')}]" for one in own.iterfind("object-graph/objects/object")}
    if list(known) != sorted(known) or len({one.findtext("ordinal") for one in known.values()}) < len(known):
        yield "the records are not in the order of their names, or two have one number"
    for name, record in known.items():
        places = [RECORD.index(one.tag) for one in record]
        if places != sorted(set(places)) or record.findtext("layered") != "true":
            yield f"the record of {name}"
        column, of = columns.get(name), attributes(record)
        if (column is None) != (record.findtext("hidden") == "true"):
            yield f"{name} is hidden in one place and shown in another"
        is_calculated = "formula" in of
        remote = "-1" if is_calculated else REMOTE[record.findtext("local-type")]
        if record.findtext("remote-type") != remote or (record.find("family") is None) != is_calculated:
            yield f"{name} comes from elsewhere"
        is_aggregate = record.findtext("aggregation") == "User"
        if (
            (record.findtext("object-id") not in objects)
            if not is_aggregate
            else record.find("object-id") is not None
        ):
            yield f"the table of {name}"
        if (record.get("class") == "measure") == ("role" in of):
            yield f"the role of {name}"
        if column is not None:
            yield from _column(column, record)


def _column(column: etree._Element, record: etree._Element) -> Iterator[str]:
    is_whole = set(column.attrib) >= LAYERED and column.get("layered") == "true"
    if not is_whole or column.get("default-type") != column.get("type"):
        yield f"{column.get('name')} is not layered"
    of = attributes(record)
    told = (
        record.findtext("local-type"),
        record.findtext("aggregation"),
        of["field-type"],
        "dimension" if "role" in of else "measure",
    )
    shown = (
        column.get("user-datatype"),
        column.get("aggregation"),
        FIELD_TYPES[column.get("type")],
        column.get("role"),
    )
    if told != shown or column.get("datatype") != column.get("user-datatype"):
        yield f"{column.get('name')} is another thing than its record"


def _calculations(own: etree._Element) -> Iterator[str]:
    published = {
        one.get("column"): one.get("formula") for one in own.iterfind("connection/calculations/calculation")
    }
    calculated = {name for name, record in records(own).items() if "formula" in attributes(record)}
    if calculated != published.keys():
        yield "calculations without a record, or the other way round"
    for name, formula in published.items():
        text = attributes(records(own)[name])["formula"]
        if re.sub(r"\\(.)", r"\1", text) != f'"{formula}"':
            yield f"the formula of {name} is another one in its record"
        if own.find(f"column[@name='{name}']/calculation") is None:
            yield f"{name} is published as a calculation and is none here"
    for column in own.iterfind("column[calculation]"):
        if column.get("layered") == "true":
            continue
        if (
            column.get("name") in records(own)
            or column.find("calculation").get("formula") in published.values()
        ):
            yield f"{column.get('name')} is a copy"


@genuine
def test_tableau_itself_writes_so() -> None:
    assert list(deviations(etree.parse(GENUINE).getroot())) == []


@each_report
def test_we_write_as_tableau_does(name: str, locale: Locale) -> None:
    document = etree.fromstring(built(name, locale))
    assert list(deviations(document)) == []
    of = source(exposures.reports()[name].group, locale)
    own = document.find("datasources/datasource[@caption]")
    assert records(own).keys() == {f"[{field}]" for field in of.fields}
    published = {
        one.get("column"): one.get("formula") for one in own.iterfind("connection/calculations/calculation")
    }
    assert published == {f"[{field.name}]": field.formula for field in of.fields.values() if field.formula}
    assert len(own.findall("object-graph/objects/object")) == len(of.marts)
    # what no older server knows is not used
    assert not re.search(rb"_\.fcp\.|data-source-tree|ExtendedPublished", built(name, locale))


def _of(xpath: str, change: Callable[[etree._Element], object]) -> Callable[[etree._Element], object]:
    return lambda document: change(document.xpath(f"/workbook/datasources/datasource[2]{xpath}")[0])


def _gone(element: etree._Element) -> None:
    element.getparent().remove(element)


def _local(element: etree._Element) -> None:
    for attribute in LAYERED:
        element.attrib.pop(attribute, None)


def _copied(calculation: etree._Element) -> None:
    own = calculation.xpath("ancestor::datasource")[0]
    column = etree.SubElement(own, "column", name="[Mine]")
    etree.SubElement(column, "calculation", formula=calculation.get("formula"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_of("//relation[1]/relation[1]", _gone), "2 relations for 3 tables"),
        (_of("/connection//relation/relation", lambda one: one.attrib.pop("connection")), "the relation"),
        (_of("/object-graph", _gone), "for 0 tables"),
        (_of("//first-end-point", lambda one: one.set("object-id", "x")), "tables that are not there"),
        (_of("//relationship//expression[@op='[queue]']", lambda one: one.set("op", "[x]")), "fields that are not"),
        (_of("//metadata-record[hidden][local-name='[queue (queue_day)]']", _gone), "a relationship of fields"),
        (_of("//metadata-record[local-name='[queue]']/object-id", _gone), "the table of [queue]"),
        (_of("//metadata-record[local-name='[queue]']/attributes/*[@name='role']", _gone), "the role of [queue]"),
        (_of("/column[@name='[queue]']", _local), "[queue] is not layered"),
        (_of("/column[@name='[Calculation_service_level]']", _local), "is a copy"),
        (_of("//calculations/calculation", _copied), "[Mine] is a copy"),
        (_of("/column[@name='[Calculation_service_level]']/calculation", _gone), "is none here"),
        (_of("//calculations/calculation", lambda one: one.set("formula", "1")), "the formula of"),
    ],
)  # fmt: skip
def test_whoever_writes_otherwise_is_found(change: Callable[[etree._Element], object], said: str) -> None:
    document = etree.fromstring(built("accessibility", "nl"))
    change(document)
    assert any(said in one for one in deviations(document)), list(deviations(document))


@genuine
def test_a_reader_says_of_tableaus_own_what_it_says_of_ours() -> None:
    assert unknown_to_reader(GENUINE) == {"Region (People)", "Order ID (Returns)"}


# -- templates -------------------------------------------------------------------------------------------------------


@genuine
def test_what_tableau_saved_on_a_published_data_source_is_a_template(tmp_path: Path) -> None:
    """As if its author had had ours: two fields have other names."""
    text = GENUINE.read_text(encoding="utf-8")
    for old, new in (("Region", "queue"), ("Profit", "offered"), ("Sheet 1", "{{title}}")):
        text = re.sub(rf"(?<=[\[:>']){old}(?=[\]:<'])", new, text)
    text = re.sub(r"datatype='real'([^>]*)name='\[offered\]'", r"datatype='integer'\1name='[offered]'", text)
    # The author would have none of Superstore's other fields and calculations.
    root = etree.fromstring(text.encode())
    own = root.findall("datasources/datasource")[1]
    for one in [*own.iterfind("column[calculation]"), *own.iterfind("group")]:
        own.remove(one)
    (file := tmp_path / "traffic.twb").write_bytes(etree.tostring(root))
    result = workbook.build(exposures.reports()["traffic"], CUSTOMER, source("queue", "nl"), PUBLISHED, file)
    document = etree.fromstring(result)
    assert errors(document) == []
    assert unlisted(document) == set()
    assert list(deviations(document)) == []
    for gone in (
        b"Superstore",
        b"mcp-test",
        b"10ax",
        b"Orders",
        b"_.fcp.",
        b"ExtendedPublished",
        b"data-source-tree",
    ):
        assert gone not in result


def test_a_copy_of_a_published_calculation_is_refused(tmp_path: Path) -> None:
    """It would stay as it is when the published one changes."""
    document = etree.fromstring(built("traffic", "nl"))
    own = document.find("datasources/datasource[@caption]")
    wanted = source("queue", "nl").fields["Calculation_service_level"]
    copied = etree.Element(
        "column",
        caption="Mijn niveau",
        datatype="real",
        name="[Calculation_9]",
        role="measure",
        type="quantitative",
    )
    formula = f" {wanted.formula}\n"
    etree.SubElement(copied, "calculation", {"class": "tableau", "formula": formula})
    own.insert(list(own).index(own.find("column")), copied)
    (file := tmp_path / "traffic.twb").write_bytes(etree.tostring(document))
    with pytest.raises(
        UserError, match=rf"traffic.twb: 'Mijn niveau' copies .*'{wanted.caption}'.*; use that field"
    ):
        workbook.build(exposures.reports()["traffic"], CUSTOMER, source("queue", "nl"), PUBLISHED, file)
    copied.find("calculation").set("formula", f"1 - ({wanted.formula})")
    file.write_bytes(etree.tostring(document))
    workbook.build(exposures.reports()["traffic"], CUSTOMER, source("queue", "nl"), PUBLISHED, file)
