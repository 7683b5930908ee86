"""What the tests of checks share: days that are computed anew, and what is found of them."""

from datetime import date

import psycopg
import pytest
from psycopg.types.json import Jsonb

from callmart.base.progress import quietly
from callmart.build import window
from callmart.declarations import dbt_project
from callmart.validate import suites
from callmart_home import Callmart, leave_dirty
from centre import DAYS, WITH_DATA

Day = tuple[int, date]

EVERY_DAY = [(customer, day) for customer in WITH_DATA for day in DAYS]


def compute(callmart: Callmart, connection: psycopg.Connection, days: list[Day]) -> None:
    """Build these days, and no others."""
    leave_dirty(connection, days)
    window.build(connection, callmart.settings, quietly)


def as_computed(callmart: Callmart, connection: psycopg.Connection) -> None:
    """Let the last build have computed what its tables have now."""
    tables = window.computed_tables(connection, dbt_project.marts(callmart.settings))
    connection.execute("update ops.build set tables = %s where opened_at is null", [Jsonb(tables)])


def only(patch: pytest.MonkeyPatch, *marts: str) -> None:
    """Let only these marts be checked: Great Expectations takes twenty times as long for all of them."""
    expected = suites.expectations
    patch.setattr(suites, "expectations", lambda mart: expected(mart) if mart.name in marts else [])


def check(callmart: Callmart, connection: psycopg.Connection, *marts: str) -> suites.Validated:
    """What is found of these marts, or of all."""
    connection.commit()
    with pytest.MonkeyPatch.context() as patch:
        if marts:
            only(patch, *marts)
        return suites.validate(connection, callmart.settings, quietly)
