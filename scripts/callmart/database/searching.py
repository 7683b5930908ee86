"""Looks for a person in whole tables, whatever their columns are called."""

from typing import NamedTuple

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.needles import Hits, Needles
from callmart.base.patterns import matching
from callmart.base.person import Counts, Person, Proof, Work

SQL = sql_file.statements(__file__)


class Table(NamedTuple):
    """A table, by schema and name. The months of a table are part of it."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def matches(self, patterns: tuple[str, ...]) -> bool:
        """Whether one of the patterns is that of its name."""
        return matching(patterns).fullmatch(str(self)) is not None


def tables(connection: psycopg.Connection) -> list[Table]:
    """All tables of the database that are not PostgreSQL's own."""
    return [Table(*row) for row in connection.execute(SQL["tables"])]


def hits(connection: psycopg.Connection, table: Table, needles: Needles) -> Hits:
    """The needles in a table as the database tells it: what is packed is unpacked, and numbers are written out."""
    with connection.cursor() as cursor:
        statement = sql.SQL("copy (select * from {}) to stdout").format(sql.Identifier(*table))
        with cursor.copy(statement) as rows:
            found = needles.in_chunks(rows)
    return found


def has_short(connection: psycopg.Connection, table: Table, needles: Needles) -> bool:
    """Whether a word that is too short to be sought in bytes is the whole value of a column that is of persons."""
    name = sql.Identifier(*table)
    columns = connection.execute(SQL["of_persons"], {"table": name.as_string(connection)}).fetchall()
    return any(
        connection.execute(
            sql.SQL("select exists (select from {} where {}::text = any(%s))").format(
                name, sql.Identifier(column)
            ),
            [needles.short],
        ).fetchone()
        == (True,)
        for (column,) in columns
    )


def prove(work: Work, patterns: tuple[str, ...]) -> Proof:
    """Look for the needles in all tables of the patterns. Counts tables."""
    searched, left = Counts(), Counts()
    with work.connection.transaction():
        for table in tables(work.connection):
            if table.matches(patterns):
                searched["tables"] += 1
                left[str(table)] = len(hits(work.connection, table, work.needles))
                if work.needles.short:
                    left[str(table)] += has_short(work.connection, table, work.needles)
    return Proof(searched, +left)


class Books:
    """Tables in which there is never anything of a person. They are searched all the same."""

    paths = ()
    contents = ()

    def __init__(self, name: str, *tables: str) -> None:
        self.name = name
        self.tables = tables

    def find(self, work: Work, person: Person) -> Counts:
        """Nothing, by declaration."""
        return Counts()

    def treat(self, work: Work, person: Person) -> Counts:
        """There is nothing to treat."""
        return Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """Search the tables whole."""
        return prove(work, self.tables)
