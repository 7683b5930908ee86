"""Landing, compared in one run with a COPY of the same rows into a table with the columns, indexes and rows of
raw.event, and with landing while the customer has 10,000 tombstones that each row has to be compared with.

COPY is compared by the clock. Tombstones cost little, so they are compared by the CPU seconds of callmart and the
server, which other work on the machine disturbs less. Autovacuum is off: it would come upon one of both only.
"""

import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from adbc_driver_postgresql import dbapi
from rich.console import Console

from callmart.base.batches import batched
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.base.settings import Settings
from callmart.database import embedded_server, server
from callmart.land import landing
from callmart.land.admission import current_gate
from callmart.land.found import Delivery, find
from callmart.land.gate import Defaults
from callmart.land.prepare import prepare
from callmart.land.readers import open_source
from callmart.registry import applying
from callmart.simulator.simulate import simulate
from history import registry_of

CUSTOMER = 1
DAYS = 10
A_YEAR = timedelta(days=364)  # of whole weeks
CONTACTS_PER_DAY = 10_000
ROUNDS = 4
FILES = 100  # that are read at a time
TOMBSTONES = {"call": 9_000, "caller": 900, "agent": 100}
DEFAULTS = Defaults(CUSTOMER, "vcloud", False, None)


def main() -> None:
    """Print all three and their ratios per round."""
    out = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", dsn=None, folders=[])
        try:
            with embedded_server.administrator(settings.home) as postgres:
                postgres.execute("alter system set autovacuum = off")
            _register(settings)
            files = (Path(folder) / f"{number}.parquet" for number in count())
            last_days = (date.today() - timedelta(days=back) for back in count(30, DAYS))
            for number in range(ROUNDS):
                last_day = next(last_days)
                # A month's indexes grow from file to file. So the file with tombstones has days of another year, which
                # lie in months as full, and comes first in every second round.
                past_tombstones = next(files), last_day - A_YEAR
                asked_first = number % 2 == 1
                if asked_first:
                    asking = _land_past_tombstones(settings, *past_tombstones)
                file = next(files)
                events = write_days(file, last_day)
                # Stopping writes out what is left, so that nothing pays for what was before it.
                make_table(settings, "select * from raw.event")
                embedded_server.stop(settings.home)
                embedded_server.start(settings.home)
                _, copied = copy(settings, [Delivery(file, "auto", DEFAULTS)])
                embedded_server.stop(settings.home)
                landed, cpu = land_file(settings, file)
                embedded_server.stop(settings.home)
                if not asked_first:
                    asking = _land_past_tombstones(settings, *past_tombstones)
                out.print(
                    f"{events:,} events: land {events / landed:,.0f}/s, COPY {events / copied:,.0f}/s, "
                    f"ratio {copied / landed:.2f}; CPU {cpu:.1f} s, with {sum(TOMBSTONES.values()):,} tombstones "
                    f"{asking:.1f} s, {asking / cpu - 1:+.1%}"
                )
        finally:
            embedded_server.stop(settings.home)


def _land_past_tombstones(settings: Settings, file: Path, last_day: date) -> float:
    """Land a file while the customer has tombstones; return the seconds of CPU."""
    write_days(file, last_day)
    _set_tombstones(settings, TOMBSTONES)
    embedded_server.stop(settings.home)
    _, cpu = land_file(settings, file)
    _set_tombstones(settings, {})
    embedded_server.stop(settings.home)
    return cpu


def write_days(file: Path, last_day: date) -> int:
    days = [last_day - timedelta(days=back) for back in reversed(range(DAYS))]
    agents = [f"user-{number}" for number in range(CONTACTS_PER_DAY // 130)]
    events = simulate(
        CUSTOMER, days, "Europe/Amsterdam", ["a", "b", "c"], agents, contacts_per_day=CONTACTS_PER_DAY, seed=1
    ).events.sort_by("occurred_at")
    pyarrow.parquet.write_table(events, file)
    return int(events.num_rows)


def land_file(settings: Settings, file: Path) -> tuple[float, float]:
    """Seconds to land the file, by the clock and of CPU."""
    embedded_server.start(settings.home)
    cpu, begin = cpu_seconds(settings), time.perf_counter()
    landing.land(settings, file, "auto", DEFAULTS)
    return time.perf_counter() - begin, cpu_seconds(settings) - cpu


def cpu_seconds(settings: Settings) -> float:
    """CPU seconds so far of this process and of the server's processes, with those that have ended."""
    time.sleep(1)  # a process that ends is counted a moment later
    (postmaster,) = (file.read_text().split()[0] for file in settings.home.rglob("postmaster.pid"))
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
            ticks += own + ended if stat.parent.name == postmaster else own if fields[1] == postmaster else 0
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _set_tombstones(settings: Settings, counts: dict[str, int]) -> None:
    """Give the customer so many tombstones of each kind, of nobody, up to today."""
    rows = [(CUSTOMER, kind, secrets.token_hex(16)) for kind, count in counts.items() for _ in range(count)]
    with server.connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("truncate privacy.tombstone, privacy.ledger_entry, privacy.secret cascade")
        if counts:
            cursor.execute(
                "insert into privacy.ledger_entry (entry, commitment, digest, salt, customer_id, kind, until, at)"
                " values (1, '', '', '', %s, 'caller', now(), now())",
                [CUSTOMER],
            )
            cursor.execute("insert into privacy.secret values (%s, %s)", [CUSTOMER, secrets.token_bytes(32)])
            cursor.executemany("insert into privacy.tombstone values (1, %s, %s, %s, now())", rows)


def make_table(settings: Settings, rows: str) -> None:
    """Make a table like raw.event for COPY, with the rows of a query."""
    with server.connect(settings) as connection:
        connection.execute("create table raw.bench (like raw.event including defaults including indexes)")
        connection.execute(f"insert into raw.bench {rows}".encode())
        connection.execute(
            "alter table raw.bench add file_number integer, add identified boolean, add erased text,"
            " alter file_id set default 1"
        )
        connection.commit()


def copy(settings: Settings, deliveries: Sequence[Delivery]) -> tuple[int, float]:
    """COPY the rows of the files, already prepared, into that table, and drop it. Returns how many, and the seconds."""
    prepared = settings.home / "prepared.arrow"  # on the disk, as a night does not fit into memory
    with server.connect(settings) as connection:
        _, gate = current_gate(connection, settings, {})
    with pa.ipc.new_file(prepared, EVENT_SCHEMA) as file:
        for some in batched(deliveries, FILES):
            found = [find(delivery) for delivery in some]
            sources = [open_source(one, number, landing.limits(settings)) for number, one in enumerate(found)]
            for group in landing.grouped(sources):
                for batch in prepare(group, gate).batches():
                    file.write_batch(batch)
    with pa.memory_map(str(prepared)) as mapped, dbapi.connect(server.uri(settings)) as adbc:
        batches = pa.ipc.open_file(mapped)
        each = (batches.get_batch(number) for number in range(batches.num_record_batches))
        with adbc.cursor() as cursor:
            begin = time.perf_counter()
            rows = cursor.adbc_ingest(
                "bench",
                pa.RecordBatchReader.from_batches(EVENT_SCHEMA, each),
                mode="append",
                db_schema_name="raw",
            )
            adbc.commit()
            seconds = time.perf_counter() - begin
            cursor.execute("drop table raw.bench")
            adbc.commit()
    prepared.unlink()
    return rows, seconds


def _register(settings: Settings) -> None:
    with server.connect(settings) as connection:
        applying.apply(connection, settings, registry_of({CUSTOMER: "detailed"}))
        connection.commit()


if __name__ == "__main__":
    main()
