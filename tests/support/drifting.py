"""What differs from what is declared, and what is mended, as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from callmart.access import drift, memberships
from callmart.access.difference import Drift
from callmart.declarations import dbt_project
from callmart_home import Callmart


def drifted(callmart: Callmart) -> list[str]:
    with callmart.connect() as owner:
        return [one.text for one in drift.find(owner, dbt_project.marts(callmart.settings))]


def apply(callmart: Callmart) -> list[str]:
    with callmart.connect() as owner:
        return [
            one.text
            for one in memberships.apply(
                owner, callmart.settings, dbt_project.marts(callmart.settings)
            ).mended
        ]


@contextmanager
def owner_after(callmart: Callmart, statements: str) -> Iterator[psycopg.Connection]:
    """A session with the owner's rights, after a superuser's statements, which are undone."""
    with callmart.superuser(keep=False) as session:
        session.execute(statements.encode())
        session.execute("set local role callmart_owner; set local search_path = pg_catalog")
        yield session


def found_after(callmart: Callmart, statements: str) -> Iterator[Drift]:
    """All drift that stops, after a superuser's statements, which are undone."""
    with owner_after(callmart, statements) as owner:
        yield from (one for one in drift.find(owner, dbt_project.marts(callmart.settings)) if one.stops)
