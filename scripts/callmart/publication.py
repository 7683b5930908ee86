"""What each customer should have on Tableau, from its contract and its extracts; and what became of it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg
import tableauserverclient as TSC

from callmart import publish
from callmart.publish import DataSource, Outcome, Plan, Publication

TITLES = {
    "queue": {"nl": "Wachtrijen", "en": "Queues"},
    "agent": {"nl": "Medewerkers", "en": "Agents"},
    "line": {"nl": "Lijnen", "en": "Lines"},
}


def desired(connection: psycopg.Connection) -> list[Publication]:
    """A publication for each customer with a contract today, of the extracts that its contract orders."""
    rows = connection.execute(
        """
        select c.customer_id, c.name, c.locale, e.mart_group, e.path, e.content_hash, e.row_count
        from registry.current_option
        join registry.customer as c using (customer_id)
        left join ops.extract as e using (customer_id)
        order by c.customer_id, e.mart_group
        """
    ).fetchall()
    publications: dict[int, Publication] = {}
    for customer_id, name, locale, group, path, content_hash, row_count in rows:
        sources = publications[customer_id].data_sources if customer_id in publications else ()
        if group is not None:
            sources = (
                *sources,
                DataSource(group, TITLES[group][locale], Path(path), content_hash, row_count),
            )
        publications[customer_id] = Publication(customer_id, name, sources)
    return list(publications.values())


def apply(
    connection: psycopg.Connection, server: TSC.Server, plan: Plan, on_step: Callable[[str, int, int], None]
) -> list[Outcome]:
    """Do what the plan says and keep what became of it. `on_step(name, finished, of)` is told of each step. Commits."""
    steps = len(plan.steps)
    done = iter(range(1, steps + 1))
    outcomes = publish.apply(server, plan, lambda step: on_step(step.name, next(done, steps), steps))
    record(connection, outcomes)
    return outcomes


def record(connection: psycopg.Connection, outcomes: Iterable[Outcome]) -> None:
    """Keep what became of each customer, for `status` and the audit log. Commits."""
    for outcome in outcomes:
        state = "published" if outcome.error is None else "failed"
        connection.execute(
            """
            insert into ops.publication (customer_id, state, project) values (%s, %s, %s)
            on conflict (customer_id) do update set state = excluded.state, project = excluded.project, at = excluded.at
            """,
            [outcome.customer_id, state, outcome.project],
        )
        if outcome.done or outcome.error:
            connection.execute(
                "insert into ops.audit_log (action, customer_id, details)"
                " values (%s, %s, jsonb_build_object('steps', %s::integer))",
                [state, outcome.customer_id, len(outcome.done)],
            )
    connection.execute(
        "delete from ops.publication where customer_id not in (select customer_id from registry.current_option)"
    )
    connection.commit()
