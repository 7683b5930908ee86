"""The steps of an expiry: each deletes what is too old in one table, month or folder, or in some of its rows.

A step counts when it is planned. If it then finds something else, it deletes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.database.vacuum import note
from callmart.retention.expired_months import (
    MISMATCH,
    Query,
    count_of,
    dropping,
    emptying,
    number,
    partitions,
)

SQL = sql_file.statements(__file__)

# The time zone per customer, for joining with a table `t`. Tables with the provider's dates are joined with no clock.
CLOCKS = sql.SQL(f"({SQL['clocks']})")
NO_CLOCKS = sql.SQL("(select)")


class Stuck(Exception):
    """Some of a step's files could not be deleted, or not everything that follows from the others was done. `gone` is
    how many were deleted.
    """

    def __init__(self, gone: int) -> None:
        super().__init__()
        self.gone = gone


@dataclass(frozen=True)
class Step:
    """One step: what is deleted, why, and how much. `count` is in rows, or in files if `kind` is 'files'."""

    kind: str
    what: str
    why: str
    count: int
    # Deletes or vacuums; returns how much.
    take: Callable[[psycopg.Connection], int] = field(repr=False, compare=False)
    is_too_old: bool = field(default=True, kw_only=True)  # False if it is only of no use any more
    # A substitute if `take` can't obtain its lock; it needs only a lock that doesn't conflict with readers.
    instead: Callable[[psycopg.Connection], int] | None = field(default=None, repr=False, compare=False)


class Steps:
    """Collects the steps of an expiry on a day: what is found is counted, and what is not there gives no step."""

    def __init__(self, connection: psycopg.Connection, settings: Settings, day: date, floor: date) -> None:
        self.connection = connection
        self.settings = settings
        self.floor = floor
        # What the database itself keeps until then goes by its own clock.
        ((log_floor, register_floor),) = connection.execute(
            """
            select (day - interval '2 years')::date, (day - interval '5 years')::date
            from least(%s::date, (now() at time zone %s)::date) as day
            """,
            [day, settings.time_zone],
        ).fetchall()
        self.values = {
            "floor": self.floor,
            "today": day,
            "log_floor": log_floor,
            "register_floor": register_floor,
            "zone": settings.time_zone,
        }
        self.planned: list[Step] = []

    def months(self, schema: str, name: str, first: date) -> bool:
        """Plan to drop the months before the month of `first`. Return whether the table has monthly partitions."""
        months = partitions(self.connection, schema, name)
        for partition in months:
            if partition[-6:] < f"{first:%Y%m}":
                count = count_of(self.connection, sql.Identifier(schema, partition))
                self.planned.append(
                    Step(
                        schema,
                        f"{schema}.{partition}",
                        f"the whole month is before {self.floor}" + (", and empty" if not count else ""),
                        count,
                        dropping(schema, name, partition, count),
                        emptying(schema, name, partition),
                    )
                )
        return bool(months)

    def rows(
        self,
        kind: str,
        table: str,
        why: str,
        where: Query,
        *,
        by: sql.Composable | None = None,
        statement: str = "delete_rows",
        clocks: sql.SQL = NO_CLOCKS,
        cascade: tuple[str, ...] = (),
        is_too_old: bool = True,
        **parts: sql.Composable,
    ) -> None:
        """Plan a statement that deletes the rows `t` of a table, or overwrites what is too old in them. `by` is the day
        by which the table has months.
        """
        month = sql.SQL("access.partition_of({}, of_month)")
        parts |= {
            "table": sql.Identifier(*table.split(".")),
            "clocks": clocks,
            "condition": where,
            "month_of_row": by or sql.SQL("null"),
            "deleted_from": month.format(sql.Literal(table)) if by else sql.Literal(table),
        }
        change = sql.SQL(SQL[statement]).format(**parts)
        count = sql.SQL("select count(*) from {table} as t cross join {clocks} as c where {condition}")

        def take(connection: psycopg.Connection) -> int:
            taken = connection.execute(change, self.values).fetchall()
            if taken:
                note(connection, table, *cascade, *(relation for relation, _ in taken))
            return sum(rows for _, rows in taken)

        found = number(self.connection, count.format(**parts), self.values)
        self.add(kind, table, why, found, take, is_too_old=is_too_old)

    def paths(
        self,
        what: str,
        why: str,
        find: Callable[[psycopg.Connection], list[Path]],
        then: Callable[[psycopg.Connection], object] = lambda _: None,
        *,
        is_too_old: bool = True,
    ) -> None:
        """Files that go whole, if they are still the same when it is done; and what follows from that. One that can't
        be deleted keeps no others: Stuck is raised when they are gone.
        """
        found = find(self.connection)

        def unlink(connection: psycopg.Connection) -> int:
            if find(connection) != found:
                return MISMATCH
            gone, is_stuck = 0, False
            for path in found:
                try:
                    path.unlink(missing_ok=True)
                    gone += 1
                except OSError:
                    is_stuck = True
            try:
                then(connection)
            except OSError:
                is_stuck = True
            if is_stuck:
                raise Stuck(gone)
            return gone

        self.add("files", what, why, len(found), unlink, is_too_old=is_too_old)

    def add(
        self,
        kind: str,
        what: str,
        why: str,
        count: int,
        take: Callable[[psycopg.Connection], int],
        *,
        is_too_old: bool = True,
    ) -> None:
        """Plan a step, unless it has nothing to delete. `count` is in rows, or in files if `kind` is 'files'."""
        if count:
            self.planned.append(Step(kind, what, why, count, take, is_too_old=is_too_old))
