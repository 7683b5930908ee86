"""Commands to try a change of the project in an environment, and to compare it with what stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import psycopg
import typer

from callmart.base.errors import UserError
from callmart.base.settings import settings
from callmart.cli.stages import print_failing
from callmart.cli.terminal import UNDONE, Json, database, out, plain, progress, show, table
from callmart.database import schema

if TYPE_CHECKING:
    from callmart.environments.differences import Cell, Column, Compared
    from callmart.environments.making import Made

CELLS_SHOWN = 20  # in the terminal; the page has 500, and JSON all

LARGEST = 2**31 - 1  # number of a customer

app = typer.Typer()

Name = Annotated[str, typer.Argument(help="The environment's name, such as pr_812.")]
Target = Annotated[Path | None, typer.Option("--out", help="A .html or .json to write the comparison to.")]


@app.command("try", epilog="Example: `callmart try pr_812 --customers 1043,1044 --days 14`")
def try_(
    name: Name,
    customers: Annotated[
        str,
        typer.Option(
            metavar="1043,1044", help="Whose days it gets; needed unless you give --drop, and so is --days."
        ),
    ] = "",
    days: Annotated[
        int | None, typer.Option(min=1, max=9999, help="How many days, up to the last that is open.")
    ] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove the environment, whatever is left of it.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Compare it with what stands, then remove it: for a pull request.")
    ] = False,
    target: Target = None,
) -> None:
    """Build the project as it is now in an environment: a database of its own, with some customers and days.

    Exit code 1 if checks hold days back; with --once, if anything differs from what stands.
    """
    if drop:
        from callmart.environments import known

        if customers or days is not None or once or target is not None:
            raise UserError("--drop removes the environment: name nothing beside it")
        if not _drop(name):
            raise known.absent(name)
        out.print(f"try: environment {name} is gone")
        return
    if days is None or not customers:
        raise UserError(f"say what it gets: `callmart try {name} --customers 1043,1044 --days 14`")
    if target is not None and not once:
        raise UserError(
            f"--out goes with --once: without it, `callmart diff {name} --out {target}` writes it"
        )
    chosen = _numbers(customers)
    if not once:
        made = _make(name, chosen, days)
        out.print(f"try: environment {made.environment}; compare it with `callmart diff {name}`")
        raise typer.Exit(UNDONE if made.environment.held_back else 0)
    _once(name, chosen, days, target)


@app.command()
def diff(name: Name, target: Target = None, as_json: Json = False) -> None:
    """Compare an environment with what stands, per mart, column, customer and day. Exit code 1 if anything differs."""
    _diff(name, target, as_json=as_json)


def _make(name: str, customers: tuple[int, ...], days: int) -> "Made":
    from callmart.environments import making

    with _standing() as connection, progress() as step:
        made = making.make(connection, settings(), name, customers, days, step)
    print_failing(made.validated)
    return made


def _once(name: str, customers: tuple[int, ...], days: int, target: Path | None) -> None:
    """Make, compare and remove an environment, whatever fails; but not another one of that name, or one in which
    another command is at work.
    """
    from callmart.database.lock import Busy
    from callmart.environments import making, written

    if target is not None:
        written.refuse_format(target)
    with _standing() as connection:
        # `make` looks later whose it is, and what fails before that would remove it.
        making.unfinished(connection, name, customers, days)
    try:
        _make(name, customers, days)
        _diff(name, target, as_json=False)
    except (making.Taken, Busy):
        raise
    except BaseException:  # also the exit code of the comparison
        _drop(name)
        raise


def _drop(name: str) -> bool:
    from callmart.environments import databases

    with database(applied=False) as connection:
        return databases.drop(connection, settings(), name)


def _diff(name: str, target: Path | None, *, as_json: bool) -> None:
    from callmart.environments import comparing, written

    if target is not None:
        written.refuse_format(target)
    with _standing() as connection:
        compared = comparing.compare(connection, settings(), name)
    if target is not None:
        written.write(compared, target)
    if as_json:
        print(written.as_json(compared))
    else:
        _print(compared, target)
    raise typer.Exit(UNDONE if compared.differing or not compared.days else 0)


@contextmanager
def _standing() -> Iterator[psycopg.Connection]:
    """A connection to what stands. Its tables must be those of this version; its functions need not, since a project
    with a new group has others.
    """
    with database(applied=False) as connection:
        schema.require_tables(connection)
        connection.rollback()
        yield connection


def _numbers(customers: str) -> tuple[int, ...]:
    try:
        found = sorted({int(one) for one in customers.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1 or found[-1] > LARGEST:
        raise UserError(f"--customers {customers}: write their numbers with commas, such as 1043,1044")
    return tuple(found)


def _said_of(column: "Column") -> str:
    from callmart.environments.differences import Outcome

    if column.only:
        return f"only {column.only}"
    counts = [f"{count} {outcome}" for outcome in get_args(Outcome) if (count := column.count(outcome))]
    return ", ".join([*counts, f"{column.equal} equal"])


def _print(compared: "Compared", target: Path | None) -> None:
    """Print which columns differ, those of a mart that differ alike in one line, and the largest differences."""
    alike: dict[tuple[str, str], list[str]] = {}
    for column in compared.differing:
        alike.setdefault((column.mart, _said_of(column)), []).append(column.column or "the whole mart")
    for (mart, said), columns in alike.items():
        out.print(f"  {mart}: {', '.join(columns)}: {said}")
    _print_cells(compared.cells)
    if compared.not_compared:
        out.print(f"  not compared, as no row is a customer's: {', '.join(compared.not_compared)}")
    written = f"; {plain(target.resolve())}" if target else ""
    out.print(f"diff: {plain(compared)}{written}")


def _print_cells(cells: "list[Cell]") -> None:
    if not cells:
        return
    numbers = ("here", "there", "size")
    listed = table("mart", "column", "customer", "day", "outcome", *numbers, right=numbers)
    for cell in cells[:CELLS_SHOWN]:
        listed.add_row(
            cell.mart, cell.column, str(cell.customer_id), str(cell.day or ""), cell.outcome,
            *("" if one is None else f"{one:,}" for one in (cell.here, cell.there)),
            "" if cell.size is None else f"{cell.size:.1%}",
        )  # fmt: skip
    show(listed)
    if len(cells) > CELLS_SHOWN:
        out.print(f"... and {len(cells) - CELLS_SHOWN} more: --out or --json has them")
    out.print(
        "size: how far the rows are apart, as a share of the larger sum; or the share of rows that differ"
    )
