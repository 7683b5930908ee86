"""Where the program begins: a user's mistake is one sentence, and a command imports what it needs.

`check` is asked for while somebody writes, so it does not wait for the libraries of the other commands.
"""

import atexit
import gc
import logging
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Annotated

try:
    import psycopg
    import typer

    from callmart import __version__
    from callmart.base.errors import DISK_FULL, UserError, is_disk_full, kind
    from callmart.cli import check
    from callmart.cli.terminal import INTERRUPTED, MISTAKE, fail, out
except KeyboardInterrupt:  # this takes a second
    sys.exit(130)

# By SQLSTATE, where it would not help to run the same command again at once.
REMEDIES = {
    DISK_FULL: "the database's disk is full: make room, then run the same command again",
    "42501": (
        "something no longer belongs to the owner: `callmart access diff` shows what, or before an upgrade the "
        "server's log"
    ),
    "57014": (
        "somebody ended a statement, or a time limit did: `callmart access apply` corrects limits of logins, then run "
        "the same command again"
    ),
    "55P03": "an open transaction of another session is in the way: when it has ended, run the same command again",
}
# What pydantic says of a number that typer reads, and what a person is told.
NUMBERS = {
    "Input should be a valid integer, unable to parse string as an integer": "write a whole number",
    "Input should be a valid number, unable to parse string as a number": "write a number",
    "Input should be greater than": "write a number greater than",
    "Input should be less than": "write a number less than",
}
NO_THREAD = "can't start new thread"  # Python has no class for it


def program(*groups: typer.Typer) -> typer.Typer:
    """The program with the commands of these groups."""
    app = typer.Typer(
        help="From raw call data to one isolated Tableau publication per customer.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_options)
    for group in groups:
        app.add_typer(group)
    return app


def main() -> None:
    """Run a command. A user's mistake is one sentence and exit code 2, never a traceback."""
    _heed(signal.default_int_handler)  # all like Ctrl-C: what is half done is cleaned up
    try:
        _command()
    except KeyboardInterrupt:  # once more, while the first was being told
        os._exit(INTERRUPTED)
    finally:
        # Nothing is left to clean up while Python ends. At its very end it would forget what to do.
        _heed(_leave)
        atexit.register(_heed, signal.SIG_IGN)


def _heed(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """What to do when a signal wants the program to end, unless whoever began it ignores that, as nohup does."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, handler)


def _leave(*_: object) -> None:
    os._exit(INTERRUPTED)


def _command() -> None:
    """Do what the arguments say. Raises SystemExit with the exit code."""
    # A crash would write numbers and keys into a file of which nobody knows, and so would a server that is started.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    gc.set_threshold(50_000)  # the libraries make half a million objects that are there to stay
    # What libraries log can contain a row, and is no line of ours. One of them has all of it written to stderr.
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    # Python warns of the client's source when it compiles it, once per new environment.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module=".*tableauserverclient")
    try:
        if sys.argv[1:2] == ["check"]:
            sys.exit(program(check.app)(standalone_mode=False))
        from callmart.cli.main import app

        sys.exit(app(standalone_mode=False))
    except typer.TyperException as mistake:
        # What typer has from pydantic begins like this. It is empty if typer has printed the help instead.
        said = mistake.format_message().replace("Value error, ", "", 1).rstrip(".")
        for theirs, ours in NUMBERS.items():
            said = said.replace(theirs, ours, 1)
        if message := " ".join(said.split()):  # a list of choices has a line for each
            fail(f"{message}; --help says what a command takes")
        sys.exit(MISTAKE)
    except (typer.Abort, KeyboardInterrupt):  # at a question, or while the commands were imported
        sys.exit(INTERRUPTED)
    except UserError as mistake:
        fail(mistake)
        sys.exit(MISTAKE)
    except psycopg.Error as error:
        # Not the driver's message: it can contain a row.
        remedy = REMEDIES.get(error.sqlstate or "", "run the same command again, nothing is lost or doubled")
        fail(f"the database broke off (SQLSTATE {error.sqlstate or 'unknown'}); {remedy}")
        sys.exit(MISTAKE)
    except OSError as error:
        place = error.filename or "this machine"
        remedy = "make room" if is_disk_full(error) else "correct that"
        fail(f"{place}: {error.strerror or kind(error)}; {remedy}, and run the same command again")
        sys.exit(MISTAKE)
    except (MemoryError, ImportError, RuntimeError) as error:  # without memory, no library can be read either
        if isinstance(error, RuntimeError) and str(error) != NO_THREAD:
            raise
        fail(
            f"there is too little memory, or callmart is not installed whole ({kind(error)}); free some memory or "
            "install it again, then run the same command again"
        )
        sys.exit(MISTAKE)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"callmart {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
