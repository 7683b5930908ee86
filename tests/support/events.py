"""What the tests of stored events share: rows of the raw format in few words, on days that never grow too old."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from today import TODAY

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
# A Tuesday: the clocks change at weekends.
DAY = TODAY - timedelta(days=TODAY.weekday() + 20)

# For `registry`.
DETAILED = "contracts: [{option: detailed, from: 2020-01-01}]"
STANDARD = "contracts: [{option: standard, from: 2020-01-01}]"

Row = dict[str, Any]
Line = tuple[datetime, str]  # of a queue_log: its time, and what follows


def days(count: int) -> list[date]:
    """DAY and those after it."""
    return [DAY + timedelta(days=i) for i in range(count)]


def at(clock: str, day: int = 0) -> datetime:
    """A time on the wall in Amsterdam, so many days after DAY."""
    return datetime.combine(DAY + timedelta(days=day), time.fromisoformat(clock), AMSTERDAM)


def event(name: str, moment: datetime, **values: Any) -> Row:
    """A row of the raw format."""
    return {"event": name, "occurred_at": moment.isoformat(), **values}


def ndjson(*rows: Row) -> str:
    """The rows as a file."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def together(rows: Mapping[int, Iterable[Row]]) -> str:
    """The rows of several customers as one file: a file takes longer to land than its rows."""
    return ndjson(*(row | {"customer_id": customer} for customer, own in rows.items() for row in own))


def log(*lines: Line) -> str:
    """A queue_log: times, and what follows them."""
    return "".join(f"{int(moment.timestamp())}|{rest}\n" for moment, rest in lines)


def registry(*customers: str) -> str:
    """A registry of `id: …, contracts: …` in YAML's short form, each with a name."""
    return "customers:\n" + "".join(f"  - {{name: a customer, {customer}}}\n" for customer in customers)
