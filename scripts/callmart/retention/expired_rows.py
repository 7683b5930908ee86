"""Finds the rows that an expiry deletes: of marts, events, files that landed, the registry, books and requests; and a
build that was computed but not opened.
"""

from datetime import date

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.matrix import matrix
from callmart.database import catalogue
from callmart.declarations import mart_tables
from callmart.declarations.mart import Mart
from callmart.opening import opening
from callmart.retention.expired_months import count_of, number
from callmart.retention.expiry_steps import CLOCKS, Steps

SQL = sql_file.statements(__file__)

PASSED_BUILDS = sql.SQL(SQL["passed_builds"])
# No clock is more than a day from UTC. So this bound narrows down the months and index ranges to search.
NEAR_THE_FLOOR = "((%(floor)s::date + 1)::timestamp at time zone 'UTC')"


def find(steps: Steps) -> None:
    """Add the steps that delete rows."""
    _marts(steps)
    _usage(steps)
    _events(steps)
    _files_landed(steps)
    _registry(steps)
    _books(steps)
    _requests(steps)
    _computed(steps)


def _marts(steps: Steps) -> None:
    """All mart tables in the database, including marts that the project no longer declares."""
    marts = mart_tables.of_customers(steps.connection)
    for mart in marts:
        if mart.day:
            # Whole months are dropped, so rows are deleted only from the month of the floor.
            has_months = steps.months(mart_tables.SCHEMA, mart.name, steps.floor)
            steps.rows(
                "mart",
                mart.table,
                f"days before {steps.floor}",
                sql.SQL("{day} >= {first} and {day} < %(floor)s").format(
                    day=sql.Identifier("t", mart.day),
                    first=sql.Literal(steps.floor.replace(day=1) if has_months else date.min),
                ),
                by=sql.Identifier("t", mart.day) if has_months else None,
            )
        if mart.day and matrix().is_ordered(mart.group):
            _unordered(steps, mart)
    for mart in marts:
        if not mart.day:
            _unreferenced(steps, mart, marts)


def _unreferenced(steps: Steps, mart: Mart, others: list[Mart]) -> None:
    """Rows of a mart without days to which no kept day refers."""
    condition = mart_tables.unreferenced(mart, others, sql.SQL("{day} >= %(floor)s"))
    if condition is None:
        return
    steps.rows(
        "mart",
        mart.table,
        "no kept day refers to them any more",
        condition,
        statement="delete_counted",
        mart=sql.Literal(mart.name),
        mart_group=sql.Literal(mart.group),
        day=mart_tables.day_of(mart),
    )


def _unordered(steps: Steps, mart: Mart) -> None:
    """Contacts of days for which no list is ordered: a customer may keep it for less than two years, or end it."""
    day = sql.Identifier("t", str(mart.day))
    steps.rows(
        "mart",
        mart.table,
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


def _usage(steps: Steps) -> None:
    """The statistics on all customers, and their source. A month expires as soon as its first day does."""
    for table in ("usage.function_month", "raw.function_use"):
        if catalogue.exists(steps.connection, table):
            steps.rows(
                "usage", table, f"months with days before {steps.floor}", sql.SQL("t.month < %(floor)s")
            )


def _events(steps: Steps) -> None:
    # A month in UTC also contains the first hours of the next local month for the customers furthest east.
    first = date.fromordinal(steps.floor.toordinal() - 1).replace(day=1)
    steps.months("raw", "event", first)
    steps.rows(
        "raw",
        "raw.event",
        f"local days before {steps.floor}",
        sql.SQL(
            "t.customer_id = c.customer_id"
            " and t.occurred_at >= ({first}::timestamp at time zone 'UTC')"
            f" and t.occurred_at < {NEAR_THE_FLOOR}"
            " and (t.occurred_at at time zone c.time_zone)::date < %(floor)s"
        ).format(first=sql.Literal(first)),
        by=sql.SQL("(t.occurred_at at time zone 'UTC')::date"),
        clocks=CLOCKS,
    )
    steps.rows(
        "raw",
        "raw.call",
        f"ended before {steps.floor}",
        sql.SQL(
            f"t.customer_id = c.customer_id and t.last_at < {NEAR_THE_FLOOR}"
            " and (t.last_at at time zone c.time_zone)::date < %(floor)s"
        ),
        clocks=CLOCKS,
    )
    steps.rows(
        "raw",
        "raw.call",
        f"began before {steps.floor} and ended later: their beginning is forgotten",
        sql.SQL(
            f"t.customer_id = c.customer_id and t.spans_days and t.first_at < {NEAR_THE_FLOOR}"
            " and (t.first_at at time zone c.time_zone)::date < %(floor)s"
            " and (t.last_at at time zone c.time_zone)::date >= %(floor)s"
        ),
        clocks=CLOCKS,
        statement="forget",
        columns=sql.SQL("first_at, spans_days"),
        kept=sql.SQL("c.floor_begins_at, (t.last_at at time zone c.time_zone)::date > %(floor)s"),
    )


def _files_landed(steps: Steps) -> None:
    steps.rows(
        "raw",
        "raw.file",
        f"landed before {steps.floor}, or all days in them are before it; with their rejected rows",
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
    steps.rows(
        "raw",
        "raw.file_customer",
        f"customers whose last day in a file is before {steps.floor}",
        sql.SQL("t.last_day < %(floor)s and ") + in_a_kept_file,
    )
    steps.rows(
        "raw",
        "raw.file_customer",
        f"first day in a file is before {steps.floor}: forgotten",
        sql.SQL("t.first_day < %(floor)s and t.last_day >= %(floor)s and ") + in_a_kept_file,
        statement="forget",
        columns=sql.SQL("first_day"),
        kept=sql.SQL("%(floor)s"),
    )


def _registry(steps: Steps) -> None:
    """Agents that were seen last long ago, versions of the registry, and what was mailed."""
    shown = "false"
    if catalogue.exists(steps.connection, agents := f"{mart_tables.SCHEMA}.agent"):
        shown = (
            f"exists (select 1 from {agents} as m"
            " where m.customer_id = t.customer_id and m.agent_key = t.agent_key)"
        )
    steps.rows(
        "registry",
        "registry.agent",
        f"ids without a name, last seen before {steps.floor}",
        # An agent has no last day if it was never seen and the registry has removed its name.
        sql.SQL(f"t.name is null and coalesce(t.last_day < %(floor)s, not {shown})"),
    )
    steps.rows(
        "registry",
        "registry.agent",
        f"named by the registry, last seen before {steps.floor}: the date is forgotten",
        sql.SQL("t.name is not null and t.last_day < %(floor)s"),
        statement="forget",
        columns=sql.SQL("last_day"),
        kept=sql.SQL("null::date"),
    )
    steps.rows(
        "registry",
        "registry.version",
        f"applied before {steps.floor}",
        sql.SQL(
            "(t.applied_at at time zone %(zone)s)::date < %(floor)s"
            " and t.version < (select max(version) from registry.version)"
        ),
    )
    # Only the last week that is over can still be mailed; by no clock on earth is it one before these.
    steps.rows(
        "registry",
        "registry.mailed",
        "no week of theirs can be mailed again",
        sql.SQL("t.week < %(today)s::date - 21"),
    )


def _books(steps: Steps) -> None:
    """The records of the stages."""
    for table in ("ops.dirty_day", "ops.held_back", "ops.opened_day"):
        steps.rows(
            "ops",
            table,
            f"days before {steps.floor}",
            sql.SQL("t.call_date < %(floor)s and isfinite(t.call_date)"),
        )
    built = "(b.built_at at time zone %(zone)s)::date"
    steps.rows(
        "ops",
        "ops.quality_failure",
        f"days before {steps.floor}",
        sql.SQL(
            "t.call_date < %(floor)s"
            f" and exists (select 1 from ops.build as b where b.build_id = t.build_id and {built} >= %(floor)s)"
        ),
    )
    steps.rows(
        "ops",
        "ops.build",
        f"built before {steps.floor}, with the results of its checks",
        sql.SQL("(t.built_at at time zone %(zone)s)::date < %(floor)s"),
        cascade=("ops.quality_result", "ops.quality_failure"),
    )
    steps.rows(
        "ops",
        "ops.build",
        "of an earlier day that had a later one, and no open or held-back day has what they found to be wrong",
        sql.SQL("{built} >= %(floor)s and t.build_id in ({passed})").format(
            built=sql.SQL("(t.built_at at time zone %(zone)s)::date"),
            passed=PASSED_BUILDS,
        ),
        cascade=("ops.quality_result", "ops.quality_failure"),
        is_too_old=False,
    )
    steps.rows(
        "ops",
        "ops.audit_log",
        f"what runs did by themselves before {steps.values['log_floor']}",
        sql.SQL(
            "t.action = any(ops.routine_actions()) and t.at < access.begin_of_day(%(log_floor)s, %(zone)s)"
        ),
    )
    steps.rows(
        "ops",
        "ops.run",
        f"began before {steps.floor}, with their stages",
        sql.SQL("(t.began_at at time zone %(zone)s)::date < %(floor)s"),
        cascade=("ops.run_stage",),
    )
    steps.rows(
        "ops",
        "ops.alarm",
        f"sent before {steps.floor}; what is still wrong is sent again",
        sql.SQL("(t.sent_at at time zone %(zone)s)::date < %(floor)s"),
    )


def _requests(steps: Steps) -> None:
    """The register of requests of persons, which is kept longer than data."""
    steps.rows(
        "privacy",
        "privacy.request",
        f"closed, refused or forwarded before {steps.values['register_floor']}, with their evidence",
        sql.SQL("(t.ended_at at time zone %(zone)s)::date < %(register_floor)s"),
        cascade=("privacy.step",),
    )


def _computed(steps: Steps) -> None:
    """A build that was computed but not opened."""
    if not _holds_expired(steps.connection, steps.values):
        return

    def take(connection: psycopg.Connection) -> int:
        rows = _rows_computed(connection)
        opening.empty_build(connection)
        return rows

    steps.add(
        "build",
        "build.*",
        f"a build that was never opened holds days before {steps.floor}",
        _rows_computed(steps.connection),
        take,
    )


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
