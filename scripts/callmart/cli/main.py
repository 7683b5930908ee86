"""The program `callmart`, with all its commands. Progress goes to stderr, results to stdout."""

from callmart.cli import (
    access,
    backups,
    check,
    doctor,
    examples,
    explaining,
    health,
    keys,
    looking,
    preview,
    privacy,
    rebuilding,
    registry,
    removing,
    reports,
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
app.add_typer(registry.app, name="registry")
app.add_typer(access.app, name="access")
app.add_typer(privacy.app, name="privacy")
app.add_typer(keys.app, name="keys")
