"""A restored backup is older than the ledger: who was erased since is erased again before anybody can log in."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from backups import PASSPHRASE, back_up, logins, restored, tables_with, with_ledger_copy
from callmart.backup import contents, manifest, restore
from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.person import Work
from callmart.base.settings import Privacy, Settings
from callmart.database import chain, ledger, ledger_files, schema
from callmart.database.chain import Chain
from callmart.operations import doctor, health
from callmart.privacy import objecting, register, replaying
from callmart.privacy.correcting import Correction
from callmart.privacy.procedure import Case
from callmart_home import Callmart
from centre import DAYS, NAMED, REGISTRY, agent_of
from commands import command_of
from erasing import erase, key_of, person
from events import AMSTERDAM
from searching import files_with
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

MIDNIGHT = datetime.combine(TODAY, time(), AMSTERDAM)
MIDDLE = datetime.combine(DAYS[1], time(), AMSTERDAM)
AGENT, OBJECTOR, MISTAKEN, LIFTED = (agent_of(NAMED, number) for number in range(1, 5))
OBJECTORS_NAME = "Bezwaar Makend"
WRONG, NAME = "Fout Gespeld", "Goed Gespeld"
NAMES = REGISTRY.replace(
    "    agents: [",
    f"    agents: [{{id: {MISTAKEN}, name: {WRONG}}}, {{id: {OBJECTOR}, name: {OBJECTORS_NAME}}}, ",
    1,
)
MakeCallmart = Callable[..., Callmart]


@pytest.fixture(scope="module")
def old(played: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """A home whose ledger has a copy. Nobody was erased yet."""
    return with_ledger_copy(played, tmp_path_factory.mktemp("volume"))


@pytest.fixture(scope="module")
def backed_up(old: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup. After it an agent was erased, another has objected, one who had objected is shown again, and gets the
    events that seemed to be another's.
    """
    folder = tmp_path_factory.mktemp("backups") / "first"
    old.apply(NAMES)
    note(old, LIFTED, 1, "objection")
    made = back_up(old, folder)
    assert made.ledger is not None and (made.ledger.entry, made.ledger.has_copy) == (1, True)
    assert "privacy.tombstone" in made.tables and "privacy.closed" not in made.tables
    erase(old, person(old, NAMED, "agent", AGENT, MIDNIGHT))
    note(old, OBJECTOR, 3, "objection")
    note(old, LIFTED, 4, "lifting")
    with old.connect() as connection:
        about = case(old, connection, MISTAKEN, MIDDLE + timedelta(days=1), 5)
        Correction(key(old, LIFTED), MIDDLE)._note(about)
    return folder


def case(old: Callmart, connection: psycopg.Connection, agent: str, until: datetime, request: int) -> Case:
    who = person(old, NAMED, "agent", agent, until)
    return Case(Work(connection, old.settings, lambda: None), who, key_of(old, NAMED), request)


def note(old: Callmart, agent: str, request: int, right: ledger.Act) -> None:
    """Let the ledger say that an agent is left out or shown. Nothing is built."""
    with old.connect() as connection:
        objecting.note(case(old, connection, agent, MIDNIGHT, request), right)


def empty(make_callmart: MakeCallmart, like: Callmart, **settings: Any) -> Callmart:
    update = {"home": make_callmart().home} | settings
    return Callmart(like.settings.model_copy(update=update))


def key(callmart: Callmart, agent: str = AGENT) -> str:
    return keyed(key_of(callmart, NAMED), "agent", agent)


@pytest.fixture(scope="module")
def new(make_callmart: MakeCallmart, old: Callmart, backed_up: Path) -> Callmart:
    """Another home, restored by the command."""
    callmart = empty(make_callmart, old)
    done = command_of(callmart.home)(
        "restore", str(backed_up),
        CALLMART_BACKUP_PASSPHRASE=PASSPHRASE,
        CALLMART_PRIVACY__LEDGER_COPY=str(old.settings.privacy.ledger_copy),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "what was erased since the backup is erased again, of 1 person" in done.stdout
    return callmart


def test_who_was_erased_since_the_backup_is_gone(old: Callmart, new: Callmart) -> None:
    # The control: there nothing was built since.
    assert {"store.agent", "store.agent_day"} <= tables_with(old, key(old))
    assert key(new) == key(old)
    assert tables_with(new, key(new)) == set()
    assert new.rows("select count(*) as n from raw.event where customer_id = %s", NAMED)[0]["n"] > 0
    assert ledger_files.in_home(new.settings).read_bytes() == ledger_files.in_home(old.settings).read_bytes()
    with new.connect() as connection:
        assert ledger.compare(connection, new.settings) == ledger.Comparison()
    assert f"callmart_customer_{NAMED}" in logins(new)
    (entry,) = new.rows("select details from ops.audit_log where action = 'restored'")
    assert entry["details"]["erased again"] == 1


def test_what_was_deleted_is_in_no_file_of_the_restored_home(new: Callmart) -> None:
    """Neither in freed pages nor in the write-ahead log: who was erased since the backup, and who objected by name."""
    of_erased = {AGENT.encode(), b"Noor Zandvliet", b"noor@example.org", key(new).encode()}
    assert files_with(new.home, of_erased | {OBJECTORS_NAME.encode()}) == set()
    assert files_with(new.home, {key(new, OBJECTOR).encode()}), "the control: those events stay"


def test_the_next_build_computes_the_days_without_the_person(new: Callmart) -> None:
    hidden = {
        row["call_date"] for row in new.rows("select call_date from ops.dirty_day where cause = 'person'")
    }
    assert hidden
    assert not new.rows(
        "select from store.queue_day where customer_id = %s and call_date = any(%s)", NAMED, list(hidden)
    )
    new.build_unchecked()
    rows = new.rows(
        "select distinct call_date from store.queue_day where customer_id = %s and call_date = any(%s)",
        NAMED,
        list(hidden),
    )
    assert {row["call_date"] for row in rows} == hidden
    assert tables_with(new, key(new)) == set()
    assert len(new.rows("select from store.agent where customer_id = %s", NAMED)) == 2


def test_who_objected_since_the_backup_is_left_out_again(old: Callmart, new: Callmart) -> None:
    assert "store.agent_day" in tables_with(old, key(old, OBJECTOR)), (
        "the control: there nothing was built since"
    )
    assert tables_with(new, key(new, OBJECTOR)) == {"raw.event", "registry.agent"}
    assert new.rows("select name from registry.agent where agent_key = %s", key(new, OBJECTOR)) == [
        {"name": None}
    ]


def test_what_was_corrected_since_the_backup_is_corrected_again(new: Callmart) -> None:
    """Also what is shown: until the next build nobody sees the mistake."""
    seemed = "select from {} where customer_id = %s and agent_key = %s and {}"
    of_day = "occurred_at >= %s and occurred_at < %s"
    parameters = (NAMED, key(new, MISTAKEN), MIDDLE, MIDDLE + timedelta(days=1))
    assert new.rows(seemed.format("raw.event", of_day), *parameters) == []
    assert new.rows(seemed.format("raw.event", f"not ({of_day})"), *parameters), "the control"
    with new.connect() as connection:
        assert [one.request for one in register.corrections(connection)] == [5]


def test_who_is_shown_again_since_the_backup_is_shown(new: Callmart) -> None:
    days = new.rows("select distinct call_date from store.agent_day where agent_key = %s", key(new, LIFTED))
    assert {row["call_date"] for row in days} == set(DAYS)


def test_a_name_that_was_corrected_since_the_backup_comes_with_the_registry_file(new: Callmart) -> None:
    assert tables_with(new, WRONG) == {"registry.agent", "store.agent"}, "as the runbook says: apply it"
    new.apply(
        NAMES.replace(f"{{id: {AGENT}, name: Noor Zandvliet, email: noor@example.org}}", "").replace(
            WRONG, NAME
        )
    )
    new.build_unchecked()
    assert tables_with(new, WRONG) == set()
    assert tables_with(new, NAME) == {"registry.agent", "store.agent"}


def test_a_backup_from_before_an_upgrade_names_its_ledger(old: Callmart, tmp_path: Path) -> None:
    """Else a copy that ends earlier would be taken, and whoever was erased since would be back."""
    with old.connect() as connection:
        connection.execute("delete from access.applied")  # an upgrade is due
        connection.commit()
        try:
            made = back_up(old, tmp_path / "b")
        finally:
            schema.note(connection, old.settings.time_zone)
            connection.commit()
        assert made.callmart.startswith("before ")
        assert made.ledger == contents.ledger(connection) is not None


def test_a_home_without_a_copy_is_told_so_once_somebody_was_erased(old: Callmart, backed_up: Path) -> None:
    alone = old.settings.model_copy(update={"privacy": Privacy()})

    def said(settings: Settings) -> tuple[bool, str]:
        checks = {check.name: check.outcome for check in doctor.checks(lambda: settings)}
        return "ledger_copy" in {one.kind for one in health.look(settings).troubles}, checks["privacy"]

    assert (said(old.settings), said(alone)) == ((False, "ok"), (True, "wrong"))


def test_a_copy_that_could_not_be_made_is_a_problem_of_the_run_and_a_trouble(
    old: Callmart, backed_up: Path, tmp_path: Path
) -> None:
    """As where a service may not write there. Nobody is closed for that."""
    wanted = tmp_path / "not mounted" / "ledger"
    settings = old.settings.model_copy(update={"privacy": Privacy(ledger_copy=wanted)})
    with old.connect() as connection:
        connection.execute("update privacy.ledger set has_copy = false")
        (problem,) = ledger.close(connection, settings)
        (trouble,) = health._of_ledger(connection, settings)
        assert ledger.closed(connection) == set()
        wanted.parent.mkdir()
        assert ledger.close(connection, settings) == []
        assert list(health._of_ledger(connection, settings)) == []
        connection.rollback()
    assert problem.startswith(f"the privacy ledger {wanted} can't be written (FileNotFoundError")
    assert (trouble.kind, trouble.customer_id) == ("ledger_copy", None)
    assert trouble.what.startswith(
        f"somebody was erased, and the second copy of the privacy ledger, {wanted},"
    )


# -- without the ledger ----------------------------------------------------------------------------------------------


def of_ledger(opened: restore.Opened, known: manifest.Ledger | None) -> restore.Opened:
    """The backup, if its manifest named this ledger."""
    return replace(opened, manifest=opened.manifest.model_copy(update={"ledger": known}))


def another(known: Chain) -> Chain:
    """Another installation's ledger, of which the same was erased."""
    begun = Chain(chain.new_ledger())
    body = known.entries[0].body
    assert body is not None
    return replace(begun, entries=(begun.followed_by(body),))


WITHOUT: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda text: None,
    "another one": lambda text: another(chain.parse(text)).text(),
    "damaged": lambda text: text[:-30] + text[-20:],
    "its end missing": lambda text: chain.header(chain.parse(text).ledger),
}


@pytest.mark.parametrize("what", WITHOUT)
@pytest.mark.parametrize("where", ["copy", "home"])
def test_without_the_right_ledger_nothing_is_restored(
    old: Callmart, backed_up: Path, tmp_path: Path, what: str, where: str
) -> None:
    """Without a copy, the ledger that somebody has put into the home is needed."""
    written = ledger_files.in_home(old.settings).read_bytes()
    privacy = Privacy(ledger_copy=tmp_path / "ledger" if where == "copy" else None)
    settings = old.settings.model_copy(update={"home": tmp_path / "home", "privacy": privacy})
    path = ledger_files.both(settings)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    if (text := WITHOUT[what](written)) is not None:
        path.write_bytes(text)
    known = manifest.Ledger(id=chain.parse(written).ledger, entry=1, has_copy=where == "copy")
    opened = of_ledger(restore.open_backup(backed_up, settings), known)
    with pytest.raises(UserError, match="ledger"):
        restore._require_ledger(settings, opened, None)
    restore._require_ledger(settings, opened, "site-lost")
    path.write_bytes(written)
    restore._require_ledger(settings, opened, None)


@pytest.mark.parametrize("where", ["copy", "home"])
def test_a_backup_that_knows_no_ledger_needs_one_as_well(
    old: Callmart, backed_up: Path, tmp_path: Path, where: str
) -> None:
    """Somebody may have been erased after it. So a copy that was never set, or a wrong path, is not silent."""
    privacy = Privacy(ledger_copy=tmp_path / "none" / "ledger" if where == "copy" else None)
    settings = old.settings.model_copy(update={"home": tmp_path / "home", "privacy": privacy})
    opened = of_ledger(restore.open_backup(backed_up, settings), None)
    with pytest.raises(
        UserError, match=r"nothing was restored: there is no .*ledger.*`--ledger-lost`, one of"
    ):
        restore._require_ledger(settings, opened, None)
    restore._require_ledger(settings, opened, "never-copied")


def test_with_a_server_elsewhere_the_copy_is_needed(old: Callmart, backed_up: Path) -> None:
    """The ledger in the home may be older than the copy."""
    settings = old.settings.model_copy(update={"privacy": Privacy(), "dsn": SecretStr("postgresql://x")})
    with pytest.raises(UserError, match=r"privacy\.ledger_copy is missing"):
        restore._require_ledger(settings, restore.open_backup(backed_up, settings), None)


def test_a_lost_ledger_is_an_incident(
    make_callmart: MakeCallmart, old: Callmart, new: Callmart, backed_up: Path, tmp_path: Path
) -> None:
    """Only what the backup knows is known again."""
    callmart = empty(make_callmart, old, privacy=Privacy(ledger_copy=tmp_path / "ledger"))
    with pytest.raises(UserError, match="nothing was restored"):
        restored(callmart, backed_up)
    assert not (callmart.home / "keys").exists()
    restored(callmart, backed_up, lost="site-lost")
    assert (tmp_path / "ledger").read_bytes() == ledger_files.in_home(callmart.settings).read_bytes()
    assert "raw.event" in tables_with(callmart, key(callmart))
    (incident,) = callmart.rows("select details from ops.audit_log where action = 'ledger lost'")
    assert incident["details"] == {"reason": "site-lost"}
    told = [str(one) for one in health.look(callmart.settings).troubles if one.kind == "ledger_lost"]
    assert len(told) == 1 and "erase again who was erased since the backup" in told[0]


@pytest.mark.thorough
def test_a_kill_in_the_middle_begins_anew(
    make_callmart: MakeCallmart, old: Callmart, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callmart = empty(make_callmart, old)

    def crash(work: Any, who: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replaying, "erase_restored", crash)
        with pytest.raises(KeyboardInterrupt):
            restored(callmart, backed_up)
    assert not [role for role in logins(callmart) if "customer" in role]
    assert restored(callmart, backed_up).erased == 1
    assert tables_with(callmart, key(callmart)) == set()
