"""Computes the window: dbt computes the dirty days, and the days that look back at them, into the schema `build`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from callmart.access import sessions
from callmart.base import sql_file
from callmart.base.progress import OnItem
from callmart.base.settings import Settings
from callmart.build import definitions, spreading
from callmart.build.definitions import Definitions
from callmart.database import clock
from callmart.declarations import checking, dbt_project, mart_tables
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Built:
    """What a build computed. `build_id` is None if no day was dirty."""

    build_id: int | None
    days: int


def build(connection: psycopg.Connection, settings: Settings, on_model: OnItem) -> Built:
    """Compute every dirty day that has not expired. Commits. If it is run again, it computes the same days again.

    `on_model` is called with the name of a model, how many are finished, and how many there are. Raises UserError if a
    declaration is wrong, or the clock has jumped.
    """
    checking.require(settings)
    on_model("dbt starts", 0, 1)
    with sessions.making_way(connection):
        dbt_project.load_beside()
        marts = dbt_project.marts(settings)
        clock.require(connection, settings)  # the window forgets dirty days that are too old
        days = _fill_window(connection, marts)
        idle = days == 0 and mart_tables.are_as_declared(connection, marts)
        # By the window's marks: what has landed since it was filled is not built.
        state = _state(connection, settings, 'select mark from build."window" where not reached')
        places = spreading.places(connection, settings) if days else []
        connection.commit()
        project = dbt_project.fingerprint_of_files()
        if places:
            models = spreading.run(connection, settings, marts, places, on_model)
        else:
            models = dbt_project.run(settings, on_model, only_statistics=idle)
    connection.execute(SQL["note_state"], {"state": Jsonb(state)})
    if days == 0:
        connection.commit()
        return Built(None, 0)
    row = connection.execute(
        "insert into ops.build (days, tables, definitions, project) values (%s, %s, %s, %s) returning build_id",
        [
            days,
            Jsonb(computed_tables(connection, marts)),
            Jsonb(definitions.of_build(connection, project, models, marts)),
            project,
        ],
    ).fetchone()
    connection.commit()
    assert row is not None
    return Built(row[0], days)


@dataclass(frozen=True)
class Unopened:
    """A build that nobody has opened yet, with the tables that it made and the definitions that it computed by."""

    build_id: int
    built_at: datetime
    is_validated: bool
    tables: Mapping[str, int | None]
    definitions: Definitions | None


def unopened(connection: psycopg.Connection) -> Unopened | None:
    """The last build; None if it is open, or there is none."""
    with connection.cursor(row_factory=class_row(Unopened)) as cursor:
        return cursor.execute(SQL["unopened"]).fetchone()


def is_up_to_date(connection: psycopg.Connection, settings: Settings) -> bool:
    """Whether a build would compute the same as the last one: nothing was marked, released or discarded since, the same
    customers are closed, no file of the project has changed, and no month can be frozen. While days are dirty, it is
    also the same day. Commits.
    """
    marts = dbt_project.marts(settings)
    connection.execute("select ops.follow_time(%s)", [clock.now(connection)])
    state = Jsonb(_state(connection, settings, "select mark from ops.begun_days(%(moment)s)"))
    ((is_built,),) = connection.execute(SQL["is_built"], {"state": state}).fetchall()
    is_whole = is_built and mart_tables.are_as_declared(connection, marts)
    connection.commit()
    return bool(is_whole)


def _state(connection: psycopg.Connection, settings: Settings, dirty: LiteralString) -> dict[str, object]:
    """What decides what a build of the dirty days computes. `dirty` is the query of their marks."""
    project = f"{dbt_project.fingerprint_of_files()} {checking.fingerprint_of_files()}"
    query = sql.SQL(SQL["state"]).format(dirty=sql.SQL(dirty))
    given = {"zone": settings.time_zone, "project": project, "moment": clock.now(connection)}
    ((state,),) = connection.execute(query, given).fetchall()
    return state  # type: ignore[no-any-return]


def _fill_window(connection: psycopg.Connection, marts: list[Mart]) -> int:
    """Put into the window the dirty days that have begun, and the open days that look back at them. Days that are too
    old, or that no contract keeps, are left out, however late their file came. Returns the number of dirty days.
    """
    reaches = {mart.name: mart.reach_days for mart in marts}
    ((days,),) = connection.execute(
        "select ops.fill_window(%s, %s)", [Jsonb(reaches), clock.now(connection)]
    ).fetchall()
    return int(days)


def computed_tables(connection: psycopg.Connection, marts: list[Mart]) -> dict[str, int | None]:
    """The oid of each mart's table in `build`. Each build makes new tables, so they identify it. They are below 0 if no
    table has a row, as a crash of the server leaves them. A mart that was renamed or widened since has no table there.
    """
    tables: dict[str, int | None] = {}
    has_rows = False
    for mart in marts:
        table = sql.Identifier("build", mart.name)
        ((oid,),) = connection.execute(
            "select to_regclass(%s)::oid::bigint", [table.as_string(connection)]
        ).fetchall()
        if oid is not None and not has_rows:
            exists = sql.SQL("select exists (select 1 from {})").format(table)
            ((has_rows,),) = connection.execute(exists).fetchall()
        tables[mart.name] = oid
    return tables if has_rows else {name: oid and -oid for name, oid in tables.items()}
