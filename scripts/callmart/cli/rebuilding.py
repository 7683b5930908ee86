"""The command that computes again what is of an earlier definition."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from callmart.base.counting import several
from callmart.base.settings import settings
from callmart.cli.terminal import UNDONE, Json, at_work, looking, out, print_json, progress, show, table, tell
from callmart.database import clock
from callmart.operations import rebuild as stage
from callmart.upgrade import upgrading

app = typer.Typer()


@app.command("rebuild")
def rebuild_(
    mart: Annotated[str | None, typer.Option(help="Only days on which this mart is outdated.")] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="The first day; by default all.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day; by default all.")
    ] = None,
    customer: Annotated[int | None, typer.Option(min=1, help="Only this customer's days.")] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what would be computed and how long it takes, and change nothing."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute again the open days that are of an earlier definition of a mart."""
    chosen = stage.Chosen(
        mart,
        customer,
        clock.parse_day("--from", first) if first else None,
        clock.parse_day("--to", last) if last else None,
    )
    if plan:
        with looking() as connection:
            _print_plan(stage.plan(connection, settings(), chosen), as_json)
        return
    with at_work() as connection, progress() as step:
        upgrading.require(connection, settings())
        done = stage.rebuild(connection, settings(), chosen, partial(step, "rebuild"))
    for problem in done.problems:
        tell(problem)
    if as_json:
        print_json(asdict(done))
    else:
        out.print(f"rebuild: {', '.join(_results(done))}")
    raise typer.Exit(UNDONE if done.problems or done.held_back or done.left else 0)


def _results(done: stage.Rebuilt) -> Iterator[str]:
    if done.days or done.left:
        yield f"{several(done.days, 'day')} computed again, {done.left:,} left"
    else:
        yield "nothing to do"
    if done.held_back:
        yield f"{done.held_back:,} days are held back (`callmart status` says by which checks)"
    if done.days:
        yield "the next run publishes it"


def _print_plan(planned: stage.Plan, as_json: bool) -> None:
    if as_json:
        print_json(asdict(planned))
        return
    if planned.marts:
        marts = table("mart", "days", "customers", "from", "to", right=["days", "customers"])
        for one in planned.marts:
            marts.add_row(one.mart, f"{one.days:,}", f"{one.customers:,}", str(one.first), str(one.last))
        show(marts)
    for sentence in _said(planned):
        out.print(sentence)
    out.print(f"rebuild: {planned.due:,} days are of an earlier definition")


def _said(planned: stage.Plan) -> Iterator[str]:
    """What it costs, and what it can't give back."""
    if planned.due and planned.seconds is None:
        yield "nobody knows how long it takes: no run has computed anything yet"
    elif planned.due and planned.seconds is not None:
        yield (
            f"it takes about {several(max(1, round(planned.seconds / 60)), 'minute')}, as measured in the last runs "
            f"over {several(planned.measured_days, 'day')}; extracts and the publication come after it"
        )
    if planned.cut_short:
        yield (
            f"{planned.cut_short:,} of them are the first that are kept: calls, statuses and logins that began before "
            "are deleted, and so are the callers of the week before"
        )
    if planned.before_erasure:
        yield f"{planned.before_erasure:,} of them are from before an erasure: who was erased stays left out"
    if planned.with_objectors:
        yield f"{planned.with_objectors:,} of them are of customers with agents who object: they stay left out"
    if planned.waiting:
        yield f"{planned.waiting:,} others wait for the next build already, or are held back by their checks"
    if planned.not_kept:
        yield f"{planned.not_kept:,} others can't be computed: they are too old, or no contract keeps them any more"
    if planned.closed:
        yield f"{planned.closed:,} others are of customers that are closed: `callmart privacy replay` opens them"
