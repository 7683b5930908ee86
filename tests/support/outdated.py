"""Days of an earlier definition, without changing the project: the books name another definition, and a number is
another.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from callmart_home import Callmart
from centre import WITH_DATA

MORE = 1000  # contacts per quarter-hour, as an earlier definition counted them


def make_outdated(callmart: Callmart, condition: str = "true", *, without: str | None = None) -> None:
    """Let days be of an earlier definition of queue_interval, which did not have one of its columns. The condition is
    one of ops.opened_day.
    """
    with callmart.connect() as owner:
        owner.execute(
            """
            insert into ops.definition (mart, fingerprint, columns)
            select mart, 'earlier ' || coalesce(%(without)s::text, ''), array_remove(columns, %(without)s)
            from ops.definition
            where mart = 'queue_interval'
            order by definition_id limit 1
            on conflict do nothing
            """,
            {"without": without},
        )
        owner.execute(
            f"""
            with was as (
                update ops.opened_day
                set definition_id = (select max(definition_id) from ops.definition where mart = 'queue_interval')
                where mart = 'queue_interval' and {condition}
                returning customer_id, call_date
            )
            update store.queue_interval as m set offered = offered + {MORE} from was
            where m.customer_id = was.customer_id and m.call_date = was.call_date
            """
        )


def offered(callmart: Callmart) -> dict[int, int]:
    """The offered contacts that each customer sees."""
    query = "select coalesce(sum(offered), 0)::integer as n from mart.queue_interval"
    return {customer: callmart.rows(query, customer_id=customer)[0]["n"] for customer in WITH_DATA}


@contextmanager
def earlier_day(
    callmart: Callmart, customer: int, day: date, fingerprint: str | None, *, without: str | None = None
) -> Iterator[None]:
    """Within it, queue_interval has one more open day of a customer, by another definition."""
    with callmart.connect() as owner:
        ((definition,),) = owner.execute(
            "insert into ops.definition (mart, fingerprint, columns) select mart, %s, array_remove(columns, %s)"
            " from ops.definition where mart = 'queue_interval' returning definition_id",
            [fingerprint, without],
        ).fetchall()
        owner.execute(
            "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id, definition_id)"
            " values (%s, %s, 'queue_interval', 1, 1, %s)",
            [customer, day, definition],
        )
    yield
    with callmart.connect() as owner:
        owner.execute("delete from ops.opened_day where definition_id = %s", [definition])
        owner.execute("delete from ops.definition where definition_id = %s", [definition])
