"""The server: an embedded one that can be killed, raced and moved, and one of somebody else's by CALLMART_DSN."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from callmart.access import drift, logins, roles
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT, Settings
from callmart.database import embedded_server, lock, server
from callmart_home import Callmart, copy
from home_settings import with_dsn
from today import YESTERDAY

REGISTRY = (
    "customers: [{id: 1042, name: One, sql_login: true, contracts: [{option: detailed, from: 2025-01-01}]}]\n"
)
PASSWORD = "p@ss/w%rd"
ENCODED = "p%40ss%2Fw%25rd"


@pytest.fixture(scope="module")
def socket(callmart: Callmart) -> Path:
    """The socket's folder of a server that runs."""
    return embedded_server.start(callmart.home)


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home that the server's account can enter; what runs in it is stopped."""
    with tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder:
        home = Path(folder) / "home"
        yield home
        embedded_server.stop(home)


@pytest.fixture
def rested(home: Path, new_home: Path) -> Path:
    """The same home with a server that was made before, and rests: to make one takes seconds."""
    copy(new_home, home)
    home.parent.chmod(0o711)
    return home


def as_superuser(socket: Path) -> psycopg.Connection:
    return psycopg.connect(host=str(socket), port=5432, user="postgres", dbname="postgres", autocommit=True)


def refusal(home: Path, dsn: str) -> str:
    with pytest.raises(UserError) as refused:
        server.connect(with_dsn(home, dsn))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def python(home: Path, code: str, **environment: str) -> subprocess.Popen[str]:
    """Another process with callmart in it."""
    names = (
        "from pathlib import Path; from callmart.database import embedded_server, server; "
        f"home = Path({str(home)!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", f"{names}; {code}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT / "scripts")} | environment,
    )  # fmt: skip


# -- which server is safe ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [90624, 150018, 160000, 160009, 170000, 170005])
def test_a_server_with_known_leaks_is_refused(version: int) -> None:
    with pytest.raises(UserError, match=r"leak past row-level security; use 16\.10, 17\.6, 18 or newer"):
        server.refuse_unsafe(version)


@pytest.mark.parametrize("version", [160010, 160014, 170006, 180000, 180004, 190001])
def test_a_server_without_them_is_not(version: int) -> None:
    server.refuse_unsafe(version)


DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


@pytest.mark.skipif(not DEBIAN_15.exists(), reason="no PostgreSQL 15 on this machine")
def test_postgresql_15_itself_is_refused(socket: Path, home: Path) -> None:
    data, account = home / "data", embedded_server._as_server()
    data.mkdir(parents=True)
    if account:
        shutil.chown(data, account["user"])
        home.parent.chmod(0o711)

    def pg(program: str, *arguments: str) -> None:
        subprocess.run(
            [DEBIAN_15 / program, "-D", data, *arguments],
            check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account,
        )  # fmt: skip

    (password := home / "password").write_text(PASSWORD)
    password.chmod(0o644)
    pg("initdb", "--auth=scram-sha-256", "--username=owner", f"--pwfile={password}")
    pg("pg_ctl", "-w", "-o", f"-k {data} -h ''", "start")
    try:
        said = refusal(home, f"postgresql://owner:{ENCODED}@/postgres?host={data}")
    finally:
        pg("pg_ctl", "-w", "-m", "immediate", "stop")
    assert said.startswith("PostgreSQL 15.")
    assert said.endswith("use 16.10, 17.6, 18 or newer")


def test_a_login_that_no_policy_binds_is_refused_with_the_sql_to_mend_it(
    callmart: Callmart, socket: Path
) -> None:
    said = refusal(callmart.home, f"postgresql://postgres@/postgres?host={socket}")
    assert "row-level security does not apply to the login postgres" in said
    assert (
        "create role postgres_owner login createrole; alter database postgres owner to postgres_owner" in said
    )


LACKING = {
    "bypassrls": ("login bypassrls createrole", "create role {database}_owner login createrole"),
    "no createrole": ("login", "alter role lacking createrole"),
    "no create": ("login createrole", "grant create on database {database} to lacking"),
}


@pytest.mark.parametrize(("attributes", "remedy"), LACKING.values(), ids=LACKING.keys())
def test_an_owner_that_is_not_fit_is_refused_until_it_is_mended(
    callmart: Callmart, socket: Path, attributes: str, remedy: str
) -> None:
    with as_superuser(socket) as postgres:
        postgres.execute(f"create role lacking {attributes} password 'secret'")
        try:
            dsn = f"postgresql://lacking:secret@/callmart?host={socket}"
            said = refusal(callmart.home, dsn)
            assert remedy.format(database="callmart") in said
            if "bypassrls" not in attributes:
                postgres.execute(said.split(": ", 1)[1])
                server.connect(with_dsn(callmart.home, dsn)).close()
        finally:
            postgres.execute("revoke all on database callmart from lacking")
            postgres.execute("drop role lacking")


def test_a_database_name_that_leaves_no_room_for_roles_is_refused(callmart: Callmart, socket: Path) -> None:
    name = "d" * 43
    with as_superuser(socket) as postgres:
        postgres.execute("create role long_owner login createrole password 'secret'")
        postgres.execute(sql.SQL("create database {} owner long_owner").format(sql.Identifier(name)))
        try:
            said = refusal(callmart.home, f"postgresql://long_owner:secret@/{name}?host={socket}")
            assert f"the database {name} is too long" in said
        finally:
            postgres.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
            postgres.execute("drop role long_owner")


ALL, HERE, OWNER = "alter role all", "alter database callmart", "alter role callmart_owner"
HINDERING = {
    "for all": (ALL, f"have a superuser run {ALL} reset {{setting}}"),
    "in the database": (HERE, f"run {HERE} reset {{setting}}"),
    "for the owner": (OWNER, f"run {OWNER} reset {{setting}}"),
    "for the owner there": (
        f"{OWNER} in database callmart",
        f"run {OWNER} in database callmart reset {{setting}}",
    ),
    "on the server": ("alter system", "correct the server's configuration, and reload it"),
}


@pytest.fixture
def administrator(socket: Path) -> Iterator[psycopg.Connection]:
    """A superuser; before it and after it, the owner's sessions, which tests keep, are ended."""
    ending = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'callmart_owner'"
    with as_superuser(socket) as postgres:
        postgres.execute(ending)
        yield postgres
        postgres.execute(ending)


@pytest.mark.parametrize("where", HINDERING)
@pytest.mark.parametrize(
    ("setting", "value"), [("row_security", "off"), ("default_transaction_read_only", "on")]
)
def test_a_setting_with_which_nothing_works_is_named_with_what_takes_it_away(
    callmart: Callmart, administrator: psycopg.Connection, where: str, setting: str, value: str
) -> None:
    alter, remedy = HINDERING[where]
    administrator.execute(f"{alter} set {setting} = {value}".encode())
    administrator.execute("select pg_reload_conf()")
    try:
        with pytest.raises(UserError) as refused:
            server.connect(callmart.settings)
    finally:
        administrator.execute("set default_transaction_read_only = off")
        administrator.execute(f"{alter} reset {setting}".encode())
        administrator.execute("select pg_reload_conf()")
    said = f"{setting} is {value} for the login callmart_owner, and with that no command works: {remedy}"
    assert str(refused.value) == said.format(setting=setting)


@pytest.mark.usefixtures("administrator")
def test_so_is_one_in_the_dsn(callmart: Callmart) -> None:
    dsn = make_conninfo(embedded_server.uri(callmart.home), options="-c row_security=off")
    assert refusal(callmart.home, dsn).endswith("take it out of the options in CALLMART_DSN")


def test_a_standby_is_refused(rested: Path) -> None:
    data = rested / "postgres"
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write("wal_level = 'replica'\n")
    embedded_server.start(rested)
    embedded_server.stop(rested)
    (data / "standby.signal").touch()
    said = refusal(rested, f"postgresql://callmart_owner@/callmart?host={embedded_server.start(rested)}")
    assert said == (
        "in_hot_standby is on for the login callmart_owner, and with that no command works: "
        "name the primary server in CALLMART_DSN"
    )


# -- the DSN -------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_one_sentence_without_it(callmart: Callmart, socket: Path) -> None:
    with as_superuser(socket) as postgres:
        postgres.execute("create role somebody login createrole password 'right'")
        said = refusal(callmart.home, f"postgresql://somebody:wr0ng-secret@/callmart?host={socket}")
        postgres.execute("drop role somebody")
    assert said.startswith("CALLMART_DSN: the password is wrong, or there is no such user")
    assert "wr0ng" not in said


def test_a_server_that_does_not_answer_is_one_sentence(callmart: Callmart, tmp_path: Path) -> None:
    said = refusal(callmart.home, f"postgresql://u@/d?host={tmp_path}")
    assert said == "CALLMART_DSN: no server has its socket there; start the server, or correct host and port"


# -- another's database, end to end ------------------------------------------------------------------------------


@pytest.fixture
def other(callmart: Callmart, socket: Path, home: Path) -> Iterator[Callmart]:
    """A callmart in a database with another name, on the server of the first, by DSN."""
    name = "call-mart_Test"
    with as_superuser(socket) as postgres:
        postgres.execute(
            sql.SQL("create role {} login createrole password {}").format(
                sql.Identifier("Other.Owner"), sql.Literal(PASSWORD)
            )
        )
        postgres.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier("Other.Owner"))
        )
        with psycopg.connect(host=str(socket), user="postgres", dbname=name) as administrator:
            administrator.execute(embedded_server.ADMINISTRATOR.read_bytes())
        home.mkdir()
        made = Callmart(with_dsn(home, f"postgresql://Other.Owner:{ENCODED}@/{name}?host={socket}"))
        yield made
        postgres.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        for (role,) in postgres.execute(
            "select rolname from pg_roles where starts_with(rolname, %s) or rolname = 'Other.Owner'"
            " order by rolname = 'Other.Owner'",
            [name],
        ).fetchall():
            postgres.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def all_roles(callmart: Callmart) -> list[dict[str, object]]:
    """The roles of the first database: attributes, passwords' ages and memberships."""
    return callmart.rows(
        "select r.oid, r.rolname, r.rolcanlogin, r.rolconfig, m.roleid, m.member, m.inherit_option, m.set_option"
        " from pg_roles as r left join pg_auth_members as m on m.member = r.oid or m.roleid = r.oid"
        " where r.rolname ~ '^callmart_' order by 1, 5, 6"
    )


def test_a_database_by_dsn_end_to_end(callmart: Callmart, other: Callmart) -> None:
    callmart.apply(REGISTRY)
    before = all_roles(callmart)
    other.apply(REGISTRY.replace("1042", "7") + "# its only customer\n")
    noon = int(time.mktime(YESTERDAY.timetuple())) + 43200
    landed = other.land_text(
        f"{noon}|{noon}.1|sales|NONE|ENTERQUEUE||0612345678|1\n{noon + 9}|{noon}.1|sales|NONE|ABANDON|1|1|9\n",
        7,
    )
    assert landed.landed == 2
    other.build_unchecked()

    with other.connect() as connection:
        uri = logins.customer_uri(connection, other.settings, 7)
    assert ENCODED not in uri
    with psycopg.connect(uri) as customer:
        found = customer.execute(
            "select current_user, current_database(), sum(offered) from mart.queue_interval"
        )
        assert found.fetchall() == [("call-mart_Test_customer_7", "call-mart_Test", 1)]
    with psycopg.connect(logins.owner_uri(other.settings)) as owner:
        assert owner.info.user == "Other.Owner"
    assert ENCODED not in logins.owner_uri(other.settings)

    other.apply("customers: []\n")  # takes every login of its own away, and none of another's
    assert other.rows("select rolname from pg_roles where rolname ~ 'call-mart_Test_customer'") == []
    assert all_roles(callmart) == before
    assert callmart.rows("select current_user as who", customer_id=1042) == [
        {"who": "callmart_customer_1042"}
    ]


# -- the embedded server -------------------------------------------------------------------------------------------


def test_nobody_is_trusted(callmart: Callmart, socket: Path) -> None:
    rules = callmart.home / "postgres" / "pg_hba.conf"
    lines = [line.split() for line in rules.read_text().splitlines() if line.strip()]
    assert {line[0] for line in lines} == {"local"}
    assert [line[3] for line in lines] == ["peer", "peer", "scram-sha-256"]
    with as_superuser(socket) as postgres:
        assert postgres.execute(
            "select distinct auth_method from pg_hba_file_rules order by 1"
        ).fetchall() == [
            ("peer",),
            ("scram-sha-256",),
        ]
        assert postgres.execute("show listen_addresses").fetchone() == ("",)


def test_a_login_without_its_password_is_refused(callmart: Callmart, tmp_path: Path) -> None:
    callmart.apply(REGISTRY)
    with callmart.connect() as owner:
        uri = logins.customer_uri(owner, callmart.settings, 1042)
    psycopg.connect(uri).close()
    role = roles.customer_role("callmart", 1042)
    with pytest.raises(psycopg.OperationalError, match="no password"):
        psycopg.connect(uri, passfile=str(tmp_path / "none"))
    (tmp_path / "wrong").write_text(f"*:*:*:{role}:guess\n")
    (tmp_path / "wrong").chmod(0o600)
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(uri, passfile=str(tmp_path / "wrong"))


def test_starting_again_is_the_same_server(callmart: Callmart, socket: Path) -> None:
    process = (callmart.home / "postgres" / "postmaster.pid").read_text().splitlines()[0]
    assert embedded_server.start(callmart.home) == socket
    assert (callmart.home / "postgres" / "postmaster.pid").read_text().splitlines()[0] == process


def test_a_server_that_crashed_starts_though_another_process_has_its_number(rested: Path) -> None:
    embedded_server.start(rested)
    noted = rested / "postgres" / "postmaster.pid"
    pid = int(noted.read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    while embedded_server.is_running(rested):
        time.sleep(0.05)
    for left in (noted, *(rested / "socket").glob("*.lock")):
        left.write_text(left.read_text().replace(str(pid), str(os.getpid()), 1))
    assert not embedded_server.stop(rested), "or it would end this process"
    embedded_server.start(rested)
    assert embedded_server.is_running(rested)
    assert embedded_server.stop(rested)


def test_a_server_whose_socket_was_removed_is_stopped_first(rested: Path) -> None:
    folder = embedded_server.start(rested)
    (folder / ".s.PGSQL.5432").unlink()
    remedy = "removed its socket: `callmart stop`, then `callmart start`"
    with pytest.raises(UserError, match=remedy):
        embedded_server.start(rested)
    with pytest.raises(UserError, match=remedy):  # what `health` and `doctor` say
        server.if_running(Settings(home=rested))
    assert embedded_server.stop(rested)
    embedded_server.start(rested)
    assert embedded_server.is_running(rested)


def test_a_server_in_another_container_is_used_and_no_second_one_starts(
    callmart: Callmart, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is not to be seen there, so PostgreSQL itself would start a second server on the same data."""
    noted = callmart.home / "postgres" / "postmaster.pid"
    before = noted.read_text()
    monkeypatch.setattr(embedded_server, "_noted", lambda _: None)
    assert embedded_server.start(callmart.home) == socket
    monkeypatch.setattr(embedded_server, "_answers", lambda _: False)  # its socket is not to be seen either
    monkeypatch.setattr(embedded_server, "PATIENCE_S", 0)
    with pytest.raises(UserError, match="is at work elsewhere, such as in another container"):
        embedded_server.start(callmart.home)
    assert noted.read_text() == before


def test_a_process_that_nobody_may_look_into_is_the_server(
    callmart: Callmart, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root in a container may often not: the server runs as another account."""

    def refused(*_: object) -> bool:
        raise PermissionError

    noted = callmart.home / "postgres" / "postmaster.pid"
    before = noted.read_text()
    monkeypatch.setattr(Path, "samefile", refused)
    embedded_server.start(callmart.home)
    assert noted.read_text() == before


def test_what_was_stopped_comes_back_as_it_was(home: Path) -> None:
    settings = Settings(home=home, dsn=None, folders=[])
    assert not embedded_server.stop(home)
    assert not home.exists()
    with server.connect(settings) as connection:
        connection.execute("create table public.kept as select 42 as answer")
    assert embedded_server.stop(home)
    assert not embedded_server.stop(home)
    with server.connect(settings) as connection:
        assert connection.execute("select answer from public.kept").fetchone() == (42,)


def test_two_at_the_same_time_make_one(home: Path) -> None:
    racers = [python(home, "print(embedded_server.start(home))") for _ in range(2)]
    answers = [racer.communicate() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], answers
    assert {answer for answer, _ in answers} == {f"{home / 'socket'}\n"}
    server.connect(Settings(home=home, dsn=None, folders=[])).close()


@pytest.mark.thorough
@pytest.mark.parametrize("last_step", ["_start", "_create_database"])
def test_what_was_killed_half_way_is_made_anew(home: Path, last_step: str) -> None:
    """Killed before the server is started, and after the database was made but before that was noted."""
    finish = f"before = embedded_server.{last_step}" if last_step == "_create_database" else "before = print"
    slowly = "lambda *a: (before(*a), print('now', flush=True), __import__('time').sleep(60))"
    hang = f"embedded_server.{last_step} = {slowly}"
    process = python(home, f"{finish}; {hang}; embedded_server.start(home)")
    assert process.stdout is not None
    assert "now\n" in process.stdout
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (home / "postgres.ready").exists()
    with server.connect(Settings(home=home, dsn=None, folders=[])) as connection:
        assert connection.execute("select current_user, current_database()").fetchone() == (
            "callmart_owner",
            "callmart",
        )


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["n" * 100, 'it\'s 100% yours & "mine", for $HOME or `id`\\'])
def test_a_home_can_have_any_name(home: Path, name: str) -> None:
    odd = home / name
    settings = Settings(home=odd, dsn=None, folders=[])
    made = Callmart(settings)
    try:
        made.apply(REGISTRY)
        assert made.rows("select current_user as who", customer_id=1042) == [
            {"who": "callmart_customer_1042"}
        ]
        with psycopg.connect(logins.owner_uri(settings)) as owner:
            assert owner.info.user == "callmart_owner"
        assert made.land_text("1|NONE|NONE|NONE|QUEUESTART|\n", 1042).rows == 1  # the other driver
    finally:
        embedded_server.stop(odd)
        embedded_server._socket_folder(odd).rmdir()


def test_a_socket_folder_of_somebody_else_is_not_used(home: Path) -> None:
    """A home that is too long for a socket has it in /tmp, where everybody can make folders."""
    long = home / ("n" * 100)
    folder = embedded_server._socket_folder(long)
    assert folder.parent == Path("/tmp")
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(parents=True)
    folder.symlink_to(elsewhere)
    try:
        with pytest.raises(UserError, match=f"{folder} belongs to somebody else"):
            embedded_server.start(long)
    finally:
        folder.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in another's home")
def test_root_does_nothing_in_anothers_home(home: Path) -> None:
    """Whoever is not root is refused by the system."""
    home.mkdir()
    lock = home / "server.lock"
    lock.touch()
    os.chown(lock, 65534, 65534)
    before = home.stat().st_mode
    with pytest.raises(
        UserError, match=f"{home} is of the account nobody, and this one is root; do this as nobody"
    ):
        embedded_server.start(home)
    assert (home.stat().st_mode, [*home.iterdir()]) == (before, [lock])
    lock.unlink()


def test_the_environment_of_another_server_does_not_lead_astray(callmart: Callmart, socket: Path) -> None:
    embedded_server.stop(callmart.home)  # so that the other process starts it, too
    code = "from callmart.base.settings import Settings; print(server.connect(Settings(home=home, dsn=None)).info.user)"
    stray = python(callmart.home, code, PGPORT="6543", PGUSER="somebody", PGDATABASE="postgres")
    assert stray.communicate()[0] == "callmart_owner\n"


def test_a_home_is_of_the_account_whatever_the_environment_says(home: Path) -> None:
    """As after `su`, which keeps the former account's name."""
    process = python(home, "embedded_server.start(home)", LOGNAME="somebody-else")
    assert (process.communicate()[1], process.returncode) == ("", 0)
    with server.connect(Settings(home=home, dsn=None, folders=[])) as connection:
        assert connection.execute("select current_user").fetchone() == ("callmart_owner",)


def test_homes_are_closed_to_others(callmart: Callmart, socket: Path) -> None:
    modes = {
        name: stat.S_IMODE((callmart.home / name).stat().st_mode) for name in (".", "postgres", "socket")
    }
    assert modes == {".": 0o711 if os.geteuid() == 0 else 0o700, "postgres": 0o700, "socket": 0o711}
    log = callmart.home / "postgres" / "server.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["server.lock", "postgres.lock"])
def test_nobody_else_can_hold_a_lock_of_a_home(callmart: Callmart, socket: Path, name: str) -> None:
    """Others can pass through root's home. Whoever could open a lock's file could keep every command waiting."""
    lock = callmart.home / name
    lock.chmod(0o644)  # as version 0.2.0 left it
    embedded_server.stop(callmart.home)
    embedded_server.start(callmart.home)
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


def test_the_log_holds_no_statement_and_no_row(callmart: Callmart) -> None:
    with callmart.connect() as connection, pytest.raises(psycopg.Error):
        connection.execute("select 'Ada Secret'::integer")
    with callmart.connect() as connection, pytest.raises(psycopg.Error):
        connection.execute("insert into registry.customer select 1, 'Ada Secret'")
    with callmart.connect() as connection, pytest.raises(psycopg.Error):
        connection.execute("select pg_terminate_backend(pg_backend_pid())")
    with callmart.connect() as connection:
        connection.execute("do $$ begin raise log 'Ada Secret'; end $$")
    log = (callmart.home / "postgres" / "server.log").read_text()
    assert "terminating connection" in log
    assert not [word for word in ("STATEMENT", "DETAIL", "Ada Secret") if word in log]


def test_a_server_that_ends_idle_sessions_leaves_the_owner_s_and_their_locks(
    callmart: Callmart, socket: Path
) -> None:
    impatience = ("idle_in_transaction_session_timeout", "idle_session_timeout")
    with embedded_server.administrator(callmart.home) as superuser:

        def leave(statement: str) -> None:
            for name in impatience:
                superuser.execute(sql.SQL(statement).format(sql.Identifier(name)))
            superuser.execute("select pg_reload_conf()")

        superuser.execute("set idle_session_timeout = 0")
        leave("alter system set {} = '100ms'")
        try:
            while superuser.execute("show idle_in_transaction_session_timeout").fetchone() != ("100ms",):
                time.sleep(0.1)
            with callmart.connect() as owner, lock.exclusive(owner), lock.second(owner) as second:
                # Those beside which the owner's last: one idle within a transaction, and one outside.
                with closing(as_superuser(socket)) as within, closing(as_superuser(socket)) as outside:
                    within.execute("begin")
                    pids = [other.info.backend_pid for other in (within, outside)]
                    beside = "select pid from pg_stat_activity where pid = any(%s)"
                    while superuser.execute(beside, [pids]).fetchone():
                        time.sleep(0.1)
                held = superuser.execute(
                    "select from pg_locks where relation = 'ops.running_now'::regclass"
                    " and mode = 'ShareUpdateExclusiveLock'"
                )
                assert held.fetchall() == [()]
                second.execute("select 1")
                owner.execute("select 1")
        finally:
            leave("alter system reset {}")


def test_a_home_of_before_is_closed_at_its_next_start(callmart: Callmart, socket: Path) -> None:
    """Its mark says nothing of what was closed on it."""
    with psycopg.connect(host=str(socket), user="postgres", dbname=embedded_server.DATABASE) as superuser:
        superuser.execute("grant execute on function pg_advisory_lock(bigint), lo_create(oid) to public")
        superuser.execute("drop event trigger refuse_definitions")
        superuser.execute("drop function public.refuse_definitions")
        superuser.commit()
        superuser.autocommit = True
        superuser.execute("alter system reset log_min_messages")
        superuser.execute("alter database callmart reset log_min_messages")
    log = callmart.home / "postgres" / "server.log"
    with log.open("a") as said:
        said.write('ERROR:  invalid input syntax for type integer: "Ada Secret"\n')
    (callmart.home / "postgres.ready").write_text("")
    with callmart.connect() as owner:
        assert list(drift.of_server(owner)) == []
        assert owner.execute("show log_min_messages").fetchone() == ("fatal",)
    assert "Ada Secret" not in log.read_text()
    assert "log_min_messages = 'log'" in (log.parent / "postgresql.auto.conf").read_text()
