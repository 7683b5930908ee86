"""What a night costs, compared with the same night without history and with dbt's own start, in one run.

A day of 50,000 contacts is built in turns in empty tables and after two years of history. After the history a call also
comes late. Last, a day of 10,000 contacts goes through all stages of `callmart run` except publishing.
"""

import os
import time
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from callmart.base.progress import quietly
from callmart.base.settings import Folder, Settings
from callmart.database import server
from callmart.database.lock import exclusive
from callmart.extract import extract
from callmart.opening import opening
from callmart.operations import run, stages
from history import CUSTOMERS, fill, retention_floor, scratch
from simulated import CONTACTS_PER_CUSTOMER, command, write_day

DAY = date.today() - timedelta(days=3)
BUILT = CUSTOMERS[:5]
ROUNDS = 3
QUARTERS = 5  # of each of two queues, on each day of two years

# All that agents did in a month, because a status is looked up that far back; all calls of a week, because callers are;
# and for one customer everything of two months.
HISTORY = """
insert into raw.event (
    customer_id, occurred_at, event_key, platform, event, file_id, call_key, queue, agent_key, number_key,
    number_withheld, device_key, direction, reason, target, target_kind
)
select
    customer_id, occurred_at - make_interval(days => ago), event_key, platform, event, file_id, call_key + ago,
    queue, agent_key, number_key, number_withheld, device_key, direction, reason, target, target_kind
from raw.event
cross join generate_series(1, 61) as ago
where ago <= 7 or (call_key is null and ago <= 31) or customer_id = %s
"""
HISTORY_OF_CALLS = """
insert into raw.call (customer_id, call_key, first_at, last_at, spans_days)
select
    customer_id, call_key + ago, first_at - make_interval(days => ago), last_at - make_interval(days => ago), spans_days
from raw.call
cross join generate_series(1, 61) as ago
where ago <= 7 or customer_id = %s
"""


def main() -> None:
    """Print seconds and ratios."""
    out = Console(highlight=False, soft_wrap=True)
    with scratch() as empty, scratch() as settings:
        idle = min(command(settings, "build").seconds for _ in range(ROUNDS))
        out.print(f"nothing to build: {idle:.1f} s, mostly dbt's start")

        file = settings.home / "day.parquet"
        events = write_day(file, DAY, BUILT)
        for each in (empty, settings):
            command(each, "land", file)
        before = _fill(settings)
        for _ in range(ROUNDS):
            alone, after = (command(each, "build").seconds for each in (empty, settings))
            out.print(
                f"{events:,} events: built in {alone:.1f} s in empty tables, in {after:.1f} s after {before:,} others, "
                f"ratio {after / alone:.2f} (load {os.getloadavg()[0]:.1f})"
            )

        _open(settings)
        seconds, days = _late(settings)
        out.print(
            f"a call comes late: {days} of {len(BUILT)} days built in {seconds:.1f} s, {seconds / idle:.2f} idle builds"
        )

        _open(empty)
        folder = empty.home / "folder"
        folder.mkdir()
        _night(empty, folder)  # writes the extracts of what was opened
        quiet = _night(empty, folder)
        events = write_day(folder / "day.parquet", DAY + timedelta(days=1), BUILT[:1])
        busy = _night(empty, folder)
        out.print(
            f"a night of {CONTACTS_PER_CUSTOMER:,} contacts, {events:,} events, without publication: {busy:.1f} s, "
            f"{busy / idle:.2f} idle builds; a night of none: {quiet:.1f} s"
        )


def _fill(settings: Settings) -> int:
    """Fill the history: two years of queue_interval, and the events that a build could look at, which are counted."""
    with server.connect(settings) as connection:
        fill(connection, retention_floor(connection), DAY - timedelta(days=1), QUARTERS)
        for month in {(DAY - timedelta(days=ago)).replace(day=1) for ago in range(62)}:
            connection.execute("select access.ensure_month('raw.event', %s)", [month])
        events = connection.execute(HISTORY, [BUILT[0]]).rowcount
        connection.execute(HISTORY_OF_CALLS, [BUILT[0]])
    with server.connect(settings, autocommit=True) as connection:
        connection.execute("vacuum (analyze) raw.event, raw.call, store.queue_interval")
    return events


def _open(settings: Settings) -> None:
    """Open what was built, without the checks: they are not measured here."""
    with server.connect(settings) as connection:
        connection.execute("update ops.build set validated_at = clock_timestamp()")
        opening.open_build(connection, settings)


def _late(settings: Settings) -> tuple[float, int]:
    """Land a call of a day that is already open. Returns the seconds of the build and its number of days."""
    late = settings.home / "late.csv"
    late.write_text(
        "customer_id,platform,event,occurred_at,call_id,queue,reason\n"
        f"{BUILT[1]},vcloud,queue_joined,{DAY}T10:00:00Z,late,a,\n"
        f"{BUILT[1]},vcloud,queue_left,{DAY}T10:01:00Z,late,a,abandoned\n"
    )
    command(settings, "land", late)
    seconds = command(settings, "build").seconds
    with server.connect(settings) as connection:
        row = connection.execute("select days from ops.build order by build_id desc limit 1").fetchone()
    assert row is not None
    return seconds, row[0]


def _night(settings: Settings, folder: Path) -> float:
    """Seconds of a night in a process of its own, start included."""
    nightly = settings.model_copy(update={"folders": [Folder(path=folder, settle_seconds=0)]})
    begin = time.perf_counter()
    process = get_context("spawn").Process(target=_run_unpublished, args=(nightly,))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit("the night broke off")
    return time.perf_counter() - begin


def _run_unpublished(settings: Settings) -> None:
    """All stages of `callmart run` up to the extracts."""
    ran = stages.Ran()
    with server.connect(settings) as connection, exclusive(connection):
        stages.remove_closed(connection, settings, ran, quietly)
        run.follow_calendar(connection, settings, ran, quietly)
        stages.land_folders(connection, settings, ran, quietly)
        run.build_and_open(connection, settings, ran, quietly)
        extract.extract(connection, settings, quietly)
    if ran.problems:
        raise SystemExit("; ".join(ran.problems))


if __name__ == "__main__":
    main()
