"""Compares the marts of an environment with what stands: per mart, column, customer and day.

"Here" is what stands, "there" the environment. No value of a row leaves the database, only counts and sums. In a mart
that shows persons, they are left out where the rows that differ are of few persons, since they would tell what one did.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.identifiers import listed
from callmart.base.settings import Settings
from callmart.database import server
from callmart.database.piping import pipe
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart
from callmart.environments import known, pairing
from callmart.environments.differences import ROWS, Cell, Column, Compared, Number, Outcome
from callmart.environments.known import Environment
from callmart.environments.pairing import Pair

SQL = sql_file.statements(__file__)

FEWEST_PERSONS = 5  # of whom the differing rows must be for counts and sums to be shown


def compare(connection: psycopg.Connection, settings: Settings, name: str) -> Compared:
    """Compare an environment with what stands at this moment. Changes nothing.

    Raises UserError if there is no such environment, or if it is not ready.
    """
    environment = known.find(connection, name)
    if environment.state != "ready":
        raise UserError(
            f"the environment {name} is not ready: run its `callmart try` again, which goes on, "
            f"or remove it with `callmart try --drop {name}`"
        )
    own_settings = known.settings_of(connection, settings, name)
    declared = dbt_project.marts(own_settings)
    connection.rollback()
    connection.execute("set transaction isolation level repeatable read")
    with server.connect(own_settings) as own:
        days, left_out = _choose(connection, own, environment)
        pairs, columns = pairing.paired(connection, own, declared)
        for pair in pairs:
            columns += _compare_mart(connection, own, environment, pair)
        own.rollback()
    not_compared = pairing.without_customers(connection)
    connection.rollback()
    return Compared(
        environment,
        tuple(columns),
        days,
        left_out,
        tuple(pair.there.name for pair in pairs if not pair.is_by_row),
        not_compared,
    )


def _choose(
    connection: psycopg.Connection, own: psycopg.Connection, environment: Environment
) -> tuple[int, int]:
    """Put the days to compare into a table of each session. Returns how many those are, and how many are left out."""
    opened = own.execute(SQL["opened"]).fetchall()
    connection.execute(SQL["make_chosen"])
    _fill(connection, opened)
    left_out = connection.execute(SQL["leave_out"], {"standing": environment.standing}).rowcount
    own.execute(SQL["make_chosen"])
    chosen = connection.execute("select * from pg_temp.chosen").fetchall()
    _fill(own, chosen)
    return len(chosen), left_out


def _fill(session: psycopg.Connection, days: Sequence[tuple[Any, ...]]) -> None:
    session.execute(SQL["choose"], {"customers": [day[0] for day in days], "days": [day[1] for day in days]})


def _compare_mart(
    connection: psycopg.Connection, own: psycopg.Connection, environment: Environment, pair: Pair
) -> Iterator[Column]:
    """Compare the columns of a mart."""
    _bring(connection, own, pair, _rows(pair.here, pair.former.values(), environment))
    _join(own, pair, _rows(pair.there, pair.former, environment))
    ((compared,),) = own.execute(SQL["compared"]).fetchall()
    columns = {ROWS: ("is_here::integer", "is_there::integer", True)}
    for number, name in enumerate(pair.values):
        cast = "::text" if pair.has_other_type(name) and not pair.is_number(name) else ""
        columns[name] = f"here_{number}{cast}", f"there_{number}{cast}", pair.is_number(name)
    for name, (here, there, is_number) in columns.items():
        query = sql.SQL(SQL["cells"]).format(
            here_value=sql.SQL(here),
            there_value=sql.SQL(there),
            here_number=sql.SQL(f"{here}::numeric" if is_number else "null::numeric"),
            there_number=sql.SQL(f"{there}::numeric" if is_number else "null::numeric"),
            counted=_persons(pair),
        )
        found = own.execute(query).fetchall()
        cells = tuple(_cell(pair, name, *counted) for counted in found)
        yield Column(pair.there.name, name, compared, cells)
    own.execute("drop table pg_temp.joined, pg_temp.standing")


def _bring(connection: psycopg.Connection, own: psycopg.Connection, pair: Pair, rows: sql.Composable) -> None:
    """Copy the mart's rows that stand into the environment's session, under the names that its columns have there."""
    types = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(pair.here.types[former]))
        for name, former in pair.former.items()
    ]
    own.execute(
        sql.SQL("create temporary table standing ({}) on commit drop").format(sql.SQL(", ").join(types))
    )
    pipe(connection, rows, own, sql.Identifier("pg_temp", "standing"))


def _rows(mart: Mart, columns: Iterable[str], environment: Environment) -> sql.Composable:
    """The rows of a mart that are compared."""
    return sql.SQL(SQL["rows_of_days" if mart.day else "rows_of_customers"]).format(
        columns=listed(columns),
        mart=sql.Identifier(mart_tables.SCHEMA, mart.name),
        day=sql.Identifier("m", mart.day or ""),
        customers=list(environment.customers),
        first_day=environment.first_day,
        last_day=environment.last_day,
    )


def _join(own: psycopg.Connection, pair: Pair, rows: sql.Composable) -> None:
    """Join both sides by the key. Of a mart without days the environment has only what its own days show: other rows
    that stand are no difference.
    """
    sides = {
        "here": sql.SQL("pg_temp.standing"),
        "there": sql.SQL("({})").format(rows),
    }
    if not pair.is_by_row:
        sides = {side: _summed(pair, rows) for side, rows in sides.items()}
    values = [
        sql.SQL("here.{0} as {1}, there.{0} as {2}").format(
            sql.Identifier(name), sql.Identifier(f"here_{number}"), sql.Identifier(f"there_{number}")
        )
        for number, name in enumerate(pair.values)
    ]
    persons = [
        sql.SQL("coalesce(here.{0}::text, there.{0}::text) as {1}").format(
            sql.Identifier(name), sql.Identifier(f"person_{number}")
        )
        for number, name in enumerate(_told(pair))
    ]
    day = sql.SQL("{} as call_date").format(
        sql.Identifier(pair.there.day) if pair.there.day else sql.SQL("null::date")
    )
    own.execute(
        sql.SQL(SQL["join_sides"]).format(
            columns=sql.SQL(", ").join([day, *values, *persons]),
            wanted=sql.SQL("true" if pair.there.day else "there.customer_id is not null"),
            key=listed(pair.key),
            **sides,
        )
    )


def _summed(pair: Pair, rows: sql.Composable) -> sql.Composable:
    """One side as the sums of what both keys have."""
    key = listed(pair.key)
    sums = [sql.SQL(", sum({0}) as {0}").format(sql.Identifier(name)) for name in pair.values]
    return sql.SQL("(select {}{} from {} as of_side group by {})").format(
        key, sql.SQL("").join(sums), rows, key
    )


def _told(pair: Pair) -> list[str]:
    """The columns of persons that a joined row still has."""
    return [name for name in pair.persons if name in pair.key or name in pair.values]


def _persons(pair: Pair) -> sql.Composable:
    """How many persons the differing rows are of: by the column that has the fewest. Null if no column tells."""
    counted = [
        sql.SQL("count(distinct {}) filter (where differs)").format(sql.Identifier(f"person_{number}"))
        for number, _ in enumerate(_told(pair))
    ]
    return sql.SQL("least({})").format(sql.SQL(", ").join([*counted, sql.SQL("null::bigint")]))


def _cell(
    pair: Pair,
    column: str,
    customer_id: int,
    day: date | None,
    rows_here: int,
    rows_there: int,
    differing: int,
    persons: int | None,
    here: Decimal | None,
    there: Decimal | None,
    apart: Decimal | None,
) -> Cell:
    outcome: Outcome = "changed"
    if not rows_there or not rows_here:
        outcome = "only here" if rows_here else "only there"
    cell = Cell(pair.there.name, column, customer_id, day, outcome)
    if pair.persons and (persons or 0) < FEWEST_PERSONS:
        return cell
    largest = max(abs(here or Decimal(0)), abs(there or Decimal(0)))
    share = apart / largest if apart and largest else Decimal(differing) / max(rows_here, rows_there)
    return replace(
        cell,
        differing=differing,
        rows_here=rows_here,
        rows_there=rows_there,
        here=_plain(here),
        there=_plain(there),
        size=float(round(share, 6)),
    )


def _plain(number: Decimal | None) -> Number | None:
    """A number as JSON has it."""
    if number is None:
        return None
    return int(number) if number == int(number) else float(number)
