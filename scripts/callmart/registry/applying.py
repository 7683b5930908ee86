"""Applies the registry file to the database, its roles and the keys.

For a customer without a contract now or later, the registry keeps the customer's own row and nothing else.
"""

from datetime import date, timedelta

import psycopg
from psycopg import sql

from callmart.access import memberships, sessions
from callmart.base import sql_file, telephone
from callmart.base.keys import ensure_key, fingerprint_of, keyed, new_key
from callmart.base.settings import Settings
from callmart.database import clock, schema
from callmart.registry import erased, objectors
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


def apply(connection: psycopg.Connection, settings: Settings, registry: Registry) -> list[str]:
    """Apply the registry to the database, its roles and the keys.

    Commits twice: first the registry's contents together with the access that they open and close, then the logins.
    Returns one sentence per thing that a person has to do.
    """
    with sessions.making_way(connection):
        _write_all(connection, settings, registry)
        differing = memberships.follow_contracts(connection, settings)
        connection.commit()
        return differing + memberships.finish(connection, settings, None).problems


def _write_all(connection: psycopg.Connection, settings: Settings, registry: Registry) -> None:
    schema.ensure(connection, settings)
    now = clock.now(connection)
    current, desired = current_states(connection), desired_states(registry, now)
    erased.refuse(connection, settings, registry)
    objectors.leave_out(connection, settings, desired)
    for customer_id in current.keys() - desired.keys():
        connection.execute("delete from registry.customer where customer_id = %s", [customer_id])
    changed = current.keys() - desired.keys()
    for customer_id, after in desired.items():
        before = current.get(customer_id)
        key = _key(connection, settings, customer_id) if after.tables["contract"] else None
        if before != after:
            changed = changed | {customer_id}
            _write(connection, customer_id, after, key)
            _write_agents(connection, customer_id, after, key, after.today(now))
            _mark_days(connection, customer_id, before or NOBODY, after, after.today(now))
    connection.execute("select ops.follow_contracts()")
    if changed or not schema.has_registry(connection):
        connection.execute("insert into registry.version default values")
        for customer_id in sorted(changed):
            connection.execute(
                "insert into ops.audit_log (action, customer_id) values ('registry applied', %s)",
                [customer_id],
            )


def _key(connection: psycopg.Connection, settings: Settings, customer_id: int) -> bytes:
    known = connection.execute(
        "select key_fingerprint from registry.customer"
        " where customer_id = %s and key_fingerprint is not null",
        [customer_id],
    ).fetchone()
    if known is None and _was_removed(connection, customer_id):
        return new_key(settings.home, customer_id)
    return ensure_key(settings.home, customer_id, known[0] if known else None)


def _was_removed(connection: psycopg.Connection, customer_id: int) -> bool:
    """Whether all data of the customer was removed. A key that still exists then comes from a backup."""
    return connection.execute(
        """
        select
            exists (select from ops.audit_log where customer_id = %(customer)s and action = 'removed')
            and not exists (select from raw.file_customer where customer_id = %(customer)s)
        """,
        {"customer": customer_id},
    ).fetchone() == (True,)


def forget_customer(connection: psycopg.Connection, settings: Settings, customer_id: int) -> bool:
    """Reset the customer in the registry, as if it had never had data. What is ordered for later stays, with a new key.

    Returns whether the customer needs a key. If not, its file can be deleted.
    """
    state = current_states(connection).get(customer_id)
    if state is None:
        return False
    today = state.today(clock.now(connection))
    is_ordered = state.is_ordered("standard", "detailed", today=today)
    key = new_key(settings.home, customer_id) if is_ordered else None
    if not is_ordered:
        state = State(state.customer, nothing())
    if not state.keeps_agents(today):
        state.agents = set()
    connection.execute(
        "update registry.customer set key_fingerprint = null where customer_id = %s", [customer_id]
    )
    connection.execute("delete from registry.former_fingerprint where customer_id = %s", [customer_id])
    connection.execute("delete from registry.agent where customer_id = %s", [customer_id])
    for table in ("privacy.secret", "privacy.correction"):
        connection.execute(f"delete from {table} where customer_id = %s".encode(), [customer_id])
    _write(connection, customer_id, state, key)
    _write_agents(connection, customer_id, state, key, today)
    return is_ordered


def _write(connection: psycopg.Connection, customer_id: int, state: State, key: bytes | None) -> None:
    columns = ("customer_id", *CUSTOMER, "key_fingerprint")
    connection.execute(
        # The key's fingerprint stays until the data that was stored with the key is removed.
        sql.SQL(
            "insert into registry.customer as known ({}) values ({}) on conflict (customer_id) do update set {},"
            " key_fingerprint = coalesce(excluded.key_fingerprint, known.key_fingerprint)"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
            sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in CUSTOMER
            ),
        ),
        [customer_id, *state.customer, fingerprint_of(key) if key else None],
    )
    for table, names in TABLES.items():
        connection.execute(
            sql.SQL("delete from registry.{} where customer_id = %s").format(sql.Identifier(table)),
            [customer_id],
        )
        insert = sql.SQL("insert into registry.{} (customer_id, {}) values (%s, {})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.Placeholder() * len(names)),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                insert,
                [
                    [customer_id, *(list(v) if isinstance(v, tuple) else v for v in row)]
                    for row in state.tables[table]
                ],
            )
    if key is not None:
        key_contacts(connection, customer_id, key)

    if key is not None:
        new = telephone.keys_of_names(key, state.own_names())
        for table in NAMED:
            with connection.cursor() as cursor:
                cursor.executemany(
                    sql.SQL("update registry.{0} set {1} = %s where customer_id = %s and {0} = %s").format(
                        sql.Identifier(table), sql.Identifier(f"{table}_key")
                    ),
                    [(name_key, customer_id, name) for name, name_key in new.items()],
                )


def _write_agents(
    connection: psycopg.Connection, customer_id: int, state: State, key: bytes | None, today: date
) -> None:
    """Write the names that the customer gives its agents. If none may be kept, the agents' ids are deleted as well."""
    forget = "delete from registry.agent where customer_id = %s"
    if state.keeps_agents(today):
        # An agent who was never seen is of no use without a name.
        connection.execute(f"{forget} and name is not null and last_day is null", [customer_id])
        forget = (
            "update registry.agent set name = null, email = null where customer_id = %s and name is not null"
        )
    if connection.execute(forget, [customer_id]).rowcount:
        connection.execute(
            "insert into ops.to_vacuum (relation) values ('registry.agent') on conflict do nothing"
        )
    if key is not None:
        with connection.cursor() as cursor:
            cursor.executemany(
                """
                insert into registry.agent (customer_id, agent_key, agent, name, email) values (%s, %s, %s, %s, %s)
                on conflict (customer_id, agent_key) do update
                set agent = excluded.agent, name = excluded.name, email = excluded.email
                """,
                [
                    (customer_id, keyed(key, "agent", agent), agent, name, email)
                    for agent, name, email in state.agents
                ],
            )
    if connection.execute("select to_regclass('store.agent')").fetchone() != (None,):
        connection.execute(
            "update store.agent set agent = registry.agent_label(customer_id, agent_key) where customer_id = %s",
            [customer_id],
        )
        connection.execute(
            "insert into ops.to_vacuum (relation) values ('store.agent') on conflict do nothing"
        )


def _mark_days(
    connection: psycopg.Connection, customer_id: int, before: State, after: State, today: date
) -> None:
    """Mark open days dirty if numbers change: all, or those since opening hours are other ones, or since the list of
    contacts is kept. ops.follow_contracts marks those that a changed contract affects.
    """
    # A customer that returns before its removal has days, too, and no time zone before.
    if before.value("time_zone") != after.value("time_zone"):
        # Calls can move to another day: late on one day in one time zone is on the next day in another.
        connection.execute("select raw.redate(%s)", [customer_id])
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
    connection.execute(SQL["mark_days"], {"customer": customer_id, "since": min(since)})
