"""The answer as rows of a table or a CSV file, and as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from callmart.base import csv_file
from callmart.explain.comparing import Compared, Difference
from callmart.explain.contacts import Contact
from callmart.explain.explaining import Explained
from callmart.explain.question import Question

Record = dict[str, Any]
SAID = ("queue", "outcome", "wait_s")  # what both sides say of a contact


def contacts(explained: Explained) -> list[Record]:
    """The contacts behind the number, and what each adds to it."""
    return [_contact(one, explained.question) for one in explained.counted]


def differences(explained: Explained, compared: Compared) -> list[Record]:
    """The differences from another system's list: a row per contact, with what each side says of it."""
    return [_difference(one, explained.question.zone) for one in compared.differences]


def as_csv(records: Sequence[Record]) -> bytes:
    """Records with the same names as a CSV file."""
    head = records[0] if records else []
    return csv_file.written([head, *(map(csv_file.cell, record.values()) for record in records)])


def as_json(explained: Explained, compared: Compared | None) -> Record:
    """The whole answer."""
    question, measure = explained.question, explained.question.measure
    answer: Record = {
        "metric": measure.name,
        "variant": measure.variant,
        "customer": question.customer_id,
        "queues": list(question.queues),
        "from": str(question.first),
        "to": str(question.last),
        "time_zone": question.zone.key,
        "number": explained.totals.number,
        "sums": dict(zip(measure.parts, explained.totals.sums, strict=True)),
        "sums_of_contacts": dict(zip(measure.parts, explained.sums, strict=True)),
        "adds_up": explained.adds_up,
        "hidden_days": explained.totals.hidden_days,
        "contacts": contacts(explained),
    }
    if compared is not None:
        counts = {name: value for name, value in vars(compared).items() if name != "differences"}
        answer["against"] = {**counts, "differences": differences(explained, compared)}
    return answer


def _contact(contact: Contact, question: Question) -> Record:
    return {
        "joined": _local(contact.joined_at, question.zone),
        "queue": contact.queue,
        "call": contact.call,
        "outcome": contact.outcome,
        "wait_s": contact.wait_s,
        "came_from": contact.came_from,
        "overflowed_to": contact.overflowed_to,
        **dict(zip(question.measure.parts, contact.parts, strict=True)),
    }


def _difference(difference: Difference, zone: ZoneInfo) -> Record:
    here, there = difference.here, difference.there
    return {
        "side": difference.side,
        "why": difference.why,
        "detail": difference.detail,
        "here_joined": here and _local(here.joined_at, zone),
        **{f"here_{name}": getattr(here, name, None) for name in SAID},
        "there_line": there and there.line,
        "there_joined": there and _local(there.moment, zone),
        **{f"there_{name}": getattr(there, name, None) for name in SAID},
    }


def _local(moment: datetime, zone: ZoneInfo) -> str:
    """A moment by the customer's clock, with its offset."""
    return str(moment.astimezone(zone))
