"""The audit computes days anew from the events, by the models of builds, and compares each cell of the marts.

It takes days of customers at random, and first those of which something was written since they were opened: PostgreSQL
says of each row which transaction wrote it. As a control, a row of each mart is taken away, and has to be missed.
All is in temporary tables, which end with the transaction. The result names marts, customers, days and counts.
"""

from collections.abc import Mapping
from dataclasses import replace

import psycopg
from psycopg import sql

from callmart.audit.check import Check
from callmart.base import sql_file
from callmart.base.identifiers import listed
from callmart.base.matrix import USAGE, matrix
from callmart.base.settings import Settings
from callmart.build import temporary
from callmart.database import cluster
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)

NAME = "what marts show is what the events say"
# Of customers; twenty thousand calls take some twenty seconds.
DAYS, CALLS = 200, 20_000

_REMEDY = 'find out who changed the mart or the events, then read docs/runbook.md, "Build days anew"'


def of_days(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check days, in a transaction of its own: the caller's is rolled back."""
    connection.rollback()
    with connection.transaction(force_rollback=True):
        # One moment for all that is read: a run may be at work meanwhile.
        connection.execute("set transaction isolation level repeatable read")
        return look(connection, settings)


def look(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check days that nothing waits for, and that the project of now has computed. Not on a cluster, whose nodes have
    the events, and don't say who wrote a row.
    """
    if cluster.is_coordinator(connection):
        return Check.of("quality", NAME, 0, [], applies=False)
    declared = {mart.name: mart for mart in dbt_project.marts(settings) if mart.group != USAGE}
    controls, found = list[bool](), list[str]()
    with connection.transaction(force_rollback=True):
        open_marts = choose(connection, declared)
        if open_marts:
            _compute(connection, settings, declared)
            for mart in open_marts:
                found += [
                    f"{mart.name}, customer {customer}{f', {day}' if mart.day else ''}: {rows} rows differ; {_REMEDY}"
                    for customer, day, rows in connection.execute(_of_both(mart, "compared"))
                ]
                if connection.execute(_of_both(mart, "take_away")).rowcount:
                    controls.append(bool(connection.execute(_of_both(mart, "compared")).fetchall()))
    looked_at = len(controls) if all(controls) else 0
    return Check.of("quality", NAME, looked_at, found, applies=bool(open_marts))


def choose(connection: psycopg.Connection, declared: Mapping[str, Mart]) -> list[Mart]:
    """Put days that have rows into the window of the models, in the caller's transaction. Returns the marts that can be
    compared, none if there is no such day.
    """
    project = dbt_project.fingerprint_of_files()
    ordered = [mart.name for mart in declared.values() if matrix().is_ordered(mart.group)]
    connection.execute(SQL["fit"], {"project": project, "marts": list(declared), "ordered": ordered})
    found = [declared[name] for (name,) in connection.execute("select distinct mart from pg_temp.fit")]
    connection.execute(SQL["touched"])
    connection.execute(SQL["touched_events"])
    for mart in (mart for mart in found if mart.day):
        query = sql.SQL(SQL["touched_rows"]).format(
            mart=sql.Identifier(mart_tables.SCHEMA, mart.name),
            name=sql.Literal(mart.name),
            day=mart_tables.day_of(mart, "m"),
        )
        connection.execute(query)
    temporary.make_window(connection)
    chosen = connection.execute(SQL["choose"], {"days": DAYS, "calls": CALLS}).rowcount
    connection.execute(SQL["unchosen"])
    return sorted(found, key=lambda mart: mart.name) if chosen else []


def _compute(connection: psycopg.Connection, settings: Settings, marts: Mapping[str, Mart]) -> None:
    connection.execute("set local work_mem = '64MB'")
    models = dbt_project.compiled(settings, dbt_project.MARTS, temporary.SCHEMA)
    temporary.compute(
        connection,
        [
            replace(one, sql=_as_stored(marts[one.name], one.sql)) if one.name in marts else one
            for one in models
        ],
    )


def _as_stored(mart: Mart, query: str) -> str:
    """The query of a mart's model with the types of the mart's columns."""
    columns = ", ".join(f'"{column.name}"::{column.data_type} as "{column.name}"' for column in mart.declared)
    return f"select {columns} from ({query}) as model"


def _of_both(mart: Mart, statement: str) -> sql.Composed:
    """A statement on what is stored of a mart and what is computed."""
    return sql.SQL(SQL[statement]).format(
        columns=listed(mart.columns),
        key=listed(mart.key),
        day=mart_tables.day_of(mart, "m"),
        has_days=sql.Literal(mart.day is not None),
        stored=sql.Identifier(mart_tables.SCHEMA, mart.name),
        computed=sql.Identifier(temporary.SCHEMA, mart.name),
        name=sql.Literal(mart.name),
    )
