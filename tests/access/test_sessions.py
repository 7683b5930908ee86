"""No login shuts others out: whatever a session holds open, the owner closes what a contract closes, changes what it
must, and everybody else goes on. Each trick is seen to stop a plain statement first, so that it says something.
"""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmart.access import changing_logins, drift, logins, memberships, roles, sessions
from callmart.base.progress import quietly
from callmart.database import embedded_server, lock
from callmart.declarations import dbt_project
from callmart.opening import opening
from callmart.opening.places import Computed
from callmart.operations import run
from callmart.privacy import procedure
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, NAMED, REGISTRY, STANDARD, agent_of
from commands import command_of
from erasing import person
from events import event, ndjson

NOON = datetime.combine(DAYS[0], time(12), UTC)


@pytest.fixture(scope="module", autouse=True)
def hurried() -> Iterator[None]:
    """Nobody waits longer than a test has to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "PATIENCE", "100ms")
        patch.setattr(lock, "TIMEOUT", "2s")
        yield


@pytest.fixture
def opened(played: Callmart) -> Iterator[Callmart]:
    """Three customers with open marts, of whom each is there again for the next test, whatever this one applies."""
    yield played
    played.apply(REGISTRY)


def role_of(customer: int) -> str:
    return roles.customer_role(embedded_server.DATABASE, customer)


@contextmanager
def held(callmart: Callmart, customer: int, *statements: str) -> Iterator[psycopg.Connection]:
    """A session that has done something, and leaves its transaction open with all timeouts off."""
    with psycopg.connect(
        logins.login_uri(callmart.settings, role_of(customer)), autocommit=True
    ) as connection:
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"):
            connection.execute(f"set {setting} = 0")
        connection.execute("begin read write")
        for statement in statements:
            connection.execute(statement)
        yield connection


def is_gone(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return True
    return False


def ended(callmart: Callmart) -> dict[int | None, int]:
    """How many sessions of each customer the audit log says were ended."""
    rows = callmart.rows(
        "select customer_id, sum((details ->> 'sessions')::integer)::integer as sessions"
        " from ops.audit_log where action = 'sessions ended' group by 1"
    )
    return {row["customer_id"]: row["sessions"] for row in rows}


def ended_of(callmart: Callmart, customer: int) -> int:
    return ended(callmart).get(customer, 0)


HOLDS_ITS_ROLE = {
    "a setting": "alter role current_user set work_mem = '1MB'",
    "a setting of this database": "alter role current_user in database callmart set work_mem = '1MB'",
    "a password": "alter role current_user password 'mine'",
    "resetting": "alter role current_user reset all",
}


def first_alone(ways: Mapping[str, str]) -> list[Any]:
    """The others end as the first does: its session is ended, whatever it holds."""
    first, *others = ways
    return [first, *(pytest.param(other, marks=pytest.mark.thorough) for other in others)]


def without(*customers: int) -> str:
    """The registry without some customers."""
    head, *each = REGISTRY.split("  - id: ")
    return head + "".join(f"  - id: {one}" for one in each if int(one.split()[0]) not in customers)


@pytest.mark.parametrize("what", HOLDS_ITS_ROLE)
def test_who_leaves_is_out_whatever_its_session_holds(opened: Callmart, what: str) -> None:
    before = ended_of(opened, ANONYMOUS)
    with held(opened, ANONYMOUS, HOLDS_ITS_ROLE[what]) as session, opened.connect() as owner:
        owner.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):  # what it holds, it holds
            owner.execute(f"drop role {role_of(ANONYMOUS)}")
        owner.rollback()
        opened.apply(without(ANONYMOUS))
        assert is_gone(session)
    assert not opened.rows("select from pg_roles where rolname = %s", role_of(ANONYMOUS))
    assert not logins.passfile(opened.home, role_of(ANONYMOUS)).exists()
    assert opened.rows("select from access.closing") == []
    assert ended_of(opened, ANONYMOUS) == before + 1


@pytest.mark.parametrize("what", first_alone(HOLDS_ITS_ROLE))
def test_a_run_goes_on_whatever_a_customer_holds_of_itself(played: Callmart, what: str) -> None:
    with played.connect(STANDARD) as customer:
        customer.execute("set transaction read write")
        for place in ("", "in database callmart"):  # what the run puts back
            customer.execute(f"alter role current_user {place} set timezone = 'UTC'")
    before = ended_of(played, STANDARD)
    with held(played, STANDARD, HOLDS_ITS_ROLE[what]) as session, played.connect() as owner:
        assert memberships.sync(owner, played.settings) == []
        assert is_gone(session)
        assert [
            found for found in drift.find(owner, dbt_project.marts(played.settings)) if not found.server
        ] == []
    assert ended_of(played, STANDARD) == before + 1


def test_a_run_lets_nobody_in_who_was_barred_by_hand(played: Callmart) -> None:
    role = role_of(STANDARD)
    with played.connect(STANDARD) as customer, played.superuser() as superuser:
        superuser.execute(f"alter role {role} nologin")
        customer.execute("set transaction read write")
        customer.execute("alter role current_user set timezone = 'UTC'")
    with played.connect() as owner:
        assert memberships.sync(owner, played.settings) == []
    assert played.rows(
        "select rolcanlogin, rolconfig::text ~ 'UTC' as in_utc from pg_roles where rolname = %s", role
    ) == [{"rolcanlogin": False, "in_utc": False}]
    with played.connect() as owner:
        memberships.apply(owner, played.settings, dbt_project.marts(played.settings))
    assert played.rows("select current_user as who", customer_id=STANDARD) == [{"who": role}]


def test_a_customer_that_orders_its_login_no_more_is_out(opened: Callmart) -> None:
    text = REGISTRY.replace("name: Fietsen\n    sql_login: true", "name: Fietsen")
    with held(opened, STANDARD, "alter role current_user password 'mine'") as session:
        opened.apply(text)
        assert is_gone(session)
    ((can_log_in,),) = [
        row.values()
        for row in opened.rows("select rolcanlogin from pg_roles where rolname = %s", role_of(STANDARD))
    ]
    assert not can_log_in
    assert not logins.passfile(opened.home, role_of(STANDARD)).exists()
    # By the publisher.
    assert opened.rows("select distinct customer_id from mart.queue_interval", customer_id=STANDARD)


def test_a_contract_that_ends_or_begins_at_midnight_stops_nobody(opened: Callmart) -> None:
    for ending in ("(now() at time zone 'Europe/Amsterdam')::date", "null"):
        with opened.connect() as owner:
            changed = f"update registry.contract set valid_until = {ending} where customer_id = %s"
            owner.execute(changed.encode(), [STANDARD])
            owner.commit()
            assert opening.follow_rights(owner, opened.settings) == []
        roles_ = opened.rows("select rolcanlogin from pg_roles where rolname = %s", role_of(STANDARD))
        assert [row["rolcanlogin"] for row in roles_] == [True] * (ending == "null")
        with opened.connect() as owner:
            owner.execute("grant select on store.queue_interval to public")
        with opened.connect() as owner, pytest.raises(opening.Drifted, match="by hand"):
            opening.follow_rights(owner, opened.settings)
        with opened.connect() as owner:
            owner.execute("revoke select on store.queue_interval from public")


READS = {
    "a view": "select count(*) from mart.queue_interval",
    "a lock of its own": "lock table mart.queue_interval in access share mode",
    "a cursor": "declare mine cursor for select * from mart.queue_interval",
    "a cursor with hold": "declare mine cursor with hold for select * from mart.queue_interval",
    "a savepoint": "savepoint one; select from mart.queue_interval; savepoint two",
    "a listener": "listen mine; select from mart.queue_interval",
}


@pytest.mark.parametrize("what", first_alone(READS))
def test_a_reader_stops_no_change_of_a_mart(played: Callmart, what: str) -> None:
    """A view that was tampered with is put back, although somebody reads it and never ends."""
    before = ended(played)
    with played.connect() as owner:
        owner.execute("update access.definition set query = 'other' where object = 'mart.queue_interval'")
    with held(played, NAMED, READS[what]) as session, played.connect() as owner:
        owner.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            memberships.show(owner, dbt_project.marts(played.settings))
        owner.rollback()
        assert memberships.apply(owner, played.settings, dbt_project.marts(played.settings)).problems == []
        assert is_gone(session)
    assert ended_of(played, NAMED) == before.get(NAMED, 0) + 1
    assert drift_of(played) == []


def drift_of(callmart: Callmart) -> list[str]:
    with callmart.connect() as owner:
        return [found.text for found in drift.find(owner, dbt_project.marts(callmart.settings))]


def test_a_column_more_comes_while_somebody_reads(played: Callmart) -> None:
    """As dbt adds one: in another process, with connections of its own."""
    with (
        held(played, NAMED, READS["a view"]) as session,
        played.connect() as owner,
        played.connect() as other,
    ):
        other.autocommit = True
        with sessions.making_way(owner):
            other.execute("set lock_timeout = '2s'")
            other.execute("alter table store.queue_interval add column more integer")
        assert is_gone(session)
        other.execute("alter table store.queue_interval drop column more")


def test_who_comes_back_at_once_stops_nothing(opened: Callmart) -> None:
    """All its connections, each of which takes its role again as soon as it gets in."""
    stop = threading.Event()
    got_in: list[int] = []

    def again() -> None:
        while not stop.is_set():
            try:
                with held(opened, ANONYMOUS, "alter role current_user set work_mem = '1MB'") as session:
                    got_in.append(1)
                    session.execute("select pg_sleep(60)")
            except psycopg.Error:
                continue

    threads = [threading.Thread(target=again) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        while not got_in:
            stop.wait(0.05)
        opened.apply(without(ANONYMOUS))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not opened.rows("select from pg_roles where rolname = %s", role_of(ANONYMOUS))
    assert opened.rows("select from access.closing") == []


# What locks a table although there is no right on it: who, by what, and which command waits for it.
WITHOUT_A_RIGHT: dict[str, tuple[int | str, str, list[str]]] = {
    "reading what lands": ("operator", "prepare mine as select from raw.incoming", ["land", "{file}"]),
    "writing versions": ("auditor", "prepare mine as delete from registry.version", ["land", "{file}"]),
    "a function": (
        STANDARD,
        "select pg_get_function_sqlbody(oid) from pg_proc where proname = 'recognised'",
        ["keys", "rotate", "--installation"],
    ),
    "a view": (
        STANDARD,
        "select pg_get_viewdef(oid) from pg_class where relkind = 'v' and relnamespace = 'build'::regnamespace",
        ["keys", "rotate", "--customer", str(NAMED)],
    ),
}


@pytest.mark.parametrize("what", WITHOUT_A_RIGHT)
def test_what_is_locked_without_a_right_stops_no_command(played: Callmart, tmp_path: Path, what: str) -> None:
    who, statement, command = WITHOUT_A_RIGHT[what]
    role = role_of(who) if isinstance(who, int) else roles.duty_role(embedded_server.DATABASE, who)
    count = (
        "select count(*) as n from ops.audit_log where action = 'sessions ended' and details ->> 'login' = %s"
    )
    (before,) = played.rows(count, role)
    file = tmp_path / "landed"
    file.write_text(ndjson(event("queue_joined", NOON, customer_id=STANDARD, call_id=what, queue="q")))
    with psycopg.connect(logins.login_uri(played.settings, role), autocommit=True) as session:
        session.execute("set idle_in_transaction_session_timeout = '60s'")  # so that nothing waits for ever
        session.execute("begin read write")
        session.execute(statement.encode())
        done = command_of(played.home)(*(word.format(file=file) for word in command))
        assert done.returncode == 0, done.stderr
        assert is_gone(session)
    assert played.rows(count, role) == [{"n": before["n"] + 1}]


@pytest.mark.thorough
def test_what_is_locked_without_a_right_stops_no_audit(played: Callmart, tmp_path: Path) -> None:
    role = roles.duty_role(embedded_server.DATABASE, "auditor")
    with psycopg.connect(logins.login_uri(played.settings, role), autocommit=True) as session:
        session.execute("set idle_in_transaction_session_timeout = '120s'")  # so that nothing waits for ever
        session.execute("begin read write")
        session.execute("prepare mine as delete from registry.version")
        command_of(played.home)("audit", "--out", str(tmp_path))
        assert is_gone(session)
    ended = "select details ->> 'login' as login from ops.audit_log where action = 'sessions ended'"
    assert played.rows(f"{ended} order by entry desc limit 1") == [{"login": role}]


def test_what_a_customer_locks_stops_no_erasure(played: Callmart) -> None:
    """It empties what was computed, whoever is in it."""
    agent = person(played, NAMED, "agent", agent_of(NAMED), NOON)
    definitions = "select pg_get_viewdef(oid) from pg_class where relkind = 'v'"
    with held(played, STANDARD, definitions) as session, played.connect() as owner:
        owner.execute("set lock_timeout = '5s'")  # so that nothing waits for ever
        owner.commit()
        with procedure.working(owner, played.settings) as work:
            assert Computed().treat(work, agent) == {}
            owner.commit()
        assert is_gone(session)


def test_a_landing_waits_for_another(played: Callmart, tmp_path: Path) -> None:
    """And so does the owner, where it may."""
    with logins.connect(played.settings, "loader") as loader, played.connect() as owner:
        loader.execute("select raw.receive(0)")
        with ThreadPoolExecutor(1) as beside, sessions.making_way(owner, spares_landings=True):
            text = ndjson(event("queue_joined", NOON, customer_id=STANDARD, call_id="waits", queue="q"))
            landing = beside.submit(played.land_text, text)
            owner.execute("set lock_timeout = '1s'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                owner.execute("truncate raw.incoming")
            owner.rollback()
            assert not is_gone(loader)
            loader.rollback()
            assert landing.result().landed == 1


# -- what is not ours to end -------------------------------------------------------------------------------------------


def test_a_login_that_stays_stuck_is_named_and_stops_nobody_else(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator has its role open: its session is not ended, the customer is out nevertheless."""
    monkeypatch.setattr(lock, "TIMEOUT", "200ms")
    uri = logins.login_uri(opened.settings, role_of(ANONYMOUS))
    with opened.superuser(keep=False) as administrator:
        administrator.execute(f"alter role {role_of(ANONYMOUS)} connection limit 3")
        opened.apply(without(ANONYMOUS, STANDARD))
        assert not is_gone(administrator)
        assert opened.rows("select role from access.closing") == [{"role": role_of(ANONYMOUS)}]
        assert not opened.rows("select from pg_roles where rolname = %s", role_of(STANDARD))
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(uri)
        with opened.connect() as owner:
            ran = run.run(owner, opened.settings, quietly)
        (problem,) = ran.problems
        assert problem.startswith(f"the login of customer {ANONYMOUS} is not closed yet")
        assert ran.extracts > 0
    assert opened.rows("select from access.closing")
    with opened.connect() as owner:
        assert memberships.sync(owner, opened.settings) == []
    assert not opened.rows("select from pg_roles where rolname = %s", role_of(ANONYMOUS))


def test_what_a_customer_owns_elsewhere_keeps_its_name_and_nothing_else(opened: Callmart) -> None:
    role = role_of(ANONYMOUS)
    socket = embedded_server.start(opened.home)
    with psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True) as elsewhere:
        elsewhere.execute(f"create table mine (); alter table mine owner to {role}")
        try:
            opened.apply(without(ANONYMOUS))
            with opened.connect() as owner:
                (problem,) = memberships.sync(owner, opened.settings)
            assert "owns something in another database" in problem
            assert opened.rows("select rolcanlogin from pg_roles where rolname = %s", role) == [
                {"rolcanlogin": False}
            ]
        finally:
            elsewhere.execute("drop table mine")
    with opened.connect() as owner:
        assert memberships.sync(owner, opened.settings) == []
    assert not opened.rows("select from pg_roles where rolname = %s", role)


def test_who_still_sees_what_was_deleted_is_ended(played: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """It locks nothing. Otherwise what is deleted stays in the files for as long as it likes."""
    monkeypatch.setattr(sessions, "_READ_S", 0.1)
    sees, began = "set transaction isolation level repeatable read", "select 1"
    with (
        played.connect() as owner,
        held(played, NAMED, sees, began) as old,
        held(played, NAMED, began) as idle,
    ):
        owner.execute("select pg_current_xact_id()")
        owner.commit()
        with held(played, NAMED, sees, began) as new:
            assert sessions.end_older(owner) == []
            assert [is_gone(one) for one in (old, idle, new)] == [True, False, False]
            (entry,) = owner.execute(
                "select details from ops.audit_log order by entry desc limit 1"
            ).fetchall()
            assert entry == ({"login": role_of(NAMED), "sessions": 1},)


def test_nobody_keeps_the_numbers_of_transactions_from_being_used_again(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login can use up two billion in a few hours. As long as it sees the database as it was, PostgreSQL can't use
    them again, and in the end lets nobody write.
    """
    with held(opened, NAMED, "set transaction isolation level repeatable read", "select 1") as old:
        with psycopg.connect(logins.login_uri(opened.settings, role_of(NAMED)), autocommit=True) as burning:
            burning.execute("set default_transaction_read_only = off")
            burning.execute(
                "do $$ begin for i in 1..200 loop perform pg_current_xact_id(); commit; end loop; end $$"
            )
        for most, gone in ((sessions.FORGOTTEN, False), (1000, False), (100, True)):
            monkeypatch.setattr(sessions, "FORGOTTEN", most)
            with opened.connect() as owner, sessions.making_way(owner):
                assert is_gone(old) == gone, most


CRASHES: list[tuple[object, str]] = [
    (changing_logins, "settle"),
    (logins, "close"),
    (sessions, "end_all"),
    (logins, "drop"),
    (logins, "passfile"),
]


@pytest.mark.parametrize(("module", "name"), CRASHES, ids=[name for _, name in CRASHES])
def test_a_closing_that_broke_off_is_finished_by_the_next_run(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    class Crash(Exception):
        pass

    def crash(*_: object) -> None:
        raise Crash

    follow = memberships.follow_contracts

    def then_crash(*arguments: object) -> None:
        follow(*arguments)  # type: ignore[arg-type]
        patch.setattr(module, name, crash)

    with opened.connect(ANONYMOUS) as session:
        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(memberships, "follow_contracts", then_crash)
            opened.apply(without(ANONYMOUS))
        if name in ("settle", "close"):  # closed at once, whatever came after
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("select from mart.queue_interval")
    with opened.connect() as owner:
        assert memberships.sync(owner, opened.settings) == []
    assert not opened.rows("select from pg_roles where rolname = %s", role_of(ANONYMOUS))
    assert not logins.passfile(opened.home, role_of(ANONYMOUS)).exists()
    assert opened.rows("select from access.closing") == []
