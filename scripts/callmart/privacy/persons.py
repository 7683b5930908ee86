"""The person whom a request is about: all words and keys that lead to the person, from what the officer enters."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.person import Kind, Person
from callmart.database import clock, tombstones

SQL = sql_file.statements(__file__)


class Other(NamedTuple):
    """An agent who may be the same person under another id."""

    shown: str  # the id, or the label that reports make from the key
    reasons: str


def person(
    connection: psycopg.Connection,
    key: bytes,
    customer_id: int,
    kind: Kind,
    normal: Sequence[str],
    until: datetime,
) -> Person:
    """The person with these ids, this number or address, as `subject.normalised` writes them. An agent can have several
    ids. `connection` is the owner's.
    """
    pseudonyms, words = set[str](), set[str]()
    for word in normal:
        match kind:
            case "agent":
                pseudonyms.add(keyed(key, "agent", word))
                words.add(word)
            case "caller":
                pseudonyms.add(keyed(key, "number", word))
                words |= spellings(word)
            case _:
                pseudonyms.add(tombstones.of_address(key, word))
                words.add(word)
    if kind == "agent":
        parameters = {"customer": customer_id, "keys": sorted(pseudonyms)}
        found = connection.execute(SQL["of_agents"], parameters).fetchall()
        # Reports call an agent without a name by this.
        words |= {f"agent-{pseudonym[:10]}" for pseudonym in pseudonyms}
    elif kind == "caller":
        found = []
    else:
        parameters = {"customer": customer_id, "address": normal[0].strip().lower()}
        found = connection.execute(SQL["of_address"], parameters).fetchall()
    words |= {word for row in found for word in row if word}
    return Person(customer_id, kind, frozenset(words), frozenset(pseudonyms), until)


def words_of_others(connection: psycopg.Connection, person: Person) -> tuple[set[str], set[str]]:
    """The words of everybody else in the registry, and names of customers, queues and lines, in lower case: those of
    the person's customer, and all.
    """
    parameters = {
        "customer": person.customer_id,
        "kind": person.kind,
        "keys": sorted(person.keys),
        "addresses": sorted(word.strip().lower() for word in person.words),
    }
    found = connection.execute(SQL["words_of_others"], parameters).fetchall()
    return {word for word, is_own in found if is_own}, {word for word, _ in found}


def others(connection: psycopg.Connection, person: Person, ids: Sequence[str]) -> list[Other]:
    """Agents who may be the same person: the contact says which are."""
    if person.kind != "agent":
        return []
    parameters = {"customer": person.customer_id, "keys": sorted(person.keys), "ids": list(ids)}
    return [Other(*row) for row in connection.execute(SQL["others"], parameters)]


def spellings(number: str) -> set[str]:
    """A telephone number as people and telephone systems write it: +31612345678, 0031612345678, 0612345678."""
    if not number.startswith("+"):
        return {number}
    national = {f"0{number.removeprefix('+31')}"} if number.startswith("+31") else set()
    return {number, f"00{number[1:]}", number[1:]} | national


def end_of(connection: psycopg.Connection, customer_id: int, day: date | None) -> datetime:
    """The end of a local day of the customer, by default of the last one that is over. Raises UserError if the day is
    not over.
    """
    row = connection.execute(
        "select time_zone from registry.customer where customer_id = %s", [customer_id]
    ).fetchone()
    if row is None:
        raise UserError(f"customer {customer_id} is not in the registry")
    zone = ZoneInfo(row[0])
    now = clock.now(connection).astimezone(zone)
    day = day or now.date() - timedelta(days=1)
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    if end > now:
        raise UserError(f"{day} is not over for customer {customer_id}: erase up to a day that is")
    return end
