"""What the tests of landing share: a registry of three customers, and short ways to prepare a file."""

import csv
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import md5
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from callmart.base.keys import keyed_number, prefix_of
from callmart.base.raw_format import COLUMNS, EVENTS
from callmart.land import found, landing, loader
from callmart.land.found import Delivery
from callmart.land.gate import Defaults, Gate
from callmart.land.loader import Loader
from callmart.land.prepare import Prepared, prepare
from callmart.land.readers import open_source
from callmart.land.source import Limits, Tally
from callmart.registry.file import status_word
from home_settings import settings_of

AT = "2026-10-05T12:00:31+02:00"
Row = dict[str, Any]
Write = Callable[[str | bytes], Path]

DETAILED, ANONYMOUS, STANDARD, NONE = 7001, 7002, 7003, 7004
KEYS = {customer_id: bytes([customer_id % 251]) * 32 for customer_id in (DETAILED, ANONYMOUS, STANDARD)}

LATEST = datetime(3000, 1, 1, tzinfo=UTC)  # no time in a test is later, but where it is about this
LIMITS = Limits(rows=1_000_000, gib=1, rejects=50_000, reject_share=1)


def call_key(call_id: str, customer: int = DETAILED, platform: str = "vcloud") -> int:
    """The key of a call, as Python computes it."""
    digest = md5(f"{platform}:{call_id}".encode()).digest()
    return keyed_number(prefix_of(KEYS[customer], "call"), int.from_bytes(digest[8:], "little") - 2**63)


EVENT_ORDER = {event.name: position for position, event in enumerate(EVENTS)}

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
CONTRACTS = [
    (DETAILED, "detailed", datetime(2026, 1, 1, tzinfo=AMSTERDAM), None),
    (ANONYMOUS, "detailed", datetime(2026, 1, 1, tzinfo=AMSTERDAM), None),
    # The clock goes back within the next one.
    (STANDARD, "standard", datetime(2026, 10, 1, tzinfo=AMSTERDAM), datetime(2026, 11, 1, tzinfo=AMSTERDAM)),
    (STANDARD, "detailed", datetime(2026, 12, 1, tzinfo=AMSTERDAM), None),
]


def gate() -> Gate:
    """One customer of each kind, in Amsterdam; 7004 is known and has never had a contract."""
    ids = [DETAILED, ANONYMOUS, STANDARD, NONE]
    customer, option, opens, closes = zip(*CONTRACTS, strict=True)
    return Gate(
        contracts=pa.table(
            {
                "customer_id": pa.array(customer, pa.int32()),
                "option": option,
                "opens": pa.array(opens, pa.timestamp("us", "UTC")),
                "closes": pa.array(closes, pa.timestamp("us", "UTC")),
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
                "customer_id": pa.array([DETAILED, DETAILED, DETAILED], pa.int32()),
                "word": ["Lunch", "Overleg", status_word(" Auẞer Haus")],
                "status": ["break", "training", "away"],
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


class Opened:
    """A file that is prepared alone."""

    def __init__(self, path: Path, format: str, defaults: Defaults, gate: Gate) -> None:
        source = open_source(found.find(found.Delivery(path, format, defaults)), 1, LIMITS)
        self.tally: Tally = source.tally
        self.prepared: Prepared = prepare([source], gate)

    def batches(self) -> Iterator[pa.RecordBatch]:
        return self.prepared.batches()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prepared if hasattr(self.prepared, name) else self.tally, name)


def opened(
    path: Path,
    format: str = "auto",
    *,
    customer: int | None = None,
    platform: str = "vcloud",
    platform_given: bool = False,
    time_zone: str | None = None,
) -> Opened:
    """`prepare` with the registry and limits above."""
    return Opened(path, format, Defaults(customer, platform, platform_given, time_zone), gate())


def taken(prepared: Opened) -> list[dict[str, Any]]:
    """All events, as dictionaries; those of a log in the order of its lines (batches promise none)."""
    found = [event for batch in prepared.batches() for event in batch.drop_columns("file_number").to_pylist()]
    return sorted(found, key=lambda event: (event["line_number"] or 0, EVENT_ORDER[event["event"]]))


def rejects(prepared: Opened) -> dict[int, str]:
    """The rejected lines and why."""
    return {row["line_number"]: row["reason"] for row in prepared.rejects.to_pylist()}


def row(event: str, **values: Any) -> Row:
    """A row of the detailed customer with all that its event needs."""
    needed: Row = {
        "customer_id": DETAILED,
        "platform": "vcloud",
        "event": event,
        "occurred_at": AT,
        "call_id": "c1",
    }
    match event:
        case "call_started":
            needed |= {"direction": "inbound"}
        case "queue_joined":
            needed |= {"queue": "sales"}
        case "queue_left":
            needed |= {"queue": "sales", "reason": "abandoned"}
        case "agent_connected":
            needed |= {"agent": "SIP/101"}
        case "agent_status":
            needed |= {"agent": "SIP/101", "reason": "away"}
        case "transferred":
            needed |= {"reason": "blind", "target_kind": "other"}
    return needed | values


def as_csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def events_of(path: Path, rows: list[Row], **defaults: Any) -> list[Row]:
    """What is taken of rows that are all well formed."""
    path.write_text(as_csv(rows))
    prepared = opened(path, **defaults)
    found = taken(prepared)
    assert rejects(prepared) == {}
    return found


def holds_of(events: list[dict[str, Any]]) -> set[tuple[int, float, float]]:
    """The call, the beginning and the end of each hold."""
    found = sorted(
        (event["call_key"], event["occurred_at"].timestamp(), event["event"])
        for event in events
        if event["event"].startswith("hold")
    )
    assert [name for *_, name in found] == ["hold_started", "hold_ended"] * (len(found) // 2)
    return {(id, begin, end) for (id, begin, _), (_, end, _) in zip(found[::2], found[1::2], strict=True)}


def land_and_die(home: Path, paths: Sequence[Path]) -> None:
    """Land small files, some to a transaction, and be killed before the third is committed."""
    commits, commit = count(1), Loader.commit

    def dying(loader: Loader) -> None:
        if next(commits) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        commit(loader)

    Loader.commit = dying  # type: ignore[assignment, method-assign]
    landing.MOST_BYTES = 1000
    _land(home, paths)


def land_interrupted(home: Path, paths: Sequence[Path], by: signal.Signals, block: int = found.BLOCK) -> None:
    """Land files. The first one is interrupted while the driver takes its events. Exits with the signal's number if
    that ends the landing. Files of more than `block` bytes share no transaction.
    """
    found.BLOCK = block
    signal.signal(by, signal.default_int_handler)
    stream = loader._stream_events

    def interrupted(cursor: Any, batches: Iterator[pa.RecordBatch]) -> None:
        def interrupting() -> Iterator[pa.RecordBatch]:
            for number, batch in enumerate(batches):
                if not number:
                    os.kill(os.getpid(), by)
                yield batch

        loader._stream_events = stream
        stream(cursor, interrupting())

    loader._stream_events = interrupted
    try:
        _land(home, paths)
    except KeyboardInterrupt:
        sys.exit(by)


def _land(home: Path, paths: Sequence[Path]) -> None:
    defaults = Defaults(None, "vcloud", False, None)
    list(landing.land_all(settings_of(home), [Delivery(path, "auto", defaults) for path in paths]))
