"""Which marts and columns of an environment and of what stands are the same. A former name counts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import psycopg

from callmart.base import sql_file
from callmart.declarations import mart_tables
from callmart.declarations.mart import NUMBERS, Mart
from callmart.environments.differences import Column

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Pair:
    """A mart on both sides. `former` has the column here that each column there is, or was before it was renamed;
    `persons` are the columns there that point to persons, on either side; `additive` those of which sums make sense.
    """

    here: Mart
    there: Mart
    former: Mapping[str, str]
    persons: tuple[str, ...]
    additive: tuple[str, ...]

    @property
    def key(self) -> list[str]:
        """The columns that are in both keys."""
        return [name for name in self.there.key if self.former.get(name) in self.here.key]

    @property
    def is_by_row(self) -> bool:
        """Whether both sides have the same key. Otherwise they are compared by the sums of what both keys have."""
        return len(self.key) == len(self.here.key) == len(self.there.key)

    @property
    def values(self) -> list[str]:
        """The columns to compare."""
        return [
            name
            for name in self.former
            if name not in self.key and (self.is_by_row or (self.is_number(name) and name in self.additive))
        ]

    def is_number(self, name: str) -> bool:
        """Whether a column is a number on both sides."""
        types = self.there.types[name], self.here.types[self.former[name]]
        return name not in self.persons and all(one in NUMBERS for one in types)

    def has_other_type(self, name: str) -> bool:
        """Whether a column is of another type there, which the database may refuse to compare."""
        return self.there.types[name] != self.here.types[self.former[name]]


def paired(
    connection: psycopg.Connection, own: psycopg.Connection, declared: list[Mart]
) -> tuple[list[Pair], list[Column]]:
    """The marts that are on both sides, and the marts and columns that are on one."""
    here = {mart.name: mart for mart in mart_tables.of_customers(connection)}
    persons = {side: set(side.execute(SQL["persons"]).fetchall()) for side in (connection, own)}
    of_project = {mart.name: mart for mart in declared}
    pairs, one_sided = [], []
    for there in mart_tables.of_customers(own):
        project = of_project.get(there.name)
        name = _former(there.name, project.renamed_from if project else (), here)
        if name is None or bool(here[name].day) != bool(there.day):
            one_sided.append(Column(there.name, None, only="there"))
            continue
        former = _former_columns(here[name], there, project)
        of_persons = [
            column
            for column, before in former.items()
            if (there.name, column) in persons[own] or (name, before) in persons[connection]
        ]
        additive = project.additive if project else ()
        pairs.append(Pair(here[name], there, former, tuple(of_persons), additive))
        one_sided += _one_sided(pairs[-1])
    met = {pair.here.name for pair in pairs}
    one_sided += [Column(name, None, only="here") for name in here if name not in met]
    return pairs, one_sided


def without_customers(connection: psycopg.Connection) -> tuple[str, ...]:
    """The tables that are not compared, because no row in them is a customer's."""
    return tuple(name for (name,) in connection.execute(SQL["without_customers"]))


def _former_columns(here: Mart, there: Mart, project: Mart | None) -> dict[str, str]:
    """The column here that each column there is, or was."""
    renamed = {column.name: column.renamed_from for column in project.declared} if project else {}
    former = {name: _former(name, renamed.get(name, ()), here.columns) for name in there.columns}
    return {name: found for name, found in former.items() if found is not None}


def _former(name: str, renamed_from: Iterable[str], known_names: Iterable[str]) -> str | None:
    """What is called so, or was before: the first of these names that is known."""
    names = set(known_names)
    return next((one for one in (name, *renamed_from) if one in names), None)


def _one_sided(pair: Pair) -> Iterator[Column]:
    for name in pair.there.columns:
        if name not in pair.former:
            yield Column(pair.there.name, name, only="there")
    for name in pair.here.columns:
        if name not in pair.former.values():
            yield Column(pair.there.name, name, only="here")
