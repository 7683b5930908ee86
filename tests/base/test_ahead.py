"""Items are made ahead by a second thread, so many and no more."""

from collections.abc import Generator, Iterator
from queue import Queue
from threading import active_count

import pytest

from callmart.base.ahead import ahead

LONG_ENOUGH_S = 60


def test_the_next_one_is_made_while_one_is_used() -> None:
    made: Queue[int] = Queue()

    def numbers() -> Iterator[int]:
        for number in range(10):
            made.put(number)
            yield number

    before = active_count()
    items = ahead(numbers())
    assert next(items) == 0
    assert [made.get(timeout=LONG_ENOUGH_S) for _ in range(2)] == [0, 1]
    assert next(items) == 1
    assert made.get(timeout=LONG_ENOUGH_S) == 2
    assert isinstance(items, Generator)
    items.close()
    assert made.empty()
    assert active_count() == before


def test_an_error_is_raised_in_its_turn() -> None:
    def failing() -> Iterator[int]:
        yield from range(3)
        raise ValueError

    items = ahead(failing())
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError):
        next(items)
