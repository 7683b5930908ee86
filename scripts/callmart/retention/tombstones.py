"""Ends tombstones that nothing can bring a person back past any more."""

import psycopg

from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.database import ledger, vacuum

SQL = sql_file.statements(__file__)


def end(connection: psycopg.Connection, settings: Settings) -> int:
    """End the tombstones of days that are too old to land again, if the backups from before the erasure are gone, too.
    Without `backup_kept_days` nobody knows that, and they stay. The register forgets with them whom a request was
    about. Commits. Returns the number of entries that ended.
    """
    ledger.forget(connection, settings)  # what a crash left
    ended: list[int] = []
    if settings.backup_kept_days is not None and not ledger.standing(connection, settings).differs:
        over = connection.execute(SQL["over"], {"days": settings.backup_kept_days}).fetchall()
        ended = [entry for (entry,) in over]
    if ended:
        ledger.end(connection, settings, ended)
    if connection.execute(SQL["forget_subjects"]).rowcount:
        vacuum.note(connection, "privacy.request")
    connection.commit()
    return len(ended)
