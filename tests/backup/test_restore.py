"""A backup is restored in the runbook's own words: equal marts, rights made anew, and nothing published by itself."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
import tableauserverclient as TSC

from backups import PASSPHRASE, Runbook, back_up, content, logins, publishing_to, restored, with_settings
from callmart.access import drift, memberships
from callmart.backup import manifest, programs, restore
from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, fingerprint_of, key_file, new_key
from callmart.cli import terminal
from callmart.database import clock, restoring, schema
from callmart.declarations import dbt_project
from callmart.publish import installation, tableau
from callmart_home import Callmart
from centre import DETAILED, NONE, STANDARD, WITH_DATA, queue_of
from commands import mistake, use
from nights import Crash, night
from published import sources
from tableau_emulator.client import served
from tableau_emulator.state import State
from today import YESTERDAY

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("unchecked")]

NO_PUBLICATION = "this home was restored from a backup, so it publishes and mails nothing"


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, object], State]]:
    """The Tableau to which both homes publish: the settings that name it, and its state."""
    folder = tmp_path_factory.mktemp("tableau")
    with served(folder) as emulator, State(folder) as state:
        yield publishing_to(emulator), state


@pytest.fixture(scope="module")
def old(played: Callmart, emulated: tuple[dict[str, object], State]) -> Callmart:
    """A home that has published, with a mart that left the project."""
    callmart = with_settings(played, **emulated[0])
    with callmart.connect() as owner:
        owner.execute("create table store.former (like store.queue_day including all)")
        owner.execute("insert into store.former select * from store.queue_day")
        owner.execute("select access.protect('store.former', 'queue', 'call_date')")
        owner.execute("select access.show_mart('store.former', 'queue')")
    assert night(callmart).problems == [
        "mart.former is no longer declared by the project: put its files back, or run `callmart retire former`"
    ]
    return callmart


@pytest.fixture(scope="module")
def runbook(old: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Runbook:
    tableau = old.settings.tableau
    assert tableau.server and tableau.token
    return Runbook(
        tmp_path_factory.mktemp("backups") / "first",
        old.home / "registry.yml",
        {
            "CALLMART_BACKUP_PASSPHRASE": PASSPHRASE,
            "CALLMART_PRIVACY__LEDGER_COPY": str(old.settings.privacy.ledger_copy),
            "CALLMART_TABLEAU__SERVER": tableau.server,
            "CALLMART_TABLEAU__TOKEN_NAME": tableau.token_name,
            "CALLMART_TABLEAU__TOKEN": tableau.token.get_secret_value(),
        },
    )


@pytest.fixture(scope="module")
def backed_up(old: Callmart, runbook: Runbook) -> Path:
    """The folder of a backup, made as the runbook says."""
    done = runbook.run(old.home, runbook.to_back_up)
    assert done.returncode == 0, done.stderr
    return runbook.folder


@pytest.fixture(scope="module")
def new(make_callmart: Callable[..., Callmart], old: Callmart, runbook: Runbook, backed_up: Path) -> Callmart:
    """Another home, restored as the runbook says: by the first of its commands."""
    callmart = Callmart(old.settings.model_copy(update={"home": make_callmart(empty=True).home}))
    assert not callmart.home.exists()
    done = runbook.run(callmart.home, runbook.to_restore[0])
    assert (done.returncode, "restore: done; " in done.stdout) == (0, True), done.stderr
    assert "this home does not publish" in done.stdout
    assert "the privacy ledger ends with line 0; if the letter to a person names a later line" in done.stdout
    return callmart


def requests(state: State) -> int:
    return len(state.requests())


# what is restored


def test_every_row_of_every_table_is_there(old: Callmart, new: Callmart) -> None:
    before, after = content(old), content(new)
    assert {table for table in before if before[table]} > {"store.queue_interval", "store.agent", "raw.event"}
    assert {table: rows for table, rows in after.items() if rows != before[table]} == {}
    assert before.keys() == after.keys()
    log = "select entry, at, actor, action, customer_id, details from ops.audit_log order by entry"
    first, copied = old.rows(log), new.rows(log)
    kept = [row for row in first if row["action"] != "backed up"]
    assert copied[: len(kept)] == kept
    assert [row["action"] for row in copied[len(kept) :]][-1] == "restored"


def test_rights_and_logins_are_made_anew(new: Callmart) -> None:
    with new.connect() as owner:
        found = [one for one in drift.find(owner, dbt_project.marts(new.settings)) if not one.undeclared]
        assert found == []
    assert logins(new) >= {f"callmart_customer_{customer}" for customer in WITH_DATA} | {"callmart_loader"}
    for customer in WITH_DATA:
        shown = new.rows("select distinct customer_id, queue from mart.queue_day", customer_id=customer)
        assert shown == [{"customer_id": customer, "queue": queue_of(customer)}]
    assert new.rows("select from mart.agent", customer_id=DETAILED[0])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        new.rows("select from mart.agent", customer_id=STANDARD)


def test_a_mart_that_left_the_project_is_shown_as_before(old: Callmart, new: Callmart) -> None:
    query = "select * from mart.former order by 1, 2, 3"
    for customer in WITH_DATA:
        shown = new.rows(query, customer_id=customer)
        assert shown == old.rows(query, customer_id=customer)
        assert {row["customer_id"] for row in shown} == {customer}


def test_the_keys_are_those_of_before(old: Callmart, new: Callmart) -> None:
    for whose in (*WITH_DATA, INSTALLATION):
        path = key_file(new.home, whose)
        assert path.read_bytes() == key_file(old.home, whose).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    assert not key_file(new.home, NONE).exists()


def test_no_row_is_sampled_and_no_login_is_kept(old: Callmart, new: Callmart) -> None:
    sampled = new.rows(
        "select access.sampled_columns(relation, 'call_date') from access.mart_relation"
        " where mart = 'store.queue_interval'::regclass"
    )
    assert sampled == []
    passwords = [
        {file.name: file.read_text() for file in (each.home / "secrets").glob("*.pgpass")}
        for each in (old, new)
    ]
    assert passwords[0].keys() == passwords[1].keys()
    assert all(passwords[0][name] != passwords[1][name] for name in passwords[0])


# the next run, and Tableau


def test_the_next_run_does_everything_but_publish(
    old: Callmart, new: Callmart, runbook: Runbook, emulated: tuple[dict[str, object], State]
) -> None:
    """By the rest of the runbook's commands. It does not even sign in: that would end the other home's session."""
    before = requests(emulated[1])
    apply, run = runbook.to_restore[1:]
    applied = runbook.run(new.home, apply)
    assert (applied.returncode, applied.stdout) == (0, "registry: 4 customers, 0 changes applied\n")
    new.land_text(
        "customer_id,platform,event,occurred_at,call_id,queue,reason\n"
        f"{STANDARD},vcloud,queue_joined,{YESTERDAY}T11:00:00Z,late,{queue_of(STANDARD)},\n"
        f"{STANDARD},vcloud,queue_left,{YESTERDAY}T11:00:09Z,late,{queue_of(STANDARD)},abandoned\n"
    )
    ran = runbook.run(new.home, run)
    assert ran.returncode == 1
    warnings = [json.loads(said) for said in re.findall(r' warning event=("(?:[^"\\]|\\.)*")', ran.stderr)]
    problems = [said for said in warnings if said.endswith(("--take-over`", "former`"))]
    assert len(problems) == 2
    assert sum(line.startswith(NO_PUBLICATION) for line in problems) == 1
    assert re.search(r"1 day opened, 0 held back, [0-9]+ of [0-9]+ extracts written, 0 changes", ran.stdout)
    with pytest.raises(UserError, match=NO_PUBLICATION), tableau.connect(new.settings):
        pass
    assert requests(emulated[1]) == before
    assert installation.ensure_id(new.home) != installation.ensure_id(old.home)


def test_it_takes_over_when_it_is_told_to(
    old: Callmart, new: Callmart, runbook: Runbook, emulated: tuple[dict[str, object], State]
) -> None:
    """What stays the same keeps its LUID and is not uploaded; and the other home publishes no more."""
    with tableau.connect(new.settings.model_copy(update={"home": old.home})) as server:
        before = {key: (item.id, marks(item)) for key, item in sources(server).items()}
    take_over, plan, confirm = runbook.to_take_over
    assert "nothing to take over" in mistake(runbook.run(old.home, take_over))
    assert runbook.run(new.home, take_over).returncode == 0

    ran = night(new)  # unattended it adopts nothing
    assert (ran.published_changes, sum("adopt it with --yes" in one for one in ran.problems)) == (
        0,
        len(WITH_DATA),
    )
    shown = runbook.run(new.home, plan)
    assert shown.stdout.count("* adopt project") == len(WITH_DATA)
    assert [line for line in shown.stdout.splitlines() if line.startswith("? ")] == []
    uploaded = uploads(emulated[1])
    done = runbook.run(new.home, confirm)
    assert (done.returncode, "0 failed" in done.stdout) == (0, True), done.stderr
    changed = {(str(STANDARD), "Wachtrijen")}  # it has a contact more since

    with tableau.connect(new.settings) as server:
        after = {key: (item.id, marks(item)) for key, item in sources(server).items()}
        groups = {group.name for group in TSC.Pager(server.groups)}
    ours, theirs = installation.ensure_id(new.home), installation.ensure_id(old.home)
    assert {key: luid for key, (luid, _) in after.items()} == {key: luid for key, (luid, _) in before.items()}
    assert {mark for _, found in before.values() for mark in found} == {theirs}
    assert {mark for _, found in after.values() for mark in found} == {ours}
    assert not [name for name in groups if theirs in name]
    # A data source and its customer's two reports are published again at most.
    assert uploads(emulated[1]) - uploaded <= 3 * len(changed)

    ran = night(new)
    assert (ran.published_changes, [one for one in ran.problems if "former" not in one]) == (0, [])
    assert "nothing to take over" in mistake(runbook.run(new.home, take_over))
    with old.connect() as owner:
        owner.execute("update ops.publication set looked_on = looked_on - 1")  # the next day it looks again
    late = night(old)
    assert late.published_changes == 0
    assert sum(f"bears the mark of installation {ours}" in one for one in late.problems) == len(WITH_DATA)


def marks(item: TSC.DatasourceItem) -> set[str]:
    """The installations in the tags of a data source."""
    return {tag.split("-")[1] for tag in item.tags}


def uploads(state: State) -> int:
    return sum(
        each.method == "POST" and each.path.endswith(("/datasources", "/workbooks"))
        for each in state.requests()
    )


def test_lost_keys_alone_are_restored(
    old: Callmart, backed_up: Path, runbook: Runbook, tmp_path: Path
) -> None:
    """What fits stays, and nothing comes back that this database does not know."""
    lost, wrong, kept, installation = (key_file(old.home, whose) for whose in (*WITH_DATA, INSTALLATION))
    before = [path.read_bytes() for path in (lost, wrong, kept, installation)]
    lost.unlink()
    installation.unlink()
    wrong.write_bytes(b"another key")
    old.rows("delete from access.applied returning 1")  # an upgrade is due, and needs the keys
    with pytest.raises(UserError, match=r"is missing \(.*\): run `callmart restore FOLDER --keys`"):
        back_up(old, tmp_path / "b")
    done = runbook.run(old.home, runbook.to_restore_keys)
    assert (done.returncode, "3 keys restored, 0 are not" in done.stdout) == (0, True), done.stderr
    assert [path.read_bytes() for path in (lost, wrong, kept, installation)] == before
    assert lost.stat().st_mode & 0o777 == 0o600
    with old.connect() as connection:
        schema.note(connection, old.settings.time_zone)
        connection.commit()
        connection.execute("update registry.customer set key_fingerprint = null where customer_id = 1001")
        connection.execute("update registry.customer set key_fingerprint = 'other' where customer_id = 1003")
        lost.unlink()
        assert restore.restore_keys(connection, old.settings, backed_up) == ([], [STANDARD])
        assert not lost.exists()
        for customer, key in zip(WITH_DATA, before[:3], strict=True):
            connection.execute(
                "update registry.customer set key_fingerprint = %s where customer_id = %s",
                [fingerprint_of(key), customer],
            )
    lost.write_bytes(before[0])


# when it breaks off

STEPS = ("_empty", "_load", "write_keys", "_upgrade", "_expire")


@pytest.fixture(scope="module")
def target(make_callmart: Callable[..., Callmart], old: Callmart) -> Callmart:
    """An empty home, beside the restored one."""
    return Callmart(old.settings.model_copy(update={"home": make_callmart().home}))


def test_wherever_it_breaks_off_nobody_logs_in_and_it_begins_anew(
    old: Callmart, target: Callmart, backed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(target.settings, monkeypatch)
    for step in STEPS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(restore, step, partial(crash_after, getattr(restore, step)))
            with pytest.raises(Crash):
                restored(target, backed_up)
        assert logins(target) == set(), step
        with (
            pytest.raises(UserError, match="a restore of this database is not finished"),
            terminal.database(),
        ):
            pass
    back_up(old, tmp_path / "other")
    with pytest.raises(UserError, match="this database holds an unfinished restore of backup"):
        restored(target, tmp_path / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memberships, "apply", partial(crash_after, memberships.apply))
        with pytest.raises(Crash):
            restored(target, backed_up)
    assert logins(target), "they were open already, and what they see is what is kept"
    assert restored(target, backed_up).problems == []
    with old.connect() as connection:
        assert restoring.unfinished(connection) is None
    for customer in WITH_DATA:
        assert target.rows("select from mart.queue_day", customer_id=customer)


def crash_after(step: Callable[..., object], *arguments: object) -> None:
    step(*arguments)
    raise Crash


@pytest.fixture
def emptied(target: Callmart) -> Callmart:
    """A home and a database in which there is nothing but the roles of before."""
    with target.connect() as owner:
        schemas = "registry, raw, build, store, mart, usage, access, ops, privacy"
        owner.execute(f"drop schema if exists {schemas}, {restoring.SCHEMA} cascade".encode())
    for path in (*(target.home / "keys").glob("*"), target.home / "installation"):
        path.unlink(missing_ok=True)
    return target


def test_a_key_that_came_meanwhile_is_not_overwritten(
    emptied: Callmart, old: Callmart, tmp_path: Path
) -> None:
    back_up(old, tmp_path / "b")
    with emptied.connect() as connection, restoring.locked(connection):
        restoring.begin(connection, manifest.read(tmp_path / "b").backup)
    path = key_file(emptied.home, STANDARD)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"of somebody else")
    try:
        with pytest.raises(UserError, match="already holds keys"):
            restored(emptied, tmp_path / "b")
        assert path.read_bytes() == b"of somebody else"
    finally:
        path.unlink()
        with emptied.connect() as connection:
            restoring.clear(connection)


def test_a_key_that_the_restore_has_replaced_is_none_of_somebody_else(
    emptied: Callmart, old: Callmart, backed_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A customer of whom nothing may stay starts over with a new one. In another home it would be somebody else's."""
    with monkeypatch.context() as patch:
        patch.setattr(
            restore, "_remove_unknown", lambda _, settings: crash_after(new_key, settings.home, STANDARD)
        )
        with pytest.raises(Crash):
            restored(emptied, backed_up)
    path = key_file(emptied.home, STANDARD)
    theirs = key_file(old.home, STANDARD).read_bytes()
    assert path.read_bytes() != theirs
    other = emptied.settings.model_copy(update={"home": tmp_path})
    key_file(tmp_path, STANDARD).parent.mkdir()
    key_file(tmp_path, STANDARD).write_bytes(path.read_bytes())
    opened = restore.open_backup(backed_up, emptied.settings)
    for made in (False, True):
        if made:
            installation.make_restored(tmp_path, takes_over=False)
        with emptied.connect() as connection, pytest.raises(UserError, match="already holds keys"):
            restore._refuse_full(connection, other, opened)
    assert restored(emptied, backed_up).problems == []
    assert path.read_bytes() == theirs


def test_two_restores_at_once(emptied: Callmart, backed_up: Path) -> None:
    with emptied.connect() as connection, restoring.locked(connection):
        with pytest.raises(UserError, match="another restore is at work on this database"):
            restored(emptied, backed_up)
        assert emptied.rows("select from pg_namespace where nspname = 'registry'") == []


def test_a_restore_that_finished_meanwhile_is_not_undone(
    emptied: Callmart, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = restoring.locked

    @contextmanager
    def after_another(connection: psycopg.Connection) -> Iterator[None]:
        monkeypatch.setattr(restoring, "locked", locked)
        restored(emptied, backed_up)
        with locked(connection):
            yield

    monkeypatch.setattr(restoring, "locked", after_another)
    with pytest.raises(UserError, match="already holds callmart's data"):
        restored(emptied, backed_up)
    assert emptied.rows("select from mart.queue_day", customer_id=STANDARD)


def test_rows_that_differ_are_found(
    emptied: Callmart, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = programs.load

    def load_and_lose(*arguments: object) -> None:
        load(*arguments)  # type: ignore[arg-type]
        emptied.rows("update store.queue_day set offered = offered + 1 where customer_id = 1001 returning 1")

    monkeypatch.setattr(programs, "load", load_and_lose)
    with pytest.raises(UserError, match=r"store\.queue_day does not have the rows of the backup, and nobody"):
        restored(emptied, backed_up)
    assert logins(emptied) == set()


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"renamed_from": ["former"]}, "mart queue_day was called former .* the database has both"),
        (
            {"group": "agent"},
            "mart queue_day was made in the group queue, and is declared in the group agent",
        ),
    ],
)
def test_a_mart_about_which_a_person_has_to_decide_is_restored_as_it_was(
    emptied: Callmart,
    old: Callmart,
    backed_up: Path,
    monkeypatch: pytest.MonkeyPatch,
    declared: dict[str, object],
    said: str,
) -> None:
    """What the person does then would be refused while the restore is not finished."""
    marts = [
        mart.model_copy(update=declared) if mart.name == "queue_day" else mart
        for mart in dbt_project.marts(emptied.settings)
    ]
    monkeypatch.setattr(dbt_project, "marts", lambda _: marts)
    (problem,) = restored(emptied, backed_up).problems
    assert re.match(said, problem)
    query = "select * from mart.queue_day order by 1, 2, 3"
    for customer in WITH_DATA:
        assert emptied.rows(query, customer_id=customer) == old.rows(query, customer_id=customer) != []
    with emptied.connect() as owner:
        restoring.refuse(owner)


def test_a_login_of_before_is_barred_with_its_session(
    emptied: Callmart, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the roles still: its database was made anew."""
    with emptied.connect() as connection:
        connection.execute("alter role callmart_operator login password 'known'")
        dsn = connection.info.dsn.replace("callmart_owner", "callmart_operator") + " password=known"
    with psycopg.connect(dsn, autocommit=True) as operator:
        operator.execute("select 1")
        monkeypatch.setattr(restore, "_load", partial(crash_after, lambda *_: None))
        with pytest.raises(Crash):
            restored(emptied, backed_up)
        with pytest.raises(psycopg.OperationalError):
            operator.execute("select 1")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn)


# the clock


def test_an_old_backup_needs_the_clock_confirmed_and_what_is_too_old_goes_first(
    emptied: Callmart, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two years later one of the three days is still kept."""
    floor = YESTERDAY
    today = floor.replace(year=floor.year + 2)
    noon = datetime.combine(today, time(12), emptied.settings.zone)
    monkeypatch.setattr(clock, "now", lambda _: noon)
    days = "select distinct call_date from store.queue_day"
    seen: list[list[date]] = []
    apply = memberships.apply

    def look(connection: psycopg.Connection, *arguments: object) -> memberships.Applied:
        seen.append([day for (day,) in connection.execute(days).fetchall()])
        assert logins(emptied) == set()
        return apply(connection, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(memberships, "apply", look)
    with pytest.raises(UserError) as refused:
        restored(emptied, backed_up)
    assert (
        f"if it is right, add `--accept {today}`: the restore will then delete all days before {floor}"
        in str(refused.value)
    )
    assert emptied.rows("select from pg_namespace where nspname = 'callmart_restoring'") == []
    with pytest.raises(UserError, match="the clock says"):
        restored(emptied, backed_up, accepted=today - timedelta(days=1))
    assert seen == []
    done = restored(emptied, backed_up, accepted=today)
    assert (seen, done.expired > 0) == ([[floor]], True)
    noted = emptied.rows("select details from ops.audit_log where action = 'clock accepted'")
    assert noted[-1]["details"]["accepted"] == str(today)
