"""The answer as rows of a table or a CSV file, and as JSON."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from callmart.base import csv_file
from callmart.explain.comparing import Compared, Difference
from callmart.explain.contacts import Contact
from callmart.explain.explaining import Explained
from callmart.explain.question import Question

Record = dict[str, Any]
CONTACT = ("joined", "queue", "call", "outcome", "wait_s", "came_from", "overflowed_to")
SAID = ("queue", "outcome", "wait_s")  # what both sides say of a contact
DIFFERENCE = (
    "side",
    "why",
    "detail",
    "here_joined",
    *(f"here_{name}" for name in SAID),
    "there_line",
    "there_joined",
    *(f"there_{name}" for name in SAID),
)


def contacts(explained: Explained) -> list[Record]:
    """The contacts behind the number, and what each adds to it."""
    return [_contact(one, explained.question) for one in explained.counted]


def differences(explained: Explained, compared: Compared) -> list[Record]:
    """The differences from another system's list: a row per contact, with what each side says of it."""
    return [_difference(one, explained.question.zone) for one in compared.differences]


def as_csv(explained: Explained, compared: Compared | None) -> bytes:
    """The contacts, or the differences from another list, as a CSV file. If there are none, it names its columns."""
    if compared is None:
        names, records = _names(explained.question), contacts(explained)
    else:
        names, records = DIFFERENCE, differences(explained, compared)
    return csv_file.written([names, *(map(csv_file.cell, record.values()) for record in records)])


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


def _names(question: Question) -> tuple[str, ...]:
    return (*CONTACT, *question.measure.parts)


def _contact(contact: Contact, question: Question) -> Record:
    values = (
        _local(contact.joined_at, question.zone),
        contact.queue,
        contact.call,
        contact.outcome,
        contact.wait_s,
        contact.came_from,
        contact.overflowed_to,
        *contact.parts,
    )
    return dict(zip(_names(question), values, strict=True))


def _difference(difference: Difference, zone: ZoneInfo) -> Record:
    here, there = difference.here, difference.there
    values = (
        difference.side,
        difference.why,
        difference.detail,
        here and _local(here.joined_at, zone),
        *(getattr(here, name, None) for name in SAID),
        there and there.line,
        there and _local(there.moment, zone),
        *(getattr(there, name, None) for name in SAID),
    )
    return dict(zip(DIFFERENCE, values, strict=True))


def _local(moment: datetime, zone: ZoneInfo) -> str:
    """A moment by the customer's clock, with its offset."""
    return str(moment.astimezone(zone))
