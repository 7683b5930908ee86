"""The keys of contacts, by which the register of requests knows who asks without an address."""

from collections.abc import Mapping

import psycopg

from callmart.database.tombstones import of_address


def key_contacts(connection: psycopg.Connection, keys: Mapping[int, bytes]) -> None:
    """Give the contacts of customers their keys, where they have none yet. Runs in the caller's transaction."""
    unkeyed = connection.execute(
        "select customer_id, email from registry.contact where customer_id = any(%s) and contact_key is null",
        [list(keys)],
    ).fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "update registry.contact set contact_key = %s where customer_id = %s and email = %s",
            [(of_address(keys[id], address), id, address) for id, address in unkeyed],
        )
