"""What a rotation costs, and what its layer costs a landing: CPU seconds of callmart and the server, against those of
landing the same events, in one run. `python bench/rotating.py`. The tables are vacuumed at the end of a rotation.
"""

import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from callmart.base.settings import Settings
from callmart.database import server
from callmart.privacy import rotating
from callmart.registry import applying
from history import registry_of
from landing import CUSTOMER, DAYS, cpu_seconds, land_file, write_days

ROUNDS = 3


def main() -> None:
    """Print events per second of both, and the ratios."""
    out = Console(highlight=False, soft_wrap=True)
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
            settings = Settings(home=Path(folder) / "home", dsn=None, folders=[])
            try:
                out.print(_round(settings, Path(folder)))
            finally:
                server.stop(settings.home)


def _round(settings: Settings, folder: Path) -> str:
    """Land one file, rotate, and land another."""
    with server.administrator(settings.home) as postgres:
        postgres.execute("alter system set autovacuum = off")
    with server.connect(settings) as connection:
        applying.apply(connection, settings, registry_of({CUSTOMER: "detailed"}))
    last = date.today() - timedelta(days=30)
    events = write_days(folder / "plain", last)
    write_days(folder / "layered", last - timedelta(days=DAYS))
    landed, cpu = land_file(settings, folder / "plain")
    rotated, rotating_cpu = _rotate(settings)
    _, layered = land_file(settings, folder / "layered")
    return (
        f"{events:,} events: land {events / landed:,.0f}/s, rotate {events / rotated:,.0f}/s, ratio "
        f"{rotated / landed:.2f}, of CPU {rotating_cpu / cpu:.2f}; CPU of a landing with the layer "
        f"{layered / cpu - 1:+.1%}"
    )


def _rotate(settings: Settings) -> tuple[float, float]:
    """Seconds to rotate the key, by the clock and of CPU."""
    with server.connect(settings) as connection:
        begin, cpu = time.perf_counter(), cpu_seconds(settings)
        rotating.rotate(connection, settings, CUSTOMER, lambda *_: None)
        return time.perf_counter() - begin, cpu_seconds(settings) - cpu


if __name__ == "__main__":
    main()
