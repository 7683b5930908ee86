"""What all commands share: output, exit codes, and the connection to the database."""

import json
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperCommand

from callmart.access import sessions, surroundings
from callmart.access.difference import Drift
from callmart.base import controls, log, streams
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.progress import OnStep, quietly
from callmart.base.settings import settings
from callmart.database import clock, restoring, schema, server

streams.ensure_open()  # the consoles look at them

# A file or a pipe has no width of its own, so tables get 130 columns there.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 130)
err = Console(stderr=True, highlight=False)

UNDONE = 1  # finished, but something was held back, refused or left undone
MISTAKE = 2  # nothing was done, or it broke off
INTERRUPTED = 130  # as typer says it, once a command has begun

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without this nothing is changed.")]


class OneOfTwo(TyperCommand):
    """A command with a pair of options such as --alone/--shared. Both together are refused: the last would count."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for option in self.get_params(ctx):
            given = [one for one in (*option.opts, *option.secondary_opts) if one in args]
            if option.secondary_opts and len(given) > 1:
                raise excluding(*given)
        return super().parse_args(ctx, args)


def excluding(first: str, second: str) -> UserError:
    """Two options of which one would be ignored."""
    return UserError(f"{first} and {second} exclude each other: leave out one of the two")


def plain(text: object) -> str:
    """The text with brackets escaped, so that rich prints it as it is. Control characters are shown, not done: a
    sender chooses the names of its files.
    """
    return escape(controls.shown(str(text)))


def table(*columns: str, right: Collection[str] = ()) -> Table:
    """A table without a frame. The columns of numbers stand on the `right`."""
    made = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def show(filled: Table) -> None:
    """Print a table. Sentences are left to the terminal to wrap; its columns have a width."""
    out.print(filled, soft_wrap=False)


def tell(problem: object) -> None:
    """Print a sentence to stderr."""
    err.print(plain(problem), soft_wrap=True)


def fail(mistake: object) -> None:
    """Print to stderr why something was not done."""
    err.print(f"[bold red]error:[/] {plain(mistake)}", soft_wrap=True)


def print_json(found: object) -> None:
    """Print a result as one line of JSON. Days and moments are written by ISO 8601."""
    print(json.dumps(found, default=lambda moment: moment.isoformat()), flush=True)


def secret(what: str, *, twice: bool = False, needed: bool = True) -> str:
    """Ask for something that nobody else may see: hidden at a terminal, otherwise the next line of standard input.

    `twice` asks again at a terminal, because a slip can't be seen there. If it is not `needed`, it may be empty.
    """
    if sys.stdin.isatty():
        default = None if needed else ""
        return str(
            typer.prompt(
                what, default, hide_input=True, confirmation_prompt=twice, show_default=False, err=True
            )
        )
    line = sys.stdin.readline()
    if not line and needed:
        raise UserError(f"standard input has ended: the {what} is missing there")
    return line.rstrip("\r\n")


def warn(sentence: str) -> None:
    """Print a sentence to stderr, as a log line where there is no terminal."""
    if err.is_terminal:
        tell(sentence)
    else:
        log.begin(settings().log)
        log.line("warning", sentence)


def show_mended(mended: Collection[Drift]) -> None:
    """Print the drift that was corrected on the way, if there was any."""
    for one in mended:
        out.print(plain(one.text))
    if mended:
        out.print(f"access: {several(len(mended), 'difference')} corrected; find out who made them")


def end_with(problems: Iterable[str]) -> NoReturn:
    """Print the problems and end the program: with exit code 1 if there are any, otherwise with 0."""
    problems = list(problems)
    for problem in problems:
        tell(problem)
    raise typer.Exit(UNDONE if problems else 0)


@contextmanager
def database(*, applied: bool = True, tells: bool = False) -> Iterator[psycopg.Connection]:
    """A connection as the owner. Raises UserError if a registry is not `applied` with this version, if a restore is not
    finished, or if it would run what a stranger made, unless the command `tells` such things and writes nothing.
    """
    with server.connect(settings()) as connection:
        if not tells:
            surroundings.refuse_strangers(connection)
        restoring.refuse(connection)
        if applied:
            schema.require(connection, settings().time_zone)
        yield connection


@contextmanager
def at_work(*, rotating: int | None = None) -> Iterator[psycopg.Connection]:
    """A connection for a command that changes something: one at a time, and only while the clock is believed. A
    rotation of the key of the customer `rotating` may have broken off.
    """
    with database() as connection, sessions.at_work(connection, settings(), rotating=rotating):
        yield connection


def follow_rights(connection: psycopg.Connection) -> int:
    """Make rights follow today's contracts before anything leaves: nothing does while there is drift. Prints the
    problems, and returns how many.
    """
    from callmart.opening import opening

    problems = opening.follow_rights(connection, settings(), opens=False)
    for problem in problems:
        tell(problem)
    return len(problems)


@contextmanager
def looking(*, tells: bool = False) -> Iterator[psycopg.Connection]:
    """A connection for a command that changes nothing. It works even if the clock is in doubt, and prints the doubt.
    One that `tells` what is wrong works beside a stranger, too.
    """
    with database(tells=tells) as connection:
        if doubt := clock.read(connection, settings()).doubt:
            err.print(f"[yellow]the clock is in doubt:[/] {plain(doubt)}", soft_wrap=True)
        connection.rollback()
        yield connection


@contextmanager
def progress(*, logs_stages: bool = False) -> Iterator[OnStep]:
    """Show progress: on a terminal a bar per stage, elsewhere a log line per finished stage, unless the command itself
    `logs_stages`. Yields `step(stage, item, finished, of)`.
    """
    if err.is_terminal:
        with _bars() as step:
            yield step
    else:
        log.begin(settings().log)
        yield quietly if logs_stages else _log_finished


def _log_finished(stage: str, item: str, finished: int, of: int) -> None:
    """Log that a stage is finished. The item is left out: it can be the name of a file or of a customer."""
    if finished == of:
        log.line("info", f"{stage}: {of} of {of}")


@contextmanager
def _bars() -> Iterator[OnStep]:
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
                tasks[stage], total=of, completed=finished, item="" if finished == of else plain(item)
            )

        yield step
