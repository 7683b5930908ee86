"""The fixtures that tests of landing share."""

from pathlib import Path

import pytest

from landing import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "events"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
