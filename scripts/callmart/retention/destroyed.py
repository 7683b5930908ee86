"""The keys that were destroyed with their customer's data: since when, and until when a backup still has them.

A key goes from the home at once. Backups are not edited: after `backup_kept_days` the last one with it is gone, and
somebody attests that. It is all in the audit log.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import audit_log, clock

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Destroyed:
    """A key that is gone. `backups_gone` is the day from which on no backup has it, as far as a setting says that."""

    customer_id: int
    at: datetime
    backups_gone: date | None
    attested_at: datetime | None
    attested_by: str | None


def note(connection: psycopg.Connection, settings: Settings, customer_id: int) -> None:
    """Write into the audit log that a customer's key is gone, in the caller's transaction."""
    kept = settings.backup_kept_days
    gone = clock.today(connection, settings) + timedelta(days=kept) if kept is not None else None
    audit_log.note(connection, "key destroyed", {"backups gone": gone and str(gone)}, customer_id)


def listed(connection: psycopg.Connection) -> list[Destroyed]:
    """The keys that were destroyed, the last one first."""
    return [Destroyed(*row) for row in connection.execute(SQL["listed"]).fetchall()]


def attest(connection: psycopg.Connection, settings: Settings, customer_id: int) -> Destroyed:
    """Record that the backups with a customer's destroyed keys are gone as well, in the caller's transaction.

    Raises UserError if there is nothing to attest, or if such a backup is still kept.
    """
    waiting = [
        one for one in listed(connection) if one.customer_id == customer_id and one.attested_at is None
    ]
    if not waiting:
        raise UserError(
            f"there is nothing to attest: no key of customer {customer_id} was destroyed, or its backups were attested"
        )
    kept_until = waiting[0].backups_gone
    if kept_until is not None and clock.today(connection, settings) < kept_until:
        raise UserError(
            f"nothing was attested: until {kept_until} a backup with the key of customer {customer_id} is kept "
            "(setting backup_kept_days); destroy these backups, and attest it then"
        )
    audit_log.note(connection, "key backups destroyed", customer_id=customer_id)
    return next(one for one in listed(connection) if one.customer_id == customer_id)
