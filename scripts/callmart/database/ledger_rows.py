"""The privacy ledger as the database has it: its entries, their tombstones, and the secrets these were made with."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.keys import epochs, fingerprint_of, known_key
from callmart.base.settings import Settings
from callmart.database import chain, fingerprints
from callmart.database.chain import Body, Chain, Entry
from callmart.database.tombstones import secret_of

SQL = sql_file.statements(__file__)


def read(connection: psycopg.Connection) -> Chain:
    """The ledger as the database has it, whole or not; without an id if it knows none. An entry has no body if anything
    of it, or of its tombstones, is not as it was written.
    """
    known = connection.execute("select ledger from privacy.ledger").fetchone()
    ledger = known[0] if known else ""
    previous = chain.beginning(ledger)
    entries = []
    for row in connection.execute(SQL["entries"]).fetchall():
        (
            number, commitment, digest, salt, customer_id, of_kind, key, until, at, request, right, since, by_kind,
            is_whole,
        ) = row  # fmt: skip
        entry = Entry(number, previous, commitment, digest, None, None)
        if salt is not None and is_whole:
            tombstones = {name: tuple(found) for name, found in by_kind.items()}
            body = Body(customer_id, of_kind, key, until, at, request, tombstones, right, since)
            if chain.commitment_of(salt, body) == commitment:
                entry = replace(entry, salt=salt, body=body)
        entries.append(entry)
        previous = digest
    return Chain(ledger, tuple(entries))


def note_ledger(connection: psycopg.Connection, settings: Settings, ledger: Chain) -> None:
    """Note which ledger is that of this database, and that it has a copy once it has one."""
    has_copy = settings.privacy.ledger_copy is not None
    connection.execute(SQL["note_ledger"], {"ledger": ledger.ledger, "has_copy": has_copy})


def note(connection: psycopg.Connection, entries: Sequence[Entry]) -> None:
    """Write entries with their tombstones into the database, in the place of what is there."""
    bodies = [(entry, entry.body) for entry in entries if entry.body is not None]
    connection.execute(
        "delete from privacy.tombstone where entry = any(%s)", [[entry.number for entry in entries]]
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            SQL["note_entry"],
            [
                {
                    "entry": entry.number,
                    "commitment": entry.commitment,
                    "digest": entry.digest,
                    "salt": entry.salt,
                    "customer": entry.body and entry.body.customer_id,
                    "kind": entry.body and entry.body.kind,
                    "key": entry.body and entry.body.key,
                    "until": entry.body and entry.body.until,
                    "at": entry.body and entry.body.at,
                    "request": entry.body and entry.body.request,
                    "asked_right": entry.body and entry.body.right,
                    "since": entry.body and entry.body.since,
                }
                for entry in entries
            ],
        )
        cursor.executemany(
            SQL["note_tombstones"],
            [
                {
                    "entry": entry.number,
                    "customer": body.customer_id,
                    "kind": of_kind,
                    "tombstones": list(tombstones),
                    "until": body.until,
                }
                for entry, body in bodies
                for of_kind, tombstones in body.tombstones.items()
            ],
        )


def note_secrets(connection: psycopg.Connection, settings: Settings, entries: Iterable[Entry]) -> None:
    """Write the secrets of the entries' tombstones into the database."""
    found = secrets(connection, settings, (entry.body for entry in entries if entry.body is not None))
    with connection.cursor() as cursor:
        cursor.executemany(
            SQL["note_secret"],
            [{"customer": customer, "secret": secret} for customer, secret in found.items()],
        )


def secrets(connection: psycopg.Connection, settings: Settings, bodies: Iterable[Body]) -> dict[int, bytes]:
    """The secrets of these tombstones, by customer. Left out is who has another key than they were made with, not
    counting rotations, and whose key is not in this home or can't be read.
    """
    made_with = {(body.customer_id, body.key) for body in bodies}
    found: dict[int, bytes] = {}
    for customer, fingerprint in fingerprints.of_customers(connection, (one for one, _ in made_with)).items():
        with suppress(UserError):
            key = known_key(settings.home, customer, fingerprint)
            if any((customer, fingerprint_of(epoch)) in made_with for epoch in epochs(key)):
                found[customer] = secret_of(key)
    return found
