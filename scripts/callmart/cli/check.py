"""`callmart check`: looks at everything that the project declares."""

import typer

from callmart.base.counting import several
from callmart.cli.terminal import MISTAKE, out, plain

app = typer.Typer()


@app.command()
def check() -> None:
    """Look at everything that the project declares, and say all that is wrong. Needs no server."""
    from callmart.declarations import checking

    found = checking.check()
    for sentence in found:
        out.print(plain(sentence))
    out.print(
        f"check: {several(len(found), 'mistake')}"
        if found
        else "check: everything that is declared fits together"
    )
    raise typer.Exit(MISTAKE if found else 0)
