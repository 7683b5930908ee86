"""Releases a held-back day: a person lets it be opened despite its failed checks, and gives the reason."""

from datetime import date
from typing import Literal

import psycopg

from callmart.base import sql_file
from callmart.base.account import account
from callmart.base.errors import UserError, unknown_customer
from callmart.database import audit_log

SQL = sql_file.statements(__file__)

# The tables take no other words, so that nobody is named where nothing can be erased.
Reason = Literal["agreed-with-customer", "data-is-right", "not-mendable", "check-is-wrong"]


def release(connection: psycopg.Connection, customer_id: int, day: date, reason: Reason) -> None:
    """Let the next run open a customer's day despite the checks that hold it back now. Commits.

    If the day then fails a further check, or in more rows, or something has landed on it, it is held back again. Raises
    UserError if the day is not held back, or the customer is unknown.
    """
    by = account()
    known = connection.execute(
        "select 1 from registry.customer where customer_id = %s", [customer_id]
    ).fetchone()
    if known is None:
        raise unknown_customer(customer_id)
    days = {"customer": customer_id, "day": day}
    released = connection.execute(SQL["release"], {"by": by, "reason": reason, **days}).fetchone()
    if released is None:
        raise UserError(f"{day} of customer {customer_id} is not held back; `callmart status` shows what is")
    connection.execute(SQL["mark"], days)
    noted = {"build": released[0], "days": 1, "by": by, "reason": reason}
    audit_log.note(connection, "released", noted, customer_id)
    connection.commit()
