"""The audit's check of the privacy ledger: it, its copy and the database say the same."""

import psycopg

from callmart.audit.check import Check
from callmart.base.settings import Settings
from callmart.database import ledger


def of_ledger(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that nobody who was erased can come back because something was lost."""
    found = ledger.compare(connection, settings).problems
    ((entries,),) = connection.execute("select count(*) from privacy.ledger_entry").fetchall()
    return Check.of(
        "books", "the privacy ledger, its copy and the database say the same of everybody who was erased",
        entries, found, applies=bool(entries or found),
    )  # fmt: skip
