"""Answers which contacts are behind a number. Each question goes into the audit log before it is answered."""

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg

from callmart.base.account import account
from callmart.base.settings import Settings
from callmart.database import audit_log
from callmart.explain import contacts
from callmart.explain.contacts import Contact, Totals
from callmart.explain.question import Question


@dataclass(frozen=True)
class Explained:
    """The contacts that the number counts, the customer's other contacts of these days and around, and the number."""

    question: Question
    counted: tuple[Contact, ...]
    others: tuple[Contact, ...]
    totals: Totals

    @property
    def sums(self) -> tuple[int, ...]:
        """What the contacts add up to: a sum per part of the measure."""
        return tuple(
            sum(contact.parts[number] for contact in self.counted)
            for number in range(len(self.question.measure.parts))
        )

    @property
    def adds_up(self) -> bool:
        """Whether that is what the mart says."""
        return self.sums == self.totals.sums


def explain(connection: psycopg.Connection, settings: Settings, question: Question) -> Explained:
    """Return the contacts behind a number. The connection is the owner's; its transaction is rolled back, so nothing
    that was computed stays. Commits the entry of the audit log.

    Raises UserError if the number is not of contacts.
    """
    contacts.compute(connection, settings, question)
    found, totals = contacts.read(connection, question), contacts.totals(connection, question)
    connection.rollback()
    explained = Explained(question, *_split(found), totals)
    _log(connection, explained)
    return explained


def _split(found: Iterable[Contact]) -> tuple[tuple[Contact, ...], tuple[Contact, ...]]:
    """The contacts that are counted, and the others."""
    counted: list[Contact] = []
    others: list[Contact] = []
    for contact in found:
        (counted if contact.is_counted else others).append(contact)
    return tuple(counted), tuple(others)


def _log(connection: psycopg.Connection, explained: Explained) -> None:
    question = explained.question
    details = {
        "metric": question.measure.name,
        "variant": question.measure.variant,
        "from": str(question.first),
        "to": str(question.last),
        "queues": len(question.queues),
        "contacts": len(explained.counted),
        "by": account(),
    }
    audit_log.note(connection, "explained", details, question.customer_id)
    connection.commit()
