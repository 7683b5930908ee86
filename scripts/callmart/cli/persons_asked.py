"""Asks whom a request is about, who asks, and what is wrong.

The answers come from a prompt or from standard input, never from the command line: that would be in the shell's history
and in the list of processes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

from callmart.base.errors import UserError
from callmart.base.keys import epochs, fingerprint_of, keyed
from callmart.base.person import Blocked, Kind, Person
from callmart.base.settings import settings
from callmart.cli.terminal import end_with, secret
from callmart.database import clock
from callmart.privacy import register
from callmart.privacy.register import Request

if TYPE_CHECKING:
    from callmart.privacy.procedure import Case, Procedure

_PERSON: Mapping[Kind, str] = {
    "agent": "id of the agent in the telephone system",
    "caller": "telephone number of the caller",
    "contact": "mail address of the contact whom it is about",
    "recipient": "mail address of the recipient",
}


def contact() -> str:
    """Ask who makes a request, or takes one over."""
    return secret("mail address of the contact who asks", twice=True)


def new_person(kind: Kind) -> str:
    """Ask whom a new request is about."""
    return secret(_PERSON[kind], twice=True)


def person(
    owner: psycopg.Connection, officer: psycopg.Connection, found: Request, until: datetime | None
) -> tuple[bytes, Person, list[str]]:
    """Ask for the person of a request again. Returns the customer's key, the person, and what was entered."""
    from callmart.privacy import persons, subject

    with blocking(officer, found.number):
        key = subject.customer_key(owner, settings(), found.customer_id)
    if found.kind is None or until is None or key is None or found.customer_is != "here":
        raise found.out_of_turn
    kind = found.kind
    normal = [subject.normalised(owner, found.customer_id, key, kind, secret(_PERSON[kind]))]
    if not register.is_about(officer, found.number, subject.subject(key, kind, normal[0])):
        raise UserError(f"request {found.number} is about somebody else: enter the person in the letter")
    while kind == "agent" and (another := secret("another id of the same agent, or nothing", needed=False)):
        normal.append(subject.normalised(owner, found.customer_id, key, kind, another))
    person = persons.person(owner, key, found.customer_id, kind, normal, until)
    owner.commit()
    return key, person, normal


def taking_over(owner: psycopg.Connection, found: Request) -> tuple[str, str | None, str]:
    """Ask for the contact who takes a request over, and if the customer left and came back, for whom it is about: what
    is kept of it can't be read any more. Returns both as the register knows them, and the fingerprint of the key.
    """
    from callmart.privacy import kept, subject

    key = subject.customer_key(owner, settings(), found.customer_id)
    if key is None or found.kind is None:
        raise found.out_of_turn
    asked_by = subject.asker(owner, found.customer_id, key, contact())
    if found.customer_is != "back":
        return asked_by, None, fingerprint_of(key)
    word = subject.normalised(owner, found.customer_id, key, found.kind, new_person(found.kind))
    kept.forget(settings().home, found.number)
    return asked_by, subject.subject(key, found.kind, word), fingerprint_of(key)


def procedure(owner: psycopg.Connection, found: Request, key: bytes) -> "Procedure":
    """What carries a request out. Of the rectification of an agent, asks whose the events are."""
    from callmart.privacy import by_right, correcting, persons, subject

    if found.asked_right == "rectification" and found.kind == "agent":
        word = secret("id of the agent whose the events are, or nothing if a name is wrong", needed=False)
        if word:
            id = subject.normalised(owner, found.customer_id, key, "agent", word)
            *former, whose = (keyed(epoch, "agent", id) for epoch in epochs(key))
            first = clock.parse_day("the first day", secret("the first day, as 2026-11-24"))
            since = persons.end_of(owner, found.customer_id, first - timedelta(days=1))
            owner.commit()
            return correcting.Correction(whose, since, frozenset(former))
    return by_right.procedure_of(found)


def wrong_name(case: "Case") -> None:
    """Ask for a wrong name or address that the registry has no more, if nothing is kept of it for the proof."""
    from callmart.privacy import renaming

    if not renaming.is_remembered(case):
        ask = "the wrong name or address, if registry.yml has the right one already, or nothing"
        if word := secret(ask, needed=False):
            renaming.remember_words(case, [word])


@contextmanager
def blocking(officer: psycopg.Connection, number: int) -> Iterator[None]:
    """Record what blocks the request, and end with exit code 1."""
    try:
        yield
    except Blocked as blocked:
        register.block(officer, number, blocked.place, blocked.code)
        end_with([f"request {number} is blocked by {blocked.place}: {blocked}"])
