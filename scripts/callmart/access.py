"""Roles: who may read what, as logins and memberships that any auditor sees in the catalogue.

A mart group is a role; a customer's role is a member of what its contract opens today and of nothing else. The
publisher is a member of the customers' roles and reads only as one of them. Roles are shared by all databases of
a cluster, so their names begin with the database's.
"""

import re
import secrets
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from callmart import server
from callmart.errors import UserError
from callmart.keys import secret_file
from callmart.settings import Settings

GROUPS = ("queue", "line", "agent")
OPENS = {"standard": ("queue", "line"), "detailed": ("queue", "line", "agent")}

LOGIN_SETTINGS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5min",
    "idle_in_transaction_session_timeout": "5min",
}


def group_role(database: str, group: str) -> str:
    """The role that a mart group is."""
    return f"{database}_reads_{group}"


def customer_role(database: str, customer_id: int) -> str:
    """The role and login that a customer is; the number at its end is what the policies read."""
    return f"{database}_customer_{customer_id}"


def publisher_role(database: str) -> str:
    """The login that reads the extracts, each as its customer."""
    return f"{database}_publisher"


def sync(connection: psycopg.Connection, settings: Settings) -> None:
    """Make logins and memberships what the contracts open today, in the caller's transaction."""
    database = connection.info.dbname
    roles = {name for (name,) in connection.execute("select rolname from pg_roles")}
    publisher = publisher_role(database)
    logins = {publisher}
    memberships: dict[tuple[str, str], str] = {}  # (role, member) -> how
    for customer_id, option in connection.execute("select * from registry.current_option"):
        role = customer_role(database, customer_id)
        logins.add(role)
        memberships[role, publisher] = "inherit false, set true"
        for group in OPENS[option]:
            memberships[group_role(database, group), role] = "inherit true, set false"

    for group in GROUPS:
        _ensure_group(connection, group_role(database, group), roles)
    for login in sorted(logins):
        _ensure_login(connection, settings.home, login, roles)
    for role, member in _memberships(connection, database) - memberships.keys():
        _execute(connection, "revoke {} from {}", role, member)
    for (role, member), how in memberships.items():
        _execute(connection, f"grant {{}} to {{}} with {how}", role, member)
    for role in sorted(roles - logins):
        if _belongs(role, database, "customer_[0-9]+"):
            _drop_login(connection, role)
            passfile(settings.home, role).unlink(missing_ok=True)


def _ensure_group(connection: psycopg.Connection, role: str, roles: set[str]) -> None:
    if role not in roles:
        _execute(connection, "create role {} nologin", role)
    _execute(connection, "grant usage on schema mart, access to {}", role)
    _execute(connection, "grant execute on function access.current_customer() to {}", role)
    _execute(connection, "grant execute on function access.retention_floor() to {}", role)


def _ensure_login(connection: psycopg.Connection, home: Path, role: str, roles: set[str]) -> None:
    """A login that can only read, with a generated password that stands in a file of its own."""
    if role not in roles:
        _execute(connection, "create role {} login connection limit 20", role)
    for name, value in LOGIN_SETTINGS.items():
        connection.execute(
            sql.SQL("alter role {} set {} = {}").format(
                sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
            )
        )
    if role not in roles or not passfile(home, role).exists():
        password = secrets.token_urlsafe(32)
        # Only the verifier travels: a password would stand in the server's log.
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        connection.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
        )
        secret_file(passfile(home, role), f"*:*:*:{role}:{password}\n")


def _drop_login(connection: psycopg.Connection, role: str) -> None:
    """Drop a login at once, and with it what its open sessions have made: a temporary table would keep it."""
    _execute(connection, "grant {} to current_user with inherit true", role)
    _execute(connection, "drop owned by {}", role)
    _execute(connection, "drop role {}", role)


def _memberships(connection: psycopg.Connection, database: str) -> set[tuple[str, str]]:
    """(role, member) of this database's roles; not the owner's own, which administers them."""
    rows = connection.execute(
        """
        select r.rolname, m.rolname
        from pg_auth_members
        join pg_roles as r on r.oid = roleid
        join pg_roles as m on m.oid = member
        where m.rolname <> current_user
        """
    )
    what = f"reads_({'|'.join(GROUPS)})|customer_[0-9]+|publisher"
    return {(role, member) for role, member in rows if _belongs(role, database, what)}


def _belongs(role: str, database: str, what: str) -> bool:
    """Whether a role is of this database, and not of another whose name begins like it."""
    return re.fullmatch(f"{re.escape(database)}_({what})", role) is not None


def _execute(connection: psycopg.Connection, statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def passfile(home: Path, role: str) -> Path:
    """Where the password of a login stands, in libpq's own format."""
    return home / "secrets" / f"{role}.pgpass"


def login_uri(settings: Settings, role: str) -> str:
    """The libpq URI of a customer's or the publisher's login; the password stands in the file it names."""
    own = conninfo_to_dict(server.uri(settings))
    kept = {key: str(own[key]) for key in ("host", "port", "sslmode", "sslrootcert") if own.get(key)}
    kept["passfile"] = str(passfile(settings.home, role))
    return _as_uri(role, str(own["dbname"]), kept)


def _as_uri(user: str, database: str, parameters: dict[str, str]) -> str:
    query = "&".join(f"{key}={quote(value, safe='/')}" for key, value in parameters.items())
    return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?{query}"


def owner_uri(settings: Settings) -> str:
    """The owner's libpq URI; a password that CALLMART_DSN holds stands in the file that the URI names instead."""
    own = conninfo_to_dict(server.uri(settings))
    user, database, password = str(own.pop("user")), str(own.pop("dbname")), own.pop("password", None)
    if password is not None:
        secret_file(passfile(settings.home, user), f"*:*:*:{user}:{password}\n")
        own["passfile"] = str(passfile(settings.home, user))
    return _as_uri(user, database, {key: str(value) for key, value in own.items()})


def customer_uri(connection: psycopg.Connection, settings: Settings, customer_id: int) -> str:
    """The URI of a customer's login; UserError where no contract opens anything today."""
    found = connection.execute(
        "select 1 from registry.current_option where customer_id = %s", [customer_id]
    ).fetchone()
    if found is None:
        raise UserError(
            f"customer {customer_id} has no contract today, so there is no login; "
            "add one to the registry and apply it"
        )
    return login_uri(settings, customer_role(connection.info.dbname, customer_id))
