"""What becomes of files that landed: only what the database has goes, and a crash is made good by the next run."""

import errno
import gzip
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import Folder
from callmart.database import clock
from callmart.land import found, landing, readers, taking_away
from callmart.operations import run, stages
from callmart_home import Callmart
from events import at, event, ndjson, registry
from nights import Crash

CUSTOMER = 1


@pytest.fixture(scope="module")
def ready(callmart: Callmart) -> Callmart:
    callmart.apply(registry(f"id: {CUSTOMER}, contracts: [{{option: standard, from: 2020-01-01}}]"))
    return callmart


@pytest.fixture(scope="module")
def today(ready: Callmart) -> date:
    with ready.connect() as connection:
        return clock.today(connection, ready.settings)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (folder := tmp_path / "inbox").mkdir()
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (folder := tmp_path / "archive").mkdir()
    return folder


Put = Callable[..., Path]


@pytest.fixture
def put(inbox: Path, request: pytest.FixtureRequest) -> Put:
    """Puts a file with one call into the inbox. The same `call` gives the same content."""

    def put(name: str, call: str = "a", **values: Any) -> Path:
        row = event(
            "queue_joined",
            at("10:00"),
            customer_id=CUSTOMER,
            call_id=f"{request.node.name} {call}",
            queue="q",
        )
        (path := inbox / name).write_text(ndjson(row | values))
        return path

    return put


def landing_of(callmart: Callmart, **settings: Any) -> stages.Ran:
    """The part of a night that lands one folder."""
    folder = Folder(**{"settle_seconds": 0} | settings)
    ran = stages.Ran()
    with callmart.connect() as connection:
        stages.land_folders(
            connection, callmart.settings.model_copy(update={"folders": [folder]}), ran, quietly
        )
    return ran


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def until(today: date, days: int = 30) -> str:
    return f"until-{today + timedelta(days=days)}"


def test_a_file_stays_unless_its_folder_says_otherwise(ready: Callmart, inbox: Path, put: Put) -> None:
    put("a")
    assert landing_of(ready, path=inbox).problems == []
    assert names(inbox) == ["a"]


def test_only_what_landed_is_deleted(ready: Callmart, inbox: Path, put: Put) -> None:
    put("good")
    put("good.done", "another")  # only a name: its content is not looked at
    (inbox / "bad").write_text("not an event\n" * 9)
    (inbox / "bad.done").touch()
    put("open.part")
    put("unmarked")
    ran = landing_of(ready, path=inbox, after="delete", done=True)
    assert [file.landed for file in ran.files] == [1]
    assert len(ran.problems) == 3
    assert names(inbox) == ["bad", "bad.done", "open.part", "unmarked"]


def test_a_file_with_some_bad_rows_goes_and_one_with_too_many_stays(
    ready: Callmart, inbox: Path, put: Put
) -> None:
    few, many = put("few"), put("many", "b")
    few.write_text(few.read_text() * 30 + "{}\n")
    many.write_text(many.read_text() + "{}\n")
    (problem,) = landing_of(ready, path=inbox, after="delete").problems
    assert "1 of 2 rows can't be landed" in problem
    assert names(inbox) == ["many"]


def test_a_file_without_the_end_of_its_last_line_stays_however_often_it_lands(
    ready: Callmart, inbox: Path, put: Put
) -> None:
    file = put("a")
    file.write_text(file.read_text() + put("b", "b").read_text().rstrip("\n"))
    (inbox / "b").unlink()
    for unchanged in False, True:
        ran = landing_of(ready, path=inbox, after="delete")
        assert [one.unchanged for one in ran.files] == [unchanged]
        assert ran.problems == [
            f"{file} landed without its last line, which has no line end, and stays; let the sender end the line"
        ]
    file.write_text(file.read_text() + "\n")
    assert landing_of(ready, path=inbox, after="delete").problems == []
    assert names(inbox) == []


@pytest.mark.parametrize("settle_seconds", [60, 0])
def test_a_last_line_without_its_end_is_named_unless_it_is_still_being_written(
    ready: Callmart, inbox: Path, put: Put, settle_seconds: int
) -> None:
    file = put("a")
    file.write_text(file.read_text() + put("b", "b").read_text().rstrip("\n"))
    (inbox / "b").unlink()
    os.utime(file, (0, 0))
    (problem,) = landing_of(ready, path=inbox, settle_seconds=settle_seconds).problems or [""]
    assert problem.endswith("stays; let the sender end the line") == (settle_seconds > 0)


def test_a_moved_file_is_kept_as_long_as_its_folder_says(
    ready: Callmart, inbox: Path, archive: Path, put: Put, today: date
) -> None:
    content = put("a").read_text()
    assert landing_of(ready, path=inbox, after="move", move_to=archive, keep_days=7).problems == []
    kept = archive / until(today, 7) / "a"
    assert (names(inbox), kept.read_text()) == ([], content)
    assert kept.parent.stat().st_mode & 0o077 == 0


def test_no_copy_outlives_the_two_years_of_its_oldest_row(
    ready: Callmart, inbox: Path, archive: Path, put: Put, today: date
) -> None:
    oldest = today - timedelta(days=700)
    put("a", occurred_at=f"{oldest}T12:00:00+00:00")
    assert landing_of(ready, path=inbox, after="move", move_to=archive, keep_days=365).problems == []
    ((last_day,),) = [
        tuple(row.values()) for row in ready.rows("select (%s::date + interval '2 years')::date", oldest)
    ]
    assert names(archive) == [f"until-{last_day}/a"]
    assert last_day < today + timedelta(days=365)


def test_a_name_that_is_there_is_never_overwritten(
    ready: Callmart, inbox: Path, archive: Path, put: Put, today: date
) -> None:
    contents = set()
    for call in "a", "b", "c", "c":
        contents.add(put("queue_log", call).read_text())
        assert landing_of(ready, path=inbox, after="move", move_to=archive).problems == []
        assert names(inbox) == []
    kept = sorted((archive / until(today)).iterdir())
    assert [path.read_text() for path in kept if path.name == "queue_log"] == [min(contents)]
    assert {path.read_text() for path in kept} == contents
    assert len(kept) == 3


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder is a file system of its own, as the kernel has it."""
    inner = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if path.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
        return inner(path, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.usefixtures("apart")
def test_a_file_moves_to_another_file_system(
    ready: Callmart, inbox: Path, archive: Path, put: Put, today: date
) -> None:
    content = put("a").read_text()
    assert landing_of(ready, path=inbox, after="move", move_to=archive).problems == []
    assert (names(inbox), names(archive)) == ([], [f"{until(today)}/a"])
    kept = archive / until(today) / "a"
    assert (kept.read_text(), kept.stat().st_mode & 0o077) == (content, 0)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "written to"])
@pytest.mark.parametrize("step", ["while it is copied", "while the copy of a crash is compared"])
def test_what_comes_while_a_file_moves_to_another_file_system_is_not_deleted(
    ready: Callmart, inbox: Path, archive: Path, put: Put, today: date, monkeypatch: pytest.MonkeyPatch,
    step: str, is_replaced: bool,
) -> None:  # fmt: skip
    file = put("a", f"{step} {is_replaced}")
    more = (content := file.read_text()).replace("T10:00", "T10:01")
    if step != "while it is copied":
        (archive / until(today)).mkdir()
        (archive / until(today) / "a").write_text(content)
    place, name = (os, "fsync") if step == "while it is copied" else (taking_away, "_has_content")
    inner = getattr(place, name)

    def changing(*arguments: Any) -> Any:
        if is_replaced:
            file.unlink()
        file.write_text(more if is_replaced else content + more)
        return inner(*arguments)

    monkeypatch.setattr(place, name, changing)
    (problem,) = landing_of(ready, path=inbox, after="move", move_to=archive).problems
    assert problem == f"{file} changed after it landed, and stays; the next run lands it again"
    monkeypatch.setattr(place, name, inner)
    assert [one.landed for one in landing_of(ready, path=inbox, after="move", move_to=archive).files] == [1]


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize(
    "crash", ["before the move", "before the copy is whole", "before the file is deleted"]
)
def test_a_crash_is_made_good_by_the_next_run(
    ready: Callmart, inbox: Path, archive: Path, put: Put, today: date, crash: str
) -> None:
    def breaking(*_: Any, **__: Any) -> None:
        raise Crash

    put("a")
    place, name = {
        "before the move": (taking_away, "take_away"),
        "before the copy is whole": (os, "fsync"),
        "before the file is deleted": (taking_away, "_delete_unchanged"),
    }[crash]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        patch.setattr(place, name, breaking)
        landing_of(ready, path=inbox, after="move", move_to=archive)
    assert names(inbox) == ["a"]
    assert [*archive.rglob(".a")] == [], "a draft would keep its room on a disk that is full"
    ran = landing_of(ready, path=inbox, after="move", move_to=archive)
    assert ([file.unchanged for file in ran.files], ran.problems) == ([True], [])
    assert (names(inbox), names(archive)) == ([], [f"{until(today)}/a"])


@pytest.mark.parametrize("is_hole", [True, False], ids=["a hole of terabytes", "rows"])
def test_a_file_that_changed_after_it_landed_stays(
    ready: Callmart, inbox: Path, put: Put, monkeypatch: pytest.MonkeyPatch, is_hole: bool
) -> None:
    file, inner = put("a", f"{is_hole}"), landing.land_all
    more = put("b", "b").read_text()
    (inbox / "b").unlink()

    def land_all(*arguments: Any) -> Iterator[landing.Outcome]:
        for outcome in inner(*arguments):
            if is_hole:
                os.truncate(file, 1 << 43)
            else:
                file.write_text(file.read_text() + more)
            yield outcome

    monkeypatch.setattr(landing, "land_all", land_all)
    ran = landing_of(ready, path=inbox, after="delete")
    said = (
        "landed, but holds more than 32.0 GiB now, and stays: delete it, or raise max_file_gib in callmart.toml"
        if is_hole
        else "changed after it landed, and stays; the next run lands it again"
    )
    assert ran.problems == [f"{file} {said}"]
    monkeypatch.undo()
    if is_hole:
        file.unlink()
    assert landing_of(ready, path=inbox, after="delete").problems == []
    assert names(inbox) == []


def test_a_file_that_vanishes_before_it_is_read_says_so(
    ready: Callmart, inbox: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, inner = put("a"), landing.land_all
    put("b", "b")

    def land_all(*arguments: Any) -> Iterator[landing.Outcome]:
        gone.unlink()
        yield from inner(*arguments)

    monkeypatch.setattr(landing, "land_all", land_all)
    ran = landing_of(ready, path=inbox)
    (problem,) = ran.problems
    assert problem == f"{gone} vanished meanwhile, and nothing of it landed; land it again when it is back"
    assert [file.landed for file in ran.files] == [1]


@pytest.mark.parametrize("after", ["delete", "move"])
def test_a_file_that_the_sender_takes_away_once_it_landed_is_no_problem(
    ready: Callmart, inbox: Path, archive: Path, put: Put, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    file, inner = put("a"), landing.land_all

    def land_all(*arguments: Any) -> Iterator[landing.Outcome]:
        for outcome in inner(*arguments):
            file.unlink()
            yield outcome

    monkeypatch.setattr(landing, "land_all", land_all)
    ran = landing_of(ready, path=inbox, after=after, **{"move_to": archive} if after == "move" else {})
    assert ([file.landed for file in ran.files], ran.problems) == ([1], [])


GROWING: dict[str, tuple[Callable[[Path], object], int]] = {
    "is cut": (lambda file: os.truncate(file, 10), 0),
    "is cut and grows again": (lambda file: file.write_text("x" * 5000), 0),
    "is written over": (lambda file: file.write_text("x" * file.stat().st_size), 0),
    "grows": (lambda file: file.open("a").write("x"), 1),
    "is touched": (lambda file: file.touch(), 1),
    "is replaced": (lambda file: file.write_text(file.rename(file.with_name(".old")).read_text()), 0),
    "becomes a link": (lambda file: file.symlink_to(file.rename(file.with_name(".old"))), 0),
    "vanishes": (lambda file: file.unlink(), 0),
}


@pytest.mark.parametrize(("change", "lands_unsettled"), GROWING.values(), ids=GROWING.keys())
@pytest.mark.parametrize("settle_seconds", [60, 0])
@pytest.mark.parametrize("is_small", [True, False], ids=["small", "large"])
def test_what_changes_while_it_is_read_does_not_land(
    ready: Callmart,
    inbox: Path,
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    lands_unsettled: int,
    settle_seconds: int,
    is_small: bool,
) -> None:
    """Its folder may say that a log which is written to lands as far as it is; even then it only grows. A large file
    is read twice: it must not change until all of it is stored.
    """
    file, inner = put("a", f"{change} {settle_seconds} {is_small}"), found.refuse_changed
    monkeypatch.setattr(found, "BLOCK", file.stat().st_size - (not is_small))
    digest = sha256(file.read_bytes()).hexdigest()
    os.utime(file, (0, 0))
    looks = iter([True] if is_small else [False, True])

    def refuse_changed(read: found.Found) -> None:
        if next(looks):
            change(file)
        inner(read)

    monkeypatch.setattr(found, "refuse_changed", refuse_changed)
    ran = landing_of(ready, path=inbox, settle_seconds=settle_seconds)
    assert len(ran.files) == (lands_unsettled if settle_seconds == 0 else 0)
    if not ran.files:
        (problem,) = ran.problems
        assert problem.startswith(f"{file} ")
        assert ("vanished meanwhile" if change is GROWING["vanishes"][0] else "changed meanwhile") in problem
    known = ready.rows(
        "select from raw.file where name_key = %s and content_key = %s",
        ready.file_key("a"), ready.file_key(digest, "content"),
    )  # fmt: skip
    assert len(known) == len(ran.files)


@pytest.mark.parametrize("settle_seconds", [60, 0])
@pytest.mark.parametrize("is_small", [True, False], ids=["small", "large"])
def test_a_link_in_the_place_of_a_file_leads_nowhere(
    ready: Callmart,
    inbox: Path,
    put: Put,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settle_seconds: int,
    is_small: bool,
) -> None:
    """Whoever sends could let it lead to another customer's folder. It must not be read, whenever it comes."""
    file = put("a", queue=f"own-{settle_seconds}-{is_small}")
    (others := tmp_path / "others").write_bytes(gzip.compress(file.read_bytes().replace(b"own", b"foreign")))
    find, open_source, refuse_changed = found.find, readers.open_source, found.refuse_changed
    monkeypatch.setattr(found, "BLOCK", file.stat().st_size - (not is_small))
    os.utime(file, (0, 0))
    aside = inbox / ".own"

    def swap(inner: Callable[..., Any], *arguments: Any) -> Any:
        file.rename(aside)
        file.symlink_to(others)
        return inner(*arguments)

    def swap_back(read: found.Found) -> None:
        if aside.exists():
            aside.rename(file)
        refuse_changed(read)

    with monkeypatch.context() as patch:
        patch.setattr(found, "find", partial(swap, find))
        early = landing_of(ready, path=inbox, settle_seconds=settle_seconds)
    aside.rename(file)
    monkeypatch.setattr(readers, "open_source", partial(swap, open_source))
    monkeypatch.setattr(found, "refuse_changed", swap_back)
    late = landing_of(ready, path=inbox, settle_seconds=settle_seconds)
    refused = f"{file} changed meanwhile, and nothing of it landed; land it again when it is complete"
    lands = is_small or settle_seconds == 0  # what was opened
    assert (early.problems, late.problems) == ([refused], [] if lands else [refused])
    landed = ready.rows(
        "select distinct queue from raw.event where queue ~ %s", f"-{settle_seconds}-{is_small}"
    )
    assert [row["queue"] for row in landed] == [f"own-{settle_seconds}-{is_small}"][:lands]


def test_a_pipe_in_the_place_of_a_file_holds_nothing_up(
    ready: Callmart, inbox: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before the file is read nor before it is taken away."""
    find, take_away = found.find, taking_away.take_away

    def pipe(inner: Callable[..., Any], *arguments: Any) -> Any:
        file.unlink()
        os.mkfifo(file)
        return inner(*arguments)

    file = put("a", "read")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_file", lambda _: True)
        patch.setattr(found, "find", partial(pipe, find))
        ran = landing_of(ready, path=inbox)
    assert ran.problems == [
        f"{file} changed meanwhile, and nothing of it landed; land it again when it is complete"
    ]
    file.unlink()
    file = put("a", "taken away")
    monkeypatch.setattr(taking_away, "take_away", partial(pipe, take_away))
    ran = landing_of(ready, path=inbox, after="delete")
    assert ran.problems == [f"{file} changed after it landed, and stays; the next run lands it again"]


@pytest.mark.parametrize("settle_seconds", [60, 0])
def test_a_file_that_took_the_place_of_a_listed_one_waits(
    ready: Callmart, inbox: Path, put: Put, monkeypatch: pytest.MonkeyPatch, settle_seconds: int
) -> None:
    """Also if it is no link. The next run knows what it is."""
    find = found.find
    os.utime(put("a", f"{settle_seconds}"), (0, 0))

    def finding(delivery: found.Delivery) -> found.Found:
        put(".other", f"other {settle_seconds}").rename(delivery.path)
        return find(delivery)

    monkeypatch.setattr(found, "find", finding)
    ran = landing_of(ready, path=inbox, settle_seconds=settle_seconds)
    assert len(ran.problems) == 1 and "changed meanwhile, and nothing of it landed" in ran.problems[0]


def test_a_file_that_is_replaced_before_its_turn_waits(
    ready: Callmart, inbox: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was complete when the folder was read; what is there now may be half a file."""
    for name in "a", "b":
        os.utime(put(name, name), (0, 0))
    inner = found.find

    def find(delivery: found.Delivery) -> found.Found:
        read = inner(delivery)
        put("b", "half")
        return read

    monkeypatch.setattr(found, "find", find)
    ran = landing_of(ready, path=inbox, settle_seconds=60, after="delete")
    assert [file.file for file in ran.files] == ["a"]
    assert ran.problems == [
        f"{inbox / 'b'} changed meanwhile, and nothing of it landed; land it again when it is complete"
    ]
    assert names(inbox) == ["b"]


def test_what_can_not_be_taken_away_says_so(
    ready: Callmart, inbox: Path, archive: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    file = put("a")
    archive.rmdir()
    (problem,) = landing_of(ready, path=inbox, after="move", move_to=archive).problems
    assert problem == (
        f"{file} landed, but can't be moved (FileNotFoundError: No such file or directory); "
        f"mend that in {inbox} and {archive}"
    )
    assert (names(inbox), archive.exists()) == (["a"], False), "a mount that is missing is not made up for"
    monkeypatch.setattr(taking_away, "_move", denied)
    (problem,) = landing_of(ready, path=inbox, after="move", move_to=archive).problems
    assert problem.endswith(f"; give this user write permission on {inbox} and {archive}")


def test_a_name_that_is_not_utf_8_stops_only_that_file(ready: Callmart, inbox: Path, put: Put) -> None:
    odd = inbox / os.fsdecode(b"Belgi\xeb.csv")
    put("a").rename(odd)
    put("b")
    ran = landing_of(ready, path=inbox, settle_seconds=0)
    assert [file.file for file in ran.files] == ["b"]
    assert ran.problems == [f"{inbox}/Belgi\ufffd.csv has a name that is not UTF-8; rename it"]
    with pytest.raises(UserError, match=r"Belgi\ufffd.csv has a name that is not UTF-8; rename it$"):
        ready.land(odd)


@pytest.mark.parametrize("sign", ["\x1b", "\n", "\x9b", "\u2028", "\u202e"])
def test_a_name_with_a_control_character_stops_only_that_file(
    ready: Callmart, inbox: Path, put: Put, sign: str
) -> None:
    """It could write to the terminal of whoever reads what is wrong with the file, or a line of its own."""
    odd = inbox / f"odd{sign}[31m.csv"
    put("a").rename(odd)
    put("b")
    ran = landing_of(ready, path=inbox, settle_seconds=0)
    assert [file.file for file in ran.files] == ["b"]
    shown = sign.encode("unicode_escape").decode()
    said = f"{inbox}/odd{shown}[31m.csv has a control character in its name; rename it"
    assert ran.problems == [said]
    with pytest.raises(UserError) as refused:
        ready.land(odd)
    assert str(refused.value) == said


def test_a_run_removes_what_was_moved_and_says_so(
    ready: Callmart, inbox: Path, archive: Path, put: Put, today: date
) -> None:
    for name in "a", "b":
        put(name, name)
    assert landing_of(ready, path=inbox, after="move", move_to=archive).problems == []
    (archive / until(today)).rename(archive / until(today, -1))
    settings = ready.settings.model_copy(
        update={
            "folders": [
                Folder(path=inbox, after="move", move_to=place) for place in (archive, inbox / "gone")
            ]
        }
    )
    ran = stages.Ran()
    with ready.connect() as connection:
        run.follow_calendar(connection, settings, ran, quietly)
    assert (names(archive), ran.expired) == ([], 2)
    (problem,) = ran.problems
    assert problem.startswith(
        f"{inbox / 'gone'}: the raw files that were moved there can't be deleted in time"
    )
    assert ready.rows(
        "select details ->> 'files' as files from ops.audit_log where action = 'raw files removed'"
    ) == [{"files": "2"}]


def test_what_cannot_be_deleted_keeps_nothing_else_beyond_its_last_day(
    ready: Callmart, archive: Path, today: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (archive / until(today, -days) for days in (3, 2, 1))
    first.touch()  # no folder
    for folder in second, third:
        folder.mkdir()
        for name in ".nfs", "a", "b":
            (folder / name).touch()
    (third / "own").mkdir()
    inner = Path.unlink

    def unlink(path: Path, *arguments: Any, **named: Any) -> None:
        if path == second / ".nfs":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        inner(path, *arguments, **named)

    monkeypatch.setattr(Path, "unlink", unlink)
    settings = ready.settings.model_copy(
        update={"folders": [Folder(path=archive.parent / "inbox", after="move", move_to=archive)]}
    )
    ran, logged = stages.Ran(), "select from ops.audit_log where action = 'raw files removed'"
    before = len(ready.rows(logged))
    with ready.connect() as connection:
        run.follow_calendar(connection, settings, ran, quietly)
    assert names(archive) == [first.name, f"{second.name}/.nfs"]
    assert not third.exists()
    assert ran.expired == 6
    assert ran.problems == [
        f"{first}: the raw files that were moved there can't be deleted in time (NotADirectoryError: Not a directory); "
        "mount the folder, and give this user write permission"
    ]
    assert len(ready.rows(logged)) == before + 1
