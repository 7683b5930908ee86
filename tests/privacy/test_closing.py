"""Where ledger and database differ, a customer is closed: nothing opens, leaves or logs in; the others go on."""

from datetime import datetime, time, timedelta
from pathlib import Path

import psycopg
import pytest

from callmart.access import drift, logins
from callmart.audit.ledger import of_ledger
from callmart.base.errors import UserError
from callmart.base.person import Person
from callmart.base.progress import quietly
from callmart.base.settings import Privacy
from callmart.database import ledger, ledger_files
from callmart.database.tombstones import of_address
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.extract.drafts import Unproven
from callmart.operations import health, stages, status
from callmart.privacy import replaying
from callmart.publish import deriving
from callmart.registry import applying, file
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, STANDARD, WITH_DATA, agent_of, queue_of
from commands import command_of
from erasing import erase, erase_events, key_of, person
from events import AMSTERDAM, event, ndjson
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]

MIDNIGHT = datetime.combine(TODAY, time(), AMSTERDAM)


@pytest.fixture(scope="module")
def centre(played: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """Two customers of whom an agent was erased, and a third; the ledger has a copy."""
    if not played.settings.privacy.ledger_copy:
        played.settings.privacy = Privacy(ledger_copy=tmp_path_factory.mktemp("volume") / "ledger")
    for request, customer in enumerate((NAMED, ANONYMOUS), 1):
        erase(played, person(played, customer, "agent", agent_of(customer), MIDNIGHT), request)
    played.build_unchecked()
    return played


def lose(callmart: Callmart, customer: int) -> None:
    """The database loses a customer's tombstones."""
    with callmart.connect() as connection:
        connection.execute("delete from privacy.tombstone where customer_id = %s", [customer])


def replay(callmart: Callmart) -> replaying.Replayed:
    with callmart.connect() as connection:
        return replaying.replay(connection, callmart.settings, lambda who: erase_events(connection, who))


def may_log_in(callmart: Callmart) -> set[int]:
    rows = callmart.rows("select rolname from pg_roles where rolcanlogin")
    able = {row["rolname"] for row in rows}
    return {customer for customer in WITH_DATA if f"callmart_customer_{customer}" in able}


def land_one_more(callmart: Callmart) -> None:
    """A call of each customer."""
    number = callmart.rows("select count(*) as n from raw.file")[0]["n"]
    rows = [
        event(
            "queue_joined", MIDNIGHT - timedelta(hours=12), customer_id=customer, queue=queue_of(customer),
            call_id=f"new-{number}",
        )
        for customer in WITH_DATA
    ]  # fmt: skip
    assert callmart.land_text(ndjson(*rows)).landed == len(WITH_DATA)


def dirty(callmart: Callmart) -> set[int]:
    return {row["customer_id"] for row in callmart.rows("select distinct customer_id from ops.dirty_day")}


def problems_of_publications(callmart: Callmart) -> dict[int, str | None]:
    with callmart.connect() as connection:
        return {one.customer_id: one.problem for one in deriving.desired(connection, callmart.settings)}


def extracts(callmart: Callmart) -> tuple[set[int], set[int]]:
    """The customers of whom an extract was written, and those of whom none may be."""
    with callmart.connect() as connection:
        made = extract.extract(connection, callmart.settings, quietly)
    return (
        {one.customer_id for one in made if isinstance(one, extract.Extract) and one.written},
        {one.customer_id or 0 for one in made if isinstance(one, Unproven)},
    )


def troubles(callmart: Callmart) -> list[str]:
    return [str(one) for one in health.look(callmart.settings).troubles if one.kind == "ledger"]


def test_one_customer_is_closed_and_the_others_go_on(centre: Callmart) -> None:
    assert extracts(centre) == (set(WITH_DATA), set())
    land_one_more(centre)
    assert may_log_in(centre) == set(WITH_DATA)
    lose(centre, NAMED)

    ran = stages.Ran()
    with centre.connect() as connection:
        stages.remove_closed(connection, centre.settings, ran, quietly)
    assert ran.problems == [f"customer {NAMED}: {ledger.DIFFERS}"]
    centre.build_unchecked(looks=True)
    assert dirty(centre) == {NAMED}
    assert may_log_in(centre) == {ANONYMOUS, STANDARD}
    with (
        centre.connect() as connection,
        pytest.raises(UserError, match=f"^customer {NAMED}: {ledger.DIFFERS}"),
    ):
        logins.customer_uri(connection, centre.settings, NAMED)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):  # not even by the publisher
        centre.rows("select from mart.queue_interval", customer_id=NAMED)
    assert centre.rows("select 1 as one from mart.queue_interval limit 1", customer_id=ANONYMOUS)
    assert extracts(centre) == ({ANONYMOUS, STANDARD}, {NAMED})
    assert extract.place(centre.settings, NAMED, "queue").exists()  # nothing is lost
    with centre.connect() as connection:
        marts = dbt_project.marts(centre.settings)
        assert drift.stopping(connection, centre.settings, drift.find(connection, marts)) == []
        assert logins.of_customers(connection) == {
            f"callmart_customer_{each}" for each in (ANONYMOUS, STANDARD)
        }
    assert {who for who, problem in problems_of_publications(centre).items() if problem} == {NAMED}


def test_whoever_looks_is_told(centre: Callmart) -> None:
    said = f"customer {NAMED}: {ledger.DIFFERS}"
    with centre.connect() as connection:
        told = {one.customer_id: one.quality for one in status.status(connection)}
        assert told[NAMED] == "closed: ledger and database differ" and told[ANONYMOUS] == "passed"
        check = of_ledger(connection, centre.settings)
    assert (check.outcome, check.found) == ("BREACH", (said,))
    assert troubles(centre) == [said]
    assert centre.rows("select customer_id, details from ops.audit_log where action = 'ledger differs'") == [
        {"customer_id": NAMED, "details": {"cause": "differs"}}
    ]


def test_after_a_replay_it_opens_again(centre: Callmart) -> None:
    done = replay(centre)
    assert (done.customers, done.persons) == ((NAMED,), 0)
    centre.build_unchecked(looks=True)
    assert (dirty(centre), may_log_in(centre)) == (set(), set(WITH_DATA))
    with centre.connect() as connection:
        assert of_ledger(connection, centre.settings).outcome == "holds"
    assert extracts(centre) == ({NAMED}, set())
    assert set(problems_of_publications(centre).values()) == {None}
    assert troubles(centre) == []


def test_a_chain_that_can_not_be_read_closes_everybody(centre: Callmart) -> None:
    whole = ledger_files.in_home(centre.settings).read_bytes()
    ledger_files.in_home(centre.settings).write_bytes(whole[:40] + whole[60:])
    land_one_more(centre)
    centre.build_unchecked(looks=True)
    assert (dirty(centre), may_log_in(centre)) == (set(WITH_DATA), set())
    assert all(problems_of_publications(centre).values())
    assert extracts(centre) == (set(), set(WITH_DATA))
    (trouble,) = troubles(centre)
    assert trouble.startswith("all customers are closed: the privacy ledger ")
    replay(centre)
    assert ledger_files.in_home(centre.settings).read_bytes() == whole
    centre.build_unchecked(looks=True)
    assert (dirty(centre), may_log_in(centre)) == (set(), set(WITH_DATA))


# -- the registry ----------------------------------------------------------------------------------------------------


def test_a_registry_that_names_an_erased_person_is_refused(centre: Callmart) -> None:
    version = "select max(version) as n from registry.version"
    before = centre.rows(version)
    said = command_of(centre.home)("registry", "apply", str(centre.home / "registry.yml"), "--yes")
    assert said.returncode == 2
    assert (
        f"customer {NAMED}: section `agents` of the registry file still names somebody who was erased"
        in said.stderr
    )
    assert not [word for word in (agent_of(NAMED), "Noor") if word in said.stderr + said.stdout]
    assert centre.rows(version) == before


@pytest.mark.parametrize(
    ("kind", "address"), [("recipient", "Chef@een.example "), ("contact", "p@een.example")]
)
def test_so_is_one_that_names_an_erased_contact_or_recipient(
    centre: Callmart, tmp_path: Path, kind: str, address: str
) -> None:
    agents = f"    agents: [{{id: {agent_of(NAMED)}, name: Noor Zandvliet, email: noor@example.org}}]\n"
    contacts = "    contacts: [{name: P, email: P@Een.example, authorised: true}]\n"
    registry = tmp_path / "registry.yml"
    registry.write_text((centre.home / "registry.yml").read_text().replace(agents, contacts))
    pseudonym = of_address(key_of(centre, NAMED), address)
    erase(centre, Person(NAMED, kind, frozenset(), frozenset({pseudonym}), MIDNIGHT), 30)  # type: ignore[arg-type]
    with centre.connect() as connection, pytest.raises(UserError, match=f"section `{kind}s`"):
        applying.apply(connection, centre.settings, file.load(registry))
