"""How long `callmart publish` takes for many customers, compared with the uploads alone; and a plan without changes.

`python bench/publishing.py [CUSTOMERS]`. The extracts of 300 customers with two years each go to the emulator:
for the first time; when all have changed, compared with TSC alone uploading the same bytes one after the other; when
some have changed and each upload is held up, as on a real server; and when none has.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import tableauserverclient as TSC
from rich.console import Console

from callmart.base.settings import Settings
from callmart.database import server
from callmart.publish import deriving, emulator, tableau
from callmart.publish.desired import DataSource
from callmart.tableau_files import tds
from history import REPORTS, registry_of, scratch
from simulated import command
from tableau_emulator import faults
from tableau_emulator.state import State
from two_years import extract_all, fill_marts, options

CUSTOMERS = 300
SOME = 20
AT_MOST_S = 30  # for a plan


def main() -> None:
    """Print seconds, ratios and numbers of uploads."""
    out = Console(highlight=False, soft_wrap=True)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    with scratch(registry_of(options(number), REPORTS)) as settings:
        try:
            fill_marts(settings, options(number))
            extract_all(settings)
            seconds, uploads = _published(settings)
            out.print(f"{number} customers for the first time: {uploads} uploads, {seconds:.0f} s")

            for changed, held_up_s in (number, 0.0), (min(number, SOME), 0.5):
                with server.connect(settings) as connection, State(settings.home / "emulator") as state:
                    connection.execute(
                        "update ops.extract set content_hash = content_hash || '-' where customer_id <= %s",
                        [changed],
                    )
                    slow = faults.Fault("slow", "POST", "/datasources$", count=None, seconds=held_up_s)
                    faults.clear(state)
                    faults.inject(state, slow)
                seconds, uploads = _published(settings)
                alone, files, mib = uploaded(settings, changed)
                assert uploads == files
                out.print(
                    f"{changed} changed, an upload held up {held_up_s} s: {uploads} uploads, {mib:,.0f} MiB, "
                    f"{seconds:.1f} s; the uploads alone, one after the other, {alone:.1f} s; "
                    f"ratio {seconds / alone:.2f} (load {os.getloadavg()[0]:.1f})"
                )

            seconds, uploads = _published(settings, "--plan")
            out.print(f"none changed: planned in {seconds:.1f} s (at most {AT_MOST_S}), {uploads} uploads")
        finally:
            emulator.stop(settings.home)


def _published(settings: Settings, *options: str) -> tuple[float, int]:
    """Seconds of `callmart publish`, start included, and the number of uploads."""
    before = _uploads(settings)
    return command(settings, "publish", *options).seconds, _uploads(settings) - before


def _uploads(settings: Settings) -> int:
    with State(settings.home / "emulator") as state:
        return sum(
            each.method == "POST" and each.path.endswith(("/datasources", "/workbooks"))
            for each in state.requests()
        )


def uploaded(settings: Settings, customers: int) -> tuple[float, int, float]:
    """Upload the data sources of the first customers again with TSC alone. Returns seconds, number and MiB."""
    with server.connect(settings) as connection:
        wanted = deriving.desired(connection, settings)
    seconds, files, size = 0.0, 0, 0
    with tempfile.TemporaryDirectory(dir=settings.home) as folder, tableau.connect(settings) as tsc:
        there = {(each.project_name, each.name): each for each in TSC.Pager(tsc.datasources)}
        for customer in wanted[:customers]:
            for source in customer.data_sources:
                file = _packed(source, Path(folder))
                begin = time.perf_counter()
                tsc.datasources.publish(there[customer.project, source.name], file, "Overwrite")
                seconds += time.perf_counter() - begin
                files, size = files + 1, size + file.stat().st_size
    return seconds, files, size / 2**20


def _packed(source: DataSource, folder: Path) -> Path:
    file = folder / "source.tdsx"
    tds.package(source.source, file, source.data, source.types)
    return file


if __name__ == "__main__":
    main()
