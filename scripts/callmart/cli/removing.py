"""Commands that remove data: what is too old, and marts that were taken out of the project."""

from typing import TYPE_CHECKING, Annotated

import typer

from callmart.base.errors import UserError
from callmart.base.settings import settings
from callmart.cli.terminal import (
    UNDONE,
    Json,
    Yes,
    at_work,
    excluding,
    looking,
    out,
    plain,
    print_json,
    show,
    table,
)
from callmart.database import clock

if TYPE_CHECKING:
    from callmart.retention.expire import Outcome

app = typer.Typer()


@app.command()
def expire(
    plan: Annotated[
        bool, typer.Option("--plan", help="List what would be removed and why, and change nothing.")
    ] = False,
    today: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="Count the two years back from this day.")
    ] = "",
    accept: Annotated[
        str, typer.Option(metavar="HASH", help="Do the plan that was shown with this hash, and no other.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Remove everything that is older than two years, to the day, from all tables and files."""
    from callmart.retention import expire as stage
    from callmart.retention import expiry_plan

    if plan and accept:
        raise excluding("--plan", "--accept")
    asked = clock.parse_day("--today", today) if today else None
    with looking() if plan else at_work() as connection:
        now = (clock.today if plan else clock.require)(connection, settings())
        day = asked or now
        another = day != now
        if another and not plan and not accept:
            raise UserError(
                f"nothing expired: {day} is not today; look at the plan with "
                f"`callmart expire --today {day} --plan`, which prints the command that carries it out"
            )
        planned = expiry_plan.plan(connection, settings(), day)
        if plan:
            outcomes = [stage.Outcome(step, stage.PLANNED) for step in planned.steps]
        elif accept and accept != planned.hash:
            raise UserError(
                f"nothing expired: {accept} is not the current plan; "
                "look at the current one with --plan, and accept its hash"
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
        print_json(shown | {"outcome": said, "steps": steps})
    else:
        _print_expiry(outcomes)
        if plan and another and outcomes:
            out.print(f"to do this: callmart expire --today {day} --accept {planned.hash}")
        out.print(f"expire: {said}; the oldest day that is kept is {planned.floor}")
    raise typer.Exit(UNDONE if said in (stage.STUCK, stage.LOCKED, stage.CHANGED) else 0)


def _print_expiry(outcomes: "list[Outcome]") -> None:
    if not outcomes:
        return
    steps = table("what", "why", "count", "outcome", right=["count"])
    for one in outcomes:
        steps.add_row(plain(one.step.what), plain(one.step.why), f"{one.step.count:,}", one.outcome)
    show(steps)


@app.command()
def retire(
    mart: Annotated[str, typer.Argument(help="A mart that the project no longer declares.")], yes: Yes = False
) -> None:
    """Remove a mart that was taken out of the project, with all its rows. Shows a plan first."""
    from callmart.retention import retire as stage

    with at_work() as connection:
        planned = stage.plan(connection, settings(), mart)
        for what, count in planned.goes.items():
            out.print(f"[red]-[/] {plain(what)}: {count:,}")
        if not yes:
            raise UserError("nothing was retired: this can't be undone; confirm it with --yes")
        done = stage.retire(connection, planned)
    if not done:
        raise UserError(
            f"nothing was retired: another session is reading {planned.table}; "
            "run the same command again when that session has ended"
        )
    out.print(f"retire: {planned.table} is gone; the next extract and publication leave it out")
