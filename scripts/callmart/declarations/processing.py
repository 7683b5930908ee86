"""Reads processing.yml, and adds what the marts say: all tables that hold something of persons, with why, from where
and for how long, and the meaning of their columns. A table or column of which nobody has said that is refused.

Packages for persons are made from it (privacy/package), and docs/processing.md (declarations/record.py).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import Field, model_validator

from callmart.base import declared
from callmart.base.declared import Name, Text, Texts
from callmart.base.errors import UserError
from callmart.base.patterns import matching
from callmart.base.pointing import Whom
from callmart.base.settings import PROJECT
from callmart.base.strict import Listed, Strict
from callmart.declarations.captions import Captions
from callmart.declarations.mart import Mart

FILE = PROJECT / "processing.yml"

# The persons who have rights here; staff have theirs with the provider.
OF_PERSONS: tuple[Whom, ...] = ("agent", "caller", "contact", "recipient")


class Reason(Texts):
    """Why columns of a table are in no package."""

    columns: Listed[Name]


class Purpose(Strict):
    """Why, from where and for how long, by the names in the file."""

    why: Name
    source: Name
    kept: Name


class Table(Purpose):
    """A table that no mart's YAML declares. Without columns it is in no package: nobody but staff is in it."""

    caption: Texts
    moment: Name | None = None  # the column of the moment that a row is of
    columns: dict[Name, Texts] = Field(default={})
    left_out: Listed[Reason] = ()


class Processing(Strict):
    """The contents of processing.yml."""

    purposes: dict[Name, Texts]
    sources: dict[Name, Texts]
    periods: dict[Name, Texts]
    recipients: Listed[Texts]
    marts: dict[Name, Purpose]
    tables: dict[str, Table]
    columns: dict[Name, Text]
    left_out: dict[str, Texts]

    @model_validator(mode="after")
    def _knows_its_names(self) -> "Processing":
        for place, one in (*self.marts.items(), *self.tables.items()):
            for name, known in (
                (one.why, self.purposes),
                (one.source, self.sources),
                (one.kept, self.periods),
            ):
                if name not in known:
                    raise ValueError(
                        f"{place} names {name}, which is not declared; correct it, or declare it"
                    )
        return self


@dataclass(frozen=True)
class Holding:
    """A table that holds something of persons, and what people are told of it."""

    table: str  # schema.name
    caption: Texts
    why: Texts
    source: Texts
    kept: Texts
    persons: Mapping[str, tuple[Whom, ...]]  # whom its columns point to, of those that say so
    columns: Mapping[str, Texts]  # what a package has of it, with the meaning
    left_out: Mapping[str, Texts]  # what no package has, and why
    moment: str | None = None  # the column of a row's moment or day

    def is_of(self, whom: Iterable[Whom]) -> bool:
        """Whether one of its columns points to one of these."""
        return any(set(whom) & set(said) for said in self.persons.values())


Said = Mapping[str, tuple[Whom, ...]]  # whom columns point to


@cache
def processing() -> Processing:
    """What this installation declares. Raises UserError if processing.yml is wrong."""
    return declared.read(FILE, Processing)


def holdings(
    tables: Mapping[str, Said], names: Mapping[str, Iterable[str]], marts: Iterable[Mart], words: Captions
) -> list[Holding]:
    """The tables that hold something of persons. `tables` has whom their columns point to, and `names` all columns, as
    the catalogue has them. Raises UserError if nobody has said what a table or a column of persons is.
    """
    declared_marts = {mart.table: mart for mart in marts}
    passing = matching(tuple(processing().left_out))
    found = []
    for table, persons in tables.items():
        whom = {one for said in persons.values() for one in said} - {"nobody"}
        if not whom or passing.fullmatch(table):
            continue
        mart = declared_marts.get(table)
        one = _of_mart(mart, persons, words) if mart else _of_table(table, persons)
        if whom & set(OF_PERSONS):
            _refuse_unsaid(one, names[table], mart)
        found.append(one)
    return found


def said_by(mart: Mart) -> dict[str, tuple[Whom, ...]]:
    """Whom the columns of a mart point to, as it declares it."""
    return {column.name: (column.person,) for column in mart.declared if column.person}


def _of_table(table: str, persons: Said) -> Holding:
    said = processing().tables.get(table)
    if said is None:
        raise _wrong("tables", f"{table} has columns of persons; say there what it is for")
    return Holding(
        table, said.caption, *_purpose(said), persons, said.columns,
        {name: reason for reason in said.left_out for name in reason.columns}, said.moment,
    )  # fmt: skip


def _of_mart(mart: Mart, persons: Said, words: Captions) -> Holding:
    said = processing().marts.get(mart.group)
    if said is None:
        raise _wrong("marts", f"the mart {mart.name} has columns of persons; say what its group is for")
    caption = Texts(nl=words.mart(mart.name, "nl"), en=words.mart(mart.name, "en"))
    columns = {
        column.name: Texts(nl=nl, en=column.description)
        for column in mart.declared
        if (nl := words.description(column.name, "nl", processing().columns.get(column.name, "")))
        and column.description
    }
    return Holding(mart.table, caption, *_purpose(said), persons, columns, {}, mart.day)


def _purpose(said: Purpose) -> tuple[Texts, Texts, Texts]:
    own = processing()
    return own.purposes[said.why], own.sources[said.source], own.periods[said.kept]


def _refuse_unsaid(holding: Holding, names: Iterable[str], mart: Mart | None) -> None:
    unsaid = ", ".join(name for name in names if name not in holding.columns and name not in holding.left_out)
    if unsaid and mart:
        raise UserError(
            f"the mart {mart.name} does not say in Dutch what it means by {unsaid}: add description_nl beside the "
            f"caption of the column, in whichever mart has it, or the column to columns in {declared.in_project(FILE)}"
        )
    if unsaid:
        raise _wrong(
            f"tables.{holding.table}",
            f"{unsaid} is missing; say under columns what it means, or under left_out why nobody gets it",
        )


def _wrong(place: str, message: str) -> UserError:
    return UserError(f"{declared.in_project(FILE)}: {place}: {message}")


def said_in(persons_sql: Path) -> dict[str, dict[str, tuple[Whom, ...]]]:
    """Whom the columns of tables point to, as persons.sql says it, where there is no database to ask."""
    found: dict[str, dict[str, tuple[Whom, ...]]] = {}
    for table, persons, columns in _lines(persons_sql.read_text(encoding="utf-8")):
        for column in columns.split(", "):
            found.setdefault(table, {})[column] = tuple(persons.split(", "))  # type: ignore[arg-type]
    return found


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Table, persons and columns. That a column is in clear, or keyed, may stand behind the persons."""
    yield from re.findall(r"\('([\w.\"]+)', '([\w, ]+)(?:\. [\w ]+)?', '([\w, ]+)'\)", text)
