"""The seals of the audit log: what a superuser or the owner changes in it, with its triggers off, is found."""

from collections.abc import Iterator
from datetime import date, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from callmart.audit import tables
from callmart.audit.check import Check
from callmart.base.keys import fingerprint_of
from callmart.database import audit_log, clock, log_seals
from callmart_home import Callmart

pytestmark = pytest.mark.server

OLD = "access.retention_floor() - 9"
LAST_SEAL = "(select max(entry) from ops.audit_log where action = 'sealed')"


@pytest.fixture(scope="module")
def sealed(played: Callmart) -> Callmart:
    """With two seals, and something of a run that is too old."""
    with played.connect() as owner:
        owner.execute(f"insert into ops.audit_log (action, at) values ('mailed', {OLD})".encode())
        log_seals.seal(owner, played.settings)
        audit_log.note(owner, "explained")
        audit_log.note(owner, "opened")
        log_seals.seal(owner, played.settings)  # there is one of today
        with pytest.MonkeyPatch.context() as patch:
            tomorrow = clock.today(owner, played.settings) + timedelta(days=1)
            patch.setattr(clock, "today", lambda *_: tomorrow)
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
    "the last seal deleted": (
        f"delete from ops.audit_log where entry = {LAST_SEAL}",
        "no seal is there since",
    ),
    "all seals deleted": ("delete from ops.audit_log where action = 'sealed'", "no seal is there since"),
    "the first seal deleted": (
        "delete from ops.audit_log where entry = (select min(entry) from ops.audit_log where action = 'sealed')",
        "a seal, is not callmart's, or one before it is gone",
    ),
}


# The runs say that they sealed, then and now.
RAN = """
insert into ops.run (run_id, ended_at, outcome) overriding system value
values (9998, now(), 'done'), (9999, now(), 'done');
insert into ops.run_stage (run_id, stage, ended_at, outcome)
values (9998, 'seal', now(), 'done'), (9999, 'seal', now() + interval '50 hours', 'done')
"""


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_since_is_found(sealed: Callmart, owner: psycopg.Connection, what: str) -> None:
    statement, told = CHANGES[what]
    owner.execute(statement.encode())
    if "no seal is there" in told:
        assert look(sealed, owner).good
        owner.execute(RAN.encode())
    (found,) = look(sealed, owner).found
    assert told in found


def test_whoever_has_no_key_makes_no_seal(sealed: Callmart, owner: psycopg.Connection) -> None:
    """Also not one that names the key."""
    for key in (fingerprint_of(b"k" * 32), None):
        ((entry, details),) = owner.execute(
            f"select entry, details from ops.audit_log where entry = {LAST_SEAL}".encode()
        ).fetchall()
        owner.execute(CHANGES["an entry changed"][0].encode())
        digests = log_seals._digests(owner, details["after"], details["through"], details["routine"])
        forged = {**details, **digests, "key": key or details["key"]}
        owner.execute("update ops.audit_log set details = %s where entry = %s", [Jsonb(forged), entry])
        assert "is not callmart's" in look(sealed, owner).found[0]


def test_of_a_key_that_was_lost_nobody_can_tell_but_of_one_that_is_there(
    sealed: Callmart, owner: psycopg.Connection
) -> None:
    owner.execute("insert into ops.audit_log (action) values ('key of the installation lost')")
    owner.execute(CHANGES["an entry changed"][0].encode())
    assert "some were" in look(sealed, owner).found[0]
    owner.execute(
        "update ops.audit_log set details = details || '{\"key\": \"lost\"}' where action = 'sealed'"
    )
    assert look(sealed, owner).outcome == "NOTHING TO LOOK AT"


def test_while_somebody_adds_an_entry_nothing_is_sealed(
    sealed: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is lower than that of the seal, and it would come later."""
    monkeypatch.setattr(log_seals, "PATIENCE", "10ms")
    monkeypatch.setattr(clock, "today", lambda *_: date.max)
    seals = "select count(*) from ops.audit_log where action = 'sealed'"
    before = sealed.rows(seals)
    with sealed.connect() as adding, sealed.connect() as owner:
        audit_log.note(adding, "explained")
        log_seals.seal(owner, sealed.settings)
        adding.rollback()
    assert sealed.rows(seals) == before
