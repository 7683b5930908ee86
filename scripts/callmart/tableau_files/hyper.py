"""Hyper: .hyper files written and read by one hyperd, which this process starts when it first needs it."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from tableauhyperapi import Connection, CreateMode, HyperProcess, Telemetry

SCHEMA = "Extract"  # what Tableau looks for
# The format that Tableau recommends; and no log, which would stand in the working folder.
_PARAMETERS = {"default_database_version": "2", "log_config": ""}
_starting = Lock()


@contextmanager
def opened(file: Path, *, new: bool = False) -> Iterator[Connection]:
    """A connection to a file, to itself alone; Hyper writes into each that it opens, even to read.

    HyperException where it can't be opened, or be made where it is `new`.
    """
    with _starting:
        hyperd = _hyperd()
    with Connection(hyperd.endpoint, file, CreateMode.CREATE if new else CreateMode.NONE) as connection:
        yield connection


def rows(file: Path, query: str) -> list[list[Any]]:
    """What a query of a file gives. HyperException where the file is none, or not as the query has it."""
    with opened(file) as connection:
        return connection.execute_list_query(query)  # type: ignore[no-any-return]


@cache
def _hyperd() -> HyperProcess:
    hyperd = HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters=_PARAMETERS)
    atexit.register(hyperd.close)
    return hyperd
