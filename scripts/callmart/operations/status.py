"""The status of each customer, from callmart's books."""

from dataclasses import dataclass

import psycopg

from callmart.base import sql_file
from callmart.database import catalogue

SQL = sql_file.statements(__file__)
UNOPENED_WEEKS = 8  # after so many weeks, a report that nobody opens is worth a question


@dataclass(frozen=True)
class HeldBack:
    """A day that is held back. `checks` are those that it fails, as `mart: expectation`."""

    day: str
    checks: tuple[str, ...]
    released: bool
    released_before: bool  # what people see of it is there because somebody released it


@dataclass(frozen=True)
class Unopened:
    """A report that nobody has opened on Tableau for weeks. `since` is an ISO date."""

    report: str
    since: str


@dataclass(frozen=True)
class CustomerStatus:
    """The status of a customer. `first_day` and `last_day` are ISO dates. All other days, and rows, are counts.
    `needs_look` if days are held back, the customer is closed, or the last publication failed.
    """

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
    needs_look: bool
    held_back: tuple[HeldBack, ...]
    unopened: tuple[Unopened, ...]


@dataclass(frozen=True)
class Earlier:
    """The days of a mart that another definition computed than the last build's. `columns` are null there. A day counts
    once per customer; `first_day` and `last_day` are ISO dates.
    """

    mart: str
    days: int
    first_day: str
    last_day: str
    is_known: bool  # False of days from before there was the mart, or before callmart noted definitions
    columns: list[str]


def earlier(connection: psycopg.Connection) -> list[Earlier]:
    """Return what earlier definitions computed, per mart; empty if no mart has several."""
    found = [Earlier(*row) for row in connection.execute(SQL["definitions"])]
    connection.commit()
    return found


def status(connection: psycopg.Connection) -> list[CustomerStatus]:
    """Return the status of all customers in the registry, ordered by number."""
    customers = connection.execute(SQL["customers"]).fetchall()
    contacts: dict[int, int] = {}
    if catalogue.exists(connection, "store.queue_day"):
        contacts = dict(
            connection.execute(
                "select customer_id, coalesce(sum(offered), 0)::bigint from store.queue_day group by customer_id"
            ).fetchall()
        )
    held_back: dict[int, list[HeldBack]] = {}
    for customer_id, day, cause, *released in connection.execute(SQL["held_back"]):
        held_back.setdefault(customer_id, []).append(HeldBack(day, tuple(cause.split("; ")), *released))
    unopened: dict[int, list[Unopened]] = {}
    for customer_id, report, since in connection.execute(SQL["unopened"], {"weeks": UNOPENED_WEEKS}):
        unopened.setdefault(customer_id, []).append(Unopened(report, since))
    connection.commit()
    return [
        CustomerStatus(
            *(*row[:3], contacts.get(row[0], 0), *row[3:]),
            *(tuple(of_one.get(row[0], ())) for of_one in (held_back, unopened)),
        )
        for row in customers
    ]
