"""A command for each stage of a run, and one for the run itself."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callmart.access import sessions
from callmart.base.counting import several
from callmart.base.errors import UserError, kind
from callmart.base.settings import Platform, settings
from callmart.cli import health
from callmart.cli.terminal import (
    INTERRUPTED,
    MISTAKE,
    UNDONE,
    Json,
    at_work,
    database,
    err,
    excluding,
    fail,
    follow_rights,
    out,
    plain,
    print_json,
    progress,
    tell,
)
from callmart.database import clock, rotation
from callmart.validate.release import Reason

if TYPE_CHECKING:
    from callmart.land.landing import Landed
    from callmart.operations.stages import Ran
    from callmart.publish.sites import Plans
    from callmart.validate.suites import Validated

app = typer.Typer()

_COLOURS = {"+": "green", "~": "yellow", "-": "red", "*": "cyan", "?": "magenta", "!": "bold red", "=": "dim"}


@app.command(epilog="Example: `callmart land queue_log --customer 1042`")
def land(
    paths: Annotated[list[Path], typer.Argument(help="Files of raw events.")],
    format: Annotated[str, typer.Option(help="auto, csv, ndjson, parquet, queue_log or cel.")] = "auto",
    customer: Annotated[int | None, typer.Option(min=1, help="The customer of all rows.")] = None,
    platform: Annotated[Platform | None, typer.Option(help="The platform of all rows.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The time zone of local times without an offset (IANA name).")
    ] = None,
) -> None:
    """Land files of raw events. Each is landed once, and whole or not at all; one that can't land stops no other."""
    from callmart.land import landing as stage
    from callmart.land.found import Delivery
    from callmart.land.gate import Defaults

    defaults = Defaults(customer, platform or "vcloud", platform is not None, timezone)
    landed: list[stage.Landed] = []
    failures: list[Exception] = []
    deliveries = [Delivery(path, format, defaults) for path in paths]
    with (
        database() as connection,  # not `at_work`: files may be landed during a run
        sessions.making_way(connection, spares_landings=True),
    ):
        rotation.refuse(connection)
        clock.believe(connection, settings())
        connection.commit()
        try:
            with progress() as step:
                step("land", paths[0].name, 0, len(paths))
                for number, (delivery, outcome) in enumerate(stage.land_all(settings(), deliveries), start=1):
                    if isinstance(outcome, stage.Landed):
                        landed.append(outcome)
                    else:
                        failures.append(outcome)
                    step("land", delivery.path.name, number, len(paths))
        except UserError as mistake:  # no file can land any more
            failures.append(mistake)
    for one in landed:
        _print_landed(one)
        failures += map(UserError, one.wrong_keys)
    failures = [*{str(failure): failure for failure in failures}.values()]  # a key can be of many files
    for failure in failures:
        fail(failure if isinstance(failure, UserError) else kind(failure))
    if failures:
        raise typer.Exit(MISTAKE)


def _print_landed(one: "Landed") -> None:
    if one.unchanged:
        out.print(
            f"{plain(one.file)}: landed before, without its last line, which has no line end: land it again when it has"
            if one.incomplete_last_line
            else f"{plain(one.file)}: landed before, nothing to do"
        )
        return
    out.print(
        f"{plain(one.file)}: {several(one.rows, 'row')}: {several(one.landed, 'event')} landed, {one.repeated:,} "
        f"repeated, {several(one.rejected, 'row')} rejected, {one.turned_away:,} "
        "turned away (no contract on their day, or too old)"
    )
    if one.waiting:
        out.print(
            f"  {several(one.waiting, 'row')} not landed, as the key of the customer is missing: land the file again "
            "when it is back"
        )
    if one.erased:
        out.print(
            f"  {several(one.erased, 'event')} of persons who were erased: left out, or landed without them"
        )
    for line, reason in one.first_rejects:
        out.print(f"  line {line}: {plain(reason)}")
    if one.rejected > len(one.first_rejects):
        out.print(f"  ... and {one.rejected - len(one.first_rejects)} more, in raw.reject")
    for verb, count in one.unknown_verbs:
        out.print(f"  {several(count, 'row')} with the unknown verb {plain(verb)}: counted, not kept")
    if one.incomplete_last_line:
        out.print("  the last line is not complete yet: land the file again when it is")


@app.command()
def build() -> None:
    """Compute the dirty days, and the days that look back at them."""
    from callmart.build import window as stage

    with at_work() as connection, progress() as step:
        built = stage.build(connection, settings(), lambda *model: step("build", *model))
    out.print(f"build: {several(built.days, 'day')} computed" if built.days else "build: nothing to do")


@app.command()
def validate() -> None:
    """Check the computed days before anybody can see them."""
    from callmart.validate import suites as stage

    with at_work() as connection, progress() as step:
        validated = stage.validate(connection, settings(), lambda *mart: step("validate", *mart))
    if validated.build_id is None:
        out.print("validate: nothing to do")
        return
    print_failing(validated)
    out.print(
        f"validate: {several(len(validated.results), 'expectation')}, {several(len(validated.held_back), 'day')} to "
        f"hold back, {several(validated.warnings, 'warning')}"
    )
    raise typer.Exit(UNDONE if validated.held_back else 0)


def print_failing(validated: "Validated") -> None:
    """Print the expectations that were not met, with the number of days of customers."""
    for result in validated.results:
        if result.failing:
            out.print(
                f"  {result.severity}: {result.mart}: {plain(result.expectation)}: "
                f"{several(len(result.failing), 'day')}"
            )


@app.command("open")
def open_() -> None:
    """Let customers see the days that passed their checks."""
    from callmart.opening.opening import open_build

    with at_work() as connection:
        opened = open_build(connection, settings())
    out.print(
        f"open: {several(opened.days, 'day')} opened ({several(opened.rows, 'row')}), {opened.held_back:,} held back"
    )
    for problem in opened.problems:
        tell(problem)
    raise typer.Exit(UNDONE if opened.held_back or opened.problems else 0)


@app.command()
def release(
    customer: Annotated[int, typer.Option(min=1, help="The customer whose day it is.")],
    day: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The day that is held back.")],
    reason: Annotated[
        Reason,
        typer.Option(
            help="Why customers may see it as it is: the customer has agreed; it was compared with the source, and is "
            "right; the source can't give better data; the check or its limit is wrong. Goes into the audit log."
        ),
    ],
) -> None:
    """Let the next run open a day that is held back."""
    from callmart.validate import release as stage

    held_back = clock.parse_day("--day", day)
    with at_work() as connection:
        stage.release(connection, customer, held_back, reason)
    out.print(f"release: the next `callmart run` opens {held_back} of customer {customer}")


@app.command()
def extract() -> None:
    """Write each customer's .hyper files, read from the database as that customer."""
    from callmart.extract import extract as stage
    from callmart.extract.drafts import Unproven

    with at_work() as connection, progress() as step:
        problems = follow_rights(connection)
        found = stage.extract(connection, settings(), lambda customer, *n: step("extract", str(customer), *n))
    failures = [one for one in found if isinstance(one, Unproven)]
    files = [one for one in found if isinstance(one, stage.Extract)]
    for failure in dict.fromkeys(map(str, failures)):
        tell(failure)
    on_disk = sum(one.path.exists() for one in files)
    written = sum(one.written for one in files)
    out.print(
        f"extract: {several(on_disk, 'file')} in {plain(stage.folder(settings()))}, {written} written now"
    )
    raise typer.Exit(UNDONE if failures or problems else 0)


@app.command()
def publish(
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")] = False,
    as_json: Json = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also remove everything of a customer, and adopt unmarked content.")
    ] = False,
    forget_site: Annotated[
        str | None,
        typer.Option(help="Look for nothing on this site any more, because it does not exist any more."),
    ] = None,
) -> None:
    """Publish to Tableau what each customer has ordered, and remove the rest."""
    from callmart.publish import sites, tableau

    if plan and yes:
        raise excluding("--plan", "--yes")
    if plan and forget_site is not None:
        raise UserError("--plan changes nothing and --forget-site does: leave out one of the two")
    if forget_site is not None and (as_json or yes):
        raise UserError("--forget-site publishes nothing and asks nothing: leave out --json and --yes")
    with at_work() as connection, tableau.at_sites(settings()) as at:
        if forget_site is not None:
            sites.forget(connection, settings(), forget_site)
            out.print(f"publish: the site '{plain(forget_site)}' is forgotten")
            return
        planned = sites.plan(sites.read(connection, settings(), at))
        asks = bool(planned.leaving or planned.adopting) and not yes
        if not as_json:
            _print_plan(planned, troubles=plan or asks)
        if plan:
            if as_json:
                print_json(planned.as_json())
            raise typer.Exit(UNDONE if planned.is_troubled else 0)
        problems = follow_rights(connection)
        if asks and not _agreed(planned):
            asked = " and ".join(_asked(planned))
            raise UserError(
                f"nothing was published: {asked}; look at it with --plan, and confirm it with --yes"
            )
        with progress() as step:
            outcomes = sites.apply(connection, settings(), at, planned, lambda *one: step("publish", *one))
    failures = [one for one in outcomes if one.error]
    for failure in failures:
        tell(failure.error)
    for alert in dict.fromkeys(one.alert for one in outcomes if one.alert):
        tell(alert)
    changes = sum(len(one.done) for one in outcomes)
    if as_json:
        print_json({**planned.as_json(), "failed": [one.error for one in failures]})
    else:
        customers = len({one.customer_id for one in outcomes} - {None})
        out.print(
            f"publish: {several(customers, 'customer')}, {several(changes, 'change')}, {len(failures)} failed"
        )
    raise typer.Exit(UNDONE if problems or failures or any(one.alert for one in outcomes) else 0)


def _print_plan(planned: "Plans", *, troubles: bool) -> None:
    """Print the plan. What is carried out unasked tells its `troubles` at the end, to stderr."""
    for line in planned.lines(troubles=troubles):
        colour = _COLOURS.get(line.strip()[0])
        out.print(f"[{colour}]{plain(line)}[/]" if colour else plain(line))


def _agreed(planned: "Plans") -> bool:
    """Ask the person at the terminal. Without a terminal the answer is no."""
    return sys.stdin.isatty() and all(
        typer.confirm(f"On Tableau {asked}. Do it?") for asked in _asked(planned)
    )


def _asked(planned: "Plans") -> Iterator[str]:
    """The changes that a person has to confirm."""
    if planned.leaving:
        yield f"everything of customers {_listed(planned.leaving)} would be removed"
    if planned.adopting:
        yield f"content of customers {_listed(planned.adopting)} that has no mark of ours would be adopted"


def _listed(customers: tuple[int, ...]) -> str:
    return ", ".join(map(str, customers))


@app.command()
def run(as_json: Json = False) -> None:
    """Run all stages in order, as the scheduler does every night, or every few minutes."""
    from callmart.operations import run as nightly

    wanted, ran = settings(), None
    try:
        with database() as connection:
            with progress(logs_stages=True) as step:
                ran = nightly.run(connection, wanted, step)
            _print_run(ran, as_json)  # before anything else can go wrong
            # In here, so that a connection that was lost meanwhile does not decide the exit code.
            raise typer.Exit(_exit_code(ran))
    finally:
        if not (ran and ran.skipped):  # the run that is at work reports itself
            health.report_run(wanted, is_good=bool(ran and not ran.problems))


def _exit_code(ran: "Ran") -> int:
    """Of a run that has begun: one that was ended or broke off is not done."""
    from callmart.operations.run import INTERRUPTION, LOST

    if INTERRUPTION in ran.problems:
        return INTERRUPTED
    if LOST in ran.problems:
        return MISTAKE
    return UNDONE if ran.problems else 0


def _print_run(ran: "Ran", as_json: bool) -> None:
    if as_json:
        print_json(asdict(ran))
        return
    if ran.skipped:
        out.print(f"run: {ran.skipped}")
        return
    for one in ran.files:
        _print_landed(one)
    if err.is_terminal:  # elsewhere they are in the log
        for problem in ran.problems:
            tell(problem)
    out.print(
        f"run: {several(len(ran.files), 'file')}, {several(ran.opened_days, 'day')} opened, {ran.held_back_days:,} "
        f"held back, {ran.extracts_written:,} of {several(ran.extracts, 'extract')} written, "
        f"{several(ran.published_changes, 'change')} on Tableau"
        + (f", {several(ran.rebuilt_days, 'day')} computed again" if ran.rebuilt_days else "")
        + (f", {several(ran.mails, 'mail')}" if ran.mails else "")
    )
