"""Access: who may read what, as memberships and rights that any auditor sees in the catalogue.

`sync` follows the contracts; `apply` also takes away what differs from access.yml, the marts' YAML and the contracts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg.types.json import Jsonb

from callmart.access import drift, logins, roles, sessions
from callmart.access.drift import Drift
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import clock, lock, schema
from callmart.declarations import metrics
from callmart.declarations.dbt_project import Mart
from callmart.declarations.matrix import matrix

TRIES = 3


@dataclass(frozen=True)
class Applied:
    """What was mended, and a sentence for each thing that somebody else has to do."""

    mended: list[Drift]
    problems: list[str]


def sync(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Make memberships and logins what the contracts open today; a sentence for each login that could not be. Commits:
    first what opens and closes, then each login by itself.

    What was given by hand stays: it is drift, which `apply` takes away.
    """
    with sessions.making_way(connection):
        follow_contracts(connection, settings)
        connection.commit()
        return _settle(connection, settings)


def follow_contracts(connection: psycopg.Connection, settings: Settings) -> None:
    """Make memberships what the contracts open today, in the caller's transaction. No login can hold that up, whatever
    it does. What one could is left to `sync` and `finish`: the roles that are to be closed are noted.
    """
    database = connection.info.dbname
    known = roles.existing(connection, database)
    may_log_in = logins.of_customers(connection)
    wanted = set(_standing(database))
    limits = {roles.duty_role(database, duty): matrix().limits_of(duty) for duty in matrix().duties}
    for customer_id, option in connection.execute("select * from registry.current_option"):
        role = roles.customer_role(database, customer_id)
        limits[role] = matrix().limits_of(None)
        wanted |= {(role, member) for member in _impersonators(database)}
        wanted |= {(roles.group_role(database, group), role) for group in roles.opens(option)}
    for role in sorted(limits.keys() - known):
        logins.make(connection, settings.home, role, limits[role])

    granted = roles.granted(connection)
    standing = roles.memberships(connection, database)
    for role, member in sorted(granted - wanted):
        if (role, member) in standing:
            _execute(connection, "revoke {} from {}", role, member)
    for role, member in sorted(wanted - granted):
        _grant(connection, role, member)
    _note_changes(connection, database, granted, wanted)

    customers = {role for role in limits if roles.customer_of(database, role)}
    leaving = {role for role, _ in granted - wanted if roles.customer_of(database, role)} - customers
    unordered = {role for role in customers - may_log_in if logins.passfile(settings.home, role).exists()}
    connection.execute(
        "delete from access.closing where role = any(%s) or to_regrole(quote_ident(role)) is null",
        [sorted(customers & may_log_in)],
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into access.closing (role) values (%s) on conflict do nothing",
            [(role,) for role in sorted((leaving & known) | unordered)],
        )


def apply(connection: psycopg.Connection, settings: Settings, marts: list[Mart] | None) -> Applied:
    """Make the server match; commits, first what opens and closes. Raises UserError where something needs a hand with
    more rights than the owner's.
    """
    with sessions.making_way(connection):
        schema.apply(connection, settings.time_zone)
        clock.believe(connection, settings)
        if moved := next(drift.regrouped(connection, marts or ()), None):
            raise UserError(moved.text)
        follow_contracts(connection, settings)
        connection.commit()
        return finish(connection, settings, marts)


def finish(connection: psycopg.Connection, settings: Settings, marts: list[Mart] | None) -> Applied:
    """The rest of `apply`, when schema and memberships are committed; each part by itself: run again, it goes on."""
    problems = _settle(connection, settings)
    if marts is not None:
        lock.wait_at_most(connection, lock.TIMEOUT)
        show(connection, marts)
        for mart in marts:
            connection.execute(
                "select access.forget_values(to_regclass(%(table)s), %(day)s) where to_regclass(%(table)s) is not null",
                {"table": f"store.{mart.name}", "day": mart.day},
            )
        show(connection, marts)  # before PostgreSQL 18 nothing is forgotten while a view reads it
        connection.commit()
    mended: list[Drift] = []
    for _ in range(2):  # a right that was given twice, or hung on another, shows when the first is gone
        mended += _repair(connection, drift.find(connection, marts))
    found = drift.find(connection, marts)
    if left := [one for one in found if not (one.own or one.server or one.undeclared)]:
        raise UserError(
            f"the owner can't mend everything: {'; '.join(one.text for one in left[:5])}"
            f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}: have a superuser undo it, and apply again"
        )
    problems += [one.text for one in drift.holding(connection, settings, found)]
    schema.note(connection, settings.time_zone)
    connection.commit()
    return Applied(mended, problems)


def renew(connection: psycopg.Connection, settings: Settings, chosen: list[str]) -> list[str]:
    """Give logins new passwords; a sentence for each that could not get one. Commits."""
    with sessions.making_way(connection):
        return [
            problem
            for role in chosen
            if (
                problem := _done(
                    connection,
                    role,
                    "has no new password yet",
                    partial(logins.set_password, connection, settings.home, role),
                )
            )
        ]


def _settle(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Close the logins that are noted, open those that are new, and put back what logins changed of themselves: each by
    itself, so that none stands in the way of another. A sentence for each that is left. Commits.
    """
    home, database = settings.home, connection.info.dbname
    known = roles.existing(connection, database)
    staying = {role for role, _ in roles.granted(connection)}
    problems = []
    for role in sorted(roles.closing(connection)):
        steps: list[Callable[[], object]] = [
            partial(logins.close, connection, home, role),
            partial(sessions.end_all, connection, role),
        ]
        if role not in staying:
            steps.append(partial(logins.drop, connection, role))
        steps.append(partial(connection.execute, "delete from access.closing where role = %s", [role]))
        problems.append(
            _done(connection, role, "is not closed yet, though it reads nothing any more", *steps)
        )
    for role in logins.known(connection):
        if role in known and not logins.passfile(home, role).exists():
            problems.append(
                _done(connection, role, "is not open yet", partial(logins.open, connection, home, role))
            )
    mended = 0
    for found in [one for one in drift.of_roles(connection) if one.own and one.repair]:
        problem = _done(connection, found.role, "has other settings", partial(_run, connection, found))
        mended += problem is None
        problems.append(problem)
    if mended:
        note_applied(connection, mended, 0)
        connection.commit()
    return [problem for problem in problems if problem]


def _done(connection: psycopg.Connection, role: str, left: str, *steps: Callable[[], object]) -> str | None:
    """Do something with a login in several transactions; or after some tries a sentence that says what is left."""
    why = ""
    for _ in range(TRIES):
        try:
            for step in steps:
                lock.wait_at_most(connection, lock.TIMEOUT)
                step()
                connection.commit()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            connection.rollback()
            why = "an open transaction of somebody else holds its role; end that"
        except psycopg.errors.DependentObjectsStillExist:
            connection.rollback()
            why = "it owns something in another database; have a superuser run DROP OWNED there"
            break
        except psycopg.errors.InsufficientPrivilege:
            connection.rollback()
            why = "the owner does not administer its role; have a superuser grant it WITH ADMIN OPTION"
            break
        else:
            return None
    customer = roles.customer_of(connection.info.dbname, role)
    who = f"the login of customer {customer}" if customer else f"login {role}"
    return f"{who} {left}: {why}, and the next run tries again"


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


def _repair(connection: psycopg.Connection, drifted: list[Drift]) -> list[Drift]:
    """Mend what the owner can; what was mended. Each is a transaction, which holds up none of the others."""
    connection.commit()
    mended = []
    for found in drifted:
        try:
            with connection.transaction():
                lock.wait_at_most(connection, lock.TIMEOUT)
                _run(connection, found)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable):
            continue
        if found.repair:
            mended.append(found)
    return mended


def _run(connection: psycopg.Connection, found: Drift) -> None:
    for statement in found.repair:
        connection.execute(statement)


def _grant(connection: psycopg.Connection, role: str, member: str) -> None:
    _execute(connection, f"grant {{}} to {{}} with {roles.how(connection.info.dbname, role)}", role, member)


def _execute(connection: psycopg.Connection, text: str, *names: str) -> None:
    connection.execute(roles.statement(text, *names))
