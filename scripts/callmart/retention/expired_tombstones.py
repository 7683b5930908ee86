"""Ends the tombstones that are over (`ledger.is_over`), and forgets whom the requests behind them were about."""

from dataclasses import replace

import psycopg

from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.database import audit_log, ledger, ledger_files, ledger_rows, vacuum

SQL = sql_file.statements(__file__)


def end(connection: psycopg.Connection, settings: Settings) -> int:
    """End the tombstones of entries that are over, unless something differs. Commits: first the database, then ledger
    and copy lose body and salt. Returns the number of entries that ended.
    """
    ended = 0
    if not ledger.compare(connection, settings).problems:
        found = {path: ledger_files.read(path) for path in ledger_files.both(settings) if path.exists()}
        said = [each.by_number for each in (*found.values(), ledger_rows.read(connection))]
        over = {
            number
            for number in set[int]().union(*said)
            if (body := ledger.best(said, number).body) is not None and ledger.is_over(body, settings)
        }
        if over:
            ended = _end(connection, over)
        for path, whole in found.items():
            entries = tuple(one.without_body() if one.number in over else one for one in whole.entries)
            if entries != whole.entries:
                ledger_files.write(settings, path, replace(whole, entries=entries))
    if connection.execute(SQL["forget_subjects"]).rowcount:
        vacuum.note(connection, "privacy.request")
    connection.commit()
    return ended


def _end(connection: psycopg.Connection, numbers: set[int]) -> int:
    """End entries in the database. Commits."""
    connection.execute("delete from privacy.correction where entry = any(%s)", [list(numbers)])
    connection.execute("delete from privacy.tombstone where entry = any(%s)", [list(numbers)])
    connection.execute(SQL["end_renewed"])
    ended = connection.execute(SQL["end"], {"entries": list(numbers)}).rowcount
    vacuum.note(
        connection,
        "privacy.correction",
        "privacy.tombstone",
        "privacy.renewed_tombstone",
        "privacy.ledger_entry",
    )
    if ended:  # after a crash only the files still have them
        audit_log.note(connection, "tombstones ended", {"entries": ended})
    connection.commit()
    return ended
