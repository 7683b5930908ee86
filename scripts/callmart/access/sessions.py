"""Ends sessions of customers and duties that block the owner or a landing.

A login can keep a lock as long as it likes: it reads a mart, or changes its own role, in a transaction that it never
ends, and it may switch off all its timeouts. It needs no right for that: whoever may use a schema locks its tables by
preparing a statement, and anybody locks what a view or a function reads by asking for its definition. So every command
that changes something runs in `making_way`, and most of them in `at_work`.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import psycopg

from callmart.access import roles
from callmart.base import sql_file
from callmart.base.matrix import matrix
from callmart.base.settings import Settings
from callmart.database import audit_log, clock
from callmart.database.lock import second

SQL = sql_file.statements(__file__)

PATIENCE = "2s"  # a session that blocks the owner longer is ended
_LOOK_S = 0.25
_END_MS = 5000  # how long to wait for an ended session to be gone
_START_S = 1.0  # the longest honest start of a session
# A session that sees the database as it was more transactions ago is ended. While it lasts, PostgreSQL can't use the
# numbers of those transactions again. It has two billion, any login can use up 50,000 a second, and when all are used
# nobody can write.
FORGOTTEN = 100_000_000
_READ_S = 2.0  # how long a session may go on with what it saw before something was deleted
# Why sessions of a login can't be ended: another session changes its role, or the owner does not administer it.
NOT_ENDED = psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege


class Older(NamedTuple):
    """A session that still sees what was deleted."""

    role: str
    pid: int


@contextmanager
def making_way(connection: psycopg.Connection, *, spares_landings: bool = False) -> Iterator[None]:
    """Within this context, sessions of customers and duties that block a session of the owner, or a landing, are ended,
    and that is written into the audit log. One landing waits for another, and with `spares_landings` so does the owner.
    Sessions of other logins are never ended: for them the owner has lock timeouts. The caller has to commit within the
    context. Before it, sessions are ended that keep the numbers of transactions from being used again.
    """
    ended: Counter[str] = Counter()
    done = threading.Event()
    with second(connection) as watcher:
        end_older(watcher, FORGOTTEN)
        watching = threading.Thread(target=_watch, args=(watcher, done, ended, spares_landings), daemon=True)
        watching.start()
        try:
            yield
        except BaseException:
            _give_up(connection)  # this transaction may have a lock on the audit log, which `_note` needs
            raise
        finally:
            done.set()
            watching.join()
            if not watcher.closed:
                _note(watcher, ended)


@contextmanager
def at_work(
    connection: psycopg.Connection, settings: Settings, *, rotating: int | None = None
) -> Iterator[None]:
    """Let only one command work (`clock.guarded`), and let nobody but a landing keep it waiting (`making_way`). Commits
    before it yields.
    """
    with clock.guarded(connection, settings, rotating=rotating), making_way(connection, spares_landings=True):
        yield


def end_all(connection: psycopg.Connection, role: str) -> None:
    """End all sessions of a login, in any database, and write that into the audit log. The caller commits. Raises as
    `end` does.
    """
    _note(connection, Counter({role: end(connection, role)}))


def end(connection: psycopg.Connection, role: str) -> int:
    """End all sessions of a login, in any database. Returns how many are gone. Raises one of `NOT_ENDED` if they can't
    be ended.
    """
    pids = [
        pid for (pid,) in connection.execute("select pid from pg_stat_activity where usename = %s", [role])
    ]
    gone = _end(connection, role, pids) if pids else 0
    return gone + _end_starting(connection, role)


def end_older(connection: psycopg.Connection, ago: int = 0) -> list[Older]:
    """End the sessions of customers and duties that still see what was deleted by now, or `ago` transactions ago, and
    write that into the audit log. As long as a session does, the rows stay in the files, however often a table is
    written anew. Commits. Returns those that are left, such as of other logins.
    """
    ((now,),) = connection.execute(SQL["transaction"], {"ago": ago}).fetchall()
    until = time.monotonic() + (0 if ago else _READ_S)  # who began so long ago has had that time
    while (older := _older(connection, now)) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    ended: Counter[str] = Counter()
    for one in older:
        if _is_login(connection.info.dbname, one.role):
            with suppress(*NOT_ENDED):
                ended[one.role] += _end(connection, one.role, [one.pid])
    _note(connection, ended)
    left = _older(connection, now) if older else []
    connection.commit()
    return left


def _older(connection: psycopg.Connection, now: str) -> list[Older]:
    """The sessions that see the database as it was before."""
    connection.commit()  # or the server goes on saying what it said
    return [Older(*row) for row in connection.execute(SQL["older"], {"now": now}).fetchall()]


def _give_up(connection: psycopg.Connection) -> None:
    """Roll back. Close the connection if that fails, for example after Ctrl-C between a query and its answer."""
    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()


def _watch(
    watcher: psycopg.Connection, done: threading.Event, ended: Counter[str], spares_landings: bool
) -> None:
    database = watcher.info.dbname
    loader = roles.duty_role(database, "loader")
    parameters = {"patience": PATIENCE, "loader": loader}
    while not done.wait(_LOOK_S):
        in_the_way: dict[str, list[int]] = {}
        try:
            if not watcher.execute(SQL["long_waits"], parameters).fetchone():
                continue  # to plan the next query takes ten times as long
            for role, pid in watcher.execute(SQL["in_the_way"], parameters):
                if _is_login(database, role) and not (spares_landings and role == loader):
                    in_the_way.setdefault(role, []).append(pid)
            for role, pids in in_the_way.items():
                with suppress(*NOT_ENDED):  # it tries again as long as they are in the way
                    ended[role] += _end(watcher, role, pids)
        except psycopg.OperationalError:
            if watcher.closed:
                return  # from now on there are only the lock timeouts


def _is_login(database: str, role: str) -> bool:
    duties = {roles.duty_role(database, duty) for duty in matrix().duties}
    return role in duties or roles.customer_of(database, role) is not None


def _end(connection: psycopg.Connection, role: str, pids: Iterable[int]) -> int:
    """End sessions of a login. Returns how many are gone."""
    try:
        with _with_rights_of(connection, role):
            rows = connection.execute(
                "select pg_terminate_backend(pid, %s) from pg_stat_activity where pid = any(%s) and usename = %s",
                [_END_MS, list(pids), role],
            ).fetchall()
    except psycopg.errors.UndefinedObject:  # there is no such role any more
        return 0
    return sum(gone for (gone,) in rows)


@contextmanager
def _with_rights_of(connection: psycopg.Connection, role: str) -> Iterator[None]:
    """PostgreSQL requires the rights of a role to end its sessions, so the owner grants itself the role and rolls that
    back. The sessions stay ended.
    """
    with connection.transaction(force_rollback=True):
        connection.execute("set local lock_timeout = '1s'")
        connection.execute(roles.statement("grant {} to current_user with inherit true", role))
        yield


def _end_starting(connection: psycopg.Connection, role: str) -> int:
    """End sessions of a login that are being started. They don't show yet whose they are, and a login may say how long
    that takes (`post_auth_delay`). Returns how many are going to end as soon as they have started.
    """
    starting = _starting(connection)
    until = time.monotonic() + _START_S
    while starting and time.monotonic() < until:
        time.sleep(_START_S / 20)
        starting &= _starting(connection)
    ended = 0
    for pid in starting:
        with (
            _with_rights_of(connection, role),
            suppress(psycopg.errors.InsufficientPrivilege),  # it may be another login's
            connection.transaction(),
        ):
            connection.execute("select pg_terminate_backend(%s)", [pid])
            ended += 1
    return ended


def _starting(connection: psycopg.Connection) -> set[int]:
    connection.execute("select pg_stat_clear_snapshot()")
    return {pid for (pid,) in connection.execute(SQL["starting"])}


def _note(connection: psycopg.Connection, ended: Counter[str]) -> None:
    database = connection.info.dbname
    for role, sessions in sorted((+ended).items()):
        audit_log.note(
            connection,
            "sessions ended",
            {"login": role, "sessions": sessions},
            roles.customer_of(database, role),
        )
