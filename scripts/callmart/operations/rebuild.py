"""Computes open days again that were computed by an earlier definition of a mart.

It marks them as dirty, a piece at a time; the build, the validation and the opening do the rest, as every night. So
customers see the former values until the new ones have passed, and what is left to do is in the books: after a crash,
the next rebuild goes on from there. All marts of a day are computed together.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from math import inf
from time import monotonic

import psycopg
from psycopg.rows import dict_row

from callmart.base import sql_file
from callmart.base.account import account
from callmart.base.errors import UserError, unknown_customer
from callmart.base.nearest import instead
from callmart.base.progress import OnItem
from callmart.base.raw_format import LONGEST_PHASE
from callmart.base.settings import Settings
from callmart.build import definitions, window
from callmart.build.definitions import Definitions
from callmart.database import clock
from callmart.declarations import dbt_project
from callmart.opening import opening
from callmart.validate import suites
from callmart.validate.result import Day

SQL = sql_file.statements(__file__)

# How many days of customers are computed together: at most, and while nobody knows how long one takes.
PIECE, FIRST_PIECE = 400, 50
PIECE_S = 300  # and that is about so long, so that little is lost if it is killed
# So many held-back days look like a mistake in the definition, and more of them would tell nothing new.
HELD_BACK_MOST = 100


@dataclass(frozen=True)
class Chosen:
    """What a person wants to be computed again. None is everything."""

    mart: str | None = None
    customer_id: int | None = None
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True)
class Older:
    """The days of a mart that were computed by an earlier definition; a day counts once per customer."""

    mart: str
    days: int
    customers: int
    first: date
    last: date


@dataclass(frozen=True)
class Plan:
    """What a rebuild would do. A day counts once per customer."""

    marts: tuple[Older, ...]
    due: int
    waiting: int  # the next build computes them anyway, or their checks hold them back
    not_kept: int  # too old, or no contract keeps them any more
    closed: int  # of customers that are closed
    cut_short: int  # the first days that are kept
    before_erasure: int
    with_objectors: int
    seconds: float | None  # that it takes; None if no run has been measured
    measured_days: int


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did. `days` counts what was computed, `held_back` what its checks hold back of this and of earlier
    rebuilds, and `left` what is still to do.
    """

    days: int
    held_back: int
    left: int
    problems: tuple[str, ...] = ()


def plan(connection: psycopg.Connection, settings: Settings, chosen: Chosen) -> Plan:
    """Say what is computed by an earlier definition. Changes nothing.

    Raises UserError if what is chosen isn't there, or dbt can't compile the project.
    """
    _find(connection, settings, chosen)
    marts = tuple(Older(*row) for row in connection.execute(SQL["marts"]))
    with connection.cursor(row_factory=dict_row) as cursor:
        (counts,) = cursor.execute(SQL["limits"], {"longest_phase": LONGEST_PHASE}).fetchall()
    seconds, days = _measured(connection)
    connection.rollback()
    took = None if seconds is None else seconds * counts["due"]
    return Plan(marts=marts, seconds=took, measured_days=days, **counts)


def rebuild(
    connection: psycopg.Connection,
    settings: Settings,
    chosen: Chosen,
    on_step: OnItem,
    budget_s: float = inf,
) -> Rebuilt:
    """Compute again what is chosen, in pieces. Commits. If it is run again, it goes on from there.

    No piece is begun that would probably last longer than the seconds of the budget. Raises UserError if what is
    chosen isn't there, if a definition changes meanwhile, or if a piece can't be built, checked or opened.
    """
    ends_at = monotonic() + budget_s
    present = _find(connection, settings, chosen)
    days: list[Day] = connection.execute(SQL["due"]).fetchall()
    seconds_per_day, _ = _measured(connection)
    connection.commit()
    problems: list[str] = []
    done, began = 0, monotonic()

    def on_item(item: str) -> None:
        on_step(item, done, len(days))

    while done < len(days):
        if problem := _too_many_held_back(connection):
            problems.append(problem)
            break
        piece = days[done : done + _size(seconds_per_day, ends_at - monotonic())]
        if not piece:
            break
        problems += _compute(connection, settings, piece, present, on_item)
        done += len(piece)
        seconds_per_day = (monotonic() - began) / done
    if done:
        on_step("", done, done)
    return Rebuilt(done, _held_back(connection), len(days) - done, tuple(problems))


def spent_s(connection: psycopg.Connection, settings: Settings) -> float:
    """The seconds that the runs of today have spent on it."""
    ((seconds,),) = connection.execute(
        SQL["spent"], {"zone": settings.time_zone, "today": clock.today(connection, settings)}
    ).fetchall()
    connection.commit()
    return float(seconds)


def _find(connection: psycopg.Connection, settings: Settings, chosen: Chosen) -> Definitions:
    """Make the temporary table of outdated days, in the caller's transaction. Returns the definitions of today."""
    marts = dbt_project.marts(settings)
    _refuse_absent(connection, chosen, [mart.name for mart in marts])
    opening.begin_marts(connection, marts)
    present = definitions.present(connection, settings, marts)
    asked = {
        "marts": [mart.name for mart in marts if chosen.mart in (None, mart.name)],
        "present": list(present.values()),
        "customer": chosen.customer_id,
        "first": chosen.first,
        "last": chosen.last,
    }
    connection.execute(SQL["outdated"], asked)
    return present


def _refuse_absent(connection: psycopg.Connection, chosen: Chosen, marts: Iterable[str]) -> None:
    """Raise UserError if the mart, the customer or the days are not there."""
    names = list(marts)
    if chosen.mart is not None and chosen.mart not in names:
        raise UserError(f"no mart {chosen.mart} is declared: {instead(chosen.mart, names)}")
    days = {"customer": chosen.customer_id, "first": chosen.first, "last": chosen.last}
    if chosen.customer_id is not None and not _has(
        connection, "select 1 from registry.customer where customer_id = %(customer)s", days
    ):
        raise unknown_customer(chosen.customer_id)
    if chosen.first and chosen.last and chosen.first > chosen.last:
        raise UserError(f"--from {chosen.first} is after --to {chosen.last}: exchange them")
    if any(value is not None for value in days.values()) and not _has(connection, SQL["open_days"], days):
        raise UserError(
            "none of these days is open, so there is nothing to compute again: `callmart status` says which are"
        )


def _has(connection: psycopg.Connection, query: str, values: Mapping[str, object]) -> bool:
    return connection.execute(query.encode(), values).fetchone() is not None


def _measured(connection: psycopg.Connection) -> tuple[float | None, int]:
    """How many seconds a day took in the last runs, and over how many days that was measured."""
    ((seconds, days),) = connection.execute(SQL["measured"]).fetchall()
    return (float(seconds) / days, int(days)) if days else (None, 0)


def _size(seconds_per_day: float | None, seconds_left: float) -> int:
    """How many days the next piece has; 0 if there is no time for one."""
    if seconds_left <= 0:
        return 0
    if seconds_per_day is None:
        return FIRST_PIECE
    if seconds_left < seconds_per_day:
        return 0
    return max(1, min(PIECE, int(min(seconds_left, PIECE_S) / seconds_per_day)))


def _compute(
    connection: psycopg.Connection,
    settings: Settings,
    piece: list[Day],
    present: Definitions,
    on_item: Callable[[str], None],
) -> tuple[str, ...]:
    """Build, check and open a piece. Returns what opening found to be wrong with logins."""
    customers, days = zip(*piece, strict=True)

    def on_part(name: str, *_: int) -> None:
        on_item(f"customer {customers[0]}: {name}")

    connection.execute(SQL["mark"], {"customers": list(customers), "days": list(days), "by": account()})
    connection.commit()
    built = window.build(connection, settings, on_part)
    suites.validate(connection, settings, on_part)
    opened = opening.open_build(connection, settings)
    row = connection.execute(
        "select definitions from ops.build where build_id = %s", [built.build_id]
    ).fetchone()
    connection.commit()
    changed = sorted(mart for mart, definition in present.items() if row and row[0].get(mart) != definition)
    if changed:
        raise UserError(
            f"the definition of {', '.join(changed)} changed during the rebuild: run `callmart rebuild --plan` to see"
            " what is of an earlier one now, then `callmart rebuild`"
        )
    return opened.problems


def _too_many_held_back(connection: psycopg.Connection) -> str | None:
    held_back = _held_back(connection)
    if held_back < HELD_BACK_MOST:
        return None
    return (
        f"the rebuild stopped, because {held_back} days that it computed are held back by their checks: `callmart"
        " status` names the checks; correct the definition, and the next run computes them again"
    )


def _held_back(connection: psycopg.Connection) -> int:
    ((days,),) = connection.execute(SQL["held_back"]).fetchall()
    connection.commit()
    return int(days)
