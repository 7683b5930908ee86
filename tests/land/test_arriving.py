"""Which files of a folder can land now. Needs no server: the choice follows from names, times and a clock."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from callmart.base.errors import UserError
from callmart.base.settings import LONGEST_KEPT_DAYS, Folder
from callmart.land import arriving, found
from callmart.land.gate import Defaults
from callmart.land.look import Look

NOW = 1_800_000_000.0
LONG_AGO = NOW - 3600


def put(folder: Path, name: str, changed: float = LONG_AGO) -> Path:
    path = folder / name
    path.write_text(name)
    os.utime(path, (changed, changed))
    return path


def as_anothers(link: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a link seem to be made by another user."""
    if os.geteuid() == 0:
        os.lchown(link, 1, 1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 1)


def look(path: Path, **settings: Any) -> tuple[list[str], list[str]]:
    """The names of the files to land, and what is said about the others, without the name of the folder."""
    found = arriving.arrived(Folder(path=path, **settings), lambda: NOW)
    said = [*found.unfinished, *found.problems]
    assert all(sentence.startswith(f"{path}/") for sentence in said)
    return [file.name for file, _ in found.files], [sentence.removeprefix(f"{path}/") for sentence in said]


@pytest.mark.parametrize(("age", "is_settled"), [(59, False), (60, True), (61, True), (0, False)])
def test_a_file_that_changed_a_moment_ago_waits(tmp_path: Path, age: int, is_settled: bool) -> None:
    put(tmp_path, "calls.csv", NOW - age)
    files, problems = look(tmp_path)
    assert (files == ["calls.csv"]) is is_settled
    assert problems == (
        []
        if is_settled
        else [
            "calls.csv is unfinished: it changed less than 60 seconds ago (settle_seconds); the next run takes it"
        ]
    )


def test_what_stays_unfinished_is_a_problem_at_last(tmp_path: Path) -> None:
    """Where runs come often, nobody has to look at a file that has just come."""
    put(tmp_path, "young.part", NOW - 3599)
    put(tmp_path, "old.part", NOW - 3600)
    put(tmp_path, "future.part", NOW + 1)
    found = arriving.arrived(Folder(path=tmp_path), lambda: NOW)
    assert [Path(one.split()[0]).name for one in found.unfinished] == ["young.part"]
    assert [Path(one.split()[0]).name for one in found.problems] == ["future.part", "old.part"]


def test_a_file_need_not_rest_whatever_the_clock_of_its_machine_says(tmp_path: Path) -> None:
    put(tmp_path, "calls.csv", NOW + 100)
    assert look(tmp_path, settle_seconds=0) == (["calls.csv"], [])


def test_a_file_that_is_written_while_the_folder_is_read_is_not_from_the_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, entries = [NOW], arriving._entries

    def reading(path: Path, opened: int) -> Any:
        now.append(NOW + 5)
        put(path, "calls.csv", NOW + 5)
        return entries(path, opened)

    monkeypatch.setattr(arriving, "_entries", reading)
    found = arriving.arrived(Folder(path=tmp_path), lambda: now[-1])
    assert len(found.unfinished) == 1 and "it changed less than 60 seconds ago" in found.unfinished[0]


def test_each_folder_says_how_long_a_file_has_to_rest(tmp_path: Path) -> None:
    put(tmp_path, "calls.csv", NOW - 100)
    assert look(tmp_path, settle_seconds=101)[0] == []
    assert look(tmp_path, settle_seconds=100)[0] == ["calls.csv"]
    put(tmp_path, "calls.csv", NOW)
    assert look(tmp_path, settle_seconds=0) == (["calls.csv"], [])


def test_a_file_of_the_future_names_the_clock(tmp_path: Path) -> None:
    put(tmp_path, "calls.csv", NOW + 600)
    files, (problem,) = look(tmp_path)
    assert files == []
    assert "correct the clock of the machine that wrote it, or `touch` the file" in problem


@pytest.mark.parametrize("name", ["calls.csv.part", "calls.tmp", "calls.csv.filepart", "CALLS.CSV.PART"])
def test_a_name_of_a_file_that_is_being_sent_waits(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    put(tmp_path, "party")
    files, (problem,) = look(tmp_path, settle_seconds=0)
    assert files == ["party"]
    assert problem.startswith(
        f"{name} is unfinished: its name ends in {Path(name).suffix.lower()}; it lands when"
    )


def test_a_file_waits_for_its_marker(tmp_path: Path) -> None:
    put(tmp_path, "a.csv")
    put(tmp_path, "b.csv")
    put(tmp_path, "b.csv.done")
    put(tmp_path, "c.done")  # the sender may put it first
    files, (problem,) = look(tmp_path, done=True)
    assert files == ["b.csv"]
    assert problem.startswith("a.csv is unfinished: a.csv.done is awaited beside it; the next run takes it")


def test_a_marker_of_an_earlier_file_of_the_name_does_not_count(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", NOW - 100)
    put(tmp_path, "a.csv.done", NOW - 101)
    assert look(tmp_path, done=True)[0] == []
    put(tmp_path, "a.csv.done", NOW - 100)
    assert look(tmp_path, done=True) == (["a.csv"], [])


def test_a_marked_file_that_still_changes_waits_all_the_same(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", NOW - 1)
    put(tmp_path, "a.csv.done", NOW)
    assert look(tmp_path, done=True)[0] == []


def test_a_folder_is_no_marker(tmp_path: Path) -> None:
    put(tmp_path, "a.csv")
    (tmp_path / "a.csv.done").mkdir()
    files, (awaited, problem) = look(tmp_path, done=True)
    assert files == []
    assert awaited.startswith("a.csv is unfinished: a.csv.done is awaited beside it")
    assert problem == "a.csv.done is not a file; take it out of the landing folder"
    (tmp_path / "a.csv").unlink()
    os.utime(tmp_path / "a.csv.done", (LONG_AGO, LONG_AGO))
    arriving.clear_markers(Folder(path=tmp_path, done=True), NOW)


def test_where_no_marker_is_expected_it_is_a_file_like_any_other(tmp_path: Path) -> None:
    put(tmp_path, "a.done")
    assert look(tmp_path) == (["a.done"], [])


def test_what_was_changed_first_lands_first(tmp_path: Path) -> None:
    """The new part of a log that was rotated has the shorter name."""
    for age, name in (100, "queue_log"), (200, "queue_log.1"), (200, "queue_log.0"):
        put(tmp_path, name, NOW - age)
    assert look(tmp_path) == (["queue_log.0", "queue_log.1", "queue_log"], [])


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    """A link could lead into the folder of another customer, whose calls would land as this one's."""
    put(tmp_path, "b.csv")
    (tmp_path / "a-link").symlink_to("b.csv")
    (tmp_path / "c-broken").symlink_to("nowhere")
    (tmp_path / "d-folder").mkdir()
    os.mkfifo(tmp_path / "e-pipe")
    put(tmp_path, ".draft")
    files, problems = look(tmp_path, settle_seconds=0)
    assert files == ["b.csv"]
    assert problems == [
        "a-link is a link; put the file itself into the landing folder",
        "c-broken is a link; put the file itself into the landing folder",
        "d-folder is not a file; take it out of the landing folder",
        "e-pipe is not a file; take it out of the landing folder",
    ]


def test_a_folder_that_another_user_made_a_link_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leads into another customer's folder. Whoever delivers may own the folder above."""
    (others := tmp_path / "others").mkdir()
    put(others, "a.csv")
    (link := tmp_path / "inbox").symlink_to(others)
    assert [file.name for file, _ in arriving.arrived(Folder(path=link), lambda: NOW).files] == ["a.csv"]
    as_anothers(link, monkeypatch)
    for path in link, link / ".." / "inbox":
        with pytest.raises(UserError, match=f"^{link} leads to "):
            arriving.arrived(Folder(path=path), lambda: NOW)


def test_a_folder_that_becomes_a_link_meanwhile_is_not_read(tmp_path: Path) -> None:
    (others := tmp_path / "others").mkdir()
    put(others, "a.csv")
    (inbox := tmp_path / "inbox").mkdir()
    folder = Folder(path=inbox)
    inbox.rmdir()
    inbox.symlink_to(others)
    with pytest.raises(UserError, match=f"^{inbox} leads to "):
        arriving.arrived(folder, lambda: NOW)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "inbox").symlink_to("inbox/inbox")
    with pytest.raises(ValidationError, match="links lead in a circle; name the folder itself"):
        Folder(path=tmp_path / "inbox")


def test_a_file_that_vanishes_meanwhile_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = put(tmp_path, "a.csv")
    put(tmp_path, "b.csv")
    inner = os.lstat

    def lstat(path: str, *, dir_fd: int | None = None) -> os.stat_result:
        if path == gone.name:
            gone.unlink(missing_ok=True)
        return inner(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "lstat", lstat)
    assert look(tmp_path) == (
        ["b.csv"],
        ["a.csv vanished meanwhile, and nothing of it landed; land it again when it is back"],
    )


def test_only_markers_without_a_file_are_cleared(tmp_path: Path) -> None:
    folder = Folder(path=tmp_path, done=True)
    for name in "a.csv", "a.csv.done", "b.csv.done":
        put(tmp_path, name)
    put(tmp_path, "c.csv.done", NOW - 1)  # its file may be on its way
    arriving.clear_markers(folder, NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.csv.done", "c.csv.done"]
    arriving.clear_markers(Folder(path=tmp_path), NOW + 99)
    assert len(list(tmp_path.iterdir())) == 3, "where no marker is expected there is none"


def test_a_marker_that_cannot_be_deleted_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(path=tmp_path, done=True)
    stuck = put(tmp_path, "a.csv.done")
    put(tmp_path, "b.csv.done")
    inner = os.unlink

    def unlink(name: str, **settings: int) -> None:
        if name == stuck.name:
            raise PermissionError(13, "Permission denied")
        inner(name, **settings)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(
        UserError, match=rf"^{tmp_path}/a.csv.done can't be deleted \(.+\); .* on {tmp_path}$"
    ):
        arriving.clear_markers(folder, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv.done"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nowhere to move to": ({"after": "move"}, 'after = "move" needs move_to'),
    "a place for what stays": ({"move_to": "/archive"}, 'move_to needs after = "move"'),
    "days for what is deleted": ({"after": "delete", "keep_days": 3}, 'keep_days needs after = "move"'),
    "longer than promised": (
        {"after": "move", "move_to": "/archive", "keep_days": LONGEST_KEPT_DAYS + 1},
        "less than or equal to 730",
    ),
    "not a day": ({"after": "move", "move_to": "/archive", "keep_days": 0}, "greater than or equal to 1"),
    "another word": ({"after": "remove"}, "'keep', 'delete' or 'move'"),
    "no time to rest": ({"settle_seconds": -1}, "greater than or equal to 0"),
    "a setting that is none": ({"settle": 5}, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize(("settings", "remedy"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_is_refused(tmp_path: Path, settings: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Folder(path=tmp_path, **settings)
    assert remedy in str(refused.value)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in tmp_path / "none", put(tmp_path, "file"):
        with pytest.raises(UserError, match=r"is not a folder; correct `folders` in callmart\.toml"):
            arriving.arrived(Folder(path=path), lambda: NOW)


@pytest.mark.parametrize("mode", [0o000, 0o644], ids=oct)
def test_a_folder_that_may_not_be_read_is_no_empty_one(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").touch()
    tmp_path.chmod(mode)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(
            UserError, match=r"can't be read \(PermissionError: Permission denied\); give this user"
        ):
            arriving.arrived(Folder(path=tmp_path), lambda: NOW)
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)


def test_a_file_that_becomes_a_hole_of_terabytes_while_it_is_read_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no place, and would take hours."""
    file = tmp_path / "a"
    file.write_bytes(b"a" * (found.BLOCK + 1))
    delivery = found.Delivery(file, "auto", Defaults(1, "vcloud", False, None), Look.of(file.lstat()), True)

    def growing(_: int) -> bool:
        os.truncate(file, 1 << 43)
        return True

    monkeypatch.setattr(found, "S_ISREG", growing)
    with pytest.raises(UserError, match="changed meanwhile"):
        found.find(delivery)
