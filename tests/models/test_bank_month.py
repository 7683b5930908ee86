"""A month of a real bank's call centre: every cell as the source's own columns have it."""

import json
from pathlib import Path
from typing import Any

import pytest

from callmart.base.settings import PROJECT
from callmart_home import Callmart
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
    "queue_day": "select call_date::text, queue, {} from store.queue_interval group by 1, 2",
    "agent_day": "select call_date::text, agent, {} from store.agent_day"
    " join store.agent using (customer_id, agent_key)"
    " group by 1, 2",
}
# Where the same must stand a second time.
TWICE = {
    "queue_day": "select call_date::text, queue, sum(wait_answered_le_20)::integer as answered_in_20s"
    " from store.queue_interval group by 1, 2",
    "queue_day of its own": "select call_date::text, queue, offered, answered, abandoned from store.queue_day",
    "agent_day by quarter-hour": QUERIES["agent_day"].replace("agent_day", "agent_interval"),
    "agent_day by call": QUERIES["agent_day"].replace("agent_day", "agent_contact"),
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
    found = landed.rows(QUERIES[table].format(sums))
    assert {(row["call_date"], row[by]): row for row in found} == {
        (row["call_date"], row[by]): dict.fromkeys((*key, *CELLS[table]), 0) | row for row in expected[table]
    }


@pytest.mark.parametrize("place", TWICE)
def test_it_stands_twice(landed: Callmart, expected: dict[str, Any], place: str) -> None:
    table = place.split(maxsplit=1)[0]
    keys = list(expected[table][0])[:2]
    found = landed.rows(
        TWICE[place].format("sum(contacts)::integer as contacts, sum(talk_s)::integer as talk_s")
    )
    names = [name for name in found[0] if name not in keys]
    assert {tuple(row[key] for key in keys): [row[name] or 0 for name in names] for row in found} == {
        tuple(row[key] for key in keys): [row.get(name, 0) for name in names] for row in expected[table]
    }


def test_all_that_is_expected_is_compared(expected: dict[str, Any]) -> None:
    for table, names in CELLS.items():
        assert {name for row in expected[table] for name in row} - {"call_date", "queue", "agent"} == set(
            names
        )
