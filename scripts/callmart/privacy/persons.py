"""The person whom a request is about: all words and keys that lead to the person, from what the officer enters."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError, unknown_customer
from callmart.base.keys import epochs, keyed
from callmart.base.needles import Needles
from callmart.base.person import Kind, Person, Work
from callmart.base.spelling import plain
from callmart.database import clock, tombstones
from callmart.database.tombstones import of_name
from callmart.registry.places import keys_of_names

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
    match kind:
        case "caller":
            numbers = {keyed(key, "number", number) for number in normal}
            words = {spelling for number in normal for spelling in spellings(number)}
            return Person(customer_id, kind, frozenset(words), frozenset(numbers), until)
        case "agent":
            return _agent(connection, key, customer_id, normal, until)
        case _:
            return _addressed(connection, key, customer_id, kind, normal[0], until)


def _agent(
    connection: psycopg.Connection, key: bytes, customer_id: int, ids: Sequence[str], until: datetime
) -> Person:
    """An agent with these ids. Whoever is still there later keeps the name and the address."""
    entered = frozenset(keyed(key, "agent", id) for id in ids)
    all_ids = {spelling for id in ids for spelling in spellings_of_id(id)}
    keys = frozenset(keyed(key, "agent", id) for id in all_ids)
    found = connection.execute(
        SQL["of_agents"], {"customer": customer_id, "keys": sorted(keys), "until": until}
    ).fetchall()
    rows = registered(connection, customer_id)
    others = {plain(row.name) for row in rows if row.whom == "agent" and row.name and row.key not in keys}
    names = {name for _, name, _, _ in found if name and plain(name) not in others}
    emails = {email for *_, email, _ in found if email}
    stays = any(stays for *_, stays in found)
    addresses = set[str]() if stays else {row.email for row in rows if row.email and row.is_one_of(emails)}
    named = {f"name:{of_name(key, name)}" for name in names} | _by_address(key, emails)
    # Reports call an agent without a name by its key.
    words = {*all_ids, *(f"agent-{one[:10]}" for one in keys), *names, *emails, *addresses}
    words |= {agent for agent, *_ in found if agent}
    return Person(
        customer_id, "agent", frozenset(words), keys, until, frozenset(addresses),
        frozenset() if stays else frozenset(named),
        frozenset(
            (keyed(key, "agent", id), keyed(former, "agent", id))
            for id in all_ids
            for former in epochs(key)[:-1]
        ),
        keys - entered,
    )  # fmt: skip


def _addressed(
    connection: psycopg.Connection, key: bytes, customer_id: int, kind: Kind, address: str, until: datetime
) -> Person:
    """A contact or recipient, who is both as far as the address goes."""
    rows = registered(connection, customer_id)
    own = [row for row in rows if row.is_one_of({address})]
    # An agent or another contact of this name keeps it.
    others = {plain(row.name) for row in rows if row.name and (row not in own or row.whom == "agent")}
    names = {row.name for row in own if row.name and plain(row.name) not in others}
    addresses = frozenset(row.email for row in own if row.email)
    return Person(
        customer_id, kind, frozenset({address, *names}) | addresses,
        frozenset({tombstones.of_address(key, address)}), until, addresses,
        frozenset(_by_address(key, {address})),
    )  # fmt: skip


class Registered(NamedTuple):
    """Whom the registry names: an agent, a contact or a recipient."""

    whom: Kind
    key: str | None  # of an agent, as the id
    id: str | None
    name: str | None
    email: str | None

    @property
    def words(self) -> set[str]:
        """Its name and address, as they are compared."""
        return {plain(word) for word in (self.name, self.email) if word}

    def is_one_of(self, addresses: Collection[str]) -> bool:
        """Whether its address is one of these."""
        return self.email is not None and plain(self.email) in set(map(plain, addresses))


def registered(connection: psycopg.Connection, customer_id: int) -> list[Registered]:
    """All whom the registry of a customer names."""
    return [Registered(*row) for row in connection.execute(SQL["rows"], {"customer": customer_id})]


def _by_address(key: bytes, addresses: Collection[str]) -> set[str]:
    return {
        f"{kind}:{tombstones.of_address(key, address)}"
        for kind in ("contact", "recipient")
        for address in addresses
    }


def sought(work: Work, person: Person, texts: Collection[str], traces: Collection[int] = ()) -> Work:
    """The work, with the words and the keys of events that may be left nowhere of a person. Commits.

    What somebody or something else of the customer has as well, such as a name or the number of a line, can't be
    sought; a word that is part of others' words, only as a whole value.
    """
    same, all_others = _words_of_others(work.connection, person)
    same |= keys_of_names(work.connection, person)
    work.connection.commit()
    own = {text for text in texts if text.lower() not in same}
    parts = {text for text in own if any(text.lower() in other for other in all_others)}
    return replace(work, needles=Needles(own, traces, parts))


def _words_of_others(connection: psycopg.Connection, person: Person) -> tuple[set[str], set[str]]:
    """The words of everybody else in the registry, and names of customers, queues and lines, in lower case: those of
    the person's customer, and all.
    """
    parameters = {
        "customer": person.customer_id,
        "kind": person.kind,
        "keys": sorted(person.keys),
        "words": sorted(word.strip().lower() for word in person.words),
    }
    found = connection.execute(SQL["words_of_others"], parameters).fetchall()
    return {word for word, is_own in found if is_own}, {word for word, _ in found}


def others(connection: psycopg.Connection, person: Person, ids: Sequence[str]) -> list[Other]:
    """Agents who may be the same person: the contact says which are."""
    if person.kind != "agent":
        return []
    agents = [row for row in registered(connection, person.customer_id) if row.whom == "agent"]
    own = {word for row in agents if row.key in person.keys for word in row.words}
    alike = [row.key for row in agents if own & row.words]
    parameters = {
        "customer": person.customer_id,
        "keys": sorted(person.keys),
        "ids": list(ids),
        "alike": alike,
    }
    return [Other(*row) for row in connection.execute(SQL["others"], parameters)]


def spellings(number: str) -> set[str]:
    """A telephone number as people and telephone systems write it: +31612345678, 0031612345678, 0612345678."""
    if not number.startswith("+"):
        return {number}
    national = {f"0{number.removeprefix('+31')}"} if number.startswith("+31") else set()
    return {number, f"00{number[1:]}", number[1:]} | national


def spellings_of_id(id: str) -> set[str]:
    """The ids of the agent who has this one. 1001 and 1001.0 are one agent, as programs make fractions of ids: landing
    reads both as 1001 (land/judging.sql), an earlier version kept them apart.
    """
    whole = id.removesuffix(".0")
    return {whole, f"{whole}.0"} if re.fullmatch("[0-9]+", whole) else {id}


def end_of(connection: psycopg.Connection, customer_id: int, day: date | None) -> datetime:
    """The end of a local day of the customer, by default of the last one that is over. Raises UserError if the day is
    not over, or the customer is unknown.
    """
    row = connection.execute(
        "select time_zone from registry.customer where customer_id = %s", [customer_id]
    ).fetchone()
    if row is None:
        raise unknown_customer(customer_id)
    zone = ZoneInfo(row[0])
    now = clock.now(connection).astimezone(zone)
    day = day or now.date() - timedelta(days=1)
    if day >= now.date():
        raise UserError(f"{day} is not over for customer {customer_id}: choose a day that is")
    return datetime.combine(day + timedelta(days=1), time(), zone)
