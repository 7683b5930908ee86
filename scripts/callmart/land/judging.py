"""Decides which rows may be stored: rows that a contract covers and that follow the raw format.

The rules are in judging.sql, which DuckDB runs. Their order matters: a row without a contract on its day is counted and
dropped before anything else is done with it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import duckdb
import pyarrow as pa

from callmart.base import controls, sql_file
from callmart.base.raw_format import (
    DIRECTIONS,
    LINE_PLATFORMS,
    LONGEST_DURATION_S,
    LONGEST_TEXT,
    PLATFORMS,
    SOURCE_COLUMNS,
    SOURCE_SCHEMA,
    STATUSES,
    TARGET_KINDS,
    TEXT_COLUMNS,
    events_table,
)
from callmart.land.gate import Gate, contract_periods, secrets
from callmart.land.source import QUEUE_LOGS, Source

SQL = sql_file.statements(__file__)

_MINUTE = r"[12]\d{3}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d"
# Java leaves out seconds of zero. .NET and SQL Server write seven digits after the second, of which the last is zero.
_TIME = _MINUTE + r"(:[0-5]\d(\.\d{1,6}0*)?)?"
MACROS = SQL["macros"].format(time=_TIME)


def rules(sources: Sequence[Source], gate: Gate) -> dict[str, pa.Table]:
    """What rows are judged by. Raises UserError if a customer has no key."""
    return {
        "files_arrow": _files(sources),
        "contract_periods_arrow": contract_periods(gate),
        "secrets_arrow": secrets(gate),
        "statuses_arrow": gate.statuses,
        "events_arrow": events_table(),
    }


def set_up(connection: duckdb.DuckDBPyConnection, rules: Mapping[str, pa.Table], latest: datetime) -> None:
    """Create the tables that judging needs."""
    connection.execute("set variable latest = $latest::timestamptz", {"latest": latest})
    connection.register("source", SOURCE_SCHEMA.empty_table())  # a query needs it when it is made
    for name, table in rules.items():
        connection.register(name, table)
    connection.execute(SQL["tables"])


def _files(sources: Sequence[Source]) -> pa.Table:
    """What applies to all rows of each file."""
    return pa.table(
        {
            "file_number": pa.array([source.number for source in sources], pa.int32()),
            "customer_given": pa.array([source.defaults.customer_id for source in sources], pa.int32()),
            "platform_default": pa.array([source.defaults.platform for source in sources], pa.string()),
            "platform_given": pa.array([source.defaults.platform_given for source in sources], pa.bool_()),
            # A queue_log can connect a caller to no agent (NONE): the call is answered without an agent.
            "is_queue_log": pa.array([source.form in QUEUE_LOGS for source in sources], pa.bool_()),
        }
    )


def _words(words: tuple[str, ...]) -> str:
    """The words as a list for SQL's `in`."""
    return ", ".join(f"'{word}'" for word in words)


def _first_fault(condition: Callable[[str], str], fault: str) -> str:
    """SQL for the fault of the first text column that meets the condition; it names the column."""
    branches = (f"when {condition(column)} then '{column} {fault}'" for column in TEXT_COLUMNS)
    return f"case {' '.join(branches)} end"


# What judges a batch (`source`), to stand in a query. Views would be read anew for each view over them.
ARRIVED = SQL["arrived"].format(
    minute=_MINUTE, values=", ".join(f"nullif(source.{column}, '') as {column}" for column in SOURCE_COLUMNS)
)
JUDGED = SQL["judged"].format(
    arrived=ARRIVED,
    platforms=_words(PLATFORMS),
    line_platforms=_words(LINE_PLATFORMS),
    statuses=_words(STATUSES),
    directions=_words(DIRECTIONS),
    target_kinds=_words(TARGET_KINDS),
    longest_duration_s=LONGEST_DURATION_S,
    longest_text=LONGEST_TEXT,
    texts=", ".join(TEXT_COLUMNS),
    control=controls.RE2,
    control_character=_first_fault(
        lambda column: f"regexp_matches({column}, '{controls.RE2}')", "holds a control character"
    ),
    too_long=_first_fault(
        lambda column: f"length({column}) > {LONGEST_TEXT}", f"is longer than {LONGEST_TEXT} characters"
    ),
)
