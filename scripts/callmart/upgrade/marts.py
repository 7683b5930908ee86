"""Changes to marts that are declared in their YAML: `renamed_from` of a mart or a column, `widened_from` of a column.

A mart's table holds two years that raw may no longer hold, so it is renamed and widened in place. Its months, policies,
settings for samples and the books go with it. dbt makes what is new (a mart, a column) when it next builds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.access import memberships
from callmart.base import sql_file
from callmart.base.account import account
from callmart.base.errors import UserError
from callmart.database import audit_log, lock
from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)

BOOKS = (
    "rename_results",
    "rename_failures",
    "forget_results",
    "rename_causes",
    "rename_days",
    "rename_builds",
    "rename_definitions",
    "rename_vacuumed",
)


@dataclass(frozen=True)
class Changed:
    """What changes in a mart."""

    mart: Mart
    was: str  # its name in the database
    renamed: dict[str, str]  # columns: the name in the database, and the declared one
    widened: dict[str, str]  # columns, by their declared name: the type in the database

    def lines(self) -> Iterator[str]:
        """The changes as sentences."""
        if self.was != self.mart.name:
            yield f"mart {self.was} is renamed to {self.mart.name}"
        for was, now in self.renamed.items():
            yield f"mart {self.mart.name}: the column {was} is renamed to {now}"
        for column, was in self.widened.items():
            yield (
                f"mart {self.mart.name}: the column {column} becomes {self.mart.types[column]} (is {was}); "
                "every row is written anew, and nobody reads the mart meanwhile"
            )


def planned(connection: psycopg.Connection, marts: list[Mart]) -> list[Changed]:
    """The declared changes that this database has not had. Changes nothing.

    Raises UserError if something has its former name and another has its name of today.
    """
    there = {mart.name: mart for mart in mart_tables.marts(connection)}
    found = (_changed(mart, there) for mart in marts)
    return [one for one in found if one is not None]


def added(connection: psycopg.Connection, marts: list[Mart]) -> Iterator[str]:
    """What the next build adds, as sentences: marts, and columns of marts."""
    there = {mart.name: mart for mart in mart_tables.marts(connection)}
    for mart in marts:
        tables = [there[name] for name in (mart.name, *mart.renamed_from) if name in there]
        if not tables:
            yield f"mart {mart.name}: the next build makes it"
            continue
        for column in mart.declared:
            if not {column.name, *column.renamed_from} & set(tables[0].columns):
                yield f"mart {mart.name}: the next build adds the column {column.name}"


def apply(connection: psycopg.Connection, marts: list[Mart], changes: list[Changed]) -> None:
    """Make the changes, in one transaction. Commits. `marts` are all that the project declares.

    Raises UserError if a view of somebody else reads a mart that changes, or another session keeps one locked.
    """
    connection.commit()
    try:
        with connection.transaction():
            lock.wait_at_most(connection, lock.TIMEOUT)
            # All of them first: writing rows anew can take long, and would be for nothing.
            for one in changes:
                connection.execute(sql.SQL("lock table {} in access exclusive mode").format(_table(one.was)))
            for one in changes:
                _change(connection, one)
            memberships.show(connection, marts)
    except psycopg.errors.LockNotAvailable:
        raise UserError(
            f"a mart that changes ({', '.join(one.was for one in changes)}) was in use for {lock.TIMEOUT}: "
            "no mart was changed; when the other session has ended, run the same command again"
        ) from None


def _changed(mart: Mart, there: dict[str, Mart]) -> Changed | None:
    """What changes in a mart; None if nothing does, or the mart has no table yet."""
    names = [name for name in (mart.name, *mart.renamed_from) if name in there]
    if len(names) > 1:
        raise UserError(
            f"mart {mart.name} was called {names[1]} according to its renamed_from, and the database has both "
            f"store.{names[0]} and store.{names[1]}: look which holds the history, and remove the other with "
            "`callmart retire`, then run `callmart upgrade` again"
        )
    if not names:
        return None
    table = there[names[0]]
    renamed, widened = {}, {}
    for column in mart.declared:
        found = [name for name in (column.name, *column.renamed_from) if name in table.columns]
        if len(found) > 1:
            raise UserError(
                f"mart {mart.name}: its column {column.name} was called {found[1]} according to its renamed_from, and "
                f"store.{table.name} has both {found[0]} and {found[1]}: look which holds the history, and have the "
                "owner drop the other, then run `callmart upgrade` again"
            )
        if not found:
            continue
        if found[0] != column.name:
            renamed[found[0]] = column.name
        if column.widens(table.types[found[0]]):
            widened[column.name] = table.types[found[0]]
    changed = Changed(mart, table.name, renamed, widened)
    return changed if any(changed.lines()) else None


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(mart_tables.SCHEMA, name)


def _change(connection: psycopg.Connection, one: Changed) -> None:
    _drop_views(connection, one.was)
    # What was computed and not opened yet has the old columns. Its days are still dirty.
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("build", one.was)))
    for was, now in one.renamed.items():
        connection.execute(
            sql.SQL("alter table {} rename column {} to {}").format(
                _table(one.was), sql.Identifier(was), sql.Identifier(now)
            )
        )
        connection.execute(SQL["rename_column"], {"mart": one.was, "was": was, "now": now})
    if one.widened:
        types = (
            # The type is one of WIDER.
            sql.SQL(f"alter column {{}} type {one.mart.types[column]}").format(sql.Identifier(column))
            for column in one.widened
        )
        connection.execute(sql.SQL("alter table {} {}").format(_table(one.was), sql.SQL(", ").join(types)))
    if one.was != one.mart.name:
        _rename(connection, {"was": one.was, "now": one.mart.name})
    audit_log.note(
        connection,
        "mart changed",
        {"mart": one.mart.name, "by": account(), "changes": list(one.lines())},
    )


def _drop_views(connection: psycopg.Connection, name: str) -> None:
    """Drop our views of a mart: PostgreSQL changes no column that a view shows. They are made again at the end."""
    views = mart_tables.views(connection, name)
    if others := [view for _, view, is_callmarts in views if not is_callmarts]:
        raise UserError(f"no mart was changed: {others[0]} reads the mart {name}; drop that view first")
    if names := [view for _, view, _ in views]:
        connection.execute(f"drop view {', '.join(names)}".encode())  # quoted by the catalogue
        connection.execute("delete from access.definition where object = any(%s)", [names])


def _rename(connection: psycopg.Connection, names: dict[str, str]) -> None:
    """Rename a mart's table with its months and indexes, and the mart in the books."""
    for kind, was, now in connection.execute(SQL["relations"], names).fetchall():
        connection.execute(
            sql.SQL(f"alter {kind} {{}} rename to {{}}").format(_table(was), sql.Identifier(now))
        )
    for book in BOOKS:
        connection.execute(SQL[book], names)
