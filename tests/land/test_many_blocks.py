"""A large file gives block by block what it gives at once, although three threads are at work on it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from callmart.base.keys import LAYER, keyed
from callmart.database.tombstones import secret_of, tombstone
from callmart.land import found, prepare, readers
from callmart.land.gate import Correction, Defaults, Gate
from landing import DETAILED, KEYS, NONE, Opened, Row, as_csv, gate, rejects, row, taken

pytestmark = pytest.mark.thorough

AGENTS = [f"SIP/{number}" for number in range(101, 111)]
ERASED, MISTAKEN = AGENTS[:2]
BEGINS, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def rows() -> Iterator[Row]:
    """Of each agent some calls. Between them are rows that are rejected or turned away."""
    for number in range(150):
        agent, call_id = AGENTS[number % len(AGENTS)], f"c{number}"
        yield row("agent_connected", call_id=call_id, agent=agent)
        yield row("agent_status", call_id=None, agent=agent, reason="Lunch")
        yield row("nothing", call_id=call_id)
        yield row("agent_connected", call_id=call_id, customer_id=NONE)


def rotated() -> Gate:
    """A key was rotated after one agent was erased and another's events were corrected."""
    key = KEYS[DETAILED] + b"2" * LAYER
    secret, first = secret_of(key), KEYS[DETAILED]
    erased = (DETAILED, "agent", tombstone(secret, "agent", keyed(first, "agent", ERASED)))
    mistaken = tombstone(secret, "mistaken", keyed(first, "agent", MISTAKEN))
    return replace(
        gate(),
        keys=pa.table({"customer_id": pa.array([DETAILED], pa.int32()), "key": [key]}),
        contracts=gate().contracts.slice(0, 1),
        erased_until={DETAILED: UNTIL},
        tombstones=lambda: {erased: UNTIL},
        corrections=[Correction(DETAILED, mistaken, keyed(key, "agent", AGENTS[2]), BEGINS, UNTIL)],
    )


def outcome(path: Path) -> list[Any]:
    """All that is known of a file when it has been prepared."""
    prepared = Opened(path, "auto", Defaults(None, "vcloud", False, None), rotated())
    events = sorted(map(repr, taken(prepared)))
    tally, agents = prepared.tally, sorted(map(repr, prepared.agents.to_pylist()))
    counts = (tally.rows, tally.rejected, tally.turned_away_by, tally.erased)
    return [events, agents, prepared.told.to_pylist(), rejects(prepared), counts]


def test_a_file_gives_in_many_blocks_what_it_gives_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events"
    path.write_text(as_csv(list(rows())))
    at_once = outcome(path)
    assert at_once[-1] == (600, 150, {NONE: 150}, 15)
    events, blocks = prepare.Prepared._events, list[int]()

    def counting(prepared: prepare.Prepared, table: pa.Table, judged: pa.Table) -> pa.Table:
        blocks.append(table.num_rows)
        return events(prepared, table, judged)

    monkeypatch.setattr(prepare.Prepared, "_events", counting)
    monkeypatch.setattr(found, "BLOCK", 1500)
    monkeypatch.setattr(readers, "ENOUGH_ROWS", 1)
    assert outcome(path) == at_once
    assert len(blocks) > 20
