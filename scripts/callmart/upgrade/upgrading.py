"""Plans and does an upgrade: migrations, then functions and views, then what changed in marts, then rights.

Each migration is a transaction of its own, and so is every later part. After a failure what was done stays, and the
next upgrade goes on from there.
"""

from collections.abc import Iterator

import psycopg

from callmart.access import memberships, sessions
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import clock, migrating, schema
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart.upgrade import marts as changes


def plan(connection: psycopg.Connection, settings: Settings, marts: list[Mart]) -> Iterator[str]:
    """What an upgrade would do, as sentences. Changes nothing.

    Raises UserError if it would do nothing, because a person has to decide about a mart.
    """
    of_schema = list(_of_schema(connection, settings))
    yield from of_schema
    try:
        planned = changes.planned(connection, marts)
    except UserError as undecided:
        if not of_schema:
            raise
        yield f"no mart is changed: {undecided}"
    else:
        for changed in planned:
            yield from changed.lines()


def _of_schema(connection: psycopg.Connection, settings: Settings) -> Iterator[str]:
    """What an upgrade would do besides the marts."""
    for migration in migrating.pending(connection):
        yield f"migration {migration}"
    if not schema.is_current(connection, settings.time_zone):
        yield "functions, views and policies are replaced"


def require(connection: psycopg.Connection, settings: Settings) -> None:
    """Raise UserError if marts are declared otherwise than the database has them, and only an upgrade can change that.
    A wrong declaration is left for the build to say.
    """
    try:
        marts = dbt_project.marts(settings)
    except UserError:
        return
    waiting = changes.planned(connection, marts)
    connection.rollback()
    if waiting:
        names = ", ".join(one.mart.name for one in waiting)
        raise UserError(
            f"nothing was done: what the YAML renames or widens in {names} waits for the upgrade: look at "
            "`callmart upgrade --plan`, back up, then run `callmart upgrade`"
        )


def upgrade(connection: psycopg.Connection, settings: Settings, marts: list[Mart]) -> memberships.Applied:
    """Bring everything up to date. Commits. If it is run again, it goes on from there.

    Raises UserError if the clock is not believed, if something can't be changed, or has to be decided by a person. Then
    no mart was changed, and everything else is up to date: what the person runs needs that.
    """
    if doubt := clock.read(connection, settings).doubt:
        raise UserError(f"nothing was done: {doubt}")
    try:
        changes.planned(connection, marts)
    except UserError:
        if any(_of_schema(connection, settings)):
            memberships.apply(connection, settings, None, lets_in=False)
        raise
    with sessions.making_way(connection):
        if any(_of_schema(connection, settings)):  # otherwise what was changed by hand is told below
            schema.apply(connection, settings)
            connection.commit()
        if changed := changes.planned(connection, marts):
            changes.apply(connection, marts, changed)
    return memberships.apply(connection, settings, marts, lets_in=False)
