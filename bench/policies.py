"""What the policies cost: a customer's query against the same one by the owner with an explicit filter, in one run.

200 customers, two years. Rounds go through some customers, each with its own login; both take turns in being first.
"""

import statistics
import time
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import cycle, islice
from typing import Self

import psycopg
from rich.console import Console

from callmart import logins, server
from callmart.settings import Settings
from history import CUSTOMERS, QUEUES, fill, retention_floor, scratch, settle

QUARTERS = 20
ROUNDS = 100
AT_MOST, AND_A_WEEK = (
    1.3,
    0.001,
)  # times the owner's; and seconds more for last week, which is mostly planning
ASKED = CUSTOMERS[4::20]  # ten of them

NUMBERS = "sum(offered), sum(answered), sum(talk_s), max(wait_max_s)"
QUERIES = {
    "two years, summed": f"select queue, {NUMBERS} from mart.queue_interval where {{who}} group by queue",
    "two years, by month": (
        f"select date_trunc('month', call_date), {NUMBERS} from mart.queue_interval where {{who}} group by 1"
    ),
    "two years, as rows": (
        "select call_date, interval_local, queue, offered, answered from mart.queue_interval where {who}"
    ),
    "last week, summed": (
        f"select call_date, queue, {NUMBERS} from mart.queue_interval"
        " where {who} and call_date >= current_date - 7 group by 1, 2"
    ),
    "last week, as rows": (
        "select call_date, interval_local, queue, offered, answered from mart.queue_interval"
        " where {who} and call_date >= current_date - 7"
    ),
}


def main() -> None:
    """Print the median of both for each query, and what the customer's costs more."""
    out = Console(highlight=False)
    with scratch() as settings:
        with server.connect(settings) as connection:
            begin = time.perf_counter()
            rows = fill(connection, retention_floor(connection), date.today() - timedelta(days=1), QUARTERS)
        settle(settings)
        out.print(
            f"{len(CUSTOMERS)} customers, two years, {QUEUES * QUARTERS} rows a customer and day: "
            f"{rows:,} rows in {time.perf_counter() - begin:.0f} s",
            soft_wrap=True,
        )
        with server.connect(settings) as connection:
            pairs = [_Pair.of(connection, settings, id) for id in ASKED]
        for name, query in QUERIES.items():
            _compare(out, name, query, pairs)


@dataclass(frozen=True)
class _Pair:
    """A customer and the owner, with a session each, so that neither finds its own warmer."""

    id: int
    customer: psycopg.Connection
    owner: psycopg.Connection

    @classmethod
    def of(cls, connection: psycopg.Connection, settings: Settings, id: int) -> Self:
        customer, owner = logins.customer_uri(connection, settings, id), logins.owner_uri(settings)
        return cls(id, psycopg.connect(customer, autocommit=True), psycopg.connect(owner, autocommit=True))

    def ask(self, query: str, *, owner_first: bool) -> tuple[float, float]:
        """Seconds of the customer, and of the owner, who get the same. Who comes second finds the pages in memory."""
        both = [(self.customer, "true"), (self.owner, f"customer_id = {self.id}")]
        order = -1 if owner_first else 1
        answers = [_ask(session, query.format(who=who)) for session, who in both[::order]]
        (own, answer), (filtered, same) = answers[::order]
        assert answer == same
        return own, filtered


def _compare(out: Console, name: str, query: str, pairs: list[_Pair]) -> None:
    for pair in pairs:
        pair.ask(query, owner_first=False)  # both have planned it before
    seconds = [
        pair.ask(query, owner_first=bool(number // len(pairs) % 2))
        for number, pair in enumerate(islice(cycle(pairs), ROUNDS))
    ]
    customer, owner = (statistics.median(side) for side in zip(*seconds, strict=True))
    limit = AT_MOST * owner + AND_A_WEEK * name.startswith("last week")
    out.print(
        f"{name}: customer {customer * 1000:.2f} ms (at most {limit * 1000:.2f}), owner with customer_id = "
        f"{owner * 1000:.2f} ms, ratio {customer / owner:.2f}, {(customer - owner) * 1000:+.2f} ms",
        soft_wrap=True,
    )


def _ask(connection: psycopg.Connection, query: str) -> tuple[float, list[tuple[bytes | None, ...]]]:
    """Seconds until the whole answer is here, and the answer, which Python does not make objects of."""
    begin = time.perf_counter()
    result = connection.pgconn.exec_(query.encode())
    seconds = time.perf_counter() - begin
    rows = [
        tuple(result.get_value(row, column) for column in range(result.nfields))
        for row in range(result.ntuples)
    ]
    assert rows, result.error_message
    return seconds, sorted(rows)


if __name__ == "__main__":
    main()
