"""The audit's checks of requests of persons: each is answered in time, with its evidence, and packages go in time."""

import psycopg

from callmart.audit.check import Check
from callmart.base import disk, sql_file
from callmart.base.settings import Settings
from callmart.database import clock
from callmart.privacy.package import shelf

SQL = sql_file.statements(__file__)


def of_requests(connection: psycopg.Connection) -> Check:
    """Check that no request waits for longer than its four weeks, and that none was answered without its evidence."""
    requests = connection.execute(SQL["requests"]).fetchall()
    found = [
        f"customer {customer}: request {number} {wrong}" for number, customer, wrong in requests if wrong
    ]
    return Check.of(
        "requests", "every request of a person is answered within four weeks, approved by another login, and proved",
        len(requests), found, applies=bool(requests),
    )  # fmt: skip


def of_packages(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that the packages for persons go when they have to."""
    found = [
        f"{file.relative_to(settings.home)}: run `callmart run`, and if it stays, remove it"
        for file in shelf.overdue(connection, settings, clock.today(connection, settings))
    ]
    there = len(list(disk.files(shelf.folder(settings))))
    return Check.of(
        "requests", f"no package for a person lies for longer than {shelf.KEPT_DAYS} days, or is nobody's",
        there, found, applies=there > 0,
    )  # fmt: skip
