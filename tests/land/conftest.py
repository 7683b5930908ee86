"""The fixtures that tests of landing share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from landed import OWN
from landing import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "events"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(scope="module")
def own() -> Iterator[int]:
    """The customers whom no test of the module has yet."""
    return iter(OWN)


@pytest.fixture
def customer(own: Iterator[int]) -> int:
    """A detailed customer in Amsterdam whom no other test of the module knows."""
    return next(own)


@pytest.fixture
def other(own: Iterator[int]) -> int:
    """One more."""
    return next(own)
