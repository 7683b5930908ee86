"""Landing, compared with a COPY of the same rows into a table with the columns and indexes of raw.event, in one run."""

import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from adbc_driver_postgresql import dbapi
from rich.console import Console

from callmart.access import logins
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.base.settings import Settings
from callmart.database import server
from callmart.land import landing
from callmart.land.gate import Defaults
from callmart.land.prepare import prepare
from callmart.registry import applying
from callmart.registry.file import Registry
from callmart.simulator.simulate import simulate

CUSTOMER = 1
DAYS = 10
CONTACTS_PER_DAY = 10_000
ROUNDS = 3
DEFAULTS = Defaults(CUSTOMER, "vcloud", False, None)


def main() -> None:
    """Print both and their ratio per round."""
    out = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", dsn=None, folders=[])
        try:
            for number in range(ROUNDS):
                file = Path(folder) / f"{number}.parquet"
                events = _write(file, date.today() - timedelta(days=30 + DAYS * number))
                copied = _copy(settings, file)
                # Stopping writes out what is left, so that landing does not pay for the COPY.
                server.stop(settings.home)
                landed = _land(settings, file)
                server.stop(settings.home)
                out.print(
                    f"{events:,} events: land {events / landed:,.0f}/s, COPY {events / copied:,.0f}/s, "
                    f"ratio {copied / landed:.2f}"
                )
        finally:
            server.stop(settings.home)


def _write(file: Path, last_day: date) -> int:
    days = [last_day - timedelta(days=back) for back in reversed(range(DAYS))]
    agents = [f"user-{number}" for number in range(CONTACTS_PER_DAY // 130)]
    events = simulate(
        CUSTOMER, days, "Europe/Amsterdam", ["a", "b", "c"], agents, contacts_per_day=CONTACTS_PER_DAY, seed=1
    ).events.sort_by("occurred_at")
    pyarrow.parquet.write_table(events, file)
    return int(events.num_rows)


def _land(settings: Settings, file: Path) -> float:
    """Seconds to land the file."""
    with logins.connect(settings, "loader") as loader:
        begin = time.perf_counter()
        landing.land(loader, settings, file, "auto", DEFAULTS)
        return time.perf_counter() - begin


def _copy(settings: Settings, file: Path) -> float:
    """Seconds to COPY the rows of the file, already prepared, into a table like raw.event."""
    wanted = Registry.model_validate(
        {
            "customers": [
                {
                    "id": CUSTOMER,
                    "name": "bench",
                    "contracts": [{"option": "detailed", "from": date(2020, 1, 1)}],
                }
            ]
        }
    )
    with server.connect(settings) as connection:
        applying.apply(connection, settings, wanted)
        connection.commit()
        _, gate = landing.current_gate(connection, settings)
    batches = list(prepare(file, "auto", DEFAULTS, gate, landing.limits(settings)).batches())
    with dbapi.connect(server.uri(settings)) as adbc, adbc.cursor() as cursor:
        cursor.execute("drop table if exists raw.bench")
        cursor.execute("create table raw.bench (like raw.event including defaults including indexes)")
        cursor.execute("alter table raw.bench add identified boolean, alter file_id set default 1")
        adbc.commit()
        begin = time.perf_counter()
        cursor.adbc_ingest(
            "bench",
            pa.RecordBatchReader.from_batches(EVENT_SCHEMA, iter(batches)),
            mode="append",
            db_schema_name="raw",
        )
        adbc.commit()
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
