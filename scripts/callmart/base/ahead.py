"""Work ahead: make the next items while one is used."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], most: int = 1) -> Iterator[T]:
    """Yield the same items. A second thread makes up to `most` items while the one before them is used, and its errors
    are raised here.
    """
    upcoming: deque[Future[T | None]] = deque()
    with ThreadPoolExecutor(1) as worker:
        upcoming.extend(worker.submit(next, items, None) for _ in range(most))
        while (item := upcoming.popleft().result()) is not None:
            upcoming.append(worker.submit(next, items, None))
            yield item
