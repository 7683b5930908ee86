"""Removes what was copied of a customer before its registry or its keys changed: pages, mails in the outbox, and
environments.
"""

from datetime import date

import psycopg

from callmart.base.settings import Settings
from callmart.environments import databases
from callmart.mailing import places as outbox
from callmart.mailing.book import Book
from callmart.reports import shelf


def remove_copies(connection: psycopg.Connection, settings: Settings, customer_id: int) -> None:
    """Remove all pages and mails, which can have names or keys of agents, and the environments that hold the customer.
    The next run writes the mails of the last week anew, unless the key was rotated since they were written. Commits.
    """
    for mail in outbox.mails(settings):
        if mail.customer_id == customer_id:
            Book(connection, mail.customer_id, mail.week, mail.known_by, mail.reports).forget()
    remove_before(connection, settings, customer_id, date.max)
    databases.drop_of(connection, settings, customer_id)


def remove_before(connection: psycopg.Connection, settings: Settings, customer_id: int, first: date) -> int:
    """Remove the pages and mails that can show a day before the first one. Returns how many."""
    found = [*shelf.too_old(settings, first, customer_id), *outbox.too_old(settings, first, customer_id)]
    for path in found:
        path.unlink()
    if found:
        shelf.tidy(connection, settings)
    return len(found)
