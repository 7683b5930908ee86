"""Of a customer who leaves, the next run removes everything but the audit log, whatever breaks off meanwhile."""

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
import tableauserverclient as TSC

from callmart.access import logins, sessions
from callmart.base import disk, keys
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.secret_files import secret_file
from callmart.base.settings import Folder
from callmart.build import window
from callmart.database import audit_log, clock, fingerprints, vacuum
from callmart.extract import extract
from callmart.mailing import places as outbox
from callmart.publish import tableau
from callmart.registry.file import load
from callmart.registry.planning import plan
from callmart.registry.states import current_states, desired_states
from callmart.reports import shelf
from callmart.retention import copies, destroyed, remove
from callmart_home import Callmart
from events import DAY, days
from leavers import file_of, leaver, paths_of, tables_with
from nights import Crash, contents, night, removing
from registries import LONG_AGO, OPEN
from searching import files_with
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted", "few_reports")]

D0, _, D2 = days(3)
STAYS, GONE, NONE, PASSED = 11, 12, 13, 14


def on_tableau(callmart: Callmart) -> set[str]:
    with tableau.connect(callmart.settings) as there:
        names = [project.name for project in TSC.Pager(there.projects)]
        names += [source.project_name for source in TSC.Pager(there.datasources)]
        names += [group.name for group in TSC.Pager(there.groups)]
    return {str(name) for name in names}


def names(customer: int, shown: set[str]) -> bool:
    """Whether one of them has the number of the customer, as a number of its own: a mark has others in it."""
    return any(re.search(rf"\b{customer}\b", name) for name in shown)


@pytest.fixture(scope="module")
def house(make_callmart: Callable[..., Callmart]) -> Callmart:
    """Four customers, all published; the folder that the night lands is theirs together."""
    callmart = make_callmart(ready=True)
    everybody = STAYS, GONE, NONE, PASSED
    callmart.apply("customers:\n" + "".join(leaver(customer, OPEN) for customer in everybody))
    callmart = Callmart(callmart.settings.model_copy(update={"folders": [], "max_reject_share": 0.5}))
    for customer in everybody:
        callmart.land_text(file_of(customer), customer)
    together = (callmart.home / "inbox").joinpath("all")
    together.parent.mkdir()
    together.write_text(
        "".join(
            json.dumps(json.loads(line) | {"customer_id": customer}) + "\n"
            for customer in everybody
            for line in file_of(customer, first=4, count=1).splitlines()
        )
    )
    callmart = Callmart(
        callmart.settings.model_copy(update={"folders": [Folder(path=together.parent, settle_seconds=0)]})
    )
    assert night(callmart).problems == []
    return callmart


@pytest.fixture(scope="module")
def left(house: Callmart) -> dict[str, Any]:
    """What there was, and then one is gone from the file, one has none, and one's contract is over by the calendar."""
    before = {
        "tables": {customer: tables_with(house, customer) for customer in (STAYS, GONE, NONE, PASSED)},
        "paths": {customer: paths_of(house, customer) for customer in (GONE, NONE, PASSED)},
        "tableau": on_tableau(house),
        "stays": contents(house, STAYS),
        "files": house.rows("select name_key from raw.file"),
        "key": keys.key_file(house.home, NONE).read_bytes(),
    }
    with house.connect() as connection:  # as far as the calendar would have brought it
        connection.execute(
            "update registry.contract set valid_until = %s where customer_id = %s", [TODAY, PASSED]
        )
        for customer in GONE, NONE, PASSED:
            connection.execute(
                "insert into ops.held_back (customer_id, call_date, build_id, cause) values (%s, %s, 1, 'x')",
                [customer, D0],
            )
    house.apply(
        "customers:\n" + leaver(STAYS, OPEN) + leaver(NONE) + leaver(PASSED, ("detailed", LONG_AGO, TODAY))
    )
    assert night(house).problems == []
    return before


@pytest.mark.parametrize("customer", [GONE, NONE, PASSED])
def test_of_who_leaves_nothing_remains_but_the_audit(
    house: Callmart, left: dict[str, Any], customer: int
) -> None:
    assert left["tables"][customer] >= {
        "raw.event", "raw.call", "raw.file_customer", "registry.agent", "registry.contact", "registry.recipient",
        "registry.queue", "registry.status_word", "store.agent", "store.agent_day", "store.queue_interval",
        "ops.opened_day", "ops.extract", "ops.publication", "ops.audit_log", "pg_authid",
    }  # fmt: skip
    assert left["paths"][customer] >= {"keys", "secrets", "extracts"}
    remains = {"ops.audit_log"}
    if customer != GONE:
        remains |= {"registry.customer", "registry.gate"}  # the gate has a digest and the numbers of versions
    assert tables_with(house, customer) == remains
    assert paths_of(house, customer) == set()
    assert names(customer, left["tableau"])
    assert not names(customer, on_tableau(house))
    if customer != GONE:
        kept_row = house.rows(
            "select key_fingerprint from registry.customer where customer_id = %s", customer
        )
        assert kept_row == [{"key_fingerprint": None}]


@pytest.mark.parametrize("customer", [GONE, NONE, PASSED])
def test_the_audit_counts_what_went(house: Callmart, left: dict[str, Any], customer: int) -> None:
    entries = house.rows(
        "select details from ops.audit_log where action = 'removed' and customer_id = %s", customer
    )
    assert len(entries) == 1
    assert (
        entries[0]["details"].items()
        >= {"events": 8, "calls": 4, "files": 2, "extracts": 3, "keys": 1}.items()
    )
    assert all(isinstance(count, int) for count in entries[0]["details"].values())


def test_who_stays_is_untouched(house: Callmart, left: dict[str, Any]) -> None:
    assert contents(house, STAYS) == left["stays"]
    assert tables_with(house, STAYS) >= left["tables"][STAYS] - {"ops.dirty_day"}
    assert any(str(STAYS) in name for name in on_tableau(house))
    names = {row["name_key"] for row in house.rows("select name_key from raw.file")}
    assert house.file_key("all") in names, "the file that others are in, too"
    rejects = "of its own file, and of the one that all share before and after they left"
    assert len(house.rows("select from raw.reject")) == 1 + 4 + 1, rejects


def test_a_file_of_who_left_is_turned_away(house: Callmart, left: dict[str, Any]) -> None:
    assert house.land_text(file_of(NONE), NONE).landed == 0
    assert "raw.event" not in tables_with(house, NONE)


def test_the_registry_of_before_changes_nothing(house: Callmart, left: dict[str, Any]) -> None:
    with house.connect() as connection:
        wanted = desired_states(load(house.home / "registry.yml"), clock.now(connection))
        assert plan(current_states(connection), wanted, TODAY) == []
        assert current_states(connection) == wanted
    assert removing(house) == []


def test_a_key_that_comes_out_of_a_backup_goes_again(house: Callmart, left: dict[str, Any]) -> None:
    secret_file(keys.key_file(house.home, NONE), left["key"])
    secret_file(keys.key_file(house.home, 999), left["key"])  # of another database, it may be
    copy = keys.key_file(house.home, STAYS).with_suffix(".bak.key")
    secret_file(copy, left["key"])
    (removed,) = removing(house)
    copy.unlink()
    assert isinstance(removed, remove.Removed) and removed.customer_id == NONE
    assert not keys.key_file(house.home, NONE).exists()
    assert keys.key_file(house.home, 999).exists()


@pytest.mark.parametrize("killed_before", ["the commit", "the file is deleted"])
def test_a_kill_loses_no_record_of_a_destroyed_key(
    house: Callmart, left: dict[str, Any], monkeypatch: pytest.MonkeyPatch, killed_before: str
) -> None:
    """Of a customer without data only the key's file says that there is a key."""

    def recorded() -> int:
        with house.connect() as owner:
            return sum(one.customer_id == NONE for one in destroyed.listed(owner))

    secret_file(keys.key_file(house.home, NONE), left["key"])
    before, note = recorded(), audit_log.note

    def killed(*arguments: Any) -> None:
        if "removed" in arguments:
            raise Crash
        note(*arguments)

    with monkeypatch.context() as patch:
        if killed_before == "the commit":
            patch.setattr(audit_log, "note", killed)
        else:
            patch.setattr(Path, "unlink", Mock(side_effect=Crash))
        with pytest.raises(Crash):
            removing(house)
    assert keys.key_file(house.home, NONE).exists()
    (removed,) = removing(house)
    assert isinstance(removed, remove.Removed) and removed.counts == {"keys": 1}
    assert not keys.key_file(house.home, NONE).exists()
    assert recorded() - before == (1 if killed_before == "the commit" else 2)


@pytest.mark.thorough
def test_who_comes_back_starts_empty_with_another_key(house: Callmart, left: dict[str, Any]) -> None:
    """Also where the old key stands there again, out of a backup; what is of before comes in no more."""
    secret_file(keys.key_file(house.home, NONE), left["key"])
    since = D2
    text = (
        (house.home / "registry.yml")
        .read_text()
        .replace(leaver(NONE), leaver(NONE, ("detailed", since, None)))
    )
    house.apply(text)
    assert keys.key_file(house.home, NONE).read_bytes() != left["key"]
    assert house.rows("select from raw.event where customer_id = %s", NONE) == []
    assert house.rows("select * from mart.queue_interval", customer_id=NONE) == []
    late = house.land_text(file_of(NONE), NONE)
    assert (late.landed, late.turned_away) == (2, 5), "one day of three"
    assert night(house).problems == []
    seen = house.rows("select distinct call_date from mart.queue_interval", customer_id=NONE)
    assert sorted(row["call_date"] for row in seen) == [D2, DAY + timedelta(days=4)]


@pytest.mark.waits
def test_a_table_that_somebody_reads_keeps_no_other_from_the_vacuum(
    house: Callmart, left: dict[str, Any]
) -> None:
    with house.connect() as owner, house.connect() as reader:
        vacuum.note(owner, "registry.agent", "registry.line", "registry.queue", whole=True)
        vacuum.note(owner, "registry.contact")
        files = "select pg_relation_filenode('registry.agent') union select pg_relation_filenode('registry.queue')"
        before = set(owner.execute(files).fetchall())
        reader.execute("select from registry.line")
        assert vacuum.vacuum(owner) == 0
        assert house.rows("select relation from ops.to_vacuum") == [{"relation": "registry.line"}]
        assert not before & set(owner.execute(files).fetchall()), "the others were written anew"
        reader.rollback()
        assert vacuum.vacuum(owner) == 1


# -- crashes -------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_landed(make_callmart: Callable[..., Callmart]) -> Callmart:
    """Two customers, whose files have landed and are not built yet."""
    callmart = make_callmart(ready=True)
    callmart.apply("customers:\n" + leaver(1, OPEN) + leaver(2, OPEN))
    for customer in 1, 2:
        callmart.land_text(file_of(customer).rsplit("\n", 2)[0] + "\n", customer)
    return callmart


@pytest.mark.thorough
def test_a_crash_in_the_middle_is_finished_by_the_next_run(
    two_landed: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert night(two_landed).problems == []
    stays = contents(two_landed, 2)
    two_landed.apply("customers:\n" + leaver(2, OPEN))
    what_can_not_be_deleted_is_said_and_tried_again(two_landed, monkeypatch)

    points: list[tuple[Any, str]] = [
        (remove, "_follow_calendar"),
        (remove, "_delete_files"),
        (remove, "forget_customer"),
        (shutil, "rmtree"),
        (vacuum, "note"),
        (remove, "Removed"),
        (vacuum, "vacuum"),
    ]
    for module, name in points:
        inner = getattr(module, name)

        def breaking(*arguments: Any, inner: Callable[..., Any] = inner, **options: Any) -> None:
            inner(*arguments, **options)
            raise Crash

        with monkeypatch.context() as patch:
            patch.setattr(module, name, breaking)
            with pytest.raises(Crash):
                removing(two_landed)
    assert night(two_landed).problems == []
    assert tables_with(two_landed, 1) == {"ops.audit_log"}
    assert paths_of(two_landed, 1) == set()
    assert two_landed.rows("select from ops.to_vacuum") == []
    assert contents(two_landed, 2) == stays
    # What was in clear is not in the server's files any more, the log included.
    assert files_with(two_landed.home / "postgres", {b"Noor Zandvliet1", b"ontvanger@example.org1"}) == set()
    assert files_with(two_landed.home / "postgres", {b"Noor Zandvliet2"})


def what_can_not_be_deleted_is_said_and_tried_again(
    callmart: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft that a kill has left, too."""
    draft = callmart.home / "reports" / "1" / "traffic-2026-W20.html.new"
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text("of customer 1")
    inner = os.unlink

    def unlink(path: Any, *arguments: Any, **options: Any) -> None:
        if str(path).endswith(draft.name):
            raise PermissionError(13, "Permission denied", str(draft))
        inner(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        (problem,) = night(callmart).problems
    assert problem == (
        f"what no contract keeps of customer 1 was not removed ({draft.parent}, PermissionError: Permission denied): "
        "the next run tries again"
    )
    assert draft.exists() and paths_of(callmart, 1) >= {"keys", "reports"}


def start_after_all_that_landed(callmart: Callmart) -> None:
    """Correct the day on which customer 1's contract began."""
    began = ("detailed", D2 + timedelta(days=1), None)
    callmart.apply("customers:\n" + leaver(1, began) + leaver(2, OPEN))


def has_fitting_key(callmart: Callmart, customer: int) -> bool:
    with callmart.connect() as owner:
        return keys.fits(callmart.home, customer, fingerprints.of_customers(owner, [customer])[customer])


def test_a_key_is_replaced_when_nothing_else_can_fail_and_no_file_lands_with_the_former_one(
    two_landed: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = keys.key_file(two_landed.home, 1)
    start_after_all_that_landed(two_landed)
    former, version = file.read_bytes(), two_landed.rows("select max(version) as last from registry.version")
    with monkeypatch.context() as patch:
        patch.setattr(copies, "remove_before", Mock(side_effect=PermissionError(13, "Permission denied")))
        (stuck,) = removing(two_landed)
    assert isinstance(stuck, remove.Unremoved)
    assert file.read_bytes() == former and has_fitting_key(two_landed, 1)

    def killed(*arguments: Any) -> None:
        keys.write_keys(*arguments)
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(remove, "write_keys", killed)
        removing(two_landed)
    assert not has_fitting_key(two_landed, 1)

    (removed,) = removing(two_landed)
    assert isinstance(removed, remove.Removed) and (removed.whole, removed.counts["keys"]) == (False, 1)
    assert file.read_bytes() != former and has_fitting_key(two_landed, 1)
    with logins.connect(two_landed.settings, "loader") as loader:
        received = loader.execute("select raw.receive(%s)", [version[0]["last"]])
        assert received.fetchall() == [(False,)], "it was prepared before"


@pytest.mark.thorough
@pytest.mark.waits
def test_no_login_holds_up_the_removal(two_landed: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night without anything to remove takes no lock that a landing holds."""
    monkeypatch.setattr(sessions, "PATIENCE", "100ms")
    held = {"loader": "select raw.receive(0)", "quality": 'select count(*) from build."window"'}
    with ExitStack() as stack:
        own = {duty: stack.enter_context(logins.connect(two_landed.settings, duty)) for duty in held}
        for duty, statement in held.items():
            for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
                own[duty].execute(f"set {setting} = 0")
            own[duty].commit()
            own[duty].execute(statement.encode())
        owner = stack.enter_context(two_landed.connect())
        owner.execute("set lock_timeout = '8s'")
        owner.commit()
        assert remove.remove(owner, two_landed.settings, quietly) == []
        for session in own.values():
            session.execute("select 1")

        owner.execute("update registry.contract set valid_until = %s where customer_id = 1", [TODAY])
        owner.commit()
        (removed,) = remove.remove(owner, two_landed.settings, quietly)
        assert isinstance(removed, remove.Removed) and removed.whole
        for session in own.values():
            with pytest.raises(psycopg.OperationalError):
                session.execute("select 1")


def test_a_package_goes_with_everything_else_though_a_contract_begins_later(two_landed: Callmart) -> None:
    """The customer gets a new key at once, so nothing else shows that the package is of before."""
    packages = [
        two_landed.home / disk.PACKAGES / str(customer) / f"request-{customer}.zip.age" for customer in (1, 2)
    ]
    for package in packages:
        package.parent.mkdir(parents=True, exist_ok=True)
        package.write_text("encrypted")
    later = ("detailed", TODAY + timedelta(days=40), None)
    two_landed.apply("customers:\n" + leaver(1, later) + leaver(2, OPEN))
    removing(two_landed)
    assert keys.key_file(two_landed.home, 1).exists()
    assert [package.parent.exists() for package in packages] == [False, True]


def test_a_contract_that_row_security_hides_is_not_taken_for_gone(two_landed: Callmart) -> None:
    before = tables_with(two_landed, 1)
    with two_landed.connect() as owner:
        owner.execute("alter table registry.contract enable row level security, force row level security")
    try:
        with pytest.raises(UserError, match="nothing was removed: row security could hide rows of registry"):
            removing(two_landed)
    finally:
        with two_landed.connect() as owner:
            owner.execute(
                "alter table registry.contract disable row level security, no force row level security"
            )
    assert tables_with(two_landed, 1) == before


def test_a_page_that_can_not_be_removed_keeps_no_mail(
    two_landed: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied = Mock()
    monkeypatch.setattr(shelf, "tidy", Mock(side_effect=PermissionError))
    monkeypatch.setattr(outbox, "tidy", tidied)
    with pytest.raises(PermissionError):
        removing(two_landed)
    assert tidied.called


def test_a_kill_loses_no_count_of_extracts(two_landed: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    two_landed.rows(
        "insert into ops.extract (customer_id, mart_group, content_hash, row_count, basis)"
        " values (1, 'queue', '', 0, '{}') returning 1"
    )
    file = extract.place(two_landed.settings, 1, "queue")
    file.parent.mkdir(parents=True)
    file.touch()
    two_landed.apply("customers:\n" + leaver(2, OPEN))
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(remove, "_note_to_vacuum", Mock(side_effect=Crash))
        removing(two_landed)
    assert not file.exists()
    (removed,) = removing(two_landed)
    assert isinstance(removed, remove.Removed) and removed.counts["extracts"] == 1


@pytest.mark.thorough
def test_a_build_that_waits_holds_nothing_of_who_leaves(two_landed: Callmart) -> None:
    with two_landed.connect() as owner:
        window.build(owner, two_landed.settings, quietly)
    assert "build.queue_interval" in tables_with(two_landed, 1)
    two_landed.apply("customers: []\n")
    removing(two_landed)
    # The planner's sample of a table in build goes with the table, which the next build makes anew.
    assert tables_with(two_landed, 1) - {"pg_statistic"} == {"ops.audit_log"}
    two_landed.build_unchecked()
    assert tables_with(two_landed, 1) == {"ops.audit_log"}
