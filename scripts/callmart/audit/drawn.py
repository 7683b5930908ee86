"""The audit's check of the drawn reports."""

import psycopg

from callmart.audit.check import Check
from callmart.base.settings import Settings
from callmart.reports import shelf


def of_pages(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that each page on the shelf is one that a contract orders today."""
    kept = len(list(shelf.pages(settings)))
    found = [
        f"customer {page.customer_id}, {page.report} of {page.week}"
        for page in shelf.unordered(connection, settings)
    ]
    return Check.of(
        "contracts", "every drawn page is of a customer whose contract orders that report",
        kept, found, applies=kept > 0,
    )  # fmt: skip
