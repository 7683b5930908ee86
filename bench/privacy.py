"""What the erasure of an agent costs: plan, do and prove, and how long a reader waits beside them, in one run.

`python bench/privacy.py [CUSTOMERS]`, with two years. The agent worked on each day of the first customer. Each part is
compared with something of the same run: the plan and the proof with `grep` through all files of the home, doing with a
build of nothing, the reader's longest query with that of a quiet time. The reader is a process of its own: in this one
it would wait for Python, and not for the database.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import psycopg
from rich.console import Console

from callmart.access import logins
from callmart.base.keys import key_file
from callmart.base.person import Counts, Person, Proof, Work
from callmart.base.settings import Settings
from callmart.build import window
from callmart.database import server
from callmart.operations import run
from callmart.privacy import erasing, persons, procedure
from callmart.privacy.procedure import Case, Steps
from history import registry_of, scratch
from two_years import AGENTS, YESTERDAY, fill_marts

CUSTOMERS, DAYS = 200, 730
WHOSE, READER = 1, 2
QUIET_S = 5
FIND_S, DO_S, PROVE_S, WAIT_MS = 10, 60, 600, 300

READ = "select queue, sum(offered), sum(talk_s) from mart.queue_interval group by queue"

# The landed day of the first customer, on each day; of each other customer a tenth of its calls.
EVENTS = """
insert into raw.event (
    customer_id, occurred_at, event_key, ordinal, platform, event, file_id, call_key, queue, agent_key, number_key,
    number_withheld, device_key, direction, reason, target, target_kind
)
select
    customer, occurred_at - make_interval(days => ago), raw.random_key(), ordinal, platform, event, file_id,
    hashint8extended(call_key, ago * 1000 + customer), queue,
    case when customer = 1 then agent_key else md5(agent_key || customer) end,
    md5(number_key || ago || customer), number_withheld,
    case when customer = 1 then device_key else md5(device_key || customer) end,
    direction, reason, target, target_kind
from raw.event
cross join generate_series(0, %(days)s - 1) as ago
cross join generate_series(1, %(customers)s) as customer
where (customer > 1 and call_key %% 10 = 0) or (customer = 1 and ago > 0)
"""
CALLS = """
insert into raw.call (customer_id, call_key, first_at, last_at, spans_days)
select
    customer, hashint8extended(call_key, ago * 1000 + customer), first_at - make_interval(days => ago),
    last_at - make_interval(days => ago), spans_days
from raw.call
cross join generate_series(0, %(days)s - 1) as ago
cross join generate_series(1, %(customers)s) as customer
where (customer > 1 and call_key %% 10 = 0) or (customer = 1 and ago > 0)
"""


@dataclass
class Reader:
    """Queries of a customer's login, one after the other: when each began, and how long it took. Filled at the end."""

    asked: list[tuple[float, float]] = field(default_factory=list)

    def longest(self, begin: float, end: float) -> float:
        """Milliseconds of the longest query that began in between."""
        return max((took for at, took in self.asked if begin <= at < end), default=0) * 1000


def main() -> None:
    """Print seconds, milliseconds and ratios."""
    out = Console(highlight=False, soft_wrap=True)
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    options = {1 + each: "standard" if each else "detailed" for each in range(customers)}
    with scratch(registry_of(options)) as settings:
        begin = time.perf_counter()
        rows, events = fill_marts(settings, options), _fill_events(settings, customers)
        (settings.home / "day.parquet").unlink()  # what was landed belongs to no place of the home
        with server.connect(settings) as connection:
            run.deliver(connection, settings, run.Ran(), _ignore)
        files, grepped = _grep(settings)
        out.print(
            f"{customers} customers, {DAYS} days: {events:,} events, {rows:,} rows of marts, {files:,} files, in "
            f"{time.perf_counter() - begin:.0f} s; grep reads them in {grepped:.1f} s"
        )
        with server.connect(settings) as connection, procedure.working(connection, settings) as work:
            begin = time.perf_counter()
            window.build(connection, settings, _ignore)
            idle = time.perf_counter() - begin
            person = persons.person(
                connection, key_file(settings.home, WHOSE).read_bytes(), WHOSE, "agent", AGENTS[:1],
                persons.end_of(connection, WHOSE, YESTERDAY),
            )  # fmt: skip
            connection.commit()
            with _reading(settings) as reader:
                quiet = time.perf_counter()
                time.sleep(QUIET_S)
                spans = {"quiet": (quiet, time.perf_counter())} | _measure(out, work, person, grepped, idle)
            told = ", ".join(f"{name} {reader.longest(*span):.0f} ms" for name, span in spans.items())
            out.print(f"the reader's longest query of {len(reader.asked):,}: {told}; {WAIT_MS} ms allowed")


def _measure(
    out: Console, work: Work, person: Person, grepped: float, idle: float
) -> dict[str, tuple[float, float]]:
    """Plan, do and prove; returns when each was. What is written anew in the server's files is apart."""
    begin = time.perf_counter()
    case = Case(work, person, key_file(work.settings.home, WHOSE).read_bytes(), 1)
    plan = erasing.plan(case)
    found = time.perf_counter()
    out.print(
        f"plan: {found - begin:.1f} s of {FIND_S}, {(found - begin) / grepped:.2f} of grep; "
        f"{sum(counts.total() for counts in plan.counts.values()):,} found, {len(plan.cells):,} cells "
        f"(load {os.getloadavg()[0]:.1f})"
    )
    ends: dict[str, float] = {}

    def treated(place: str, counts: Counts) -> None:
        ends[place] = time.perf_counter()

    erasing.do(case, Steps(on_place=treated))
    done = time.perf_counter()
    out.print(
        f"do: {done - found:.1f} s of {DO_S}, {(done - found) / idle:.1f} builds of nothing; {_parts(found, ends)}"
    )
    vacuum = sorted(ends.values())[-2]
    proved: dict[str, float] = {}
    left = Counts()

    def looked(place: str, proof: Proof) -> None:
        nonlocal left
        proved[place] = time.perf_counter()
        left += proof.left

    erasing.prove(case, looked)
    end = time.perf_counter()
    out.print(
        f"prove: {end - done:.1f} s of {PROVE_S}, {(end - done) / grepped:.2f} of grep, {left.total()} left; "
        f"{_parts(done, proved)}"
    )
    return {"plan": (begin, found), "do": (found, vacuum), "vacuum": (vacuum, done), "prove": (done, end)}


def _parts(begin: float, ends: dict[str, float]) -> str:
    """The places that took longest."""
    took = {}
    for place, end in ends.items():
        took[place], begin = end - begin, end
    longest = sorted(took.items(), key=lambda part: -part[1])[:5]
    return ", ".join(f"{place} {seconds:.1f} s" for place, seconds in longest)


def _fill_events(settings: Settings, customers: int) -> int:
    with server.connect(settings) as connection:
        connection.execute(
            "select access.ensure_month('raw.event', day::date)"
            " from generate_series(%s::date - %s, %s::date, interval '20 days') as day",
            [YESTERDAY, DAYS + 1, YESTERDAY],
        )
        # The triggers and constraints are those of the door, through which these events have not come.
        events = connection.execute(EVENTS, {"days": DAYS, "customers": customers}).rowcount
        connection.execute(CALLS, {"days": DAYS, "customers": customers})
    with server.connect(settings, autocommit=True) as connection:
        connection.execute("vacuum (analyze) raw.event, raw.call")
    return events


def _grep(settings: Settings) -> tuple[int, float]:
    """The files of the home, and the seconds in which `grep` reads them."""
    begin = time.perf_counter()
    said = subprocess.run(
        ["grep", "-rcaF", "--devices=skip", "a word that is nowhere", settings.home],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return len(said.splitlines()), time.perf_counter() - begin


@contextmanager
def _reading(settings: Settings) -> Iterator[Reader]:
    """A customer who repeats a query until the block ends."""
    with server.connect(settings) as owner:
        uri = logins.customer_uri(owner, settings, READER)
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=_read, args=(uri, there))
    process.start()
    here.recv()
    reader = Reader()
    try:
        yield reader
    finally:
        here.send("over")
        reader.asked += here.recv()
        process.join()


def _read(uri: str, told: Connection) -> None:
    """Say that it begins, query until something is said, and tell all queries. A session that was ended is replaced."""
    asked: list[tuple[float, float]] = []
    session = psycopg.connect(uri, autocommit=True)
    told.send("begun")
    while not told.poll():
        begin = time.perf_counter()
        try:
            session.execute(READ).fetchall()
        except psycopg.OperationalError:
            session = psycopg.connect(uri, autocommit=True)
        asked.append((begin, time.perf_counter() - begin))
    told.send(asked)


def _ignore(*step: object) -> None:
    """Progress that nobody watches."""


if __name__ == "__main__":
    main()
