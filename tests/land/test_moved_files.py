"""Files that were moved go when their last day is over, and nothing else goes. Needs no server."""

import errno
import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from callmart.base.errors import UserError
from callmart.land import taking_away
from callmart.land.look import Look

DAY = date(2026, 11, 24)
FOLDER = f"until-{DAY}"


def test_what_was_moved_stays_until_its_last_day_is_over(tmp_path: Path) -> None:
    others = ["until-2020-01-01-by-hand", "until-2020-13-01"]
    for name in FOLDER, *others:
        (tmp_path / name).mkdir()
    (tmp_path / FOLDER / "a").touch()
    assert taking_away.remove_moved(tmp_path, DAY) == (0, None)
    assert taking_away.remove_moved(tmp_path, DAY + timedelta(days=1)) == (1, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == others, "not ours"


def test_what_a_link_among_moved_files_leads_to_stays(tmp_path: Path) -> None:
    other, archive = tmp_path / "other", tmp_path / "archive"
    for folder in other, archive:
        folder.mkdir()
    (other / "a").touch()
    (archive / FOLDER).symlink_to(other)
    removed, mistake = taking_away.remove_moved(archive, DAY + timedelta(days=1))
    assert removed == 0 and "can't be deleted in time" in str(mistake)
    assert (other / "a").exists()


def test_no_file_is_moved_behind_a_link_in_the_place_of_a_day(tmp_path: Path) -> None:
    """It would stay there for ever: what a link leads to is not deleted."""
    other, archive, raw = tmp_path / "other", tmp_path / "archive", tmp_path / "raw.csv"
    for folder in other, archive:
        folder.mkdir()
    raw.write_text("0612345678")
    (archive / FOLDER).symlink_to(other)
    with pytest.raises(UserError, match=f"{FOLDER} is a link; remove it"):
        taking_away._move(raw, Look.of(raw.lstat()), "digest", archive, DAY)
    assert raw.exists() and not any(other.iterdir())


def test_no_file_is_copied_through_a_link_in_the_place_of_its_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another volume a file is copied. Whoever puts a link there would have a file of ours written over."""
    ours, raw = tmp_path / "ours", tmp_path / "raw.csv"
    ours.write_text("ours")
    raw.write_text("theirs")
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / ".raw.csv").symlink_to(ours)
    replace = Path.replace

    def to_another_volume(path: Path, target: Path) -> Path:
        if path == raw:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", to_another_volume)
    taking_away._move(raw, Look.of(raw.lstat()), "digest", tmp_path, DAY)
    assert ours.read_text() == "ours"
    moved = tmp_path / FOLDER / "raw.csv"
    assert not moved.is_symlink() and moved.read_text() == "theirs"
