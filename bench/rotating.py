"""How long a rotation takes, compared in one run with landing the same events, by the clock and by the CPU seconds of
callmart and the server. The vacuum at its end is part of it.
"""

import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console

from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import embedded_server, server
from callmart.privacy import rotating
from callmart.registry import applying
from history import registry_of
from landing import CUSTOMER, cpu_seconds, land_file, write_days

ROUNDS = 3


def main() -> None:
    """Print events per second of both, and their ratios per round."""
    out = Console(highlight=False, soft_wrap=True)
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
            settings = Settings(home=Path(folder) / "home", dsn=None, folders=[])
            try:
                out.print(_round(settings, Path(folder)))
            finally:
                embedded_server.stop(settings.home)


def _round(settings: Settings, folder: Path) -> str:
    """Land a file, then rotate the key."""
    with embedded_server.administrator(settings.home) as postgres:
        postgres.execute("alter system set autovacuum = off")
    with server.connect(settings) as connection:
        applying.apply(connection, settings, registry_of({CUSTOMER: "detailed"}))
    events = write_days(folder / "events", date.today() - timedelta(days=30))
    landed, cpu = land_file(settings, folder / "events")
    rotated, rotating_cpu = _rotate(settings)
    return (
        f"{events:,} events: land {events / landed:,.0f}/s, rotate {events / rotated:,.0f}/s, ratio "
        f"{rotated / landed:.2f}, of CPU {rotating_cpu / cpu:.2f}"
    )


def _rotate(settings: Settings) -> tuple[float, float]:
    """Seconds to rotate the key, by the clock and of CPU."""
    with server.connect(settings) as connection:
        begin, cpu = time.perf_counter(), cpu_seconds(settings)
        rotating.rotate(connection, settings, CUSTOMER, quietly)
        return time.perf_counter() - begin, cpu_seconds(settings) - cpu


if __name__ == "__main__":
    main()
