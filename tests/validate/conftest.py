"""The fixtures that tests of checks share."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callmart.declarations import expectations
from callmart.opening import opening
from callmart_home import Callmart, MakeOnce
from checking import EVERY_DAY, check, compute


@pytest.fixture(scope="module")
def computed(played: Callmart, make_once: MakeOnce, shared: Path) -> Path:
    """All days as they are computed, before anybody has looked; after they have passed and been opened."""

    def make() -> None:
        with played.connect() as connection:
            compute(played, connection, EVERY_DAY)
            assert check(played, connection).held_back == set()
            opening.open_build(connection, played.settings)
            compute(played, connection, EVERY_DAY)

    make_once(played, "computed", make)
    return shared / "computed"


@pytest.fixture
def owner(played: Callmart, computed: Path) -> Iterator[psycopg.Connection]:
    """The owner of days that are computed, and not checked yet."""
    played.restore(computed)
    with played.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def spare_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the suites, to be changed."""
    for file in expectations.FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(expectations, "FOLDER", tmp_path)
    return tmp_path
