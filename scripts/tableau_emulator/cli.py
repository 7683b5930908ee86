"""The command `tableau-emulator`, which serves the state in a folder in the foreground."""

import argparse
import sqlite3
import sys
from pathlib import Path
from typing import NoReturn

from tableau_emulator.errors import EmulatorError
from tableau_emulator.process import TOKEN_NAME, Emulator
from tableau_emulator.version import version
from tableau_emulator.xml import PRODUCT
from tableau_emulator.xml import VERSION as API

MISTAKE = 2
_EPILOG = """\
FOLDER holds all state: a SQLite database and the published files. It is created if it does not exist, and the next
start finds everything again. The emulator listens on 127.0.0.1 only.

The token signs in as a server administrator. Its secret is in the token's file. If there is no such file, it is
created with a new secret.
"""


def main() -> None:
    """Serves until interrupted. A mistake ends with one sentence and exit code 2."""
    try:
        _serve(_parser().parse_args())
    except KeyboardInterrupt:
        sys.exit(0)  # the normal end
    except EmulatorError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'this machine'}: {error.strerror}; name another folder or file.")
    except sqlite3.Error as error:
        _fail(f"state.sqlite can't be used ({error}); name another folder")


def _serve(asked: argparse.Namespace) -> None:
    from tableau_emulator.serve import serve

    file = (asked.token_file or asked.folder / "token").absolute()

    def announce(emulator: Emulator) -> None:
        print(f"Tableau emulator at {emulator.url}; Ctrl-C ends it")
        print(f"state:      {asked.folder.absolute()}")
        print(f"token name: {emulator.token_name}")
        print(f"token:      in {file}", flush=True)

    serve(asked.folder, asked.token_name, asked.token_file, asked.port, asked.draw, announce)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise EmulatorError(f"{message}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tableau-emulator",
        description="Serve an emulated Tableau on this machine, until Ctrl-C.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of the state")
    parser.add_argument("--port", type=_port, help="by default the port of last time, or a free one")
    parser.add_argument("--token-name", default=TOKEN_NAME, metavar="NAME", help=f"by default {TOKEN_NAME}")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="by default FOLDER/token")
    parser.add_argument(
        "--draw",
        metavar="COMMAND",
        help="draws pictures and exports; by default that of last time, '' for none",
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"tableau-emulator {version()} (Tableau {PRODUCT}, REST API {API})",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port; name a number from 1 to 65535")
    return int(text)


def _fail(sentence: str) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(MISTAKE)
