"""The program `callmart`, with all its commands. Progress goes to stderr, results to stdout."""

from callmart.cli import (
    backups,
    check,
    customers,
    doctor,
    examples,
    explaining,
    health,
    keys,
    looking,
    preview,
    privacy,
    rebuilding,
    removing,
    reports,
    rights,
    servers,
    stages,
    trying,
)
from callmart.cli.entry import main, program

__all__ = ["app", "main"]

GROUPS = (
    check,
    stages,
    rebuilding,
    removing,
    looking,
    explaining,
    trying,
    reports,
    preview,
    health,
    doctor,
    servers,
    backups,
    examples,
)

app = program(*(group.app for group in GROUPS))
app.add_typer(customers.app, name="registry")
app.add_typer(rights.app, name="access")
app.add_typer(privacy.app, name="privacy")
app.add_typer(keys.app, name="keys")
