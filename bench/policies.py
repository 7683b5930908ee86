"""What isolation costs: a customer's query of a mart, compared with the owner's query of the table with a filter.

`python bench/policies.py [CUSTOMERS]`, with two years. The rounds go through some of the customers, in sessions of the
publisher that became that customer. Customer and owner take turns in going first.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import cycle, islice
from typing import Self

import psycopg
from rich.console import Console

from callmart.access import logins, roles
from callmart.base.settings import Settings
from callmart.database import server
from history import CUSTOMERS, QUEUES, fill, registry_of, retention_floor, scratch, settle

QUARTERS = 20
ROUNDS = 60
AT_MOST = 1.3  # times the owner's
PLANNING = 0.001  # extra seconds that are allowed where planning is most of the time: a day, a week

NUMBERS = "sum(offered), sum(answered), sum(talk_s), max(wait_max_s)"
ROW = "call_date, interval_local, queue, offered, answered"
QUERIES = {
    "two years, by day": f"select call_date, queue, {NUMBERS} from {{mart}} where {{who}} group by 1, 2",
    "two years, summed": f"select queue, {NUMBERS} from {{mart}} where {{who}} group by queue",
    "two years, by month": f"select date_trunc('month', call_date), {NUMBERS} from {{mart}} where {{who}} group by 1",
    "last week, summed": (
        f"select call_date, queue, {NUMBERS} from {{mart}}"
        " where {who} and call_date >= current_date - 7 group by 1, 2"
    ),
    "last week, as rows": f"select {ROW} from {{mart}} where {{who}} and call_date >= current_date - 7",
    "one day": f"select {ROW} from {{mart}} where {{who}} and call_date = current_date - 2",
    "an extract": "select * from {mart} where {who} order by customer_id, call_date, queue, interval_start",
}
SELF_JOIN = (
    "select m.queue, sum(m.offered - n.offered) from {mart} as m join {mart} as n"
    " on n.call_date = m.call_date - 7 and n.queue = m.queue"
    " and n.interval_local = m.interval_local - interval '7 days'"
    " where {who} and {who_else} group by 1"
)
PARALLEL = {"parallel off": "0", "parallel on": "2"}


def main() -> None:
    """Print the median of both and their ratio per query."""
    out = Console(highlight=False)
    customers = range(1, int(sys.argv[1]) + 1) if len(sys.argv) > 1 else CUSTOMERS
    with scratch(registry_of(dict.fromkeys(customers, "detailed"))) as settings:
        with server.connect(settings) as connection:
            begin = time.perf_counter()
            yesterday = date.today() - timedelta(days=1)
            rows = fill(connection, retention_floor(connection), yesterday, QUARTERS, customers)
        settle(settings)
        out.print(
            f"{len(customers)} customers, two years, {QUEUES * QUARTERS} rows per customer and day: "
            f"{rows:,} rows in {time.perf_counter() - begin:.0f} s",
            soft_wrap=True,
        )
        asked = customers[:: max(1, len(customers) // 10)]
        pairs = [_Pair.of(settings, id) for id in asked]
        for name, query in {**QUERIES, "a self join": SELF_JOIN}.items():
            for parallel, workers in PARALLEL.items():
                _compare(out, f"{name}, {parallel}", query, pairs, workers)


@dataclass(frozen=True)
class _Pair:
    """A customer and the owner, each with one session, so that both sessions are equally warm."""

    id: int
    customer: psycopg.Connection
    owner: psycopg.Connection

    @classmethod
    def of(cls, settings: Settings, id: int) -> Self:
        customer, owner = logins.connect(settings, "publisher"), server.connect(settings, autocommit=True)
        customer.autocommit = True
        customer.execute(roles.statement("set role {}", roles.customer_role(owner.info.dbname, id)))
        return cls(id, customer, owner)

    def ask(self, query: str, *, owner_first: bool) -> tuple[float, float]:
        """Seconds of the customer and of the owner for the same answer. The second one finds the pages in memory."""
        filled = [
            (self.customer, query.format(mart="mart.queue_interval", who="true", who_else="true")),
            (
                self.owner,
                query.format(
                    mart="store.queue_interval",
                    who=f"{'m.' if 'as m' in query else ''}customer_id = {self.id}",
                    who_else=f"n.customer_id = {self.id}",
                ),
            ),
        ]
        order = -1 if owner_first else 1
        answers = [_ask(session, asked) for session, asked in filled[::order]]
        (own, answer), (filtered, same) = answers[::order]
        assert answer == same
        return own, filtered


def _compare(out: Console, name: str, query: str, pairs: list[_Pair], workers: str) -> None:
    for pair in pairs:
        for session in (pair.customer, pair.owner):
            session.execute(f"set max_parallel_workers_per_gather = {workers}")
        pair.ask(query, owner_first=False)  # so that both have planned it once
    seconds = [
        pair.ask(query, owner_first=bool(number // len(pairs) % 2))
        for number, pair in enumerate(islice(cycle(pairs), ROUNDS))
    ]
    customer, owner = (statistics.median(side) for side in zip(*seconds, strict=True))
    ratio = statistics.median(own / filtered for own, filtered in seconds)
    within = "a self join" in name or ratio <= AT_MOST or customer <= AT_MOST * owner + PLANNING
    out.print(
        f"{name}: customer {customer * 1000:.2f} ms, owner with customer_id = {owner * 1000:.2f} ms, "
        f"ratio {ratio:.2f}{'' if within else ', more than ' + str(AT_MOST)}",
        soft_wrap=True,
    )


def _ask(connection: psycopg.Connection, query: str) -> tuple[float, list[tuple[bytes | None, ...]]]:
    """Seconds until the whole answer is here, and the answer, without making Python objects of its values."""
    begin = time.perf_counter()
    result = connection.pgconn.exec_(query.encode())
    seconds = time.perf_counter() - begin
    rows = [
        tuple(result.get_value(row, column) for column in range(result.nfields))
        for row in range(result.ntuples)
    ]
    assert rows, result.error_message
    return seconds, sorted(rows, key=repr)


if __name__ == "__main__":
    main()
