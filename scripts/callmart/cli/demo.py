"""The demo: the whole chain on example data of the last five weeks, so that reports have something to compare.

One customer has the recorded logs of a real Asterisk, moved to each week; most weeks lack some of its calls. The
others are simulated, each in another file format. In the end all reports are drawn, and last week's are mailed, into
the outbox.
"""

import gzip
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from callmart.access import surroundings
from callmart.base.errors import UserError
from callmart.base.progress import OnStep, by_customer
from callmart.base.secret_files import private_folder
from callmart.base.settings import PROJECT, Mail, Settings
from callmart.database import catalogue, clock, schema, server
from callmart.database.lock import exclusive
from callmart.land import landing
from callmart.land.gate import Defaults
from callmart.mailing import places
from callmart.operations import run, stages, status
from callmart.publish import tableau
from callmart.registry import applying
from callmart.registry import file as registry_file
from callmart.registry.file import Registry
from callmart.reports import filling, shelf, weeks
from callmart.reports.weeks import Week
from callmart.simulator.lines import simulate_line
from callmart.simulator.simulate import simulate

EXAMPLE = PROJECT / "demo"
RECORDED_ON = date(2026, 11, 24)
RECORDED_IN = ZoneInfo("Europe/Amsterdam")
CALL = re.compile(r"\b1795\d{6}\.\d+\b")  # the id of a recorded call
WORKING_DAYS = 5
WEEKS = 5


def demo(settings: Settings, on_step: OnStep) -> list[status.CustomerStatus]:
    """Apply the example registry, land the example data, and do what the nightly run does. A second run changes
    nothing. Returns the status of each customer.
    """
    if not settings.tableau.is_emulated:
        raise UserError(
            "the demo publishes to the local emulator only: unset tableau.server, or use `callmart run`"
        )
    tableau.require_server(settings)
    with server.connect(settings) as connection:
        surroundings.refuse_strangers(connection)
        ran = stages.Ran()
        with exclusive(connection):
            play(connection, settings, ran, on_step)
            run.deliver(connection, settings, ran, on_step)
            _draw_and_mail(connection, settings, ran, on_step)
        if ran.problems:
            raise UserError(f"the demo is not complete: {ran.problems[0]}")
        return status.status(connection)


def play(
    connection: psycopg.Connection,
    settings: Settings,
    ran: stages.Ran,
    on_step: OnStep,
    last: Week | None = None,
) -> None:
    """Apply the example registry, land the weeks that end with `last`, by default last week, and open them."""
    wanted = registry_file.load(EXAMPLE / "registry.yml")
    if schema.has_registry(connection):
        schema.require(connection, settings.time_zone)
    on_step("registry", "apply", 0, 1)
    _refuse_real_customers(connection, wanted)
    applying.apply(connection, settings, wanted)
    # The demo may have been left alone for weeks. There is no real data for a wrong clock to harm.
    clock.accept(connection, settings, today := clock.today(connection, settings))
    connection.commit()
    on_step("registry", "apply", 1, 1)
    _land(settings, ran, _mondays(last or weeks.last_complete(today)), on_step)
    run.build_and_open(connection, settings, ran, on_step)


def what_next(settings: Settings) -> list[str]:
    """Lines to print after the demo: where everything is, and what to try next."""
    return [
        "",
        f"Reports:   {shelf.index(settings).as_uri()} (all customers' reports of last week, for a browser)",
        f"Mails:     {places.folder(settings)} (what recipients would get; any mail program opens them)",
        f"Extracts:  {settings.home / 'extracts'} (one folder per customer; Tableau Desktop opens them)",
        f"Tableau:   emulated; its content is in {settings.home / 'emulator'}",
        f"Raw data:  {settings.home / 'demo'}; what became of it: the table above, or `callmart status`",
        "",
        'Next: look as a customer does     psql "$(.venv/bin/callmart dsn --customer 1044)" '
        "-c 'select * from mart.queue_interval limit 5'",
        "      what would change on Tableau .venv/bin/callmart publish --plan",
        "      land data of your own        .venv/bin/callmart land FILE --customer 1042",
        "      stop the servers             .venv/bin/callmart stop",
    ]


def _refuse_real_customers(connection: psycopg.Connection, wanted: Registry) -> None:
    """Raise UserError if the database has customers that the demo's registry lacks: applying it would delete them."""
    if not catalogue.exists(connection, "registry.customer"):
        return
    known = set(connection.execute("select customer_id, name from registry.customer"))
    if strangers := known - {(customer.id, customer.name) for customer in wanted.customers}:
        raise UserError(
            f"this database holds {len(strangers)} customers of yours, which the demo would delete: "
            "give the demo a CALLMART_HOME of its own"
        )


def _land(settings: Settings, ran: stages.Ran, mondays: list[date], on_step: OnStep) -> None:
    work = [
        (_place(settings, monday) / name, make, monday) for monday in mondays for name, make in FILES.items()
    ]
    for number, (file, make, monday) in enumerate(work):
        on_step("land", f"{monday:%G-W%V} {file.name}", number, len(work))
        if not file.exists():
            private_folder(file.parent)
            draft = file.with_name(f".{file.name}")
            make(draft, monday)
            draft.replace(file)
        customer_id = 1042 if file.name in RECORDED else None
        ran.files.append(landing.land(settings, file, "auto", Defaults(customer_id, "vcloud", False, None)))
    on_step("land", "", len(work), len(work))


def _place(settings: Settings, monday: date) -> Path:
    return settings.home / "demo" / f"{monday:%G-W%V}"


def _mondays(last: Week) -> list[date]:
    """The Mondays of the weeks that are played."""
    return [last.monday - timedelta(weeks=back) for back in reversed(range(WEEKS))]


def _draw_and_mail(
    connection: psycopg.Connection, settings: Settings, ran: stages.Ran, on_step: OnStep
) -> None:
    """Draw all reports of last week, and put its mails into the outbox, whatever [mail] says."""
    outcomes = filling.fill(connection, settings, None, by_customer(on_step, "draw"))
    for outcome in outcomes:
        for failure in outcome.failures:
            ran.note(failure, outcome.customer_id)
    by_outbox = settings.model_copy(update={"mail": Mail(sender="callmart")})
    stages.mail(connection, by_outbox, ran, on_step)


def move_recording(name: str, file: Path, monday: date) -> None:
    """Write a recorded log as of the week that begins on `monday`, with the same weekday and time of day, without the
    calls that this week lacks.

    Call ids begin with a Unix time, which is moved too.
    """
    lacking = missing(monday)
    moved = monday + timedelta(days=RECORDED_ON.weekday())
    shift = int(_midnight(moved).timestamp() - _midnight(RECORDED_ON).timestamp())
    text = gzip.open if name.endswith(".gz") else open
    with text(EXAMPLE / "asterisk" / name, "rt") as recorded, text(file, "wt") as written:
        for line in recorded:
            if not lacking.isdisjoint(CALL.findall(line)):
                continue
            written.write(re.sub(r"\b1795\d{6}\b", lambda second: str(int(second[0]) + shift), line))


@cache
def missing(monday: date) -> frozenset[str]:
    """The recorded calls that a week lacks: none, or one to three tenths of them. So its reports have something to
    compare, and everything in them was recorded.
    """
    tenths = monday.isocalendar().week % 4
    with (EXAMPLE / "asterisk" / "queue_log").open() as log:
        calls = {line.split("|")[1] for line in log if "|ENTERQUEUE|" in line}
    return frozenset(call for call in calls if int(call.rpartition(".")[2]) % 10 < tenths)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=RECORDED_IN)


def _simulated(
    customer_id: int,
    time_zone: str,
    queues: list[str],
    agents: int,
    contacts_per_day: int,
    line: str | None = None,
) -> Callable[[date], pa.Table]:
    def events(monday: date) -> pa.Table:
        days = [monday + timedelta(days=day) for day in range(WORKING_DAYS)]
        seed = customer_id + monday.isocalendar().week
        names = [f"user-{number:02}" for number in range(1, agents + 1)]
        own = partial(simulate, contacts_per_day=contacts_per_day, seed=seed)
        found = [own(customer_id, days, time_zone, queues, names).events]
        if line:
            calls = partial(simulate_line, calls_per_day=contacts_per_day, seed=seed)
            found.append(calls(customer_id, days, time_zone, line, "isdn30").events)
        return pa.concat_tables(found)

    return events


def _parquet(events: Callable[[date], pa.Table]) -> Callable[[Path, date], None]:
    return lambda file, monday: pyarrow.parquet.write_table(events(monday), file)


def _csv(events: Callable[[date], pa.Table], compression: str) -> Callable[[Path, date], None]:
    def write(file: Path, monday: date) -> None:
        table = events(monday)
        moments = pa.compute.strftime(table["occurred_at"], "%Y-%m-%dT%H:%M:%SZ")
        table = table.set_column(table.schema.get_field_index("occurred_at"), "occurred_at", moments)
        with pa.CompressedOutputStream(str(file), compression) as stream:
            pyarrow.csv.write_csv(table, stream)

    return write


def _ndjson(events: Callable[[date], pa.Table]) -> Callable[[Path, date], None]:
    def write(file: Path, monday: date) -> None:
        with file.open("w") as stream:
            for row in events(monday).to_pylist():
                row["occurred_at"] = row["occurred_at"].isoformat()
                print(
                    json.dumps({name: value for name, value in row.items() if value is not None}), file=stream
                )

    return write


RECORDED = ("queue_log", "cel.csv.gz")
FILES: dict[str, Callable[[Path, date], None]] = {
    **{name: partial(move_recording, name) for name in RECORDED},
    "1043.parquet": _parquet(_simulated(1043, "Europe/Amsterdam", ["intake", "recepten"], 12, 400)),
    "1044.csv.gz": _csv(
        _simulated(1044, "Europe/Amsterdam", ["winkel", "werkplaats"], 8, 260, "hoofdlijn"), "gzip"
    ),
    "1045.ndjson": _ndjson(_simulated(1045, "Europe/London", ["reservations"], 6, 180)),
    "1046.csv.zst": _csv(_simulated(1046, "Europe/Amsterdam", ["alles"], 4, 90), "zstd"),
}
