"""Grants memberships and rights, so that the catalogue shows any auditor who may read what.

`sync` follows the contracts. `apply` also corrects all drift from access.yml and the marts' YAML.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import psycopg
from psycopg import sql

from callmart.access import changing_logins, drift, logins, rights, roles, sessions
from callmart.access.difference import Drift
from callmart.base.errors import UserError
from callmart.base.identifiers import listed
from callmart.base.matrix import matrix
from callmart.base.settings import Settings
from callmart.database import audit_log, clock, fingerprints, ledger, lock, migrating, schema
from callmart.declarations import mart_tables, metrics, pointing
from callmart.declarations.mart import Mart

# A right that is revoked can show another that was given twice, or depended on it; a view, the one that it reads.
ROUNDS = 10

MISSING = Drift("a function or a view that callmart made is not there")


@dataclass(frozen=True)
class Applied:
    """The drift that was corrected, and one sentence per problem that is left for a person. In a database that was not
    at this version everything differs, so none of that is called drift.
    """

    mended: list[Drift]
    problems: list[str]


def sync(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Make memberships and logins follow the contracts of today. Returns one sentence per login that could not be
    changed. Commits the memberships first, with the logins of new customers, then each other login by itself. Raises
    UserError in another home than that of the database.

    Rights that were given by hand stay. They are drift, and `apply` revokes them.
    """
    fingerprints.refuse_other_home(connection, settings)
    with sessions.making_way(connection):
        closed = follow_contracts(connection, settings)
        connection.commit()
        return closed + changing_logins.settle(connection, settings)


def follow_contracts(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Make memberships follow the contracts of today, in the caller's transaction, and make the roles and logins of new
    customers. No login can delay this. The steps that a login could delay are left to `sync` and `finish`; here the
    roles that have to be closed are only noted.

    A customer of whom ledger and database differ reads nothing. Returns one sentence per customer for which that is so.
    """
    differing = ledger.close(connection, settings)
    closed = ledger.closed(connection)
    database = connection.info.dbname
    known = roles.existing(connection, database)
    may_log_in = logins.of_customers(connection)
    wanted = set(_of_duties(database))
    customers: set[str] = set()
    impersonators = _impersonators(database)
    for customer_id, option, orders in connection.execute("select * from registry.current_option"):
        role = roles.customer_role(database, customer_id)
        customers.add(role)
        wanted |= {(role, member) for member in impersonators}
        if customer_id not in closed:
            wanted |= {(roles.group_role(database, group), role) for group in roles.opens(option, orders)}
    granted = roles.granted(connection)
    present = roles.memberships(connection, database)
    for role, members in _by_role((granted - wanted) & present.keys()):
        _execute(connection, role, members, "revoke {} from {}")
    for role in sorted(set(logins.of_duties(database)) - known):
        logins.make(connection, settings.home, role)
        if role in logins.typed(database):
            logins.let_in(connection, role, logins.limits_of(database, role))
    missing, new = wanted - granted, customers - known
    becoming = {(role, member) for role in new for member in impersonators} & missing
    _make(connection, settings.home, new, new & may_log_in, becoming)
    _grant(connection, missing - becoming)
    _note_changes(connection, database, granted, wanted)

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
    return differing


def apply(
    connection: psycopg.Connection, settings: Settings, marts: list[Mart] | None, *, lets_in: bool = True
) -> Applied:
    """Bring schema, memberships, logins, rights and policies up to date. Commits, memberships first. A login that was
    barred by hand comes in again if this `lets_in`.

    Raises UserError if something needs more rights than the owner has, if a column does not say whom it points to, or
    in another home than that of the database.
    """
    with sessions.making_way(connection):
        before = drift_before(connection, settings, marts)
        schema.apply(connection, settings)
        fingerprints.refuse_other_home(connection, settings)
        clock.believe(connection, settings)
        if moved := next(drift.regrouped(connection, marts or ()), None):
            raise UserError(moved.text)
        differing = follow_contracts(connection, settings)
        connection.commit()
        applied = finish(connection, settings, marts, before, lets_in=lets_in)
        return replace(applied, problems=differing + applied.problems)


def drift_before(
    connection: psycopg.Connection, settings: Settings, marts: list[Mart] | None
) -> list[Drift] | None:
    """What differs before the schema is brought up to date, which sets some of it right without a word. None if the
    database is not at this version: then everything differs.
    """
    if not schema.is_current(connection, settings.time_zone) or migrating.pending(connection):
        return None
    try:
        with connection.transaction():
            left = [] if marts is None else mart_tables.undeclared(connection, marts)
            return list(drift.of_objects(connection, marts, left))
    except (UserError, psycopg.ProgrammingError):  # what the look itself needs was taken away
        return [MISSING]


def prepare(connection: psycopg.Connection, settings: Settings) -> list[Drift] | None:
    """Bring the schema up to date. Returns what `drift_before` said before."""
    before = drift_before(connection, settings, None)
    if before != []:  # otherwise all of the schema has been looked at
        schema.ensure(connection, settings)
    return before


def finish(
    connection: psycopg.Connection,
    settings: Settings,
    marts: list[Mart] | None,
    before: list[Drift] | None,
    *,
    lets_in: bool,
) -> Applied:
    """The rest of `apply`, after schema and memberships are committed: corrects the drift, and writes into the audit
    log how much is gone. `before` is what `drift_before` said. Each part is a transaction of its own. If one fails, the
    next `apply` continues.
    """
    problems = changing_logins.settle(connection, settings)
    if marts is not None:
        lock.wait_at_most(connection, lock.TIMEOUT)
        show(connection, marts)
        connection.execute(
            "select access.forget_values(to_regclass(relation), day)"
            " from unnest(%s::text[], %s::name[]) as m (relation, day) where to_regclass(relation) is not null",
            [[mart.table for mart in marts], [mart.day for mart in marts]],
        )
        show(connection, marts)  # before PostgreSQL 18 nothing is forgotten while a view reads it
        connection.commit()
    mended: list[Drift] = []
    # If nothing differed before, and no marts are shown, only roles and memberships have changed since.
    found = drift.find(connection, marts, objects=before != [] or marts is not None)
    earlier = list[Drift]()
    for _ in range(ROUNDS):
        repaired = [one for one in found if one.repair and (lets_in or not one.shut)]
        if not repaired or found == earlier:
            break
        mended += _repair(connection, repaired)
        if marts is not None:
            show(connection, marts)  # a view that was made meanwhile had the rights that are gone now
            connection.commit()
        earlier, found = found, drift.find(connection, marts)
    if before is None:
        mended = []
    else:
        mended += [one for one in before if one not in mended and one not in found]
    if mended:  # also if the rest can't be corrected
        changing_logins.note_applied(connection, len(mended), 0)
        connection.commit()
    if left := [one for one in found if one.stops and not one.server]:
        pointing.refuse_undeclared(connection, of_models=marts is not None)
        raise UserError(
            f"the owner can't correct everything: {'; '.join(one.text for one in left[:5])}"
            f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}: have a superuser undo it, and apply again"
        )
    problems += [one.text for one in drift.stopping(connection, settings, found)]
    problems += drift.shut_out(found)
    schema.note(connection, settings.time_zone)
    connection.commit()
    return Applied(mended, problems)


def show(connection: psycopg.Connection, marts: list[Mart]) -> None:
    """Bring the views that customers read up to date, and whom their columns point to, in the caller's transaction.

    Raises UserError if one has to be made anew and something that is not callmart's depends on it.
    """
    pointing.declare(connection, (*marts, rights.STATISTIC))
    try:
        with connection.transaction():
            connection.execute(
                "select access.show_mart(to_regclass(relation), mart_group)"
                " from unnest(%s::text[], %s::text[]) as m (relation, mart_group)"
                " where to_regclass(relation) is not null",
                [[mart.table for mart in marts], [mart.group for mart in marts]],
            )
            metrics.show(connection, marts)
    except psycopg.errors.DependentObjectsStillExist as error:
        others = "; ".join((error.diag.message_detail or "").splitlines())
        raise UserError(
            f"a view of a mart has to be made anew ({others}): drop what depends on it, then run the same command again"
        ) from None


def _of_duties(database: str) -> Iterator[roles.Membership]:
    """The memberships of duties, which do not depend on contracts."""
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
    """Record the granted memberships, and write into the audit log which groups opened and closed per customer."""
    with connection.cursor() as cursor:
        for statement, changed in (
            ("delete from access.granted where role = %s and member = %s", granted - wanted),
            ("insert into access.granted (role, member) values (%s, %s)", wanted - granted),
        ):
            cursor.executemany(statement, sorted(changed))
        for action, changed in (("closed", granted - wanted), ("access opened", wanted - granted)):
            groups: dict[int, list[str]] = {}
            for role, member in sorted(changed):
                if customer := roles.customer_of(database, member):
                    groups.setdefault(customer, []).append(role.removeprefix(f"{database}_reads_"))
            with connection.pipeline():
                for customer, names in groups.items():
                    audit_log.note(connection, action, {"groups": names}, customer)


def _repair(connection: psycopg.Connection, drifted: list[Drift]) -> list[Drift]:
    """Correct what the owner can correct of this drift, one transaction per difference. Returns what was corrected."""
    connection.commit()
    mended = []
    for found in drifted:
        try:
            with connection.transaction():
                lock.wait_at_most(connection, lock.TIMEOUT)
                found.correct(connection)
        except (
            *sessions.NOT_ENDED,
            psycopg.errors.DependentObjectsStillExist,  # what depends on it may be corrected first
            psycopg.errors.InternalError_,  # as in changing_logins
        ):
            continue
        mended.append(found)
    return mended


def _make(
    connection: psycopg.Connection,
    home: Path,
    customers: set[str],
    logging_in: set[str],
    becoming: set[roles.Membership],
) -> None:
    """Create the roles of new customers, some with a login, and let the publisher become them.

    No login may delay this: if one can't be made, none is, and `changing_logins.settle` opens each by itself.
    """
    limits, becoming_each = matrix().limits_of(None), dict(_by_role(becoming))
    try:
        with connection.transaction():
            for role in sorted(customers):
                if role in logging_in:
                    logins.make_open(connection, home, role, limits)
                else:
                    logins.make(connection, home, role)
                # At once: a grant takes longer the more roles there are.
                _grant(connection, {(role, member) for member in becoming_each.get(role, ())})
    except (psycopg.DatabaseError, OSError):
        if not logging_in:
            raise
        _make(connection, home, customers, set(), becoming)


def _by_role(memberships: set[roles.Membership]) -> Iterator[tuple[str, list[str]]]:
    """The members of each role."""
    for role, group in groupby(sorted(memberships), key=lambda membership: membership[0]):
        yield role, [member for _, member in group]


def _grant(connection: psycopg.Connection, memberships: set[roles.Membership]) -> None:
    for role, members in _by_role(memberships):
        options = roles.grant_options(connection.info.dbname, role)
        _execute(connection, role, members, f"grant {{}} to {{}} with {options}")


def _execute(connection: psycopg.Connection, role: str, members: list[str], text: str) -> None:
    connection.execute(sql.SQL(text).format(sql.Identifier(role), listed(members)))
