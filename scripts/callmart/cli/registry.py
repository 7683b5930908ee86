"""`callmart registry`: who the customers are."""

from pathlib import Path
from typing import Annotated

import typer

from callmart.access import memberships
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.settings import settings
from callmart.cli.terminal import database, end_with, err, out, plain, show_mended
from callmart.database import clock, rotation, schema
from callmart.database.lock import exclusive
from callmart.registry import applying, planning
from callmart.registry import file as registry_file

app = typer.Typer(help="Who the customers are and what they have ordered.", no_args_is_help=True)


@app.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="The registry: docs/registry.md.")],
    yes: Annotated[bool, typer.Option("--yes", help="Also apply what deletes data.")] = False,
    request: Annotated[
        int,
        typer.Option(min=0, help="The request of a person for whom the file corrects a name or an address."),
    ] = 0,
) -> None:
    """Apply the registry file to the database, the roles and the keys. Shows a plan first."""
    wanted = registry_file.load(file)
    if earlier := registry_file.earlier_names(wanted):
        err.print(
            f"{plain(file)} uses earlier names of reports, which callmart 1.0 will refuse; write "
            + ", ".join(f"{now} for {before}" for before, now in earlier.items()),
            soft_wrap=True,
        )
    with database(applied=False) as connection, exclusive(connection):
        if schema.has_registry(connection) and not schema.is_half_made(connection):
            schema.require(connection, settings().time_zone)
        before = memberships.prepare(connection, settings())
        rotation.refuse(connection)
        clock.believe(connection, settings())
        states = applying.compare(connection, settings(), wanted)
        changes = planning.plan(states.current, states.desired, clock.today(connection, settings()))
        for change in changes:
            mark = "[red]-[/]" if change.deletes else "[green]+[/]"
            out.print(f"{mark} customer {change.customer_id}: {plain(change.text)}")
        if changes and settings().mail.sender == "tableau" and (csv := registry_file.wants_csv(wanted)):
            err.print(
                f"{several(csv, 'recipient')} ordered CSV files, which Tableau does not mail: they get the PDF until "
                'callmart.toml has mail.sender = "callmart"',
                soft_wrap=True,
            )
        deleting = sum(change.deletes for change in changes)
        if deleting and not yes:
            raise UserError(
                f"nothing was applied, as data would be deleted by {several(deleting, 'change')}; "
                "correct the file, or confirm that with --yes"
            )
        if request:
            from callmart.privacy import renaming  # it takes Tableau's library with it

            renaming.remember(connection, settings(), request, states.current, states.desired)
        if anonymous := states.become_anonymous():
            from callmart.retention import copies

            applying.refuse(connection, settings(), wanted)
            for customer_id in anonymous:  # first: after a crash nobody would know that names are drawn there
                if copies.remove_copies(connection, settings(), customer_id):
                    out.print(
                        f"customer {customer_id}: drawn pages, mails in the outbox and environments were removed, as "
                        "they can have agents' names"
                    )
        applied = applying.apply(connection, settings(), wanted, states, before)
    show_mended(applied.mended)
    out.print(
        f"registry: {several(len(wanted.customers), 'customer')}, {several(len(changes), 'change')} applied"
    )
    end_with(applied.problems)
