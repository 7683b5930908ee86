"""The fixtures of tests of the database."""

from collections.abc import Callable

import pytest

from callmart_home import Callmart


@pytest.fixture(scope="module")
def callmart(make_callmart: Callable[[], Callmart]) -> Callmart:
    """A callmart for the tests of one module, with a server on which nothing has been applied yet."""
    return make_callmart()
