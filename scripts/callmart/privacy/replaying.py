"""Mends ledger, copy and database, and erases again whom they name: after a restore, a crash, or a loss of one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.keys import known_key
from callmart.base.person import Person
from callmart.base.settings import Settings
from callmart.database import ledger
from callmart.database.ledger import Lost
from callmart.database.tombstones import of_address, secret_of, tombstone

SQL = sql_file.statements(__file__)

Erase = Callable[[Person], None]


@dataclass(frozen=True)
class Replayed:
    """What was done. `customers` had lost something that the ledger knows; `persons` were found again and erased."""

    entries: int
    customers: tuple[int, ...]
    persons: int


def replay(
    connection: psycopg.Connection, settings: Settings, erase: Erase | None, lost: Lost | None = None
) -> Replayed:
    """Let ledger, copy and database say the same again, and erase whoever came back. Commits: first the tombstones, so
    that nobody else comes back, then each person, then the opening of what was closed.

    Raises UserError if ledger and copy can't be read and `lost` gives no reason, or if they contradict each other; and
    if somebody came back and nothing is given that erases.
    """
    mended = ledger.mend(connection, settings, lost)
    connection.commit()
    found = list(_returned(connection, settings))
    connection.rollback()
    for person in found:
        if erase is None:
            raise UserError(
                f"customer {person.customer_id}: {len(found)} persons who were erased are back, and nothing here can "
                "erase them; use a callmart that has `callmart privacy do`"
            )
        erase(person)
    ledger.close(connection, settings)
    customers = tuple(sorted(mended.differing))
    connection.execute(
        "insert into ops.audit_log (action, details) values ('ledger replayed', %s)",
        [Jsonb({"entries": mended.entries, "customers": list(customers), "erased again": len(found)})],
    )
    connection.commit()
    return Replayed(mended.entries, customers, len(found))


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
            yield Person(customer_id, kind, frozenset({address}), frozenset({pseudonym}), until)
