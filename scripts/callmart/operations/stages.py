"""What each stage of the nightly run does. `run` does them in order.

Each commits what it has done and starts from what is there. What a person has to look at it notes as a problem.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec

import psycopg

from callmart.access import memberships
from callmart.base import log
from callmart.base.errors import UserError, is_disk_full, kind
from callmart.base.progress import OnStep, by_customer
from callmart.base.settings import Folder, Settings
from callmart.build import months, window
from callmart.database import audit_log, clock, log_seals
from callmart.declarations import checking, dbt_project, mart_tables
from callmart.extract import extract
from callmart.extract.drafts import Unproven
from callmart.land import arriving, landing, taking_away
from callmart.land.found import Delivery
from callmart.land.gate import Defaults
from callmart.mailing import mailing
from callmart.opening import opening
from callmart.operations import rebuild
from callmart.operations.record import held_back, runs_come_often
from callmart.privacy import server_files
from callmart.privacy.package import shelf
from callmart.publish import sites, tableau
from callmart.retention import environments, expire, expired_tombstones, remove
from callmart.validate import suites

P = ParamSpec("P")

AGAIN = "the next run tries again"


@dataclass
class Ran:
    """What a run did. `problems` are for a person to look at. A run that was skipped did nothing."""

    skipped: str = ""  # why
    removed_customers: int = 0  # customers of whom data was removed that no contract keeps
    expired: int = 0  # rows and files
    files: list[landing.Landed] = field(default_factory=list)
    built_days: int = 0
    opened_days: int = 0
    opened_rows: int = 0
    held_back_days: int = 0
    rebuilt_days: int = 0
    warnings: int = 0
    extracts: int = 0
    extracts_written: int = 0
    published_changes: int = 0
    mails: int = 0
    seal: int = 0  # the entry of the audit log that seals it today
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str, customer_id: int | None = None) -> None:
        """Note and log a problem, once even if it is found several times."""
        if problem not in self.problems:
            self.problems.append(problem)
            log.line("warning", problem, customer=customer_id)

    def note_all(self, problems: Iterable[str]) -> None:
        """Note several."""
        for problem in problems:
            self.note(problem)

    def note_error(self, error: Exception, broke_off: str, remedy: str = AGAIN) -> None:
        """Note an error. Only the message of a UserError is safe to show, and the name of a file."""
        if isinstance(error, UserError):
            self.note(str(error))
            return
        file = str(error.filename or "") if isinstance(error, OSError) else ""
        place = f"{file}: " if file not in broke_off else ""
        room = "make room, and " if is_disk_full(error) else ""
        self.note(f"{broke_off} ({place}{kind(error)}): {room}{remedy}")


Stage = Callable[[psycopg.Connection, Settings, Ran, OnStep], None]

# What the record keeps of each stage. The others have no counts.
COUNTS: dict[str, Callable[[Ran], dict[str, int]]] = {
    "remove": lambda ran: {"customers": ran.removed_customers},
    "expire": lambda ran: {"deleted": ran.expired},
    "land": lambda ran: {
        "files": len(ran.files),
        "unchanged": sum(file.unchanged for file in ran.files),
        "landed": sum(file.landed for file in ran.files),
        "rejected": sum(file.rejected for file in ran.files),
        "turned_away": sum(file.turned_away for file in ran.files),
        "erased": sum(file.erased for file in ran.files),
    },
    "build": lambda ran: {"days": ran.built_days},
    "validation": lambda ran: {"warnings": ran.warnings},
    "opening": lambda ran: {
        "days": ran.opened_days,
        "rows": ran.opened_rows,
        "held_back": ran.held_back_days,
    },
    "rebuild": lambda ran: {"days": ran.rebuilt_days},
    "extract": lambda ran: {"extracts": ran.extracts, "written": ran.extracts_written},
    "publish": lambda ran: {"changes": ran.published_changes},
    "mail": lambda ran: {"mails": ran.mails},
    "seal": lambda ran: {"entry": ran.seal},  # by these the audit finds seals that are gone
}


def check_declared(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Raise UserError if the marts and reports that are declared do not fit together."""
    checking.require(settings)


def remove_closed(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Make rights follow today's contracts, and remove the data that they no longer keep."""
    on_step("remove", "looking for what no contract keeps", 0, 1)
    ran.note_all(memberships.sync(connection, settings))
    removed = remove.remove(connection, settings, by_customer(on_step, "remove"))
    on_step("remove", "done", 1, 1)
    stuck = [one for one in removed if isinstance(one, remove.Unremoved)]
    ran.removed_customers = len(removed) - len(stuck)
    for one in stuck:
        ran.note(str(one), one.customer_id)
    server_files.follow_removals(connection, settings)


def expire_data(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Remove what is older than two years, and end the tombstones that are over."""
    on_step("expire", "looking for what is too old", 0, 1)
    outcomes = expire.expire(connection, settings, clock.require(connection, settings))
    ran.expired = expire.taken(outcomes)
    for one in outcomes:
        if not one.is_done:
            ran.note(
                f"{one.step.what} did not expire: {one.outcome}; the next run tries again, "
                "and docs/runbook.md says more"
            )
    ran.expired += expired_tombstones.end(connection, settings)
    on_step("expire", "", 1, 1)


def make_months(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Make the months ahead."""
    months.ensure_ahead(connection, settings)


def remove_moved(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Delete the raw files that were moved, and whose last day has passed."""
    today = clock.require(connection, settings)
    for move_to in sorted({folder.move_to for folder in settings.folders if folder.move_to}):
        removed, mistake = taking_away.remove_moved(move_to, today)
        if mistake:
            ran.note(str(mistake))
        if removed:
            ran.expired += removed
            audit_log.note(connection, "raw files removed", {"before": str(today), "files": removed})
    connection.commit()


def remove_packages(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Remove the packages for persons that are two weeks old."""
    ran.expired += shelf.tidy(connection, settings, clock.require(connection, settings))
    connection.commit()


def follow_environments(
    connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep
) -> None:
    """Drop the environments that have ended, and expire the rest."""
    ran.note_all(environments.follow(connection, settings, clock.require(connection, settings)))


def land_folders(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Land the files in the folders of callmart.toml, as the loader, and take away what landed, where a folder says so.

    A file or folder that fails is noted as a problem, and the others are landed. An unfinished file is a problem too,
    unless runs come often.
    """
    today, often = clock.require(connection, settings), runs_come_often(connection)
    connection.commit()
    work: dict[Delivery, Folder] = {}
    folders = []
    for folder in settings.folders:
        try:
            of_all = defaults(folder)
            found = arriving.arrived(folder, time.time)
        except UserError as mistake:
            ran.note(str(mistake))
            continue
        for sentence in found.unfinished:
            if often:
                log.line("info", sentence)
            else:
                ran.note(sentence)
        ran.note_all(found.problems)
        folders.append(folder)
        work |= {
            Delivery(path, folder.format, of_all, look, folder.settle_seconds > 0): folder
            for path, look in found.files
        }
    outcomes = landing.land_all(settings, work)
    for number, (delivery, outcome) in enumerate(outcomes, start=1):
        if isinstance(outcome, Exception):
            ran.note_error(outcome, f"{delivery.path} did not land")
        else:
            _note_landed(ran, delivery, outcome)
            if not outcome.waiting:
                _noting(ran, taking_away.take_away, connection, settings, work[delivery], delivery, today)
        on_step("land", delivery.path.name, number, len(work))
    for folder in folders:
        if folder.after != "keep":
            _noting(ran, arriving.clear_markers, folder, time.time())


def _note_landed(ran: Ran, delivery: Delivery, landed: landing.Landed) -> None:
    """Note what of a file landed, and what did not: a last line that nobody will end, and rows without a key."""
    ran.files.append(landed)
    if landed.incomplete_last_line and delivery.settled:
        ran.note(str(taking_away.without_last_line(delivery.path)))
    ran.note_all(landed.wrong_keys)
    if landed.landed:
        dbt_project.load_beside()  # there will be something to build


def _noting(ran: Ran, step: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> None:
    """Do a step of which a UserError is a problem of the run and stops nothing."""
    try:
        step(*arguments, **named)
    except UserError as mistake:
        ran.note(str(mistake))


def defaults(folder: Folder) -> Defaults:
    """What callmart.toml says about all files of a folder."""
    return Defaults(folder.customer, folder.platform, "platform" in folder.model_fields_set, folder.time_zone)


def build(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Compute the dirty days."""
    if window.is_up_to_date(connection, settings):
        on_step("build", "nothing is new", 1, 1)
        return
    marts = {mart.name for mart in dbt_project.marts(settings)}
    with ThreadPoolExecutor(1) as beside:

        def on_model(model: str, finished: int, of: int) -> None:
            if model in marts:  # dbt has imported what it needs, and the server computes the other marts
                beside.submit(suites.load)
            on_step("build", model, finished, of)

        ran.built_days = window.build(connection, settings, on_model).days


def validate(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Check what was computed."""
    validated = suites.validate(connection, settings, lambda *step: on_step("validation", *step))
    ran.warnings = validated.warnings


def open_build(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Open the days that passed their checks. Note how many are held back."""
    opened = opening.open_build(connection, settings)
    on_step("opening", "marts", 1, 1)
    ran.opened_days, ran.opened_rows = opened.days, opened.rows
    ran.note_all(opened.problems)
    # Also what an earlier run held back: it is not computed again before something changes.
    ((ran.held_back_days,),) = connection.execute(
        "select count(*) from ops.held_back where released_at is null"
    ).fetchall()
    connection.commit()
    if ran.held_back_days:
        ran.note(held_back(ran.held_back_days))


def rebuild_old(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Compute again what is of an earlier definition, as far as the day's minutes allow."""
    rebuilt = rebuild.rebuild(
        connection,
        settings,
        rebuild.Chosen(),
        lambda item, finished, of: on_step("rebuild", item, finished, of),
        settings.rebuild.minutes_per_night * 60 - rebuild.spent_s(connection, settings),
    )
    ran.rebuilt_days = rebuilt.days
    ran.note_all(rebuilt.problems)
    if rebuilt.days and rebuilt.held_back:
        ran.note(held_back(rebuilt.held_back, " of the rebuild"))


def follow_rights(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Make rights follow today's contracts. Raises opening.Drifted if there is drift."""
    ran.note_all(opening.follow_rights(connection, settings, opens=False))


def write_extracts(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Write each customer's extracts. One that can't be proven is a problem, and the others are written."""
    found = extract.extract(connection, settings, by_customer(on_step, "extract"))
    ran.extracts = len(found)
    for one in found:
        if isinstance(one, Unproven):
            ran.note(str(one), one.customer_id)
        else:
            ran.extracts_written += one.written


def publish(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Publish for the customers who are due, each in its own place. Note a problem per customer that failed."""
    on_step("publish", "reading what is there", 0, 1)
    with tableau.at_sites(settings) as at:
        plans = sites.plan(sites.read(connection, settings, at, only_due=True), adopts=False)
        outcomes = sites.apply(connection, settings, at, plans, lambda *step: on_step("publish", *step))
    for outcome in outcomes:
        ran.published_changes += len(outcome.done)
        for said in (outcome.error, outcome.alert):
            if said:
                ran.note(said, outcome.customer_id)


def mail(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Send the mails that are due. One that waits is a problem, too."""

    def note(customer_id: int | None, problem: str) -> None:
        ran.note(problem, customer_id)

    ran.mails = mailing.send(connection, settings, by_customer(on_step, "mail"), note, note)


def name_undeclared_marts(
    connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep
) -> None:
    """Note a problem for each mart that has a table and is no longer declared."""
    declared = dbt_project.marts(settings)
    for mart in mart_tables.undeclared(connection, declared):
        ran.note(mart_tables.remark(connection, mart, declared))


def seal_log(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Seal the audit log, once per day."""
    ran.seal = log_seals.seal(connection, settings)
