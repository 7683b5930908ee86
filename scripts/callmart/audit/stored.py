"""The audit's check of what is stored of calls: keys where keys belong, no telephone number anywhere, and nothing that
landing would have refused.

Which column has keys is what the column itself says (database/objects/pointing.sql), so a new table is looked at, too.
"""

from collections.abc import Iterator

import psycopg
from psycopg import sql

from callmart.audit.check import Check
from callmart.base import sql_file
from callmart.base.raw_format import LINE_PLATFORMS, PLATFORMS
from callmart.declarations.mart import NAMES_OF_AGENTS

SQL = sql_file.statements(__file__)

_REMEDY = "nothing of callmart's writes that: find out who did, and remove it"
_OF_NUMBER = (
    "if the registry has just lost that queue or line, run `callmart run`; else find out who wrote it, "
    "and remove it"
)


def of_words(connection: psycopg.Connection) -> Check:
    """Check every column of words: those that have keys have nothing else, and the others no telephone number."""
    looked_at, found = 0, list[str]()
    for table, columns, keyed, is_of_customers in connection.execute(
        SQL["columns"], {"mart": NAMES_OF_AGENTS}
    ).fetchall():
        looked_at += len(columns)
        of_columns = dict(zip(columns, keyed, strict=True))
        found += _of_table(connection, table, of_columns, of_customers=is_of_customers)
    ((is_proven,),) = connection.execute(SQL["proven"]).fetchall()
    return Check.of(
        "stored", "keys alone are where keys belong, and no telephone number is in any column",
        looked_at if is_proven else 0, found,
    )  # fmt: skip


def _of_table(
    connection: psycopg.Connection, table: str, columns: dict[str, bool], *, of_customers: bool
) -> Iterator[str]:
    """What is wrong in a table, which is read once. A stand-in for somebody erased has `~` before its key."""
    counted = [
        sql.SQL(
            "count(*) filter (where not raw.is_key(ltrim({}::text, '~')))"
            if is_keyed
            else "count(*) filter (where raw.shows_number({}::text))"
        ).format(sql.Identifier(name))
        for name, is_keyed in columns.items()
    ]
    query = sql.SQL("select {} from {}").format(sql.SQL(", ").join(counted), sql.SQL(table))
    (counts,) = connection.execute(query).fetchall()
    for (name, is_keyed), wrong in zip(columns.items(), counts, strict=True):
        rows = wrong
        if wrong and not is_keyed and of_customers:
            of_others = sql.SQL(SQL["numbers"]).format(table=sql.SQL(table), name=sql.Identifier(name))
            ((rows,),) = connection.execute(of_others).fetchall()
        if rows:
            what, remedy = (
                ("something that is no key", _REMEDY)
                if is_keyed
                else ("something that looks like a telephone number", _OF_NUMBER)
            )
            yield f"{table}.{name}: {rows} rows have {what}; {remedy}"


def of_events(connection: psycopg.Connection) -> Check:
    """Check that no event has what landing refuses, as far as it could be of a person or a customer."""
    ((is_any,),) = connection.execute("select exists (select 1 from raw.event)").fetchall()
    wrong = connection.execute(
        SQL["unprepared"], {"platforms": list(PLATFORMS), "lines": list(LINE_PLATFORMS)}
    ).fetchall()
    return Check.of(
        "stored", "no event has a withheld number, an agent on a line, a recording in the middle, or a word of no list",
        int(is_any), [f"customer {customer}: {rows} events {what}; {_REMEDY}" for customer, what, rows in wrong],
    )  # fmt: skip
