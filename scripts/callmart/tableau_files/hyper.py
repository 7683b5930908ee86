"""Opens .hyper files, through one hyperd process that starts when it is first needed."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from tableauhyperapi import Connection, CreateMode, HyperProcess, Telemetry

SCHEMA = "Extract"  # the schema that Tableau expects
# The file format that Tableau recommends, and no log file in the working folder.
_PARAMETERS = {"default_database_version": "2", "log_config": ""}
_starting = Lock()


@contextmanager
def opened(file: Path, *, new: bool = False) -> Iterator[Connection]:
    """Yield an exclusive connection to a file. Note that Hyper writes into every file that it opens, even for reading.

    Raises HyperException if the file can't be opened, or if `new`, can't be created.
    """
    with _starting:
        hyperd = _hyperd()
    with Connection(hyperd.endpoint, file, CreateMode.CREATE if new else CreateMode.NONE) as connection:
        yield connection


def rows(file: Path, query: str) -> list[list[Any]]:
    """Return the rows of a query. Raises HyperException if the file can't be opened or the query fails."""
    with opened(file) as connection:
        return connection.execute_list_query(query)  # type: ignore[no-any-return]


@cache
def _hyperd() -> HyperProcess:
    hyperd = HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters=_PARAMETERS)
    atexit.register(hyperd.close)
    return hyperd
