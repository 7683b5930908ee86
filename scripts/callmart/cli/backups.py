"""`callmart backup` and `callmart restore`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.keys import named
from callmart.base.settings import settings
from callmart.cli.terminal import database, end_with, out, plain
from callmart.database import clock, ledger, schema, server
from callmart.database.ledger_mending import Lost
from callmart.database.lock import exclusive

if TYPE_CHECKING:
    from callmart.backup.restore import Opened, Restored

app = typer.Typer()


@app.command()
def backup(folder: Annotated[Path, typer.Argument(help="A new folder, outside CALLMART_HOME.")]) -> None:
    """Back up the database, and the keys, which are encrypted with a passphrase."""
    from callmart.backup import backup as stage

    # Also a database of an earlier version: one backs it up before the upgrade.
    with database(applied=False) as connection, exclusive(connection):
        made = stage.back_up(connection, settings(), folder)
    size = sum(file.size for file in made.files.values())
    out.print(
        f"backup {made.backup}: {several(made.rows, 'row')} of {several(len(made.tables), 'table')} and "
        f"{several(len(made.keys), 'key')} in {plain(folder)} ({size:,} bytes)"
    )


@app.command()
def restore(
    folder: Annotated[Path | None, typer.Argument(help="The folder of a backup.")] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Publish in the place of the installation that the backup is of, which is gone for good. "
            "Without a folder: let a home that was restored earlier do so.",
        ),
    ] = False,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="Only the keys that are missing here or don't fit. The data stays."),
    ] = False,
    later_keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A backup made since, if keys were rotated in between: to know again who was erased after that.",
        ),
    ] = None,
    accept: Annotated[
        str,
        typer.Option(
            metavar="YYYY-MM-DD", help="Today, to confirm that the clock is right if the backup is old."
        ),
    ] = "",
    ledger_lost: Annotated[
        Lost | None,
        typer.Option(help="Why there is no privacy ledger any more, not even its copy. It is an incident."),
    ] = None,
) -> None:
    """Restore a backup into an empty CALLMART_HOME and an empty database. Nothing is published unless it takes over."""
    from callmart.backup import restore as stage

    with_data = bool(later_keys or accept or ledger_lost)
    if keys and (take_over or with_data):
        raise UserError("--keys restores keys alone: name only a folder beside it")
    if folder is None:
        _take_over_later(wanted=take_over and not with_data)
        return
    if keys:
        _restore_keys(folder)
    accepted = clock.parse_day("--accept", accept) if accept else None
    opened = stage.open_backup(folder, settings(), later_keys)
    with server.connect(settings()) as connection:
        restored = stage.restore(
            connection, settings(), opened, accepted, take_over=take_over, lost=ledger_lost
        )
    _say(opened, restored, is_ledger_lost=ledger_lost is not None)
    out.print(f"restore: {_next(take_over=take_over)}")
    end_with(restored.problems)


def _take_over_later(*, wanted: bool) -> None:
    from callmart.publish import installation

    if not wanted:
        raise UserError("name the folder of a backup")
    installation.take_over(settings().home)
    out.print(f"restore: {_next(take_over=True)}")


def _restore_keys(folder: Path) -> NoReturn:
    from callmart.backup import restore as stage

    # Also in a database of an earlier version: its upgrade needs the keys.
    with database(applied=False) as connection, exclusive(connection):
        schema.require_registry(connection)
        written, left = stage.restore_keys(connection, settings(), folder)
    out.print(f"restore: {several(len(written), 'key')} restored, {len(left)} are not in this backup")
    end_with(f"the key of {named(whose)} is not in this backup: try another one" for whose in left)


def _say(opened: "Opened", restored: "Restored", *, is_ledger_lost: bool) -> None:
    out.print(
        f"restore: done; {restored.rows:,} rows of {restored.tables} tables are those of backup "
        f"{opened.manifest.backup}, and {restored.expired:,} rows and files that are too old by now were deleted"
    )
    if restored.erased:
        out.print(
            f"restore: what was erased since the backup is erased again, of {several(restored.erased, 'person')}"
        )
    if is_ledger_lost:
        out.print("restore: if somebody was erased since this backup, erase that person again")
    else:
        out.print(
            f"restore: the privacy ledger ends with line {ledger.last(settings())[0]}; if the letter to a person names "
            "a later line, this ledger is an old copy: let privacy.ledger_copy name the right one, and restore again"
        )


def _next(*, take_over: bool) -> str:
    if take_over:
        return (
            "this home publishes in the place of the one that the backup is of: look at `callmart publish --plan`, "
            "then confirm it with --yes"
        )
    return "this home does not publish; if it is to replace the other one, run `callmart restore --take-over`"
