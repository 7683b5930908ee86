"""The status of each customer, from callmart's books."""

from dataclasses import dataclass

import psycopg

from callmart.base import sql_file

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class HeldBack:
    """A day that is held back. `checks` are those that it fails, as `mart: expectation`."""

    day: str
    checks: tuple[str, ...]
    released: bool


@dataclass(frozen=True)
class CustomerStatus:
    """The status of a customer. `first_day` and `last_day` are ISO dates. All other days, and rows, are counts."""

    customer_id: int
    name: str
    option: str
    contacts: int
    first_day: str | None
    last_day: str | None
    dirty_days: int
    held_back_days: int
    turned_away_rows: int
    quality: str
    extract_rows: int
    tableau: str
    held_back: tuple[HeldBack, ...]


def status(connection: psycopg.Connection) -> list[CustomerStatus]:
    """Return the status of all customers in the registry, ordered by number."""
    customers = connection.execute(SQL["customers"]).fetchall()
    contacts: dict[int, int] = {}
    if connection.execute("select to_regclass('store.queue_interval')").fetchone() != (None,):
        contacts = dict(
            connection.execute(
                "select customer_id, coalesce(sum(offered), 0)::bigint from store.queue_interval group by customer_id"
            ).fetchall()
        )
    held_back: dict[int, list[HeldBack]] = {}
    for customer_id, day, cause, released in connection.execute(
        "select customer_id, call_date::text, cause, released_at is not null from ops.held_back order by 1, 2"
    ):
        held_back.setdefault(customer_id, []).append(HeldBack(day, tuple(cause.split("; ")), released))
    connection.commit()
    return [
        CustomerStatus(*(*row[:3], contacts.get(row[0], 0), *row[3:], tuple(held_back.get(row[0], ()))))
        for row in customers
    ]
