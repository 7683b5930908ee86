"""A month of a real bank's call centre: every cell as the source's own columns have it."""

import json
from pathlib import Path
from typing import Any

import pytest

from callmart.settings import PROJECT
from conftest import Callmart
from events import registry

BANK_MONTH = PROJECT.parent / "shared" / "data" / "bank_month"
# In the words of expected.json, where they are not those of the mart.
NAMES = {"other": "left_otherwise", "answered_in_20s": "answered_in_threshold"}
CELLS = {
    "queue_day": ("offered", "answered", "abandoned", "other", "answered_in_20s", "wait_answered_s",
                  "wait_abandoned_s", "talk_s"),
    "agent_day": ("contacts", "talk_s"),
}  # fmt: skip
QUERIES = {
    "queue_day": "select call_date::text, queue, {} from mart.queue_interval group by 1, 2",
    "agent_day": "select call_date::text, agent, {} from mart.agent_day join mart.agent using (customer_id, agent_key)"
    " group by 1, 2",
}

pytestmark = pytest.mark.skipif(not BANK_MONTH.exists(), reason=f"there is no {BANK_MONTH}")


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((BANK_MONTH / "expected.json").read_text())
    return expected


@pytest.fixture(scope="module")
def landed(callmart: Callmart, expected: dict[str, Any]) -> Callmart:
    callmart.apply(registry("id: 7001, time_zone: UTC, contracts: [{option: detailed, from: 2025-01-01}]"))
    assert callmart.land(Path(BANK_MONTH / "events.csv.gz")).landed == expected["events"]
    assert callmart.build_and_open().problems == []
    return callmart


@pytest.mark.parametrize("table", CELLS)
def test_every_cell(landed: Callmart, expected: dict[str, Any], table: str) -> None:
    _, by = key = list(expected[table][0])[:2]
    sums = ", ".join(f"sum({NAMES.get(name, name)})::integer as {name}" for name in CELLS[table])
    found = landed.rows(QUERIES[table].format(sums), customer_id=7001)
    assert {(row["call_date"], row[by]): row for row in found} == {
        (row["call_date"], row[by]): dict.fromkeys((*key, *CELLS[table]), 0) | row for row in expected[table]
    }


def test_all_that_is_expected_is_compared(expected: dict[str, Any]) -> None:
    for table, names in CELLS.items():
        assert {name for row in expected[table] for name in row} - {"call_date", "queue", "agent"} == set(
            names
        )
