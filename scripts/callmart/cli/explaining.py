"""The command that lists the contacts behind a number, and compares them with another system's."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.secret_files import secret_file
from callmart.base.settings import settings, time_zones
from callmart.cli.terminal import UNDONE, Json, err, looking, out, plain, print_json, show, table
from callmart.database import clock

if TYPE_CHECKING:
    from callmart.explain.comparing import Compared
    from callmart.explain.explaining import Explained

SHOWN = 50  # rows in the terminal; the file and JSON have all
WITHIN_S = 2

app = typer.Typer()


@app.command("explain", epilog="Example: `callmart explain abandoned --customer 1042 --from 2026-11-24`")
def explain_(
    metric: Annotated[str, typer.Argument(help="A column of queue_interval, or a ratio of docs/metrics.md.")],
    customer: Annotated[int, typer.Option(min=1, help="Whose number it is.")],
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The first day, by its clock.")],
    last: Annotated[
        str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day; by default the first.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="A queue's name or label; by default all.")] = None,
    variant: Annotated[
        str | None, typer.Option(help="A variant of the ratio, by a part of its name.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Another system's list: a .csv or .xlsx with moment, queue, outcome, wait."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The time zone of its moments without an offset (IANA name).")
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(min=0, max=60, help=f"By how many seconds moments may differ; by default {WITHIN_S}."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--out", help="A .csv to write: the contacts, or the differences.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the contacts behind a number of a queue. Exit code 1 if they don't add up to it."""
    from callmart.explain import comparing, explaining, other_list, question, written

    for option, given in {"--timezone": timezone, "--within": within}.items():
        if against is None and given is not None:
            raise UserError(
                f"{option} is about another system's list: name that by --against, or leave it out"
            )
    with looking() as connection:
        days = [clock.parse_day("--from", first), clock.parse_day("--to", last or first)]
        if target is not None and target.suffix != ".csv":
            raise UserError(f"--out {target} is no .csv: name one")
        measure = question.measure(settings(), metric, variant)
        listed = None if against is None else other_list.read(against, _zone(timezone))
        # One moment for all that is read: a run may be at work meanwhile.
        connection.execute("set transaction isolation level repeatable read")
        asked = question.ask(connection, measure, customer, queue, days[0], days[1])
        explained = explaining.explain(connection, settings(), asked)
    nearby = timedelta(seconds=WITHIN_S if within is None else within)
    compared = None if listed is None else comparing.compare(explained, listed, nearby)
    rows = written.contacts(explained) if compared is None else written.differences(explained, compared)
    if target is not None:
        secret_file(target, written.as_csv(explained, compared))
    if as_json:
        print_json(written.as_json(explained, compared))
    else:
        _print(explained, compared, rows)
    _require_equal(explained)


def _require_equal(explained: "Explained") -> None:
    """End with exit code 1 if the contacts don't add up to the number."""
    if not explained.adds_up:
        err.print(
            f"the contacts add up to {explained.sums}, and the mart says {explained.totals.sums}: build the days anew"
            ' (docs/runbook.md, "Build days anew")',
            soft_wrap=True,
        )
        raise typer.Exit(UNDONE)


def _zone(name: str | None) -> ZoneInfo | None:
    if name is not None and name not in time_zones():
        raise UserError(f"--timezone {name} is no time zone: write it as Europe/Amsterdam")
    return None if name is None else ZoneInfo(name)


def _print(explained: "Explained", compared: "Compared | None", rows: list[dict[str, Any]]) -> None:
    _print_rows(rows if compared is None else [_on_one_side(row) for row in rows])
    _print_number(explained)
    if compared is not None:
        _print_compared(compared)


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the first rows as a table, without the columns in which none of them has a value."""
    shown = rows[:SHOWN]
    names = [name for name in (rows[0] if rows else {}) if any(row[name] is not None for row in shown)]
    numbers = [name for name in names if any(isinstance(row[name], int | float) for row in shown)]
    listed = table(*names, right=numbers)
    for row in shown:
        listed.add_row(*(_cell(row[name]) for name in names))
    if rows:
        show(listed)
    if len(rows) > SHOWN:
        out.print(f"... and {len(rows) - SHOWN} more: --out or --json has all")


def _on_one_side(row: dict[str, Any]) -> dict[str, Any]:
    """A difference in as many columns as a terminal has room for: what we say of the contact, or else what they say."""
    side = "there" if row["here_joined"] is None else "here"
    said = {name: row[f"{side}_{name}"] for name in ("joined", "queue", "outcome", "wait_s")}
    return {"line": row["there_line"], **said, **{name: row[name] for name in ("side", "why", "detail")}}


def _cell(value: object) -> str:
    return "" if value is None else plain(f"{value:g}" if isinstance(value, float) else value)


def _print_number(explained: "Explained") -> None:
    question, totals = explained.question, explained.totals
    sums = ", ".join(
        f"{name} {value}" for name, value in zip(question.measure.parts, totals.sums, strict=True)
    )
    number = "no number" if totals.number is None else f"{totals.number:.6g}"
    called = question.measure.name + (f" ({question.measure.variant})" if question.measure.variant else "")
    said = "they add up to it" if explained.adds_up else "they do NOT add up to it"
    out.print(
        f"explain: {plain(called)} of customer {question.customer_id}, {question.first} to {question.last}: {number}"
        f" ({sums}), behind it {several(len(explained.counted), 'contact')}; {said}"
    )
    if totals.hidden_days:
        out.print(
            f"  on {several(totals.hidden_days, 'day')} a part of it is not shown (no source says it, or fewer than two"
            " agents answered): those quarter-hours are in neither"
        )


def _print_compared(compared: "Compared") -> None:
    out.print(
        f"against: {several(compared.here, 'contact')} here, {compared.there:,} there: {compared.same:,} the same on "
        "both sides"
        + (f", {compared.elsewhere} of other queues" if compared.elsewhere else "")
        + (f"; {compared.hint}" if compared.hint else "")
    )
    for (side, why), count in compared.whys.most_common():
        out.print(f"  {count:>6} {side}: {plain(why)}")
