"""The keys of contacts, by which the register of requests knows who asks without an address."""

import psycopg

from callmart.database.tombstones import of_address


def key_contacts(connection: psycopg.Connection, customer_id: int, key: bytes) -> None:
    """Give the customer's contacts their keys, where they have none yet. Runs in the caller's transaction."""
    unkeyed = connection.execute(
        "select email from registry.contact where customer_id = %s and contact_key is null", [customer_id]
    ).fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "update registry.contact set contact_key = %s where customer_id = %s and email = %s",
            [(of_address(key, address), customer_id, address) for (address,) in unkeyed],
        )
