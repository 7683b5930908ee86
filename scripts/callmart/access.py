"""Access: who may read what, as memberships and rights that any auditor sees in the catalogue.

`sync` follows the contracts; `apply` also takes away what differs from access.yml, the marts' YAML and the contracts.
"""

from collections.abc import Iterator

import psycopg
from psycopg.types.json import Jsonb

from callmart import drift, logins, metrics, roles
from callmart.dbt import Mart
from callmart.drift import Drift
from callmart.errors import UserError
from callmart.matrix import matrix
from callmart.settings import Settings


def sync(connection: psycopg.Connection, settings: Settings) -> None:
    """Make logins and memberships what the contracts open today, in the caller's transaction.

    What was given by hand stays: it is drift, which `apply` takes away.
    """
    database = connection.info.dbname
    known = roles.existing(connection, database)
    may_log_in = logins.of_customers(connection)
    wanted = set(_standing(database))
    for duty in matrix().duties:
        logins.ensure(
            connection, settings.home, roles.duty_role(database, duty), matrix().limits_of(duty), known
        )
    for customer_id, option in connection.execute("select * from registry.current_option"):
        role = roles.customer_role(database, customer_id)
        limits = matrix().limits_of(None)
        logins.ensure(connection, settings.home, role, limits, known, may_log_in=role in may_log_in)
        wanted |= {(role, member) for member in _impersonators(database)}
        wanted |= {(roles.group_role(database, group), role) for group in roles.opens(option)}

    granted = roles.granted(connection)
    standing = roles.memberships(connection, database)
    for role, member in sorted(granted - wanted):
        if (role, member) in standing:
            _execute(connection, "revoke {} from {}", role, member)
    for role, member in sorted(wanted - granted):
        _grant(connection, role, member)
    _note_changes(connection, database, granted, wanted)
    for role in sorted({role for role, _ in granted - wanted} - {role for role, _ in wanted}):
        if roles.customer_of(database, role) and role in known:
            logins.drop(connection, role)
            logins.passfile(settings.home, role).unlink(missing_ok=True)
    own = [found for found in drift.of_roles(connection) if found.own]
    if mended := list(_repair(connection, own)):
        note_applied(connection, len(mended), 0)


def apply(connection: psycopg.Connection, settings: Settings, marts: list[Mart] | None) -> list[Drift]:
    """Make the server match, in the caller's transaction; what was mended.

    Raises UserError where something needs a hand with more rights than the owner's.
    """
    connection.execute("set local lock_timeout = '3s'")  # readers wait behind it
    if moved := next(drift.regrouped(connection, marts or ()), None):
        raise UserError(moved.text)
    sync(connection, settings)
    if marts is not None:
        show(connection, marts)
        for mart in marts:
            connection.execute(
                "select access.forget_values(to_regclass(%(table)s), %(day)s) where to_regclass(%(table)s) is not null",
                {"table": f"store.{mart.name}", "day": mart.day},
            )
        show(connection, marts)  # before PostgreSQL 18 nothing is forgotten while a view reads it
    mended: list[Drift] = []
    for _ in range(2):  # a right that was given twice, or hung on another, shows when the first is gone
        mended += _repair(connection, drift.find(connection, marts))
    if left := [found for found in drift.find(connection, marts) if not found.undeclared]:
        raise UserError(
            f"the owner can't mend everything: {'; '.join(one.text for one in left[:5])}"
            f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}: have a superuser undo it, and apply again"
        )
    return mended


def show(connection: psycopg.Connection, marts: list[Mart]) -> None:
    """Let the views that customers read be as declared, in the caller's transaction."""
    for mart in marts:
        connection.execute(
            "select access.show_mart(to_regclass(%(table)s), %(group)s) where to_regclass(%(table)s) is not null",
            {"table": f"store.{mart.name}", "group": mart.group},
        )
    metrics.show(connection, marts)


def note_applied(connection: psycopg.Connection, mended: int, renewed: int) -> None:
    """Tell the audit log what was done to rights and passwords."""
    connection.execute(
        "insert into ops.audit_log (action, details) values ('access applied', %s)",
        [Jsonb({"mended": mended, "passwords renewed": renewed})],
    )


def _standing(database: str) -> Iterator[roles.Membership]:
    """The memberships of duties, whatever the contracts."""
    for name, duty in matrix().duties.items():
        for group in duty.groups:
            yield roles.group_role(database, group), roles.duty_role(database, name)


def _impersonators(database: str) -> list[str]:
    return [roles.duty_role(database, name) for name, duty in matrix().duties.items() if duty.becomes]


def _note_changes(
    connection: psycopg.Connection,
    database: str,
    granted: set[roles.Membership],
    wanted: set[roles.Membership],
) -> None:
    """Keep what is granted now, and tell the audit log which groups opened and closed for whom."""
    connection.execute("delete from access.granted")
    with connection.cursor() as cursor:
        cursor.executemany("insert into access.granted (role, member) values (%s, %s)", sorted(wanted))
        for action, changed in (("closed", granted - wanted), ("access opened", wanted - granted)):
            groups: dict[int, list[str]] = {}
            for role, member in sorted(changed):
                if customer := roles.customer_of(database, member):
                    groups.setdefault(customer, []).append(role.removeprefix(f"{database}_reads_"))
            cursor.executemany(
                "insert into ops.audit_log (action, customer_id, details) values (%s, %s, %s)",
                [(action, customer, Jsonb({"groups": names})) for customer, names in groups.items()],
            )


def _repair(connection: psycopg.Connection, drifted: list[Drift]) -> Iterator[Drift]:
    """Mend what the owner can; what was mended."""
    for found in drifted:
        try:
            with connection.transaction():
                for statement in found.repair:
                    connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            continue
        if found.repair:
            yield found


def _grant(connection: psycopg.Connection, role: str, member: str) -> None:
    _execute(connection, f"grant {{}} to {{}} with {roles.how(connection.info.dbname, role)}", role, member)


def _execute(connection: psycopg.Connection, text: str, *names: str) -> None:
    connection.execute(roles.statement(text, *names))
