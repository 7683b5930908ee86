"""The ledger is written before anything is deleted, and where it and the database differ, customers are closed."""

import errno
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from callmart.base.errors import UserError
from callmart.base.person import Person
from callmart.base.settings import Privacy
from callmart.database import chain, ledger, ledger_files, ledger_mending
from callmart.database.chain import Chain
from callmart.database.ledger import Comparison
from callmart.database.tombstones import Kind, secret_of, tombstone
from callmart.privacy import correcting, replaying
from callmart.retention import expired_tombstones
from callmart_home import Callmart
from erasing import erase, erase_events, key_of, person
from events import DETAILED, at, event, registry, together

pytestmark = pytest.mark.dated

ONE, OTHER, THIRD = 1, 2, 3
NOOR, BEN = "SIP/101", "SIP/103"
UNTIL = at("00:00", 1)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("volume")


@pytest.fixture(scope="module")
def centre(callmart: Callmart, volume: Path) -> Callmart:
    """Three customers with two agents each; the ledger has a copy."""
    callmart.settings.privacy = Privacy(ledger_copy=volume / "ledger")
    callmart.apply(registry(*(f"id: {each}, {DETAILED}" for each in (ONE, OTHER, THIRD))))
    callmart.land_text(
        together(
            {
                customer: [
                    event("agent_status", at("09:00") + timedelta(minutes=n), agent=agent, reason="break")
                    for n, agent in enumerate((NOOR, BEN))
                ]
                for customer in (ONE, OTHER, THIRD)
            }
        )
    )
    return callmart


@pytest.fixture(scope="module")
def erased(centre: Callmart) -> Callmart:
    """An agent of each of the first two customers was erased."""
    for request, customer in enumerate((ONE, OTHER), 1):
        erase(centre, person(centre, customer, "agent", NOOR, UNTIL), request)
    return centre


def home(callmart: Callmart) -> Path:
    return ledger_files.in_home(callmart.settings)


def copy(callmart: Callmart) -> Path:
    assert callmart.settings.privacy.ledger_copy
    return callmart.settings.privacy.ledger_copy


def compared(callmart: Callmart) -> Comparison:
    with callmart.connect() as connection:
        return ledger.compare(connection, callmart.settings)


def statuses(callmart: Callmart, customer: int) -> int:
    return int(callmart.rows("select count(*) as n from raw.event where customer_id = %s", customer)[0]["n"])


def replay(callmart: Callmart, lost: ledger_mending.Lost | None = None) -> replaying.Replayed:
    with callmart.connect() as connection:
        return replaying.replay(
            connection, callmart.settings, lambda who: erase_events(connection, who), lost
        )


# -- written ---------------------------------------------------------------------------------------------------------


def test_a_ledger_begins_with_its_copy_before_anybody_is_erased(centre: Callmart) -> None:
    assert home(centre).read_bytes() == copy(centre).read_bytes()
    assert chain.parse(home(centre).read_bytes()).entries == ()
    assert {path.stat().st_mode & 0o777 for path in (home(centre), copy(centre))} == {0o600}
    assert home(centre).parent.stat().st_mode & 0o777 == 0o700
    assert compared(centre) == Comparison()


def test_an_entry_is_on_the_disk_before_anything_is_deleted(
    erased: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    seen = []

    def before_deleting() -> None:
        seen.append(
            (statuses(erased, OTHER), home(erased).read_bytes() == copy(erased).read_bytes(), len(synced))
        )

    before = ledger.last(erased.settings)
    erase(erased, person(erased, OTHER, "agent", BEN, UNTIL), 3, before_deleting)
    assert seen == [(1, True, 2)] and statuses(erased, OTHER) == 0
    assert set(synced) == {home(erased).stat().st_ino, copy(erased).stat().st_ino}
    number, digest = ledger.last(erased.settings)
    assert (number, digest != before[1]) == (before[0] + 1, True)
    text = home(erased).read_text()
    assert not any(word in text for word in (NOOR, BEN, *person(erased, OTHER, "agent", BEN, UNTIL).keys))


def test_a_ledger_that_is_written_anew_is_on_the_disk_under_its_name(
    erased: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    ledger_files.write(erased.settings, copy(erased), ledger_files.read(copy(erased)))
    assert synced == [copy(erased).stat().st_ino, copy(erased).parent.stat().st_ino]


def test_an_end_that_was_never_finished_is_overwritten(erased: Callmart) -> None:
    """Also an entry that only the copy got is in both afterwards."""
    whole = home(erased).read_bytes()
    body = chain.parse(whole).entries[0].body
    assert body is not None
    copy(erased).write_bytes(whole + chain.line(chain.parse(whole).followed_by(body))[:-9])
    cut(home(erased))  # the copy is written first
    erase(erased, person(erased, OTHER, "agent", BEN, UNTIL), 3)
    assert home(erased).read_bytes() == copy(erased).read_bytes() == whole
    assert compared(erased) == Comparison()


def test_the_same_erasure_is_written_once(erased: Callmart) -> None:
    before = home(erased).read_bytes()
    erase(erased, person(erased, OTHER, "agent", BEN, UNTIL), 3)
    assert home(erased).read_bytes() == before
    assert compared(erased) == Comparison()


def test_a_ledger_that_was_lost_is_not_made_from_a_copy_that_was_set_later(erased: Callmart) -> None:
    """Else nobody would see that it was lost."""
    whole = home(erased).read_bytes()
    home(erased).unlink()
    with erased.connect() as connection:
        connection.execute("update privacy.ledger set has_copy = false")
        (problem,) = ledger.close(connection, erased.settings)
        connection.rollback()
    assert not home(erased).exists()
    assert problem.startswith("all customers are closed: the privacy ledger")
    home(erased).write_bytes(whole)
    assert compared(erased) == Comparison()


def test_without_room_for_the_copy_nothing_is_deleted(erased: Callmart, volume: Path) -> None:
    before, away = home(erased).read_bytes(), volume.with_name("unmounted")
    moved = erased.settings.privacy
    erased.settings.privacy = Privacy(ledger_copy=away / "ledger")
    with pytest.raises(UserError, match="ledger"):
        erase(erased, person(erased, ONE, "agent", BEN, UNTIL), 4)
    erased.settings.privacy = moved
    assert (statuses(erased, ONE), home(erased).read_bytes()) == (1, before)


def test_a_copy_whose_volume_is_full_keeps_the_ledger_as_it_is(
    erased: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, extend = home(erased).read_bytes(), ledger_files.extend

    def full(path: Path, written: Chain) -> None:
        if path == copy(erased):
            raise UserError("the volume is full")
        extend(path, written)

    monkeypatch.setattr(ledger_files, "extend", full)
    with pytest.raises(UserError, match="the volume is full"):
        erase(erased, person(erased, ONE, "agent", BEN, UNTIL), 4)
    assert (statuses(erased, ONE), home(erased).read_bytes()) == (1, before)


def test_a_new_copy_on_a_volume_that_does_not_answer_closes_all_and_is_said(
    erased: Callmart, tmp_path: Path
) -> None:
    wanted = tmp_path / ("too long" * 100) / "ledger"
    settings = erased.settings.model_copy(update={"privacy": Privacy(ledger_copy=wanted)})
    with erased.connect() as connection:
        connection.execute("update privacy.ledger set has_copy = false")
        (problem,) = ledger.close(connection, settings)
        connection.rollback()
    assert problem.startswith(f"all customers are closed: {wanted} can't be read (OSError")


def test_a_copy_is_needed_with_a_server_of_ones_own(erased: Callmart) -> None:
    alone = erased.settings.model_copy(update={"dsn": SecretStr("postgresql://x"), "privacy": Privacy()})
    embedded = erased.settings.model_copy(update={"privacy": Privacy()})
    with erased.connect() as connection:
        for settings in (alone, embedded):  # the second has had one
            with pytest.raises(UserError, match=r"privacy\.ledger_copy is missing"):
                ledger.append(connection, settings, ONE, "agent", UNTIL, {}, 9)
    with pytest.raises(UserError, match=r"privacy\.ledger_copy is missing"):
        ledger.refuse_one_copy(alone)
    ledger.refuse_one_copy(embedded)


# -- compared --------------------------------------------------------------------------------------------------------


def entries_of(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


def cut(path: Path) -> None:
    path.write_bytes(b"".join(entries_of(path.read_bytes())[:-1]))


def forged(callmart: Callmart) -> None:
    """A whole chain of somebody's own, in both places."""
    known = chain.parse(home(callmart).read_bytes())
    body = known.entries[0].body
    assert body is not None
    other = Chain(known.ledger)
    other = Chain(known.ledger, (other.followed_by(body),))
    for path in (home(callmart), copy(callmart)):
        path.write_bytes(other.text())


def elsewhere(callmart: Callmart) -> None:
    other = Chain(chain.new_ledger())
    for path in (home(callmart), copy(callmart)):
        path.write_bytes(other.text())


def execute(statement: str) -> Callable[[Callmart], None]:
    def run(callmart: Callmart) -> None:
        with callmart.connect() as connection:
            connection.execute(statement.encode())

    return run


def strip(path: Path) -> None:
    """Take body and salt of the first entry away, as when it has ended."""
    known = chain.parse(path.read_bytes())
    first, *others = known.entries
    path.write_bytes(Chain(known.ledger, (first.without_body(), *others)).text())


ENDED = (
    "delete from privacy.tombstone where entry = 1;"
    "update privacy.ledger_entry set salt = null, customer_id = null, kind = null, key_fingerprint = null,"
    " until = null, at = null, request = null, ended_at = now() where entry = 1"
)
ALL = "all"
DAMAGES: dict[str, tuple[Callable[[Callmart], object], object, bool]] = {
    # what is done, who is closed, and whether a replay mends it
    "copy cut": (lambda it: cut(copy(it)), {OTHER}, True),
    "ledger cut": (lambda it: cut(home(it)), {OTHER}, True),
    "both cut": (lambda it: [cut(path) for path in (home(it), copy(it))], {OTHER}, True),  # type: ignore[func-returns-value]
    "an end that was never finished": (
        lambda it: home(it).write_bytes(home(it).read_bytes() + b'{"number":4'), set(), True,
    ),
    "copy gone": (lambda it: copy(it).unlink(), ALL, True),
    "ledger gone": (lambda it: home(it).unlink(), ALL, True),
    "a byte of the copy": (
        lambda it: copy(it).write_bytes(copy(it).read_bytes().replace(b'"customer":1', b'"customer":9')), ALL, True,
    ),
    "a byte of the ledger": (
        lambda it: home(it).write_bytes(home(it).read_bytes().replace(b'"request":2', b'"request":7')), ALL, True,
    ),
    "an entry doubled": (
        lambda it: home(it).write_bytes(home(it).read_bytes() + entries_of(home(it).read_bytes())[-1]), ALL, True,
    ),
    "another chain": (forged, ALL, False),
    "another installation's": (elsewhere, ALL, False),
    "a tombstone gone": (
        execute("delete from privacy.tombstone where entry = 2"), {OTHER}, True,
    ),
    "an entry gone": (
        execute(
            "delete from privacy.tombstone where entry = 1;"
            "delete from privacy.ledger_entry where entry = 1"
        ), {ONE}, True,
    ),
    "a tombstone more": (
        execute(
            "insert into privacy.tombstone select entry, 3, kind, tombstone, until from privacy.tombstone"
            " where entry = 1"
        ), {ONE}, True,
    ),
    "a tombstone that ends earlier": (
        execute("update privacy.tombstone set until = until - interval '1 day' where entry = 1"), {ONE}, True,
    ),
    "an entry ended by the database": (execute(ENDED), {ONE}, True),
    "an entry ended by the database and the copy": (lambda it: [execute(ENDED)(it), strip(copy(it))], {ONE}, True),  # type: ignore[func-returns-value]
    "an entry ended by the ledger": (lambda it: strip(home(it)), {ONE}, True),
    "an entry ended by ledger and copy": (lambda it: [strip(path) for path in (home(it), copy(it))], {ONE}, True),  # type: ignore[func-returns-value]
    "an entry that is too old": (
        execute("update privacy.ledger_entry set until = until - interval '3 years', at = at - interval '3 years'"
                " where entry = 1"), {ONE}, True,
    ),
    "an entry of another kind": (
        execute("update privacy.ledger_entry set kind = 'contact' where entry = 1"), {ONE}, True,
    ),
    "an entry of another key": (
        execute("update privacy.ledger_entry set key_fingerprint = 'x' where entry = 1"), {ONE}, True,
    ),
    "a secret gone": (execute("delete from privacy.secret where customer_id = 1"), {ONE}, True),
    "another secret": (execute("update privacy.secret set secret = 'x' where customer_id = 2"), {OTHER}, True),
    "everything gone from the database": (
        execute("truncate privacy.ledger_entry, privacy.ledger cascade"), {ONE, OTHER}, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_difference_is_found_and_mended(erased: Callmart, damage: str) -> None:
    do, closed, is_mended = DAMAGES[damage]
    before = home(erased).read_bytes()
    rows = erased.rows("select * from privacy.tombstone order by entry, tombstone")
    secrets = erased.rows("select * from privacy.secret order by customer_id")
    do(erased)
    found = compared(erased)
    assert (found.unreadable is not None, found.differing) == (
        (True, frozenset()) if closed == ALL else (False, closed)
    )
    with erased.connect() as connection:
        said = ledger.close(connection, erased.settings)
        assert ledger.closed(connection) == ({ONE, OTHER, THIRD} if closed == ALL else closed)
        assert len(said) == (1 if closed == ALL else len(found.differing))
        with pytest.raises(UserError) if found.problems else pytest.MonkeyPatch.context():
            for customer in sorted(found.differing) or [ONE]:
                found.refuse(customer)
    if is_mended:
        replay(erased)
    else:
        with pytest.raises(UserError, match="contradict each other"):
            replay(erased)
        for path in (home(erased), copy(erased)):
            path.write_bytes(before)
    assert home(erased).read_bytes() == copy(erased).read_bytes() == before
    assert erased.rows("select * from privacy.tombstone order by entry, tombstone") == rows
    assert erased.rows("select * from privacy.secret order by customer_id") == secrets
    assert compared(erased) == Comparison()
    with erased.connect() as connection:
        assert ledger.close(connection, erased.settings) == []
        assert ledger.closed(connection) == set()


def test_a_ledger_that_is_lost_with_its_copy_needs_a_reason(erased: Callmart) -> None:
    before = home(erased).read_bytes()
    home(erased).unlink()
    copy(erased).unlink()
    with pytest.raises(UserError, match="--ledger-lost"):
        replay(erased)
    assert not home(erased).exists()
    replay(erased, "volume-lost")
    assert home(erased).read_bytes() == copy(erased).read_bytes() == before  # the database knew it all
    (incident,) = erased.rows("select details from ops.audit_log where action = 'ledger lost'")
    assert incident["details"] == {"reason": "volume-lost"}


# -- killed between ledger and deletion ------------------------------------------------------------------------------


def erase_and_die(_: Path, erased: Callmart, who: Person) -> None:
    erase(erased, who, 5, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_after_a_kill_between_ledger_and_deletion_the_replay_finishes(erased: Callmart) -> None:
    who, before = person(erased, THIRD, "agent", NOOR, UNTIL), len(entries_of(home(erased).read_bytes()))
    erased.kill(erase_and_die, erased, who)
    assert len(entries_of(home(erased).read_bytes())) == before + 1
    assert statuses(erased, THIRD) == 2
    assert compared(erased).differing == {THIRD}
    with pytest.raises(UserError, match="customer 3: the privacy ledger and the database differ"):
        erase(erased, person(erased, THIRD, "agent", BEN, UNTIL), 6)
    done = replay(erased)
    assert (done.customers, done.persons) == ((THIRD,), 1)
    assert statuses(erased, THIRD) == 1
    assert compared(erased) == Comparison()
    assert replay(erased).persons == 0


def test_after_a_kill_the_same_command_goes_on(erased: Callmart) -> None:
    who = person(erased, THIRD, "agent", BEN, UNTIL)
    with pytest.raises(ZeroDivisionError):
        erase(erased, who, 7, lambda: 1 // 0)
    before = home(erased).read_bytes()
    assert compared(erased).differing == {THIRD}
    erase(erased, who, 7)
    assert (home(erased).read_bytes(), statuses(erased, THIRD)) == (before, 0)
    assert compared(erased) == Comparison()


# -- ended -----------------------------------------------------------------------------------------------------------


def test_tombstones_end_when_neither_a_file_nor_a_backup_can_bring_anybody_back(erased: Callmart) -> None:
    old = at("00:00") - timedelta(days=800)
    with erased.connect() as connection:
        ledger.append(connection, erased.settings, ONE, "agent", old, {"agent": ["f" * 32]}, 20)
    number, digest = ledger.last(erased.settings)

    def ended(kept_days: int | None) -> int:
        settings = erased.settings.model_copy(update={"backup_kept_days": kept_days})
        with erased.connect() as connection:
            return expired_tombstones.end(connection, settings)

    assert (ended(None), ended(1)) == (0, 0)  # nobody knows; a backup of yesterday is still there
    assert "f" * 32 in home(erased).read_text() and "f" * 32 in copy(erased).read_text()
    assert ended(0) == 1
    assert ledger.last(erased.settings) == (number, digest)
    for path in (home(erased), copy(erased)):
        assert "f" * 32 not in path.read_text()
        assert chain.parse(path.read_bytes()).entries[-1].salt is None
    assert erased.rows("select salt, customer_id from privacy.ledger_entry where entry = %s", number) == [
        {"salt": None, "customer_id": None}
    ]
    assert erased.rows("select from privacy.tombstone where entry = %s", number) == []
    assert compared(erased) == Comparison()
    assert (ended(0), replay(erased).persons) == (0, 0)
    assert "f" * 32 not in home(erased).read_text()


def test_an_objection_does_not_end_and_a_correction_ends_with_its_days(erased: Callmart) -> None:
    settings = erased.settings.model_copy(update={"backup_kept_days": 0})
    old = at("00:00") - timedelta(days=800)
    with erased.connect() as connection:
        marks = ["9" * 32]
        ledger.append(connection, erased.settings, ONE, "agent", old, {"objector": marks}, 30, "objection")
        entry = ledger.append(
            connection, erased.settings, ONE, "agent", old, {"mistaken": marks}, 31, "rectification", old
        )
        correcting.enter(connection, entry.number, "c" * 32)
        assert connection.execute("select from privacy.correction").rowcount == 1
        connection.execute(  # as a rotation does
            "insert into privacy.renewed_tombstone (customer_id, kind, tombstone, renewed, key_fingerprint)"
            " select customer_id, kind, tombstone, repeat('8', 32), 'x' from privacy.tombstone where tombstone = %s",
            marks,
        )
        connection.commit()
        assert expired_tombstones.end(connection, settings) == 1
    assert erased.rows("select from privacy.objector where tombstone = %s", "9" * 32)
    assert erased.rows("select from privacy.objector where tombstone = %s", "8" * 32)
    assert erased.rows("select from privacy.correction") == []
    assert erased.rows("select kind from privacy.renewed_tombstone") == [{"kind": "objector"}]
    assert compared(erased) == Comparison()


def test_a_correction_waits_for_the_agent_whose_the_events_are(erased: Callmart) -> None:
    """In a restored database there may be nothing of that agent yet."""
    secret = secret_of(key_of(erased, ONE))
    marks: dict[Kind, list[str]] = {
        "mistaken": [tombstone(secret, "mistaken", "a" * 32)],
        "corrected": [tombstone(secret, "corrected", "b" * 32)],
    }
    with erased.connect() as connection:
        ledger.append(
            connection, erased.settings, ONE, "agent", UNTIL, marks, 40, "rectification", at("00:00")
        )
        connection.commit()
        replay(erased)
        (said,) = replaying.uncorrected(connection)
        assert said.startswith(f"customer {ONE}: 1 correction could not be made again")
        connection.execute(
            "insert into registry.agent (customer_id, agent_key, agent) values (%s, %s, 'came')",
            [ONE, "b" * 32],
        )
        connection.commit()
        replay(erased)
        assert replaying.uncorrected(connection) == []
        assert connection.execute("select agent_key from privacy.correction").fetchall() == [("b" * 32,)]


def test_whoever_has_the_database_ends_nothing_early(erased: Callmart) -> None:
    """Neither the nightly end of tombstones nor an erasure believes it, and the replay puts everything back."""
    settings = erased.settings.model_copy(update={"backup_kept_days": 0})
    old = at("00:00") - timedelta(days=800)
    with erased.connect() as connection:
        ledger.append(connection, erased.settings, ONE, "agent", old, {"agent": ["d" * 32]}, 22)
    before = home(erased).read_bytes()
    execute(ENDED)(erased)
    with erased.connect() as connection:
        assert expired_tombstones.end(connection, settings) == 0  # not even the old one, until it is mended
        assert ledger.compare(connection, settings).differing == {ONE}
    assert home(erased).read_bytes() == copy(erased).read_bytes() == before
    assert replay(erased).customers == (ONE,)
    assert erased.rows("select from privacy.tombstone where entry = 1")
    assert home(erased).read_bytes() == copy(erased).read_bytes() == before
    with erased.connect() as connection:
        assert expired_tombstones.end(connection, settings) == 1


def test_what_was_deleted_is_not_said_to_be_there(erased: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    old, mark = at("00:00") - timedelta(days=800), "d" * 32
    with erased.connect() as connection:
        with monkeypatch.context() as patch:
            patch.setattr(ledger_files, "write_synced", full)
            said = r"^nothing was deleted: the privacy ledger .* can't be written"
            with pytest.raises(UserError, match=said):
                ledger.append(connection, erased.settings, ONE, "agent", old, {"agent": [mark]}, 20)
        connection.rollback()
        ledger.append(connection, erased.settings, ONE, "agent", old, {"agent": [mark]}, 20)
        connection.commit()
        settings = erased.settings.model_copy(update={"backup_kept_days": 0})
        with monkeypatch.context() as patch:
            patch.setattr(ledger_files, "write_in_folder", full)
            with pytest.raises(UserError, match=r"^the privacy ledger .* can't be written") as unwritten:
                expired_tombstones.end(connection, settings)
        assert "deleted" not in str(unwritten.value)
        ended = connection.execute("select from privacy.tombstone where tombstone = %s", [mark])
        assert ended.fetchall() == []
        expired_tombstones.end(connection, settings)
    assert mark not in home(erased).read_text() + copy(erased).read_text()


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize(("goes_on", "mark"), [("the next run", "e" * 32), ("a replay", "c" * 32)])
def test_a_crash_while_tombstones_end_leaves_no_body(
    erased: Callmart, monkeypatch: pytest.MonkeyPatch, goes_on: str, mark: str
) -> None:
    old = at("00:00") - timedelta(days=800)
    with erased.connect() as connection:
        ledger.append(connection, erased.settings, ONE, "agent", old, {"agent": [mark]}, 21)
    settings = erased.settings.model_copy(update={"backup_kept_days": 0})
    with monkeypatch.context() as patch, erased.connect() as connection:
        patch.setattr(ledger_files, "write", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            expired_tombstones.end(connection, settings)
    assert mark in home(erased).read_text()
    logged = "select count(*) as n from ops.audit_log where action = 'tombstones ended'"
    before = erased.rows(logged)
    with erased.connect() as connection:
        assert ledger.compare(connection, settings) == Comparison()  # nothing is closed for that
        if goes_on == "the next run":
            assert expired_tombstones.end(connection, settings) == 0  # in the database it has ended
        else:
            ledger_mending.mend(connection, settings)
    assert mark not in home(erased).read_text() + copy(erased).read_text()
    assert erased.rows(logged) == before, "nothing ended twice"
