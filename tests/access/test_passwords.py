"""A login has a password that only its file has, and changing it shuts out whoever had the old one."""

import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Timer

import psycopg
import pytest

from callmart.access import changing_logins, logins, memberships, roles, sessions
from callmart.base import matrix
from callmart.base.errors import UserError
from callmart.database import embedded_server
from callmart.declarations import dbt_project
from callmart.opening import opening
from callmart.registry import applying, file
from callmart_home import Callmart
from centre import STANDARD, WITH_DATA
from requests_of_persons import choose_password
from seen import sees


@pytest.fixture(scope="module")
def opened(played: Callmart) -> Callmart:
    choose_password(played)
    return played


def test_a_new_password_stands_in_a_file_of_the_owners_alone(opened: Callmart) -> None:
    role = roles.customer_role(embedded_server.DATABASE, STANDARD)
    file = logins.passfile(opened.home, role)
    old = file.read_text()
    with opened.connect() as owner:
        assert logins.set_password(owner, opened.settings.home, role) == file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() != old
    assert sees(opened, STANDARD) == {STANDARD}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            logins.login_uri(opened.settings, role), passfile="/dev/null", password=old.split(":")[-1].strip()
        )


def test_a_new_password_ends_the_sessions_that_had_the_old_one(opened: Callmart) -> None:
    """Also one that holds up every landing and every erasure."""
    role = roles.duty_role(embedded_server.DATABASE, "loader")
    with logins.connect(opened.settings, "loader") as loader, opened.connect() as owner:
        loader.execute("select raw.receive(-1)")
        assert changing_logins.renew(owner, opened.settings, [role]) == {}
        owner.commit()
        with pytest.raises(psycopg.OperationalError):
            loader.execute("select 1")
        assert owner.execute(
            "select details ->> 'login' from ops.audit_log where action = 'sessions ended' order by at desc limit 1"
        ).fetchone() == (role,)
        logins.connect(opened.settings, "loader").close()


def test_an_old_session_can_not_keep_its_login_while_the_password_is_changed(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It chooses a password of its own just before it is ended."""
    role = roles.customer_role(embedded_server.DATABASE, STANDARD)
    end = sessions.end_all
    tried: list[str] = []

    def end_late(owner: psycopg.Connection, ended: str) -> None:
        with opened.connect() as other:
            other.execute(f"alter role {role} password 'mine'")  # as the login itself may
        try:
            psycopg.connect(logins.login_uri(opened.settings, role), password="mine", passfile="").close()
        except psycopg.OperationalError as refusal:
            tried.append(str(refusal))
        end(owner, ended)

    monkeypatch.setattr(sessions, "end_all", end_late)
    with opened.connect() as owner:
        assert changing_logins.renew(owner, opened.settings, [role]) == {}
    assert "not permitted to log in" in tried[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(logins.login_uri(opened.settings, role), password="mine", passfile="")
    assert sees(opened, STANDARD) == {STANDARD}


def test_a_session_that_takes_long_to_start_ends_with_its_password(opened: Callmart) -> None:
    """A login may say so when it connects, and shows nobody that it has a session until it has started."""
    role = roles.customer_role(embedded_server.DATABASE, STANDARD)
    uri = logins.login_uri(opened.settings, role)
    came_in: list[object] = []

    def late() -> None:
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(uri, options="-c post_auth_delay=4") as session,
        ):
            came_in.append(session.execute("select 1").fetchone())

    with opened.connect() as owner, ThreadPoolExecutor(1) as beside:
        starting = beside.submit(late)
        while not sessions._starting(owner):
            time.sleep(0.05)
        assert changing_logins.renew(owner, opened.settings, [role]) == {}
        starting.result()
    assert came_in == []
    assert sees(opened, STANDARD) == {STANDARD}


def test_a_login_that_changes_itself_at_the_same_moment_gets_its_new_password(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PATIENCE", "60s")
    role = roles.customer_role(embedded_server.DATABASE, STANDARD)
    file = logins.passfile(opened.home, role)
    before = file.read_text()
    with opened.connect(STANDARD) as session, opened.connect() as owner:
        session.execute("set transaction read write")
        session.execute("alter role current_user password 'mine'")
        ending = Timer(0.5, session.commit)
        ending.start()
        assert changing_logins.renew(owner, opened.settings, [role]) == {}
        ending.join()
    assert file.read_text() != before
    with opened.connect() as owner:
        assert memberships.sync(owner, opened.settings) == []
    assert sees(opened, STANDARD) == {STANDARD}


def test_a_password_that_broke_off_is_given_by_the_next_apply(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nobody gets in with the old one, and the run tells of it."""
    role = roles.customer_role(embedded_server.DATABASE, STANDARD)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with opened.connect() as owner, monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sessions, "end_all", crash)
        changing_logins.renew(owner, opened.settings, [role])
    with opened.connect() as owner:
        refused = logins.refused(owner, opened.settings)
        assert refused == [role]
        said = f"login {role} may not log in: if that is not meant, run `callmart access apply`"
        assert opening.follow_rights(owner, opened.settings) == [said], "and nobody else waits for it"
        memberships.apply(owner, opened.settings, dbt_project.marts(opened.settings))
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            opened.connect(STANDARD)
        assert changing_logins.renew(owner, opened.settings, refused) == {}
    assert sees(opened, STANDARD) == {STANDARD}


def test_a_rotation_of_all_that_breaks_off_has_said_whose_password_is_new(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        roles.customer_role(embedded_server.DATABASE, customer) for customer in sorted(WITH_DATA)[:2]
    )
    inner, told = logins.set_password, list[str]()

    def broken(connection: psycopg.Connection, home: Path, role: str) -> Path:
        if role == second:
            raise RuntimeError
        return inner(connection, home, role)

    with opened.connect() as owner:
        with monkeypatch.context() as patch, pytest.raises(RuntimeError):
            patch.setattr(logins, "set_password", broken)
            changing_logins.renew(owner, opened.settings, [first, second], told.append)
        assert told == [first]
        owner.rollback()
        assert changing_logins.renew(owner, opened.settings, [second]) == {}


def test_a_login_whose_sessions_can_not_be_ended_gets_no_password(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator grants the role, so the owner can't end its sessions. The login is shut out until then."""
    monkeypatch.setattr(changing_logins, "TRIES", 1)
    role = roles.customer_role(embedded_server.DATABASE, STANDARD)
    file = logins.passfile(opened.home, role)
    before = file.read_text()
    with (
        opened.connect(STANDARD) as session,
        opened.superuser(keep=False) as administrator,
        opened.connect() as owner,
    ):
        administrator.execute(f"grant {role} to postgres")
        left = changing_logins.renew(owner, opened.settings, [role])
        assert left[role] == (
            f"the login of customer {STANDARD} has no new password yet, and may be shut out until it has one: an open"
            " transaction of another session holds its role; end that session, then `callmart access rotate` its"
            " password"
        )
        session.execute("select 1")
        assert file.read_text() == before
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            opened.connect(STANDARD)
        administrator.rollback()
        assert changing_logins.renew(owner, opened.settings, [role]) == {}
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")
    assert sees(opened, STANDARD) == {STANDARD}


def test_a_login_that_is_not_there_yet_gets_no_password(opened: Callmart) -> None:
    """Its contract has begun since the last run."""
    role = roles.customer_role(embedded_server.DATABASE, 77)
    with opened.connect() as owner:
        assert changing_logins.renew(owner, opened.settings, [role]) == {
            role: f"login {role} has no role yet: the next run makes it, with a password"
        }
    assert not logins.passfile(opened.home, role).exists()


def test_a_password_that_a_customer_changed_is_found(opened: Callmart) -> None:
    role = roles.customer_role(embedded_server.DATABASE, STANDARD)
    with opened.connect(STANDARD) as customer:
        customer.execute("set transaction read write")
        customer.execute(f"alter role {role} password 'mine'")
    with opened.connect() as owner:
        assert logins.refused(owner, opened.settings) == [role]
        logins.set_password(owner, opened.settings.home, role)
    with opened.connect() as owner:
        assert logins.refused(owner, opened.settings) == []


def test_passwords_are_scram(opened: Callmart) -> None:
    with opened.superuser() as superuser:
        verifiers = superuser.execute(
            "select rolname, rolpassword from pg_authid"
            " where rolcanlogin and rolname ~ '^callmart_' and rolname <> 'callmart_owner'"
        ).fetchall()
    assert len(verifiers) == len(matrix.matrix().duties) + len(WITH_DATA)
    assert all(verifier.startswith("SCRAM-SHA-256$") for _, verifier in verifiers)


def test_another_home_does_not_touch_what_works_with_the_database(opened: Callmart, tmp_path: Path) -> None:
    """Its logins would get passwords that the database's own home does not have."""
    other = opened.settings.model_copy(update={"home": tmp_path})
    wanted, marts = file.load(opened.home / "registry.yml"), dbt_project.marts(opened.settings)
    with opened.connect() as owner:
        for change in (
            lambda: memberships.sync(owner, other),
            lambda: memberships.apply(owner, other, marts),
            lambda: changing_logins.renew(owner, other, logins.known(owner)),
            lambda: applying.apply(owner, other, wanted),
        ):
            with pytest.raises(UserError, match=f"{tmp_path} has none of the keys of this database's data"):
                change()
            owner.commit()
        assert logins.refused(owner, opened.settings) == []
