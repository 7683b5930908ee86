"""Plans an expiry: finds what is older than two years, in every table and file, and how each part is deleted.

A customer's day is too old if its local date is before the floor: today at the provider, less two years. Whole months
are detached and dropped; other rows are deleted.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.matrix import matrix
from callmart.base.settings import Settings
from callmart.database.vacuum import note, vacuum
from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart
from callmart.extract import extract
from callmart.mailing import places as outbox
from callmart.opening import opening
from callmart.reports import shelf
from callmart.retention.expired_months import (
    MISMATCH,
    Query,
    count_of,
    dropping,
    emptying,
    exists,
    number,
    partitions,
)
from callmart.retention.unreferenced import unreferenced
from callmart.validate import quality_pages

SQL = sql_file.statements(__file__)

# The time zone per customer, for joining with a table `t`. Tables with the provider's dates are joined with no clock.
CLOCKS = sql.SQL(f"({SQL['clocks']})")
NO_CLOCKS = sql.SQL("(select)")
# No clock is more than a day from UTC. So this bound narrows down the months and index ranges to search.
NEAR_THE_FLOOR = "((%(floor)s::date + 1)::timestamp at time zone 'UTC')"


@dataclass(frozen=True)
class Step:
    """One step: what is deleted, why, and how much. `count` is in rows, or in files if `kind` is 'files'."""

    kind: str
    what: str
    why: str
    count: int
    take: Callable[[psycopg.Connection], int] = field(repr=False, compare=False)  # deletes; returns how much
    is_too_old: bool = field(default=True, kw_only=True)  # False if it is only of no use any more
    # A substitute if `take` can't obtain its lock; it needs only a lock that doesn't conflict with readers.
    instead: Callable[[psycopg.Connection], int] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Plan:
    """What is deleted on a day. `floor` is the oldest day that is kept."""

    today: date
    floor: date
    steps: tuple[Step, ...]

    @property
    def hash(self) -> str:
        """By which a person confirms the plan. Any other day, step or count gives another hash."""
        shown = [(step.kind, step.what, step.why, step.count) for step in self.steps]
        return sha256(json.dumps([str(self.today), shown]).encode()).hexdigest()[:8]


def floor_on(connection: psycopg.Connection, day: date) -> date:
    """Return the oldest day that is kept on a given day: two years earlier, as PostgreSQL subtracts them.

    access.retention_floor() in database/objects/access.sql says the same of today.
    """
    ((floor,),) = connection.execute("select (%s::date - interval '2 years')::date", [day]).fetchall()
    return floor  # type: ignore[no-any-return]


def plan(connection: psycopg.Connection, settings: Settings, day: date) -> Plan:
    """Return the plan of what is too old on a day. Changes nothing."""
    planner = _Planner(connection, settings, day)
    planner.marts()
    planner.usage()
    planner.events()
    planner.files_landed()
    planner.registry()
    planner.books()
    planner.requests()
    planner.computed()
    planner.files_on_disk()
    planner.statistics()
    connection.commit()
    return Plan(day, planner.floor, tuple(planner.steps))


class _Planner:
    def __init__(self, connection: psycopg.Connection, settings: Settings, day: date) -> None:
        self.connection = connection
        self.settings = settings
        self.floor = floor_on(connection, day)
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
        self.steps: list[Step] = []

    def marts(self) -> None:
        """All mart tables in the database, including marts that the project no longer declares."""
        marts = mart_tables.of_customers(self.connection)
        for mart in marts:
            if mart.day:
                # Whole months are dropped, so rows are deleted only from the month of the floor.
                has_months = self.months(mart_tables.SCHEMA, mart.name, self.floor)
                self.rows(
                    "mart",
                    f"{mart_tables.SCHEMA}.{mart.name}",
                    f"days before {self.floor}",
                    sql.SQL("{day} >= {first} and {day} < %(floor)s").format(
                        day=sql.Identifier("t", mart.day),
                        first=sql.Literal(self.floor.replace(day=1) if has_months else date.min),
                    ),
                    by=sql.Identifier("t", mart.day) if has_months else None,
                )
            if mart.day and matrix().is_ordered(mart.group):
                self.unordered(mart)
        for mart in marts:
            if not mart.day:
                self.unreferenced(mart, marts)

    def unreferenced(self, mart: Mart, others: list[Mart]) -> None:
        """Rows of a mart without days to which no kept day refers."""
        condition = unreferenced(mart, others, sql.SQL("{day} >= %(floor)s"))
        if condition is None:
            return
        self.rows(
            "mart",
            f"{mart_tables.SCHEMA}.{mart.name}",
            "no kept day refers to them any more",
            condition,
            statement="delete_counted",
            mart=sql.Literal(mart.name),
            mart_group=sql.Literal(mart.group),
            day=sql.SQL("'-infinity'::date"),
        )

    def unordered(self, mart: Mart) -> None:
        """Contacts of days for which no list is ordered: a customer may keep it for less than two years, or end it."""
        day = sql.Identifier("t", str(mart.day))
        self.rows(
            "mart",
            f"{mart_tables.SCHEMA}.{mart.name}",
            "no list of contacts is ordered for their days",
            sql.SQL(
                "{day} >= %(floor)s and not exists (select 1 from registry.customer as o"
                " where o.customer_id = t.customer_id and {day} >= %(today)s::date - o.contact_list_days)"
            ).format(day=day),
            by=day,
            statement="delete_counted",
            mart=sql.Literal(mart.name),
            mart_group=sql.Literal(mart.group),
            day=day,
        )

    def usage(self) -> None:
        """The statistics on all customers, and their source. A month expires as soon as its first day does."""
        for table in ("usage.function_month", "raw.function_use"):
            if exists(self.connection, table):
                self.rows(
                    "usage", table, f"months with days before {self.floor}", sql.SQL("t.month < %(floor)s")
                )

    def events(self) -> None:
        # A month in UTC also contains the first hours of the next local month for the customers furthest east.
        first = date.fromordinal(self.floor.toordinal() - 1).replace(day=1)
        self.months("raw", "event", first)
        self.rows(
            "raw",
            "raw.event",
            f"local days before {self.floor}",
            sql.SQL(
                "t.customer_id = c.customer_id"
                " and t.occurred_at >= ({first}::timestamp at time zone 'UTC')"
                f" and t.occurred_at < {NEAR_THE_FLOOR}"
                " and (t.occurred_at at time zone c.time_zone)::date < %(floor)s"
            ).format(first=sql.Literal(first)),
            by=sql.SQL("(t.occurred_at at time zone 'UTC')::date"),
            clocks=CLOCKS,
        )
        self.rows(
            "raw",
            "raw.call",
            f"ended before {self.floor}",
            sql.SQL(
                f"t.customer_id = c.customer_id and t.last_at < {NEAR_THE_FLOOR}"
                " and (t.last_at at time zone c.time_zone)::date < %(floor)s"
            ),
            clocks=CLOCKS,
        )
        self.rows(
            "raw",
            "raw.call",
            f"began before {self.floor} and ended later: their beginning is forgotten",
            sql.SQL(
                f"t.customer_id = c.customer_id and t.spans_days and t.first_at < {NEAR_THE_FLOOR}"
                " and (t.first_at at time zone c.time_zone)::date < %(floor)s"
                " and (t.last_at at time zone c.time_zone)::date >= %(floor)s"
            ),
            clocks=CLOCKS,
            statement="forget",
            columns=sql.SQL("first_at, spans_days"),
            kept=sql.SQL(
                "(%(floor)s::date)::timestamp at time zone c.time_zone,"
                " (t.last_at at time zone c.time_zone)::date > %(floor)s"
            ),
        )

    def files_landed(self) -> None:
        self.rows(
            "raw",
            "raw.file",
            f"landed before {self.floor}, or all days in them are before it; with their rejected rows",
            sql.SQL(
                "(t.landed_at at time zone %(zone)s)::date < %(floor)s"
                " or exists (select 1 from raw.file_customer as f"
                " where f.file_id = t.file_id and f.last_day < %(floor)s)"
                " and not exists (select 1 from raw.file_customer as f where f.file_id = t.file_id"
                " and (f.last_day >= %(floor)s or f.last_day is null))"
            ),
            cascade=("raw.reject", "raw.file_customer", "raw.file_look"),
        )
        in_a_kept_file = sql.SQL(
            "exists (select 1 from raw.file as f where f.file_id = t.file_id"
            " and (f.landed_at at time zone %(zone)s)::date >= %(floor)s)"
            " and exists (select 1 from raw.file_customer as f where f.file_id = t.file_id"
            " and (f.last_day >= %(floor)s or f.last_day is null))"
        )
        self.rows(
            "raw",
            "raw.file_customer",
            f"customers whose last day in a file is before {self.floor}",
            sql.SQL("t.last_day < %(floor)s and ") + in_a_kept_file,
        )
        self.rows(
            "raw",
            "raw.file_customer",
            f"first day in a file is before {self.floor}: forgotten",
            sql.SQL("t.first_day < %(floor)s and t.last_day >= %(floor)s and ") + in_a_kept_file,
            statement="forget",
            columns=sql.SQL("first_day"),
            kept=sql.SQL("%(floor)s"),
        )

    def registry(self) -> None:
        """Agents that were seen last long ago, and versions of the registry."""
        shown = "false"
        if exists(self.connection, agents := f"{mart_tables.SCHEMA}.agent"):
            shown = (
                f"exists (select 1 from {agents} as m"
                " where m.customer_id = t.customer_id and m.agent_key = t.agent_key)"
            )
        self.rows(
            "registry",
            "registry.agent",
            f"ids without a name, last seen before {self.floor}",
            # An agent has no last day if it was never seen and the registry has removed its name.
            sql.SQL(f"t.name is null and coalesce(t.last_day < %(floor)s, not {shown})"),
        )
        self.rows(
            "registry",
            "registry.agent",
            f"named by the registry, last seen before {self.floor}: the date is forgotten",
            sql.SQL("t.name is not null and t.last_day < %(floor)s"),
            statement="forget",
            columns=sql.SQL("last_day"),
            kept=sql.SQL("null::date"),
        )
        self.rows(
            "registry",
            "registry.version",
            f"applied before {self.floor}",
            sql.SQL(
                "(t.applied_at at time zone %(zone)s)::date < %(floor)s"
                " and t.version < (select max(version) from registry.version)"
            ),
        )

    def books(self) -> None:
        """The records of the stages."""
        for table in ("ops.dirty_day", "ops.held_back", "ops.opened_day"):
            self.rows(
                "ops",
                table,
                f"days before {self.floor}",
                sql.SQL("t.call_date < %(floor)s and isfinite(t.call_date)"),
            )
        built = "(b.built_at at time zone %(zone)s)::date"
        self.rows(
            "ops",
            "ops.quality_failure",
            f"days before {self.floor}",
            sql.SQL(
                "t.call_date < %(floor)s"
                f" and exists (select 1 from ops.build as b where b.build_id = t.build_id and {built} >= %(floor)s)"
            ),
        )
        self.rows(
            "ops",
            "ops.build",
            f"built before {self.floor}, with the results of its checks",
            sql.SQL("(t.built_at at time zone %(zone)s)::date < %(floor)s"),
            cascade=("ops.quality_result", "ops.quality_failure"),
        )
        self.rows(
            "ops",
            "ops.build",
            "of an earlier day that had a later one, and no open or held-back day has what they found to be wrong",
            sql.SQL("{built} >= %(floor)s and t.build_id in ({passed})").format(
                built=sql.SQL("(t.built_at at time zone %(zone)s)::date"),
                passed=sql.SQL(SQL["passed_builds"]),
            ),
            cascade=("ops.quality_result", "ops.quality_failure"),
            is_too_old=False,
        )
        self.rows(
            "ops",
            "ops.audit_log",
            f"what runs did by themselves before {self.values['log_floor']}",
            sql.SQL(
                "t.action = any(ops.routine_actions())"
                " and t.at < %(log_floor)s::date::timestamp at time zone %(zone)s"
            ),
        )
        self.rows(
            "ops",
            "ops.run",
            f"began before {self.floor}, with their stages",
            sql.SQL("(t.began_at at time zone %(zone)s)::date < %(floor)s"),
            cascade=("ops.run_stage",),
        )
        self.rows(
            "ops",
            "ops.alarm",
            f"sent before {self.floor}; what is still wrong is sent again",
            sql.SQL("(t.sent_at at time zone %(zone)s)::date < %(floor)s"),
        )

    def requests(self) -> None:
        """The register of requests of persons, which is kept longer than data."""
        self.rows(
            "privacy",
            "privacy.request",
            f"closed, refused or forwarded before {self.values['register_floor']}, with their evidence",
            sql.SQL("(t.ended_at at time zone %(zone)s)::date < %(register_floor)s"),
            cascade=("privacy.step",),
        )

    def computed(self) -> None:
        """A build that was computed but not opened."""
        if not _holds_expired(self.connection, self.values):
            return

        def take(connection: psycopg.Connection) -> int:
            rows = _rows_computed(connection)
            opening.empty_build(connection)
            return rows

        self.add(
            "build",
            "build.*",
            f"a build that was never opened holds days before {self.floor}",
            _rows_computed(self.connection),
            take,
        )

    def files_on_disk(self) -> None:
        extracts = extract.folder(self.settings)

        def unlink_extracts(connection: psycopg.Connection) -> int:
            if _old_extracts(connection, self.settings, self.floor) != old:
                return MISMATCH
            for path, customer_id, group in old:
                path.unlink(missing_ok=True)
                connection.execute(
                    "delete from ops.extract where customer_id = %s and mart_group = %s", [customer_id, group]
                )
            return len(old)

        old = _old_extracts(self.connection, self.settings, self.floor)
        self.add(
            "files",
            f"{extracts}/*/*.hyper",
            f"contain days before {self.floor}; the next extract writes them again",
            len(old),
            unlink_extracts,
        )
        self._paths(
            f"{extracts}/*/*.hyper",
            "left by an interrupted extract; their contents are unknown",
            lambda connection: _unknown_extracts(connection, self.settings),
        )
        pages = f"{quality_pages.folder(self.settings)}/*.html"
        self._paths(
            pages,
            f"results of checks before {self.floor}",
            lambda _: _old_pages(self.settings, self.floor),
            lambda _: quality_pages.write_index(self.settings),
        )
        self._paths(
            pages,
            "results of checks of builds that have left the books",
            lambda connection: _passed_pages(connection, self.settings, self.values),
            lambda _: quality_pages.write_index(self.settings),
            is_too_old=False,
        )
        self._paths(
            f"{shelf.folder(self.settings)}/*/*.html",
            f"drawn reports with days before {self.floor}",
            lambda _: shelf.too_old(self.settings, self.floor),
            lambda connection: shelf.tidy(connection, self.settings),
        )
        self._paths(
            f"{outbox.folder(self.settings)}/*/*.eml",
            f"mails with days before {self.floor}",
            lambda _: outbox.too_old(self.settings, self.floor),
        )

    def _paths(
        self,
        what: str,
        why: str,
        find: Callable[[psycopg.Connection], list[Path]],
        then: Callable[[psycopg.Connection], object] = lambda _: None,
        *,
        is_too_old: bool = True,
    ) -> None:
        """Files that go whole, if they are still the same when it is done; and what follows from that."""
        found = find(self.connection)

        def unlink(connection: psycopg.Connection) -> int:
            if find(connection) != found:
                return MISMATCH
            for path in found:
                path.unlink()
            then(connection)
            return len(found)

        self.add("files", what, why, len(found), unlink, is_too_old=is_too_old)

    def statistics(self) -> None:
        """A vacuum: until then, the planner's samples have values of deleted rows, and the rows stay in their pages."""
        touched = {step.what for step in self.steps if step.kind not in ("build", "files")}
        touched |= {name for (name,) in self.connection.execute("select relation from ops.to_vacuum")}
        if touched:
            self.steps.append(
                Step(
                    "statistics",
                    "the tables above",
                    "samples of values, and the space of deleted rows",
                    len({re.sub(r"_\d{6}$", "", name) for name in touched}),
                    vacuum,
                )
            )

    def months(self, schema: str, name: str, first: date) -> bool:
        """Plan to drop the months before the month of `first`. Return whether the table has monthly partitions."""
        months = partitions(self.connection, schema, name)
        for partition in months:
            if partition[-6:] < f"{first:%Y%m}":
                count = count_of(self.connection, sql.Identifier(schema, partition))
                self.steps.append(
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
        if count:
            self.steps.append(Step(kind, what, why, count, take, is_too_old=is_too_old))


def _holds_expired(connection: psycopg.Connection, values: dict[str, object]) -> bool:
    """Whether a table in `build` contains a day, or a time on a day, before the floor."""
    for table, column, is_date in connection.execute(SQL["computed_days"]).fetchall():
        moment = sql.SQL("t.{}" if is_date else "(t.{} at time zone c.time_zone)::date").format(
            sql.Identifier(column)
        )
        query = sql.SQL(
            "select exists (select 1 from {} as t join {} as c using (customer_id) where {} < %(floor)s)::integer"
        ).format(sql.Identifier("build", table), CLOCKS, moment)
        if number(connection, query, values):
            return True
    return False


def _rows_computed(connection: psycopg.Connection) -> int:
    return sum(count_of(connection, table) for table in opening.build_tables(connection))


def _old_extracts(
    connection: psycopg.Connection, settings: Settings, floor: date
) -> list[tuple[Path, int, str]]:
    """The extracts whose oldest day is before the floor, as (path, customer, group)."""
    return [
        (extract.place(settings, customer_id, group), customer_id, group)
        for customer_id, group in connection.execute(
            "select customer_id, mart_group from ops.extract where (basis ->> 'oldest')::date < %s order by 1, 2",
            [floor],
        )
    ]


def _unknown_extracts(connection: psycopg.Connection, settings: Settings) -> list[Path]:
    known = {
        extract.place(settings, customer_id, group)
        for customer_id, group in connection.execute("select customer_id, mart_group from ops.extract")
    }
    return sorted(path for path in extract.folder(settings).glob("*/*.hyper") if path not in known)


def _old_pages(settings: Settings, floor: date) -> list[Path]:
    """The pages of checks before the floor."""
    return sorted(path for path, day, _ in quality_pages.of_builds(settings) if day < str(floor))


def _passed_pages(
    connection: psycopg.Connection, settings: Settings, values: Mapping[str, object]
) -> list[Path]:
    """The other pages of checks before today, of builds that have left the books or leave them now."""
    query = sql.SQL(SQL["kept_builds"]).format(passed=sql.SQL(SQL["passed_builds"]))
    kept = {build for (build,) in connection.execute(query, values)}
    floor, today = str(values["floor"]), str(values["today"])
    return sorted(
        path
        for path, day, build in quality_pages.of_builds(settings)
        if floor <= day < today and build not in kept
    )
