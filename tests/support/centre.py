"""Contact centres that tests play out: one customer of each kind, and words that betray where a row came from."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from callmart.simulator.simulate import simulate
from callmart_home import Callmart
from today import YESTERDAY

NAMED, ANONYMOUS, STANDARD, NONE = 1001, 1002, 1003, 1004
WITH_DATA = (NAMED, ANONYMOUS, STANDARD)
DETAILED = (NAMED, ANONYMOUS)
# The extracts that they have, by customer and group.
FILES = {(customer, group) for customer in WITH_DATA for group in ("queue", "line")} | {
    (customer, "agent") for customer in DETAILED
}

REGISTRY = f"""
customers:
  - id: {NAMED}
    name: Voorbeeld
    sql_login: true
    contracts: [{{option: detailed, from: 2020-01-01}}]
    agents: [{{id: medewerker-{NAMED}-1, name: Noor Zandvliet, email: noor@example.org}}]
    recipients:
      - {{email: chef@een.example, reports: [traffic, agents]}}
      - {{email: planner@een.example, reports: []}}
  - id: {ANONYMOUS}
    name: Zorgpunt
    anonymous_agents: true
    sql_login: true
    contracts: [{{option: detailed, from: 2020-01-01}}]
    recipients: [{{email: chef@twee.example, reports: [traffic]}}]
  - id: {STANDARD}
    name: Fietsen
    sql_login: true
    contracts: [{{option: standard, from: 2020-01-01}}]
  - {{id: {NONE}, name: Stil, contracts: []}}
"""

DAYS = [YESTERDAY - timedelta(days=2), YESTERDAY - timedelta(days=1), YESTERDAY]

# All callers' numbers begin with this; no key or count will.
NUMBERS = "30918273645"


def queue_of(customer_id: int) -> str:
    """A queue that only this customer has."""
    return f"wachtrij-{customer_id}"


def agent_of(customer_id: int, number: int = 1) -> str:
    """The id of an agent that only this customer has."""
    return f"medewerker-{customer_id}-{number}"


def call_of(customer_id: int) -> str:
    """How the ids of all calls of this customer begin."""
    return f"gesprek-{customer_id}-"


def events(customer_id: int, days: list[date], seed: int = 1, contacts_per_day: int = 40) -> pa.Table:
    """Canonical events of a customer, in which every word names the customer."""
    table = simulate(
        customer_id,
        days,
        "Europe/Amsterdam",
        [queue_of(customer_id)],
        [agent_of(customer_id, number) for number in range(1, 5)],
        contacts_per_day=contacts_per_day,
        seed=seed,
    ).events
    table = pa.concat_tables([table, _line_calls(customer_id, days, table.schema)])
    numbers = pa.array([f"+{NUMBERS}{row % 100:02}" for row in range(table.num_rows)])
    return _with(
        table,
        call_id=pc.binary_join_element_wise(call_of(customer_id), table["call_id"], ""),
        other_number=pc.if_else(pc.is_valid(table["other_number"]), numbers, None),
    )


def _line_calls(customer_id: int, days: list[date], schema: pa.Schema) -> pa.Table:
    """A call a day on a line that only this customer has."""
    called = [
        {
            "customer_id": customer_id,
            "platform": "sip_trunk",
            "event": event,
            "occurred_at": datetime.combine(day, time(12, minute), UTC),
            "call_id": f"line-{day}",
            "line": f"lijn-{customer_id}",
            "direction": "inbound" if event == "call_started" else None,
            "reason": "caller" if event == "call_ended" else None,
        }
        for day in days
        for minute, event in enumerate(("call_started", "call_answered", "call_ended"))
    ]
    return pa.Table.from_pylist(called, schema=schema)


def _with(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def play(callmart: Callmart, folder: Path, customers: tuple[int, ...] = (*WITH_DATA, NONE)) -> None:
    """Apply the registry and land three days of each customer; the files stand in a folder of the test."""
    callmart.apply(REGISTRY)
    for customer_id in customers:
        file = folder / f"{customer_id}.parquet"
        pyarrow.parquet.write_table(events(customer_id, DAYS), file)
        callmart.land(file)


def touch(owner: psycopg.Connection, *customers: int) -> None:
    """Let nobody know what the extracts of these customers, or of all, were made from, so that all is read."""
    owner.execute(
        "update ops.extract set basis = basis - 'opened' where customer_id = any(%s)",
        [list(customers or WITH_DATA)],
    )
    owner.commit()
