"""The audit log, `ops.audit_log`: what was done, and for which customer. PostgreSQL adds when, and by whom."""

from collections.abc import Mapping

import psycopg
from psycopg.types.json import Jsonb


def note(
    connection: psycopg.Connection,
    action: str,
    details: Mapping[str, object] | None = None,
    customer_id: int | None = None,
) -> None:
    """Add an entry, in the caller's transaction. It names no agent and no caller."""
    connection.execute(
        "insert into ops.audit_log (action, customer_id, details) values (%s, %s, %s)",
        [action, customer_id, Jsonb(dict(details or {}))],
    )
