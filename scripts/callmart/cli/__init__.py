"""The command `callmart`: a sub-command a stage. Progress goes to stderr, results to stdout."""

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from callmart import __version__
from callmart.access import drift, logins, memberships, roles
from callmart.base.errors import UserError
from callmart.base.settings import Platform, settings
from callmart.database import clock, schema, server
from callmart.database.lock import exclusive
from callmart.operations import status
from callmart.registry import registry

app = typer.Typer(
    help="From raw call data to one isolated Tableau publication per customer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
registry_app = typer.Typer(help="Who the customers are and what they have ordered.", no_args_is_help=True)
app.add_typer(registry_app, name="registry")
access_app = typer.Typer(help="Who may do what in the database: access.yml.", no_args_is_help=True)
app.add_typer(access_app, name="access")

# Into a file or a pipe a table keeps its columns; a terminal says how wide it is.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 130)
err = Console(stderr=True, highlight=False)

UNDONE = 1  # finished, but something was held back, refused or left undone
MISTAKE = 2

# What helps where the same command again would not.
REMEDIES = {
    "42501": "something does not belong to the owner any more: `callmart access diff` says what",
    "55P03": "an open transaction of somebody else stands in the way: when it has ended, run the same command again",
}

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Also do what deletes data.")]


def main() -> None:
    """Run the command; a mistake of the user is one sentence and exit code 2, never a traceback."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as mistake:
        if told := mistake.format_message().rstrip("."):  # none where it has shown the help already
            err.print(f"[bold red]error:[/] {_plain(told)}; --help says what a command takes", soft_wrap=True)
        sys.exit(MISTAKE)
    except typer.Abort:
        sys.exit(UNDONE)
    except UserError as mistake:
        err.print(f"[bold red]error:[/] {_plain(mistake)}", soft_wrap=True)
        sys.exit(MISTAKE)
    except psycopg.Error as error:
        # Never the driver's own words: they can hold a row.
        remedy = REMEDIES.get(error.sqlstate or "", "run the same command again, nothing is lost or doubled")
        err.print(
            f"[bold red]error:[/] the database broke off (SQLSTATE {error.sqlstate or 'unknown'}); {remedy}",
            soft_wrap=True,
        )
        sys.exit(UNDONE)
    except OSError as error:
        place = _plain(error.filename or "this machine")
        err.print(
            f"[bold red]error:[/] {place}: {error.strerror}; mend that, and run the same command again",
            soft_wrap=True,
        )
        sys.exit(MISTAKE)


def _plain(text: object) -> str:
    return str(text).replace("[", r"\[")


@contextmanager
def _database(*, applied: bool = True) -> Iterator[psycopg.Connection]:
    with server.connect(settings()) as connection:
        if applied:
            schema.require(connection, settings().time_zone)
        yield connection


@contextmanager
def _at_work() -> Iterator[psycopg.Connection]:
    """The database, for one command at a time, and only while its clock is believed."""
    with _database() as connection, clock.guarded(connection, settings()):
        yield connection


@contextmanager
def _looking() -> Iterator[psycopg.Connection]:
    """The database, for what changes nothing: it works whatever the clock says, and tells what speaks against it."""
    with _database() as connection:
        if doubt := clock.read(connection, settings()).doubt:
            err.print(f"[yellow]the clock is in doubt:[/] {_plain(doubt)}", soft_wrap=True)
        connection.rollback()
        yield connection


@contextmanager
def _progress() -> Iterator[Any]:
    """A line a stage: `step(stage, item, finished, of)`."""
    bars = Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[item]}"),
        TimeElapsedColumn(),
        console=err,
    )
    tasks: dict[str, Any] = {}
    with bars:

        def step(stage: str, item: str, finished: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, item="")
            bars.update(
                tasks[stage], total=of, completed=finished, item="" if finished == of else _plain(item)
            )

        yield step


# -- the registry ----------------------------------------------------------------------------------------------


@registry_app.command("apply")
def registry_apply(file: Path, yes: Yes = False) -> None:
    """Make database, roles and keys what the registry file says. Shows a plan first."""
    wanted = registry.load(file)
    with _database(applied=False) as connection, exclusive(connection):
        if schema.stands(connection):
            schema.require(connection, settings().time_zone)
        schema.apply(connection, settings().time_zone)
        clock.believe(connection, settings())
        changes = registry.plan(
            registry.current_states(connection),
            registry.desired_states(wanted, clock.now(connection)),
            clock.today(connection, settings()),
        )
        for change in changes:
            mark = "[red]-[/]" if change.deletes else "[green]+[/]"
            out.print(f"{mark} customer {change.customer_id}: {_plain(change.text)}")
        deleting = sum(change.deletes for change in changes)
        if deleting and not yes:
            raise UserError(
                f"nothing was applied: {deleting} of these changes delete data; "
                "correct the file, or confirm them with --yes"
            )
        problems = registry.apply(connection, settings(), wanted)
    out.print(f"registry: {len(wanted.customers)} customers, {len(changes)} changes applied")
    _end_with(problems)


def _end_with(problems: Iterable[str]) -> NoReturn:
    """Say what is left undone, and end with the exit code for it."""
    problems = list(problems)
    for problem in problems:
        err.print(_plain(problem), soft_wrap=True)
    raise typer.Exit(UNDONE if problems else 0)


# -- access ----------------------------------------------------------------------------------------------------


@access_app.command("diff")
def access_diff(as_json: Json = False) -> None:
    """Show where the server differs from access.yml, the marts' YAML and the contracts."""
    from callmart.declarations import dbt_project

    with _looking() as connection:
        found = [one.text for one in drift.find(connection, dbt_project.marts(settings()))]
        found += [f"login {role} has another password" for role in logins.refused(connection, settings())]
    if as_json:
        print(json.dumps(found))
    else:
        for text in found:
            out.print(_plain(text), soft_wrap=True)
        out.print(f"access: {len(found)} differences")
    raise typer.Exit(UNDONE if found else 0)


@access_app.command("apply")
def access_apply() -> None:
    """Make the server match access.yml, the marts' YAML and the contracts; what is not in them is taken away."""
    from callmart.declarations import dbt_project, standing

    with _database() as connection, exclusive(connection):
        renewed = logins.refused(connection, settings())
        applied = memberships.apply(connection, settings(), dbt_project.marts(settings()))
        stuck = memberships.renew(connection, settings(), renewed)
        memberships.note_applied(connection, len(applied.mended), len(renewed) - len(stuck))
        connection.commit()
        left = [
            standing.remark(mart) for mart in standing.undeclared(connection, dbt_project.marts(settings()))
        ]
    for one in applied.mended:
        out.print(_plain(one.text), soft_wrap=True)
    out.print(
        f"access: {len(applied.mended)} differences mended, {len(renewed) - len(stuck)} passwords renewed"
    )
    _end_with(left + applied.problems + stuck)


@access_app.command("rotate")
def access_rotate(
    customer: Annotated[int | None, typer.Option(min=1, help="The login of this customer.")] = None,
    duty: Annotated[str | None, typer.Option(help="The login of this duty of access.yml.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every login.")] = False,
) -> None:
    """Give logins new passwords; each stands in a file that only you can read."""
    if (customer is not None) + (duty is not None) + every != 1:
        raise UserError("whose password? name one of --customer, --duty and --all")
    with _database() as connection:
        known = logins.known(connection)
        database = connection.info.dbname
        if customer is not None:
            chosen = [roles.customer_role(database, customer)]
        elif duty is not None:
            chosen = [roles.duty_role(database, duty)]
        else:
            chosen = known
        if unknown := set(chosen) - set(known):
            raise UserError(
                f"there is no login {unknown.pop()}: see access.yml, and `callmart status` for customers"
            )
        stuck = memberships.renew(connection, settings(), chosen)
        memberships.note_applied(connection, 0, len(chosen) - len(stuck))
        connection.commit()
    for role in chosen:
        print(logins.passfile(settings().home, role))
    _end_with(stuck)


# -- the stages ------------------------------------------------------------------------------------------------


@app.command()
def land(
    paths: Annotated[list[Path], typer.Argument(help="Files of raw events.")],
    format: Annotated[str, typer.Option(help="auto, csv, ndjson, parquet, queue_log or cel.")] = "auto",
    customer: Annotated[int | None, typer.Option(min=1, help="The customer of all rows.")] = None,
    platform: Annotated[Platform | None, typer.Option(help="The service of all rows.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of local times without offset (IANA).")] = None,
) -> None:
    """Take in files of raw events: each once, whole or not at all."""
    from callmart.land import landing as stage
    from callmart.land.prepare import Defaults

    defaults = Defaults(customer, platform or "vcloud", platform is not None, timezone)
    with _database() as connection:  # another lands beside a run
        clock.believe(connection, settings())
    with logins.connect(settings(), "loader") as loader, _progress() as step:
        landed = []
        for number, path in enumerate(paths):
            step("land", path.name, number, len(paths))
            landed.append(stage.land(loader, settings(), path, format, defaults))
            step("land", path.name, number + 1, len(paths))
    for one in landed:
        _print_landed(one)


def _print_landed(one: Any) -> None:
    if one.unchanged:
        out.print(f"{_plain(one.file)}: landed before, nothing to do", soft_wrap=True)
        return
    out.print(
        f"{_plain(one.file)}: {one.rows} rows: {one.landed} events landed, {one.repeated} repeated, "
        f"{one.rejected} rows rejected, {one.turned_away} turned away (no contract on their day, or too old)",
        soft_wrap=True,
    )
    for line, reason in one.first_rejects:
        out.print(f"  line {line}: {_plain(reason)}")
    if one.rejected > len(one.first_rejects):
        out.print(f"  ... and {one.rejected - len(one.first_rejects)} more, in raw.reject")
    for verb, count in one.unknown_verbs:
        out.print(f"  {count} rows with the unknown verb {_plain(verb)}: counted, not kept")
    if one.incomplete_last_line:
        out.print("  the last line has no end yet: land the file again when it has")


@app.command()
def build() -> None:
    """Compute the days that are dirty, and no others."""
    from callmart.build import window as stage

    with _at_work() as connection, _progress() as step:
        built = stage.build(connection, settings(), lambda *model: step("build", *model))
    out.print(f"build: {built.days} days computed" if built.days else "build: nothing to do")


@app.command()
def validate() -> None:
    """Check what was computed, before anybody can see it."""
    from callmart.validate import suites as stage

    with _at_work() as connection, _progress() as step:
        validated = stage.validate(connection, settings(), lambda *mart: step("validate", *mart))
    if validated.build_id is None:
        out.print("validate: nothing to do")
        return
    for result in validated.results:
        if result.failing:
            out.print(
                f"  {result.severity}: {result.mart}: {_plain(result.expectation)}: {len(result.failing)} days",
                soft_wrap=True,
            )
    out.print(
        f"validate: {len(validated.results)} expectations, {len(validated.held_back)} days to hold back, "
        f"{validated.warnings} warnings"
    )
    raise typer.Exit(UNDONE if validated.held_back else 0)


@app.command("open")
def open_() -> None:
    """Let the customers see the days that passed."""
    from callmart.opening.opening import open_build

    with _at_work() as connection:
        opened = open_build(connection, settings())
    out.print(f"open: {opened.days} days opened ({opened.rows} rows), {opened.held_back} held back")
    for problem in opened.problems:
        err.print(_plain(problem), soft_wrap=True)
    raise typer.Exit(UNDONE if opened.held_back or opened.problems else 0)


@app.command()
def release(
    customer: Annotated[int, typer.Option(min=1, help="Whose day.")],
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day that is held back.")],
    reason: Annotated[str, typer.Option(help="Why it may be seen as it is; the audit log keeps it.")],
) -> None:
    """Let the next run open a day although its checks hold it back."""
    from callmart.validate import release as stage

    with _at_work() as connection:
        stage.release(connection, customer, day.date(), reason)
    out.print(f"release: {day.date()} of customer {customer} is opened by the next `callmart run`")


@app.command()
def extract() -> None:
    """Write each customer's .hyper files, as that customer."""
    from callmart.extract import extract as stage

    with _at_work() as connection, _progress() as step:
        found = stage.extract(connection, settings(), lambda customer, *n: step("extract", str(customer), *n))
    failures = [one for one in found if isinstance(one, stage.Unproven)]
    files = [one for one in found if isinstance(one, stage.Extract)]
    for failure in dict.fromkeys(map(str, failures)):
        err.print(_plain(failure), soft_wrap=True)
    standing = sum(one.path.exists() for one in files)
    written = sum(one.written for one in files)
    out.print(f"extract: {standing} files stand in {stage.folder(settings())}, {written} written now")
    raise typer.Exit(UNDONE if failures else 0)


@app.command()
def publish(
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")] = False,
    as_json: Json = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also remove all of a customer, and adopt what bears no mark.")
    ] = False,
) -> None:
    """Make Tableau hold what it should, and no more."""
    from callmart import publish as stage
    from callmart.publish import publication, tableau

    with _at_work() as connection, tableau.connect(settings()) as tableau_server:
        wanted, books = publication.desired(connection, settings()), publication.books(connection, settings())
        connection.commit()
        planned = stage.plan(wanted, stage.read(tableau_server, books))
        if not as_json:
            _print_plan(planned)
        if plan:
            if as_json:
                print(json.dumps(planned.as_json()))
            return
        if (planned.leaving or planned.adopting) and not yes and not _agreed(planned):
            asked = " and ".join(_asked(planned))
            raise UserError(
                f"nothing was published: {asked}; look at it with --plan, and confirm it with --yes"
            )
        with _progress() as step:
            outcomes = publication.apply(
                connection, settings(), tableau_server, planned, lambda *one: step("publish", *one)
            )
    failures = [one for one in outcomes if one.error]
    for failure in failures:
        err.print(_plain(failure.error), soft_wrap=True)
    changes = sum(len(one.done) for one in outcomes)
    if as_json:
        print(json.dumps({**planned.as_json(), "failed": [one.error for one in failures]}))
    else:
        customers = sum(one.customer_id is not None for one in outcomes)
        out.print(f"publish: {customers} customers, {changes} changes, {len(failures)} failed")
    raise typer.Exit(UNDONE if failures or any(one.alert for one in outcomes) else 0)


_COLOURS = {"+": "green", "~": "yellow", "-": "red", "*": "cyan", "?": "magenta", "!": "bold red", "=": "dim"}


def _print_plan(planned: Any) -> None:
    for line in planned.lines():
        colour = _COLOURS.get(line.strip()[0])
        out.print(f"[{colour}]{_plain(line)}[/]" if colour else _plain(line), soft_wrap=True)


def _agreed(planned: Any) -> bool:
    """Asks whoever sits there; without a terminal nobody does."""
    return sys.stdin.isatty() and all(
        typer.confirm(f"On Tableau {asked}. Do it?") for asked in _asked(planned)
    )


def _asked(planned: Any) -> Iterator[str]:
    """What has to be confirmed."""
    if planned.leaving:
        yield f"everything of customers {_listed(planned.leaving)} would be removed"
    if planned.adopting:
        yield f"what stands of customers {_listed(planned.adopting)} without our mark would be taken for ours"


def _listed(customers: tuple[int, ...]) -> str:
    return ", ".join(map(str, customers))


@app.command()
def expire(
    plan: Annotated[
        bool, typer.Option("--plan", help="List what would go and why, and change nothing.")
    ] = False,
    today: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The day to look from.")] = "",
    accept: Annotated[
        str, typer.Option(metavar="HASH", help="Do the plan that was shown with this hash, and no other.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Remove what is older than two years, exact to the day, from every table and file."""
    from callmart.retention import expire as stage

    asked = clock.parse_day("--today", today) if today else None
    with _looking() if plan else _at_work() as connection:
        day = asked or clock.today(connection, settings())
        another = day != clock.today(connection, settings())
        if another and not plan and not accept:
            raise UserError(
                f"nothing expired: {day} is not today; look at what would go with "
                f"`callmart expire --today {day} --plan`, which says how to do exactly that"
            )
        planned = stage.plan(connection, settings(), day)
        if plan:
            outcomes = [stage.Outcome(step, stage.PLANNED) for step in planned.steps]
        elif accept and accept != planned.hash:
            raise UserError(
                f"nothing expired: what would go is not the plan {accept} any more; "
                "look at it anew with --plan, and accept that one"
            )
        else:
            outcomes = stage.execute(connection, planned)
    said = stage.overall(outcomes)
    if as_json:
        steps = [
            {name: getattr(one.step, name) for name in ("kind", "what", "why", "count")}
            | {"outcome": one.outcome}
            for one in outcomes
        ]
        shown = {"today": str(day), "floor": str(planned.floor), "hash": planned.hash}
        print(json.dumps(shown | {"outcome": said, "steps": steps}))
    else:
        _print_expiry(outcomes)
        if plan and another and outcomes:
            out.print(f"to do this: callmart expire --today {day} --accept {planned.hash}", soft_wrap=True)
        out.print(f"expire: {said}; the oldest day that stays is {planned.floor}", soft_wrap=True)
    raise typer.Exit(UNDONE if said in (stage.LOCKED, stage.CHANGED) else 0)


@app.command()
def retire(
    mart: Annotated[str, typer.Argument(help="A mart that the project declares no more.")], yes: Yes = False
) -> None:
    """Remove a mart that was taken out of the project, with all its rows. Shows a plan first."""
    from callmart.retention import retire as stage

    with _at_work() as connection:
        planned = stage.plan(connection, settings(), mart)
        for what, count in planned.goes.items():
            out.print(f"[red]-[/] {_plain(what)}: {count:,}", soft_wrap=True)
        if not yes:
            raise UserError("nothing was retired: this can't be undone; confirm it with --yes")
        done = stage.retire(connection, planned)
    if not done:
        raise UserError(
            f"nothing was retired: somebody has been reading {planned.table} for seconds; "
            "run the same command again when that session has ended"
        )
    out.print(f"retire: {planned.table} is gone; the next extract and publication leave it out")


def _print_expiry(outcomes: list[Any]) -> None:
    if not outcomes:
        return
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)
    for column in ("what", "why", "count", "outcome"):
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    for one in outcomes:
        table.add_row(_plain(one.step.what), _plain(one.step.why), f"{one.step.count:,}", one.outcome)
    out.print(table)


@app.command("clock")
def clock_(
    accept: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="The day that the clock says, and that is right.")
    ] = "",
) -> None:
    """Show what the clock says and whether it is believed; believe it again after a long rest."""
    with _database() as connection:
        if accept:
            with exclusive(connection):
                clock.accept(connection, settings(), clock.parse_day("--accept", accept))
                connection.commit()
        reading = clock.read(connection, settings())
    out.print(
        f"the clock says {reading.today}; callmart last did something "
        f"{f'on {reading.last}' if reading.last else 'never'}",
        soft_wrap=True,
    )
    out.print(f"clock: {_plain(reading.doubt) if reading.doubt else 'believed'}", soft_wrap=True)
    raise typer.Exit(UNDONE if reading.doubt else 0)


@app.command()
def run(as_json: Json = False) -> None:
    """All stages in order, as the scheduler does it every night."""
    from callmart.operations import run as stages

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was done is said
    with _database() as connection:
        with _progress() as step:
            ran = stages.run(connection, settings(), step)
        _print_run(ran, as_json)  # before anything else can go wrong
    raise typer.Exit(UNDONE if ran.problems else 0)


def _print_run(ran: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(ran)), flush=True)
        return
    for one in ran.files:
        _print_landed(one)
    for problem in ran.problems:
        err.print(_plain(problem), soft_wrap=True)
    out.print(
        f"run: {len(ran.files)} files, {ran.opened_days} days opened, {ran.held_back_days} held back, "
        f"{ran.extracts_written} of {ran.extracts} extracts written, {ran.published_changes} changes on Tableau"
    )


@app.command("status")
def status_(as_json: Json = False) -> None:
    """Where each customer stands."""
    with _looking() as connection:
        customers = status.status(connection)
    if as_json:
        print(json.dumps([asdict(one) for one in customers]))
    else:
        print_status(customers)


def print_status(customers: list[status.CustomerStatus]) -> None:
    """The table that a person reads."""
    wide = out.width > 100  # a usual terminal of 80 columns has no room to spare
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, int(wide)), show_edge=wide)
    counts = ("turned\naway", "contacts", "extract\nrows")
    for column in ("customer", "ordered", "from\nto", *counts[:2], "quality", counts[2], "on Tableau"):
        table.add_column(column, justify="right" if column in counts else "left", overflow="fold")
    for one in customers:
        days = f"{one.first_day}\n{one.last_day}" if one.first_day else "none yet"
        table.add_row(
            f"{one.customer_id} {_plain(one.name)}",
            one.option,
            days,
            f"{one.turned_away_rows:,}",
            f"{one.contacts:,}",
            one.quality + (f", {one.dirty_days} days to do" if one.dirty_days else ""),
            f"{one.extract_rows:,}",
            _plain(one.tableau),
        )
    out.print(table)
    for one in customers:
        _print_held_back(one)


def _print_held_back(customer: status.CustomerStatus) -> None:
    """Which days of a customer are not opened and why, a line for all that fail the same."""
    alike: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for held in customer.held_back:
        alike.setdefault((held.checks, held.released), []).append(held.day)
    for (checks, released), days in alike.items():
        why = f"{_plain(checks[0])}{f' and {len(checks) - 1} more checks' if len(checks) > 1 else ''}"
        more = f" and {len(days) - 5} more" if len(days) > 5 else ""
        out.print(
            f"customer {customer.customer_id}: {', '.join(days[:5])}{more}: "
            f"{'released, to be opened by the next run' if released else 'held back'}: {why}",
            soft_wrap=True,
        )


@app.command("reports")
def reports_(as_json: Json = False) -> None:
    """Show the reports that are declared, after a look whether the marts hold what they show."""
    from callmart.declarations import dbt_project, exposures, metrics

    marts, ratios = dbt_project.marts(settings()), metrics.metrics()
    metrics.check(ratios.values(), marts)
    declared = exposures.reports().values()
    exposures.check(declared, marts, ratios)
    if as_json:
        print(json.dumps([report.model_dump() for report in declared]))
        return
    table = Table(box=box.SIMPLE)
    for column in ("report", "title", "contract", "marts", "mailed"):
        table.add_column(column, overflow="fold")
    for report in declared:
        title = f"{report.title.nl} / {report.title.en}"
        schedule = f"{report.schedule.day}, {report.schedule.hour:02}:00"
        table.add_row(report.name, _plain(title), report.option, ", ".join(report.marts), schedule)
    out.print(table)


@app.command("workbook")
def workbook_(
    report: Annotated[str, typer.Argument(help="A report of models/reports.yml.")],
    customer: Annotated[int, typer.Option(min=1, help="Whose name and language it has.")],
    target: Annotated[Path, typer.Option("--out", help="The .twb to write.")],
    file: Annotated[
        Path | None, typer.Option("--template", help="A .twb saved by Tableau Desktop to use instead.")
    ] = None,
    content_url: Annotated[
        str, typer.Option("--data-source", help="The content URL of the published data source.")
    ] = "",
) -> None:
    """Write a report of a customer as the workbook that would be published; refuse a template that can't be."""
    from callmart.declarations import dbt_project, exposures
    from callmart.tableau_files import tds, workbook

    known = exposures.reports()
    if report not in known:
        raise UserError(f"there is no report {report}: take one of {', '.join(known)}")
    with _database() as connection:
        found = connection.execute(
            "select name, locale from registry.customer where customer_id = %s", [customer]
        ).fetchone()
    if found is None:
        raise UserError(f"there is no customer {customer}: `callmart status` lists them")
    name, locale = found
    group = known[report].group
    source = tds.source(group, dbt_project.marts(settings()), locale)
    published = workbook.Published(
        "http://localhost" if settings().tableau.is_emulated else str(settings().tableau.server),
        settings().tableau.site,
        content_url or f"callmart_{customer}_{group}",
    )
    target.write_bytes(workbook.build(known[report], name, source, published, file))
    out.print(f"workbook: {_plain(target)} stands on the published data source {published.content_url}")


@app.command("simulate")
def simulate_(
    folder: Annotated[Path, typer.Argument(help="Where registry.yml, events/ and truth/ go.")],
    customers: Annotated[int, typer.Option(min=1, help="How many; options and platforms take turns.")] = 3,
    days: Annotated[int, typer.Option(min=1, help="How many, the last is yesterday.")] = 7,
    contacts: Annotated[int, typer.Option(min=1, help="Of each customer a day.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
    dirt: Annotated[bool, typer.Option("--dirt", help="Also late, repeated and broken rows.")] = False,
) -> None:
    """Play out contact centres: events to land, and what the marts must say of them."""
    from callmart.simulator import files

    yesterday = datetime.now(settings().zone).date() - timedelta(days=1)
    played = [yesterday - timedelta(days=back) for back in reversed(range(days))]
    events = files.write(folder, customers, played, contacts_per_day=contacts, seed=seed, dirt=dirt)
    out.print(f"{events:,} events of {customers} customers in {_plain(folder)}")


@app.command()
def audit(
    folder: Annotated[Path | None, typer.Option("--out", help="Where the report goes.")] = None,
) -> None:
    """Prove that nobody sees what is not theirs; the evidence as HTML and JSON."""
    from callmart import audit as evidence
    from callmart.audit import report

    folder = report.ready(settings(), folder)
    with _looking() as connection, exclusive(connection), _progress() as step:
        found = evidence.audit(connection, settings(), step)
    written = report.write(found, folder)
    for check in found.failed:
        err.print(_plain(f"{check.outcome}: {check.area}: {check.name}"), soft_wrap=True)
        for one in check.found:
            err.print(f"  {_plain(one)}", soft_wrap=True)
    numbers = report.summary(found)
    out.print(
        f"audit: {numbers['customers']} customers, {numbers['marts']} marts, {numbers['checks']} checks: "
        f"{numbers['breaches']} breaches, {numbers['checks that looked at nothing']} checks looked at nothing"
    )
    for file in written:
        out.print(f"  {_plain(file)}", soft_wrap=True)
    raise typer.Exit(UNDONE if found.failed else 0)


# -- upgrading -------------------------------------------------------------------------------------------------


@app.command()
def upgrade() -> None:
    """Make a database that an earlier callmart has made what this one needs; its history stays."""
    from callmart.declarations import dbt_project

    with _database(applied=False) as connection, exclusive(connection):
        if not schema.stands(connection):
            raise UserError("there is nothing to upgrade: run `callmart registry apply registry.yml` first")
        if schema.is_current(connection, settings().time_zone):
            out.print("upgrade: nothing to do")
            return
        applied = memberships.apply(connection, settings(), dbt_project.marts(settings()))
        memberships.note_applied(connection, len(applied.mended), 0)
        connection.commit()
    out.print("upgrade: done; `callmart run` goes on from here")
    _end_with(applied.problems)


# -- the servers -----------------------------------------------------------------------------------------------


@app.command()
def dsn(
    customer: Annotated[int | None, typer.Option(min=1, help="The login of this customer.")] = None,
    duty: Annotated[str | None, typer.Option(help="The login of this duty of access.yml.")] = None,
) -> None:
    """Print a libpq URI and nothing else: the owner's, a customer's own login, or a duty's."""
    if customer is not None and duty is not None:
        raise UserError("one login at a time: name --customer or --duty")
    with _looking() as connection:
        if customer is not None:
            print(logins.customer_uri(connection, settings(), customer))
        elif duty is not None:
            print(logins.duty_uri(settings(), duty))
        else:
            print(logins.owner_uri(settings()))


@app.command()
def emulator() -> None:
    """Serve the local Tableau emulator in the foreground, until interrupted."""
    from callmart.publish import emulator as emulated

    emulated.serve(
        settings().home, lambda running: out.print(f"Tableau emulator at {running.url}; Ctrl-C ends it")
    )


@app.command()
def stop() -> None:
    """Stop the embedded database and the Tableau emulator."""
    from callmart.publish import emulator

    stopped = [
        name
        for name, did in (
            ("database", server.stop(settings().home)),
            ("Tableau emulator", emulator.stop(settings().home)),
        )
        if did
    ]
    out.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def demo() -> None:
    """The whole chain on example data, from an empty home to five customers on Tableau."""
    from callmart.cli import demo as example

    with _progress() as step:
        customers = example.demo(settings(), step)
    print_status(customers)
    for line in example.what_next(settings()):
        out.print(line, soft_wrap=True)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"callmart {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass
