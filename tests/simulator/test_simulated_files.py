"""Simulated customers as files, with dirt: landed in any order they give the truth that was written beside them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from callmart.simulator import files
from callmart.simulator.files import FIRST_CUSTOMER, OPTIONS
from callmart_home import Callmart
from today import YESTERDAY

pytestmark = pytest.mark.thorough

# Beside the day, what names a row of each mart.
NAMED_BY = {
    "queue_interval": ("queue", "interval_start"),
    "agent_day": ("agent",),
    "line_interval": ("line", "interval_start"),
}
Cells = dict[tuple[Any, ...], Any]


def cells_of(named_by: tuple[str, ...], rows: list[dict[str, Any]], columns: list[str]) -> Cells:
    """Every number by its row and column. What the source can't know is NULL in a mart; in the truth it is 0."""
    key = ("call_date", *named_by)
    return {
        (*(row[name] for name in key), column): row[column] or 0
        for row in rows
        for column in columns
        if column not in key
    }


def test_dirt_changes_nothing_of_what_the_marts_say(callmart: Callmart, tmp_path: Path) -> None:
    days = [YESTERDAY - timedelta(days=1), YESTERDAY]
    files.write(tmp_path, 3, days, contacts_per_day=150, seed=1, dirt=True)
    callmart.apply((tmp_path / "registry.yml").read_text())
    landed = [callmart.land(file) for file in sorted((tmp_path / "events").glob("*.parquet"))]
    assert {one.file for one in landed if one.repeated} == {"1001.parquet", "1002.parquet"}, (
        "the late ones came first"
    )
    assert all(bool(one.rejected) == ("late" not in one.file) for one in landed if one.landed)
    callmart.build_unchecked()

    for customer_id, option in enumerate(OPTIONS, FIRST_CUSTOMER):
        for mart, named_by in NAMED_BY.items():
            truth = pq.read_table(tmp_path / "truth" / f"{customer_id}.{mart}.parquet")
            assert truth.num_rows
            assert mart != "line_interval" or max(truth["peak_calls"].to_pylist()) > 1
            agents = "left join store.agent using (customer_id, agent_key)" * ("agent" in named_by)
            found = callmart.rows(f"select * from store.{mart} {agents} where customer_id = %s", customer_id)
            if option == "none" or (option == "standard" and mart == "agent_day"):
                assert not found
                continue
            counted = cells_of(named_by, found, truth.column_names)
            told = cells_of(named_by, truth.to_pylist(), truth.column_names)
            assert [key for key in counted.keys() | told.keys() if counted.get(key) != told.get(key)] == []
