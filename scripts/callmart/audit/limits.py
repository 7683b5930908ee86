"""The audit's checks of limits: whether the measures in docs/security.md are in place on this server."""

from collections.abc import Iterator

import psycopg
from psycopg.conninfo import make_conninfo

from callmart.access import drift, logins, roles
from callmart.audit.check import Check
from callmart.base import sql_file
from callmart.base.matrix import matrix
from callmart.base.settings import Settings
from callmart.database import cluster

SQL = sql_file.statements(__file__)


def of_limits(connection: psycopg.Connection, settings: Settings) -> Iterator[Check]:
    """Check that no login can shut others out, or use more than its share."""
    shutting_out = [one.text for one in drift.of_server(connection)]
    yield _check(
        "no login can shut everybody out: administrator.sql has been run on this server", shutting_out
    )
    yield _check("the temporary files of a query are limited", list(_unlimited_files(connection)))
    yield _check("some sessions are the owner's, and logins can't take them", list(_unreserved(connection)))
    yield _check("the server has as many sessions as the logins may open", list(_too_many(connection)))
    yield _elsewhere(connection, settings)
    yield _on_nodes(connection, settings)


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
