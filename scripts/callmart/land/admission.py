"""Reads the gate from the database: what the registry lets in at this moment, and who was erased or corrected."""

from functools import partial

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from callmart.base.errors import UserError
from callmart.base.keys import ensure_key
from callmart.base.settings import Settings
from callmart.database import row_security
from callmart.land.gate import Correction, Gate, Tombstones

# Contracts begin at the floor at the earliest, so a late file can't bring an expired day back.
_CONTRACTS = """
select
    k.customer_id,
    k.option,
    access.begin_of_day(greatest(k.valid_from, access.retention_floor()), c.time_zone),
    access.begin_of_day(k.valid_until, c.time_zone)
from registry.kept_contract as k
inner join registry.customer as c using (customer_id)
where coalesce(k.valid_until, 'infinity') > access.retention_floor()
"""
_CONTRACT_SCHEMA = {
    "customer_id": pa.int32(),
    "option": pa.string(),
    "opens": pa.timestamp("us", "UTC"),
    "closes": pa.timestamp("us", "UTC"),
}
_CUSTOMERS = "select customer_id, time_zone, anonymous_agents from registry.customer"
_CUSTOMER_SCHEMA = {"customer_id": pa.int32(), "time_zone": pa.string(), "anonymous_agents": pa.bool_()}
_STATUSES = "select customer_id, word, status from registry.status_word"
_STATUS_SCHEMA = {"customer_id": pa.int32(), "word": pa.string(), "status": pa.string()}


KnownKeys = dict[tuple[int, str], bytes]  # by customer and fingerprint


def current_gate(
    connection: psycopg.Connection, settings: Settings, known_keys: KnownKeys
) -> tuple[int, Gate]:
    """Return the registry's version, and its contents as a Gate. `connection` is the loader's. Keys that are known
    already are not read again, and the others are added. Raises UserError if row security could hide who is let in, or
    who was erased.
    """
    if hidden := row_security.hiding(connection, ["privacy", "registry"]):
        raise UserError(
            f"no file can land: row security could hide rows of {hidden}, which say what may be kept; run "
            "`callmart access apply`, and land again"
        )
    ((version, latest),) = connection.execute(
        "select coalesce(max(version), 0), now() + interval '1 day' from registry.version"
    ).fetchall()
    keys, keyless = _keys(connection, settings, known_keys)
    contracts = _table(connection, _CONTRACTS, _CONTRACT_SCHEMA)
    if keyless:
        waiting = pc.is_in(contracts["customer_id"], pa.array(list(keyless), pa.int32()))
        contracts = contracts.filter(pc.invert(waiting))
    return version, Gate(
        contracts=contracts,
        customers=_table(connection, _CUSTOMERS, _CUSTOMER_SCHEMA),
        statuses=_table(connection, _STATUSES, _STATUS_SCHEMA),
        keys=keys,
        latest=latest,
        keyless=keyless,
        erased_until=dict(
            connection.execute("select customer_id, until from privacy.erased_until").fetchall()
        ),
        tombstones=partial(_tombstones, connection),
        corrections=[
            Correction(*row)
            for row in connection.execute(
                "select customer_id, mistaken, coalesce(agent_key, erased), since, until from privacy.correction"
            )
        ],
    )


def _table(connection: psycopg.Connection, query: str, schema: dict[str, pa.DataType]) -> pa.Table:
    rows = connection.execute(query.encode()).fetchall()
    return pa.table(
        {name: pa.array([row[i] for row in rows], type) for i, (name, type) in enumerate(schema.items())}
    )


def _keys(
    connection: psycopg.Connection, settings: Settings, known: KnownKeys
) -> tuple[pa.Table, dict[int, str]]:
    """The keys of the customers that may have data, and what is wrong with those that are missing or don't fit."""
    fingerprints = connection.execute(
        "select customer_id, key_fingerprint from registry.customer"
        " where customer_id in (select customer_id from registry.kept_contract)"
    ).fetchall()
    keys, keyless = dict[int, bytes](), dict[int, str]()
    for customer_id, fingerprint in fingerprints:
        try:
            key = known.get((customer_id, fingerprint)) or ensure_key(settings.home, customer_id, fingerprint)
        except UserError as error:
            keyless[customer_id] = str(error)
            continue
        keys[customer_id] = key
        if fingerprint is not None:
            known[customer_id, fingerprint] = key
    table = pa.table(
        {"customer_id": pa.array(list(keys), pa.int32()), "key": pa.array(list(keys.values()), pa.binary())}
    )
    return table, keyless


def _tombstones(connection: psycopg.Connection) -> Tombstones:
    rows = connection.execute(
        "select customer_id, kind, tombstone, max(until) from privacy.known_tombstone"
        " where kind in ('agent', 'device', 'caller', 'call', 'objector') group by 1, 2, 3"
    ).fetchall()
    connection.commit()
    return {(customer, kind, tombstone): until for customer, kind, tombstone, until in rows}
