"""What the tests of landing share: a registry of three customers, and short ways to prepare a file."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from callmart.base.raw_format import EVENTS
from callmart.land.gate import Defaults, Gate
from callmart.land.prepare import Prepared, prepare
from callmart.land.source import Limits

DETAILED, ANONYMOUS, STANDARD, NONE = 7001, 7002, 7003, 7004
KEYS = {customer_id: bytes([customer_id % 251]) * 32 for customer_id in (DETAILED, ANONYMOUS, STANDARD)}

LATEST = datetime(3000, 1, 1, tzinfo=UTC)  # no time in a test is later, but where it is about this
LIMITS = Limits(rows=1_000_000, gib=1, rejects=50_000)

EVENT_ORDER = {event.name: position for position, event in enumerate(EVENTS)}

CONTRACTS = [
    (DETAILED, "detailed", date(2026, 1, 1), None),
    (ANONYMOUS, "detailed", date(2026, 1, 1), None),
    (STANDARD, "standard", date(2026, 10, 1), date(2026, 11, 1)),  # the clock goes back within it
    (STANDARD, "detailed", date(2026, 12, 1), None),
]


def gate() -> Gate:
    """One customer of each kind, in Amsterdam; 7004 is known and has never had a contract."""
    ids = [DETAILED, ANONYMOUS, STANDARD, NONE]
    customer, option, valid_from, valid_until = zip(*CONTRACTS, strict=True)
    return Gate(
        contracts=pa.table(
            {
                "customer_id": pa.array(customer, pa.int32()),
                "option": option,
                "valid_from": pa.array(valid_from, pa.date32()),
                "valid_until": pa.array(valid_until, pa.date32()),
            }
        ),
        customers=pa.table(
            {
                "customer_id": pa.array(ids, pa.int32()),
                "time_zone": ["Europe/Amsterdam"] * 4,
                "anonymous_agents": [False, True, False, False],
            }
        ),
        statuses=pa.table(
            {
                "customer_id": pa.array([DETAILED, DETAILED], pa.int32()),
                "word": ["Lunch", "Overleg"],
                "status": ["break", "training"],
            }
        ),
        keys=pa.table(
            {
                "customer_id": pa.array(list(KEYS), pa.int32()),
                "key": pa.array(list(KEYS.values()), pa.binary()),
            }
        ),
        latest=LATEST,
    )


def opened(
    path: Path,
    format: str = "auto",
    *,
    customer: int | None = None,
    platform: str = "vcloud",
    platform_given: bool = False,
    time_zone: str | None = None,
) -> Prepared:
    """`prepare` with the registry and limits above."""
    return prepare(path, format, Defaults(customer, platform, platform_given, time_zone), gate(), LIMITS)


def taken(prepared: Prepared) -> list[dict[str, Any]]:
    """All events, as dictionaries; those of a log in the order of its lines (batches promise none)."""
    found = [event for batch in prepared.batches() for event in batch.to_pylist()]
    return sorted(found, key=lambda event: (event["line_number"] or 0, EVENT_ORDER[event["event"]]))


def rejects(prepared: Prepared) -> dict[int, str]:
    """The rejected lines and why."""
    return {row["line_number"]: row["reason"] for row in prepared.rejects.to_pylist()}
