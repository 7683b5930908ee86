"""The audit's checks of contracts: they are those that were applied, and what is stored of agents is what they order:
under detailed only, and no name of an anonymous agent.
"""

from collections.abc import Iterator

import psycopg
from psycopg import sql

from callmart.audit.check import Check
from callmart.audit.scene import Scene
from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.matrix import matrix
from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart
from callmart.registry import orders
from callmart.registry.states import current_states

SQL = sql_file.statements(__file__)


def of_orders(connection: psycopg.Connection) -> Check:
    """Check that nobody has changed by hand what customers have ordered. Whoever has no contract has no access."""
    looked_at, found = 0, []
    noted = orders.noted(connection)
    for customer, state in sorted(current_states(connection).items()):
        said = noted.get(customer)
        if not state.tables["contract"] or said == {}:  # noted by a version that did not say what
            continue
        looked_at += 1
        ordered = orders.of(state)
        if said is None:
            found.append(f"customer {customer} is in no registry that was applied")
        elif differing := [name for name in ordered if ordered[name] != said.get(name)]:
            found.append(
                f"customer {customer} has other {', '.join(differing)} than the registry that was applied last"
            )
    return Check.of(
        "contracts", "contracts and orders are those of the last `callmart registry apply`; it puts them back",
        looked_at, found, applies=bool(looked_at),
    )  # fmt: skip


def of_agents(connection: psycopg.Connection, scene: Scene) -> Check:
    """Check the marts that only detailed opens, and the registry's list of agents."""
    marts = [mart for mart in scene.all_marts if matrix().is_detailed(mart.group)]
    found = [text for mart in marts for text in _unordered(connection, mart)]
    found += [
        f"registry.agent: customer {customer}, whose contract keeps no agent's id or name"
        for (customer,) in connection.execute(SQL["listed_unduly"])
    ]
    if any(mart.name == "agent" for mart in marts):
        found += [
            f"agent: customer {customer}, whose agents are anonymous, has names"
            for (customer,) in connection.execute(SQL["named_unduly"])
        ]
    return Check.of(
        "contracts", "agents are stored only of days under a detailed contract, and anonymous ones without names",
        len(marts), found,
    )  # fmt: skip


def _unordered(connection: psycopg.Connection, mart: Mart) -> Iterator[str]:
    """What a mart has that no detailed contract keeps. Rows without a day are kept with any day."""
    query = sql.SQL(SQL["unordered"]).format(
        mart=sql.Identifier(*mart.table.split(".")),
        day=mart_tables.day_of(mart),
    )
    for customer, days in connection.execute(query):
        yield f"{mart.name}: customer {customer}" + (f", {several(days, 'day')}" if mart.day else "")
