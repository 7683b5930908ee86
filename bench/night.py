"""A whole night, stage by stage, each compared in the same run with the least that its work can cost; and how long
people who read have to wait. They read beside both.

`python bench/night.py [CUSTOMERS] [CONTACTS] [DAYS]`. By default 300 customers have a million contacts, after two years
of history that is extracted and published. One in ten has a detailed contract. Other sizes are `50 16700000` and
`5000 50000 7`. The night is `callmart run`: it lands a file per customer, expires a month, and mails reports.
"""

import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import psycopg
import pyarrow.parquet
import vl_convert
from aiosmtpd.controller import Controller
from rich.console import Console
from rich.table import Table

from building import in_duckdb, require_equal
from callmart.access import logins
from callmart.base.progress import quietly
from callmart.base.settings import Folder, Mail, Rebuild, Settings
from callmart.database import server
from callmart.declarations import dbt_project, exposures
from callmart.land.found import Delivery
from callmart.operations import record, run, stages
from callmart.publish import emulator
from callmart.reports import drawing, reading
from callmart.reports.reading import Reader
from callmart.simulator.simulate import simulate
from drawing import timed
from extracts import read, write
from history import REPORTS, registry_of, retention_floor, scratch
from landing import copy, make_table
from publishing import uploaded
from readers import Login, Waits, readers
from simulated import of_customer
from two_years import YESTERDAY, fill_marts, options

CUSTOMERS, CONTACTS = 300, 1_000_000
CONTACTS_PER_AGENT = 130
COPIED = 16_000_000  # events; COPY of more is compared by its rate, which falls while the indexes grow
LOGINS, PAUSE_S = 50, 1.0  # of at least six customers: each has ten connections
ANSWERED_MS, LONGEST_MS = 60, 300  # 95 of 100 queries, and any query while a stage takes locks
LOCKING = ("expire", "opening")


class Goal(NamedTuple):
    """How many times its limit a stage may take, and what its cost follows."""

    ratio: float
    per: str


GOALS = {
    "land": Goal(2.0, "event"),
    "build": Goal(1.8, "event"),
    "validation": Goal(0.2, "customer"),
    "opening": Goal(0.3, "customer"),
    "extract": Goal(2.5, "file"),
    "publish": Goal(3.0, "file"),
    "mail": Goal(1.3, "customer"),
}


class Limit(NamedTuple):
    """What a stage is compared with, and the seconds that this took."""

    what: str
    seconds: float


class Measured(NamedTuple):
    """The limit of each stage, and how many events, files and customers there were."""

    limits: Mapping[str, Limit]
    counts: Mapping[str, int]


class Night(NamedTuple):
    """The seconds of each stage, what drawing spent in SQL and in vl-convert, and how long readers waited in the whole
    night and in each stage.
    """

    seconds: Mapping[str, float]
    drawing: Mapping[str, float]
    waits: Waits
    waits_in: Mapping[str, Waits]


def main() -> None:
    """Print the stages with their limits, and the readers' waits."""
    out = Console(highlight=False, soft_wrap=True, width=140)
    customers, contacts, days = _sizes(sys.argv[1:])
    contracts = options(customers)
    with scratch(registry_of(contracts, REPORTS)) as empty, _mail_server() as mail:
        settings = _settings(empty, mail)
        try:
            out.print(_history(settings, contracts, days))
            files = _files(settings.folders[0].path, list(contracts)[1:], contacts)
            asking = _logins(settings, customers)
            night = _night(settings, asking)
            with readers(asking):  # beside the stages, too
                measured = _limits(settings, files, contracts, night)
            out.print(_table(night, measured))
            for said in _of_readers(night):
                out.print(said)
        finally:
            emulator.stop(settings.home)


def _sizes(given: Sequence[str]) -> tuple[int, int, int | None]:
    customers, contacts, *days = [*map(int, given), *(CUSTOMERS, CONTACTS)[len(given) :]]
    return customers, contacts, days[0] if days else None


def _settings(empty: Settings, mail: Mail) -> Settings:
    folder = empty.home / "arriving"
    folder.mkdir()
    found = [Folder(path=folder, settle_seconds=0)]
    # The history names no definition, and computing it again is not part of a night.
    return empty.model_copy(update={"folders": found, "mail": mail, "rebuild": Rebuild(minutes_per_night=0)})


def _history(settings: Settings, contracts: Mapping[int, str], days: int | None) -> str:
    """Fill the marts up to the day before yesterday, with a month that the night expires; extract and publish all. The
    first customer has the only events of it, so it gets no calls in the night.
    """
    before = YESTERDAY - timedelta(days=1)
    with server.connect(settings) as connection:
        floor = retention_floor(connection)
    first = (
        before - timedelta(days=days) if days else (floor.replace(day=1) - timedelta(days=1)).replace(day=1)
    )
    rows = fill_marts(settings, contracts, first, before)
    begin, ran = time.perf_counter(), stages.Ran()
    with server.connect(settings) as connection:
        run.deliver(connection, settings, ran, quietly)
    _require_none(ran.problems)
    return (
        f"{len(contracts)} customers, {rows:,} rows since {first}; extracted and published for the first time in "
        f"{time.perf_counter() - begin:.0f} s"
    )


def _files(folder: Path, customers: Sequence[int], contacts: int) -> list[Path]:
    """A file per customer with yesterday's calls. All customers have the same, each as its own."""
    each = max(1, contacts // len(customers))
    agents = [f"agent-{number}" for number in range(max(3, each // CONTACTS_PER_AGENT))]
    events = simulate(
        1, [YESTERDAY], "Europe/Amsterdam", ["a", "b", "c"], agents, contacts_per_day=each, seed=1
    ).events.sort_by("occurred_at")
    paths = [folder / f"{customer}.parquet" for customer in customers]
    for customer, path in zip(customers, paths, strict=True):
        pyarrow.parquet.write_table(of_customer(events, customer), path)
    return paths


def _night(settings: Settings, asking: Sequence[Login]) -> Night:
    """Do all stages, beside readers."""
    spent = Counter[str]()
    Reader.rows = timed(Reader.rows, spent, "sql")  # type: ignore[method-assign]
    vl_convert.vegalite_to_svg = timed(vl_convert.vegalite_to_svg, spent, "charts")
    with server.connect(settings) as connection, readers(asking) as waits:
        ran = run.run(connection, settings, quietly)
        connection.commit()
        done = record.last_run(connection)
    _require_none(ran.problems)
    assert done is not None
    spans = {
        one.stage: (one.began_at.timestamp(), one.ended_at.timestamp()) for one in done.stages if one.ended_at
    }
    return Night(
        {stage: end - begin for stage, (begin, end) in spans.items()},
        dict(spent),
        waits,
        {stage: waits.within(*span) for stage, span in spans.items()},
    )


def _logins(settings: Settings, customers: int) -> list[Login]:
    """Customers of whom each looks at a report of a week, again and again."""
    first = 2  # the first customer has no calls in the night
    queries = _queries(settings, first)
    with server.connect(settings) as owner:
        return [
            Login(logins.customer_uri(owner, settings, first + number % (customers - 1)), queries, PAUSE_S)
            for number in range(LOGINS)
        ]


class _Recording(psycopg.ClientCursor[Any]):
    """Keeps the text of what it executes."""

    said: ClassVar[list[str]] = []

    def execute(self, query: Any, params: Any = None, **how: Any) -> "_Recording":
        self.said.append(self.mogrify(query, params))
        return super().execute(query, params, **how)


def _queries(settings: Settings, customer: int) -> list[str]:
    """What a report reads of the marts for its week."""
    declared, report = drawing.Declared.of(settings), exposures.named(REPORTS[0])
    with server.connect(settings) as owner, logins.connect(settings, "publisher") as publisher:
        publisher.cursor_factory = _Recording
        drawing.draw(publisher, declared, report, reading.customer(owner, customer))
    return [said for said in _Recording.said if " from mart." in said and "call_date = any" in said]


def _limits(
    settings: Settings, files: Sequence[Path], contracts: Mapping[int, str], night: Night
) -> Measured:
    """What each stage is compared with, measured after the night on the same rows."""
    build = night.seconds["build"]
    events, computed = _computed(settings, files, contracts)
    tables = read(settings)
    written = write(settings, tables)
    del tables
    uploads, sources, _ = uploaded(settings, len(contracts))
    limits = {
        "land": Limit("COPY of the same rows", _copied(settings, files, events)),
        "build": Limit("DuckDB, the same models", computed),
        "validation": Limit("the build", build),
        "opening": Limit("the build", build),
        "extract": Limit("one write with pantab", written),
        "publish": Limit("the uploads alone", uploads),
        "mail": Limit("its SQL and vl-convert", sum(night.drawing.values())),
    }
    return Measured(limits, {"event": events, "file": sources, "customer": len(files)})


def _computed(settings: Settings, files: Sequence[Path], contracts: Mapping[int, str]) -> tuple[int, float]:
    """The number of events, and the seconds in which DuckDB computes the models from the files. Raises SystemExit if
    what was opened is not the same.
    """
    duck, seconds = in_duckdb(
        settings, files, [id for id, option in contracts.items() if option == "detailed"]
    )
    require_equal(
        settings,
        duck,
        lambda mart: f"store.\"{mart.name}\" where customer_id > 1 and {mart.day} >= '{YESTERDAY}'",
        # A mart without days also has the history's agents.
        [mart for mart in dbt_project.marts(settings) if mart.day],
    )
    ((events,),) = duck.sql("select count(*) from raw.event").fetchall()
    duck.close()
    return events, seconds


def _copied(settings: Settings, files: Sequence[Path], events: int) -> float:
    """The seconds in which all events are copied, at the rate of some."""
    each = events // len(files)
    some = [
        Delivery(file, "auto", stages.defaults(settings.folders[0])) for file in files[: 1 + COPIED // each]
    ]
    make_table(settings, "select * from raw.event where false")
    rows, seconds = copy(settings, some)
    return seconds * events / rows


def _table(night: Night, measured: Measured) -> Table:
    """Each stage with its limit. Those without one only show what else a night takes, and so does the mail on a Monday
    before its hour.
    """
    table = Table(
        "stage",
        "seconds",
        "readers' longest",
        "each",
        "compared with",
        "seconds",
        "ratio",
        "goal",
        "",
        box=None,
    )
    for stage, seconds in night.seconds.items():
        limit = measured.limits.get(stage)
        spent = f"{seconds:.1f}", f"{night.waits_in[stage].most_ms():.0f} ms"
        if limit is None or limit.seconds == 0:
            table.add_row(stage, *spent)
            continue
        goal = GOALS[stage]
        ratio, each = seconds / limit.seconds, seconds * 1000 / measured.counts[goal.per]
        table.add_row(
            stage, *spent, f"{each * 1000:,.0f} µs per {goal.per}", limit.what, f"{limit.seconds:.1f}",
            f"{ratio:.2f}", f"{goal.ratio}", "met" if ratio <= goal.ratio else "missed",
        )  # fmt: skip
    return table


def _of_readers(night: Night) -> Iterator[str]:
    answered = night.waits.most_ms(0.95)
    yield (
        f"{LOGINS} logins, each a query of a report's week after a pause of {PAUSE_S:.0f} s: {night.waits}; "
        f"95 of 100 within {answered:.0f} ms ({ANSWERED_MS}: {'met' if answered <= ANSWERED_MS else 'missed'})"
    )
    for stage in LOCKING:
        waits = night.waits_in[stage]
        longer = waits.over(LONGEST_MS)
        yield f"  during {stage}: {waits}; {longer} over {LONGEST_MS} ms ({'missed' if longer else 'met'})"


class _Takes:
    """A mail server that takes every letter and forgets it."""

    async def handle_DATA(self, *session: object) -> str:
        return "250 OK"


@contextmanager
def _mail_server() -> Iterator[Mail]:
    """How to mail to a server that runs until the block ends."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(_Takes(), hostname="localhost", port=port)
    controller.start()
    try:
        yield Mail.model_validate(
            {
                "sender": "callmart",
                "from": "reports@bench.example",
                "smtp": {"host": "localhost", "port": port, "encryption": "none"},
            }
        )
    finally:
        controller.stop()


def _require_none(problems: Sequence[str]) -> None:
    if problems:
        raise SystemExit("; ".join(problems))


if __name__ == "__main__":
    main()
