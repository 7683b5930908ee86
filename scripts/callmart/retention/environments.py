"""Drops the environments that have ended and what is left of others, and lets the rest expire like everything else."""

from collections.abc import Iterator
from datetime import date

import psycopg

from callmart.base.errors import UserError, kind
from callmart.base.settings import Settings
from callmart.database import server
from callmart.environments import databases, known
from callmart.retention import expire


def follow(connection: psycopg.Connection, settings: Settings, today: date) -> Iterator[str]:
    """Drop what has ended, and expire the rest. Yields one sentence per environment in which that was not possible."""
    environments = known.all_of(connection)
    environments += known.half_removed(settings, environments)
    connection.commit()
    for environment in environments:
        try:
            if environment.ends_on <= today:
                databases.drop(connection, settings, environment.name)
                continue
            own_settings = known.settings_of(connection, settings, environment.name)
            connection.commit()
            if environment.state == "ready":
                with server.connect(own_settings) as own:
                    outcomes = expire.expire(own, own_settings, today)
                said = expire.overall(outcomes)
                if said in (expire.LOCKED, expire.CHANGED):
                    yield _left(environment.name, "somebody reads it")
                elif said == expire.STUCK:
                    yield _left(environment.name, said)
        except (UserError, psycopg.Error, OSError) as error:
            connection.rollback()
            yield _left(environment.name, kind(error))


def _left(name: str, why: str) -> str:
    return (
        f"the environment {name} did not expire ({why}): the next run tries again, or remove it with "
        f"`callmart try --drop {name}`"
    )
