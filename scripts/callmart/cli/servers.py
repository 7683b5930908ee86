"""Commands for the database server and the emulator: how to reach them, the clock, upgrade and stop."""

import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from callmart.access import logins
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.settings import settings
from callmart.cli.terminal import UNDONE, database, end_with, looking, out, plain, show_mended
from callmart.database import clock, embedded_server, schema
from callmart.database.lock import exclusive
from callmart.upgrade import marts as changes
from callmart.upgrade import upgrading

app = typer.Typer()


@app.command()
def dsn(
    customer: Annotated[int | None, typer.Option(min=1, help="The login of this customer.")] = None,
    duty: Annotated[str | None, typer.Option(help="The login of this duty of access.yml.")] = None,
) -> None:
    """Print a libpq URI and nothing else: of the owner, of a customer's login, or of a duty."""
    if customer is not None and duty is not None:
        raise UserError("one login at a time: name --customer or --duty")
    with looking() as connection:
        if customer is not None:
            print(logins.customer_uri(connection, settings(), customer))
        elif duty is not None:
            print(logins.duty_uri(settings(), duty))
        else:
            print(logins.owner_uri(settings()))


@app.command("clock")
def clock_(
    accept: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="Today, to confirm that the clock is right.")
    ] = "",
) -> None:
    """Show what the clock says and whether it is believed. With --accept, believe it again after a long pause."""
    # Also in a database of an earlier version: `upgrade` needs a clock that is believed.
    with database(applied=False) as connection:
        if not schema.has_registry(connection):
            schema.require(connection, settings().time_zone)
        if accept:
            with exclusive(connection):
                clock.accept(connection, settings(), clock.parse_day("--accept", accept))
                connection.commit()
        reading = clock.read(connection, settings())
    out.print(
        f"the clock says {reading.today}; "
        f"{f'callmart last worked on {reading.last}' if reading.last else 'callmart has not worked yet'}"
    )
    out.print(f"clock: {plain(reading.doubt) if reading.doubt else 'believed'}")
    raise typer.Exit(UNDONE if reading.doubt else 0)


@app.command()
def upgrade(
    plan: Annotated[bool, typer.Option("--plan", help="Show what would change, and change nothing.")] = False,
) -> None:
    """Upgrade a database that an earlier version of callmart made, and marts that changed. Their data stays."""
    from callmart.declarations import dbt_project

    with database(applied=False) as connection, nullcontext() if plan else exclusive(connection):
        marts = dbt_project.marts(settings())
        if not schema.has_registry(connection):
            raise UserError("there is nothing to upgrade: run `callmart registry apply registry.yml` first")
        planned = list(upgrading.plan(connection, settings(), marts))
        for line in planned:
            out.print(plain(line))
        for line in changes.added(connection, marts) if plan else ():
            out.print(plain(line))
        if plan or not planned:
            out.print(
                f"upgrade: {several(len(planned), 'change')} to make" if planned else "upgrade: nothing to do"
            )
            return
        applied = upgrading.upgrade(connection, settings(), marts)
    show_mended(applied.mended)
    out.print("upgrade: done; continue with `callmart run`")
    end_with(applied.problems)


@app.command()
def emulator() -> None:
    """Serve the local Tableau emulator in the foreground, until interrupted."""
    from callmart.publish import emulator as emulated

    emulated.serve(
        settings(), lambda running: out.print(f"Tableau emulator at {running.url}; Ctrl-C ends it")
    )


@app.command(hidden=True)
def draw(form: Annotated[str, typer.Argument(metavar="FORMAT", help="png, pdf, csv or xlsx.")]) -> None:
    """Draw a view of the emulator. Standard input says who asks for what; the emulator calls this."""
    from callmart.publish import views

    with looking() as connection:
        sys.stdout.buffer.write(
            views.draw(connection, settings(), form, views.Asked.model_validate_json(sys.stdin.buffer.read()))
        )


@app.command()
def start() -> None:
    """Start the embedded database and the Tableau emulator, each unless the settings name another server."""
    from callmart.publish import emulator

    started = []
    if settings().dsn is None:
        embedded_server.start(settings().home)
        started.append("database")
    if settings().tableau.is_emulated and (settings().dsn is None or settings().tableau.server):
        emulator.ensure_running(settings())
        started.append("Tableau emulator")
    out.print(
        f"running: {', '.join(started)}"
        if started
        else "nothing to start: the settings name servers of your own"
    )


@app.command()
def stop() -> None:
    """Stop the embedded database and the Tableau emulator."""
    from callmart.publish import emulator

    stopped = [
        name
        for name, did in (
            ("database", embedded_server.stop(settings().home)),
            ("Tableau emulator", emulator.stop(settings().home)),
        )
        if did
    ]
    out.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
