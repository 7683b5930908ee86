"""The audit's search for agents who object to being shown: in the marts that show agents, the extracts, and on Tableau.

As a control, an agent who is shown objects, in a transaction that is rolled back, and has to be found. In a file and on
Tableau, an agent who is shown has to be found. The result names marts, customers and kinds of content, and no values.
"""

from datetime import UTC, datetime

import psycopg
from psycopg import sql

from callmart.audit.agents import Word, Words
from callmart.audit.check import Check
from callmart.audit.entombing import entomb
from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.needles import SHORTEST, Needles
from callmart.base.person import Counts, Person, Work
from callmart.base.settings import Settings
from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart
from callmart.publish.places import Content
from callmart.publish.tableau import At

SQL = sql_file.statements(__file__)

NAME = "no agent who objects to being shown"


def of_marts(connection: psycopg.Connection) -> Check:
    """Check all marts that have agents, also those that left the project."""
    marts = [mart for mart in mart_tables.of_customers(connection) if "agent_key" in mart.columns]
    found = _shown(connection, marts)
    if not _names_agents(marts):
        return Check.of("agents", f"{NAME}: marts", 0, [], applies=False)
    with connection.transaction(force_rollback=True):
        planted = plant(connection)
        is_proven = planted is not None and len(_shown(connection, marts)) > len(found)
    looked_at = len(marts) if is_proven else 0
    return Check.of("agents", f"{NAME}: marts", looked_at, found, applies=planted is not None)


def plant(connection: psycopg.Connection) -> int | None:
    """Let an agent object who is shown, in the caller's transaction. Returns the entry; None if nobody is shown."""
    for customer_id, key in connection.execute(SQL["one_shown"]).fetchall():
        return entomb(connection, customer_id, key, "objector", "objection")
    return None


def of_files(connection: psycopg.Connection, where: str, words: Words) -> Check:
    """Check the words that were read from files of marts that have agents."""
    objectors = {Word(*row) for row in connection.execute(SQL["words"])}
    shown = {Word(*row) for row in connection.execute(SQL["listed"])} if words.of_agents else set()
    looked_at, found = 0, list[str]()
    for place, held in words.of_agents.items():
        looked_at += bool(held & shown)
        if hits := held & objectors:
            found.append(f"{place}: {several(len(hits), 'word')} of agents")
    return Check.of("agents", f"{NAME}: {where}", looked_at, found, applies=bool(shown))


def of_sites(connection: psycopg.Connection, settings: Settings, at: At) -> Check:
    """Search the bytes of everything that Tableau gives back on any site, with earlier revisions and custom views. What
    belongs to other customers is left out, as nobody there can be of this one. Downloads it twice per customer with
    objectors.
    """
    objectors = _by_customer(connection, "words")
    marts = mart_tables.of_customers(connection)
    shown = _by_customer(connection, "listed") if _names_agents(marts) else {}

    def search(customer: int, words: set[str]) -> Counts:
        person = Person(customer, "agent", frozenset(), frozenset(), datetime.now(UTC))
        return Content().prove(Work(connection, settings, at, Needles(words)), person).left

    looked_at, found = 0, list[str]()
    for customer, words in objectors.items():
        others = shown.get(customer, set()) - words
        looked_at += bool(search(customer, others))
        # A word that is part of another agent's would be found with that one.
        own = {word for word in words if not any(word in other for other in others)}
        found += [f"customer {customer}: {count} {what}" for what, count in search(customer, own).items()]
    applies = any(shown.get(customer, set()) - words for customer, words in objectors.items())
    return Check.of("agents", f"{NAME}: all that Tableau gives back", looked_at, found, applies=applies)


def _names_agents(marts: list[Mart]) -> bool:
    """Whether there is a mart with the names of agents: not before the first build."""
    return any(mart.name == "agent" for mart in marts)


def _by_customer(connection: psycopg.Connection, statement: str) -> dict[int, set[str]]:
    """Words that are long enough to be sought in bytes."""
    words: dict[int, set[str]] = {}
    for customer, word in connection.execute(SQL[statement]).fetchall():
        if word and len(word.encode()) >= SHORTEST:
            words.setdefault(customer, set()).add(word)
    return words


def _shown(connection: psycopg.Connection, marts: list[Mart]) -> list[str]:
    """The customers and marts in which agents are who object."""
    found = []
    for mart in marts:
        query = sql.SQL(SQL["shown"]).format(mart=sql.Identifier(mart_tables.SCHEMA, mart.name))
        for customer, agents in connection.execute(query):
            found.append(f"customer {customer}, {mart.name}: {several(agents, 'agent')}")
    return found
