"""Opens .hyper files, through one hyperd process that starts when it is first needed, and anew if it has ended."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from tableauhyperapi import (
    Connection,
    CreateMode,
    Endpoint,
    HyperException,
    HyperProcess,
    TableName,
    Telemetry,
    TypeTag,
    escape_name,
)  # fmt: skip

SCHEMA = "Extract"  # the schema that Tableau expects
# The file format that Tableau recommends, and no log file in the working folder.
_PARAMETERS = {"default_database_version": "2", "log_config": ""}
# The types of columns that can tell who somebody is.
_CAN_TELL = {
    TypeTag.TEXT, TypeTag.VARCHAR, TypeTag.CHAR, TypeTag.JSON, TypeTag.BYTES, TypeTag.BIG_INT, TypeTag.NUMERIC,
}  # fmt: skip
_starting = Lock()


@contextmanager
def opened(file: Path) -> Iterator[Connection]:
    """Yield a connection that reads a file. The file stays as it is: without `readonly` Hyper writes into it, and takes
    four times as long to open one with six tables.

    Raises OSError if the file is gone, and HyperException if it can't be opened.
    """
    with _connected() as connection:
        attach(connection, file, "file")
        yield connection


def attach(connection: Connection, file: Path, name: str) -> None:
    """Let a connection read a file under a name.

    Raises OSError if the file is gone, and HyperException if it can't be opened.
    """
    path = escape_name(str(file.resolve(strict=True)))
    # For its plans Hyper samples 1,000 rows of each table that it opens, which costs more than our queries gain.
    connection.execute_command("set sample_min_tuples = 1")
    connection.execute_command(f"attach database {path} as {name} with (access_mode = readonly)")


def columns(connection: Connection, database: str, table: str) -> list[str]:
    """The names of a table's columns. Raises HyperException if there is no such table."""
    definition = connection.catalog.get_table_definition(TableName(database, SCHEMA, table))
    return [column.name.unescaped for column in definition.columns]


@contextmanager
def written(file: Path) -> Iterator[Connection]:
    """Yield an exclusive connection that writes a file. It is made if it is not there.

    Raises HyperException if the file can't be opened or created.
    """
    with _connected(file, CreateMode.CREATE_IF_NOT_EXISTS) as connection:
        yield connection


def rows(file: Path, query: str) -> list[list[Any]]:
    """Return the rows of a query. Raises HyperException if the file can't be opened or the query fails."""
    with opened(file) as connection:
        return connection.execute_list_query(query)  # type: ignore[no-any-return]


def values(file: Path) -> Iterator[str]:
    """The different values of all columns that are no moments and no fractions, as text."""
    with opened(file) as connection:
        for schema in connection.catalog.get_schema_names():
            for table in connection.catalog.get_table_names(schema):
                for column in connection.catalog.get_table_definition(table).columns:
                    if column.type.tag in _CAN_TELL:
                        query = f"select distinct cast({column.name} as text) from {table}"
                        yield from (str(value) for (value,) in connection.execute_list_query(query))


def _connected(*file: Any) -> Connection:
    """A connection to hyperd. If that has ended, another one is started: otherwise, once the system has killed it for
    lack of memory at one file, all others would fail.
    """
    endpoint = _endpoint()
    try:
        return Connection(endpoint, *file)
    except HyperException:
        if _answers(endpoint):
            raise
    with _starting:
        if str(_hyperd().endpoint) == str(endpoint):  # nobody else has started one
            _hyperd().close()
            _hyperd.cache_clear()
    return Connection(_endpoint(), *file)


def _endpoint() -> Endpoint:
    with _starting:
        return _hyperd().endpoint


def _answers(endpoint: Endpoint) -> bool:
    try:
        Connection(endpoint).close()
    except HyperException:
        return False
    return True


@cache
def _hyperd() -> HyperProcess:
    hyperd = HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters=_PARAMETERS)
    atexit.register(hyperd.close)
    return hyperd
