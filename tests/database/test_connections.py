"""A connection that fails says why and what to do, in one sentence without the password and without the DSN."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from callmart.access import logins, roles
from callmart.base.errors import UserError
from callmart.base.secret_files import secret_file
from callmart.database import embedded_server, server
from callmart_home import Callmart
from home_settings import with_dsn
from tls import WITH_OPENSSL, Certificate, certificate, in_front_of

PASSWORD = "r1ght-secret"
OWNER = "callmart_another"

# As libpq and PostgreSQL write them, where they cost too much to bring about.
WORDS = {
    'FATAL:  sorry, too many clients already': "no connection left",
    'FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute': "no connection left",
    'FATAL:  too many connections for database "d"': "no connection left",
    'FATAL:  the database system is starting up': "is starting, stopping or closed",
    'FATAL:  the database system is shutting down': "is starting, stopping or closed",
    'FATAL:  the database system is in recovery mode': "is starting, stopping or closed",
    'FATAL:  the database system is not yet accepting connections': "is starting, stopping or closed",
    'FATAL:  could not write init file: No space left on device': "its disk is full",
    'FATAL:  database "d" is not currently accepting connections': "is starting, stopping or closed",
    'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", no encryption': "only with TLS",
    'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", SSL encryption': "have a line for it",
    'FATAL:  pg_hba.conf rejects connection for host "10.0.0.1", user "u", database "d"': "have a line for it",
    'FATAL:  role "u" does not exist': "no such user",
    'FATAL:  Peer authentication failed for user "u"': "does not accept this account",
    'FATAL:  permission denied for database "d"\nDETAIL:  User does not have CONNECT privilege.': "grant connect",
    'connection to server at "10.0.0.1", port 5432 failed: Connection timed out': "the host does not answer",
    'connection to server at "10.0.0.1", port 5432 failed: No route to host': "the host does not answer",
    'connection to server at "10.0.0.1", port 5432 failed: server closed the connection unexpectedly': "not PostgreSQL",
    'could not translate host name "nowhere" to address: Name or service not known': "host name is not known",
    'could not read root certificate file "/ca.pem": Permission denied': "the certificate authority can't be read",
    'private key file "/k" has group or world access; file must have permissions u=rw (0600) or less': "chmod 600",
    'connection requires a valid client certificate': "client's certificate",
    'Could not load `l.so`: l.so: failed to map segment from shared object\ndlopen() failed: No such file or directory':
        "too little memory",
    'could not generate nonce': "too little memory",
    'could not fork new process for connection: Cannot allocate memory': "too little memory",
    'FATAL:  words that nobody knows': "it can't be reached; check host, port",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(callmart: Callmart) -> Path:
    """The folder of the socket of a server with another owner."""
    folder = embedded_server.start(callmart.home)
    with superuser(folder) as postgres:
        postgres.execute(f"create role {OWNER} login createrole password '{PASSWORD}'")
        postgres.execute("create role asleep nologin password 'r1ght-secret'")
        postgres.execute("create role full login connection limit 0 password 'r1ght-secret'")
        postgres.execute(f"grant create on database callmart to {OWNER}")
    return folder


def superuser(folder: Path) -> psycopg.Connection:
    return psycopg.connect(host=str(folder), port=5432, user="postgres", dbname="postgres", autocommit=True)


def refusal(home: Path, dsn: str) -> str:
    with pytest.raises(UserError) as refused:
        server.connect(with_dsn(home, dsn)).close()
    said = str(refused.value)
    assert "\n" not in said
    assert "secret" not in said
    assert "postgresql://" not in said
    return said


@pytest.mark.parametrize("words", WORDS)
def test_what_a_server_says_is_understood(words: str) -> None:
    said = server.cause(psycopg.OperationalError(f"connection failed: {words}"))
    assert WORDS[words] in said
    assert words.rsplit(":", maxsplit=1)[-1].strip() not in said


LOCAL = {
    "a wrong password": (
        "OWNER:wr0ng-secret@/callmart?host={folder}",
        "the password is wrong, or there is no such user",
    ),
    "no such user": ("nobody:wr0ng-secret@/callmart?host={folder}", "or there is no such user"),
    "no password": ("OWNER@/callmart?host={folder}&passfile={folder}/../none", "passfile of CALLMART_DSN"),
    "no password at all": ("OWNER@/callmart?host={folder}", "asks for a password and none was given"),
    "no such database": ("OWNER:r1ght-secret@/nowhere?host={folder}", "has no such database"),
    "a user that may not log in": ("asleep:r1ght-secret@/callmart?host={folder}", "may not log in"),
    "a user with no connection left": ("full:r1ght-secret@/callmart?host={folder}", "no connection left"),
    "no server on the socket": ("u@/d?host={folder}/none", "no server has its socket there"),
    "no host of that name": ("u:wr0ng-secret@nowhere.invalid/d", "the host name is not known"),
    "nothing on the port": ("u:wr0ng-secret@127.0.0.1:{free}/d", "nothing listens on this host and port"),
    "a host that is silent": ("u@127.0.0.1:{silent}/d?connect_timeout=2", "the host does not answer"),
    "no PostgreSQL": ("u@127.0.0.1:{rude}/d", "what answers there is not PostgreSQL"),
    "no file of an authority": (
        "u@127.0.0.1:{silent}/d?sslmode=verify-full&sslrootcert=/none",
        "can't be read",
    ),
}


@pytest.mark.parametrize(("dsn", "cause"), LOCAL.values(), ids=LOCAL.keys())
def test_each_cause_is_named(callmart: Callmart, folder: Path, dsn: str, cause: str) -> None:
    with ExitStack() as opened:
        free, silent, rude = (opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
        ports = {
            name: one.getsockname()[1] for name, one in (("free", free), ("silent", silent), ("rude", rude))
        }
        free.close()
        if "{rude}" in dsn:
            opened.enter_context(answering(rude, b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        if "/none" in dsn and "{silent}" in dsn:
            opened.enter_context(answering(silent, b"S"))
        said = refusal(
            callmart.home, "postgresql://" + dsn.replace("OWNER", OWNER).format(folder=folder, **ports)
        )
    assert cause in said


@contextmanager
def answering(listener: socket.socket, answer: bytes) -> Iterator[None]:
    """Let whoever connects have that answer, and no more."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.recv(8)
                client.sendall(answer)
                client.shutdown(socket.SHUT_WR)

    Thread(target=serve, daemon=True).start()
    yield
    listener.shutdown(socket.SHUT_RDWR)


def test_a_duty_whose_server_is_gone_is_not_told_to_apply_its_rights(
    callmart: Callmart, folder: Path
) -> None:
    settings = with_dsn(callmart.home, f"postgresql://u@127.0.0.1:1/{'d'}")
    secret_file(logins.passfile(callmart.home, roles.duty_role("d", "loader")), "*:*:*:*:x\n")
    with pytest.raises(UserError, match="the login of the loader: nothing listens on this host and port"):
        logins.connect(settings, "loader")


# -- files that hold a password ------------------------------------------------------------------------------------


def test_a_passfile_that_others_read_is_refused(callmart: Callmart, folder: Path, tmp_path: Path) -> None:
    (file := tmp_path / "pgpass").write_text(f"*:*:*:{OWNER}:{PASSWORD}\n")
    dsn = f"postgresql://{OWNER}@/callmart?host={folder}&passfile={file}"
    for mode in 0o644, 0o640, 0o604, 0o620:
        file.chmod(mode)
        assert f"other users can open {file}; close it with `chmod 600 {file}`" in refusal(callmart.home, dsn)
    for mode in 0o600, 0o400:
        file.chmod(mode)
        server.connect(with_dsn(callmart.home, dsn)).close()


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificate, Certificate]:
    """Of localhost, and of another host."""
    folder = tmp_path_factory.mktemp("certificates")
    return certificate(folder, "localhost"), certificate(folder, "elsewhere.example.org")


@pytest.mark.skipif(not WITH_OPENSSL, reason="no openssl on this machine to make certificates with")
def test_tls_is_refused_for_its_own_reason(
    callmart: Callmart, folder: Path, certificates: tuple[Certificate, Certificate]
) -> None:
    own, other = certificates
    at, verified = f"{OWNER}:{PASSWORD}@localhost", "sslmode=verify-full&sslrootcert="
    behind = folder / f".s.PGSQL.{embedded_server.PORT}"
    with in_front_of(behind, own) as port, in_front_of(behind, other) as elsewhere:
        good = f"postgresql://{at}:{port}/callmart?{verified}{own.file}"
        server.connect(with_dsn(callmart.home, good)).close()
        assert "certificate is not trusted" in refusal(
            callmart.home, good.replace(str(own.file), str(other.file))
        )
        assert "certificate is not trusted" in refusal(callmart.home, good.replace(str(own.file), "system"))
        assert "certificate authority can't be read" in refusal(callmart.home, f"{good}.none")
        assert "is for another host name" in refusal(
            callmart.home, f"postgresql://{at}:{elsewhere}/callmart?{verified}{other.file}"
        )
        wrong = good.replace(PASSWORD, "wr0ng-secret")
        assert "the password is wrong, or there is no such user" in refusal(callmart.home, wrong)


DEBIAN_17 = Path("/usr/lib/postgresql/17/bin")


@pytest.mark.skipif(not (DEBIAN_17.exists() and WITH_OPENSSL), reason="no PostgreSQL 17 on this machine")
def test_a_server_with_tls_of_its_own(
    callmart: Callmart, tmp_path: Path, certificates: tuple[Certificate, Certificate]
) -> None:
    """It lets nobody in without, and has three connections."""
    own, other = certificates
    data, account = callmart.home / "data_17", embedded_server._as_server()
    data.mkdir()
    (password := data.with_name("password")).write_text(PASSWORD)
    password.chmod(0o644)
    if account:
        shutil.chown(data, account["user"])

    def pg(program: str, *arguments: str) -> None:
        subprocess.run(
            [DEBIAN_17 / program, "-D", data, *arguments],
            check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account,
        )  # fmt: skip

    pg("initdb", "--auth=scram-sha-256", f"--username={OWNER}", f"--pwfile={password}", "--no-sync")
    for source, name in (own.file, "server.crt"), (own.key, "server.key"):
        shutil.copy(source, data / name)
        (data / name).chmod(0o600)
        if account:
            shutil.chown(data / name, account["user"])
    (data / "pg_hba.conf").write_text(f"hostssl all {OWNER} 127.0.0.1/32 scram-sha-256\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = (
        "-c ssl=on -c max_connections=5 -c superuser_reserved_connections=0 -c unix_socket_directories="
    )
    pg("pg_ctl", "-w", "-l", str(data / "server.log"), "-o", f"-h 127.0.0.1 -p {port} -F {settings}", "start")
    verified = f"sslmode=verify-full&sslrootcert={own.file}"
    good = f"postgresql://{OWNER}:{PASSWORD}@localhost:{port}/postgres?hostaddr=127.0.0.1&{verified}"
    try:
        assert "row-level security does not apply to the login" in refusal(callmart.home, good), (
            "it is let in, and is a superuser"
        )
        for wrong, cause in {
            good.replace(str(own.file), str(other.file)): "certificate is not trusted",
            good.replace("localhost:", "127.0.0.1:"): "is for another host name",
            good.replace(PASSWORD, "wr0ng-secret"): "the password is wrong, or there is no such user",
            good.replace(f":{PASSWORD}", ""): "asks for a password and none was given",
            good.replace("/postgres?", "/nowhere?"): "has no such database",
            good.replace(verified, "sslmode=disable"): "only with TLS",
            good.replace(f"{OWNER}:", "nobody:"): "have a line for it added",
        }.items():
            assert cause in refusal(callmart.home, wrong)
        with ExitStack() as others:
            with suppress(psycopg.OperationalError):
                while True:
                    others.enter_context(psycopg.connect(good))
            assert "no connection left" in refusal(callmart.home, good)
        pg("pg_ctl", "-w", "-m", "immediate", "stop")
        pg("pg_ctl", "-w", "-o", f"-h 127.0.0.1 -p {port} -F -c ssl=off -c unix_socket_directories=", "start")
        assert "the server offers no TLS" in refusal(callmart.home, good)
    finally:
        pg("pg_ctl", "-w", "-m", "immediate", "stop")


def test_an_owner_who_does_not_own_the_database_keeps_the_catalogue_of_a_cluster(
    callmart: Callmart, folder: Path
) -> None:
    """It is taken from everybody else. PL/pgSQL stands for Citus, which is in no package registry."""
    script = embedded_server.ADMINISTRATOR.read_text().replace("extname = 'citus'", "extname = 'plpgsql'")
    with callmart.superuser(keep=False) as postgres:
        postgres.execute(script.encode())
        granted = postgres.execute(
            "select grantee::regrole::text from pg_proc, aclexplode(proacl) where proname = 'plpgsql_call_handler'"
        )
        assert set(granted.fetchall()) == {("postgres",), ("callmart_owner",), (OWNER,)}
