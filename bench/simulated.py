"""A day of simulated calls as a Parquet file, and callmart's commands on it."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet

from callmart.base.settings import Settings
from callmart.simulator.simulate import simulate

CONTACTS_PER_CUSTOMER = 10_000
# At its end it prints the most memory that it used, in KiB. (getrusage would include its parent's.)
_COMMAND = """
import atexit, re
from pathlib import Path
from callmart.cli.main import main
most = lambda: re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]
atexit.register(lambda: print(most()))
main()
"""
_AGENTS = [f"user-{number}" for number in range(77)]


class Cost(NamedTuple):
    """How long a command took, start included, and the most memory that it used."""

    seconds: float
    mib: float


def write_day(file: Path, day: date, customers: Sequence[int]) -> int:
    """Write a day with 10,000 contacts per customer, in order of time. Returns the number of events."""
    with Pool() as pool:
        events = pa.concat_tables(pool.imap_unordered(partial(_simulated, day), customers))
    pyarrow.parquet.write_table(events.sort_by("occurred_at"), file)
    return int(events.num_rows)


def _simulated(day: date, customer: int) -> pa.Table:
    return simulate(
        customer,
        [day],
        "Europe/Amsterdam",
        ["a", "b", "c"],
        _AGENTS,
        contacts_per_day=CONTACTS_PER_CUSTOMER,
        seed=1,
    ).events


def of_customer(events: pa.Table, customer: int) -> pa.Table:
    """The same events as another customer's."""
    place = events.schema.get_field_index("customer_id")
    number = pa.scalar(customer, events.schema.field(place).type)
    return events.set_column(place, "customer_id", pa.repeat(number, events.num_rows))


def command(settings: Settings, *arguments: str | Path) -> Cost:
    """Run `callmart` with these arguments, in a process of its own. Raises CalledProcessError if it fails."""
    begin = time.perf_counter()
    said = subprocess.run(
        [sys.executable, "-c", _COMMAND, *map(str, arguments)],
        env=os.environ | {"CALLMART_HOME": str(settings.home)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return Cost(time.perf_counter() - begin, int(said.split()[-1]) / 1024)
