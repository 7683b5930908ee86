"""Days of an earlier definition, without changing the project: the books name another definition, and a number is
another.
"""

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
