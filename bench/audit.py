"""What an audit of 200 customers costs per stage: seconds, and requests to the emulated Tableau.

`python bench/audit.py [CUSTOMERS]`. Each customer has all data sources and reports, and one recipient. The marts are
empty.
"""

import sys
import time
from itertools import pairwise

from rich.console import Console

from callmart.audit import audit
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import server
from callmart.operations import run, stages
from callmart.publish import emulator
from history import CUSTOMERS, registry_of, scratch
from tableau_emulator.state import State


def main() -> None:
    """Print what each stage of an audit took, in order."""
    out = Console(highlight=False)
    customers = range(1, int(sys.argv[1]) + 1) if len(sys.argv) > 1 else CUSTOMERS
    with scratch(registry_of(dict.fromkeys(customers, "detailed"))) as settings:
        try:
            with server.connect(settings) as connection:
                ran = stages.Ran()
                begin = time.perf_counter()
                run.deliver(connection, settings, ran, quietly)
                out.print(f"extracts and publication: {time.perf_counter() - begin:.0f} s")
                marks: list[tuple[str, float, int]] = []

                def on_step(stage: str, *_: object) -> None:
                    if not marks or marks[-1][0] != stage:
                        marks.append((stage, time.perf_counter(), _requests(settings)))

                on_step("begin")
                found = audit.audit(connection, settings, on_step)
                on_step("end")
        finally:
            emulator.stop(settings.home)
    for (stage, since, before), (_, until, after) in pairwise(marks):
        out.print(f"{stage:>9}: {until - since:6.1f} s, {after - before:5} requests")
    tableau = [check for check in found.checks if check.area == "Tableau"]
    out.print(f"{found.customers} customers: {sum(check.breaches for check in tableau)} breaches on Tableau")


def _requests(settings: Settings) -> int:
    with State(settings.home / "emulator") as state:
        return int(state.all("select coalesce(max(id), 0) from request")[0][0])


if __name__ == "__main__":
    main()
