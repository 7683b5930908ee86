"""The logins of duties and customers: limits, passwords, and connecting as one of them."""

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from callmart.access import roles
from callmart.base.account import account
from callmart.base.errors import UserError
from callmart.base.matrix import Limits, matrix
from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.database import audit_log, ledger, server

TRIED_AT_ONCE = 4  # logins; each takes the server and us some milliseconds of hashing

_PASSWORD = re.compile("password authentication failed|no password supplied")

# Of the owner's connection parameters, those that say which server it is. A customer's login has no others.
_WHICH_SERVER = ("host", "hostaddr", "port", "target_session_attrs", "sslmode", "sslrootcert")
# Those that say who the owner is, and what it sets. A duty's login has all others: it connects in the same way.
_OF_OWNER = re.compile(
    "user|dbname|password|passfile|sslpassword|require_auth|scram_.*|oauth_.*"
    "|options|application_name|client_encoding"
)


def of_duties(database: str) -> dict[str, Limits]:
    """The roles of duties, with their limits."""
    return {roles.duty_role(database, duty): matrix().limits_of(duty) for duty in matrix().duties}


def limits_of(database: str, role: str) -> Limits:
    """The limits of a login: its duty's, or those of customers."""
    return of_duties(database).get(role, matrix().limits_of(None))


def known(connection: psycopg.Connection) -> list[str]:
    """The roles whose password is in a file: those of duties, and of customers that ordered a login."""
    database = connection.info.dbname
    duties = [role for role in of_duties(database) if role not in typed(database)]
    return duties + sorted(of_customers(connection))


def typed(database: str) -> list[str]:
    """The roles of duties whose password only a person has, who types it."""
    return [
        roles.duty_role(database, name) for name, duty in matrix().duties.items() if duty.password == "typed"
    ]


def of_customers(connection: psycopg.Connection) -> set[str]:
    """The roles of customers that ordered a login."""
    ordered = connection.execute("select customer_id from registry.ordered_login")
    return {roles.customer_role(connection.info.dbname, customer) for (customer,) in ordered}


def make(connection: psycopg.Connection, home: Path, role: str) -> None:
    """Create a role. Nobody can log in with it yet, and the file of an older password is deleted."""
    passfile(home, role).unlink(missing_ok=True)
    connection.execute(roles.statement("create role {}", role))


def make_open(connection: psycopg.Connection, home: Path, role: str, limits: Limits) -> None:
    """Create a login, with a generated password in a file of its own. Raises OSError if there can be no such file."""
    password = _generated()
    connection.execute(
        # All that one statement can say, because each further one takes longer the more roles there are.
        sql.SQL("create role {} login {} password {}").format(
            sql.Identifier(role), _attributes(limits), sql.Literal(_verifier(connection, role, password))
        )
    )
    for setting in _settings(role, limits):
        connection.execute(setting)
    _keep_password(home, role, password)


def let_in(connection: psycopg.Connection, role: str, limits: Limits) -> None:
    """Let a role log in, within its limits. Without a password nobody gets in yet."""
    for limit in limiting(role, limits):
        connection.execute(limit)
    connection.execute(admitting(role))


def open(connection: psycopg.Connection, home: Path, role: str, limits: Limits) -> None:
    """Let a role log in, with a generated password in a file of its own."""
    let_in(connection, role, limits)
    set_password(connection, home, role)


def close(connection: psycopg.Connection, home: Path, role: str) -> None:
    """Bar a role from logging in, and delete its password."""
    connection.execute(barring(role))
    passfile(home, role).unlink(missing_ok=True)


def admitting(role: str) -> sql.Composed:
    """The statement that lets a role log in."""
    return roles.statement("alter role {} login", role)


def barring(role: str) -> sql.Composed:
    """The statement that bars a role from logging in, and deletes its password."""
    return roles.statement("alter role {} nologin password null", role)


def dropping(role: str) -> tuple[sql.Composed, ...]:
    """The statements that drop a role and what it owns in this database."""
    steps = ("grant {} to current_user with inherit true", "drop owned by {}", "drop role {}")
    return tuple(roles.statement(step, role) for step in steps)


def limiting(role: str, limits: Limits) -> Iterator[sql.Composed]:
    """The statements that set a login's limits and settings, and reset all others."""
    name = sql.Identifier(role)
    yield sql.SQL("alter role {} {}").format(name, _attributes(limits))
    yield sql.SQL("alter role {} reset all").format(name)
    yield from _settings(role, limits)


def _attributes(limits: Limits) -> sql.Composed:
    return sql.SQL("connection limit {} valid until 'infinity'").format(limits.connections)


def _settings(role: str, limits: Limits) -> Iterator[sql.Composed]:
    for setting, value in limits.settings().items():
        yield sql.SQL("alter role {} set {} = {}").format(
            sql.Identifier(role), sql.Identifier(setting), sql.Literal(value)
        )


def set_password(connection: psycopg.Connection, home: Path, role: str) -> Path:
    """Give a login a new password. Returns the file that has it, mode 0600."""
    password = _generated()
    _alter_password(connection, role, password)
    return _keep_password(home, role, password)


def choose_password(connection: psycopg.Connection, role: str, password: str) -> None:
    """Give a login the password that a person has chosen, and say so in the audit log. No file has it."""
    _alter_password(connection, role, password)
    audit_log.note(connection, "password chosen", {"login": role, "by": account()})


def _generated() -> str:
    return secrets.token_urlsafe(32)


def _keep_password(home: Path, role: str, password: str) -> Path:
    secret_file(passfile(home, role), f"*:*:*:{role}:{password}\n")
    return passfile(home, role)


def _alter_password(connection: psycopg.Connection, role: str, password: str) -> None:
    verifier = _verifier(connection, role, password)
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
    )


def _verifier(connection: psycopg.Connection, role: str, password: str) -> str:
    """What the server keeps of a password. Only this is sent: a password could end up in the server's log."""
    return connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()


def refused(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """The logins whose password is not the one in their file: it was changed by hand, or the login was made again."""

    def is_refused(role: str) -> bool:
        try:
            psycopg.connect(login_uri(settings, role)).close()
        except psycopg.OperationalError as error:
            # If the login has no connection left, for example, its password was right.
            return is_of_password(error)
        return False

    tried = known(connection)
    with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
        return [role for role, wrong in zip(tried, pool.map(is_refused, tried), strict=True) if wrong]


def let_in_anyhow(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """The logins that get in with any password."""

    def gets_in(role: str) -> bool:
        own: dict[str, Any] = conninfo_to_dict(login_uri(settings, role)) | {"password": _generated()}
        for file in ("passfile", "sslcert", "sslkey"):
            own.pop(file, None)
        try:
            psycopg.connect(**own).close()
        except psycopg.OperationalError as error:
            return not is_of_password(error)  # who has no connection left, for example, was let in
        return True

    tried = [*of_duties(connection.info.dbname), *of_customers(connection)]
    with ThreadPoolExecutor(TRIED_AT_ONCE) as pool:
        return [role for role, gets in zip(tried, pool.map(gets_in, tried), strict=True) if gets]


def drop(connection: psycopg.Connection, role: str) -> None:
    """Drop a role and what it owns in this database."""
    for statement in dropping(role):
        connection.execute(statement)


# -- connections -----------------------------------------------------------------------------------------------


def passfile(home: Path, role: str) -> Path:
    """The file of a login's password, in libpq's format."""
    return home / "secrets" / f"{role}.pgpass"


def password(settings: Settings, role: str) -> str:
    """Return the password of a login from its file. Raises UserError if there is none."""
    try:
        return passfile(settings.home, role).read_text().rstrip("\n").rpartition(":")[2]
    except FileNotFoundError:
        raise UserError(f"there is no password of login {role}; run `callmart access apply`") from None


def login_uri(settings: Settings, role: str) -> str:
    """The libpq URI of a customer's or a duty's login. It names the file that has the password, if there is one."""
    own = {key: str(value) for key, value in conninfo_to_dict(server.uri(settings)).items() if value}
    database = own["dbname"]
    if "sslpassword" in own:  # nobody but the owner can open the key
        own = {key: value for key, value in own.items() if key not in ("sslcert", "sslkey")}
    is_duty = role in of_duties(database)
    kept = {
        key: value
        for key, value in own.items()
        if (not _OF_OWNER.fullmatch(key) if is_duty else key in _WHICH_SERVER)
    }
    if role not in typed(database):
        kept["passfile"] = str(passfile(settings.home, role))
    return _as_uri(role, database, kept)


def duty_uri(settings: Settings, duty: str) -> str:
    """The libpq URI of a duty's login. Raises UserError if access.yml has no such duty."""
    if duty not in matrix().duties:
        raise UserError(f"access.yml has no duty {duty}; name one of {', '.join(matrix().duties)}")
    database = str(conninfo_to_dict(server.uri(settings))["dbname"])
    return login_uri(settings, roles.duty_role(database, duty))


def connect(settings: Settings, duty: str, password: str | None = None) -> psycopg.Connection:
    """Connect as a duty, with the password in its file or the one that was typed. Raises UserError if that fails."""
    try:
        return psycopg.connect(duty_uri(settings, duty), application_name="callmart", password=password)
    except psycopg.OperationalError as error:
        if password is not None and is_of_password(error):
            raise UserError(
                f"that is not the password of the {duty}, or none was chosen yet: "
                f"choose one with `callmart access rotate --duty {duty}`"
            ) from None
        raise UserError(refusal(duty, error)) from None


def is_of_password(error: Exception) -> bool:
    """Whether a login could not connect because its password is wrong or absent. `error` is of any driver."""
    return _PASSWORD.search(str(error)) is not None


def refusal(duty: str, error: Exception) -> str:
    """Why a duty could not connect, and the remedy. `error` is of any driver."""
    if is_of_password(error):
        return f"the login of the {duty} is refused: run `callmart access apply`, and then this again"
    return f"the login of the {duty}: {server.cause(error)}"


def owner_uri(settings: Settings) -> str:
    """The owner's libpq URI. A password in CALLMART_DSN is written to a file, and the URI names the file instead."""
    own = conninfo_to_dict(server.uri(settings))
    user, database, password = str(own.pop("user")), str(own.pop("dbname")), own.pop("password", None)
    if password is not None:
        line = ":".join(re.sub(r"([\\:])", r"\\\1", part) for part in (user, str(password)))
        secret_file(passfile(settings.home, user), f"*:*:*:{line}\n")
        own["passfile"] = str(passfile(settings.home, user))
    return _as_uri(user, database, {key: str(value) for key, value in own.items()})


def customer_uri(connection: psycopg.Connection, settings: Settings, customer_id: int) -> str:
    """The libpq URI of a customer's login. Raises UserError if it has no contract today, if it is closed because ledger
    and database differ, or if it has not ordered a login.
    """
    found = connection.execute(
        "select ordered_login is not null from registry.current_option"
        " left join registry.ordered_login using (customer_id) where customer_id = %s",
        [customer_id],
    ).fetchone()
    if found is None:
        raise UserError(
            f"customer {customer_id} has no contract today, so there is no login; "
            "add one to the registry and apply it"
        )
    if customer_id in ledger.closed(connection):
        raise UserError(f"customer {customer_id}: {ledger.DIFFERS}")
    if found == (False,):
        raise UserError(
            f"customer {customer_id} has ordered no login; "
            "give it `sql_login: true` or `connection: live` in the registry and apply it"
        )
    return login_uri(settings, roles.customer_role(connection.info.dbname, customer_id))


def _as_uri(user: str, database: str, parameters: dict[str, str]) -> str:
    query = "&".join(f"{key}={quote(value, safe='/')}" for key, value in parameters.items())
    return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?{query}"
