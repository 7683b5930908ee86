"""Changes logins one at a time: their passwords, and what follows for them from contracts and drift.

Each step is a transaction of its own. So a session that holds its own role keeps nobody but its login waiting.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psycopg

from callmart.access import drift, logins, roles, sessions
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import audit_log, fingerprints, lock

SHORTEST = 12  # characters of a password that a person chooses
TRIES = 3


def settle(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Close the logins that are noted, open those that are not open yet, and reset what logins changed of themselves.
    Each login has transactions of its own, so that none can delay another. Commits. Returns one sentence per login that
    is left.
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
        reads = "and its sessions can still read" if role in staying else "but can't read anything any more"
        problems.append(_done(connection, role, f"is not closed yet, {reads}", *steps))
    for role in logins.known(connection):
        if role in known and not logins.passfile(home, role).exists():
            problems.append(
                _done(
                    connection,
                    role,
                    "is not open yet",
                    partial(logins.open, connection, home, role, logins.limits_of(database, role)),
                )
            )
    mended = 0
    for found in [one for one in drift.of_roles(connection) if one.own and one.repair]:
        problem = _done(connection, found.role, "has other settings", partial(found.correct, connection))
        mended += problem is None
        problems.append(problem)
    if mended:
        note_applied(connection, mended, 0)
        connection.commit()
    return [problem for problem in problems if problem]


def renew(
    connection: psycopg.Connection,
    settings: Settings,
    chosen: list[str],
    on_renewed: Callable[[str], None] = quietly,
) -> dict[str, str]:
    """Give logins new passwords, and end the sessions that were opened with the old ones. Commits. Tells each login
    that has one, and returns one sentence per login for which that is not done. Raises UserError in another home than
    that of the database.
    """
    fingerprints.refuse_other_home(connection, settings)
    left = {}
    with sessions.making_way(connection):
        for role in chosen:
            if problem := _change_password(
                connection, role, partial(logins.set_password, connection, settings.home, role)
            ):
                left[role] = problem
            else:
                on_renewed(role)
    return left


def choose_password(connection: psycopg.Connection, role: str, password: str) -> str | None:
    """Give a login the password that a person has chosen, as `renew` does. Returns None, or a sentence if that is not
    done. Raises UserError if it is short.
    """
    if len(password) < SHORTEST:
        raise UserError(f"that password is too short: choose one of at least {SHORTEST} characters")
    with sessions.making_way(connection):
        return _change_password(connection, role, partial(logins.choose_password, connection, role, password))


def _change_password(connection: psycopg.Connection, role: str, change: Callable[[], object]) -> str | None:
    """Change a login's password, and end its sessions. Until they have ended nobody gets in, because a login can change
    its own password: an old session could choose another one, and come back with it. If it breaks off in between, the
    login has no password, and `access apply` gives it another one.
    """

    def let_in() -> None:
        change()
        connection.execute(logins.admitting(role))

    if connection.execute("select to_regrole(quote_ident(%s)) is null", [role]).fetchone() == (True,):
        return f"login {role} has no role yet: the next run makes it, with a password"
    return _done(
        connection,
        role,
        "has no new password yet, and may be shut out until it has one",
        partial(connection.execute, logins.barring(role)),
        partial(sessions.end_all, connection, role),
        let_in,
        again="then `callmart access rotate` its password",
    )


def note_applied(connection: psycopg.Connection, mended: int, renewed: int) -> None:
    """Write into the audit log how many differences were corrected and how many passwords were renewed."""
    audit_log.note(connection, "access applied", {"mended": mended, "passwords renewed": renewed})


def _done(
    connection: psycopg.Connection,
    role: str,
    left: str,
    *steps: Callable[[], object],
    again: str = "and the next run tries again",
) -> str | None:
    """Change a login, one transaction per step, with some tries. Returns None, or a sentence that says what is left and
    what to do.
    """
    why = ""
    for _ in range(TRIES):
        try:
            for step in steps:
                lock.wait_at_most(connection, lock.TIMEOUT)
                step()
                connection.commit()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            connection.rollback()
            why = "an open transaction of another session holds its role; end that session"
        except psycopg.errors.InternalError_:  # its role was changed at the same moment
            connection.rollback()
            with suppress(*sessions.NOT_ENDED):
                sessions.end_all(connection, role)
            connection.commit()
            why = "another session changes its role again and again; end that session"
        except psycopg.errors.UndefinedObject:  # the login is gone meanwhile
            connection.rollback()
            return None
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
    return f"{who} {left}: {why}, {again}"
