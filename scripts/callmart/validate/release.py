"""Release: a person lets a day be opened that its checks hold back, and says why."""

import getpass
from datetime import date

import psycopg

from callmart.base.errors import UserError


def release(connection: psycopg.Connection, customer_id: int, day: date, reason: str) -> None:
    """Let the next run open a customer's day although it fails the checks that hold it back now. Commits.

    A check that it fails only then holds it back again. UserError where the day is not held back.
    """
    by, why = getpass.getuser(), reason.strip()
    if not why or not why.isprintable():
        raise UserError(
            "a release needs a reason: say with --reason, in one line, why the day may be seen as it is"
        )
    known = connection.execute(
        "select 1 from registry.customer where customer_id = %s", [customer_id]
    ).fetchone()
    if known is None:
        raise UserError(f"customer {customer_id} is not in the registry; `callmart status` lists who is")
    released = connection.execute(
        """
        update ops.held_back
        set released_at = clock_timestamp(), released_by = %(by)s, release_reason = %(reason)s
        where customer_id = %(customer)s and call_date = %(day)s
        returning build_id
        """,
        {"by": by, "reason": why, "customer": customer_id, "day": day},
    ).fetchone()
    if released is None:
        raise UserError(f"{day} of customer {customer_id} is not held back; `callmart status` shows what is")
    connection.execute(
        """
        insert into ops.dirty_day (customer_id, call_date, cause) values (%s, %s, 'released')
        on conflict (customer_id, call_date) do nothing
        """,
        [customer_id, day],
    )
    connection.execute(
        """
        insert into ops.audit_log (action, customer_id, details)
        values (
            'released',
            %s,
            jsonb_build_object('build', %s::bigint, 'days', 1, 'by', %s::text, 'reason', %s::text)
        )
        """,
        [customer_id, released[0], by, why],
    )
    connection.commit()
