"""Data sources: of the contract's types throughout, in the customer's language, never older than two years."""

import re
import stat
import zipfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.pointing import COUNTS_AND_MOMENTS
from callmart.base.settings import LONGEST_KEPT_DAYS
from callmart.declarations import captions, metrics
from callmart.declarations.data_through import THROUGH
from callmart.declarations.mart import Column, Mart
from callmart.tableau_files import fields, tds
from callmart.tableau_files.tds import Live
from tableau_files import LOCALES, errors, hyper, marts, of_group, source, unlisted

GROUPS = ("queue", "agent", "line", "contact")
EACH = [(group, locale) for group in GROUPS for locale in LOCALES]
LIVE = Live("db.example.nl", "5432", "callmart", "callmart_customer_2", "verify-full")


def parsed(group: str, locale: Locale = "nl", held: Path | Live = LIVE) -> etree._Element:
    return etree.fromstring(tds.as_xml(source(group, locale), held))


# -- the file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_a_package_holds_the_data_source_and_the_file(tmp_path: Path, group: str) -> None:
    held, target = hyper(tmp_path, group), tmp_path / f"{group}.tdsx"
    tds.package(source(group), target, held)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == [f"Data/Extracts/{group}.hyper", f"{group}.tds"]
        assert archive.read(f"Data/Extracts/{group}.hyper") == held.read_bytes()
        document = etree.fromstring(archive.read(f"{group}.tds"))
    (connection,) = document.iterfind("connection/named-connections/named-connection/connection")
    assert (connection.get("class"), connection.get("dbname")) == ("hyper", f"Data/Extracts/{group}.hyper")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{group}.hyper", f"{group}.tdsx"]


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    held = hyper(tmp_path, "line")
    for name in ("one.tdsx", "two.tdsx"):
        tds.package(source("line"), tmp_path / name, held)
    assert (tmp_path / "one.tdsx").read_bytes() == (tmp_path / "two.tdsx").read_bytes()


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [
        ("answered", pa.int64(), "line_interval.answered is bigint but its contract says integer"),
        ("line", None, "line_interval.line is missing but its contract says text"),
        ("number", pa.string(), "line_interval.number is not in the contract"),
    ],
)
def test_a_file_of_other_types_is_refused(
    tmp_path: Path, column: str, kind: pa.DataType | None, said: str
) -> None:
    target = tmp_path / "line.tdsx"
    with pytest.raises(UserError, match=re.escape(said)):
        tds.package(source("line"), target, hyper(tmp_path, "line", **{column: kind}))
    assert not target.exists()


@pytest.mark.parametrize(("group", "locale"), EACH)
def test_types_agree_from_contract_to_data_source(group: str, locale: Locale) -> None:
    document = parsed(group, locale)
    columns = {column.get("name"): column.get("datatype") for column in document.iterfind("column")}
    records = {
        (record.findtext("parent-name"), record.findtext("remote-name")): (
            record.findtext("local-name"),
            record.findtext("local-type"),
        )
        for record in document.iter("metadata-record")
    }
    for mart in of_group(group):
        for column in mart.columns:
            local, kind = records.pop((f"[{mart.name}]", column))
            assert columns[local] == kind == fields.TYPES[mart.types[column]].tableau
    assert not records


@pytest.mark.parametrize(("group", "locale"), EACH)
@pytest.mark.parametrize("held", [Path("queue.hyper"), LIVE], ids=["extract", "live"])
def test_tableaus_schema_accepts_it(group: str, locale: Locale, held: Path | Live) -> None:
    document = parsed(group, locale, held)
    assert unlisted(document) == set()
    document.set("name", document.attrib.pop("formatted-name"))  # as in a workbook
    document.remove(document.find("document-format-change-manifest"))
    workbook = etree.Element("workbook", {"version": "18.1", "source-build": "x"})
    etree.SubElement(workbook, "datasources").append(document)
    found = [
        message for message in errors(workbook) if "Expected is" not in message or "workbook" not in message
    ]
    assert found == []


# -- what people see -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "locale"), EACH)
def test_what_is_shown_has_one_caption_each_a_description_and_a_folder(group: str, locale: Locale) -> None:
    of = source(group, locale)
    shown = [field for field in of.fields.values() if not field.is_hidden]
    assert len({field.caption for field in shown}) == len(shown)
    assert all(field.description for field in shown)
    document = parsed(group, locale)
    in_folders = [
        item.get("name") for item in document.iterfind("folders-common/folder/folder-item[@type='field']")
    ]
    in_paths = [field.text for field in document.iterfind("drill-paths/drill-path/field")]
    assert sorted([*in_folders, *in_paths]) == sorted(f"[{field.name}]" for field in shown)


def test_every_shown_column_has_words_in_both_languages() -> None:
    known = captions.captions([*marts(), THROUGH])
    for group in GROUPS:
        for field in source(group).fields.values():
            if field.column is not None and not field.is_hidden:
                assert known.columns[field.column].description_nl, field.name


def test_a_caption_is_given_once() -> None:
    first, *others = marts()
    again = first.model_copy(update={"name": "another"})
    with pytest.raises(
        UserError,
        match=r"another\.agent.* already has a caption for columns of this name; remove one of the two",
    ):
        captions.captions([first, *others, again])


@pytest.mark.parametrize("group", GROUPS)
def test_customer_keys_and_utc_are_hidden(group: str) -> None:
    of = source(group)
    for field in of.fields.values():
        is_key = field.column == "customer_id" or str(field.column).endswith("_key")
        if (is_key and field.column != "left_by_key") or field.column == "interval_start":
            assert field.is_hidden, field.name
    assert not of.fields[of.name(of.root.name, {"agent": "agent_key"}.get(group, "call_date"))].is_hidden or (
        group == "agent"
    )


def test_agents_are_in_their_own_data_source_only() -> None:
    assert any("agent" in field.name for field in source("agent").fields.values())
    for group in ("queue", "line"):
        # How many there were.
        names = [name.removeprefix("Calculation_agents_") for name in source(group).fields]
        assert not any("agent" in name for name in names)


def test_ratios_are_those_of_the_one_definition() -> None:
    of = source("queue")
    for metric in metrics.metrics().values():
        if metric.mart == "queue_interval":
            assert of.fields[f"Calculation_{metric.name}"].formula == metrics.as_tableau(metric)
    formula = source("agent").fields["Calculation_agent_ring_answer_rate"].formula
    assert formula is not None
    assert "[rings_unanswered (agent_day)]" in formula


@pytest.mark.parametrize("group", GROUPS)
def test_formulas_use_fields_that_are_there(group: str) -> None:
    of = source(group)
    for field in of.fields.values():
        for used in re.findall(r"\[([^\]]+)\]", field.formula or ""):
            assert used in of.fields, field.name


@pytest.mark.parametrize("group", GROUPS)
def test_all_marts_belong_together(group: str) -> None:
    document = parsed(group)
    objects = [one.get("id") for one in document.iterfind("object-graph/objects/object")]
    assert len(objects) == len(of_group(group)) == len(set(objects))
    ends = [
        (one.find("first-end-point").get("object-id"), one.find("second-end-point").get("object-id"))
        for one in document.iterfind("object-graph/relationships/relationship")
    ]
    assert sorted(second for _, second in ends) == sorted(objects[1:])
    assert {first for first, _ in ends} <= {objects[0]}


# -- two years -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_each_mart_with_days_is_filtered(group: str) -> None:
    found = {one.get("column"): one for one in parsed(group).iterfind("filter")}
    of = source(group)
    assert set(found) == {f"[{of.name(mart.name, mart.day)}]" for mart in of.marts if mart.day}
    for one in found.values():
        assert one.get("class") == "relative-date"
        assert (one.get("period-type-v2"), one.get("first-period"), one.get("last-period")) == (
            "day",
            str(-LONGEST_KEPT_DAYS),
            "0",
        )


@given(st.dates(date(2020, 1, 1), date(2100, 1, 1)))
def test_the_filter_never_shows_more_than_two_years(today: date) -> None:
    try:
        floor = today.replace(year=today.year - 2)
    except ValueError:
        floor = date(today.year - 2, 2, 28)
    shown_from = today - timedelta(days=LONGEST_KEPT_DAYS)
    assert timedelta(0) <= shown_from - floor <= timedelta(days=1)


# -- live ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "locale"), EACH)
def test_a_live_connection_has_the_same_fields(group: str, locale: Locale) -> None:
    def of(document: etree._Element) -> list[bytes]:
        return [
            etree.tostring(one) for one in (*document.iterfind("column"), *document.iter("metadata-record"))
        ]

    live = parsed(group, locale)
    assert of(live) == of(parsed(group, locale, Path("x.hyper")))
    (connection,) = live.iterfind("connection/named-connections/named-connection/connection")
    assert connection.get("class") == "postgres"
    assert connection.get("username") == "callmart_customer_2"
    assert connection.get("password") is None
    assert all(
        one.get("table", "").startswith("[mart].") for one in live.iter("relation") if one.get("table")
    )


def test_a_live_package_holds_no_rows(tmp_path: Path) -> None:
    tds.package(source("queue"), tmp_path / "queue.tdsx", LIVE)
    with zipfile.ZipFile(tmp_path / "queue.tdsx") as archive:
        assert archive.namelist() == ["queue.tds"]


def test_live_is_of_the_customers_own_login() -> None:
    live = Live.of("postgresql://callmart_customer_2:secret@db.example.nl:6432/callmart?sslmode=verify-full")
    assert live == replace(LIVE, port="6432")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://c@localhost/callmart",
        "postgresql://c@127.0.0.1:5432/callmart",
        "postgresql://c@/callmart?host=/tmp/socket",
        "dbname=callmart user=c",
    ],
)
def test_live_on_a_server_that_tableau_cannot_reach_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match="set CALLMART_DSN"):
        Live.of(uri)


def test_live_is_on_one_server() -> None:
    with pytest.raises(UserError, match="name one host in CALLMART_DSN"):
        Live.of("postgresql://c@one.example.nl:5432,other.example.nl:5433/callmart")
    assert Live.of("dbname=callmart user=c hostaddr=192.0.2.7").server == "192.0.2.7"


# -- a mart of one's own ---------------------------------------------------------------------------------------


def mart_of(key: tuple[str, ...], day: str | None, types: dict[str, str]) -> Mart:
    declared = [
        Column(
            name=name,
            data_type=data_type,
            person=None if data_type in COUNTS_AND_MOMENTS else "nobody",
        )
        for name, data_type in types.items()
    ]
    return Mart(name="queue_calm", group="queue", key=key, day=day, declared=tuple(declared))


def test_a_new_mart_gets_a_place_and_renames_nothing() -> None:
    mine = mart_of(
        ("customer_id", "call_date", "queue"), "call_date",
        {"customer_id": "integer", "call_date": "date", "queue": "text", "calm_s": "integer"},
    )  # fmt: skip
    before, after = source("queue"), tds.source("queue", [*marts(), mine], "nl")
    assert set(before.fields) < set(after.fields)
    assert after.fields["calm_s (queue_calm)"].caption == "Calm s (s)"
    assert after.fields["Hours_calm_s (queue_calm)"].formula == "[calm_s (queue_calm)] / 3600"
    assert "queue_calm" in {one.mart for one in after.relationships}


@pytest.mark.parametrize(
    ("kind", "columns", "said"),
    [
        ("numeric", ("call_date", "calm"), "Tableau has no type for numeric"),
        ("integer", ("other", "calm"), "it has no column of queue_interval's key"),
    ],
)
def test_a_mart_that_has_no_place_is_refused(kind: str, columns: tuple[str, str], said: str) -> None:
    key, value = columns
    mine = mart_of(("customer_id", key), None, {"customer_id": "integer", key: "date", value: kind})
    with pytest.raises(UserError, match=said):
        tds.as_xml(tds.source("queue", [*marts(), mine], "nl"), LIVE)
