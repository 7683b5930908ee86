"""The audit's checks of rights, tables, files and books."""

from collections.abc import Collection, Iterator

import psycopg
from psycopg import sql

from callmart.access import drift, surroundings
from callmart.access.rights import SCHEMAS, shown_in
from callmart.audit.channels import Board
from callmart.audit.check import Check
from callmart.audit.scene import Scene
from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.database import catalogue, log_seals
from callmart.declarations import dbt_project, mart_tables, pointing
from callmart.mailing import places as outbox
from callmart.reports import shelf
from callmart.retention import expiry_plan

SQL = sql_file.statements(__file__)


def of_rights(connection: psycopg.Connection, settings: Settings, scene: Scene) -> Iterator[Check]:
    """Check that roles, rights and policies are as declared."""
    found = drift.find(connection, dbt_project.marts(settings))
    drifted = [one.text for one in found if not (one.undeclared or one.server)]
    left = mart_tables.undeclared(connection, scene.marts)
    yield Check.of(
        "rights", "roles, memberships, rights and policies are those of access.yml, the marts and the contracts",
        len(scene.roles), drifted,
    )  # fmt: skip
    ((relations,),) = connection.execute(
        "select count(*) from access.mart_relation where mart = any(%s::regclass[])",
        [[mart.table for mart in scene.marts]],
    ).fetchall()
    unguarded = [name for name, _ in drift.unguarded(connection, scene.marts)]
    yield Check.of(
        "rights", "every mart and every month has forced row security and its own two policies",
        relations, unguarded,
    )  # fmt: skip
    strays = connection.execute(
        SQL["strays"],
        {
            "marts": [mart.table for mart in (*scene.marts, *left)],
            "shown": [
                *scene.shared,
                *(relation for mart in (*scene.marts, *left) for relation in shown_in(mart)),
            ],
        },
    ).fetchall()
    strange = [name for (name,) in strays] + [
        mart_tables.remark(connection, mart, scene.marts) for mart in left
    ]
    yield Check.of(
        "rights", "nothing is among the marts that is not declared", relations, strange,
    )  # fmt: skip
    ((columns,),) = connection.execute(
        "select count(*) from access.pointing_column where must_say"
    ).fetchall()
    unsaid = pointing.undeclared(connection)
    yield Check.of(
        "rights", "every column that could point to a person says to whom it does", columns, unsaid,
    )  # fmt: skip


def of_surroundings(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check what drift leaves out, because a superuser is trusted, and a shared server may have it for others."""
    found = surroundings.beside(connection, is_own=settings.dsn is None)
    return Check.of(
        "rights",
        "nothing that a superuser put beside callmart reads for others, or runs in its sessions",
        1,
        found,
    )


# The days of these tables are in the customer's time zone, or the provider's for an unknown customer.
TOO_OLD = {
    "raw.event": "occurred_at",
    "raw.call": "last_at",
}

# What is there as soon as something is ordered, also for later; and what the promise itself is to outlive the customer,
# with the alarms about it.
FOR_LATER = (
    "registry.agent",
    "privacy.secret",
    "privacy.correction",
    "privacy.renewed_tombstone",
    "ops.rotation",
)
OUTLIVES = (
    "ops.audit_log",
    "ops.alarm",
    "privacy.request",
    "privacy.ledger_entry",
    "privacy.tombstone",
    "privacy.closed",
)

CALENDARS = ("registry.opening_hours", "registry.holiday")  # their days are not days on which somebody called


def of_tables(connection: psycopg.Connection, settings: Settings, scene: Scene) -> Iterator[Check]:
    """Check that nothing is kept that is too old, or that is of a customer without a contract."""
    tables = _tables(connection)
    days = {mart.day for mart in scene.marts if mart.day} | {"call_date", "last_day", "month"}
    old, dated = [], 0
    for name, columns in tables.items():
        if name in CALENDARS:
            continue
        for column in sorted(columns & days) or [""] * (name in TOO_OLD):
            dated += 1
            if _any_too_old(connection, settings, scene.floor, name, column):
                old.append(f"{name}: run `callmart expire`")
    yield Check.of("retention", f"nothing older than {scene.floor} in any table with a day", dated, old)
    due = [f"{step.what}: {step.why}" for step in expiry_plan.too_old(connection, settings)]
    yield Check.of("retention", "the expiry finds nothing that is due, in tables and files", dated, due)

    of_customers = [
        name for name, columns in tables.items()
        if "customer_id" in columns and name not in OUTLIVES
        and (not name.startswith("registry.") or name == "registry.agent")
    ]  # fmt: skip
    kept, ordered = _customers(connection, "kept"), _customers(connection, "ordered")
    left = []
    for name in of_customers:
        query = sql.SQL("select distinct customer_id from {} where customer_id <> all(%s) order by 1").format(
            sql.SQL(name)
        )
        may = ordered if name in FOR_LATER else kept
        left += [f"{name}: customer {customer}" for (customer,) in connection.execute(query, [sorted(may)])]
    left += _left_files(settings, connection.info.dbname, kept, ordered)
    yield Check.of(
        "contracts", "nothing is kept of a customer without a contract, in tables and files", len(of_customers),
        left,
    )  # fmt: skip


def of_usage(connection: psycopg.Connection) -> Iterator[Check]:
    """Check that no number over all customers reveals one of them. Numbers whose parts are gone can't be checked."""
    looked_at, found = 0, []
    if catalogue.exists(connection, "usage.function_month"):
        for cell, parts in connection.execute(SQL["usage"]):
            looked_at += 1
            if len(parts or ()) < 10 or 2 * parts[0] >= sum(parts) or 100 * sum(parts[:2]) >= 85 * sum(parts):
                found.append(cell)
        columns = connection.execute(SQL["usage_columns"]).fetchall()
        found += [f"the column {column} is of no statistic: drop it" for (column,) in columns]
    yield Check.of(
        "usage", "every number over all customers is from ten or more, and not mostly from one or two",
        looked_at, found, applies=bool(looked_at or found),
    )  # fmt: skip


def _tables(connection: psycopg.Connection) -> dict[str, set[str]]:
    """Our tables with their columns; partitions count as their parent."""
    rows = connection.execute(SQL["tables"], {"schemas": list(SCHEMAS)}).fetchall()
    return {name: set(columns) for name, columns in rows}


def _any_too_old(
    connection: psycopg.Connection, settings: Settings, floor: str, table: str, column: str
) -> bool:
    if column:
        where = sql.SQL("t.{day} < {floor} and isfinite(t.{day})").format(
            day=sql.Identifier(column), floor=floor
        )
        joined: sql.Composable = sql.SQL("")
    else:
        # The first condition is there for partition pruning. No time zone is more than a day from UTC.
        where = sql.SQL(
            "t.{moment} < {floor}::date + 2 and (t.{moment} at time zone coalesce(c.time_zone, {zone}))::date < {floor}"
        ).format(moment=sql.Identifier(TOO_OLD[table]), floor=floor, zone=settings.time_zone)
        joined = sql.SQL(
            "left join (select customer_id, time_zone from registry.customer) as c using (customer_id)"
        )
    query = sql.SQL("select 1 from {} as t {} where {} limit 1").format(sql.SQL(table), joined, where)
    return connection.execute(query).fetchone() is not None


def _customers(connection: psycopg.Connection, which: str) -> set[int]:
    """The customers of whom a contract keeps something today, or who have ordered something, now or later."""
    return {customer for (customer,) in connection.execute(SQL[which])}


def _left_files(
    settings: Settings, database: str, kept: Collection[int], ordered: Collection[int]
) -> Iterator[str]:
    for folder, before, after, may in (
        ("keys", "customer_", ".key", ordered),
        ("secrets", f"{database}_customer_", ".pgpass", kept),
    ):
        for file in sorted((settings.home / folder).glob(f"{before}*{after}")):
            number = file.name.removeprefix(before).removesuffix(after)
            if not number.isdecimal() or int(number) not in may:
                yield str(file.relative_to(settings.home))
    for file in (*shelf.strays(settings), *outbox.strays(settings)):
        yield str(file.relative_to(settings.home))


def of_books(connection: psycopg.Connection, board: Board) -> Iterator[Check]:
    """Check that the audit log can't be changed, and that visible days are those that were opened."""
    yield append_only(connection)
    looked_at, found = 0, []
    for mart in board.marts:
        query = sql.SQL(SQL["days"]).format(
            day=mart_tables.day_of(mart),
            mart=sql.Identifier(*mart.table.split(".")),
            name=mart.name,
        )
        for customer, day, same in connection.execute(query):
            looked_at += 1
            if not same:
                found.append(f"{mart.name}, customer {customer}, {day if mart.day else 'all days'}")
    yield Check.of(
        "quality", "every visible day is the one that was checked and opened, with as many rows",
        looked_at, found,
    )  # fmt: skip
    opened, shown = connection.execute(SQL["shown_though_held_back"]).fetchall()[0]
    yield Check.of(
        "quality", "no day that is held back is visible in the version that failed", opened, shown or []
    )


def sealed(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that the audit log is as it was when the runs sealed it. Where none did yet, nobody can tell."""
    seals, looked_at, found = log_seals.broken(connection, settings)
    return Check.of(
        "audit log", "no entry that a run has sealed was changed, deleted or added since", looked_at, found,
        applies=bool(seals or found),
    )  # fmt: skip


def append_only(connection: psycopg.Connection) -> Check:
    """Check that the audit log refuses every change, even by its owner, but for what is kept for two years."""
    (entries,) = connection.execute("select count(*) from ops.audit_log").fetchall()[0]
    found = []
    for name, statement in (
        ("changed", SQL["change_entry"]),
        ("deleted from", SQL["delete_entry"]),
    ):
        try:
            with connection.transaction(force_rollback=True):
                changed = connection.execute(statement).rowcount
        except psycopg.errors.RaiseException:
            continue
        if changed:
            found.append(f"it could be {name}")
    # TRUNCATE would lock the table, so it is not tried but looked up in the catalogue.
    (guarded,) = connection.execute(SQL["guarded"]).fetchall()[0]
    if not guarded:
        found.append("it could be emptied")
    return Check.of("audit log", "it is append-only, for its owner too", entries, found)
