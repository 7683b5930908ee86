"""What the rights of an agent cost: plan, do and prove of each, and how long a reader waits beside them, in one run.

`python bench/privacy.py [CUSTOMERS [DAYS]]`, by default 200 and two years. The agent worked on each day of the first
customer. First the agent gets a package of all that there is. Then the agent's name is corrected, and all that a second
agent did is given to a third. The first one objects, is shown again, and at last is erased.

Each part is compared with something of the same run: the plan and the proof with `grep` through all files of the home,
doing with a build of nothing, the reader's longest query with that of a quiet time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple

from rich.console import Console

from callmart.access import logins
from callmart.base.keys import key_file
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.build import window
from callmart.database import server
from callmart.operations import run, stages
from callmart.privacy import (
    disclosing,
    erasing,
    kept,
    lifting,
    objecting,
    persons,
    procedure,
    renaming,
)  # fmt: skip
from callmart.privacy.correcting import Correction
from callmart.privacy.kept import Remembered
from callmart.privacy.package import sealing
from callmart.privacy.procedure import Case, Procedure, Steps
from callmart.registry import applying
from callmart.registry.file import Agent, Registry
from history import registry_of, scratch
from readers import Login, readers
from two_years import AGENTS, YESTERDAY, fill_marts

CUSTOMERS, DAYS = 200, 730
WHOSE, READER = 1, 2
QUIET_S = 5
FIND_S, DO_S, PROVE_S, WAIT_MS = 10, 60, 600, 300
WRONG_NAME, NAME = "Jan Jansen", "Jan Janssen"

READ = "select queue, sum(offered), sum(talk_s) from mart.queue_interval group by queue"

# The landed day of the first customer, on each day; of each other customer a tenth of its calls.
TENTH = """
create temporary table tenth as
select call_key
from (select call_key, row_number() over (order by first_at, last_at) as place from raw.call) as numbered
where place % 10 = 0
"""
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
where (customer > 1 and call_key in (select call_key from tenth)) or (customer = 1 and ago > 0)
"""
CALLS = """
insert into raw.call (customer_id, call_key, first_at, last_at, spans_days)
select
    customer, hashint8extended(call_key, ago * 1000 + customer), first_at - make_interval(days => ago),
    last_at - make_interval(days => ago), spans_days
from raw.call
cross join generate_series(0, %(days)s - 1) as ago
cross join generate_series(1, %(customers)s) as customer
where (customer > 1 and call_key in (select call_key from tenth)) or (customer = 1 and ago > 0)
"""


def main() -> None:
    """Print seconds, milliseconds and ratios."""
    out = Console(highlight=False, soft_wrap=True)
    customers, days = (*map(int, sys.argv[1:]), *(CUSTOMERS, DAYS)[len(sys.argv) - 1 :])
    options = {1 + each: "standard" if each else "detailed" for each in range(customers)}
    with scratch(_naming(options, WRONG_NAME)) as settings:
        begin = time.time()
        first = YESTERDAY - timedelta(days=days - 1)
        rows, events = fill_marts(settings, options, first), _fill_events(settings, customers, days)
        (settings.home / "day.parquet").unlink()  # what was landed belongs to no place of the home
        with server.connect(settings) as connection:
            run.deliver(connection, settings, stages.Ran(), quietly)
        files, grepped = _grep(settings)
        out.print(
            f"{customers} customers, {days} days: {events:,} events, {rows:,} rows of marts, {files:,} files, in "
            f"{time.time() - begin:.0f} s; grep reads them in {grepped:.1f} s"
        )
        with server.connect(settings) as connection, procedure.working(connection, settings) as work:
            begin = time.time()
            window.build(connection, settings, quietly)
            idle = time.time() - begin
            asked = _asked(work, _naming(options, NAME), first)
            with readers([_reader(settings)]) as waits:
                quiet = time.time()
                time.sleep(QUIET_S)
                spans = {"quiet": (quiet, time.time())} | _measure(out, asked, grepped, idle)
            told = ", ".join(f"{name} {waits.within(*span).most_ms():.0f} ms" for name, span in spans.items())
            out.print(f"the reader's longest query of {len(waits.queries):,}: {told}; {WAIT_MS} ms allowed")


class _Asked(NamedTuple):
    """A right that somebody asks for."""

    right: str
    procedure: Procedure
    case: Case


def _naming(options: Mapping[int, str], name: str) -> Registry:
    """The registry in which the agent has this name."""
    registry = registry_of(options)
    registry.customers[0].agents.append(Agent(id=AGENTS[0], name=name))
    return registry


def _asked(work: Work, registry: Registry, first: date) -> list[_Asked]:
    """What is asked for, in turn. The registry, which has the right name, is applied."""
    connection, key = work.connection, key_file(work.settings.home, WHOSE).read_bytes()
    applying.apply(connection, work.settings, registry)
    work.seal = sealing.with_passphrase()
    end = persons.end_of(connection, WHOSE, YESTERDAY)
    since = persons.end_of(connection, WHOSE, first - timedelta(days=1))
    agent, mistaken, other = (persons.person(connection, key, WHOSE, "agent", [id], end) for id in AGENTS)
    rights: list[tuple[str, Procedure, Person]] = [
        ("access", disclosing, agent),
        ("name", renaming, agent),
        ("correction", Correction(next(iter(other.keys)), since), mistaken),
        ("objection", objecting, agent),
        ("lifting", lifting, agent),
        ("erasure", erasing, agent),
    ]
    asked = [
        _Asked(right, module, Case(work, person, key, request))
        for request, (right, module, person) in enumerate(rights, 1)
    ]
    connection.execute(
        "insert into privacy.request (number, customer_id, asked_right, kind, subject, received, state)"
        " overriding system value values (%s, %s, 'rectification', 'agent', %s, current_date, 'executing')",
        [asked[1].case.request, WHOSE, next(iter(agent.keys))],
    )
    wrong = Remembered(frozenset({WRONG_NAME}))
    kept.keep(asked[1].case, wrong)  # as `registry apply --request` does
    connection.commit()
    return asked


def _measure(
    out: Console, asked: list[_Asked], grepped: float, idle: float
) -> dict[str, tuple[float, float]]:
    """Plan, do and prove each right; returns when each was. What is written anew in the server's files is apart."""
    spans = dict[str, tuple[float, float]]()
    for right, module, case in asked:
        begin = time.time()
        plan = module.plan(case)
        found = time.time()
        out.print(
            f"{right}: plan: {found - begin:.1f} s of {FIND_S}, {(found - begin) / grepped:.2f} of grep; "
            f"{sum(counts.total() for counts in plan.counts.values()):,} found, {len(plan.cells):,} cells "
            f"(load {os.getloadavg()[0]:.1f})"
        )
        treated, proved = _Ends(), _Ends()
        module.do(case, Steps(on_place=treated))
        done = time.time()
        out.print(
            f"{right}: do: {done - found:.1f} s of {DO_S}, {(done - found) / idle:.1f} builds of nothing; "
            f"{treated.longest(found)}"
        )
        module.prove(case, proved)
        end = time.time()
        left = sum(proof.left.total() for proof in proved.told.values())
        out.print(
            f"{right}: prove: {end - done:.1f} s of {PROVE_S}, {(end - done) / grepped:.2f} of grep, {left} left; "
            f"{proved.longest(done)}"
        )
        spans |= {
            f"{right} plan": (begin, found),
            f"{right} do": (found, done),
            f"{right} prove": (done, end),
        }
        if module is erasing:
            vacuum = sorted(treated.ends.values())[-2]
            spans |= {f"{right} do": (found, vacuum), "vacuum": (vacuum, done)}
    return spans


@dataclass
class _Ends:
    """When each place was done, and what it told."""

    ends: dict[str, float] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    def __call__(self, place: str, told: Any) -> None:
        self.ends[place], self.told[place] = time.time(), told

    def longest(self, begin: float) -> str:
        """The places that took longest."""
        took = {}
        for place, end in self.ends.items():
            took[place], begin = end - begin, end
        longest = sorted(took.items(), key=lambda part: -part[1])[:5]
        return ", ".join(f"{place} {seconds:.1f} s" for place, seconds in longest)


def _fill_events(settings: Settings, customers: int, days: int) -> int:
    with server.connect(settings) as connection:
        connection.execute(
            "select access.ensure_month('raw.event', day::date)"
            " from generate_series(%s::date - %s, %s::date, interval '20 days') as day",
            [YESTERDAY, days + 1, YESTERDAY],
        )
        connection.execute(TENTH)
        # The triggers and constraints are those of the door, through which these events have not come.
        events = connection.execute(EVENTS, {"days": days, "customers": customers}).rowcount
        connection.execute(CALLS, {"days": days, "customers": customers})
    with server.connect(settings, autocommit=True) as connection:
        connection.execute("vacuum (analyze) raw.event, raw.call")
    return events


def _grep(settings: Settings) -> tuple[int, float]:
    """The files of the home, and the seconds in which `grep` reads them."""
    begin = time.time()
    said = subprocess.run(
        ["grep", "-rcaF", "--devices=skip", "a word that is nowhere", settings.home],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return len(said.splitlines()), time.time() - begin


def _reader(settings: Settings) -> Login:
    """A customer who repeats a query."""
    with server.connect(settings) as owner:
        return Login(logins.customer_uri(owner, settings, READER), [READ])


if __name__ == "__main__":
    main()
