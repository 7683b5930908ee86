"""Commands that change nothing: status, audit."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from callmart.access import sessions
from callmart.base.counting import several
from callmart.base.settings import settings
from callmart.cli.requests_shown import colour
from callmart.cli.terminal import UNDONE, Json, looking, out, plain, print_json, progress, show, tell
from callmart.database import rotation
from callmart.database.lock import exclusive
from callmart.environments import known
from callmart.operations import record, status
from callmart.privacy import register

app = typer.Typer()

LISTED = 100  # customers; of more, `status` lists those that need a look


@app.command("status")
def status_(
    as_json: Json = False,
    every: Annotated[
        bool, typer.Option("--all", help=f"List all customers, even if there are more than {LISTED}.")
    ] = False,
) -> None:
    """Show how the last run ended, what each customer has ordered, and how far its data is."""
    with looking(tells=True) as connection:
        run, customers = record.last_run(connection), status.status(connection)
        earlier = status.earlier(connection)
        waiting = [one for one in register.requests(connection) if one.days_left is not None]
        unfinished = rotation.look(connection)
        environments = known.all_of(connection)
    if as_json:
        found = {
            "run": run and asdict(run),
            "customers": [asdict(one) for one in customers],
            "requests": [asdict(one) for one in waiting],
            "rotation": unfinished and unfinished._asdict(),
            "earlier_definitions": [asdict(one) for one in earlier],
            "environments": [one.model_dump(mode="json") for one in environments],
        }
        print_json(found)
    else:
        out.print(_said_of(run))
        if unfinished:
            out.print(f"customer {unfinished.customer_id}: {unfinished}")
        if waiting:
            first = min(waiting, key=lambda one: one.due)
            out.print(
                f"requests of persons: {len(waiting)} to answer, the first by {first.due} (request {first.number}, "
                f"customer {first.customer_id}), [{colour(first)}]{first.left}[/]"
            )
        for environment in environments:
            out.print(f"environment {environment}")
        listed = customers if every else _listed(customers)
        if listed:
            print_status(listed)
        if len(listed) < len(customers):
            out.print(
                f"listed are {len(listed):,} of {len(customers):,} customers, those that need a look, "
                f"{LISTED} at most: `callmart status --all` lists all"
            )
        _print_earlier(earlier)


def _said_of(run: record.Run | None) -> str:
    """How the last run ended, in one line."""
    if run is None:
        return "last run: none yet"
    began = f"{run.began_at.astimezone(settings().zone):%Y-%m-%d %H:%M}"
    if run.outcome == record.AT_WORK:
        return f"a run is at work since {began} ({run.stages[-1].stage if run.stages else 'beginning'})"
    if run.ended_at is None:
        return f"last run: died; it began on {began}: the next `callmart run` continues from there"
    minutes = (run.ended_at - run.began_at).total_seconds() / 60
    problems = f", {run.problems} to look at: its output and log name them" if run.problems else ""
    return (
        f"last run: {run.outcome}{problems}; it began on {began} and took {several(round(minutes), 'minute')}"
    )


def _listed(customers: list[status.CustomerStatus]) -> list[status.CustomerStatus]:
    """The customers to list: all if they are few, otherwise those that need a look, as many as people read."""
    if len(customers) <= LISTED:
        return customers
    return [one for one in customers if one.needs_look or one.unopened][:LISTED]


def print_status(customers: list[status.CustomerStatus]) -> None:
    """Print the status of customers as a table, followed by the days that are held back."""
    wide = out.width > 100
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, int(wide)), show_edge=wide)
    counts = ("turned\naway", "contacts", "extract\nrows")
    for column in ("customer", "ordered", "from\nto", *counts[:2], "quality", counts[2], "on Tableau"):
        table.add_column(column, justify="right" if column in counts else "left", overflow="fold")
    for one in customers:
        days = f"{one.first_day}\n{one.last_day}" if one.first_day else "none yet"
        table.add_row(
            f"{one.customer_id} {plain(one.name)}",
            one.option,
            days,
            f"{one.turned_away_rows:,}",
            f"{one.contacts:,}",
            one.quality + (f", {several(one.dirty_days, 'day')} to do" if one.dirty_days else ""),
            f"{one.extract_rows:,}",
            plain(one.tableau),
        )
    show(table)
    for one in customers:
        _print_held_back(one)
        _print_unopened(one)


def _print_held_back(customer: status.CustomerStatus) -> None:
    """Print which days of a customer are held back and why: one line per set of failed checks."""
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for held in customer.held_back:
        alike.setdefault((held.checks, _held(held)), []).append(held.day)
    for (checks, state), days in alike.items():
        why = f"{plain(checks[0])}{f' and {len(checks) - 1} more checks' if len(checks) > 1 else ''}"
        more = f" and {len(days) - 5} more" if len(days) > 5 else ""
        out.print(f"customer {customer.customer_id}: {', '.join(days[:5])}{more}: {state}: {why}")


def _held(held: status.HeldBack) -> str:
    if held.released:
        return "released, to be opened by the next run"
    if held.released_before:
        return "held back again, because its data changed or it fails more than was released"
    return "held back"


def _print_unopened(customer: status.CustomerStatus) -> None:
    if customer.unopened:
        names = ", ".join(f"{one.report} (since {one.since})" for one in customer.unopened)
        out.print(
            f"customer {customer.customer_id}: nobody has opened {names} on Tableau for "
            f"{status.UNOPENED_WEEKS} weeks: ask whether they are still wanted"
        )


def _print_earlier(earlier: list[status.Earlier]) -> None:
    """Print which marts have days of earlier definitions, and which of their columns are null there."""
    for one in earlier:
        lacks = ""
        if one.columns:
            lacks = f"; null there: {', '.join(one.columns[:5])}"
            lacks += f" and {len(one.columns) - 5} more" if len(one.columns) > 5 else ""
        out.print(
            f"{one.mart}: {one.days:,} days from {one.first_day} to {one.last_day} are "
            f"{'of an earlier definition' if one.is_known else 'from before its first definition was noted'}{lacks}"
        )
    if earlier:
        out.print("`callmart rebuild --plan` shows what can be computed again, and what that takes")


@app.command()
def audit(
    folder: Annotated[Path | None, typer.Option("--out", help="The folder to write the report to.")] = None,
) -> None:
    """Prove that nobody sees data that is not theirs. Writes the evidence as HTML and JSON."""
    from callmart.audit import audit as evidence
    from callmart.audit import report

    folder = report.ready(settings(), folder)
    with (
        looking() as connection,
        exclusive(connection),
        sessions.making_way(connection, spares_landings=True),
        progress() as step,
    ):
        found = evidence.audit(connection, settings(), step)
    written = report.write(found, folder)
    for check in found.failed:
        tell(f"{check.outcome}: {check.area}: {check.name}")
        for one in check.found:
            tell(f"  {one}")
    numbers = report.summary(found)
    out.print(
        f"audit: {numbers['customers']} customers, {numbers['marts']} marts, {numbers['checks']} checks: "
        f"{numbers['breaches']} breaches, {numbers['checks that looked at nothing']} checks looked at nothing"
    )
    for file in written:
        out.print(f"  {plain(file)}")
    raise typer.Exit(UNDONE if found.failed else 0)
