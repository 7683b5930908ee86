"""Mends ledger, copy and database, and erases again whom they name: after a restore, a crash, or a loss of one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.keys import known_key
from callmart.base.person import Person, Work
from callmart.base.settings import Settings
from callmart.database import ledger, vacuum
from callmart.database.ledger import Lost
from callmart.database.tombstones import of_address, of_name, secret_of, tombstone
from callmart.declarations import mart_tables
from callmart.land.places import Events
from callmart.privacy.places import PLACES
from callmart.registry.places import Persons

SQL = sql_file.statements(__file__)

Erase = Callable[[Person], None]


@dataclass(frozen=True)
class Replayed:
    """What was done. `customers` had lost something that the ledger knows; `persons` were found again and erased."""

    entries: int
    customers: tuple[int, ...]
    persons: int


def replay(
    connection: psycopg.Connection, settings: Settings, erase: Erase, lost: Lost | None = None
) -> Replayed:
    """Let ledger, copy and database say the same again, and erase whoever came back. Commits: first the tombstones, so
    that nobody else comes back, then each person, then the opening of what was closed.

    Raises UserError if ledger and copy can't be read and `lost` gives no reason, or if they contradict each other.
    """
    mended = ledger.mend(connection, settings, lost)
    connection.commit()
    found = list(_returned(connection, settings))
    connection.rollback()
    for person in found:
        erase(person)
    names = _forget_names(connection, settings)
    ledger.close(connection, settings)
    customers = tuple(sorted(mended.differing))
    connection.execute(
        "insert into ops.audit_log (action, details) values ('ledger replayed', %s)",
        [
            Jsonb(
                {
                    "entries": mended.entries,
                    "customers": list(customers),
                    "erased again": len(found),
                    "names": names,
                }
            )
        ],
    )
    connection.commit()
    return Replayed(mended.entries, customers, len(found))


def erase_everywhere(work: Work, person: Person) -> None:
    """Erase somebody who came back, in all places. Commits. Raises Blocked if a place can't be treated."""
    for place in PLACES:
        place.treat(work, person)


def erase_restored(work: Work, person: Person) -> None:
    """Erase somebody from a database that is being restored. Commits. Nothing can be built or published there yet, so
    the days that the person is on leave the marts, and the next run computes them.
    """
    for place in (Events(), Persons()):
        place.treat(work, person)
    with work.connection.transaction():
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


def _forget_names(connection: psycopg.Connection, settings: Settings) -> int:
    """Take erased agents' names from contacts and labels, in the caller's transaction: an older registry has brought
    them back. A contact is called by the address until the registry file is applied again. Returns how many there were.
    """
    rows = connection.execute(SQL["names"]).fetchall()
    marks = set(connection.execute(SQL["names_erased"]).fetchall())
    forgotten = 0
    for customer_id, table, name, fingerprint in rows:
        key = known_key(settings.home, customer_id, fingerprint)
        if (customer_id, tombstone(secret_of(key), "name", of_name(key, name))) in marks:
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
        pseudonym = of_address(key, address)
        until = untils.get((customer_id, kind, tombstone(secret_of(key), kind, pseudonym)))
        if until is not None:
            own = frozenset({address})
            yield Person(customer_id, kind, own, frozenset({pseudonym}), until, own)
