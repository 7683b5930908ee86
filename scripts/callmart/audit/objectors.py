"""The audit's search for agents who object to being shown: in the marts that show agents, the extracts, and on Tableau.

As a control, an agent who is shown objects, in a transaction that is rolled back, and has to be found. In a file, an
agent who is shown has to be found. The result names marts and customers and counts agents, and has no values.
"""

import psycopg
from psycopg import sql

from callmart.audit.agents import Word, Words
from callmart.audit.check import Check, few
from callmart.base import sql_file
from callmart.declarations import mart_tables
from callmart.declarations.dbt_project import Mart

SQL = sql_file.statements(__file__)

NAME = "no agent who objects to being shown"


def of_marts(connection: psycopg.Connection) -> Check:
    """Check all marts that have agents, also those that left the project."""
    marts = [mart for mart in mart_tables.of_customers(connection) if "agent_key" in mart.columns]
    found = _shown(connection, marts)
    if not any(mart.name == "agent" for mart in marts):
        return Check("agents", f"{NAME}: marts", 0, 0, applies=False)
    with connection.transaction(force_rollback=True):
        planted = connection.execute(SQL["plant"]).fetchone()
        is_proven = planted is not None and len(_shown(connection, marts)) > len(found)
    looked_at = len(marts) if is_proven else 0
    return Check("agents", f"{NAME}: marts", looked_at, len(found), few(found), planted is not None)


def of_files(connection: psycopg.Connection, where: str, words: Words) -> Check:
    """Check the words that were read from files of marts that have agents."""
    objectors = {Word(*row) for row in connection.execute(SQL["words"])}
    shown = {Word(*row) for row in connection.execute(SQL["listed"])} if words.of_agents else set()
    looked_at, found = 0, list[str]()
    for place, held in words.of_agents.items():
        looked_at += bool(held & shown)
        if hits := held & objectors:
            found.append(f"{place}: {len(hits)} words of agents")
    return Check("agents", f"{NAME}: {where}", looked_at, len(found), few(found), bool(shown))


def _shown(connection: psycopg.Connection, marts: list[Mart]) -> list[str]:
    """The customers and marts in which agents are who object."""
    found = []
    for mart in marts:
        query = sql.SQL(SQL["shown"]).format(mart=sql.Identifier(mart_tables.SCHEMA, mart.name))
        for customer, agents in connection.execute(query):
            found.append(f"customer {customer}, {mart.name}: {agents} agents")
    return found
