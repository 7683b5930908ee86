"""The next run does what the calendar asks of a contract, and removes the names of agents who became anonymous."""

from collections.abc import Callable
from datetime import date, timedelta

import psycopg
import pytest
import tableauserverclient as TSC

from callmart.base.matrix import matrix
from callmart.database import clock
from callmart.extract import extract
from callmart.publish import tableau
from callmart.registry.file import load
from callmart.registry.planning import plan
from callmart.registry.states import current_states, desired_states
from callmart.tableau_files import hyper
from callmart_home import Callmart
from events import DAY, at, event, ndjson
from leavers import file_of, leaver, tables_with
from nights import contents, night, removing
from registries import LONG_AGO, OPEN, write
from today import TODAY

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.dated,
    pytest.mark.usefixtures("unchecked", "trusted", "few_reports"),
]

AGENTS = matrix().groups["agent"].title.nl  # the data source of agents
SOON = TODAY + timedelta(days=3)
LEAVES_DETAILED, BEGINS, ANONYMOUS, LATER = 21, 22, 23, 24


@pytest.fixture(scope="module")
def calendar(make_callmart: Callable[..., Callmart]) -> Callmart:
    callmart = make_callmart(ready=True)
    callmart.apply(CALENDAR)
    for customer in LEAVES_DETAILED, ANONYMOUS:
        callmart.land_text(file_of(customer).rsplit("\n", 2)[0] + "\n", customer)
    assert night(callmart).problems == []
    return callmart


CALENDAR = "customers:\n" + "".join(
    (
        leaver(LEAVES_DETAILED, ("detailed", LONG_AGO, SOON), ("standard", SOON, None)),
        leaver(BEGINS, ("detailed", SOON, None)),
        leaver(ANONYMOUS, OPEN),
        leaver(LATER, OPEN),
    )
)


def comes(callmart: Callmart, day: date) -> None:
    """Let the day that was SOON be this one."""
    with callmart.connect() as connection:
        connection.execute(
            "update registry.contract set valid_until = %s where valid_until = %s", [day, SOON]
        )
        connection.execute("update registry.contract set valid_from = %s where valid_from = %s", [day, SOON])


def test_leaving_detailed_by_the_calendar(calendar: Callmart) -> None:
    agents = "select agent from mart.agent"
    assert calendar.rows(agents, customer_id=LEAVES_DETAILED) == [
        {"agent": f"Noor Zandvliet{LEAVES_DETAILED}"}
    ]
    assert (LEAVES_DETAILED, "agent") in extracts(calendar)
    before = sources_on_tableau(calendar, LEAVES_DETAILED)
    assert before > {AGENTS}
    full = "select talk_s is null as hidden from mart.queue_interval"
    assert {row["hidden"] for row in calendar.rows(full, customer_id=LEAVES_DETAILED)} == {False}
    other = contents(calendar, ANONYMOUS)

    comes(calendar, TODAY)
    ran = night(calendar)
    assert (ran.problems, ran.removed_customers) == ([], 1)
    for table in "store.agent", "store.agent_day", "registry.agent":
        assert calendar.rows(f"select from {table} where customer_id = %s", LEAVES_DETAILED) == [], table
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        calendar.rows(agents, customer_id=LEAVES_DETAILED)
    assert (LEAVES_DETAILED, "agent") not in extracts(calendar)
    assert (LEAVES_DETAILED, "queue") in extracts(calendar)
    assert {row["hidden"] for row in calendar.rows(full, customer_id=LEAVES_DETAILED)} == {True}
    assert sources_on_tableau(calendar, LEAVES_DETAILED) == before - {AGENTS}
    assert contents(calendar, ANONYMOUS) == other
    asked = load(write(calendar.home, CALENDAR.replace(str(SOON), str(TODAY))))
    with calendar.connect() as connection:
        wanted = desired_states(asked, clock.now(connection))
        assert plan(current_states(connection), wanted, TODAY) == []
    assert removing(calendar) == []


def extracts(callmart: Callmart) -> set[tuple[int, str]]:
    folder = extract.folder(callmart.settings)
    return {(int(file.parent.name), file.stem) for file in folder.glob("*/*.hyper")}


def sources_on_tableau(callmart: Callmart, customer: int) -> set[str]:
    with tableau.connect(callmart.settings) as there:
        sources = list(TSC.Pager(there.datasources))
    return {str(source.name) for source in sources if str(customer) in str(source.project_name)}


def test_a_contract_that_begins_by_the_calendar_takes_the_file_that_it_turned_away(
    calendar: Callmart,
) -> None:
    noon = at("12:00", (TODAY - DAY).days)
    of_today = ndjson(event("call_started", noon, call_id="c-1", direction="inbound"))
    comes(calendar, SOON)
    with calendar.connect() as connection:
        connection.execute(
            "update registry.contract set valid_from = %s where customer_id = %s", [SOON, BEGINS]
        )
        connection.execute("insert into registry.version default values")  # as `registry apply` does
    assert calendar.land_text(of_today, BEGINS).turned_away == 1
    with calendar.connect() as connection:  # the day has come, and the registry was applied days ago
        connection.execute(
            "update registry.contract set valid_from = %s where customer_id = %s", [TODAY, BEGINS]
        )
        connection.execute("update registry.version set applied_at = applied_at - interval '3 days'")
    removing(calendar)
    assert calendar.land_text(of_today, BEGINS).landed == 1
    assert removing(calendar) == []


def test_no_day_knows_what_was_before_a_contract_that_begins_later_now(calendar: Callmart) -> None:
    """A status goes on for 31 days at most."""
    agent, shown = (
        f"SIP/geheim{LATER}",
        "select distinct call_date from mart.agent_status_interval where status = 'break'",
    )
    statuses = ndjson(
        event("agent_status", at("09:00"), agent=agent, reason="break"),
        event("agent_status", at("09:00", 14), agent=agent, reason="available"),
    )
    assert calendar.land_text(statuses, LATER).landed == 2
    calendar.build_unchecked()
    before = {row["call_date"] for row in calendar.rows(shown, customer_id=LATER)}
    assert {DAY + timedelta(days=day) for day in range(15)} >= before >= {DAY + timedelta(days=14)}
    text = (calendar.home / "registry.yml").read_text()
    later = ("detailed", DAY + timedelta(days=3), None)
    calendar.apply(text.replace(leaver(LATER, OPEN), leaver(LATER, later)))
    calendar.build_unchecked()
    assert calendar.rows(shown, customer_id=LATER) == []


# -- anonymous agents ----------------------------------------------------------------------------------------------


def labels(callmart: Callmart, customer: int) -> dict[str, str]:
    return {
        row["agent_key"]: row["agent"]
        for row in callmart.rows("select agent_key, agent from mart.agent", customer_id=customer)
    }


def extracted(callmart: Callmart, customer: int) -> set[str]:
    """What an extract calls the agents."""
    file = extract.folder(callmart.settings) / str(customer) / "agent.hyper"
    return {agent for (agent,) in hyper.rows(file, 'select agent from "Extract"."agent"')}


def test_anonymity_later_removes_the_names_that_are_there(calendar: Callmart) -> None:
    name, agent_id = f"Noor Zandvliet{ANONYMOUS}", f"SIP/geheim{ANONYMOUS}"
    before = labels(calendar, ANONYMOUS)
    assert set(before.values()) == extracted(calendar, ANONYMOUS) == {name}
    assert {"registry.agent", "store.agent"} <= tables_with(calendar, ANONYMOUS)
    text = (calendar.home / "registry.yml").read_text()
    named = text[text.index(f"    agents: [{{id: {agent_id}") :].split("\n", 1)[0]
    calendar.apply(text.replace(named, "    anonymous_agents: true"))

    # at once
    pseudonyms = {key: f"agent-{key[:10]}" for key in before}
    assert labels(calendar, ANONYMOUS) == pseudonyms
    assert calendar.rows("select from registry.agent where customer_id = %s", ANONYMOUS) == []
    # with the next run
    more = ndjson(
        event("agent_connected", at("10:01", 5), call_id="later", queue="q", agent=agent_id),
        event("agent_connected", at("10:02", 5), call_id="again", queue="q", agent=f"{agent_id}b"),
    )
    calendar.land_text(more, ANONYMOUS)
    assert night(calendar).problems == []
    now = labels(calendar, ANONYMOUS)
    assert now.items() >= pseudonyms.items() and len(now) == 2
    assert extracted(calendar, ANONYMOUS) == set(now.values())
    assert calendar.rows("select from registry.agent where customer_id = %s", ANONYMOUS) == []
    with calendar.superuser() as connection:
        for (table,) in connection.execute(
            "select oid::regclass::text from pg_class where relkind = 'r'"
        ).fetchall():
            rows = connection.execute(
                f"select from {table} as t where t::text like %s or t::text like %s",
                [f"%{name}%", f"%{agent_id}%"],
            ).fetchall()
            assert not rows, table
