"""The files of the embedded server: tables and indexes as bytes, the planner's samples, the write-ahead log.

A row that was deleted stays in its page, and in the log, until something overwrites it. So what was touched is written
anew, and the log goes on in new files. What a server elsewhere has in its files is attested by its operator. Texts of
statements that an extension keeps are forgotten on both.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

import psycopg

from callmart.access import sessions
from callmart.base import disk, sql_file
from callmart.base.needles import Hits
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.settings import Settings
from callmart.database import audit_log, embedded_server, lost_files, searching, vacuum

SQL = sql_file.statements(__file__)

# What PostgreSQL has in its folder.
PATHS = (
    "postgres.lock",
    "postgres.ready",
    "server.lock",
    "socket/.s.PGSQL.#",
    "socket/.s.PGSQL.#.lock",
    *(
        f"postgres/{own}"
        for own in (
            "PG_VERSION",
            "*.conf",
            "*.conf.tmp",
            "postmaster.opts",
            "postmaster.pid",
            "server.log",
            *(
                f"{tables}/{own}"
                for tables in ("base/#", "global")
                for own in ("#", "#.#", "#_fsm", "#_vm", "#_init", "t#_#", "t#_#_fsm", "PG_VERSION", "pg_*")
            ),
            "base/pgsql_tmp/**/*",
            "pg_wal/#",
            "pg_wal/#.history",
            "pg_wal/xlogtemp.#",
            "pg_wal/archive_status/#.*",
            "pg_wal/summaries/#.summary",
            "pg_*/#",
            "pg_multixact/*/#",
            "pg_logical/replorigin_checkpoint",
            "pg_logical/*/*",
            "pg_replslot/*/*",
            "pg_snapshots/#-#-#",
            "pg_stat/*.stat*",
            "pg_stat_tmp/*.stat*",
        )
    ),
)

# How long to wait for the lock of a table that is written anew, try by try: its readers queue behind who waits. In the
# last one of callmart's own tables, customers' sessions in the way are ended.
_BRIEFLY = (vacuum.READERS_WAIT,) * vacuum.TRIES
_PATIENTLY = "30s"
# The owner may not use pg_stat_statements, or its library is not loaded.
_OF_OPERATORS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
_HELD = "another session holds a table; when it has ended, run this again"
_TABLE = re.compile(r"/((?:base/[0-9]+|global)/[0-9]+)(?:[._][^/]*)?$")  # the file of a table or an index
_SWITCHES = 64  # of the log at most: it keeps a few files in store


class Files:
    """The server's files, or those of a server elsewhere."""

    name = "server files"
    tables = ()
    paths = PATHS
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Nothing of its own: what is here is in a table."""
        return Counts()

    def treat(self, work: Work, person: Person) -> Counts:
        """Write anew what was touched and whatever has something of the person in its files, such as rows of a
        transaction that broke off; the planner's samples; and the log. Remove files that a crash has left. Commits.
        """
        connection, settings = work.connection, work.settings
        if settings.dsn is None:
            lost_files.remove(settings.home)
            with embedded_server.administrator(settings.home) as postgres:
                others = {"files": _files_with(work, _files_of(postgres, touched(connection)))}
                holding = postgres.execute(SQL["relations"], others).fetchall()
                _write_anew(postgres, {relation for relation, is_own in holding if not is_own})
            vacuum.note(connection, *(relation for relation, is_own in holding if is_own))
            vacuum.want_whole(connection)
        return Counts(tables=leave_deleted(connection, settings))

    def prove(self, work: Work, person: Person) -> Proof:
        """Search the bytes of all files. Of a server elsewhere, what its catalogue says."""
        if work.settings.dsn is not None:
            left = Counts(
                {"catalogue": len(searching.catalogue(work)), "statements": len(_in_statements(work))}
            )
            return Proof(Counts(), +left, ("server log, freed pages, large objects and statements",))
        left = Counts({"large objects": len(_in_objects(work))})
        return Proof.of_files((found for _, found in _hits(work, lambda _: True)), left)


def leave_deleted(connection: psycopg.Connection, settings: Settings) -> int:
    """Vacuum the tables from which rows were deleted since the last time, each as it is noted, and leave the planner's
    samples and the log behind. Commits. Returns the number of tables. Raises Blocked if another session is in the way.
    """
    tables = len(touched(connection))
    with sessions.making_way(connection):
        if older := sessions.end_older(connection):
            raise Blocked("lock", _seen_by(connection, settings, older[0]))
        if not vacuum.vacuum(connection, (*_BRIEFLY, _PATIENTLY)):
            raise Blocked("lock", _HELD)
    _leave_behind(connection, settings)
    return tables


def touched(connection: psycopg.Connection) -> list[str]:
    """The tables from which rows were deleted since the last vacuum. Commits."""
    found = connection.execute(SQL["touched"]).fetchall()
    connection.commit()
    return [relation for (relation,) in found]


def _seen_by(connection: psycopg.Connection, settings: Settings, older: sessions.Older) -> str:
    """Who keeps what was deleted in the files. Since when, only a superuser may know of any session."""
    with (
        embedded_server.administrator(settings.home) if settings.dsn is None else nullcontext(connection)
    ) as reader:
        parameters = {"pid": older.pid, "zone": settings.time_zone}
        since = [f", since {moment}" for (moment,) in reader.execute(SQL["since"], parameters) if moment]
    return (
        f"session {older.pid} of the login {older.role} still sees what was deleted{''.join(since)}, so it stays in "
        f"the files: let an administrator end it (`select pg_terminate_backend({older.pid})`), then run this again"
    )


def follow_removals(connection: psycopg.Connection, settings: Settings) -> None:
    """Leave behind what was removed of customers and is still in samples, statements and the log, and what a crash of
    the server has left. Commits.

    Raises Blocked if the server keeps it; the next call tries again.
    """
    if settings.dsn is None:
        lost_files.remove(settings.home)
    has_removed = connection.execute(SQL["has_removed"]).fetchone() == (True,)
    connection.commit()
    if has_removed:
        _leave_behind(connection, settings)
        audit_log.note(connection, "log left")
        connection.commit()


def _leave_behind(connection: psycopg.Connection, settings: Settings) -> None:
    """Write the planner's samples anew, forget the texts of statements, and go on with a new log. Commits."""
    if settings.dsn is None:
        with embedded_server.administrator(settings.home) as postgres:
            _write_anew(postgres, ("pg_statistic", "pg_statistic_ext_data"))
            _forget_statements(postgres)
            _renew_log(postgres)
    else:
        _forget_statements(connection)
        connection.commit()


def _write_anew(postgres: psycopg.Connection, relations: Iterable[str]) -> None:
    """Write PostgreSQL's own tables anew."""
    for relation in relations:
        if not vacuum.write_anew(postgres, relation, _BRIEFLY):
            raise Blocked("lock", _HELD)


def _files_with(work: Work, besides: Collection[str]) -> list[str]:
    """The files of tables and indexes in which a needle is, besides these. The server names them so."""
    left_out = {"", *besides}
    return [_file(path) for path, hits in _hits(work, lambda path: _file(path) not in left_out) if hits]


def _files_of(postgres: psycopg.Connection, tables: Iterable[str]) -> set[str]:
    """The files of tables and of their indexes, as the server names them."""
    return {file for (file,) in postgres.execute(SQL["files"], {"tables": list(tables)})}


def _file(path: Path) -> str:
    """How the server names the file of a table or an index, of which this is a part. Empty if it is of none."""
    found = _TABLE.search(str(path))
    return found[1] if found else ""


def search(work: Work, tables: Iterable[str]) -> Hits:
    """Everything of the needles that is in the bytes of these tables and of their indexes."""
    with embedded_server.administrator(work.settings.home) as postgres:
        own = _files_of(postgres, tables)
    found = Hits()
    for _, hits in _hits(work, lambda path: _file(path) in own):
        found |= hits
    return found


def _hits(work: Work, is_sought: Callable[[Path], bool]) -> Iterator[tuple[Path, Hits]]:
    """The needles in each file that is sought. Two are read at a time."""
    with embedded_server.administrator(work.settings.home) as postgres:
        postgres.execute("checkpoint")  # what is in memory only, too
    paths = [path for path in disk.files(work.settings.home / "postgres") if is_sought(path)]
    with ThreadPoolExecutor(2) as readers:
        yield from zip(paths, readers.map(partial(work.needles.in_file, unpacks=False), paths), strict=True)


def _in_objects(work: Work) -> Hits:
    """The needles in large objects, which the server packs."""
    with (
        embedded_server.administrator(work.settings.home) as postgres,
        postgres.cursor() as cursor,
        cursor.copy(f"copy ({SQL['large_objects']}) to stdout (format binary)".encode()) as objects,
    ):
        return work.needles.in_chunks(objects)


def _forget_statements(connection: psycopg.Connection) -> None:
    """Forget the texts of statements that pg_stat_statements keeps. Where the owner may not, its operator does it."""
    for _, reset in connection.execute(SQL["statements"]).fetchall():
        with suppress(*_OF_OPERATORS), connection.transaction():
            connection.execute(reset)


def _in_statements(work: Work) -> Hits:
    """The needles in texts of statements, as far as the owner may read them."""
    found = Hits()
    for view, _ in work.connection.execute(SQL["statements"]).fetchall():
        texts = f"copy (select query from {view}) to stdout".encode()
        with (
            suppress(*_OF_OPERATORS),
            work.connection.transaction(),
            work.connection.cursor() as cursor,
            cursor.copy(texts) as told,
        ):
            found |= work.needles.in_chunks(told)
    work.connection.commit()
    return found


def _renew_log(postgres: psycopg.Connection) -> None:
    """Leave all files of the log that are there now behind, and have them removed, not used again."""
    postgres.execute("alter system set wal_recycle = off")
    postgres.execute("select pg_reload_conf()")
    try:
        while postgres.execute("show wal_recycle").fetchone() != ("off",):
            time.sleep(0.05)
        # The server's processes learn of it one by one. This checkpoint may still give old files new names.
        postgres.execute("checkpoint")
        last = max(_log(postgres))
        for _ in range(_SWITCHES):
            # The server doesn't leave a file in which nothing was written.
            postgres.execute("select pg_logical_emit_message(false, 'callmart', '')")
            postgres.execute("select pg_switch_wal()")
            postgres.execute("checkpoint")
            if min(_log(postgres)) > last:
                return
        raise Blocked(
            "log", "the server keeps its write-ahead log; remove replication slots, then run this again"
        )
    finally:
        postgres.execute("alter system reset wal_recycle")
        postgres.execute("select pg_reload_conf()")


def _log(postgres: psycopg.Connection) -> list[str]:
    return [name for (name,) in postgres.execute(SQL["log"])]
