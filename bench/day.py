"""How long runs take during the day: one of nothing with many customers, compared with the start of a command; and one
that brings a file from the folder into the mart, for a customer with 10,000 contacts per day.

`python bench/day.py [CUSTOMERS]`. The others have two days of 40 contacts each. Every run is a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import yaml
from rich.console import Console

from callmart.base.settings import Folder, Settings
from callmart.database import embedded_server, server
from callmart.publish import emulator
from callmart.simulator.simulate import simulate
from simulated import CONTACTS_PER_CUSTOMER, command, of_customer

CUSTOMERS = 300
BUSY = 1  # the customer whose files come during the day
STEP = timedelta(minutes=5)
FILES = 3
GOAL_NOTHING_S, GOAL_ROW_S = 3, 30


def main(customers: int = CUSTOMERS) -> None:
    """Print seconds and ratios."""
    out = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        settings = Settings(
            home=Path(folder) / "home", dsn=None, folders=[Folder(path=inbox, settle_seconds=0)]
        )
        os.environ["CALLMART_FOLDERS"] = json.dumps([{"path": str(inbox), "settle_seconds": 0}])
        try:
            _register(settings, Path(folder) / "registry.yml", customers)
            now = datetime.now(UTC)
            busy = _moved(_events([now.date()], CONTACTS_PER_CUSTOMER, 77), now)
            _write(inbox / "others.parquet", _of_many(range(BUSY + 1, customers + 1)))
            cuts = [now - STEP * (FILES - file) for file in range(FILES)]
            _write(inbox / "until now.parquet", _between(busy, datetime.min.replace(tzinfo=UTC), cuts[0]))
            command(settings, "run")
            command(settings, "run")  # what a changed day leaves to the next run
            start = min(command(settings, "--help").seconds for _ in range(3))
            nothing = min(command(settings, "run").seconds for _ in range(3))
            out.print(
                f"a run of nothing with {customers} customers: {nothing:.1f} s, {nothing / start:.1f} starts of a "
                f"command; goal for {CUSTOMERS}: {GOAL_NOTHING_S} s (load {os.getloadavg()[0]:.1f})"
            )
            for number, (first, last) in enumerate(zip(cuts, [*cuts[1:], now], strict=True)):
                rows = _between(busy, first, last)
                _write(inbox / f"{number}.parquet", rows)
                seconds, whole = _until_shown(settings, _joined(rows))
                out.print(
                    f"{rows.num_rows} events of five minutes: in the mart after {seconds:.1f} s, "
                    f"{seconds / nothing:.1f} runs of nothing; on Tableau after {whole:.1f} s; "
                    f"goal: {GOAL_ROW_S} s (load {os.getloadavg()[0]:.1f})"
                )
        finally:
            emulator.stop(settings.home)
            embedded_server.stop(settings.home)


def _register(settings: Settings, file: Path, customers: int) -> None:
    file.write_text(
        yaml.safe_dump(
            {
                "customers": [
                    {
                        "id": number,
                        "name": f"bench {number}",
                        "contracts": [
                            {"option": "detailed" if number == BUSY else "standard", "from": "2025-01-01"}
                        ],
                    }
                    for number in range(1, customers + 1)
                ]
            }
        )
    )
    command(settings, "registry", "apply", file)


def _events(days: list[date], contacts: int, agents: int) -> pa.Table:
    names = [f"user-{number}" for number in range(agents)]
    return simulate(
        BUSY, days, "Europe/Amsterdam", ["a", "b", "c"], names, contacts_per_day=contacts, seed=1
    ).events.sort_by("occurred_at")


def _of_many(customers: range) -> pa.Table:
    rows = _events([date.today() - timedelta(days=back) for back in (2, 1)], 40, 5)
    return pa.concat_tables(of_customer(rows, each) for each in customers)


def _moved(rows: pa.Table, now: datetime) -> pa.Table:
    """The same events, moved so that three quarters of them are over."""
    moments = rows["occurred_at"]
    by = now - moments[rows.num_rows * 3 // 4].as_py()
    moved = pa.compute.add(moments, pa.scalar(by, pa.duration("us"))).cast(moments.type)
    return rows.set_column(rows.schema.get_field_index("occurred_at"), "occurred_at", moved)


def _between(rows: pa.Table, first: datetime, last: datetime) -> pa.Table:
    within = [first < moment <= last for moment in rows["occurred_at"].to_pylist()]
    return rows.filter(within)


def _joined(rows: pa.Table) -> int:
    """How many contacts begin in these events."""
    return sum(event == "queue_joined" for event in rows["event"].to_pylist())


def _write(file: Path, rows: pa.Table) -> None:
    draft = file.with_name(f".{file.name}")
    pyarrow.parquet.write_table(rows, draft)
    draft.rename(file)


def _until_shown(settings: Settings, joined: int) -> tuple[float, float]:
    """The seconds from a file in the folder until the mart has its contacts, and until the run has ended."""
    with server.connect(settings, autocommit=True) as connection:

        def offered() -> int:
            ((found,),) = connection.execute(
                "select coalesce(sum(offered), 0) from store.queue_interval where customer_id = %s", [BUSY]
            ).fetchall()
            return int(found)

        before, begin = offered(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", "from callmart.cli.main import main; main()", "run"],
            env=os.environ | {"CALLMART_HOME": str(settings.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while offered() < before + joined and process.poll() is None:
            time.sleep(0.05)
        shown = time.perf_counter() - begin
        if process.wait() != 0:
            raise SystemExit("the run left problems: see `callmart status`")
        assert offered() == before + joined
        return shown, time.perf_counter() - begin


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
