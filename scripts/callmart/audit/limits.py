"""The audit's checks of limits: whether the measures in docs/security.md are in place on this server."""

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from callmart.access import drift, logins, roles
from callmart.audit.check import Check
from callmart.base import sql_file
from callmart.base.matrix import matrix
from callmart.base.settings import Settings
from callmart.database import cluster, server

SQL = sql_file.statements(__file__)

_STATEMENTS = "statements go into the server's log, with the names in them"
_LIBRARY = "a library of somebody else's sees each statement"
# Parameters by which statements leave for a log or a library unless they have one of these values, and what follows.
TELLING = {
    "log_min_messages": (
        "errors go into the server's log, with the values in them",
        ("log", "fatal", "panic"),
    ),
    "log_min_error_statement": (_STATEMENTS, ("panic",)),
    "log_statement": (_STATEMENTS, ("none", "ddl")),
    "log_min_duration_statement": (_STATEMENTS, ("-1",)),
    "log_min_duration_sample": (_STATEMENTS, ("-1",)),
    "log_transaction_sample_rate": (_STATEMENTS, ("0",)),
    "debug_print_parse": (_STATEMENTS, ("off",)),
    "debug_print_rewritten": (_STATEMENTS, ("off",)),
    "debug_print_plan": (_STATEMENTS, ("off",)),
    "auto_explain.log_min_duration": (_STATEMENTS, ("-1",)),
    "session_preload_libraries": (_LIBRARY, ("",)),
    "local_preload_libraries": (_LIBRARY, ("",)),
}


def of_limits(connection: psycopg.Connection, settings: Settings) -> Iterator[Check]:
    """Check that no login can shut others out, or use more than its share."""
    shutting_out = [one.text for one in drift.of_server(connection)]
    yield _check(
        "no login can shut everybody out: administrator.sql has been run on this server", shutting_out
    )
    yield _check("the temporary files of a query are limited", list(_unlimited_files(connection)))
    yield _check("some sessions are the owner's, and logins can't take them", list(_unreserved(connection)))
    yield _check("the server has as many sessions as the logins may open", list(_too_many(connection)))
    telling = [text for _, text in drift.switched(connection, TELLING, hidden=("session_preload_libraries",))]
    yield _check("no statement and no error goes into the server's log, or to a library of others", telling)
    yield _elsewhere(connection, settings)
    yield _on_nodes(connection, settings)
    yield of_way(settings)
    yield of_home(settings.home)


def _check(name: str, found: list[str]) -> Check:
    return Check.of("limits", name, 1, found)


def _unlimited_files(connection: psycopg.Connection) -> Iterator[str]:
    ((limit,),) = connection.execute("select current_setting('temp_file_limit')").fetchall()
    if limit == "-1":
        yield "set temp_file_limit in postgresql.conf, to 10GB or less"


def _unreserved(connection: psycopg.Connection) -> Iterator[str]:
    ((reserved, may_use),) = connection.execute(
        """
        select
            current_setting('reserved_connections')::integer,
            pg_has_role(current_user, 'pg_use_reserved_connections', 'usage')
        """
    ).fetchall()
    if reserved == 0:
        yield "set reserved_connections in postgresql.conf, to 10, and restart the server"
    if not may_use:
        yield f'grant pg_use_reserved_connections to "{connection.info.user}"'


def _too_many(connection: psycopg.Connection) -> Iterator[str]:
    customers = logins.of_customers(connection)
    duties = [matrix().limits_of(duty).connections for duty in matrix().duties]
    wanted = sum(limit or 0 for limit in duties) + len(customers) * (
        matrix().limits_of(None).connections or 0
    )
    ((free,),) = connection.execute(SQL["sessions"]).fetchall()
    if wanted > free:
        yield (
            f"the logins may open {wanted} sessions, the server has {free}: raise max_connections, or lower"
            " `connections` in access.yml"
        )


def of_way(settings: Settings) -> Check:
    """Check that nobody on the way reads what goes to the server, or takes its place."""
    wrong = server.open_way(settings)
    return _check(
        "what goes to the server is encrypted, and the server is verified", [wrong] if wrong else []
    )


def of_home(home: Path) -> Check:
    """Check that nobody else on the machine can open a file of ours, or put one among them. That the embedded server is
    ready is no secret.
    """
    found, folders = list[str](), [(home, home.stat().st_mode)]
    while folders:
        folder, mode = folders.pop()
        if not mode & 0o011:
            continue
        if mode & 0o030 == 0o030 or mode & 0o003 == 0o003:
            found.append(f"{folder.relative_to(home)}: `chmod go-w {folder}`")
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # a server's files come and go
                mode = path.lstat().st_mode
                if stat.S_ISDIR(mode):
                    folders.append((path, mode))
                elif stat.S_ISREG(mode) and mode & 0o066 and path.name != "postgres.ready":
                    found.append(f"{path.relative_to(home)}: `chmod go= {path}`")
    return _check(
        "nobody else on the machine can open a file in CALLMART_HOME, or put one there", sorted(found)
    )


def _elsewhere(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that no login can connect to another database. There it could use up what all databases share. The login
    really connects, because pg_hba.conf may refuse what a grant allows; but one whose password only a person has.
    """
    database = connection.info.dbname
    ((others,),) = connection.execute(
        "select count(*) from pg_database where datname <> current_database()"
    ).fetchall()
    every = [*logins.of_duties(database), *logins.of_customers(connection)]
    allowed = connection.execute(SQL["elsewhere"], {"logins": every, "of_all": _tried(connection)})
    typed = logins.typed(database)
    found = [
        f"{role} gets into database {other}: revoke connect on it from public and from that login, or refuse"
        " callmart's logins there in pg_hba.conf"
        for role, other in allowed
        if role in typed or _gets_in(settings, role, dbname=other)
    ]
    return Check.of(
        "limits", "no login gets into another database of the server, where it could use up what is shared",
        others, found, applies=bool(others),
    )  # fmt: skip


def _on_nodes(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that no login can connect to a node of the cluster, in the same way."""
    nodes = cluster.nodes(connection)
    found = [
        f"{role} gets into the node {node}: `callmart access diff` says what to revoke there"
        for node in nodes
        for role in _tried(connection)
        if _gets_in(settings, role, host=node.host, hostaddr="", port=node.port)
    ]
    return Check.of(
        "limits", "no login gets into a node of the cluster, where events are",
        len(nodes), found, applies=bool(nodes),
    )  # fmt: skip


def _tried(connection: psycopg.Connection) -> list[str]:
    """A duty, and a customer if one has a login."""
    return [
        roles.duty_role(connection.info.dbname, "publisher"),
        *sorted(logins.of_customers(connection))[:1],
    ]


def _gets_in(settings: Settings, role: str, **other: str | int) -> bool:
    try:
        psycopg.connect(make_conninfo(logins.login_uri(settings, role), **other)).close()
    except psycopg.OperationalError:
        return False
    return True
