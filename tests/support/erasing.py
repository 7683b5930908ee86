"""Erases persons from what was landed, in a few statements: enough to see whether they come back."""

from collections.abc import Callable
from datetime import datetime

import psycopg

from callmart.base.keys import keyed, known_key
from callmart.base.person import Person
from callmart.database import ledger
from callmart.database.tombstones import Kind, of_call, secret_of, tombstone
from callmart_home import Callmart

# Of the person's calls, those that began before the erasure's end. A node of a cluster has none of our functions.
BEGAN_BEFORE = "from own_call where raw.began_before(%(customer)s, call_key, %(until)s)"
# An event that lands again is another one: no key is as before.
OTHER_EVENT = "event_key = hashint8extended(e.event_key, 1)"
STATEMENTS = {
    "agent": (
        """
        delete from raw.event
        where customer_id = %(customer)s and agent_key = any(%(keys)s) and call_key is null and occurred_at < %(until)s
        """,
        """
        create temporary table own_call on commit drop as
        select call_key from raw.call where customer_id = %(customer)s
        """,
        f"""
        create temporary table stand_in on commit drop as
        select call_key, raw.random_agent() as agent_key {BEGAN_BEFORE}
        """,
        f"""
        update raw.event as e
        set agent_key = s.agent_key, device_key = null, {OTHER_EVENT}
        from stand_in as s
        where e.customer_id = %(customer)s and e.call_key = s.call_key and e.agent_key = any(%(keys)s)
        """,
        f"""
        update raw.event as e set target_key = null, {OTHER_EVENT}
        from stand_in as s
        where e.customer_id = %(customer)s and e.call_key = s.call_key and e.target_key = any(%(keys)s)
        """,
        "delete from registry.agent where customer_id = %(customer)s and agent_key = any(%(keys)s)",
    ),
    "caller": (
        """
        create temporary table own_call on commit drop as
        select distinct call_key from raw.event
        where customer_id = %(customer)s and number_key = any(%(keys)s) and call_key is not null
        """,
        f"""
        create temporary table stand_in on commit drop as
        select call_key, raw.random_key() as other_key {BEGAN_BEFORE}
        """,
        f"""
        update raw.event as e set call_key = s.other_key, number_key = null, {OTHER_EVENT}
        from stand_in as s where e.customer_id = %(customer)s and e.call_key = s.call_key
        """,
        """
        update raw.call as c set call_key = s.other_key
        from stand_in as s where c.customer_id = %(customer)s and c.call_key = s.call_key
        """,
    ),
    "contact": (),
    "recipient": (),
}


def key_of(callmart: Callmart, customer: int) -> bytes:
    """The key of a customer."""
    ((fingerprint,),) = [
        row.values()
        for row in callmart.rows(
            "select key_fingerprint from registry.customer where customer_id = %s", customer
        )
    ]
    return known_key(callmart.home, customer, fingerprint)


def person(callmart: Callmart, customer: int, kind: str, word: str, until: datetime) -> Person:
    """An agent by id, or a caller by number in E.164."""
    pseudonym = keyed(key_of(callmart, customer), {"caller": "number"}.get(kind, kind), word)
    return Person(customer, kind, frozenset({word}), frozenset({pseudonym}), until)  # type: ignore[arg-type]


def tombstones(callmart: Callmart, connection: psycopg.Connection, who: Person) -> dict[Kind, list[str]]:
    """Of a person, and of a caller's calls."""
    secret = secret_of(key_of(callmart, who.customer_id))
    found: dict[Kind, list[str]] = {who.kind: [tombstone(secret, who.kind, key) for key in who.keys]}
    if who.kind == "caller":
        calls = connection.execute(
            "select distinct call_key from raw.event where customer_id = %s and number_key = any(%s)",
            [who.customer_id, list(who.keys)],
        ).fetchall()
        calls = connection.execute(
            "select call from unnest(%s::bigint[]) as call where raw.began_before(%s, call, %s)",
            [[call for (call,) in calls], who.customer_id, who.until],
        ).fetchall()
        found["call"] = [tombstone(secret, "call", of_call(call)) for (call,) in calls]
    return found


def erase(
    callmart: Callmart, who: Person, request: int = 1, before_deleting: Callable[[], object] = lambda: None
) -> None:
    """Write the ledger, then erase the person from the events."""
    with callmart.connect() as connection:
        written = tombstones(callmart, connection, who)
        ledger.append(connection, callmart.settings, who.customer_id, who.kind, who.until, written, request)
        before_deleting()
        erase_events(connection, who)
        connection.commit()


def erase_events(connection: psycopg.Connection, who: Person) -> None:
    """In the caller's transaction, without a tombstone."""
    for statement in STATEMENTS[who.kind]:
        connection.execute(
            statement.encode(), {"customer": who.customer_id, "keys": list(who.keys), "until": who.until}
        )
