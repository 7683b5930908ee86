"""The weekly PDFs of many customers, compared with what none could do without: the SQL, and vl-convert on the charts.

`python bench/drawing.py [CUSTOMERS]`. Three reports each, of customers with two years of data. All is measured in the
same run: how long the statements and the charts took of the whole. 300 customers are the goal's size.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import vl_convert
from rich.console import Console

from callmart.access import logins
from callmart.base.settings import Settings
from callmart.database import server
from callmart.declarations import exposures
from callmart.reports import drawing, reading
from callmart.reports.reading import Reader
from history import REPORTS, registry_of, scratch
from two_years import fill_marts, options

CUSTOMERS = 20


class Cost(NamedTuple):
    """What drawing took: PDFs, seconds in all, of SQL and of charts, and the most memory of its process."""

    pdfs: int
    whole: float
    sql: float
    charts: float
    mib: float


def main() -> None:
    """Print seconds, the ratio and the most memory."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    with scratch(registry_of(options(number))) as settings:
        fill_marts(settings, options(number))
        # A process of its own, so that the memory is of the drawing alone.
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            cost = process.submit(_draw, settings.home, number).result()
    Console(highlight=False, soft_wrap=True).print(
        f"{cost.pdfs} PDFs of {number} customers: {cost.whole:.1f} s; SQL {cost.sql:.1f} s, vl-convert "
        f"{cost.charts:.1f} s: {cost.whole / (cost.sql + cost.charts):.2f} times both; {cost.mib:.0f} MiB "
        f"(load {os.getloadavg()[0]:.1f})"
    )


def timed(do: Callable[..., Any], spent: Counter[str], name: str) -> Callable[..., Any]:
    """The function, which adds to what is spent the seconds that it takes."""

    def measured(*given: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        try:
            return do(*given, **named)
        finally:
            spent[name] += time.perf_counter() - begin  # type: ignore[assignment]

    return measured


def _draw(home: Path, number: int) -> Cost:
    settings, spent, pdfs = Settings(home=home), Counter[str](), 0
    Reader.rows = timed(Reader.rows, spent, "sql")  # type: ignore[method-assign]
    vl_convert.vegalite_to_svg = timed(vl_convert.vegalite_to_svg, spent, "charts")
    declared = drawing.Declared.of(settings)
    begin = time.perf_counter()
    with server.connect(settings) as connection, logins.connect(settings, "publisher") as publisher:
        for customer_id in range(1, number + 1):
            customer = reading.customer(connection, customer_id)
            for name in REPORTS:
                page = drawing.draw(publisher, declared, exposures.named(name), customer)
                pdfs += bool(drawing.ENDINGS[".pdf"](page))
    return Cost(pdfs, time.perf_counter() - begin, spent["sql"], spent["charts"], _most_mib())


def _most_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
