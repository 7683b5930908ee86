"""Runs the nightly stages in order, unattended, one run at a time.

Every stage commits what it has done and starts from what is there, so that the next run finishes what a crash left.

A stage that breaks off is a problem of the run, and stops only the stages that need it. Opening needs the validation,
which needs the build. While there is drift, nothing is opened, extracted or published. Everything else goes on: if a
file can't be landed, the others are; if a build fails, the last good days are extracted, without those that became too
old; and publishing still removes what contracts have closed. docs/runbook.md explains this stage by stage.
"""

from contextlib import ExitStack, closing, suppress
from functools import partial

import psycopg

from callmart.access import sessions
from callmart.base import log
from callmart.base.progress import OnStep
from callmart.base.settings import Settings
from callmart.database import clock
from callmart.database.lock import Busy, connector
from callmart.operations import stages
from callmart.operations.record import DONE, FAILED, INTERRUPTED, PROBLEMS, Record, runs_come_often
from callmart.operations.stages import AGAIN, COUNTS, Ran, Stage
from callmart.privacy import rotating
from callmart.publish import tableau
from callmart.upgrade import upgrading

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
    attempt("check", stages.check_declared, "the check of what is declared broke off")
    attempt("remove", stages.remove_closed, "the removal of what no contract keeps broke off")
    follow_calendar(connection, settings, ran, on_step, record)
    attempt("land", stages.land_folders, "the landing broke off")
    # Each needs the one before: `all` stops at the first that breaks off.
    is_open = all(attempt(name, stage, f"the {name} broke off") for name, stage in BUILD_AND_OPEN.items())
    # Before the extracts, so that what Tableau holds is not behind at the end of the run.
    if is_open and settings.rebuild.minutes_per_night:
        attempt("rebuild", stages.rebuild_old, "the rebuild broke off")
    if attempt(
        "rights", stages.follow_rights, "the check of rights broke off, so nothing was extracted or published"
    ):
        _extract_and_publish(connection, settings, ran, on_step, record)
        if settings.mail.sender == "callmart":
            attempt("mail", stages.mail, "the mailing broke off")
    attempt(
        "marts", stages.name_undeclared_marts, "the search for marts that are no longer declared broke off"
    )
    attempt("seal", stages.seal_log, "the audit log was not sealed")


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
            ran.note_error(error, broke_off, remedy)
            with suppress(psycopg.Error):
                connection.rollback()
        if record:
            outcome = FAILED if failure else PROBLEMS if len(ran.problems) > before else DONE
            record.end_stage(name, outcome, COUNTS[name](ran) if name in COUNTS else {}, failure)
    return failure is None


def _interrupted(error: BaseException | None) -> bool:
    """Whether this is Ctrl-C, or an error that happened while Ctrl-C was handled."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _interrupted(error.__context__))


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
    attempt("expire", stages.expire_data, "the expiry broke off", "run `callmart expire` to finish it")
    attempt("months", stages.make_months, "the months ahead were not made")
    attempt("moved", stages.remove_moved, "the removal of raw files that were moved broke off")
    attempt("packages", stages.remove_packages, "the removal of packages for persons broke off")
    attempt("environments", stages.follow_environments, "the expiry of environments broke off")


BUILD_AND_OPEN: dict[str, Stage] = {
    "build": stages.build,
    "validation": stages.validate,
    "opening": stages.open_build,
}


def build_and_open(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Compute the dirty days, check them, and open those that pass. Errors are raised, not noted."""
    for stage in BUILD_AND_OPEN.values():
        stage(connection, settings, ran, on_step)


def deliver(connection: psycopg.Connection, settings: Settings, ran: Ran, on_step: OnStep) -> None:
    """Write the extracts and publish. Raises opening.Drifted if there is drift: then nothing may leave.

    If the extraction breaks off, publishing goes on. It publishes only files that the books say were checked, and it
    removes what contracts have closed.
    """
    stages.follow_rights(connection, settings, ran, on_step)
    _extract_and_publish(connection, settings, ran, on_step)


def _extract_and_publish(
    connection: psycopg.Connection,
    settings: Settings,
    ran: Ran,
    on_step: OnStep,
    record: Record | None = None,
) -> None:
    attempt = partial(_attempt, connection, settings, ran, on_step, record)
    attempt("extract", stages.write_extracts, "the extraction broke off")
    attempt("publish", stages.publish, "the publication broke off")
