"""The audit's check that what is stored of agents is what the contract orders: under detailed only, and no name of an
anonymous agent.
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

SQL = sql_file.statements(__file__)


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
