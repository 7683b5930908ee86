"""Mends ledger, copy and database, and does again what they say of persons: after a restore, a crash, or a loss of one
of them.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.keys import epochs, known_key
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import audit_log, ledger, ledger_mending, vacuum
from callmart.database.ledger import Act
from callmart.database.ledger_mending import Lost
from callmart.database.tombstones import of_address, of_name, secret_of, tombstone
from callmart.declarations import mart_tables
from callmart.land.places import Events
from callmart.privacy import correcting, objecting
from callmart.privacy.correcting import Correction
from callmart.privacy.places import each
from callmart.registry.places import Persons

SQL = sql_file.statements(__file__)

Again = Callable[[Person, Act], None]


@dataclass(frozen=True)
class Replayed:
    """What was done. `customers` had lost something that the ledger knows; `persons` were found again and erased, and
    `objectors` are the agents of these customers of whom it was made sure that they are left out or shown.
    """

    entries: int
    customers: tuple[int, ...]
    persons: int
    objectors: int


def replay(
    connection: psycopg.Connection,
    settings: Settings,
    again: Again,
    lost: Lost | None = None,
    keyed_anew: Collection[int] = (),
) -> Replayed:
    """Let ledger, copy and database say the same again, erase whoever came back, and correct events and leave out or
    show agents as the ledger says. Commits: first the tombstones, so that nobody else comes back, with the days that
    change by what was lost, so that a crash can't part the two; then each person, then the opening of what was closed.
    `keyed_anew` are customers whose keys were rotated since the last replay: only now what the ledger says of their
    agents under that key is understood.

    Raises UserError if ledger and copy can't be read and `lost` gives no reason, or if they contradict each other.
    """
    mended = ledger_mending.mend(connection, settings, lost)
    customers = mended.differing | set(keyed_anew) | {customer for customer, _ in _uncorrected(connection)}
    corrected = list(_correct(Work(connection, settings, quietly), customers))
    objectors = list(_objectors(connection, customers))
    for person in objectors:
        objecting.settle(connection, person)
    connection.commit()
    found = list(_returned(connection, settings))
    connection.rollback()
    for person in found:
        again(person, "erasure")
    for person in corrected:
        again(person, "rectification")
    for person in objectors:
        again(person, "objection")
    names = _forget_names(connection, settings)
    ledger.close(connection, settings)
    differing = tuple(sorted(mended.differing))
    audit_log.note(
        connection,
        "ledger replayed",
        {
            "entries": mended.entries,
            "customers": list(differing),
            "erased again": len(found),
            "objectors": len(objectors),
            "names": names,
        },
    )
    connection.commit()
    return Replayed(mended.entries, differing, len(found), len(objectors))


def uncorrected(connection: psycopg.Connection) -> list[str]:
    """One sentence per customer of whom the ledger corrects events, and nobody knows here the agent whose they are."""
    return [
        f"customer {customer}: {count} corrections of whose events are could not be made again, as nothing of the "
        "agent whose they are is here: when something of that agent has landed, `callmart privacy replay` makes them"
        for customer, count in _uncorrected(connection)
    ]


def again_everywhere(work: Work, person: Person, right: Act) -> None:
    """Erase somebody who came back, in all places, or make anew what shows an agent. Commits. Raises Blocked if a place
    can't be treated.
    """
    if right == "erasure":
        each(lambda place: place.treat(work, person), quietly)
    else:
        objecting.follow(work, person, quietly)


def again_restored(work: Work, person: Person, right: Act) -> None:
    """The same in a database that is being restored. Commits. Nothing can be built or published there yet, so the days
    that the person is on leave the marts, and the next run computes them.
    """
    if right == "erasure":
        for place in (Events(), Persons()):
            place.treat(work, person)
    with work.connection.transaction():
        _hide_waiting_days(work, person)


def _hide_waiting_days(work: Work, person: Person) -> None:
    """Take the customer's days that wait because of a person out of the marts, in the caller's transaction."""
    for mart in mart_tables.of_customers(work.connection):
        statement = "hide_days" if mart.day else "hide_customer"
        names = {
            "mart": sql.Identifier(mart_tables.SCHEMA, mart.name),
            "day": sql.Identifier("t", str(mart.day)),
            "mart_name": sql.Literal(mart.name),
        }
        query = sql.SQL(SQL[statement]).format(**names)
        if work.connection.execute(query, {"customer": person.customer_id}).rowcount:
            vacuum.note(work.connection, f"{mart_tables.SCHEMA}.{mart.name}")
    work.connection.execute(SQL["forget_hidden"], {"customer": person.customer_id})


def _correct(work: Work, customers: Collection[int]) -> Iterator[Person]:
    """Correct what the ledger corrects of these customers, where there is something of the agent whose the events are.
    Landing finds it from here on. In the caller's transaction. Yields the agents whose the events seemed to be.
    """
    found = work.connection.execute(SQL["corrections"], {"customers": list(customers)}).fetchall()
    for entry, customer_id, since, until, agent_key, mistaken in found:
        correcting.enter(work.connection, entry, agent_key)
        person = Person(customer_id, "agent", frozenset(), frozenset(mistaken), until)
        Correction(agent_key, since).correct(work, person)
        yield person


def _uncorrected(connection: psycopg.Connection) -> list[tuple[int, int]]:
    """How many corrections of each customer wait for something of the agent whose the events are."""
    return connection.execute(SQL["uncorrected"]).fetchall()


def _objectors(connection: psycopg.Connection, customers: Collection[int]) -> Iterator[Person]:
    """The agents of these customers of whom the ledger has said that they are left out, or shown again."""
    for customer_id, key in connection.execute(SQL["objectors"], {"customers": list(customers)}).fetchall():
        yield Person(customer_id, "agent", frozenset(), frozenset({key}), objecting.ALWAYS)


def _forget_names(connection: psycopg.Connection, settings: Settings) -> int:
    """Take erased agents' names from contacts and labels, in the caller's transaction: an older registry has brought
    them back. A contact is called by the address until the registry file is applied again. Returns how many there were.
    """
    rows = connection.execute(SQL["names"]).fetchall()
    marks = set(connection.execute(SQL["names_erased"]).fetchall())
    forgotten = 0
    for customer_id, table, name, fingerprint in rows:
        key = known_key(settings.home, customer_id, fingerprint)
        made = (tombstone(secret_of(key), "name", of_name(epoch, name)) for epoch in epochs(key))
        if any((customer_id, one) in marks for one in made):
            connection.execute(SQL[f"forget_{table}"], {"customer": customer_id, "name": name})
            vacuum.note(connection, f"registry.{table}")
            forgotten += 1
    return forgotten


def _returned(connection: psycopg.Connection, settings: Settings) -> Iterator[Person]:
    """The persons with a tombstone of whom the database has something from before its end. They are known by their keys
    alone: nobody kept their names.
    """
    for customer_id, kind, key, until in connection.execute(SQL["returned"]).fetchall():
        yield Person(customer_id, kind, frozenset(), frozenset({key}), until)
    addresses = connection.execute(SQL["addresses"]).fetchall()
    marks = connection.execute(SQL["addresses_erased"]).fetchall()
    untils = {(customer_id, kind, mark): until for customer_id, kind, mark, until in marks}
    for customer_id, kind, address, fingerprint in addresses:
        key = known_key(settings.home, customer_id, fingerprint)
        made = (tombstone(secret_of(key), kind, of_address(epoch, address)) for epoch in epochs(key))
        until = max(
            (untils[mark] for one in made if (mark := (customer_id, kind, one)) in untils), default=None
        )
        if until is not None:
            own = frozenset({address})
            yield Person(customer_id, kind, own, frozenset({of_address(key, address)}), until, own)
