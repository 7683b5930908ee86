"""Retire: a mart that the project has taken out goes from the database, with everything that the books say of it.

Its part of the extracts goes with the next extract, and what stands on Tableau with the next publication.
"""

import getpass
import time
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import lock
from callmart.declarations import dbt_project, standing
from callmart.retention import expire, expired_months

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Plan:
    """What goes with a mart, counted by what it is."""

    name: str
    table: str
    views: tuple[str, ...]
    goes: dict[str, int]


def plan(connection: psycopg.Connection, settings: Settings, name: str) -> Plan:
    """What would go. Changes nothing; UserError where the project declares the mart, or it is none."""
    declared = dbt_project.marts(settings)
    left = {mart.name for mart in standing.undeclared(connection, declared)}
    table = f"{standing.SHOWN}.{name}"
    if name in {mart.name for mart in declared}:
        raise UserError(
            f"the project declares {table}: nothing was retired; take its .sql and .yml out of models/marts first"
        )
    if name not in left:
        known = f"not declared any more: {', '.join(sorted(left))}" if left else "all marts are declared"
        raise UserError(f"there is no mart {name} to retire; {known}")
    views = _views(connection, name)
    counted = {
        f"rows of {table}": f"select count(*) from {standing.SCHEMA}.{sql.Identifier(name).as_string()}",
        "months that they stand in": f"""
            select count(*) from pg_partition_tree(to_regclass('{standing.SCHEMA}.' || quote_ident(%(mart)s)))
            where isleaf and level > 0
        """,
        "opened days": "select count(*) from ops.opened_day where mart = %(mart)s",
        "results of its checks": "select count(*) from ops.quality_result where mart = %(mart)s",
        "days that its checks held back": f"select count(*) from ({SQL['held_back']}) as held_back",
    }
    goes = {what: _one(connection, query, name) for what, query in counted.items()}
    return Plan(name, table, views, goes | {f"the view {view}": 1 for view in views})


def retire(connection: psycopg.Connection, planned: Plan) -> bool:
    """Remove it all, in one transaction. False where a reader keeps the table's lock; then nothing has gone."""
    connection.commit()
    for attempt in range(expire.TRIES):
        if attempt:
            time.sleep(expire.PAUSE_S)
        try:
            with connection.transaction():
                _remove(connection, planned)
            return True
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
    return False


def _remove(connection: psycopg.Connection, planned: Plan) -> None:
    lock.wait_at_most(connection, expired_months.READERS_WAIT)
    # With its months and its own views: `plan` has refused all others.
    connection.execute(sql.SQL("drop table {} cascade").format(sql.Identifier(standing.SCHEMA, planned.name)))
    connection.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("build", planned.name)))
    connection.execute("delete from access.definition where object = any(%s)", [list(planned.views)])
    whose = {"mart": planned.name}
    held_back = sql.SQL(f"({SQL['held_back']})")
    for name in ("release", "keep_other_causes"):
        connection.execute(sql.SQL(SQL[name]).format(held_back=held_back), whose)
    for statement in (
        "delete from ops.opened_day where mart = %(mart)s",
        "delete from ops.quality_result where mart = %(mart)s",
        "update ops.build set tables = tables - %(mart)s::text where tables ? %(mart)s",
    ):
        connection.execute(statement, whose)
    connection.execute(
        "insert into ops.audit_log (action, details) values ('retired', %s)",
        [Jsonb({"mart": planned.name, "by": getpass.getuser(), **planned.goes})],
    )


def _views(connection: psycopg.Connection, name: str) -> tuple[str, ...]:
    """The views that read the mart or a month of it, also through another; UserError where one is not callmart's."""
    views = connection.execute(SQL["views"], {"schema": standing.SCHEMA, "mart": name}).fetchall()
    if others := [view for view, is_callmarts in views if not is_callmarts]:
        raise UserError(f"nothing was retired: {others[0]} reads the mart; drop that view first")
    return tuple(view for view, _ in views)


def _one(connection: psycopg.Connection, query: str, mart: str) -> int:
    ((count,),) = connection.execute(query, {"mart": mart}).fetchall()
    return int(count)
