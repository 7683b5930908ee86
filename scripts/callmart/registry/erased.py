"""A registry file must not bring back who was erased."""

from collections.abc import Iterator

import psycopg

from callmart.base.errors import UserError
from callmart.base.keys import epochs, keyed, known_key
from callmart.base.settings import Settings
from callmart.database import fingerprints
from callmart.database.tombstones import Kind, of_address, of_name, secret_of, tombstone
from callmart.registry.file import Customer, Registry


def refuse(connection: psycopg.Connection, settings: Settings, registry: Registry) -> None:
    """Raise UserError, which names customer and section and not the person, if the file still names somebody."""
    found: dict[int, set[tuple[str, str]]] = {}
    for customer_id, kind, mark in connection.execute(
        "select customer_id, kind, tombstone from privacy.tombstone"
        " where kind in ('agent', 'contact', 'recipient', 'name')"
    ):
        found.setdefault(customer_id, set()).add((kind, mark))
    keys = fingerprints.with_leaving(connection, settings, found)
    for customer in registry.customers:
        if customer.id not in keys:
            continue
        key = known_key(settings.home, customer.id, keys[customer.id])
        # A tombstone is of the pseudonym before the rotations that came later.
        named = (one for known in epochs(key) for one in _named(customer, known))
        for section, kind, pseudonym in named:
            if (kind, tombstone(secret_of(key), kind, pseudonym)) in found[customer.id]:
                raise UserError(
                    f"customer {customer.id}: section `{section}` of the registry file still names somebody who was "
                    "erased; remove that person there, or the person's address from an agent, and apply it again; "
                    "a contact who is somebody else with the name of an erased agent needs a name that differs, and a "
                    "queue or line of that name another label"
                )


def _named(customer: Customer, key: bytes) -> Iterator[tuple[str, Kind, str]]:
    """The pseudonyms of all persons whom the file names, with the section. Agents share names, and have ids; a contact
    with the name of an erased agent is the agent, and so is a label.
    """
    for agent in customer.agents:
        yield "agents", "agent", keyed(key, "agent", agent.id)
    for contact in customer.contacts:
        yield "contacts", "name", of_name(key, contact.name)
    for section, labelled in (("queues", customer.queues), ("lines", customer.lines)):
        for one in labelled:
            yield section, "name", of_name(key, one.label or one.name)
    addresses = [("agents", agent.email) for agent in customer.agents if agent.email]
    addresses += [("contacts", contact.email) for contact in customer.contacts]
    addresses += [("recipients", recipient.email) for recipient in customer.recipients]
    for section, address in addresses:
        pseudonym = of_address(key, address)
        yield section, "contact", pseudonym
        yield section, "recipient", pseudonym
