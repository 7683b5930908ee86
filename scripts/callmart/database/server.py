"""Connects as the owner: to the PostgreSQL server that CALLMART_DSN names, or to the embedded one.

Both have the same roles, policies and passwords.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.secret_files import refuse_shared
from callmart.base.settings import LOOPBACK, Settings
from callmart.database import embedded_server

SQL = sql_file.statements(__file__)

DEFAULT_PORT = 5432  # as libpq has it
LONGEST_DATABASE_NAME = 42  # role names begin with it and end with a number, and have at most 63 bytes

# CVE-2025-8713 lets statistics leak past row-level security before these.
OLDEST_SAFE = {16: 160010, 17: 170006}

# With each a server can end what works, or waits, for long. Versions before 17 have no transaction_timeout.
TIMEOUTS = [
    "statement_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
]

# All our drivers use libpq, which sets these in each session, so that a server's own settings change no result.
os.environ |= {"PGTZ": "UTC", "PGDATESTYLE": "ISO"}
# Seconds; otherwise libpq waits two minutes for a silent host.
os.environ.setdefault("PGCONNECT_TIMEOUT", "15")


def uri(settings: Settings) -> str:
    """Return the libpq URI of the owner. Starts the embedded server if no DSN is set."""
    if settings.dsn is not None:
        return _by_itself(_with_tls(settings.dsn.get_secret_value()))
    embedded_server.start(settings.home)
    return _by_itself(embedded_server.uri(settings.home))


def _by_itself(dsn: str) -> str:
    """The DSN of a session by itself. Otherwise, whoever may create in `public` could do all that the owner may."""
    options = conninfo_to_dict(dsn).get("options") or ""
    return make_conninfo(dsn, options=f"{options} {embedded_server.BY_ITSELF}".strip())


class NotRunning(UserError):
    """The embedded server does not run."""


def if_running(settings: Settings) -> Settings:
    """The settings with the embedded server named like a server of one's own, so that connecting does not start it.
    Raises NotRunning, or UserError if it runs and can't be reached.
    """
    if settings.dsn is not None:
        return settings
    if not embedded_server.is_running(settings.home):
        embedded_server.require_socket(settings.home)
        raise NotRunning("the embedded server is not running: `callmart start` starts it")
    return settings.model_copy(update={"dsn": SecretStr(embedded_server.uri(settings.home))})


def connect(settings: Settings, *, autocommit: bool = False) -> psycopg.Connection:
    """Connect as the owner. Raises UserError if the server can't be reached, is not safe or lacks rights we need."""
    try:
        connection = psycopg.connect(uri(settings), autocommit=True, application_name="callmart")
    except psycopg.OperationalError as error:
        raise UserError(f"{_where(settings)}: {cause(error)}") from None
    try:
        _check(connection)
    except UserError:
        connection.close()
        raise
    let_last(connection)
    connection.autocommit = autocommit
    return connection


def let_last(connection: psycopg.Connection) -> None:
    """Let a session and its statements last as long as they take, whatever the server's settings say. One that ended
    while it waits would take its locks with it. The connection has autocommit, so that nothing takes this back.
    """
    # Not by pg_settings, which writes down all settings: that takes seven times as long.
    connection.execute(
        "select set_config(name, '0', false) from unnest(%s::text[]) as name"
        " where current_setting(name, true) is not null",
        [TIMEOUTS],
    )


def _where(settings: Settings) -> str:
    return "CALLMART_DSN" if settings.dsn is not None else f"the embedded server in {settings.home}"


# Error messages of libpq and the server for a failed connection, and the cause and remedy that we print instead. A host
# can have several addresses and so several messages: the most informative pattern comes first.
_CAUSES = (
    # The first two are said of our own driver and libpq.
    (
        r"failed to map segment|could not (generate nonce|calculate client proof)|[Oo]ut of memory|"
        r"Cannot allocate memory",
        "there is too little memory; free some, and run the same command again",
    ),
    (
        r"server does not support SSL",
        "the server offers no TLS; set `ssl = on` there; sslmode=disable does without, and `callmart audit` names it",
    ),
    (
        r"root certificate file .* does not exist|could not (read|load|open) .*root certificate",
        "the file of the certificate authority can't be read; let sslrootcert= name one that can",
    ),
    (
        r"certificate verify failed",
        "the server's certificate is not trusted, or has expired; let sslrootcert= name the file of the authority "
        "that signed it, or renew it",
    ),
    (
        r"server certificate for .* does not match host name",
        "the server's certificate is for another host name; connect by the name in the certificate",
    ),
    (
        r"private key file|certificate file|client certificate",
        "the client's certificate or its key is not accepted; check sslcert= and sslkey=, and close the key with "
        "`chmod 600`",
    ),
    (
        r"no pg_hba\.conf entry for .*(no encryption|SSL off)",
        "the server's pg_hba.conf lets this login connect from here only with TLS, if at all; add sslmode=verify-full, "
        "or have a line for it added",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "the server's pg_hba.conf does not let this login connect to this database from here; have a line for it added",
    ),
    (
        r"no password supplied|empty password",
        "the server asks for a password and none was given; put one into the URI, or into a file that passfile= names "
        "(mode 0600)",
    ),
    (
        r"(password|SCRAM|PAM|LDAP) .*authentication failed",
        "the password is wrong, or there is no such user; correct it, with %40 for @, %2F for / and %25 for %",
    ),
    (
        r"(Peer|Ident|GSSAPI|Certificate|RADIUS|SSPI) authentication failed",
        "the server does not accept this account of the operating system, or this certificate, as the user; log in "
        "with a password, or have pg_ident.conf corrected",
    ),
    (
        r"role .* is not permitted to log in",
        "the user may not log in; have a superuser run alter role … login",
    ),
    (
        r"role .* does not exist",
        "the server has no such user; correct the name, or have it created as README.md shows",
    ),
    (
        r"database .* does not exist",
        "the server has no such database; correct the name, or have it created as README.md shows",
    ),
    (
        r"permission denied for database",
        "the user may not connect to this database; have its owner grant connect on it",
    ),
    (
        r"too many c(lients|onnections)|connection slots|too many connections for",
        "the server has no connection left; end other sessions, or raise max_connections or the limit of the role or "
        "the database",
    ),
    (
        r"the database system is |not (currently|yet) accepting connections",
        "the server is starting, stopping or closed; try again when it is up",
    ),
    (r"No space left on device", "its disk is full; make room, then run the same command again"),
    (
        r"failed to resolve host|could not translate host name",
        "the host name is not known; correct it, or the name server of this machine",
    ),
    (
        r"No such file or directory",
        "no server has its socket there; start the server, or correct host and port",
    ),
    (r"Connection refused", "nothing listens on this host and port; start the server, or correct them"),
    (r"Permission denied", "this user may not enter the folder of the socket; connect to another host"),
    (
        r"timeout expired|timed out|No route to host|unreachable",
        "the host does not answer; correct host and port, or open them in the firewall",
    ),
    (
        r"closed the connection unexpectedly|invalid response to SSL|expected authentication request|reset by peer",
        "what answers there is not PostgreSQL, or it broke off; correct host and port, or read the server's log",
    ),
)


def cause(error: Exception) -> str:
    """Why a connection failed and what to do. None of the driver's or the server's own message is repeated."""
    words = str(error)
    found = (remedy for pattern, remedy in _CAUSES if re.search(pattern, words))
    return next(
        found, "it can't be reached; check host, port, database, user and password, and the server's log"
    )


def _with_tls(dsn: str) -> str:
    """The DSN, with verified TLS added if the server is on another machine and the DSN has no sslmode."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        given = {}  # the driver's message can contain the password
    if "service" in given or os.environ.get("PGSERVICE"):
        raise UserError(
            "CALLMART_DSN, or PGSERVICE, names a service of libpq, whose server and password all logins would get: "
            "write the service's host, port and sslmode into CALLMART_DSN instead, and unset PGSERVICE"
        )
    database, port = (str(given.get(part) or "") for part in ("dbname", "port"))
    # If a password has an unescaped @ or /, its rest is read as host, port or database, and errors would print it.
    hosts = hosts_of(given)
    odd = "@" in hosts[0] + database or port.strip("0123456789,")
    if odd or not (database and given.get("user")):
        raise UserError(
            "CALLMART_DSN is not understood; write postgresql://user:password@host:port/database, "
            "with %40 for @, %2F for / and %25 for % in the password"
        )
    if passfile := given.get("passfile"):
        try:
            refuse_shared(Path(str(passfile)), "the passfile of CALLMART_DSN")
        except OSError:
            raise UserError(
                f"the passfile of CALLMART_DSN: {passfile} can't be read; correct its name"
            ) from None
    if "sslmode" in given or on_this_machine(*hosts):
        return dsn
    return make_conninfo(dsn, sslmode="verify-full", sslrootcert=given.get("sslrootcert", "system"))


def hosts_of(given: Mapping[str, Any]) -> tuple[str, str]:
    """Host and hostaddr of a libpq URI's parts, or of the environment, as libpq takes them."""
    host, hostaddr = (
        str(given.get(part) or os.environ.get(f"PG{part.upper()}", "")) for part in ("host", "hostaddr")
    )
    return host, hostaddr


def on_this_machine(*hosts: str) -> bool:
    """Whether all hosts of a libpq URI, each a list with commas, are this machine."""
    return all(host.startswith("/") or host in ("", *LOOPBACK) for host in ",".join(hosts).split(","))


def open_way(settings: Settings) -> str | None:
    """What lets others read what is sent to the server, or take its place, with the remedy; None if nothing does."""
    own = conninfo_to_dict(uri(settings))
    if on_this_machine(*hosts_of(own)) or own.get("sslmode") == "verify-full":
        return None
    return (
        f"sslmode={own.get('sslmode')} lets others read what is sent to the server, or take its place: remove sslmode= "
        "from CALLMART_DSN, and let sslrootcert= name your authority"
    )


def tls_servers(settings: Settings) -> list[tuple[str, int]]:
    """Host and port of each server that the owner reaches by TLS. The embedded server has none."""
    if settings.dsn is None:
        return []
    given = conninfo_to_dict(uri(settings))
    if given.get("sslmode") not in ("require", "verify-ca", "verify-full"):
        return []
    hosts, ports = (
        str(given.get(part) or os.environ.get(f"PG{part.upper()}") or default).split(",")
        for part, default in (("host", ""), ("port", DEFAULT_PORT))
    )
    if len(ports) < len(hosts):  # one port for all hosts
        ports *= len(hosts)
    return [
        (host, int(port or DEFAULT_PORT))
        for host, port in zip(hosts, ports, strict=False)
        if host and not host.startswith("/")
    ]


def refuse_unsafe(version: int) -> None:
    """Raise UserError for a version (180004 is 18.4) whose row-level security has known leaks."""
    major, minor = divmod(version, 10000)
    if major < 16 or version < OLDEST_SAFE.get(major, 0):
        raise UserError(
            f"PostgreSQL {major}.{minor} lets statistics leak past row-level security; "
            "use 16.10, 17.6, 18 or newer"
        )


def _check(connection: psycopg.Connection) -> None:
    refuse_unsafe(connection.info.server_version)
    row = connection.execute(SQL["owner"]).fetchone()
    assert row is not None
    unbound, creates_roles, creates_schemas, hindered = row
    hindering = connection.execute(SQL["hindering"]).fetchone() if hindered else None
    user, database = connection.info.user, connection.info.dbname
    if len(database.encode()) > LONGEST_DATABASE_NAME:
        raise UserError(
            f"the name of the database {database} is too long for the roles that begin with it; "
            f"rename it to at most {LONGEST_DATABASE_NAME} bytes"
        )
    if unbound:
        raise UserError(
            f"row-level security does not apply to the login {user}; create an owner for callmart: "
            f"create role {database}_owner login createrole; alter database {database} owner to {database}_owner"
        )
    if not (creates_roles and creates_schemas):
        raise UserError(
            f"the login {user} lacks rights: alter role {user} createrole; "
            f"grant create on database {database} to {user}"
        )
    if hindering is not None:
        setting, value, remedy = hindering
        raise UserError(
            f"{setting} is {value} for the login {user}, and with that no command works: {remedy}"
        )
