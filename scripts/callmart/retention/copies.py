"""Removes what was copied of a customer before its registry or its keys changed: pages, mails in the outbox, and
environments.
"""

from datetime import date

import psycopg

from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.environments import databases
from callmart.mailing import places as outbox
from callmart.reports import shelf


def remove_copies(connection: psycopg.Connection, settings: Settings, customer_id: int) -> int:
    """Remove all pages and mails, which can have names or keys of agents, and the environments that hold the customer.
    Returns how many. The next run writes the mails of the last week anew, unless the key was rotated since they were
    written. Commits.

    Raises UserError, which names the file, if one can't be removed.
    """
    outbox.forget(connection, settings, customer_id)
    try:
        removed = remove_before(connection, settings, customer_id, date.max)
        return removed + databases.drop_of(connection, settings, customer_id)
    except OSError as error:
        raise UserError(
            f"{error.filename} can't be removed ({error.strerror}): give it and its folder to the user who runs "
            "callmart, or remove it, then run the same command again"
        ) from None


def remove_before(connection: psycopg.Connection, settings: Settings, customer_id: int, first: date) -> int:
    """Remove the pages and mails that can show a day before the first one. Returns how many."""
    found = [*shelf.too_old(settings, first, customer_id), *outbox.too_old(settings, first, customer_id)]
    for path in found:
        path.unlink()
    if found:
        shelf.tidy(connection, settings)
    return len(found)
