"""Sessions of customers and duties that stand in the owner's way, and how they are ended.

A login can keep a lock for as long as it likes: it reads a mart in a transaction that never ends, or changes its own
role in one, and it may switch all its timeouts off. So what the owner needs strong locks for is done in `making_way`.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from callmart.access import roles
from callmart.base import sql_file
from callmart.database.lock import second
from callmart.declarations.matrix import matrix

SQL = sql_file.statements(__file__)

PATIENCE = "2s"  # for how long a session may keep the owner waiting before it is ended
_LOOK_S = 0.25
_END_MS = 5000  # within which a session that is ended is gone


@contextmanager
def making_way(connection: psycopg.Connection) -> Iterator[None]:
    """While this lasts, a session of a customer or a duty that keeps any session of the owner's waiting is ended, and
    the audit log says so. Sessions of others never are: for them there are the owner's lock timeouts. What is done
    within has to be committed within.
    """
    ended: Counter[str] = Counter()
    done = threading.Event()
    with second(connection) as watcher:
        watching = threading.Thread(target=_watch, args=(watcher, done, ended), daemon=True)
        watching.start()
        try:
            yield
        except BaseException:
            _give_up(connection)  # the audit log may be locked in it
            raise
        finally:
            done.set()
            watching.join()
            if not watcher.closed:
                _note(watcher, ended)


def end_all(connection: psycopg.Connection, role: str) -> None:
    """End all sessions of a login, in whichever database; the audit log says so. The caller commits."""
    pids = [
        pid for (pid,) in connection.execute("select pid from pg_stat_activity where usename = %s", [role])
    ]
    _note(connection, Counter({role: _end(connection, role, pids)}))


def _give_up(connection: psycopg.Connection) -> None:
    """Roll back; close what can't be rolled back, as when Ctrl-C came between a question and its answer."""
    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()


def _watch(watcher: psycopg.Connection, done: threading.Event, ended: Counter[str]) -> None:
    database = watcher.info.dbname
    try:
        while not done.wait(_LOOK_S):
            in_the_way: dict[str, list[int]] = {}
            for role, pid in watcher.execute(SQL["in_the_way"], {"patience": PATIENCE}):
                if _is_login(database, role):
                    in_the_way.setdefault(role, []).append(pid)
            for role, pids in in_the_way.items():
                ended[role] += _end(watcher, role, pids)
    except psycopg.OperationalError:
        return  # the connection is lost: from now on lock timeouts alone decide


def _is_login(database: str, role: str) -> bool:
    duties = {roles.duty_role(database, duty) for duty in matrix().duties}
    return role in duties or roles.customer_of(database, role) is not None


def _end(connection: psycopg.Connection, role: str, pids: Iterable[int]) -> int:
    """End sessions of a login; how many of them are gone. PostgreSQL asks for the rights of the role, which the owner
    gives itself and never keeps: what was ended stays so.
    """
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local lock_timeout = '1s'")
            connection.execute(roles.statement("grant {} to current_user with inherit true", role))
            rows = connection.execute(
                "select pg_terminate_backend(pid, %s) from pg_stat_activity where pid = any(%s) and usename = %s",
                [_END_MS, list(pids), role],
            ).fetchall()
    except (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.UndefinedObject,
    ):
        return 0
    return sum(gone for (gone,) in rows)


def _note(connection: psycopg.Connection, ended: Counter[str]) -> None:
    database = connection.info.dbname
    for role, sessions in sorted((+ended).items()):
        connection.execute(
            sql.SQL(
                "insert into ops.audit_log (action, customer_id, details) values ('sessions ended', %s, %s)"
            ),
            [roles.customer_of(database, role), Jsonb({"login": role, "sessions": sessions})],
        )
