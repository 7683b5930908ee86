"""An agent objects to being shown, and takes that back. One home, in which one agent after the other does."""

import io
import os
import shutil
import signal
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import tableauserverclient as TSC

from callmart.access import memberships
from callmart.audit import agents, channels, objectors, on_tableau
from callmart.audit.scene import scene_of
from callmart.base.person import Counts, Kind, Proof, Work
from callmart.base.progress import quietly
from callmart.database import ledger, ledger_files, server
from callmart.declarations import dbt_project
from callmart.land.places import Stored
from callmart.privacy import (
    disclosing,
    kept,
    lifting,
    objecting,
    places,
    procedure,
    replaying,
    subject,
    withdrawing,
)
from callmart.privacy.kept import Remembered
from callmart.privacy.package import sealing, shelf
from callmart.privacy.procedure import Steps
from callmart.publish import places as published
from callmart.registry.places import name_again
from callmart.reports import paper
from callmart_home import Callmart
from centre import DAYS, NAMED, agent_of, events
from emulated import custom_view
from erasures import CONTACT, LEAVER, PARTLY, STAYER, WITH_CONTACTS, agent_key, case, key_of, of
from home_settings import settings_of
from nights import Crash
from requests_of_persons import APPROVERS_PASSWORD, Commands, choose_password
from searching import files_with

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("unchecked", "trusted")]

OWN: list[tuple[Kind, str, str, str]] = [
    ("agent", LEAVER, "events", "raw.event"),
    ("recipient", "noor@example.org", "registry", "registry.recipient"),
]
HIDDEN = ("ring", "hold", "talk", "wrapup", "contacts_held", "transferred", "needed")


def object_to(work: Work, agent: str, request: int) -> dict[str, Counts]:
    treated: dict[str, Counts] = {}
    person = of(work, "agent", agent)
    objecting.do(case(work, person, request), Steps(on_place=treated.__setitem__))
    return treated


def lift(work: Work, agent: str, request: int) -> None:
    lifting.do(case(work, of(work, "agent", agent), request), Steps())


def left(work: Work, agent: str, request: int) -> dict[str, Counts]:
    proofs: dict[str, Proof] = {}
    objecting.prove(case(work, of(work, "agent", agent), request), proofs.__setitem__)
    assert set(proofs) == {place.name for place in places.PLACES}
    return {name: proof.left for name, proof in proofs.items() if proof.left}


def state(home: Callmart) -> dict[str, list[dict[str, Any]]]:
    """All rows of all marts."""
    return {
        mart.name: home.rows(f"select * from store.{mart.name} order by {', '.join(mart.key)}")
        for mart in dbt_project.marts(home.settings)
        if mart.group != "usage"
    }


def raw(home: Callmart) -> list[dict[str, Any]]:
    return home.rows("select * from raw.event order by customer_id, occurred_at, event_key, ordinal")


@pytest.fixture(scope="module")
def before(home: Callmart) -> dict[str, list[dict[str, Any]]]:
    """As everything was before anybody objected. Nothing that landed waits."""
    home.build_unchecked()
    return state(home)


def test_an_agent_who_objects_is_in_nothing_that_shows_agents(
    home: Callmart, work: Work, before: Any
) -> None:
    events_before = raw(home)
    plan = objecting.plan(case(work, of(work, "agent", LEAVER)))
    assert left(work, LEAVER, 1), "the control"
    assert state(home) == before, "a plan and a proof change nothing"
    treated = object_to(work, LEAVER, 1)
    page = home.home / "reports" / str(NAMED) / "planted.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("Noor Zandvliet")
    assert left(work, LEAVER, 1) == {"drawn reports": {"files": 1}}, (
        "the name, which the registry has no more"
    )
    page.unlink()
    assert left(work, LEAVER, 1) == {}
    assert not (home.home / "privacy" / "request-1").exists()
    assert treated["marts"]["mart.agent"] == plan.counts["marts"]["mart.agent"] == 1
    assert raw(home) == events_before, "what was landed is untouched"
    differences(before, state(home), plan.cells.known, agent_key(home, LEAVER))
    assert files_with(home.home / "postgres", {agent_key(home, LEAVER).encode()}), "the control"
    in_clear = {LEAVER.encode(), b"Noor Zandvliet"}
    assert files_with(home.home / "postgres", in_clear) == set(), (
        "an id can be a name; nor in freed pages, or the log"
    )
    words = in_clear | {agent_key(home, LEAVER).encode()}
    assert not {file for file in files_with(home.home, words) if file.startswith(("extracts", "emulator"))}


def differences(before: Any, after: Any, cells: Any, *keys: str) -> None:
    """Nothing differs but the agents' own rows, which are gone, and the cells in the plan. Where an agent worked, what
    agents did is hidden, and where one was a member, the staffing.
    """
    worked = {"hidden": set[Any](), "staffing": set[Any]()}
    for row in before["agent_queue_interval"]:
        if row["agent_key"] in keys:
            cell = row["customer_id"], row["queue"], row["call_date"]
            worked["hidden"] |= {cell} if row["contacts"] or row["rings"] else set()
            worked["staffing"] |= {cell} if row["member_s"] else set()
    assert all(worked.values()), "the control"
    planned = {
        change: {(NAMED, cell.queue, cell.call_date) for cell in cells if cell.change == change}
        for change in worked
    }
    for mart in ("queue_interval", "queue_day"):
        for one, other in zip(before[mart], after[mart], strict=True):
            cell = one["customer_id"], one["queue"], one["call_date"]
            columns = {
                "hidden": {name for name in one if name.startswith(HIDDEN)},
                "staffing": {"staffed_s"},
            }
            allowed = set[str]()
            for change, names in columns.items():
                if cell in worked[change]:
                    assert {name: other[name] for name in names} == dict.fromkeys(names), (change, cell)
                allowed |= names if cell in planned[change] else set()
            assert {name for name in one if one[name] != other[name]} <= allowed
    for mart in before.keys() - {"queue_interval", "queue_day"}:
        assert [row for row in before[mart] if row.get("agent_key") not in keys] == after[mart]


def test_who_objects_and_gets_reports_goes_on_getting_them_and_gets_the_own_data(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account and a mail are no report. Whoever asks for the own data gets all of it, and nobody else's."""
    recipients = home.rows("select email, reports from registry.recipient where customer_id = %s", NAMED)
    assert {"email": "Noor@Example.org", "reports": ["agents"]} in recipients
    assert published.Members().find(work, of(work, "recipient", "noor@example.org"))["users"] == 1
    monkeypatch.setattr(paper, "typeset", lambda *_, **__: b"")
    work.seal = sealing.Seal("to a public key", lambda content: content)
    for request, (kind, word, place, table) in enumerate(OWN, 8):
        about = case(work, of(work, kind, word), request)
        plan = disclosing.plan(about)
        disclosing.do(about, Steps())
        proofs: dict[str, Proof] = {}
        disclosing.prove(about, proofs.__setitem__)
        assert not any(proof.left for proof in proofs.values())
        assert plan.counts[place][table], table
    shutil.rmtree(shelf.folder(home.settings))
    assert left(work, LEAVER, 1) == {}, "who was asked about is left out as before"


def test_a_registry_file_brings_the_name_back_only_when_it_is_taken_back(
    home: Callmart, work: Work, before: Any
) -> None:
    names = "select agent, name, email from registry.agent where customer_id = %s and agent_key = %s"
    key = agent_key(home, LEAVER)
    version = "select max(version) as n from registry.version"
    home.apply(WITH_CONTACTS)
    versions = home.rows(version)
    home.apply(WITH_CONTACTS)
    assert home.rows(version) == versions, "the file looks applied"
    assert home.rows(names, NAMED, key) == [{"agent": None, "name": None, "email": None}]
    with work.connection.transaction(force_rollback=True):
        work.connection.execute("update registry.agent set name = %s where agent = %s", [LEAVER, STAYER])
        entered = subject.normalised(work.connection, NAMED, key_of(work), "agent", LEAVER)
        assert entered == LEAVER, "an id, which is known by its key, although another one is called so"
    person = of(work, "agent", LEAVER)
    with work.connection.transaction(force_rollback=True):
        work.connection.execute("update registry.agent set agent = null where agent = %s", [STAYER])
        name_again(work.connection, replace(person, words=person.words | {STAYER}), key_of(work))
        ids = "select agent from registry.agent where customer_id = %s and agent_key = any(%s)"
        found = work.connection.execute(ids, [NAMED, [key, agent_key(home, STAYER)]]).fetchall()
        assert set(found) == {(LEAVER,), (None,)}, "who is called like another one's id"
    lift(work, LEAVER, 2)
    assert home.rows(names, NAMED, key) == [{"agent": LEAVER, "name": None, "email": None}], (
        "as it was entered"
    )
    home.apply(WITH_CONTACTS)
    (home.home / "registry.yml").unlink()
    assert home.rows(names, NAMED, key) == [
        {"agent": LEAVER, "name": "Noor Zandvliet", "email": "noor@example.org"}
    ]
    assert state(home) == before, "everything is as before"
    assert lifting.plan(case(work, of(work, "agent", LEAVER))).counts["marts"]["agents"] == 1
    assert not any(lifting.plan(case(work, of(work, "agent", STAYER))).counts.values()), "left out of nothing"


# -- whatever comes between ------------------------------------------------------------------------------------------


def die_after(home: Path, place: str, agent: str, request: int, module: str) -> None:
    settings = settings_of(home)

    def killed(name: str, _: Counts) -> None:
        if name == place:
            os.kill(os.getpid(), signal.SIGKILL)

    procedures: Any = {"objecting": objecting, "withdrawing": withdrawing}
    with server.connect(settings) as connection, procedure.working(connection, settings) as work:
        person = of(work, "agent", agent)
        procedures[module].do(case(work, person, request), Steps(on_place=killed))


def shown(home: Callmart, agent: str) -> int:
    """How many rows of marts are the agent's."""
    key = agent_key(home, agent)
    marts = [mart.name for mart in dbt_project.marts(home.settings) if "agent_key" in mart.columns]
    return sum(len(home.rows(f"select from store.{name} where agent_key = %s", key)) for name in marts)


def test_killed_in_the_middle_it_comes_to_the_same_end(home: Callmart, work: Work) -> None:
    work.connection.commit()
    home.kill(die_after, "marts", PARTLY, 3, "objecting")
    (entries,) = home.rows("select count(*) as n from privacy.ledger_entry where request = 3")
    object_to(work, PARTLY, 3)
    assert left(work, PARTLY, 3) == {} and shown(home, PARTLY) == 0
    own = [
        one
        for one in ledger_files.read(ledger_files.in_home(home.settings)).entries
        if one.body and one.body.request == 3
    ]
    assert entries["n"] == len(own) == 1


def test_what_an_attempt_kept_that_left_nobody_out_does_not_count(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it was planned again with more ids."""
    one, both = of(work, "agent", "nobody/1"), of(work, "agent", "nobody/1", "nobody/2")

    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", crash)
        for person in (one, both):
            with pytest.raises(Crash):
                objecting.do(case(work, person, 12), Steps())
            work.connection.rollback()
    assert kept.recall(case(work, both, 12)) == Remembered.of(both, Stored())
    kept.forget(home.home, 12)


def test_what_comes_later_is_left_out_and_counts_in_queues(home: Callmart, work: Work) -> None:
    today = DAYS[-1] + timedelta(days=1)
    file = home.home / "later.parquet"
    pyarrow.parquet.write_table(events(NAMED, [today], seed=5), file)
    assert home.land(file).landed
    file.unlink()
    home.build_unchecked()
    later = home.rows("select agent_key from store.agent_contact where call_date = %s", today)
    assert later and agent_key(home, PARTLY) not in {row["agent_key"] for row in later}
    known = {row["agent_key"]: row for row in home.rows("select * from registry.agent")}
    assert known[agent_key(home, PARTLY)]["agent"] is None, "the id does not come back"
    assert known[agent_key(home, PARTLY)]["last_day"] == today
    (joined,) = home.rows(
        "select count(*) as n from raw.event where customer_id = %s and event = 'queue_joined'"
        " and occurred_at >= (%s::date)::timestamp at time zone 'Europe/Amsterdam'",
        NAMED, today,
    )  # fmt: skip
    (counted,) = home.rows(
        "select sum(offered) as n from store.queue_interval where customer_id = %s and call_date = %s",
        NAMED,
        today,
    )
    assert counted["n"] == joined["n"]


def test_the_audit_finds_who_is_shown_and_objects(home: Callmart, work: Work) -> None:
    scene = scene_of(work.connection, home.settings)
    words = agents.in_extracts(home.settings, scene)

    def outcomes() -> list[str]:
        return [
            objectors.of_marts(work.connection).outcome,
            objectors.of_files(work.connection, "extracts", words).outcome,
        ]

    assert outcomes() == ["holds", "holds"]
    with work.connection.transaction(force_rollback=True):
        objectors.plant(work.connection)
        assert outcomes() == ["BREACH", "BREACH"]


def test_the_audit_finds_who_objects_in_all_that_tableau_gives_back(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = channels.board(work.connection, scene_of(work.connection, home.settings))
    there = on_tableau.look(work.connection, home.settings, work.tableau, board, quietly)
    assert [one.outcome for one in there.checks if one.name.startswith(objectors.NAME)] == ["holds"]

    def outcomes() -> list[str]:
        """Of our data sources, and of everything."""
        return [
            objectors.of_files(work.connection, "Tableau", there.words).outcome,
            objectors.of_sites(work.connection, home.settings, work.tableau).outcome,
        ]

    planted = objectors.plant(work.connection)
    work.connection.commit()
    assert outcomes() == ["BREACH", "BREACH"], "the control"
    for table in ("tombstone", "ledger_entry"):
        work.connection.execute(f"delete from privacy.{table} where entry = %s".encode(), [planted])
    work.connection.commit()
    tableau = work.tableau()
    workbook = next(item for item in TSC.Pager(tableau.workbooks) if "Voorbeeld" in item.project_name)
    view = custom_view(workbook, tableau.users.get_by_id(tableau.user_id), "mine")
    label = f"agent-{agent_key(home, PARTLY)[:10]}"
    view = tableau.custom_views.publish(view, io.BytesIO(f'{{"filter": "{label}"}}'.encode()))
    assert outcomes() == ["holds", "BREACH"], "somebody has saved a view of this agent alone"
    tableau.custom_views.delete(view.id)
    monkeypatch.setattr(published.Content, "prove", lambda *_: Proof(Counts(), Counts()))
    assert outcomes() == ["holds", "NOTHING TO LOOK AT"]


def test_a_database_that_lost_it_is_closed_until_it_is_left_out_again(home: Callmart, work: Work) -> None:
    with work.connection.transaction():
        work.connection.execute("delete from privacy.tombstone where kind = 'objector'")
        work.connection.execute("delete from privacy.ledger_entry where request = 3")
        work.connection.execute(
            "insert into store.agent (customer_id, agent_key, agent) values (%s, %s, 'back')",
            [NAMED, agent_key(home, PARTLY)],
        )
    assert shown(home, PARTLY) == 1, "as in an older database"
    assert ledger.compare(work.connection, home.settings).differing == {NAMED}
    done = replaying.replay(work.connection, home.settings, partial(replaying.erase, work))
    memberships.sync(work.connection, home.settings)
    assert replaying.follow(work, done.changed) == []
    assert (done.customers, done.persons, done.objectors) == ((NAMED,), 0, 2)
    assert shown(home, PARTLY) == 0 and left(work, PARTLY, 3) == {}
    assert shown(home, LEAVER), "who took it back is shown"


def test_withdrawn_consent_erases_and_leaves_out_what_comes(home: Callmart, work: Work) -> None:
    """The agent still works. Still nothing that shows agents may have the name."""
    name = "Sam Stavast"
    home.rows("update registry.agent set name = %s where agent = %s returning 1", name, STAYER)
    person = of(work, "agent", STAYER)
    tableau = work.tableau()
    workbook = next(item for item in TSC.Pager(tableau.workbooks) if "Voorbeeld" in item.project_name)
    view = custom_view(workbook, tableau.users.get_by_id(tableau.user_id), "mine")
    tableau.custom_views.publish(view, io.BytesIO(f'{{"filter": "{name}"}}'.encode()))
    plan = withdrawing.plan(case(work, person, 4))
    assert plan.counts["tableau content"]["custom views of others"] == 1
    assert plan.counts["registry"] == {"registry.agent": 1}
    work.connection.commit()
    home.kill(die_after, "registry", STAYER, 4, "withdrawing")
    withdrawing.do(case(work, of(work, "agent", STAYER), 4), Steps())

    def left_of_it() -> dict[str, Counts]:
        proofs: dict[str, Proof] = {}
        withdrawing.prove(case(work, of(work, "agent", STAYER), 4), proofs.__setitem__)
        assert set(proofs) == {place.name for place in places.PLACES}
        return {name: proof.left for name, proof in proofs.items() if proof.left}

    page = home.home / "reports" / str(NAMED) / "planted.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(name)
    assert left_of_it() == {"drawn reports": {"files": 1}}
    page.unlink()
    assert left_of_it() == {}, "the name was not forgotten before"
    assert not (home.home / "privacy" / "request-4").exists()
    before = (person.until, agent_key(home, STAYER))
    assert not home.rows("select from raw.event where occurred_at < %s and agent_key = %s", *before)
    assert home.rows("select from raw.event where agent_key = %s", before[1]), "what came later"
    assert shown(home, STAYER) == 0, "is left out"


@pytest.mark.thorough
def test_by_the_commands_from_the_letter_to_the_answer(
    home: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choose_password(home)
    command = Commands(home, monkeypatch, capsys)
    fourth = agent_of(NAMED, 4)
    number = command.approved(NAMED, CONTACT, "restriction", "agent", fourth, "", plan=())
    assert "beperking" in command.done(number, fourth, "") and shown(home, fourth) == 0
    assert command("privacy", "close", number)[0] == 0
    code, said = command("privacy", "status")
    assert code == 0 and "restriction" in said
    number = command.approved(NAMED, CONTACT, "lifting", "agent", fourth, "", plan=())
    code, said = command("privacy", "plan", number, lines=(fourth, ""))
    assert code == 0 and "what agents did is shown again" in said and "no longer" not in said
    assert command("privacy", "approve", number, lines=(APPROVERS_PASSWORD, "y"))[0] == 0
    assert "opheffing" in command.done(number, fourth, "") and shown(home, fourth)
