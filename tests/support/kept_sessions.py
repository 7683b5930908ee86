"""The owner's sessions on embedded servers, kept for whoever connects next.

A new one costs PostgreSQL more than most tests ask of it: it reads anew what it needs of the catalogue.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import tuple_row

from callmart.database import embedded_server

IDLE = 3  # per server: as many as work side by side
NAME = "kept"  # as what an idle session shows itself
_CONNECT = psycopg.connect
_CLOSED = psycopg.pq.PGconn.connect_start(b"")
_CLOSED.finish()


class _Connection(psycopg.Connection[Any]):
    """A connection that leaves its session to the next one."""

    idle: list[PGconn]

    def close(self) -> None:
        session, self.pgconn = self.pgconn, _CLOSED
        if len(self.idle) < IDLE and _is_left_clean(session):
            self.idle.append(session)
        else:
            session.finish()
        self._closed = True


@contextmanager
def kept_sessions() -> Iterator[None]:
    """Within it, the owner goes on with a session that an earlier connection left."""
    idle: dict[tuple[object, ...], list[PGconn]] = defaultdict(list)

    def connect(conninfo: str = "", *, autocommit: bool = False, **named: Any) -> psycopg.Connection[Any]:
        given = conninfo_to_dict(conninfo, **named)
        host, database, user, name = (
            given.get(part) for part in ("host", "dbname", "user", "application_name")
        )
        if not str(host).startswith("/") or (user, name) != (embedded_server.OWNER, "callmart"):
            return _CONNECT(conninfo, autocommit=autocommit, **named)
        sessions = idle[os.getpid(), host, database]  # a forked process has none of its parent's
        connection = _next(sessions) or _Connection.connect(conninfo, **named)
        connection.autocommit = autocommit
        connection.idle = sessions
        return connection

    with patch.object(psycopg, "connect", connect):
        yield
    for sessions in idle.values():
        for session in sessions:
            session.finish()


def _next(sessions: list[PGconn]) -> _Connection | None:
    """A connection by one of the sessions, unless they ended meanwhile."""
    while sessions:
        session = sessions.pop()
        if _does(session, "set application_name = 'callmart'"):
            return _Connection(session, tuple_row)
        session.finish()
    return None


def _is_left_clean(session: PGconn) -> bool:
    """End what was begun, and take away all that the session has of its own."""
    statements = ["discard all", f"set application_name = '{NAME}'"]
    if session.transaction_status != TransactionStatus.IDLE:
        statements.insert(0, "rollback")
    return session.transaction_status not in (TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN) and all(
        _does(session, statement) for statement in statements
    )


def _does(session: PGconn, statement: str) -> bool:
    return session.exec_(statement.encode()).status == ExecStatus.COMMAND_OK
