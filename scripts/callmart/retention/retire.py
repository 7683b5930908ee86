"""Retires a mart: removes one that the project no longer declares from the database, with all records of it.

The next extract removes it from the extracts, and the next publication from Tableau.
"""

import time
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.account import account
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import audit_log, lock, vacuum
from callmart.declarations import dbt_project, mart_tables

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Plan:
    """What is removed with a mart, counted by kind."""

    name: str
    table: str
    views: tuple[str, ...]
    goes: dict[str, int]


def plan(connection: psycopg.Connection, settings: Settings, name: str) -> Plan:
    """Return what would be removed. Changes nothing.

    Raises UserError if the project declares the mart, there is no such mart, or a view of somebody else reads it.
    """
    declared = dbt_project.marts(settings)
    left = {mart.name for mart in mart_tables.undeclared(connection, declared)}
    table = f"{mart_tables.SHOWN}.{name}"
    if name in {mart.name for mart in declared}:
        raise UserError(
            f"the project declares {table}: nothing was retired; remove its .sql and .yml from models/marts first"
        )
    if renamed := mart_tables.becomes(connection, name, declared):
        raise UserError(
            f"{table} is declared as {renamed.name} now: nothing was retired; run `callmart upgrade`"
        )
    if name not in left:
        known = f"not declared any more: {', '.join(sorted(left))}" if left else "all marts are declared"
        raise UserError(f"there is no mart {name} to retire; {known}")
    views = _views(connection, name)
    counted = {
        f"rows of {table}": f"select count(*) from {mart_tables.SCHEMA}.{sql.Identifier(name).as_string()}",
        "monthly partitions": f"""
            select count(*) from pg_partition_tree(to_regclass('{mart_tables.SCHEMA}.' || quote_ident(%(mart)s)))
            where isleaf and level > 0
        """,
        "opened days": "select count(*) from ops.opened_day where mart = %(mart)s",
        "results of its checks": "select count(*) from ops.quality_result where mart = %(mart)s",
        "days that its checks held back": f"select count(*) from ({SQL['held_back']}) as held_back",
    }
    goes = {what: _one(connection, query, name) for what, query in counted.items()}
    return Plan(name, table, views, goes | {f"the view {view}": 1 for view in views})


def retire(connection: psycopg.Connection, planned: Plan) -> bool:
    """Remove all of it, in one transaction. Returns False, with nothing removed, if a reader keeps the table locked."""
    connection.commit()
    for attempt in range(vacuum.TRIES):
        if attempt:
            time.sleep(vacuum.PAUSE_S)
        try:
            with connection.transaction():
                _remove(connection, planned)
            return True
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
    return False


def _remove(connection: psycopg.Connection, planned: Plan) -> None:
    lock.wait_at_most(connection, vacuum.READERS_WAIT)
    connection.execute(
        "delete from access.mart where relation = to_regclass(%s)",
        [sql.Identifier(mart_tables.SCHEMA, planned.name).as_string()],
    )
    # This drops its months and views as well; `plan` has made sure that no other views depend on it.
    connection.execute(
        sql.SQL("drop table {} cascade").format(sql.Identifier(mart_tables.SCHEMA, planned.name))
    )
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("build", planned.name)))
    connection.execute("delete from access.definition where object = any(%s)", [list(planned.views)])
    parameters = {"mart": planned.name}
    held_back = sql.SQL(f"({SQL['held_back']})")
    for name in ("release", "keep_other_causes"):
        connection.execute(sql.SQL(SQL[name]).format(held_back=held_back), parameters)
    for statement in (
        "delete from ops.opened_day where mart = %(mart)s",
        "delete from ops.quality_result where mart = %(mart)s",
        "delete from ops.definition where mart = %(mart)s",
        "update ops.build set tables = tables - %(mart)s::text, definitions = definitions - %(mart)s::text"
        " where tables ? %(mart)s",
    ):
        connection.execute(statement, parameters)
    audit_log.note(connection, "retired", {"mart": planned.name, "by": account(), **planned.goes})


def _views(connection: psycopg.Connection, name: str) -> tuple[str, ...]:
    """The views that read the mart or a month of it, directly or through other views. Raises UserError if one is not
    callmart's.
    """
    views = mart_tables.views(connection, name)
    if others := [view for _, view, is_callmarts in views if not is_callmarts]:
        raise UserError(f"nothing was retired: {others[0]} reads the mart; drop that view first")
    return tuple(view for _, view, _ in views)


def _one(connection: psycopg.Connection, query: str, mart: str) -> int:
    ((count,),) = connection.execute(query, {"mart": mart}).fetchall()
    return int(count)
