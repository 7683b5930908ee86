"""What an environment gets of what stands: the events of the chosen customers and days, what these look back at, and
what the registry and the ledger say, so that the same is left out there. Addresses and requests stay where they are.
"""

from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.identifiers import listed
from callmart.base.settings import Settings
from callmart.database import ledger
from callmart.database.piping import pipe
from callmart.declarations.mart import Mart, reach
from callmart.environments.known import Environment

SQL = sql_file.statements(__file__)

KEPT_DAYS = 14  # that an environment stays

# Per table the statement that says which rows. A table that is not here stays empty.
TABLES = {
    "registry.version": "all_rows",
    "registry.customer": "of_customers",
    "registry.contract": "of_customers",
    "registry.queue": "of_customers",
    "registry.line": "of_customers",
    "registry.status_word": "of_customers",
    "registry.opening_hours": "of_customers",
    "registry.holiday": "of_customers",
    "registry.former_fingerprint": "of_customers",
    "registry.agent": "agents",
    "raw.event": "events",
    "raw.call": "calls",
    # The ledger is compared as a whole. It has tombstones, which lead to nobody; secrets are of the chosen alone.
    "privacy.ledger": "all_rows",
    "privacy.ledger_entry": "all_rows",
    "privacy.tombstone": "all_rows",
    "privacy.renewed_tombstone": "of_customers",
    "privacy.correction": "of_customers",
    "privacy.secret": "of_customers",
}


def choose(
    connection: psycopg.Connection,
    settings: Settings,
    name: str,
    customers: tuple[int, ...],
    days: int,
    today: date,
) -> Environment:
    """What an environment of these customers and their last days is to hold. Raises UserError if that can't be."""
    parameters: dict[str, Any] = {"customers": list(customers)}
    if absent := connection.execute(SQL["not_ordered"], parameters).fetchall():
        raise UserError(
            f"customer {absent[0][0]} has no contract today: it left, or is not in the registry; name others"
        )
    compared = ledger.compare(connection, settings)
    for customer_id in customers:
        compared.refuse(customer_id)
    if begun := connection.execute(SQL["begun_request"], parameters).fetchone():
        number, customer_id, step = begun
        raise UserError(
            f"request {number} of customer {customer_id} has begun: finish it with "
            f"`callmart privacy {step} {number}`, then run the same command again"
        )
    ((last_day, standing, floor),) = connection.execute(SQL["days"], parameters).fetchall()
    if last_day is None:
        raise UserError(
            f"no day is open of customer {', '.join(map(str, customers))}: `callmart run` opens them"
        )
    first_day = last_day - timedelta(days=days - 1)
    if first_day < floor:
        raise UserError(
            f"--days {days} goes back to {first_day}, and {floor} is the oldest day that is kept: "
            f"ask for at most {(last_day - floor).days + 1}"
        )
    parameters |= {"first_day": first_day, "last_day": last_day}
    if empty := connection.execute(SQL["without_days"], parameters).fetchall():
        raise UserError(
            f"customer {empty[0][0]} has no open day from {first_day} to {last_day}: name others, or more days"
        )
    return Environment(
        name=name,
        customers=customers,
        first_day=first_day,
        last_day=last_day,
        ends_on=today + timedelta(days=KEPT_DAYS),
        standing=standing,
    )


def copy(
    connection: psycopg.Connection, own: psycopg.Connection, environment: Environment, marts: list[Mart]
) -> None:
    """Copy the rows into an environment's database, in the transactions of both. The first sees one moment."""
    connection.execute("set transaction isolation level repeatable read")
    parameters: dict[str, Any] = {
        "customers": list(environment.customers),
        "first_day": environment.first_day,
        "last_day": environment.last_day,
        "looks_back": reach(marts) + 1,  # days are of the customer's clock
    }
    ((parameters["since"],),) = connection.execute(SQL["since"], parameters).fetchall()
    own.execute(SQL["make_months"], parameters)
    for table, statement in TABLES.items():
        columns = [name for (name,) in own.execute(SQL["columns"], {"table": table})]
        query = sql.SQL(SQL[statement]).format(columns=listed(columns), table=sql.SQL(table))
        _fill(connection, own, query, parameters, table, columns)
    _fill(
        connection,
        own,
        sql.SQL(SQL["open_days"]),
        parameters,
        "ops.dirty_day",
        ["customer_id", "call_date", "cause"],
    )
    own.execute(SQL["without_logins"])
    own.execute("analyze raw.event")
    own.execute("analyze raw.call")


def _fill(
    connection: psycopg.Connection,
    own: psycopg.Connection,
    query: sql.Composable,
    parameters: dict[str, Any],
    table: str,
    columns: list[str],
) -> None:
    """Fill a table of the environment. Into one with row-level security nothing can be copied: it gets the rows through
    another.
    """
    parts = {"table": sql.SQL(table), "columns": listed(columns)}
    is_guarded = own.execute(SQL["is_guarded"], {"table": table}).fetchone() == (True,)
    if is_guarded:
        own.execute(sql.SQL(SQL["make_way_round"]).format(**parts))
    into = sql.SQL("pg_temp.way_round" if is_guarded else table) + sql.SQL(" ({columns})").format(**parts)
    pipe(connection, query, own, into, parameters)
    if is_guarded:
        own.execute(sql.SQL(SQL["insert_from_way_round"]).format(**parts))
        own.execute("drop table pg_temp.way_round")
