"""The command `callmart`: its commands put together. Progress goes to stderr, results to stdout."""

import sys
from typing import Annotated

import psycopg
import typer

from callmart import __version__
from callmart.base.errors import UserError
from callmart.cli import customers, examples, looking, removing, rights, servers, stages
from callmart.cli.terminal import MISTAKE, UNDONE, err, out, plain

app = typer.Typer(
    help="From raw call data to one isolated Tableau publication per customer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group in (stages, removing, looking, servers, examples):
    app.add_typer(group.app)
app.add_typer(customers.app, name="registry")
app.add_typer(rights.app, name="access")

# What helps where the same command again would not.
REMEDIES = {
    "42501": "something does not belong to the owner any more: `callmart access diff` says what",
    "55P03": "an open transaction of somebody else stands in the way: when it has ended, run the same command again",
}


def main() -> None:
    """Run the command; a mistake of the user is one sentence and exit code 2, never a traceback."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as mistake:
        if told := mistake.format_message().rstrip("."):  # none where it has shown the help already
            err.print(f"[bold red]error:[/] {plain(told)}; --help says what a command takes", soft_wrap=True)
        sys.exit(MISTAKE)
    except typer.Abort:
        sys.exit(UNDONE)
    except UserError as mistake:
        err.print(f"[bold red]error:[/] {plain(mistake)}", soft_wrap=True)
        sys.exit(MISTAKE)
    except psycopg.Error as error:
        # Never the driver's own words: they can hold a row.
        remedy = REMEDIES.get(error.sqlstate or "", "run the same command again, nothing is lost or doubled")
        err.print(
            f"[bold red]error:[/] the database broke off (SQLSTATE {error.sqlstate or 'unknown'}); {remedy}",
            soft_wrap=True,
        )
        sys.exit(UNDONE)
    except OSError as error:
        place = plain(error.filename or "this machine")
        err.print(
            f"[bold red]error:[/] {place}: {error.strerror}; mend that, and run the same command again",
            soft_wrap=True,
        )
        sys.exit(MISTAKE)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"callmart {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    pass
