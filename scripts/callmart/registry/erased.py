"""A registry file must not bring back who was erased."""

from collections.abc import Iterator, Mapping

import psycopg

from callmart.base.errors import UserError
from callmart.base.keys import keyed, known_key
from callmart.base.settings import Settings
from callmart.database.tombstones import Kind, of_address, secret_of, tombstone
from callmart.registry.states import TABLES, State


def refuse(connection: psycopg.Connection, settings: Settings, desired: Mapping[int, State]) -> None:
    """Raise UserError, which names customer and section and not the person, if the file still names somebody."""
    found: dict[int, set[tuple[str, str]]] = {}
    for customer_id, kind, mark in connection.execute(
        "select customer_id, kind, tombstone from privacy.tombstone where kind in ('agent', 'contact', 'recipient')"
    ):
        found.setdefault(customer_id, set()).add((kind, mark))
    fingerprints: dict[int, str] = dict(
        connection.execute(
            "select customer_id, key_fingerprint from registry.customer"
            " where key_fingerprint is not null and customer_id = any(%s)",
            [list(found)],
        ).fetchall()
    )
    for customer_id in sorted(found.keys() & fingerprints.keys() & desired.keys()):
        key = known_key(settings.home, customer_id, fingerprints[customer_id])
        for section, kind, pseudonym in _named(desired[customer_id], key):
            if (kind, tombstone(secret_of(key), kind, pseudonym)) in found[customer_id]:
                raise UserError(
                    f"customer {customer_id}: section `{section}` of the registry file still names somebody who was "
                    "erased; remove that person there, and apply it again"
                )


def _named(state: State, key: bytes) -> Iterator[tuple[str, Kind, str]]:
    """The pseudonyms of all persons whom the file names, with the section. Who was erased as a contact was erased as a
    recipient as well.
    """
    for agent, _, _ in state.agents:
        yield "agents", "agent", keyed(key, "agent", agent)
    for table in ("contact", "recipient"):
        address = TABLES[table].index("email")
        for row in state.tables[table]:
            pseudonym = of_address(key, row[address])
            yield f"{table}s", "contact", pseudonym
            yield f"{table}s", "recipient", pseudonym
