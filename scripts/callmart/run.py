"""Run: the nightly stages in order, unattended, one run at a time.

Every stage commits what it has done and starts from what is there, so that the next run finishes what a crash left.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from callmart import (
    build,
    expire,
    extract,
    land,
    logins,
    months,
    open,
    publication,
    publish,
    remove,
    tableau,
    validate,
)
from callmart.errors import UserError
from callmart.lock import exclusive
from callmart.prepare import Defaults
from callmart.settings import Folder, Settings

OnStep = Callable[[str, str, int, int], None]  # stage, item, finished, of


@dataclass
class Ran:
    """What a run did; `problems` are what a person should look at."""

    removed_customers: int = 0  # of whom something went that no contract keeps
    expired: int = 0  # rows and files
    files: list[land.Landed] = field(default_factory=list)
    built_days: int = 0
    opened_days: int = 0
    opened_rows: int = 0
    held_back_days: int = 0
    warnings: int = 0
    extracts: int = 0
    extracts_written: int = 0
    published_changes: int = 0
    problems: list[str] = field(default_factory=list)


def run(connection: psycopg.Connection, settings: Settings, on_step: OnStep) -> Ran:
    """Remove what no contract keeps, expire, make months, land the folders of callmart.toml, then build, validate,
    open, extract and publish.
    """
    ran = Ran()
    with exclusive(connection):
        remove_closed(connection, settings, ran, on_step)
        expire_and_make_months(connection, settings, ran, on_step)
        land_folders(settings, ran, on_step)
        try:
            build_and_open(connection, settings, ran, on_step)
        except open.Drifted as drifted:  # nor may anything leave
            ran.problems.append(str(drifted))
        else:
            deliver(connection, settings, ran, on_step)
    return ran


def remove_closed(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Close what the contracts close today, and remove what they keep no more."""
    on_step("remove", "looking for what no contract keeps", 0, 1)
    removed = remove.remove(
        connection, settings, lambda customer, *step: on_step("remove", f"customer {customer}", *step)
    )
    on_step("remove", "done", 1, 1)
    ran.removed_customers = len(removed)


def expire_and_make_months(
    connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep
) -> None:
    """Remove what is too old; then make the months ahead. Neither stops the other or the run, whatever goes wrong."""
    try:
        on_step("expire", "looking for what is too old", 0, 1)
        outcomes = expire.expire(connection, settings, expire.today(settings))
        ran.expired = expire.taken(outcomes)
        ran.problems += [
            f"{one.step.what} did not expire: {one.outcome}; the next run tries again, and docs/runbook.md says more"
            for one in outcomes
            if one.outcome != expire.DONE
        ]
    except Exception as error:
        connection.rollback()
        ran.problems.append(f"the expiry broke off ({_kind(error)}): run `callmart expire` to finish it")
    on_step("expire", "", 1, 1)
    try:
        months.ensure_ahead(connection, settings)
    except Exception as error:
        connection.rollback()
        ran.problems.append(f"the months ahead were not made ({_kind(error)}): the next run tries again")


def _kind(error: Exception) -> str:
    """What went wrong, without the words of the database, which can hold a row."""
    if isinstance(error, UserError):
        return str(error)
    state = getattr(error, "sqlstate", None)
    return f"SQLSTATE {state}" if state else type(error).__name__


def land_folders(settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Land what stands in the folders. A file that can't be landed is a problem, and the others land."""
    work = [(folder, path) for folder in settings.folders for path in land.folder_files(folder)]
    with logins.connect(settings, "loader") as loader:
        for number, (folder, path) in enumerate(work):
            try:
                ran.files.append(land.land(loader, settings, path, folder.format, defaults(folder)))
            except UserError as mistake:
                loader.rollback()
                ran.problems.append(str(mistake))
            on_step("land", path.name, number + 1, len(work))


def defaults(folder: Folder) -> Defaults:
    """What callmart.toml says of all files of a folder."""
    return Defaults(folder.customer, folder.platform, "platform" in folder.model_fields_set, folder.time_zone)


def build_and_open(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Compute the dirty days, check them, and open those that pass."""
    ran.built_days = build.build(connection, settings, lambda *step: on_step("build", *step)).days
    validated = validate.validate(connection, settings, lambda *step: on_step("validate", *step))
    ran.warnings = validated.warnings
    opened = open.open_build(connection, settings)
    on_step("open", "marts", 1, 1)
    ran.opened_days, ran.opened_rows, ran.held_back_days = opened.days, opened.rows, opened.held_back
    if opened.held_back:
        ran.problems.append(f"{opened.held_back} days were held back by their checks: see `callmart status`")


def deliver(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Write the extracts and make Tableau hold what it should."""
    extracts = extract.extract(
        connection, settings, lambda customer, *step: on_step("extract", f"customer {customer}", *step)
    )
    ran.problems += [str(found) for found in extracts if isinstance(found, extract.Unproven)]
    ran.extracts = len(extracts)
    ran.extracts_written = sum(
        1 for found in extracts if isinstance(found, extract.Extract) and found.written
    )
    on_step("publish", "reading what is there", 0, 1)
    with tableau.connect(settings) as server:
        books = publication.books(connection, settings)
        desired = publication.desired(connection, settings)
        connection.commit()
        plan = publish.plan(desired, publish.read(server, books), adopts=False)
        outcomes = publication.apply(
            connection, settings, server, plan, lambda *step: on_step("publish", *step)
        )
    ran.published_changes = sum(len(outcome.done) for outcome in outcomes)
    ran.problems += [said for outcome in outcomes for said in (outcome.error, outcome.alert) if said]
