"""Columns with fractions, which no mart of ours has."""

import re

import psycopg
import pytest

from callmart.declarations.captions import Captions, File
from callmart.declarations.mart import Column, Mart
from callmart.reports import charts, measures
from callmart.reports.charts import Axis, Point
from callmart.reports.language import Language
from callmart.reports.sheets import bars
from callmart.reports.spreadsheet import FORMS
from callmart.tableau_files import fields, tds
from callmart.tableau_files.workbook import calculated
from tableau_files import of_group

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]


def test_a_report_sums_a_column_of_fractions_as_tableau_does(publisher: psycopg.Connection) -> None:
    """It isn't rounded to a whole number, and is the same in whatever order the rows are read."""
    declared = (
        Column(name="cost", data_type="double precision"),
        Column(name="cost_max", data_type="double precision", additive=False, largest=True),
        Column(name="wait_s", data_type="double precision", additive=False, largest=True),
        Column(name="talk_s", data_type="double precision"),
        Column(name="calls", data_type="integer"),
    )
    mart = Mart(name="bill", group="queue", key=("customer_id",), day="call_date", declared=declared)
    words = Captions([], File(order=[], values={}))
    chosen = ", ".join(measures.of(mart, one.name, {}, words, "en").sql for one in declared)
    rows = "(1e15::float8, 0.25::float8, 7.5::float8, 1800::float8, 1), (0.1, 0.75, 2, 900.5, 1), (-1e15, 0, 0, 0, 1)"
    for order in "", "desc":
        query = (
            f"select {chosen} from (select * from (values {rows}) as bill(cost, cost_max, wait_s, talk_s, calls)"
            f" order by cost {order}) as bill"
        )
        assert publisher.execute(query.encode()).fetchall() == [(0.1, 0.75, 7.5, 2700.5 / 3600, 3)]


COST = Column(name="cost", data_type="double precision", description="What it cost.")
BILL = Mart(name="bill", group="queue", key=("customer_id",), day="call_date", declared=(COST,))


def test_it_is_shown_with_two_decimals_wherever_it_is_shown() -> None:
    words = Captions([], File(order=[], values={}))
    unit = measures.of(BILL, "cost", {}, words, "nl").unit
    assert unit == measures.listed(BILL, "cost", words, "nl").unit
    assert Language("nl").value(unit, 1234.5) == "1.234,50"
    assert FORMS[unit] == bars.NUMBERS[unit] == "#,##0.00"


def test_on_tableau_it_has_two_decimals_too() -> None:
    first, *others = of_group("queue")
    changed = [
        column.model_copy(update={"data_type": "double precision"}) if column in first.measures else column
        for column in first.declared
    ]
    made = tds.source("queue", [first.model_copy(update={"declared": tuple(changed)}), *others], "en")
    forms = {
        field.format
        for field in made.fields.values()
        if field.mart == first.name and field.folder == "counts"
    }
    assert forms == {"n#,##0.00;-#,##0.00"}


def test_an_axis_of_small_numbers_says_them() -> None:
    points = [Point("Monday", 0.0, "cost", ""), Point("Tuesday", 0.4, "cost", "")]
    svg = charts.lines(points, ["cost"], Axis(charts.FORMS["number"]), ["Monday", "Tuesday"], "nl-NL")
    assert {">0,1<", ">0,2<", ">0,3<"} <= set(re.findall(">[^<]+<", svg))


@pytest.mark.parametrize("form", [fields.AGENTS, fields.NUMBER, fields.COUNT, fields.SHARE])
def test_beside_words_a_workbook_has_only_the_digits_of_a_format(form: str) -> None:
    """What is after `;` is for negative numbers, and would end the words."""
    assert calculated._digits(form) in ("#,##0.0", "#,##0.00", "#,##0", "0.0%")
