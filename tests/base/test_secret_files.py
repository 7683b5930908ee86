"""Files that only their owner can read, and their folders. Needs no server."""

import stat
from pathlib import Path

from callmart.base.secret_files import secret_file


def test_the_folders_above_are_closed_as_well(tmp_path: Path) -> None:
    """They are named by customers' numbers, and others can pass through root's home."""
    file = tmp_path / "reports" / "1042" / "page.html"
    secret_file(file, "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (file, *file.parents[:2])}
    assert modes == {"page.html": 0o600, "1042": 0o700, "reports": 0o700}
