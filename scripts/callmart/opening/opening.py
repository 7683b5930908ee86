"""Opens the days that passed their checks: their rows move from `build` to `store` in one transaction, so that nobody
sees half a change.
"""

from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from callmart.access import drift, memberships, sessions
from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.identifiers import listed
from callmart.base.settings import Settings
from callmart.build import months, window
from callmart.build.definitions import Definitions
from callmart.database import lock
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Opened:
    """What was opened and what was held back. A day counts once per customer; `rows` is the sum over all marts.
    `problems` has one sentence per login that could not be brought up to date with its contract.
    """

    days: int
    rows: int
    held_back: int
    problems: tuple[str, ...] = ()


class Drifted(UserError):
    """The server has drifted from what is declared, so nothing may be opened, extracted, published or mailed."""


def open_build(connection: psycopg.Connection, settings: Settings) -> Opened:
    """Open the days of the validated build that passed. Hold back the others, unless a file has landed for them
    meanwhile. Readers keep their last good version.

    Commits. Raises UserError if the last build has not been validated, or was computed again since; and Drifted.
    """
    problems = tuple(follow_rights(connection, settings))
    marts = dbt_project.marts(settings)
    with sessions.making_way(connection):
        show(connection, marts)  # also if there is nothing to open: a ratio may have changed
    build = window.unopened(connection)
    if build is None:
        connection.commit()
        return Opened(0, 0, 0, problems)
    if not build.is_validated:
        raise UserError("the last build has not been validated: run `callmart validate` first")
    if window.computed_tables(connection, marts) != build.tables:
        raise UserError("the window changed after it was validated; run `callmart build` again")

    with sessions.making_way(connection):
        months.ensure_window(connection, marts)
        opened = _open(connection, build.build_id, marts, build.definitions or {})
        connection.commit()
    return replace(opened, problems=problems)


def follow_rights(connection: psycopg.Connection, settings: Settings, *, opens: bool = True) -> list[str]:
    """Make rights follow the contracts of today. Commits. Returns one sentence per login that could not be changed, and
    those of `refuse_drift`. Raises Drifted as that does.
    """
    # First: the login of a contract that ended at midnight is no drift.
    problems = memberships.sync(connection, settings)
    return problems + refuse_drift(connection, settings, opens=opens)


def refuse_drift(connection: psycopg.Connection, settings: Settings, *, opens: bool) -> list[str]:
    """Raise Drifted if the server differs from what is declared. If nothing `opens`, a node of a cluster that can't be
    asked is only named: what is open already is on the coordinator. Returns a sentence about each such node, and about
    each login that is shut out.
    """
    found = drift.find(connection, dbt_project.marts(settings))
    stopping = drift.stopping(connection, settings, found)
    if drifted := [one for one in stopping if opens or not one.away]:
        raise Drifted(
            f"nothing is opened while rights differ from what is declared ({drifted[0].text}"
            f"{f' and {len(drifted) - 1} more' if len(drifted) > 1 else ''}): "
            "look at `callmart access diff`, then run `callmart access apply`"
        )
    return [one.text for one in stopping] + drift.shut_out(found)


def show(connection: psycopg.Connection, marts: list[Mart]) -> None:
    """Bring the views up to date. If somebody is reading one, they stay as they are until the next run. Commits."""
    try:
        lock.wait_at_most(connection, months.PATIENCE)
        memberships.show(connection, marts)
        connection.commit()
    except psycopg.errors.LockNotAvailable:
        connection.rollback()


def _open(
    connection: psycopg.Connection, build_id: int, marts: list[Mart], definitions: Definitions
) -> Opened:
    build = {"build": build_id}
    connection.execute(SQL["failing"], build)
    for statement in ("passed", "leave_overtaken", "changed", "changed_customer"):
        connection.execute(SQL[statement])
    connection.execute("analyze passed, changed")
    begin_marts(connection, marts)
    rows = sum(_move(connection, build_id, mart, definitions.get(mart.name)) for mart in marts)

    _close(connection, marts)
    connection.execute(SQL["hold_no_longer"])
    held_back = connection.execute(SQL["hold_back"], build).rowcount
    connection.execute(SQL["keep_dirty"])
    connection.execute(SQL["clean"])
    connection.execute(SQL["log"], build)
    connection.execute("update ops.build set opened_at = clock_timestamp() where build_id = %(build)s", build)
    ((days,),) = connection.execute("select count(*) from changed").fetchall()
    empty_build(connection)
    return Opened(days, rows, held_back)


def begin_marts(connection: psycopg.Connection, marts: list[Mart]) -> None:
    """Note in the books, of marts that are new, that they have nothing yet on the days that are open."""
    for mart in marts:
        parts = {
            "mart_name": sql.Literal(mart.name),
            "open_day": sql.SQL("call_date" if mart.day else "'-infinity'::date"),
        }
        connection.execute(sql.SQL(SQL["begin_mart"]).format(**parts))


def _move(connection: psycopg.Connection, build_id: int, mart: Mart, definition: int | None) -> int:
    """Replace the passed days of a mart, and record how many rows each has. Returns the number of rows. A mart without
    days has one day, -infinity, per customer. It is replaced if a changed day of the customer passed.
    """
    parts = {
        "mart": sql.Identifier("store", mart.name),
        "computed": sql.Identifier("build", mart.name),
        "computed_columns": sql.SQL(", ").join(sql.Identifier("m", column) for column in mart.columns),
        "column_names": listed(mart.columns),
        "mart_name": sql.Literal(mart.name),
        "build": sql.Literal(build_id),
        "definition": sql.Literal(definition),
        "day": mart_tables.day_of(mart, "m"),
        "replaced": sql.SQL(_days_of(mart)),
        "pruned": _within(connection, mart, "passed"),
    }
    for name in ("delete_rows", "insert_rows", "delete_counts"):
        connection.execute(sql.SQL(SQL[name]).format(**parts))
    ((rows,),) = connection.execute(sql.SQL(SQL["insert_counts"]).format(**parts)).fetchall()
    return int(rows)


def _close(connection: psycopg.Connection, marts: list[Mart]) -> None:
    """Close the days whose open version may not stay: beside a later day, a part of a day looks like a whole one."""
    if connection.execute(SQL["closing"]).rowcount == 0:
        return
    for mart in marts:
        if mart.day is not None:
            parts = {
                "mart": sql.Identifier("store", mart.name),
                "replaced": sql.SQL("closing"),
                "day": sql.Identifier("m", mart.day),
                "pruned": _within(connection, mart, "closing"),
            }
            connection.execute(sql.SQL(SQL["delete_rows"]).format(**parts))
    connection.execute(SQL["close_days"])
    connection.execute(SQL["read_extracts_again"])


def _days_of(mart: Mart) -> str:
    """The table of days to replace. A day that only `reach` brought in is replaced only in marts with `reach_days`."""
    if mart.day is None:
        return "changed_customer"
    return "passed" if mart.reach_days else "changed"


def _within(connection: psycopg.Connection, mart: Mart, days: str) -> sql.Composable:
    """A condition with the first and last of some days: from a join alone the planner can't skip any partition."""
    first, last = connection.execute(
        f"select min(call_date), max(call_date) from {days}".encode()
    ).fetchall()[0]
    if mart.day is None or first is None:
        return sql.SQL("true")
    return sql.SQL("{} between {} and {}").format(sql.Identifier("m", mart.day), first, last)


def build_tables(connection: psycopg.Connection) -> list[sql.Identifier]:
    """The tables of `build`: the window, and what was computed from it."""
    return [
        sql.Identifier("build", name)
        for (name,) in connection.execute(
            "select relname from pg_class where relnamespace = 'build'::regnamespace and relkind = 'r'"
        )
    ]


def empty_build(connection: psycopg.Connection) -> None:
    """Empty all tables of `build`, whether their days passed or not, and delete the planner's samples of them."""
    tables = build_tables(connection)
    connection.execute(sql.SQL("truncate {}").format(sql.SQL(", ").join(tables)))
    connection.execute(
        "select access.forget_samples(emptied::regclass) from unnest(%s::text[]) as emptied",
        [[table.as_string(connection) for table in tables]],
    )


def forget_build(connection: psycopg.Connection) -> None:
    """Discard what was computed and not opened: it may contain what must not be opened any more. Its days are still
    dirty, so they are computed again.
    """
    empty_build(connection)
    connection.execute("select ops.discard_build()")
