"""A registry file does not bring back the name of an agent who objects to being shown."""

from collections.abc import Mapping

import psycopg

from callmart.base.keys import epochs, keyed, known_key
from callmart.base.settings import Settings
from callmart.database import fingerprints
from callmart.database.tombstones import secret_of, tombstone
from callmart.registry.states import State


def leave_out(connection: psycopg.Connection, settings: Settings, desired: Mapping[int, State]) -> None:
    """Take the agents who object out of what a registry file asks for. The file may go on naming them: when the
    objection is taken back, it brings the names back.
    """
    objectors: dict[int, set[str]] = {}
    for customer_id, mark in connection.execute("select customer_id, tombstone from privacy.objector"):
        objectors.setdefault(customer_id, set()).add(mark)
    keys = fingerprints.with_leaving(connection, settings, objectors)
    for customer_id in keys.keys() & desired.keys():
        key = known_key(settings.home, customer_id, keys[customer_id])
        state, secret = desired[customer_id], secret_of(key)
        state.agents = {
            (agent, name, email)
            for agent, name, email in state.agents
            # An agent who was not here when the key was rotated is known as before that.
            if objectors[customer_id].isdisjoint(
                tombstone(secret, "objector", keyed(epoch, "agent", agent)) for epoch in epochs(key)
            )
        }
