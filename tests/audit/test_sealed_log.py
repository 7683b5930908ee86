"""The seals of the audit log: what a superuser or the owner changes in it, with its triggers off, is found."""

from collections.abc import Iterator
from datetime import date, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from callmart.access import logins, sessions
from callmart.audit import tables
from callmart.audit.check import Check
from callmart.base.errors import UserError
from callmart.base.keys import fingerprint_of
from callmart.base.progress import quietly
from callmart.database import audit_log, clock, lock, log_seals
from callmart.operations import stages
from callmart_home import Callmart

pytestmark = pytest.mark.server

OLD = "access.retention_floor() - 9"
LAST_SEAL = "(select max(entry) from ops.audit_log where action = 'sealed')"


@pytest.fixture(scope="module")
def sealed(played: Callmart) -> Callmart:
    """With two seals, and something of a run that is too old."""
    with played.connect() as owner:
        owner.execute(f"insert into ops.audit_log (action, at) values ('mailed', {OLD})".encode())
        today = clock.today(owner, played.settings)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "today", lambda *_: today)
            log_seals.seal(owner, played.settings)
            audit_log.note(owner, "explained")
            audit_log.note(owner, "opened")
            log_seals.seal(owner, played.settings)  # there is one of today
            patch.setattr(clock, "today", lambda *_: today + timedelta(days=2))
            log_seals.seal(owner, played.settings)
        audit_log.note(owner, "added since")
        owner.commit()
    return played


@pytest.fixture
def owner(sealed: Callmart) -> Iterator[psycopg.Connection]:
    """A connection of the owner, for whom no trigger is on, and whose transaction is rolled back."""
    with sealed.connect() as connection:
        connection.execute("alter table ops.audit_log disable trigger user")
        yield connection
        connection.rollback()


def look(sealed: Callmart, owner: psycopg.Connection) -> Check:
    return tables.sealed(owner, sealed.settings)


def test_a_log_as_it_was_sealed_holds(sealed: Callmart, owner: psycopg.Connection) -> None:
    assert (look(sealed, owner).looked_at, look(sealed, owner).outcome) == (2, "holds")
    owner.execute(f"delete from ops.audit_log where at < {OLD} + 1".encode())
    owner.execute("update ops.audit_log set actor = 'x' where action = 'added since'")
    assert look(sealed, owner).outcome == "holds"


EXPLAINED = "(select max(entry) from ops.audit_log where action = 'explained')"
CHANGES = {
    "an entry changed": (f"update ops.audit_log set actor = 'x' where entry = {EXPLAINED}", "some were"),
    "another moment": (
        f"update ops.audit_log set at = at - interval '1 s' where entry = {EXPLAINED}",
        "some were",
    ),
    "an entry deleted": (f"delete from ops.audit_log where entry = {EXPLAINED}", "some were"),
    "what a run did deleted": ("delete from ops.audit_log where entry = 1 + " + EXPLAINED, "some were"),
    "an entry added": (
        "insert into ops.audit_log (entry, action) overriding system value values (0, 'explained')",
        "some were",
    ),
    "the first seal deleted": (
        "delete from ops.audit_log where entry = (select min(entry) from ops.audit_log where action = 'sealed')",
        "a seal, is not callmart's, or one before it is gone",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_since_is_found(sealed: Callmart, owner: psycopg.Connection, what: str) -> None:
    statement, told = CHANGES[what]
    owner.execute(statement.encode())
    (found,) = look(sealed, owner).found
    assert told in found


# Each run says which seal it made or found. Whatever else an owner writes there breaks no audit.
RAN = """
insert into ops.run (run_id, ended_at, outcome) overriding system value
select 9000 + n, now(), 'done' from generate_series(0, 3) as n;
insert into ops.run_stage (run_id, stage, ended_at, outcome, counts)
select 9000 + row_number() over (order by entry), 'seal', now(), 'done', jsonb_build_object('entry', entry)
from ops.audit_log where action = 'sealed';
insert into ops.run_stage (run_id, stage, ended_at, outcome, counts)
values (9000, 'seal', now(), 'failed', '{"entry": 0}'), (9003, 'seal', now(), 'done', '[["entry"]]')
"""


@pytest.mark.parametrize("gone", [f"entry = {LAST_SEAL}", "action = 'sealed'"], ids=["the last one", "all"])
def test_a_seal_that_is_gone_is_found_also_after_the_next_one(
    sealed: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """The next one seals what was changed."""
    monkeypatch.setattr(owner, "commit", lambda: None)
    monkeypatch.setattr(clock, "today", lambda *_: date.max)
    owner.execute(RAN.encode())
    assert look(sealed, owner).good
    owner.execute(f"delete from ops.audit_log where {gone}".encode())
    owner.execute(CHANGES["an entry changed"][0].encode())
    for _ in "before", "after":
        (found,) = look(sealed, owner).found
        assert found.startswith("seals are gone that runs made")
        log_seals.seal(owner, sealed.settings)


@pytest.mark.parametrize("odd", ["{}", "[]", '"text"', '{"key": []}', '{"through": "x"}', "null"])
def test_an_odd_seal_of_somebody_else_stops_neither_the_audit_nor_the_sealing(
    sealed: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setattr(owner, "commit", lambda: None)
    monkeypatch.setattr(clock, "today", lambda *_: date.max)
    owner.execute("insert into ops.audit_log (action, details) values ('sealed', %s::jsonb)", [odd])
    log_seals.seal(owner, sealed.settings)
    check = look(sealed, owner)
    assert (check.looked_at, len(check.found)) == (4, 1)
    assert "is not callmart's" in check.found[0]


def test_whoever_has_no_key_makes_no_seal(sealed: Callmart, owner: psycopg.Connection) -> None:
    """Also not one that names the key."""
    ((entry, details),) = owner.execute(
        f"select entry, details from ops.audit_log where entry = {LAST_SEAL}".encode()
    ).fetchall()
    owner.execute(CHANGES["an entry changed"][0].encode())
    digests = log_seals._digests(owner, details["after"], details["through"], details["routine"])
    for key in fingerprint_of(b"k" * 32), details["key"]:
        forged = {**details, **digests, "key": key}
        owner.execute("update ops.audit_log set details = %s where entry = %s", [Jsonb(forged), entry])
        assert "is not callmart's" in look(sealed, owner).found[0]


def test_of_a_key_that_was_lost_nobody_can_tell_but_of_one_that_is_there(
    sealed: Callmart, owner: psycopg.Connection
) -> None:
    owner.execute("insert into ops.audit_log (action) values ('key of the installation lost')")
    owner.execute(CHANGES["an entry changed"][0].encode())
    assert "some were" in look(sealed, owner).found[0]
    of_another = 'update ops.audit_log set details = details || \'{"key": "lost"}\' where '
    owner.execute((of_another + f"entry = {LAST_SEAL}").encode())
    assert "is not callmart's" in look(sealed, owner).found[0], "the key of the one before is there"
    owner.execute((of_another + "action = 'sealed'").encode())
    assert look(sealed, owner).outcome == "NOTHING TO LOOK AT"


ADDED = "insert into ops.audit_log (action) values ('x')"
SEALS = "select count(*) from ops.audit_log where action = 'sealed'"


def test_while_a_landing_adds_an_entry_nothing_is_sealed(
    sealed: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is lower than that of the seal, and it would come later. The stage is not done, and the landing is
    not ended.
    """
    monkeypatch.setattr(sessions, "PATIENCE", "10ms")
    monkeypatch.setattr(lock, "TIMEOUT", "400ms")
    monkeypatch.setattr(clock, "today", lambda *_: date.max)
    before = sealed.rows(SEALS)
    with logins.connect(sealed.settings, "loader") as landing, sealed.connect() as owner:
        landing.execute(f"prepare x as {ADDED}".encode())
        with (
            sessions.making_way(owner, spares_landings=True),
            pytest.raises(UserError, match="was not sealed, as another session was adding to it for 400ms"),
        ):
            stages.seal_log(owner, sealed.settings, stages.Ran(), quietly)
        landing.execute("select 1")
    assert sealed.rows(SEALS) == before


def test_a_duty_can_not_keep_the_log_unsealed(sealed: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no right to add an entry. It is ended before the owner gives up."""
    with logins.connect(sealed.settings, "auditor") as auditor, sealed.connect() as owner:
        compared = "select %s::interval > %s::interval + interval '5 s'"
        assert owner.execute(compared, [lock.TIMEOUT, sessions.PATIENCE]).fetchone() == (True,)
        owner.commit()
        monkeypatch.setattr(sessions, "PATIENCE", "10ms")
        monkeypatch.setattr(owner, "commit", owner.rollback)
        auditor.execute(f"prepare x as {ADDED}".encode())
        with sessions.making_way(owner, spares_landings=True):
            ran = stages.Ran()
            monkeypatch.setattr(clock, "today", lambda *_: date.max)
            stages.seal_log(owner, sealed.settings, ran, quietly)
            assert stages.COUNTS["seal"](ran)["entry"] > 0
        with pytest.raises(psycopg.OperationalError):
            auditor.execute("select 1")
