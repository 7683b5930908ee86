"""Finds the files that an expiry deletes."""

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path

import psycopg
from psycopg import sql

from callmart.base import disk, sql_file
from callmart.base.settings import Settings
from callmart.extract import extract
from callmart.mailing import places as outbox
from callmart.reports import shelf
from callmart.retention.expired_rows import PASSED_BUILDS
from callmart.retention.expiry_steps import Steps
from callmart.validate import quality_pages

SQL = sql_file.statements(__file__)


def find(steps: Steps) -> None:
    """Add the steps that delete files."""
    extracts = extract.folder(steps.settings)
    old = _old_extracts(steps.connection, steps.settings, steps.floor)

    def read_again(connection: psycopg.Connection) -> None:
        # The rows stay: Tableau has what they say, and keeps it if the next extract fails.
        for _, customer_id, group in old:
            extract.read_again(connection, customer_id, group)

    steps.paths(
        f"{extracts}/*/*.hyper",
        f"contain days before {steps.floor}; the next extract writes them again",
        lambda connection: [path for path, *_ in _old_extracts(connection, steps.settings, steps.floor)],
        read_again,
    )
    steps.paths(
        f"{extracts}/*/*.hyper",
        "left by an interrupted extract; their contents are unknown",
        lambda connection: _unknown_extracts(connection, steps.settings),
    )
    steps.paths(
        f"{steps.settings.home / disk.TEMPORARY}/*/*",
        "left by a command that was killed",
        lambda _: _left(steps.settings),
        is_too_old=False,
    )
    pages = f"{quality_pages.folder(steps.settings)}/*.html"
    steps.paths(
        pages,
        f"results of checks before {steps.floor}",
        lambda _: _old_pages(steps.settings, steps.floor),
        lambda _: quality_pages.write_index(steps.settings),
    )
    steps.paths(
        pages,
        "results of checks of builds that have left the books",
        lambda connection: _passed_pages(connection, steps.settings, steps.values),
        lambda _: quality_pages.write_index(steps.settings),
        is_too_old=False,
    )
    steps.paths(
        f"{shelf.folder(steps.settings)}/*/*.html",
        f"drawn reports with days before {steps.floor}",
        lambda _: shelf.too_old(steps.settings, steps.floor),
        lambda connection: shelf.tidy(connection, steps.settings),
    )
    steps.paths(
        f"{outbox.folder(steps.settings)}/*/*.eml",
        f"mails with days before {steps.floor}",
        lambda _: outbox.too_old(steps.settings, steps.floor),
    )


def _left(settings: Settings) -> list[Path]:
    """The temporary files that nobody has written to for a day. What works without the lock has younger ones."""
    before, found = time.time() - 24 * 3600, list[Path]()
    for file in disk.files(settings.home / disk.TEMPORARY):
        with suppress(FileNotFoundError):
            found += [file] * (file.lstat().st_mtime < before)
    return found


def _old_extracts(
    connection: psycopg.Connection, settings: Settings, floor: date
) -> list[tuple[Path, int, str]]:
    """The extracts whose oldest day is before the floor, as (path, customer, group): those on disk, and those of which
    an expiry that was broken off deleted only the file.
    """
    old = connection.execute(
        """
        select customer_id, mart_group, basis ? 'opened' from ops.extract
        where (basis ->> 'oldest')::date < %s
        order by customer_id, mart_group
        """,
        [floor],
    )
    return [
        (path, customer_id, group)
        for customer_id, group, is_known in old
        if (path := extract.place(settings, customer_id, group)).exists() or is_known
    ]


def _unknown_extracts(connection: psycopg.Connection, settings: Settings) -> list[Path]:
    known = {
        str(extract.place(settings, customer_id, group))
        for customer_id, group in connection.execute("select customer_id, mart_group from ops.extract")
    }
    found = [one.path for one in disk.entries(extract.folder(settings)) if one.path.endswith(".hyper")]
    return [Path(path) for path in found if path not in known]


def _old_pages(settings: Settings, floor: date) -> list[Path]:
    """The pages of checks before the floor."""
    return sorted(path for path, day, _ in quality_pages.of_builds(settings) if day < str(floor))


def _passed_pages(
    connection: psycopg.Connection, settings: Settings, values: Mapping[str, object]
) -> list[Path]:
    """The other pages of checks before today, of builds that have left the books or leave them now."""
    query = sql.SQL(SQL["kept_builds"]).format(passed=PASSED_BUILDS)
    kept = {build for (build,) in connection.execute(query, values)}
    floor, today = str(values["floor"]), str(values["today"])
    return sorted(
        path
        for path, day, build in quality_pages.of_builds(settings)
        if floor <= day < today and build not in kept
    )
