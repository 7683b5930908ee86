"""`callmart doctor`: tries every setting and connection, and changes nothing."""

from dataclasses import asdict

import typer

from callmart.base.settings import settings
from callmart.cli.terminal import UNDONE, Json, out, plain, print_json

app = typer.Typer()

_COLOURS = {"ok": "green", "wrong": "red", "not checked": "yellow"}


@app.command()
def doctor(as_json: Json = False) -> None:
    """Try every setting and connection, and say what is wrong. Changes nothing and starts nothing."""
    from callmart.operations import doctor as examined

    found = []
    for check in examined.checks(settings):
        found.append(check)
        if not as_json:
            colour = _COLOURS[check.outcome]
            out.print(f"[{colour}]{check.outcome}[/]: {plain(check.name)}: {plain(check.found)}")
    if as_json:
        print_json([asdict(check) for check in found])
    raise typer.Exit(UNDONE if any(check.outcome != "ok" for check in found) else 0)
