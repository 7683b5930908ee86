"""What there is of a person in all tables, for the person to see, and nobody else in it.

The columns that point to persons tell which rows are the person's. A value in such a column is shown only if it is the
person's own; anybody else is shown as somebody. A word of the customer, such as the name of a queue, is left out if it
could name somebody else. So a table or a column that comes later is treated like these, or refused.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.errors import UserError, unknown_customer
from callmart.base.needles import SHORTEST
from callmart.base.person import Person
from callmart.base.pointing import COUNTS_AND_MOMENTS, Whom
from callmart.base.settings import Settings
from callmart.base.spelling import plain
from callmart.database.tombstones import of_address
from callmart.declarations import dbt_project, processing
from callmart.declarations.captions import captions
from callmart.declarations.mart import NUMBERS
from callmart.declarations.mart_tables import SCHEMA
from callmart.declarations.processing import Holding
from callmart.privacy import persons
from callmart.privacy.persons import Registered
from callmart.privacy.subject import subjects

SQL = sql_file.statements(__file__)

# The columns by which the rows of a person are found, and what they are compared with. A column that only says
# something of the person, such as the name, finds no row.
_LEADS: Mapping[Whom, Mapping[str, str]] = {
    "agent": {"agent_key": "keys", "target_key": "keys", "device_key": "devices", "subject": "subjects"},
    "caller": {"number_key": "keys", "target_key": "keys", "call_key": "calls", "subject": "subjects"},
    "contact": {"email": "addresses", "contact_key": "address_keys", "subject": "subjects"},
    "recipient": {"email": "addresses", "recipient_key": "address_keys", "subject": "subjects"},
}

_NAME_PART = 4  # letters of a first or last name that is sought alone
_SHOWS_NUMBER = re.compile(r"\d(?:[-\s]*\d){6}|[0-9a-f]{32}|number-[0-9a-f]{10}")  # see objects/keys.sql


class Somebody(NamedTuple):
    """Stands for a value that points to somebody else, or could."""

    whom: tuple[Whom, ...]


@dataclass(frozen=True)
class Rows:
    """The person's rows of a table, in the order of the columns' meanings."""

    holding: Holding
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = field(repr=False)


@dataclass(frozen=True)
class Own:
    """What is the person's own, and what others are called."""

    texts: frozenset[str] = field(repr=False)
    numbers: frozenset[int] = field(repr=False)  # keys of calls
    devices: frozenset[str] = field(repr=False)  # keys of those that nobody else uses
    addresses: tuple[str, ...] = field(repr=False)  # as the registry spells them
    others: frozenset[str] = field(repr=False)  # names, ids and addresses of everybody else in the registry
    names_of_others: frozenset[str] = field(repr=False)
    keys_of_others: frozenset[str] = field(repr=False)


@dataclass(frozen=True)
class Contents:
    """What there is of a person: the rows of all tables in which such a person can be."""

    person: Person
    customer: str
    time_zone: str
    own: Own
    tables: Sequence[Rows]

    @property
    def last_day(self) -> date:
        """The last day that is in it."""
        return (self.person.until - timedelta(seconds=1)).astimezone(ZoneInfo(self.time_zone)).date()

    @property
    def without_rows(self) -> "Contents":
        """The same, if there were nothing: then only our own words are left."""
        return replace(self, tables=[replace(one, rows=()) for one in self.tables])


def of(connection: psycopg.Connection, settings: Settings, person: Person, key: bytes) -> Contents:
    """What there is of a person, up to the moment. `key` is the customer's, the connection the owner's.

    Raises UserError if a table or a column is not explained, or if nobody knows which rows of a table are the person's.
    """
    asked = connection.execute(SQL["customer"], {"customer": person.customer_id}).fetchone()
    if asked is None:
        raise unknown_customer(person.customer_id)
    customer, time_zone = asked
    mine = _own(connection, person, key)
    parameters = {
        "customer": person.customer_id,
        "keys": sorted(person.keys),
        "calls": sorted(mine.numbers),
        "devices": sorted(mine.devices),
        "addresses": list(mine.addresses),
        "address_keys": sorted(_address_keys(key, mine.addresses)),
        "subjects": sorted(subjects(key, person, mine.addresses)),
        "until": person.until,
        "bound": person.until.astimezone(ZoneInfo(time_zone)).date(),
    }
    whom, hides = _whom(person, mine), _hiding(mine)
    return Contents(
        person,
        customer,
        time_zone,
        mine,
        [
            _rows(connection, holding, types, whom, parameters, mine, hides)
            for holding, types in holdings(connection, settings)
            if holding.is_of(whom)
        ],
    )


def holdings(connection: psycopg.Connection, settings: Settings) -> Iterator[tuple[Holding, dict[str, str]]]:
    """The tables with persons, each with the types of its columns. Raises UserError if one is not explained."""
    found = connection.execute(SQL["tables"], {"of_persons": list(processing.OF_PERSONS)}).fetchall()
    said = {
        table: {column: tuple(whom) for column, whom in persons.items()} for table, _, _, persons in found
    }
    names = {table: columns for table, columns, _, _ in found}
    types = {table: dict(zip(columns, types, strict=True)) for table, columns, types, _ in found}
    marts = dbt_project.marts(settings)
    for holding in processing.holdings(said, names, marts, captions(marts)):
        yield holding, types[holding.table]


def _own(connection: psycopg.Connection, person: Person, key: bytes) -> Own:
    """What is the person's own."""
    parameters = {"customer": person.customer_id, "keys": sorted(person.keys), "until": person.until}
    registered = persons.registered(connection, person.customer_id)
    mine = [one for one in registered if one.whom == person.kind == "agent" and one.key in person.keys]
    # An agent is a contact or recipient as well, as far as an address goes that no other agent has.
    agents = [one for one in registered if one.whom == person.kind == "agent" and one not in mine]
    addresses = _entered(person) | {
        one.email for one in mine if one.email and not any(other.is_one_of([one.email]) for other in agents)
    }
    mine += [one for one in registered if one.whom != "agent" and one.is_one_of(addresses)]
    addresses |= {one.email for one in mine if one.email and one.whom != "agent"}
    calls, devices = set[int](), set[str]()
    if person.kind == "caller":
        calls = {call for (call,) in connection.execute(SQL["calls"], parameters)}
    if person.kind == "agent":
        devices = {device for (device,) in connection.execute(SQL["devices"], parameters)}
    words = set().union(addresses, person.words, *map(_words, mine))
    keys = person.keys | devices | _address_keys(key, addresses) | subjects(key, person, addresses)
    theirs = [one for one in registered if one not in mine]
    own_words = set(map(plain, words))
    others = {word for one in theirs for word in _words(one) if plain(word) not in own_words}
    return Own(
        frozenset(words | keys),
        frozenset(calls),
        frozenset(devices),
        tuple(sorted(addresses)),
        frozenset(others),
        frozenset(one.name for one in theirs if one.name in others),
        frozenset(one.key for one in theirs if one.key),
    )


def _words(one: Registered) -> set[str]:
    """By what people know somebody."""
    return {word for word in (one.id, one.name, one.email) if word}


def _entered(person: Person) -> set[str]:
    """The address by which somebody asks about a contact or a recipient, whom the registry may not have any more."""
    return set() if person.kind in ("agent", "caller") else {word for word in person.words if "@" in word}


def _address_keys(key: bytes, addresses: Iterable[str]) -> set[str]:
    return {of_address(key, address) for address in addresses}


def _whom(person: Person, mine: Own) -> tuple[Whom, ...]:
    """What the person is to the columns. Whoever has an address can be a contact and a recipient."""
    own: tuple[Whom, ...] = (person.kind,) if person.kind in ("agent", "caller") else ()
    return (*own, "contact", "recipient") if mine.addresses else own


def _rows(
    connection: psycopg.Connection,
    holding: Holding,
    types: Mapping[str, str],
    whom: Sequence[Whom],
    parameters: Mapping[str, Any],
    mine: Own,
    hides: Callable[[str], bool],
) -> Rows:
    columns = tuple(name for name in holding.columns if name in types)
    query = sql.SQL("select {} from {} where {} order by {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.Identifier(*holding.table.split(".")),
        _condition(holding, types, whom),
        sql.SQL(", ").join(
            sql.SQL("{} nulls first").format(sql.Identifier(name)) for name in _order(holding, columns)
        ),
    )
    said = [holding.persons.get(name) for name in columns]
    is_text = [types[name] not in (*COUNTS_AND_MOMENTS, *NUMBERS) for name in columns]

    def shown(value: Any, persons: tuple[Whom, ...] | None, is_text: bool) -> Any:
        if value is None:
            return None
        if persons not in (None, ("nobody",)):
            return value if value in mine.texts or value in mine.numbers else Somebody(persons or ())
        return Somebody(("nobody",)) if is_text and hides(str(value)) else value

    return Rows(
        holding,
        columns,
        tuple(tuple(map(shown, row, said, is_text)) for row in connection.execute(query, parameters)),
    )


def _order(holding: Holding, columns: Sequence[str]) -> Sequence[str]:
    """By the moment, and then by everything, so that the same rows are always in the same order."""
    return sorted(columns, key=lambda name: name != holding.moment)


def _condition(holding: Holding, types: Mapping[str, str], whom: Sequence[Whom]) -> sql.Composable:
    """Which rows are the person's: of the customer, up to the moment."""
    leads = {
        name: parameter
        for one in whom
        for name, parameter in _LEADS.get(one, {}).items()
        if one in holding.persons.get(name, ()) and name in types
    }
    if not leads:
        raise UserError(
            f"{holding.table} points to {' and '.join(whom)}, and nobody knows which of its rows are a person's: "
            "give it a column that leads to the person, such as agent_key, and name that in _LEADS of "
            f"{__name__.replace('.', '/')}.py"
        )
    own = sql.SQL(" or ").join(
        sql.SQL("{} = any({})").format(sql.Identifier(name), sql.Placeholder(parameter))
        for name, parameter in leads.items()
    )
    until: sql.Composable = sql.SQL("true")
    if holding.moment:
        bound = "bound" if types[holding.moment] == "date" else "until"
        until = sql.SQL("{} < {}").format(sql.Identifier(holding.moment), sql.Placeholder(bound))
    return sql.SQL("customer_id = {} and ({}) and {}").format(sql.Placeholder("customer"), own, until)


def _hiding(mine: Own) -> Callable[[str], bool]:
    """Whether a word of the customer could name somebody else: it shows a number or a key, it has a word of another
    person in it, or a first or last name as a word of its own.
    """
    long = sorted({plain(word) for word in mine.others if len(word.encode()) >= SHORTEST})
    parts = {part for name in mine.names_of_others for part in re.findall(r"[^\W\d_]+", plain(name))}
    short = {plain(word) for word in mine.others} | {part for part in parts if len(part) >= _NAME_PART}
    alone = re.compile("|".join(rf"(?<!\w){re.escape(part)}(?!\w)" for part in sorted(short)) or "(?!)")

    @cache
    def hides(word: str) -> bool:
        if word in mine.texts:
            return False
        spelt = plain(word)
        return bool(_SHOWS_NUMBER.search(word) or alone.search(spelt)) or any(one in spelt for one in long)

    return hides


def counted_as(table: str) -> str:
    """The name of a table in evidence: that of a mart is that of its view."""
    schema, name = table.split(".")
    return f"mart.{name}" if schema == SCHEMA else table
