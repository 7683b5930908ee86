"""Which rows may be stored: those that a contract lets in, and that keep the rules of the raw format.

All of it is SQL, in DuckDB. The order matters: a row of a customer without a contract on its day is counted and goes no
further, before anything else is done with it.
"""

import duckdb

from callmart.base import sql_file
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
from callmart.land import telephone
from callmart.land.gate import Defaults, Gate, contract_periods

SQL = sql_file.statements(__file__)

_TIME = r"[12]\d{3}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d"


def set_up(
    connection: duckdb.DuckDBPyConnection, defaults: Defaults, gate: Gate, *, is_queue_log: bool
) -> None:
    """The tables, macros and views that each batch, `source`, is judged by."""
    connection.execute(f"set variable customer = {defaults.customer_id or 'null'}::integer")
    connection.execute("set variable platform = $platform", {"platform": defaults.platform})
    connection.execute("set variable platform_given = $given", {"given": defaults.platform_given})
    connection.execute("set variable latest = $latest::timestamptz", {"latest": gate.latest})
    # A queue_log can connect a caller to nobody (NONE): answered, and no agent's contact.
    connection.execute("set variable is_queue_log = $is_queue_log", {"is_queue_log": is_queue_log})
    connection.register("source", SOURCE_SCHEMA.empty_table())  # a view is bound when it is made
    connection.register("contract_periods_arrow", contract_periods(gate))
    connection.register("statuses_arrow", gate.statuses)
    connection.register("events_arrow", events_table())
    telephone.define_macros(connection)
    connection.execute(SQL["tables"])
    connection.execute(SQL["macros"].format(time=_TIME))
    values = ", ".join(f"nullif({column}, '') as {column}" for column in SOURCE_COLUMNS)
    connection.execute(SQL["arrived"].format(time=_TIME, values=values))
    connection.execute(
        SQL["judged"].format(
            platforms=_words(PLATFORMS),
            line_platforms=_words(LINE_PLATFORMS),
            statuses=_words(STATUSES),
            directions=_words(DIRECTIONS),
            target_kinds=_words(TARGET_KINDS),
            longest_duration_s=LONGEST_DURATION_S,
            longest_text=LONGEST_TEXT,
            texts=", ".join(TEXT_COLUMNS),
            control_character=_first_fault(
                r"regexp_matches({column}, '\p{{Cc}}')", "holds a control character"
            ),
            too_long=_first_fault(
                f"length({{column}}) > {LONGEST_TEXT}", f"is longer than {LONGEST_TEXT} characters"
            ),
        )
    )


def _words(words: tuple[str, ...]) -> str:
    """Texts, for an `in`."""
    return ", ".join(f"'{word}'" for word in words)


def _first_fault(condition: str, fault: str) -> str:
    """What is wrong with the first text of which the condition is true; names the column."""
    branches = (f"when {condition.format(column=column)} then '{column} {fault}'" for column in TEXT_COLUMNS)
    return f"case {' '.join(branches)} end"
