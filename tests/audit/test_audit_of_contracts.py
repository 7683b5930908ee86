"""The audit's check of contracts: what is stored is what they order."""

from collections.abc import Iterator

import psycopg
import pytest

from callmart.audit import options
from callmart.audit.check import Check
from callmart.audit.scene import scene_of
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, STANDARD

pytestmark = pytest.mark.server


@pytest.fixture
def owner(played: Callmart) -> Iterator[psycopg.Connection]:
    """A connection of the owner whose transaction is rolled back."""
    with played.connect() as connection:
        yield connection
        connection.rollback()


def of_agents(callmart: Callmart, owner: psycopg.Connection) -> Check:
    return options.of_agents(owner, scene_of(owner, callmart.settings))


WRONGS = {
    "a day of agents under standard": (
        "insert into store.agent_day (customer_id, call_date, agent_key)"
        f" select {STANDARD}, max(call_date), 'x' from store.queue_interval",
        f"agent_day: customer {STANDARD}, 1 days",
    ),
    "a day of agents before detailed": (
        "insert into store.agent_day (customer_id, call_date, agent_key)"
        f" values ({NAMED}, date '2019-12-31', 'x')",
        f"agent_day: customer {NAMED}, 1 days",
    ),
    "an agent under standard": (
        f"insert into store.agent (customer_id, agent_key, agent) values ({STANDARD}, 'x', 'agent-x')",
        f"agent: customer {STANDARD}",
    ),
    "an id under standard": (
        f"insert into registry.agent (customer_id, agent_key, agent) values ({STANDARD}, 'x', '101')",
        f"registry.agent: customer {STANDARD}, whose contract keeps no agent's id or name",
    ),
    "an id of an anonymous agent": (
        f"insert into registry.agent (customer_id, agent_key, agent) values ({ANONYMOUS}, 'x', '101')",
        f"registry.agent: customer {ANONYMOUS}, whose contract keeps no agent's id or name",
    ),
    "a name of an anonymous agent": (
        f"update store.agent set agent = 'agent-Noor' where customer_id = {ANONYMOUS}",
        f"agent: customer {ANONYMOUS}, whose agents are anonymous, has names",
    ),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_agents_that_no_contract_orders_are_a_breach(
    played: Callmart, owner: psycopg.Connection, wrong: str
) -> None:
    assert of_agents(played, owner).outcome == "holds"
    statement, said = WRONGS[wrong]
    if "2019" in statement:
        owner.execute("select access.ensure_month('store.agent_day', date '2019-12-31')")
    assert owner.execute(statement.encode()).rowcount >= 1
    assert of_agents(played, owner).found == (said,)
