"""Work ahead: make the next items while one is used."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], most: int = 1) -> Iterator[T]:
    """Yield the same items. A second thread makes up to `most` of the next ones while one is used, and its errors are
    raised here.
    """
    worker = ThreadPoolExecutor(1)
    try:
        upcoming = deque(worker.submit(next, items, None) for _ in range(most))
        while (item := upcoming.popleft().result()) is not None:
            upcoming.append(worker.submit(next, items, None))
            yield item
    finally:
        worker.shutdown(cancel_futures=True)
