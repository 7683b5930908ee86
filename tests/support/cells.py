"""What the marts say, cell by cell: of queues by quarter-hour, of agents by day."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from callmart.simulator.expected import QUEUE_INTERVAL
from callmart_home import Callmart

# All that the simulator knows of a queue, and what the tests of single calls count.
PLAYED = QUEUE_INTERVAL.names[3:]
COUNTS = [*PLAYED[: PLAYED.index("rings")], "ring_s", "talk_s"]
AGENT_COUNTS = ["contacts", "rings", "rings_unanswered", "ring_s", "talk_s"]

Cells = dict[tuple[Any, ...], tuple[Any, ...]]


def queue_cells(callmart: Callmart, customer: int, names: Sequence[str] = COUNTS) -> Cells:
    """A row of queue_interval by its key, with the customer's clock last."""
    found = callmart.rows("select * from store.queue_interval where customer_id = %s", customer)
    return {
        (row["call_date"], row["queue"], row["interval_start"]): (
            *(row[name] for name in names),
            row["interval_local"],
        )
        for row in found
    }


def agent_cells(callmart: Callmart, customer: int, names: Sequence[str] = AGENT_COUNTS) -> Cells:
    """A row of agent_day by day and what reports call the agent."""
    found = callmart.rows(
        "select * from store.agent_day left join store.agent using (customer_id, agent_key) where customer_id = %s",
        customer,
    )
    return {(row["call_date"], row["agent"]): tuple(row[name] for name in names) for row in found}


def by_queue(callmart: Callmart, customer: int) -> dict[str, dict[str, int]]:
    """The counts of each queue, over all quarter-hours, that are not 0."""
    sums: dict[str, Counter[str]] = {}
    for (_, queue, _), row in queue_cells(callmart, customer).items():
        for name, value in zip(COUNTS, row, strict=False):
            counter = sums.setdefault(queue, Counter())
            counter[name] = (
                max(counter[name], value or 0) if name == "wait_max_s" else counter[name] + (value or 0)
            )
    return {
        queue: {name: count for name, count in counter.items() if count} for queue, counter in sums.items()
    }
