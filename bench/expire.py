"""What readers notice of an expiry: the longest wait of a reader while a month of 200 customers is deleted, in one run.

Readers send queries in a loop, each with a customer's own login. A month is deleted twice: beside short queries, and
beside a reader that keeps its transaction open. The expiry must not make the other readers wait behind that one.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import psycopg
from rich.console import Console

from callmart.access import logins
from callmart.base.settings import Settings
from callmart.database import server
from callmart.retention import expire
from history import CUSTOMERS, QUEUES, fill, retention_floor, scratch, settle
from readers import Login, readers

QUARTERS = 12
READERS = 4
QUIET_S = 5  # how long the readers work without an expiry
KEEPS_S, LETS_GO_S = 2.0, 0.3  # how long the long reader keeps a transaction open, and pauses
AT_MOST_MS = 500  # how long a lock may make a reader wait

WEEK = (
    "select queue, sum(offered) from mart.queue_interval where call_date >= current_date - 7 group by queue"
)
YEARS = "select queue, sum(offered), sum(talk_s) from mart.queue_interval group by queue"


def main() -> None:
    """Print the longest wait of a reader without an expiry, and during each of the two."""
    out = Console(highlight=False, soft_wrap=True)
    with scratch() as settings:
        with server.connect(settings) as connection:
            floor = retention_floor(connection)
            kept = floor.replace(day=1)
            month = _month_before(kept)
            first = _month_before(month)
            rows = fill(connection, first, date.today() - timedelta(days=1), QUARTERS)
        settle(settings)
        out.print(
            f"{len(CUSTOMERS)} customers, two years and two months, {QUEUES * QUARTERS} rows per customer and day: "
            f"{rows:,} rows; {READERS} readers, who may wait {AT_MOST_MS} ms"
        )
        with readers(_logins(settings)) as waits:
            time.sleep(QUIET_S)
        out.print(f"no expiry: {waits}")

        out.print(f"{_expire(settings, month.replace(year=month.year + 2))}; short queries beside it")
        with readers(_logins(settings)) as waits, _long_reader(settings):
            time.sleep(QUIET_S)
        out.print(f"no expiry, and a reader that stays: {waits}")
        with _long_reader(settings):
            out.print(f"{_expire(settings, date.today())}; and a reader that stays")


def _expire(settings: Settings, today: date) -> str:
    """Expire as on this day, beside readers. Returns the line to print."""
    with server.connect(settings) as connection, readers(_logins(settings)) as waits:
        begin = time.perf_counter()
        outcomes = expire.expire(connection, settings, today)
        seconds = time.perf_counter() - begin
    rows = sum(one.step.count for one in outcomes if one.outcome == expire.DONE and one.step.kind == "mart")
    return f"expiry of {rows:,} rows in {seconds:.1f} s ({expire.overall(outcomes)}): {waits}"


def _logins(settings: Settings) -> list[Login]:
    """Customers who ask for their week and for two years, in turns."""
    with server.connect(settings) as owner:
        return [
            Login(logins.customer_uri(owner, settings, id), [(WEEK, YEARS)[number % 2]])
            for number, id in enumerate(CUSTOMERS[:READERS])
        ]


@contextmanager
def _long_reader(settings: Settings) -> Iterator[None]:
    """A customer who opens one long transaction after another, until the block ends."""
    over = threading.Event()
    with server.connect(settings) as owner:
        login = psycopg.connect(logins.customer_uri(owner, settings, CUSTOMERS[-1]))

    def stay() -> None:
        while not over.is_set():
            login.execute(WEEK).fetchall()
            over.wait(KEEPS_S)
            login.commit()
            over.wait(LETS_GO_S)

    thread = threading.Thread(target=stay)
    thread.start()
    time.sleep(0.1)
    try:
        yield
    finally:
        over.set()
        thread.join()
        login.close()


def _month_before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)


if __name__ == "__main__":
    main()
