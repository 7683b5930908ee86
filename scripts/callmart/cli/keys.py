"""`callmart keys`: the keys behind the pseudonyms."""

from typing import Annotated

import typer

from callmart.base.settings import settings
from callmart.cli.terminal import database, looking, out, plain, progress

app = typer.Typer(help="The keys behind the pseudonyms: docs/security.md.", no_args_is_help=True)


@app.command()
def rotate(
    customer: Annotated[int, typer.Option(min=1, help="The customer whose key it is.")],
    plan: Annotated[
        bool, typer.Option("--plan", help="Show how many rows have its keys, and change nothing.")
    ] = False,
) -> None:
    """Rotate a customer's key: all that stands gets new pseudonyms, and no series breaks. Goes on if it broke off."""
    from callmart.privacy import rotating

    if plan:
        with looking() as connection:
            rows = rotating.plan(connection, settings(), customer)
        for relation, count in rows.items():
            out.print(f"{plain(relation)}: {count:,}", soft_wrap=True)
        out.print(f"keys: {sum(rows.values()):,} rows of {len(rows)} tables would be keyed anew")
        return
    with database() as connection, progress() as step:
        keyed = rotating.rotate(connection, settings(), customer, step)
    out.print(
        f"keys: {keyed:,} rows of customer {customer} were keyed anew; the next run writes its extracts and publishes "
        "them. Make a backup now, and destroy those from before when you can",
        soft_wrap=True,
    )
