"""Events that seemed to be of one agent are another's: the marts are as if they had landed so, and stay so.

One home. A twin has the events as they should be. What comes afterwards is in test_journey.py.
"""

import os
import signal
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from callmart.base.errors import UserError
from callmart.base.keys import key_file, keyed
from callmart.base.needles import Needles
from callmart.base.person import Counts, Person, Proof, Work
from callmart.base.progress import quietly
from callmart.database import ledger_files, server
from callmart.land.corrected import Corrected
from callmart.land.places import Events
from callmart.privacy import persons, places, procedure, register, server_files
from callmart.privacy.correcting import Correction
from callmart.privacy.procedure import Case, Steps
from callmart_home import Callmart
from centre import DAYS, agent_of, events
from home_settings import settings_of
from landed import change_registry
from requests_of_persons import APPROVERS_PASSWORD, Commands, choose_password
from today import TODAY
from twins import ONE, TWIN, given, of_customer, parquet

pytestmark = [pytest.mark.dated, pytest.mark.server, pytest.mark.usefixtures("unchecked", "trusted")]

MISTAKEN, RIGHT, OTHER = (agent_of(ONE, number) for number in (1, 2, 3))
LAST = DAYS[-1] + timedelta(days=1)  # today
CONTACT, WRONG, NAME = "piet@een.example", "Fout Gespeld", "Goed Gespeld"
REGISTRY = "customers:\n" + "".join(
    f"""
  - id: {number}
    name: C{number}
    contracts: [{{option: detailed, from: 2020-01-01}}]
    agents: [{{id: {MISTAKEN}, name: {WRONG}}}]
    contacts: [{{name: Piet, email: {CONTACT}, authorised: true}}]
"""
    for number in (ONE, TWIN)
)


def key_of(callmart: Callmart | Work, customer: int = ONE) -> bytes:
    return key_file(callmart.settings.home, customer).read_bytes()


def of(work: Work, agent: str, day: date) -> Person:
    found = persons.person(
        work.connection, key_of(work), ONE, "agent", [agent], persons.end_of(work.connection, ONE, day)
    )
    work.connection.commit()
    return found


def case(work: Work, person: Person, request: int = 1) -> Case:
    return Case(work, person, key_of(work), request)


def correction(work: Work, day: date, right: str = RIGHT) -> Correction:
    since = persons.end_of(work.connection, ONE, day - timedelta(days=1))
    work.connection.commit()
    return Correction(keyed(key_of(work), "agent", right), since)


def correct(work: Work, request: int, on_place: Any = quietly) -> None:
    person = of(work, MISTAKEN, DAYS[1])
    correction(work, DAYS[1]).do(case(work, person, request), Steps(on_place=on_place))


def left(work: Work, request: int) -> dict[str, Counts]:
    proofs: dict[str, Proof] = {}
    person = of(work, MISTAKEN, DAYS[1])
    correction(work, DAYS[1]).prove(case(work, person, request), proofs.__setitem__)
    assert set(proofs) == {place.name for place in places.PLACES}
    return {name: proof.left for name, proof in proofs.items() if proof.left}


@pytest.fixture(scope="module")
def home(callmart: Callmart) -> Callmart:
    """On the middle day everything that seems to be MISTAKEN's is RIGHT's."""
    told = events(ONE, DAYS)
    callmart.apply(REGISTRY)
    callmart.land(parquet(callmart, told, "one.parquet"))
    callmart.land(parquet(callmart, of_customer(given(told, DAYS[1], MISTAKEN, RIGHT), TWIN), "twin.parquet"))
    callmart.build_unchecked()
    (callmart.home / "registry.yml").unlink()
    return callmart


@pytest.fixture
def landed(home: Callmart) -> Path:
    return home.home.with_name(f"{home.home.name}.one.parquet")


@pytest.fixture
def work(home: Callmart) -> Any:
    with home.connect() as connection, procedure.working(connection, home.settings) as work:
        yield work


def raw(home: Callmart) -> list[dict[str, Any]]:
    return home.rows(
        "select occurred_at, event_key, ordinal, agent_key, target_key from raw.event where customer_id = %s"
        " order by 1, 2, 3",
        ONE,
    )


def die_after_events(home: Path) -> None:
    settings = settings_of(home)

    def killed(place: str, _: Counts) -> None:
        if place == Events.name:
            os.kill(os.getpid(), signal.SIGKILL)

    with server.connect(settings) as connection, procedure.working(connection, settings) as work:
        correct(work, 1, killed)


def test_a_plan_counts_and_refuses_what_can_not_be(home: Callmart, work: Work) -> None:
    person = of(work, MISTAKEN, DAYS[1])
    about = case(work, person)
    plan = correction(work, DAYS[1]).plan(about)
    assert plan.counts["events"]["events in calls"] and plan.counts["events"]["events outside calls"]
    assert plan.hash == correction(work, DAYS[1]).plan(about).hash
    assert plan.hash != correction(work, DAYS[1], OTHER).plan(about).hash
    for wrong, why in [
        (correction(work, DAYS[1], MISTAKEN), "both are the same agent"),
        (correction(work, DAYS[2] + timedelta(days=1)), "lies after the last one"),
    ]:
        with pytest.raises(UserError, match=why):
            wrong.plan(about)
    planned = correction(work, DAYS[1])
    with work.connection.transaction(force_rollback=True):
        planned.correct(work, person)
        marked = work.connection.execute(
            "select call_date from ops.dirty_day where cause = 'person'"
        ).fetchall()
        assert {day for (day,) in marked} == set(DAYS)
    assert home.told(ONE) != home.told(TWIN), "the control"


def test_killed_in_the_middle_the_marts_are_as_if_it_had_landed_so(home: Callmart, work: Work) -> None:
    assert left(work, 1), "the control"
    keys = [(row["event_key"], row["ordinal"]) for row in raw(home)]
    work.connection.commit()
    home.kill(die_after_events)
    correct(work, 1)
    assert left(work, 1) == {}
    assert [(row["event_key"], row["ordinal"]) for row in raw(home)] == keys
    assert home.told(ONE) == home.told(TWIN)
    assert len(ledger_files.read(ledger_files.in_home(home.settings)).entries) == 1
    (found,) = register.corrections(work.connection)
    shown = [keyed(key_of(work), "agent", agent)[:6] for agent in (MISTAKEN, RIGHT)]
    assert [found.mistaken, found.corrected] == shown
    with pytest.raises(UserError, match="another correction is about one of these agents"):
        correction(work, DAYS[0]).plan(case(work, of(work, OTHER, DAYS[2])))


def late(home: Callmart, agent: str, day: date) -> Path:
    """A status that had not landed yet."""
    told = events(ONE, [day], seed=7)
    own = told.filter(pc.and_(pc.equal(told["event"], "agent_status"), pc.equal(told["agent"], agent)))
    return parquet(home, own.slice(0, 2), "late.parquet")


def test_nothing_that_lands_brings_the_mistake_back(home: Callmart, work: Work, landed: Path) -> None:
    before, key = raw(home), keyed(key_of(work), "agent", MISTAKEN)
    change_registry(home, ONE)
    again = home.land(landed)
    assert (again.landed, raw(home)) == (0, before)
    came = home.land(late(home, MISTAKEN, DAYS[1]))
    assert came.landed == 2
    added = [row for row in raw(home) if row not in before]
    assert {row["agent_key"] for row in added} == {keyed(key_of(work), "agent", RIGHT)}
    assert "events" not in left(work, 1)
    outside = home.land(late(home, MISTAKEN, DAYS[2]))
    assert outside.landed == 2
    newest = [row for row in raw(home) if row not in before and row not in added]
    assert {row["agent_key"] for row in newest} == {key}, "on another day they are that agent's"


def test_the_server_refuses_what_the_loader_did_not_correct(
    home: Callmart, landed: Path, monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    change_registry(home, ONE)
    monkeypatch.setattr(Corrected, "_found_in", lambda self, events: [])
    with pytest.raises(UserError, match="brings a mistake back that was corrected"):
        home.land(landed)


def days_of(home: Callmart, agent: str) -> set[date]:
    key = keyed(key_of(home), "agent", agent)
    tables = ("agent_interval", "agent_day", "agent_contact", "agent_session", "agent_status_interval")
    return {
        row["call_date"]
        for table in tables
        for row in home.rows(
            f"select call_date from store.{table} where customer_id = %s and agent_key = %s", ONE, key
        )
    }


# -- by the commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def command(home: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    choose_password(home)
    return Commands(home, monkeypatch, capsys)


def test_by_the_commands_events_get_their_agent(home: Callmart, command: Commands) -> None:
    words = (OTHER, "", MISTAKEN, str(DAYS[0]))
    plan = ("--until", str(DAYS[0]))
    number = command.approved(ONE, CONTACT, "rectification", "agent", *words, plan=plan)
    code, said = command("privacy", "plan", number, *plan, lines=words)
    assert code == 0 and "staffing and what agents did can change" in said and "no figure" not in said
    assert command("privacy", "approve", number, lines=(APPROVERS_PASSWORD, "y"))[0] == 0
    code, said = command("privacy", "do", number, lines=(OTHER, "", RIGHT, str(DAYS[0])))
    assert code == 2 and "the data has changed" in said, "another agent than was approved"
    assert DAYS[0] in days_of(home, OTHER)
    letter = command.done(number, *words)
    day = f"{DAYS[0].day}-{DAYS[0].month}-{DAYS[0].year}"
    assert f"van {day} tot en met {day}" in letter and "telefooncentrale" in letter and OTHER not in letter
    assert days_of(home, OTHER) == {DAYS[1], DAYS[2]}
    code, said = command("privacy", "corrections")
    key = key_of(home)
    assert code == 0 and said.count("\n") == 4, said
    for agent in (OTHER, MISTAKEN):
        assert keyed(key, "agent", agent)[:6] in said and agent not in said


def test_what_a_restored_register_asks_for_again_comes_to_an_end(
    home: Callmart, work: Work, command: Commands, landed: Path
) -> None:
    """The correction was made after the backup, so the register does not know it, and the ledger does."""
    words, plan = (OTHER, "", MISTAKEN, str(DAYS[0])), ("--until", str(DAYS[0]))
    (before,) = home.rows("select count(*) from privacy.correction")
    number = command.approved(ONE, CONTACT, "rectification", "agent", *words, plan=plan)
    assert "niets te verbeteren" not in " ".join(command.done(number, *words).split())
    assert home.rows("select count(*) from privacy.correction") == [{"count": before["count"] + 1}]
    told = raw(home)
    with work.connection.transaction():
        work.connection.execute("select registry.read_again(customer_id) from registry.customer")
    assert home.land(landed).landed == 0 and raw(home) == told
    with pytest.raises(UserError, match="another correction is about one of these agents"):
        correction(work, DAYS[0], RIGHT).plan(case(work, of(work, OTHER, DAYS[0])))


def test_by_the_commands_a_name_is_corrected_through_the_registry(home: Callmart, command: Commands) -> None:
    number = command.approved(ONE, CONTACT, "rectification", "agent", MISTAKEN, "", "", plan=())
    words, registry = (MISTAKEN, "", ""), home.home / "registry.yml"
    code, said = command("privacy", "do", number, lines=words)
    assert code == 2 and f"`callmart registry apply registry.yml --request {number}`" in said
    registry.write_text(REGISTRY)
    code, said = command("registry", "apply", registry, "--request", number)
    assert code == 2 and "corrects no name or address of the person" in said
    registry.write_text(REGISTRY.replace(WRONG, NAME, 1))
    code, said = command("registry", "apply", registry, "--request", number)
    assert code == 0, said
    assert home.home.joinpath("privacy", f"request-{number}").exists()
    registry.unlink()
    letter = command.done(number, *words)
    assert "de naam of het adres verbeterd" in letter and NAME not in letter
    assert "telefooncentrale" not in letter, "that has no names"
    assert not home.home.joinpath("privacy", f"request-{number}").exists()
    names = home.rows("select agent from store.agent where customer_id = %s", ONE)
    assert NAME in {row["agent"] for row in names} and WRONG not in {row["agent"] for row in names}


def test_by_the_commands_a_name_of_an_agent_with_two_ids_is_corrected(
    home: Callmart, work: Work, command: Commands
) -> None:
    """The registry has one of them, in another spelling than the letter. No file of the server has the wrong one."""
    registry, former, right = home.home / "registry.yml", "Eerst Zo", "Voortaan Zo"

    def apply(name: str, *request: str) -> int:
        own = f"name: {NAME}}}, {{id: '4711', name: {name}}}]"
        registry.write_text(REGISTRY.replace(f"name: {WRONG}}}]", own, 1))
        code, _ = command("registry", "apply", registry, *request)
        registry.unlink()
        return code

    assert apply(former) == 0
    words = ("4711.0", OTHER, "", "")
    number = command.approved(ONE, CONTACT, "rectification", "agent", *words, plan=())
    assert apply(right, "--request", number) == 0
    work.needles = Needles({former})
    assert server_files.Files().prove(work, of(work, OTHER, DAYS[0])).left
    assert "verbeterd" in command.done(number, *words)
    assert not server_files.Files().prove(work, of(work, OTHER, DAYS[0])).left
    assert not home.home.joinpath("privacy", f"request-{number}").exists()


def test_by_the_commands_a_name_that_was_corrected_before_is_looked_for(
    home: Callmart, command: Commands
) -> None:
    """Somebody has applied the right registry without the request."""
    number = command.approved(ONE, CONTACT, "rectification", "agent", MISTAKEN, "", "", plan=())
    registry = home.home / "registry.yml"
    registry.write_text(REGISTRY.replace(WRONG, NAME, 1))
    assert command("registry", "apply", registry)[0] == 0
    words = (MISTAKEN, "", "")
    assert command("privacy", "do", number, lines=words)[0] == 2
    assert command("privacy", "do", number, lines=(*words, WRONG))[0] == 0
    assert "verbeterd" in command.done(number, *words)
    assert not home.home.joinpath("privacy", f"request-{number}").exists()


@pytest.mark.thorough
def test_by_the_commands_names_that_are_wrong_by_two_ids_are_corrected_at_once(
    home: Callmart, command: Commands
) -> None:
    """The other id has another wrong name, which is looked for, too, and an address that is right."""
    registry, other, address = home.home / "registry.yml", "Eerder Anders", "goed@een.example"

    def apply(names: tuple[str, str], *request: str) -> int:
        own = f"{{id: {MISTAKEN}, name: {names[0]}}}, {{id: {OTHER}, name: {names[1]}, email: {address}}}"
        registry.write_text(REGISTRY.replace(f"{{id: {MISTAKEN}, name: {WRONG}}}", own, 1))
        code, _ = command("registry", "apply", registry, *request)
        registry.unlink()
        return code

    assert apply((WRONG, other)) == 0
    words = (MISTAKEN, OTHER, "", "")
    number = command.approved(ONE, CONTACT, "rectification", "agent", *words, plan=())
    assert apply((NAME, NAME), "--request", number) == 0
    assert command("privacy", "do", number, lines=words)[0] == 0
    called = "update store.agent set agent = %s where customer_id = %s and agent_key = %s returning 1"
    assert home.rows(called, other, ONE, keyed(key_of(home), "agent", OTHER))
    code, said = command("privacy", "prove", number, lines=words)
    assert code == 1 and "something is left" in said
    assert "verbeterd" in command.done(number, *words)
    assert not home.home.joinpath("privacy", f"request-{number}").exists()


def test_of_days_that_are_too_old_nothing_is_left_to_correct(home: Callmart, command: Commands) -> None:
    """Two years can be over between the letter and the plan, or between the plan and the command that does it."""
    day = (TODAY - timedelta(days=3 * 366)).isoformat()
    kept = (TODAY - timedelta(days=366)).isoformat()  # nothing is there of the agent either
    words, entries = (MISTAKEN, "", OTHER, day), "select count(*) from privacy.ledger_entry"
    before = home.rows(entries)
    number = command.approved(ONE, CONTACT, "rectification", "agent", *words, plan=("--until", kept))
    for until in ("--until", day), ():  # then the days are those of the plan before
        code, said = command("privacy", "plan", number, *until, lines=words)
        assert code == 0 and "days too old" in said
    assert command("privacy", "approve", number, lines=(APPROVERS_PASSWORD, "y"))[0] == 0
    letter = command.done(number, *words)
    assert "op deze dagen niets meer" in letter and "verbeterd" not in letter
    assert home.rows(entries) == before
    # Of days that are kept a file can still come.
    number = command.approved(ONE, CONTACT, "rectification", "agent", *words, plan=("--until", kept))
    assert "op deze dagen niets meer" in command.done(number, *words)
    assert home.rows(entries)[0]["count"] == before[0]["count"] + 1
    assert command("privacy", "close", number)[0] == 0


def test_of_days_without_events_nothing_is_there_to_correct(home: Callmart, command: Commands) -> None:
    """The contact insists on days and agent, and is answered. What still lands is corrected."""
    day = (TODAY - timedelta(days=300)).isoformat()
    words, entries = (MISTAKEN, "", OTHER, day), "select count(*) from privacy.ledger_entry"
    (before,) = home.rows(entries)
    number = command.approved(ONE, CONTACT, "rectification", "agent", *words, plan=("--until", day))
    code, said = command("privacy", "plan", number, lines=words)
    assert code == 0 and "there is nothing to do" in said
    assert command("privacy", "approve", number, lines=(APPROVERS_PASSWORD, "y"))[0] == 0
    letter = command.done(number, *words)
    assert "dus niets te" in letter and "hebben wij het aan" not in letter and "twee jaar" not in letter
    assert home.rows(entries) == [{"count": before["count"] + 1}]
    assert command("privacy", "close", number)[0] == 0


def test_what_is_still_wrong_is_found(home: Callmart, command: Commands) -> None:
    """The control: somebody has put the wrong name back where people see it."""
    number = command.approved(ONE, CONTACT, "rectification", "agent", MISTAKEN, "", "", plan=())
    registry = home.home / "registry.yml"
    registry.write_text(REGISTRY)
    assert command("registry", "apply", registry, "--request", number)[0] == 0
    registry.unlink()
    assert command("privacy", "do", number, lines=(MISTAKEN, "", ""))[0] == 0
    home.rows("update store.agent set agent = %s where customer_id = %s returning 1", NAME, ONE)
    code, said = command("privacy", "prove", number, lines=(MISTAKEN, "", ""))
    assert code == 1 and "something is left" in said
