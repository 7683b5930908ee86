"""The fixtures of tests of the expiry."""

from collections.abc import Callable

import pytest

from callmart_home import Callmart
from six_days import fill, restore


@pytest.fixture(scope="module")
def filled(callmart: Callmart, make_once: Callable[[Callmart, str, Callable[[], object]], None]) -> Callmart:
    """Three customers with six days around the border of a month; what all tables hold is put aside."""
    make_once(callmart, "six days", lambda: fill(callmart))
    return callmart


@pytest.fixture
def full(filled: Callmart) -> Callmart:
    """Everything as it was before anything expired."""
    restore(filled)
    return filled
