"""Drops the environments that have ended and what is left of others, and lets the rest expire like everything else."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import date

import psycopg

from callmart.base.errors import UserError, kind
from callmart.base.settings import Settings
from callmart.database import lock, schema, server
from callmart.environments import databases, known
from callmart.environments.known import Environment
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
            if environment.state != "copying":  # until then its rows are not committed
                with server.connect(own_settings) as own, _unless_building(own, environment):
                    _bring_up_to_date(own, own_settings)
                    outcomes = expire.expire(own, own_settings, today)
                said = expire.overall(outcomes)
                if said in (expire.LOCKED, expire.CHANGED):
                    yield _left(environment.name, "somebody reads it")
                elif said == expire.STUCK:
                    yield _left(environment.name, said)
        except lock.Busy:
            connection.rollback()  # whoever builds it finishes it, or is killed: then the next run expires it
        except (UserError, psycopg.Error, OSError) as error:
            connection.rollback()
            yield _left(environment.name, kind(error))


def _bring_up_to_date(own: psycopg.Connection, own_settings: Settings) -> None:
    """Give an environment that was made before an upgrade what the expiry needs. Commits."""
    if schema.noted(own):  # otherwise it has no tables yet
        schema.ensure(own, own_settings)
        schema.note(own, own_settings.time_zone)
        own.commit()


def _unless_building(own: psycopg.Connection, environment: Environment) -> AbstractContextManager[None]:
    """Have an environment to oneself if it is not ready. Raises lock.Busy if it is being built."""
    return lock.exclusive(own) if environment.state == "building" else nullcontext()


def _left(name: str, why: str) -> str:
    return (
        f"the environment {name} did not expire ({why}): the next run tries again, or remove it with "
        f"`callmart try --drop {name}`"
    )
