"""Files at random for twins: two pairs of customers who get the same files, to compare two ways to land them."""

import gzip
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

from callmart_home import Callmart
from events import Row, at, event, log, ndjson

TWINS = (1, 2), (3, 4)
# Customers without a contract and unknown ones: a file of theirs alone would be known to the twins.
WITHOUT = {TWINS[0]: (5, 99), TWINS[1]: (8, 98)}


def events_at_random(rng: Random, calls: str) -> Iterator[Row]:
    """Few events, so that they repeat, and contradict each other under the same id."""
    while True:
        call = f"{calls}-{rng.randrange(4)}"
        moment = at("10:00", rng.randrange(3)) + timedelta(minutes=rng.randrange(3))
        row = rng.choice(
            [
                event(
                    "queue_joined", moment, call_id=call, queue=rng.choice("ab"), other_number="0612345678"
                ),
                event("agent_connected", moment, call_id=call, agent=rng.choice(["x", "y"]), queue="a"),
                event(
                    "agent_status",
                    moment,
                    agent=rng.choice(["x", "y"]),
                    reason=rng.choice(["break", "Lunch"]),
                ),
                event("agent_logged_in", moment, agent="x"),
                event("agent_logged_out", moment, agent="x", duration_s=rng.choice([60, 600])),
            ]
        )
        yield row | ({"event_id": f"{calls}-{rng.randrange(6)}"} if rng.random() < 0.3 else {})


def file_at_random(rng: Random, calls: str, customers: tuple[int, int]) -> bytes:
    """A file with rows of two customers, and perhaps of one without a contract or an unknown one."""
    rows = events_at_random(rng, calls)
    whose = (*customers, *customers, *customers, *WITHOUT[customers])
    told = [next(rows) | {"customer_id": rng.choice(whose)} for _ in range(rng.choice([1, 3, 25]))]
    # Of two rows of a file with one id and time either may land, so within a file they are equal.
    same: dict[tuple[Any, ...], Row] = {}
    for position, row in enumerate(told):
        if "event_id" in row:
            told[position] = same.setdefault((row["event_id"], row["customer_id"], row["occurred_at"]), row)
    text = ndjson(*told)
    match rng.choice(
        ["as it is", "as it is", "as it is", "csv", "broken", "cut", "packed", "empty", "damaged", "log"]
    ):
        case "csv":
            columns = sorted({name for row in told for name in row})
            lines = [columns, *([str(row.get(name, "")) for name in columns] for row in told)]
            text = "".join(",".join(line) + "\n" for line in lines)
        case "broken":  # one row of 26 may be wrong, one of four may not
            text += "{}\n"
        case "cut":
            text += text[: len(text) // 2].rstrip("\n")
        case "packed":
            return gzip.compress(text.encode(), mtime=0)
        case "empty":
            text = ""
        case "damaged":
            return gzip.compress(text.encode(), mtime=0)[:-9]
        case "log":
            text = log(
                (at("11:00"), f"{calls}.1|q|NONE|ENTERQUEUE||0612345678|1"), (at("11:01"), "x|q|NONE|HELLO|")
            )
    return text.encode()


def state(callmart: Callmart, customers: tuple[int, int]) -> dict[str, Any]:
    """All that was stored of two customers, but for what follows from their keys, or from the order of landing."""
    of = "customer_id = any(%s)"
    tables = {
        "events": "select to_jsonb(e) - array['event_key', 'call_key', 'agent_key', 'number_key', 'device_key',"
        f" 'target_key', 'file_id', 'customer_id'] from raw.event as e where {of}",
        "ordinals": f"select ordinal, count(*) from raw.event where {of} group by 1",
        "calls": f"select first_at, last_at, spans_days from raw.call where {of}",
        "agents": f"select agent, last_day from registry.agent where {of}",
        "days": f"select call_date from ops.dirty_day where {of}",
        "files": f"select first_day, last_day, events from raw.file_customer where {of}",
    }
    return {
        name: sorted(str(list(row.values())) for row in callmart.rows(query, list(customers)))
        for name, query in tables.items()
    }
