"""The loader's sessions for streaming, kept for the next landing.

PostgreSQL plans the functions that store a file anew in each session, which takes most of landing a small one.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any
from unittest.mock import patch

import adbc_driver_manager
import adbc_driver_postgresql as driver
from adbc_driver_manager import AdbcConnection, AdbcDatabase, Error
from adbc_driver_postgresql import dbapi

from kept_sessions import NAME

_CONNECT = dbapi.connect
_COUNTING = Lock()


class _KeptDatabase(AdbcDatabase):
    def close(self) -> None:
        """Another connection uses it."""


class _CountedConnection(AdbcConnection):
    """A database counts its connections, and miscounts if two threads connect or close at once."""

    def __init__(self, database: AdbcDatabase, **named: Any) -> None:
        with _COUNTING:
            super().__init__(database, **named)

    def close(self) -> None:
        with _COUNTING:
            super().close()


@contextmanager
def known_types() -> Iterator[None]:
    """Within it, ADBC reads the types of a database once."""

    @cache
    def connect(uri: str) -> _KeptDatabase:
        return _KeptDatabase(driver=driver._driver_path(), uri=uri)

    with (
        patch.object(driver, "connect", lambda uri, **_: connect(uri)),
        patch.object(adbc_driver_manager, "AdbcConnection", _CountedConnection),
    ):
        yield


class _Stream:
    """A connection that leaves its session to the next one."""

    def __init__(self, session: dbapi.Connection, idle: list[dbapi.Connection]) -> None:
        self._session, self._idle = session, idle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def close(self) -> None:
        if not self._idle and _is_named(self._session, NAME):
            self._idle.append(self._session)
        else:
            self._session.close()


@contextmanager
def kept_streams() -> Iterator[None]:
    """Within it, the loader streams through a session that an earlier landing left."""
    idle: dict[tuple[int, str], list[dbapi.Connection]] = defaultdict(list)

    def connect(uri: str, **named: Any) -> Any:
        if "_loader" not in uri:
            return _CONNECT(uri, **named)
        sessions = idle[os.getpid(), uri]  # a forked process has none of its parent's
        while sessions:
            session = sessions.pop()
            if _is_named(session, ""):
                return _Stream(session, sessions)
            session.close()
        return _Stream(_CONNECT(uri, **named), sessions)

    with patch.object(dbapi, "connect", connect):
        yield
    for sessions in idle.values():
        for session in sessions:
            session.close()


def _is_named(session: dbapi.Connection, name: str) -> bool:
    """End what was begun, and show the session under a name; false if it has ended."""
    try:
        session.rollback()
        with session.cursor() as cursor:
            cursor.execute(f"set application_name = '{name}'")
        session.commit()
    except Error:
        return False
    return True
