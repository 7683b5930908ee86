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


def hits(
    connection: psycopg.Connection, table: Table, needles: Needles, customer_id: int | None = None
) -> Hits:
    """The needles in a table, or in a customer's rows of it, as the database tells them: what is packed is unpacked,
    and numbers are written out.
    """
    whose = sql.SQL("true" if customer_id is None else "customer_id = {}").format(customer_id)
    statement = sql.SQL("copy (select * from {} where {}) to stdout").format(sql.Identifier(*table), whose)
    with connection.cursor() as cursor, cursor.copy(statement) as rows:
        return needles.in_chunks(rows)


def has_whole(connection: psycopg.Connection, table: Table, needles: Needles, customer_id: int) -> bool:
    """Whether a word that can't be sought in bytes is the whole value of a column that is of persons. Of a table with
    customers only this one's rows count: another's agent can have the same id.
    """
    name = sql.Identifier(*table)
    columns = connection.execute(SQL["of_persons"], {"table": name.as_string(connection)}).fetchall()
    return any(
        connection.execute(
            sql.SQL("select exists (select 1 from {} where {}::text = any(%s) and {})").format(
                name,
                sql.Identifier(column),
                sql.SQL("customer_id = {}" if is_of_customers else "true").format(customer_id),
            ),
            [needles.whole],
        ).fetchone()
        == (True,)
        for column, is_of_customers in columns
    )


def prove(work: Work, person: Person, patterns: tuple[str, ...], *, own_rows: bool = False) -> Proof:
    """Look for the needles in all tables of the patterns, or in the customer's own rows of them. Counts tables."""
    searched, left = Counts(), Counts()
    own = person.customer_id if own_rows else None
    with work.connection.transaction():
        for table in tables(work.connection):
            if table.matches(patterns):
                searched["tables"] += 1
                left[str(table)] = len(hits(work.connection, table, work.needles, own))
                if work.needles.whole:
                    left[str(table)] += has_whole(work.connection, table, work.needles, person.customer_id)
    return Proof(searched, +left)


def catalogue(work: Work) -> Hits:
    """The needles in PostgreSQL's own tables that the owner may read: names, comments, functions, settings."""
    found = Hits()
    with work.connection.transaction():
        for name in work.connection.execute(SQL["catalogue"]).fetchall():
            found |= hits(work.connection, Table(*name), work.needles)
    return found


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
        return prove(work, person, self.tables)
