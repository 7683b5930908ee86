"""Landing the files of many customers, compared in one run with landing one file that holds as many events; many tiny
files; and passing the tiny files again, which are known by then. For a quick look, give fewer customers and files:
`python bench/many_files.py 30 1000`.

Rates are by the clock. The server is stopped between the landings, so that none pays for what the one before left.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from rich.console import Console

from callmart.base.settings import Settings
from callmart.database import embedded_server, server
from callmart.land import landing, loader
from callmart.land.found import Delivery
from callmart.land.gate import Defaults
from callmart.registry import applying
from callmart.simulator.simulate import simulate
from history import registry_of
from landing import cpu_seconds
from simulated import of_customer

CONTACTS = 1_200  # of each customer
TINY_ROWS = 6


def main(customers: int = 300, tiny: int = 10_000) -> None:
    """Print the rates and their ratios."""
    out = Console(highlight=False)
    loader.YOUNG_S = 0  # the files have just been made
    with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", dsn=None, folders=[])
        try:
            with embedded_server.administrator(settings.home) as postgres:
                postgres.execute("alter system set autovacuum = off")
            _register(settings, customers + 1)
            own, whole = _files(Path(folder), customers)
            events, seconds, _ = _land(settings, [whole])
            one = events / seconds
            out.print(f"one file of {events:,} events: {one:,.0f}/s")
            events, seconds, _ = _land(settings, own)
            out.print(
                f"{customers} files of {customers} customers, {events:,} events: {events / seconds:,.0f}/s,"
                f" {events / seconds / one:.2f} of one file"
            )
            files = _tiny_files(Path(folder), tiny)
            _, first, first_cpu = _land(settings, files)
            _, again, again_cpu = _land(settings, files)
            out.print(
                f"{tiny:,} files of {TINY_ROWS} rows: {first:.1f} s, {first_cpu / tiny * 1000:.2f} ms of CPU each;"
                f" known: {again:.2f} s, {again_cpu / tiny * 1000:.3f} ms each, {again / first:.3f} of the first time"
            )
            _, alone, alone_cpu = _land(settings, _tiny_files(Path(folder), 20, "alone"), together=False)
            out.print(
                f"tiny files landed alone: {alone / 20 * 1000:.0f} ms, {alone_cpu / 20 * 1000:.0f} ms of CPU each"
            )
        finally:
            embedded_server.stop(settings.home)


def _register(settings: Settings, customers: int) -> None:
    wanted = registry_of(dict.fromkeys(range(1, customers + 1), "detailed"))
    with server.connect(settings) as connection:
        applying.apply(connection, settings, wanted)
        connection.commit()


def _files(folder: Path, customers: int) -> tuple[list[Path], Path]:
    """A file per customer, and one of a further customer with as many events."""
    day = date.today() - timedelta(days=40)
    agents = [f"user-{number}" for number in range(10)]

    def simulated(days: int) -> pa.Table:
        every = [day + timedelta(days=number) for number in range(days)]
        made = simulate(
            1,
            every,
            "Europe/Amsterdam",
            ["a", "b"],
            agents,
            contacts_per_day=CONTACTS * customers // 30,
            seed=1,
        )
        return made.events.sort_by("occurred_at")

    whole = simulated(30)
    own = whole.slice(0, whole.num_rows // customers)
    paths = []
    for number, rows in [*((id, own) for id in range(1, customers + 1)), (customers + 1, whole)]:
        paths.append(folder / f"{number}.parquet")
        pyarrow.parquet.write_table(of_customer(rows, number), paths[-1])
    return paths[:-1], paths[-1]


def _tiny_files(folder: Path, count: int, name: str = "tiny") -> list[Path]:
    moment = datetime.combine(date.today() - timedelta(days=5), datetime.min.time(), UTC)
    paths = []
    for number in range(count):
        rows = [
            {
                "customer_id": 1,
                "event": "queue_joined",
                "occurred_at": (moment + timedelta(seconds=number)).isoformat(),
                "call_id": f"{name}-{number}-{row}",
                "queue": "q",
            }
            for row in range(TINY_ROWS)
        ]
        paths.append(folder / f"{name}-{number}")
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def _land(settings: Settings, paths: Sequence[Path], *, together: bool = True) -> tuple[int, float, float]:
    """The events that landed, and the seconds it took, by the clock and of CPU."""
    embedded_server.stop(settings.home)
    embedded_server.start(settings.home)
    defaults = Defaults(None, "vcloud", False, None)
    cpu, begin = cpu_seconds(settings), time.perf_counter()
    if together:
        outcomes = [
            one for _, one in landing.land_all(settings, [Delivery(p, "auto", defaults) for p in paths])
        ]
    else:
        outcomes = [landing.land(settings, path, "auto", defaults) for path in paths]
    seconds = time.perf_counter() - begin
    landed = [one for one in outcomes if isinstance(one, landing.Landed)]
    assert len(landed) == len(paths), [one for one in outcomes if isinstance(one, Exception)][:3]
    return sum(one.landed for one in landed), seconds, cpu_seconds(settings) - cpu


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
