"""Files that only their owner can read, and their folders. Needs no server."""

import errno
import os
import stat
from pathlib import Path

import pytest

from callmart.base.secret_files import secret_file


def test_the_folders_above_are_closed_as_well(tmp_path: Path) -> None:
    """They are named by customers' numbers, and others can pass through root's home."""
    file = tmp_path / "reports" / "1042" / "page.html"
    secret_file(file, "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (file, *file.parents[:2])}
    assert modes == {"page.html": 0o600, "1042": 0o700, "reports": 0o700}


def test_a_full_disk_leaves_what_was_there_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "page.html"
    secret_file(file, "before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: '{file}'"):
        secret_file(file, "half")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert file.read_text() == "before"
