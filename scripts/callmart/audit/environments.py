"""The audit's check of environments (`callmart try`)."""

from collections.abc import Iterator

import psycopg

from callmart.access import roles
from callmart.audit.check import Check
from callmart.base.errors import UserError, kind
from callmart.base.settings import Settings
from callmart.database import clock, server
from callmart.environments import known
from callmart.environments.known import Environment
from callmart.retention import expiry_plan


def of_environments(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that each environment holds only customers with a contract, that none of them has a login there, and that
    it expires, and is gone when it has ended. That nobody else gets in is a check of limits.
    """
    environments = known.all_of(connection)
    found = [text for environment in environments for text in _breaches(connection, settings, environment)]
    connection.rollback()
    return Check.of(
        "environments", "each holds customers with a contract only, without logins, expires, and goes when it ends",
        len(environments), found, applies=bool(environments),
    )  # fmt: skip


def _breaches(connection: psycopg.Connection, settings: Settings, environment: Environment) -> Iterator[str]:
    database = known.database_of(connection, environment.name)
    if environment.ends_on < clock.today(connection, settings):
        yield f"{environment.name} ended on {environment.ends_on}"
    for (customer_id,) in connection.execute(
        "select customer_id from unnest(%s::integer[]) as customer_id"
        " except select customer_id from registry.current_option",
        [list(environment.customers)],
    ):
        yield f"{environment.name} holds customer {customer_id}, who has no contract"
    for (role,) in connection.execute("select rolname from pg_roles where rolcanlogin"):
        if roles.customer_of(database, role) is not None:
            yield f"{role} may log in"
    if environment.state != "copying":
        try:
            own_settings = known.settings_of(connection, settings, environment.name)
            with server.connect(own_settings) as own:
                due = expiry_plan.too_old(own, own_settings)
        except (UserError, psycopg.Error) as error:
            yield f"{environment.name} can't be looked at ({kind(error)})"
            return
        for step in due:
            yield f"{environment.name}: {step.what}: {step.why}"
