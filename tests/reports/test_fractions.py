"""Columns with fractions, which no mart of ours has."""

import psycopg
import pytest

from callmart.declarations.captions import Captions, File
from callmart.declarations.mart import Column, Mart
from callmart.reports import measures

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
