"""The fixtures of tests of the database."""

from collections.abc import Callable, Iterator

import pytest

import on_cluster
from callmart_home import Callmart
from centre import play


@pytest.fixture(scope="module")
def callmart(make_callmart: Callable[[], Callmart]) -> Callmart:
    """A callmart for the tests of one module, with a server on which nothing has been applied yet."""
    return make_callmart()


@pytest.fixture(scope="module")
def citus(alone_on_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callmart]:
    """Three customers with open marts, on the cluster of CALLMART_TEST_CITUS_DSN."""
    spread = on_cluster.callmart(tmp_path_factory.mktemp("citus"))
    play(spread, tmp_path_factory.mktemp("landed"))
    ran = spread.build_and_open()
    assert (ran.held_back_days, ran.opened_days > 0, ran.problems) == (0, True, [])
    yield spread
    spread.stop()
