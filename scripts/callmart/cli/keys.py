"""`callmart keys`: the keys behind the pseudonyms."""

from dataclasses import asdict
from typing import Annotated

import typer

from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.settings import settings
from callmart.cli.terminal import Json, Yes, at_work, database, looking, out, plain, print_json, progress

app = typer.Typer(help="The keys behind the pseudonyms: docs/security.md.", no_args_is_help=True)


@app.command()
def rotate(
    customer: Annotated[int | None, typer.Option(min=1, help="The customer whose key it is.")] = None,
    installation: Annotated[
        bool,
        typer.Option(
            "--installation", help="The installation's key, by which names and contents of files are stored."
        ),
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show how many rows have its keys, and change nothing.")
    ] = False,
) -> None:
    """Rotate a customer's key: what is stored gets new pseudonyms, and no series breaks. Goes on if it broke off."""
    from callmart.privacy import rotating

    if (customer is None) != installation or (plan and installation):
        raise UserError("say whose key it is: either `--customer N`, also with `--plan`, or `--installation`")
    if customer is None:
        with database() as connection:
            files = rotating.rotate_installation(connection, settings())
        out.print(
            f"keys: the names and contents of {files:,} files were keyed anew. Make a backup now, and destroy those "
            "from before when you can"
        )
        return
    if plan:
        with looking() as connection:
            rows = rotating.plan(connection, settings(), customer)
        for relation, count in rows.items():
            out.print(f"{plain(relation)}: {count:,}")
        out.print(
            f"keys: {several(sum(rows.values()), 'row')} of {several(len(rows), 'table')} would be keyed anew"
        )
        return
    with database() as connection, progress() as step:
        keyed = rotating.rotate(connection, settings(), customer, step)
    out.print(
        f"keys: {keyed:,} rows of customer {customer} were keyed anew; the next run writes its extracts and publishes "
        "them. Make a backup now, and destroy those from before when you can"
    )


@app.command()
def lost(
    customer: Annotated[int | None, typer.Option(min=1, help="The customer whose key it was.")] = None,
    installation: Annotated[
        bool, typer.Option("--installation", help="The key was that of names and contents of files.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Make another key after one is lost and in no backup. What was stored with that of a customer is removed."""
    from callmart.privacy import unknown
    from callmart.retention import remove

    if (customer is None) != installation:
        raise UserError("say whose key it was: either `--customer N`, or `--installation`")
    if customer is None:
        _lost_of_installation(yes=yes)
        return
    if not yes:
        raise UserError(
            f"nothing was removed: all days of customer {customer} whose files are no longer there are lost with this; "
            f"try `callmart restore FOLDER --keys` with every backup first, then confirm it with --yes"
        )
    with at_work(rotating=customer) as connection:
        removed = remove.start_over(connection, settings(), customer)
        objectors = unknown.of(connection, customer)
    out.print(
        f"keys: {removed.counts.get('events', 0):,} events of customer {customer} were removed, and it has another "
        "key; run `callmart run`, which lands again the files that are still there"
    )
    if corrections := removed.counts.get("corrections", 0):
        out.print(
            f"its {corrections} corrections of events are gone with the key: enter these requests again before that"
        )
    if objectors:
        out.print(str(objectors))


def _lost_of_installation(*, yes: bool) -> None:
    from callmart.privacy import rotating

    if not yes:
        raise UserError(
            "nothing was done: after this no file that has landed is known again, so all that are still in the folders "
            "land once more, without doubling an event, and a file of another time zone is refused only if it was "
            "landed after this; try `callmart restore FOLDER --keys` with every backup first, then confirm it with "
            "--yes"
        )
    with at_work() as connection:
        files = rotating.replace_installation_key(connection, settings())
    out.print(
        f"keys: the installation has another key, and {files:,} files are not known again; those that are still in the "
        "folders land once more with the next run. Make a backup now"
    )


@app.command("entered-again")
def entered_again(
    customer: Annotated[int, typer.Option(min=1, help="The customer whose key is gone.")], yes: Yes = False
) -> None:
    """Show a customer's agents again, after all who had objected under a key that is gone were entered again."""
    from callmart.privacy import unknown

    if not yes:
        raise UserError(
            "nothing was changed: ask the contact who had objected, let the privacy officer enter them again and carry "
            "that out, then confirm it with --yes"
        )
    with at_work() as connection:
        agents = unknown.entered_again(connection, settings(), customer)
    out.print(
        f"keys: {agents} former objections of customer {customer} have ended; the next run computes its agents' days"
    )


@app.command()
def destroyed(as_json: Json = False) -> None:
    """List the keys that were destroyed with their customer's data, and until when a backup has them."""
    from callmart.retention import destroyed as stage

    with looking() as connection:
        found = stage.listed(connection)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        backups = f"gone from {one.backups_gone} on" if one.backups_gone else "of unknown age"
        attested = f"attested on {one.attested_at:%Y-%m-%d}" if one.attested_at else "not attested yet"
        out.print(
            f"customer {one.customer_id}: destroyed on {one.at:%Y-%m-%d}; its backups are {backups}, {attested}"
        )


@app.command()
def attest(customer: Annotated[int, typer.Option(min=1, help="The customer that left.")]) -> None:
    """Record that the last backup with the key of a customer that left is gone."""
    from callmart.retention import destroyed as stage

    with at_work() as connection:
        done = stage.attest(connection, settings(), customer)
        connection.commit()
    out.print(
        f"keys: the key of customer {customer} was destroyed on {done.at:%Y-%m-%d}, and its last backup is gone"
    )
