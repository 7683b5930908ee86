"""The audit's search for persons in the marts that every contract opens: keys, ids and names of agents, and keys of
callers and their calls, as whole values.

A column declares whose data it has; this search compares the declaration with the data. As a control, known agents and
callers are planted among the words: a search that does not find them proves nothing. The result names marts and
customers and counts persons, and has no values.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql
from tableauhyperapi import HyperException, TableName, escape_name, escape_string_literal

from callmart.access import roles
from callmart.audit.check import Check
from callmart.audit.scene import Scene
from callmart.base import disk, sql_file
from callmart.base.counting import several
from callmart.base.matrix import matrix
from callmart.base.settings import Settings
from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart
from callmart.extract import extract
from callmart.tableau_files import hyper

SQL = sql_file.statements(__file__)

NAME = "no agent's key, id or name and no caller's key in what a standard contract opens"


class Word(NamedTuple):
    """A value of a column of words."""

    customer_id: int
    word: str


@dataclass
class Words:
    """The words that are in files, by place; and the places whose file could not be opened."""

    held: dict[str, set[Word]] = field(default_factory=dict)
    of_agents: dict[str, set[Word]] = field(default_factory=dict)  # in marts that show agents
    unread: list[str] = field(default_factory=list)

    def read(self, place: str, file: Path, group: str, marts: Iterable[Mart]) -> None:
        """Read the .hyper file of a group."""
        own = [mart for mart in marts if mart.group == group]
        showing = [mart for mart in own if "agent_key" in mart.columns]
        try:
            self.held[place] = set(_words_of(file, _shown(own)))
            if showing:
                self.of_agents[place] = set(_words_of(file, showing))
        except HyperException:
            self.unread.append(place)


def of_marts(connection: psycopg.Connection, scene: Scene) -> Check:
    """Check the marts, of all customers. Marts that were taken out of the project are still open, so they count."""
    planted = _planted(connection)
    looked_at, found = 0, []
    for mart in _shown([*scene.marts, *mart_tables.undeclared(connection, scene.marts)]):
        columns = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(name)) for name in _searched(mart)
        )
        words = sql.SQL("select customer_id, unnest(array[{}]) as word from {}").format(
            columns, sql.Identifier(*mart.table.split("."))
        )
        persons, is_proven = _among(connection, words, planted)
        looked_at += is_proven
        found += [
            f"customer {customer}, {mart.name}: {several(count, whom)}" for customer, whom, count in persons
        ]
    return Check.of("agents", f"{NAME}: marts", looked_at, found, applies=bool(planted))


def in_extracts(settings: Settings, scene: Scene) -> Words:
    """The words in the extracts on disk."""
    words = Words()
    for customer in scene.customers:
        for group in {mart.group for mart in scene.marts}:
            file = extract.place(settings, customer, group)
            if file.exists():
                words.read(f"customer {customer}, {group}", file, group, scene.marts)
    return words


def of_files(
    connection: psycopg.Connection,
    settings: Settings,
    scene: Scene,
    where: str,
    words: Words,
    *,
    is_kept: bool,
) -> Check:
    """Check the words that were read from files. Those who were planted are read from a file, too. `is_kept` says that
    there should be files.
    """
    planted = _planted(connection)
    control = _read_back(settings, scene, planted)
    looked_at, found = 0, [f"{place}: can't be opened" for place in words.unread]
    for place, held in words.held.items():
        listed = sql.SQL(
            "select * from unnest({}::integer[], {}::text[]) as held (customer_id, word)"
        ).format([one.customer_id for one in held], [one.word for one in held])
        persons, is_proven = _among(connection, listed, control)
        looked_at += is_proven and control == planted
        counts = Counter[str]()
        for _, whom, count in persons:
            counts[whom] += count
        found += [f"{place}: {several(count, whom)}" for whom, count in counts.items()]
    applies = bool(planted) and (bool(words.held) or is_kept)
    return Check.of("agents", f"{NAME}: {where}", looked_at, found, applies=applies)


def _shown(marts: Iterable[Mart]) -> list[Mart]:
    """The marts with words that a standard contract opens. Every other contract opens them too."""
    return [mart for mart in marts if mart.group in roles.opens("standard", matrix().ordered) and mart.words]


def _searched(mart: Mart) -> list[str]:
    """The columns in which a key could be: those with words, and wide numbers that are declared to be nobody's. One
    that is declared a person's is in no group that every contract opens.
    """
    wide = [
        column.name for column in mart.declared if column.data_type == "bigint" and not column.is_of_a_person
    ]
    return [*mart.words, *wide]


def _words_of(file: Path, marts: Iterable[Mart]) -> Iterator[Word]:
    with hyper.opened(file) as opened:
        for mart in marts:
            for column in map(escape_name, _searched(mart)):
                for customer, word in opened.execute_list_query(
                    f"select distinct customer_id, cast({column} as text) from {TableName(hyper.SCHEMA, mart.name)}"
                    f" where {column} is not null"
                ):
                    yield Word(customer, word)


def _among(
    connection: psycopg.Connection, words: sql.Composable, planted: set[Word]
) -> tuple[list[tuple[int, str, int]], bool]:
    """How many agents and callers are among the words, per customer; and whether all that were planted were found."""
    query = sql.SQL(SQL["known"]).format(
        words=sql.SQL("({})").format(words),
        customers=[one.customer_id for one in planted],
        planted=[one.word for one in planted],
    )
    rows = connection.execute(query).fetchall()
    found = [
        (customer, whom, count)
        for customer, is_planted, *counts in rows
        for whom, count in zip(("agent", "caller"), counts, strict=True)
        if count and not is_planted
    ]
    control = sum(agents + callers for _, is_planted, agents, callers in rows if is_planted)
    return found, control == len(planted) > 0


def _planted(connection: psycopg.Connection) -> set[Word]:
    """One agent of each kind, if there is one: by key, id and name, and by a key that is only in the events; and one
    caller by the key of the number and of the call.
    """
    rows = connection.execute(SQL["planted"])
    return {Word(*row) for row in rows}


def _read_back(settings: Settings, scene: Scene, planted: set[Word]) -> set[Word]:
    """Write those who were planted into a file, in the columns of words, and return what is read from it."""
    mart = next(iter(_shown(scene.marts)), None)
    if mart is None or not planted:
        return set()
    with disk.temporary(settings.home) as folder:
        file = folder / "planted.hyper"
        with hyper.written(file) as opened:
            opened.catalog.create_schema(hyper.SCHEMA)
            table, names = TableName(hyper.SCHEMA, mart.name), _searched(mart)
            columns = ", ".join(f"{escape_name(name)} text" for name in names)
            opened.execute_command(f"create table {table} (customer_id integer, {columns})")
            for one in planted:
                words = ", ".join([escape_string_literal(one.word)] * len(names))
                opened.execute_command(f"insert into {table} values ({one.customer_id}, {words})")
        return set(_words_of(file, [mart]))
