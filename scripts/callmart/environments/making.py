"""Makes an environment: a database of its own, with the rows of the chosen customers and days, in which the project as
it is now is built, checked and opened.

What was done can be done again: the same command goes on after a kill.
"""

from dataclasses import dataclass

import psycopg

from callmart.access import memberships
from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.progress import OnStep
from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.build import window
from callmart.database import audit_log, clock, ledger_files, lock, schema, server
from callmart.declarations import checking, dbt_project
from callmart.environments import copying, databases, known
from callmart.environments.known import Environment
from callmart.opening import opening
from callmart.validate import suites
from callmart.validate.suites import Validated

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Made:
    """An environment that is ready, how many days of customers are open there, and what its checks say."""

    environment: Environment
    days: int
    validated: Validated


class Taken(UserError):
    """There is another environment of this name."""


def make(
    connection: psycopg.Connection,
    settings: Settings,
    name: str,
    customers: tuple[int, ...],
    days: int,
    on_step: OnStep,
) -> Made:
    """Make an environment, or go on with one that broke off. Commits.

    Rows are copied alone, as a run works; what is built afterwards disturbs nobody. Raises Taken if there is one of
    this name that is ready, or of other customers or days; UserError if the login may not make databases, or if the
    project can't be built.
    """
    own_settings = known.settings_of(connection, settings, name)
    checking.require(settings)
    with clock.guarded(connection, settings):
        environment = unfinished(connection, name, customers, days)
        if environment is None or environment.state == "copying":
            on_step("copy", "rows", 0, 1)
            today = clock.today(connection, settings)
            chosen = copying.choose(connection, settings, name, customers, days, today)
            environment = _begin(connection, settings, own_settings, chosen)
            on_step("copy", "rows", 1, 1)
    return _finish(connection, own_settings, environment, on_step)


def unfinished(
    connection: psycopg.Connection, name: str, customers: tuple[int, ...], days: int
) -> Environment | None:
    """Return the environment of this name to go on with; None if there is none. Raises Taken if it is another one."""
    found = next((one for one in known.all_of(connection) if one.name == name), None)
    if found is None or not found.customers:
        return found
    if found.state == "ready" or (found.customers, found.days) != (customers, days):
        raise Taken(
            f"there is an environment {name} already, of customer {', '.join(map(str, found.customers))} and "
            f"{several(found.days, 'day')}: choose another name, or remove it with `callmart try --drop {name}`"
        )
    return found


def _begin(
    connection: psycopg.Connection, settings: Settings, own_settings: Settings, environment: Environment
) -> Environment:
    """Make the database and copy the rows. Commits."""
    connection.commit()
    databases.drop(connection, settings, environment.name)
    databases.create(connection, environment)
    marts = dbt_project.marts(own_settings)
    with server.connect(own_settings) as own:
        schema.apply(own, own_settings)
        own.commit()
        copying.copy(connection, own, environment, marts)
        if ledger_files.in_home(settings).exists():
            secret_file(ledger_files.in_home(own_settings), ledger_files.in_home(settings).read_bytes())
        connection.commit()
        own.commit()
    copied = environment.model_copy(update={"state": "building"})
    databases.say(connection, copied)
    for customer in environment.customers:
        audit_log.note(
            connection,
            "environment made",
            {"environment": environment.name, "days": environment.days},
            customer,
        )
    connection.commit()
    return copied


def _finish(
    connection: psycopg.Connection, own_settings: Settings, environment: Environment, on_step: OnStep
) -> Made:
    """Build, check and open what was copied. Commits."""
    connection.commit()
    marts = dbt_project.marts(own_settings)
    with server.connect(own_settings) as own, lock.exclusive(own):
        memberships.apply(own, own_settings, marts)
        window.build(own, own_settings, lambda *model: on_step("build", *model))
        validated = suites.validate(own, own_settings, lambda *mart: on_step("validate", *mart))
        opening.open_build(own, own_settings)
        ((days, held_back),) = own.execute(SQL["opened"]).fetchall()
    ready = environment.model_copy(update={"state": "ready", "held_back": held_back})
    databases.say(connection, ready)
    connection.commit()
    return Made(ready, days, validated)
