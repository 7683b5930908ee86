"""A registry file must not bring back who was erased."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.keys import epochs, keyed, known_key
from callmart.base.settings import Settings
from callmart.database import fingerprints, ledger
from callmart.database.tombstones import Kind, of_address, of_name, secret_of, tombstone
from callmart.registry.file import Customer, Registry

SQL = sql_file.statements(__file__)

Ends = Mapping[tuple[int, str, str], datetime]  # by customer, kind and tombstone


def ends(connection: psycopg.Connection, kinds: Collection[Kind]) -> Ends:
    """The tombstones of these kinds, each with the moment from which on it is not about the person any more."""
    rows = connection.execute(SQL["ends"], {"kinds": list(kinds)})
    return {(customer_id, kind, mark): until for customer_id, kind, mark, until in rows}


def known_until(
    erased: Ends, customer_id: int, kind: Kind, key: bytes, pseudonyms: Iterable[str]
) -> datetime | None:
    """The last end of the tombstones of these pseudonyms; None if there is none."""
    marks = ((customer_id, kind, tombstone(secret_of(key), kind, one)) for one in pseudonyms)
    return max((erased[mark] for mark in marks if mark in erased), default=None)


def refuse(connection: psycopg.Connection, settings: Settings, registry: Registry) -> None:
    """Raise UserError, which names customer and section and not the person, if the file still names somebody."""
    erased = ends(connection, ("agent", "contact", "recipient", "name"))
    customers = {customer_id for customer_id, _, _ in erased}
    last_days: dict[int, dict[str, datetime]] = {}
    for customer_id, agent_key, day in connection.execute(SQL["last_days"], {"customers": list(customers)}):
        last_days.setdefault(customer_id, {})[agent_key] = day
    keys = fingerprints.with_leaving(connection, settings, customers)
    for customer in registry.customers:
        if customer.id not in keys:
            continue
        key = known_key(settings.home, customer.id, keys[customer.id])
        working_on = _working_on(customer, key, erased, last_days.get(customer.id, {}))
        # A tombstone is of the pseudonym before the rotations that came later.
        named = (one for known in epochs(key) for one in _named(customer, known, working_on))
        for section, kind, pseudonym in named:
            until = erased.get((customer.id, kind, tombstone(secret_of(key), kind, pseudonym)))
            if until:
                raise UserError(
                    f"customer {customer.id}: section `{section}` of the registry file still names somebody who was "
                    "erased; remove that person there, or the person's address from an agent, and apply it again; "
                    f"who has come back can be named from {until + ledger.TOO_OLD:%Y-%m-%d} on at the earliest; a "
                    "contact who is somebody else with the name of an erased agent needs a name that differs, and a "
                    "queue or line of that name another label"
                )


def _working_on(
    customer: Customer, key: bytes, erased: Ends, last_days: Mapping[str, datetime]
) -> frozenset[str]:
    """The ids that were erased and have worked since: of an agent who stayed, or of somebody new with that id."""
    found = set()
    for agent in customer.agents:
        until = known_until(
            erased, customer.id, "agent", key, (keyed(known, "agent", agent.id) for known in epochs(key))
        )
        last_day = last_days.get(keyed(key, "agent", agent.id))
        if until and last_day and last_day >= until:
            found.add(agent.id)
    return frozenset(found)


def _named(customer: Customer, key: bytes, working_on: Collection[str]) -> Iterator[tuple[str, Kind, str]]:
    """The pseudonyms of all persons whom the file names, with the section. Agents share names, and have ids; a contact
    with the name of an erased agent is the agent, and so is a label. An erased id that has worked since is the agent
    only with that agent's name: whoever stays has no tombstone of the name.
    """
    for agent in customer.agents:
        if agent.id in working_on:
            yield "agents", "name", of_name(key, agent.name)
        else:
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
