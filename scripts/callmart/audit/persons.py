"""The audit's checks of the rights of persons: no place is unknown, whoever is erased is not found any more, and nobody
who was erased is back.

A made-up agent and caller are put among a customer's events, erased and looked for, in a transaction that is rolled
back.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import psycopg

from callmart.audit.check import Check
from callmart.audit.entombing import entomb
from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.needles import Needles
from callmart.base.person import Kind, Person, Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import clock
from callmart.database.searching import Table, hits
from callmart.land.places import Events
from callmart.privacy import places, replaying

SQL = sql_file.statements(__file__)

_KINDS: tuple[Kind, ...] = ("agent", "caller")


def of_places(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that every table, path and kind of content belongs to exactly one place."""
    found = places.uncovered(connection, settings)
    # A login may make some where nobody has run administrator.sql, so they don't keep requests open.
    large = connection.execute("select oid from pg_largeobject_metadata order by oid").fetchall()
    found += [f"large object {oid}: find out who made it, and `select lo_unlink({oid})`" for (oid,) in large]
    connection.rollback()
    return Check.of(
        "persons", "every table, path and kind of content belongs to one place where a person is looked for",
        len(places.PLACES), found,
    )  # fmt: skip


def of_erasure(connection: psycopg.Connection, settings: Settings) -> Check:
    """Erase a made-up agent and a made-up caller, and look for them. Nothing of it stays."""
    among = connection.execute(SQL["among"]).fetchone()
    connection.rollback()
    found = [] if among is None else list(_found_again(connection, settings, *among))
    return Check.of(
        "persons", "a made-up agent and caller who are erased are found before, and not after",
        2 * (among is not None), found, applies=among is not None,
    )  # fmt: skip


def of_returned(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that nobody who was erased is in the events or in the registry, but for those whose erasure is still being
    done. As a control, a made-up agent gets a tombstone and has to be found; nothing of it stays.
    """
    keys, missing = replaying.known_keys(connection, settings)
    under_way = set(connection.execute(SQL["under_way"]).fetchall())
    back = [
        person
        for person in replaying.returned(connection, keys)
        if (person.customer_id, person.until) not in under_way
    ]
    ((tombstones,),) = connection.execute(SQL["tombstones"]).fetchall()
    by_customer = Counter(person.customer_id for person in back)
    found = [
        f"customer {customer_id}: {several(count, 'person')}" for customer_id, count in by_customer.items()
    ]
    among = connection.execute(SQL["among"]).fetchone()
    is_proven = False
    if tombstones and among is not None:
        customer_id, at = among
        with connection.transaction(force_rollback=True):
            key = secrets.token_hex(16)
            connection.execute(
                SQL["put_in"], {"customer": customer_id, "key": key, "kind": "agent", "at": at}
            )
            entomb(connection, customer_id, key, "agent", "erasure")
            is_proven = any(key in person.keys for person in replaying.returned(connection, keys))
    connection.rollback()
    return Check.of(
        "persons", "nobody who was erased is back", tombstones if is_proven else 0, [*found, *missing.values()],
        applies=bool(tombstones) and among is not None,
    )  # fmt: skip


def _found_again(
    connection: psycopg.Connection, settings: Settings, customer_id: int, at: datetime
) -> Iterator[str]:
    for kind in _KINDS:
        key = secrets.token_hex(16)
        needles = Needles([key])
        with connection.transaction(force_rollback=True):
            until = clock.now(connection)
            connection.execute(SQL["put_in"], {"customer": customer_id, "key": key, "kind": kind, "at": at})
            person = Person(customer_id, kind, frozenset(), frozenset({key}), until)
            work = Work(connection, settings, quietly, needles)
            table = Table("raw", "event")
            if not (Events().find(work, person) and hits(connection, table, needles)):
                yield f"{kind}: not found although there"
            Events().treat(work, person)
            if Events().find(work, person) or hits(connection, table, needles):
                yield f"{kind}: found although erased"
