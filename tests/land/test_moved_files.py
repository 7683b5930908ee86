"""Files that were moved go when their last day is over, and nothing else goes. Needs no server."""

from datetime import date, timedelta
from pathlib import Path

from callmart.land import taking_away

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
