"""Runs the nightly stages in order, unattended, one run at a time.

Every stage commits what it has done and starts from what is there, so that the next run finishes what a crash left.

A stage that breaks off is a problem of the run, and stops only the stages that need it. Opening needs the validation,
which needs the build. While there is drift, nothing is opened, extracted or published. Everything else goes on: if a
file can't be landed, the others are; if a build fails, the last good days are extracted, without those that became too
old; and publishing still removes what contracts have closed. docs/runbook.md explains this stage by stage.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec

import psycopg

from callmart.access import memberships, sessions
from callmart.base import log
from callmart.base.errors import UserError, kind
from callmart.base.progress import OnStep, by_customer
from callmart.base.settings import Folder, Settings
from callmart.build import months, window
from callmart.database import audit_log, clock, log_seals
from callmart.database.lock import Busy, connector
from callmart.declarations import checking, dbt_project, mart_tables
from callmart.extract import extract
from callmart.extract.drafts import Unproven
from callmart.land import arriving, landing, taking_away
from callmart.land.found import Delivery
from callmart.land.gate import Defaults
from callmart.mailing import mailing
from callmart.opening import opening
from callmart.operations import rebuild
from callmart.operations.record import DONE, FAILED, INTERRUPTED, PROBLEMS, Record, held_back, runs_come_often
from callmart.privacy import rotating, server_files
from callmart.privacy.package import shelf
from callmart.publish import sites, tableau
from callmart.retention import environments, expire, expired_tombstones, remove
from callmart.upgrade import upgrading
from callmart.validate import suites

P = ParamSpec("P")


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

AGAIN = "the next run tries again"
INTERRUPTION = "the run was interrupted: run it again, and it continues from there"
LOST = "the connection to the database was lost and the run ended: run it again, and it continues from there"


def run(connection: psycopg.Connection, settings: Settings, on_step: OnStep) -> Ran:
    """Remove what no contract keeps, expire, make months, land the folders of callmart.toml, then build, validate,
    open, rebuild what is of an earlier definition, extract, publish, and mail if callmart does that.

    A rotation of keys that broke off is finished first. Raises UserError if it can't be, or if the run may not begin:
    another run is at work, the clock is not believed, no Tableau server is set, or a mart waits for its
    upgrade. Where runs come often, one that meets another at work is skipped instead: the next one does what is left.
    Everything that goes wrong later is in `problems`.
    """
    try:
        return _run(connection, settings, on_step)
    except Busy as busy:
        connection.rollback()
        if not runs_come_often(connection):
            raise
        return Ran(skipped=f"{busy.who}: this run did nothing, and the next one goes on")


def _run(connection: psycopg.Connection, settings: Settings, on_step: OnStep) -> Ran:
    """As `run`. Raises Busy if another is at work."""
    tableau.require_server(settings)
    upgrading.require(connection, settings)
    rotating.finish(connection, settings, on_step)
    ran = Ran()
    has_begun = False
    try:
        with ExitStack() as lock:
            lock.enter_context(clock.guarded(connection, settings))
            has_begun = True
            record = lock.enter_context(closing(Record(connector(connection))))
            with log.context(run=record.run_id):
                _recorded(connection, settings, ran, on_step, record)
                try:
                    lock.close()
                except psycopg.Error:
                    ran.note(
                        "the lock of the run was lost, so another run may have worked at the same time: run it again"
                    )
                    with closing(record):
                        record.end(PROBLEMS, len(ran.problems))
    except (KeyboardInterrupt, psycopg.Error) as error:
        if not (has_begun or _interrupted(error)):
            raise
        ran.note(INTERRUPTION if _interrupted(error) else LOST)
    return ran


def _recorded(
    connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep, record: Record
) -> None:
    """Do the stages, and record how the run ended."""
    try:
        with sessions.making_way(connection, spares_landings=True):
            _stages(connection, settings, ran, on_step, record)
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, Exception) and not _interrupted(error):
            record.end(FAILED, len(ran.problems), error)
        else:
            ran.note(INTERRUPTION)
            record.end(INTERRUPTED, len(ran.problems))
        raise
    record.end(PROBLEMS if ran.problems else DONE, len(ran.problems))
    if record.failure:
        ran.note(f"the record of the run is not complete ({record.failure}): see the server's log")


def _stages(
    connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep, record: Record
) -> None:
    """Do the stages in order. A stage that breaks off is noted as a problem."""
    attempt = partial(_attempt, connection, settings, ran, on_step, record)
    # The build refuses what this says. All that needs no build goes on: what a contract ends is removed in any case.
    attempt("check", _check, "the check of what is declared broke off")
    attempt("remove", remove_closed, "the removal of what no contract keeps broke off")
    follow_calendar(connection, settings, ran, on_step, record)
    attempt("land", land_folders, "the landing broke off")
    # Each needs the one before: `all` stops at the first that breaks off.
    is_open = all(attempt(name, stage, f"the {name} broke off") for name, stage in BUILD_AND_OPEN.items())
    # Before the extracts, so that what Tableau holds is not behind at the end of the run.
    if is_open and settings.rebuild.minutes_per_night:
        attempt("rebuild", _rebuild, "the rebuild broke off")
    if attempt(
        "rights", _follow_rights, "the check of rights broke off, so nothing was extracted or published"
    ):
        _extract_and_publish(connection, settings, ran, on_step, record)
        if settings.mail.sender == "callmart":
            attempt("mail", mail, "the mailing broke off")
    attempt("marts", _name_undeclared_marts, "the search for marts that are no longer declared broke off")
    attempt("seal", _seal, "the audit log was not sealed")


def _attempt(
    connection: psycopg.Connection,
    settings: Settings,
    ran: Ran,
    on_step: OnStep,
    record: Record | None,
    name: str,
    stage: Stage,
    broke_off: str,
    remedy: str = AGAIN,
) -> bool:
    """Do a stage, unless the clock has jumped. An error becomes a problem of the run. Returns whether the stage was
    finished.
    """
    if connection.closed:
        ran.note(LOST)
        return False
    before = len(ran.problems)
    failure = None
    with log.context(stage=name):
        if record:
            record.begin_stage(name)
        try:
            clock.require(connection, settings)
            connection.commit()
            stage(connection, settings, ran, on_step)
        except Exception as error:
            if _interrupted(error):
                raise KeyboardInterrupt from error
            failure = error
            ran.note(_sentence(error, broke_off, remedy))
            with suppress(psycopg.Error):
                connection.rollback()
        if record:
            outcome = FAILED if failure else PROBLEMS if len(ran.problems) > before else DONE
            record.end_stage(name, outcome, COUNTS[name](ran) if name in COUNTS else {}, failure)
    return failure is None


def _interrupted(error: BaseException | None) -> bool:
    """Whether this is Ctrl-C, or an error that happened while Ctrl-C was handled."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _interrupted(error.__context__))


def _sentence(error: Exception, broke_off: str, remedy: str) -> str:
    """The problem to note for an error. Only the message of a UserError is safe to show, and the name of a file."""
    if isinstance(error, UserError):
        return str(error)
    file = str(error.filename or "") if isinstance(error, OSError) else ""
    place = f"{file}: " if file not in broke_off else ""
    return f"{broke_off} ({place}{kind(error)}): {remedy}"


def _check(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
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


def follow_calendar(
    connection: psycopg.Connection,
    settings: Settings,
    ran: Ran,
    on_step: OnStep,
    record: Record | None = None,
) -> None:
    """Do what the date asks for: remove what is too old, make the months ahead, delete the moved raw files whose last
    day has passed, the packages for persons that are two weeks old, and the environments that have ended. An error in
    one stops neither the others nor the run.
    """
    attempt = partial(_attempt, connection, settings, ran, on_step, record)
    attempt("expire", _expire, "the expiry broke off", "run `callmart expire` to finish it")
    attempt("months", _make_months, "the months ahead were not made")
    attempt("moved", _remove_moved, "the removal of raw files that were moved broke off")
    attempt("packages", _remove_packages, "the removal of packages for persons broke off")
    attempt("environments", _follow_environments, "the expiry of environments broke off")


def _expire(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
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


def _remove_moved(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Delete the raw files that were moved, and whose last day has passed."""
    today = clock.today(connection, settings)
    for move_to in sorted({folder.move_to for folder in settings.folders if folder.move_to}):
        removed, mistake = taking_away.remove_moved(move_to, today)
        if mistake:
            ran.note(str(mistake))
        if removed:
            ran.expired += removed
            audit_log.note(connection, "raw files removed", {"before": str(today), "files": removed})
    connection.commit()


def _remove_packages(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    ran.expired += shelf.tidy(connection, settings, clock.today(connection, settings))
    connection.commit()


def _follow_environments(
    connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep
) -> None:
    ran.note_all(environments.follow(connection, settings, clock.today(connection, settings)))


def _name_undeclared_marts(
    connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep
) -> None:
    """Note a problem for each mart that has a table and is no longer declared."""
    declared = dbt_project.marts(settings)
    for mart in mart_tables.undeclared(connection, declared):
        ran.note(mart_tables.remark(connection, mart, declared))


def _seal(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    ran.seal = log_seals.seal(connection, settings)


def _make_months(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    months.ensure_ahead(connection, settings)


def land_folders(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Land the files in the folders of callmart.toml, as the loader, and take away what landed, where a folder says so.

    A file or folder that fails is noted as a problem, and the others are landed. An unfinished file is a problem too,
    unless runs come often.
    """
    today, often = clock.today(connection, settings), runs_come_often(connection)
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
            ran.note(_sentence(outcome, f"{delivery.path} did not land", AGAIN))
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


def _build(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
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


def _validate(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    validated = suites.validate(connection, settings, lambda *step: on_step("validation", *step))
    ran.warnings = validated.warnings


def _open(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
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


BUILD_AND_OPEN: dict[str, Stage] = {"build": _build, "validation": _validate, "opening": _open}


def _rebuild(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
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


def build_and_open(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Compute the dirty days, check them, and open those that pass. Errors are raised, not noted."""
    for stage in BUILD_AND_OPEN.values():
        stage(connection, settings, ran, on_step)


def deliver(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Write the extracts and publish. Raises opening.Drifted if there is drift: then nothing may leave.

    If the extraction breaks off, publishing goes on. It publishes only files that the books say were checked, and it
    removes what contracts have closed.
    """
    _follow_rights(connection, settings, ran, on_step)
    _extract_and_publish(connection, settings, ran, on_step)


def _follow_rights(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Make rights follow today's contracts. Raises opening.Drifted if there is drift."""
    ran.note_all(opening.follow_rights(connection, settings, opens=False))


def _extract_and_publish(
    connection: psycopg.Connection,
    settings: Settings,
    ran: Ran,
    on_step: OnStep,
    record: Record | None = None,
) -> None:
    attempt = partial(_attempt, connection, settings, ran, on_step, record)
    attempt("extract", _extract, "the extraction broke off")
    attempt("publish", _publish, "the publication broke off")


def _extract(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    found = extract.extract(connection, settings, by_customer(on_step, "extract"))
    ran.extracts = len(found)
    for one in found:
        if isinstance(one, Unproven):
            ran.note(str(one), one.customer_id)
        else:
            ran.extracts_written += one.written


def _publish(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
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
