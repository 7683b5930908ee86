"""Applies the registry file to the database, its roles and the keys.

For a customer without a contract now or later, the registry keeps the customer's own row and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import psycopg
from psycopg import sql

from callmart.access import memberships, sessions
from callmart.access.difference import Drift
from callmart.base import sql_file, telephone
from callmart.base.identifiers import listed
from callmart.base.keys import ensure_key, epochs, fingerprint_of, keyed, new_key, random_key
from callmart.base.settings import Settings
from callmart.database import audit_log, catalogue, clock, fingerprints, schema, vacuum
from callmart.registry import erased, objectors, orders
from callmart.registry.contacts import key_contacts
from callmart.registry.file import Registry
from callmart.registry.states import (
    CHANGES_NUMBERS,
    CUSTOMER,
    NAMED,
    NOBODY,
    TABLES,
    State,
    current_states,
    desired_states,
    first_day_of_other_hours,
    nothing,
)

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class States:
    """All customers as they are in the database, and as a registry file asks for them at this moment."""

    now: datetime
    current: dict[int, State]
    desired: dict[int, State]

    def become_anonymous(self) -> list[int]:
        """The customers whose agents become anonymous. One that the database does not have may come back before its
        data was removed, and nobody knows whether its agents had names.
        """
        return [
            id for id, after in self.desired.items() if after.becomes_anonymous(self.current.get(id, NOBODY))
        ]


def compare(connection: psycopg.Connection, settings: Settings, registry: Registry) -> States:
    """Read what applying a registry changes. The tables have to be there."""
    now = clock.now(connection)
    states = States(now, current_states(connection), desired_states(registry, now))
    objectors.leave_out(connection, settings, states.desired)
    return states


def apply(
    connection: psycopg.Connection,
    settings: Settings,
    registry: Registry,
    states: States | None = None,
    before: list[Drift] | None = None,
) -> memberships.Applied:
    """Apply the registry to the database, its roles and the keys. A caller who has brought the schema up to date names
    the `states` that `compare` has read since, and what `memberships.drift_before` said before.

    Commits several times: first the registry's contents together with the access that they open and close, then the
    logins of customers who had a role before, then each difference from access.yml that is corrected. Raises UserError
    in another home than that of the database.
    """
    with sessions.making_way(connection):
        if states is None:
            before = memberships.prepare(connection, settings)
            states = compare(connection, settings, registry)
        refuse(connection, settings, registry)
        _write_all(connection, settings, states)
        differing = memberships.follow_contracts(connection, settings)
        connection.commit()
        applied = memberships.finish(connection, settings, None, before, lets_in=False)
        return replace(applied, problems=differing + applied.problems)


def refuse(connection: psycopg.Connection, settings: Settings, registry: Registry) -> None:
    """Raise UserError in another home than that of the database, and if the registry names somebody who was erased."""
    fingerprints.refuse_other_home(connection, settings)
    erased.refuse(connection, settings, registry)


def _write_all(connection: psycopg.Connection, settings: Settings, states: States) -> None:
    now, current, desired = states.now, states.current, states.desired
    gone = current.keys() - desired.keys()
    connection.execute("delete from registry.customer where customer_id = any(%s)", [list(gone)])
    ordering = [id for id, after in desired.items() if after.tables["contract"]]
    known = fingerprints.of_customers(connection, ordering)
    keys = _keys(connection, settings, ordering, known)
    changed = {id: after for id, after in desired.items() if after != current.get(id)}
    _write(connection, changed, keys, now)
    _write_former(connection, {id: key for id, key in keys.items() if id not in known})
    _mark_days(connection, {id: (current.get(id, NOBODY), after) for id, after in changed.items()}, now)
    connection.execute("select ops.follow_contracts()")
    if changed or gone:  # what is built and not open was computed by what the registry said before
        connection.execute("select ops.discard_build()")
    if changed or gone or not schema.has_registry(connection):
        new_version(connection)
    unsaid = desired.keys() - {id for id, orders_noted in orders.noted(connection).items() if orders_noted}
    with connection.pipeline():
        for id in sorted(changed.keys() | gone | unsaid):
            audit_log.note(connection, "registry applied", orders.of(desired.get(id, NOBODY)), id)


def _keys(
    connection: psycopg.Connection, settings: Settings, customers: list[int], known: Mapping[int, str]
) -> dict[int, bytes]:
    """The keys of these customers, of which some are `known` by their fingerprints. A customer whose data was removed
    gets a new one: a file that exists then is from a backup.
    """
    removed = {id for (id,) in connection.execute(SQL["removed"], {"customers": customers})}
    return {
        id: new_key(settings.home, id)
        if id in removed and id not in known
        else ensure_key(settings.home, id, known.get(id))
        for id in customers
    }


def _write_former(connection: psycopg.Connection, keys: Mapping[int, bytes]) -> None:
    """Note what the keys of customers who come back, before their data was removed, were before each rotation."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into registry.former_fingerprint (customer_id, key_fingerprint) values (%s, %s)"
            " on conflict do nothing",
            [(id, fingerprint_of(former)) for id, key in keys.items() for former in epochs(key)[:-1]],
        )


def new_version(connection: psycopg.Connection) -> None:
    """Make a version of the registry, in the caller's transaction. Waits for the files that are landing. Until the
    transaction ends no other lands, and then only by this version: what has passed the gate before, with a former key,
    lands no more.
    """
    connection.execute("insert into registry.version default values")


def forget_customer(connection: psycopg.Connection, customer_id: int) -> bytes | None:
    """Reset the customer in the registry, as if it had never had data. What is ordered for later stays, with a new key.

    Returns the new key, for the caller to write when nothing else can fail: until the commit the database knows the
    former one. None if the customer needs none; then its file can be deleted.
    """
    for table in ("privacy.secret", "privacy.correction", "privacy.renewed_tombstone", "ops.rotation"):
        connection.execute(f"delete from {table} where customer_id = %s".encode(), [customer_id])
    state = current_states(connection).get(customer_id)
    if state is None:
        return None
    now = clock.now(connection)
    today = state.today(now)
    is_ordered = state.is_ordered("standard", "detailed", today=today)
    key = random_key() if is_ordered else None
    if not is_ordered:
        state = State(state.customer, nothing())
    if not state.keeps_agents(today):
        state.agents = set()
    connection.execute(
        "update registry.customer set key_fingerprint = null where customer_id = %s", [customer_id]
    )
    connection.execute("delete from registry.former_fingerprint where customer_id = %s", [customer_id])
    connection.execute("delete from registry.agent where customer_id = %s", [customer_id])
    _write(connection, {customer_id: state}, {customer_id: key} if key else {}, now)
    return key


def _write(
    connection: psycopg.Connection, states: Mapping[int, State], keys: Mapping[int, bytes], now: datetime
) -> None:
    """Write customers as they should be. `keys` has those of customers that may have data."""
    columns = ("customer_id", *CUSTOMER, "key_fingerprint")
    made_with = {id: fingerprint_of(key) for id, key in keys.items()}
    with connection.cursor() as cursor:
        cursor.executemany(
            # The key's fingerprint stays until the data that was stored with the key is removed.
            sql.SQL(
                "insert into registry.customer as known ({}) values ({}) on conflict (customer_id) do update set {},"
                " key_fingerprint = coalesce(excluded.key_fingerprint, known.key_fingerprint)"
            ).format(
                listed(columns),
                sql.SQL(", ").join(sql.Placeholder() * len(columns)),
                sql.SQL(", ").join(
                    sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in CUSTOMER
                ),
            ),
            [(id, *state.customer, made_with.get(id)) for id, state in states.items()],
        )
        for table, names in TABLES.items():
            cursor.execute(
                sql.SQL("delete from registry.{} where customer_id = any(%s)").format(sql.Identifier(table)),
                [list(states)],
            )
            cursor.executemany(
                sql.SQL("insert into registry.{} (customer_id, {}) values (%s, {})").format(
                    sql.Identifier(table), listed(names), sql.SQL(", ").join(sql.Placeholder() * len(names))
                ),
                [
                    (id, *(list(v) if isinstance(v, tuple) else v for v in row))
                    for id, state in states.items()
                    for row in state.tables[table]
                ],
            )
        keyed_names = [
            (name_key, id, name)
            for id in states.keys() & keys.keys()
            for name, name_key in telephone.keys_of_names(keys[id], states[id].own_names()).items()
        ]
        for table in NAMED:
            cursor.executemany(
                sql.SQL("update registry.{0} set {1} = %s where customer_id = %s and {0} = %s").format(
                    sql.Identifier(table), sql.Identifier(f"{table}_key")
                ),
                keyed_names,
            )
    key_contacts(connection, {id: keys[id] for id in states.keys() & keys.keys()})
    _write_agents(connection, states, keys, now)


def _write_agents(
    connection: psycopg.Connection, states: Mapping[int, State], keys: Mapping[int, bytes], now: datetime
) -> None:
    """Write the names that customers give their agents. If none may be kept, the agents' ids are deleted as well."""
    keeping = [id for id, state in states.items() if state.keeps_agents(state.today(now))]
    forgotten = connection.execute(
        SQL["forget_agents"], {"customers": list(states.keys() - set(keeping))}
    ).rowcount
    # An agent who was never seen is of no use without a name.
    connection.execute(SQL["forget_unseen_agents"], {"customers": keeping})
    forgotten += connection.execute(SQL["forget_names"], {"customers": keeping}).rowcount
    if forgotten:
        vacuum.note(connection, "registry.agent")
    with connection.cursor() as cursor:
        cursor.executemany(
            SQL["write_agent"],
            [
                {
                    "customer": id,
                    "agent_key": keyed(keys[id], "agent", agent),
                    "agent": agent,
                    "name": name,
                    "email": email,
                }
                for id in states.keys() & keys.keys()
                for agent, name, email in states[id].agents
            ],
        )
    if catalogue.exists(connection, "store.agent") and (
        connection.execute(SQL["label_agents"], {"customers": list(states)}).rowcount
    ):
        vacuum.note(connection, "store.agent")


def _mark_days(
    connection: psycopg.Connection, changed: Mapping[int, tuple[State, State]], now: datetime
) -> None:
    """Mark open days dirty if numbers change: all, or those since opening hours are other ones, or since the list of
    contacts is kept. ops.follow_contracts marks those that a changed contract affects.
    """
    # A customer that returns before its removal has days, too, and no time zone before. Calls can move to another day:
    # late on one day in one time zone is on the next day in another.
    moved = [
        id for id, (before, after) in changed.items() if before.value("time_zone") != after.value("time_zone")
    ]
    connection.execute(SQL["redate"], {"customers": moved})
    since = {id: _since(before, after, after.today(now)) for id, (before, after) in changed.items()}
    connection.execute(SQL["mark_days"], {"customers": list(since), "since": list(since.values())})


def _since(before: State, after: State, today: date) -> date:
    """The day since when numbers change; date.max if none do."""
    own_before, own_after = (telephone.numbers_in_names(state.own_names()) for state in (before, after))
    since = [first_day_of_other_hours(before, after) or date.max]
    if (days := after.value("contact_list_days") or 0) > (before.value("contact_list_days") or 0):
        since.append(today - timedelta(days=days + 1))  # the provider's today can be the day before
    if (
        before.thresholds() != after.thresholds()
        or own_before != own_after
        or any(before.value(column) != after.value(column) for column in CHANGES_NUMBERS)
    ):
        since.append(date.min)
    return min(since)
