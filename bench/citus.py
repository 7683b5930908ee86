"""A night on a Citus cluster, compared in one run with the same night on one machine with the same cores.

    CALLMART_TEST_CITUS_DSN=… python bench/citus.py [customers]

The database is a cluster's as tests/support/on_cluster.py needs it, and has to be empty. Both nights land the same
files of made-up customers and build their days. What each node sends is counted by the build itself.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console

from callmart.base.progress import quietly
from callmart.base.settings import EMULATOR, Settings, Tableau
from callmart.build import spreading, window
from callmart.database import embedded_server, server
from callmart.land.found import Delivery
from callmart.land.gate import Defaults
from callmart.land.landing import land_all
from callmart.registry import applying
from history import registry_of
from simulated import write_day

CUSTOMERS = 8
DSN = os.environ["CALLMART_TEST_CITUS_DSN"]


def main() -> None:
    """Print the seconds of each stage on both, their ratio, and the rows that came from each node."""
    out = Console(highlight=False)
    customers = range(1, int(sys.argv[1]) + 1 if len(sys.argv) > 1 else CUSTOMERS + 1)
    sent: list[list[Counter[str]]] = []
    compute = spreading.compute

    def watched(*given: Any, **named: Any) -> list[Counter[str]]:
        sent.append(compute(*given, **named))
        return sent[-1]

    spreading.compute = watched
    with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
        file = Path(folder) / "day.parquet"
        events = write_day(file, date.today() - timedelta(days=2), customers)
        one = Settings(home=Path(folder) / "one", dsn=None, folders=[])
        spread = Settings(
            home=Path(folder) / "spread", dsn=SecretStr(DSN), folders=[], tableau=Tableau(server=EMULATOR)
        )
        try:
            seconds = {settings.home.name: night(settings, file, customers) for settings in (one, spread)}
        finally:
            embedded_server.stop(one.home)
    out.print(f"{events:,} events of {len(customers)} customers")
    for stage, alone in seconds["one"].items():
        together = seconds["spread"][stage]
        out.print(
            f"{stage}: {alone:.1f} s on one machine, {together:.1f} s on the cluster, {together / alone:.2f}"
        )
    for number, rows in enumerate(sent[-1], start=1):
        out.print(
            f"node {number} sent {sum(rows.values()):,} rows: {', '.join(f'{n:,} {m}' for m, n in rows.items() if n)}"
        )


def night(settings: Settings, file: Path, customers: range) -> dict[str, float]:
    """Land and build; the seconds per stage."""
    with server.connect(settings) as connection:
        applying.apply(connection, settings, registry_of(dict.fromkeys(customers, "detailed")))
        return {
            "land": timed(
                lambda: list(
                    land_all(settings, [Delivery(file, "auto", Defaults(None, "vcloud", False, None))])
                )
            ),
            "build": timed(lambda: window.build(connection, settings, quietly)),
        }


def timed(stage: Callable[[], object]) -> float:
    """The seconds that a stage takes."""
    begin = time.perf_counter()
    stage()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
