"""What the machine lacks ends any command with what to do. Needs no server."""

import errno
import os
import resource
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from callmart.base import disk
from callmart.base.errors import UserError, kind
from callmart.base.settings import COMMAND, Settings
from callmart.cli import main
from callmart.database import embedded_server
from callmart.declarations import dbt_project


def test_a_full_disk_of_the_database_is_called_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> None:
        raise psycopg.errors.DiskFull

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert (ended.value.code, capsys.readouterr().err) == (
        2,
        "error: the database broke off (SQLSTATE 53100); the database's disk is full: make room, then run the same "
        "command again\n",
    )
    assert kind(psycopg.errors.DiskFull()) == "SQLSTATE 53100: the disk is full"


def test_a_full_disk_of_a_file_is_called_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "page.pdf")

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert (ended.value.code, capsys.readouterr().err) == (
        2,
        "error: page.pdf: No space left on device; make room, and run the same command again\n",
    )


def test_a_full_disk_of_dbt_is_not_called_a_mistake_in_the_project(tmp_path: Path) -> None:
    full = SimpleNamespace(success=False, exception=OSError(errno.ENOSPC, "No space left on device"))
    runner = SimpleNamespace(invoke=lambda _: full)
    with pytest.raises(UserError) as said:
        dbt_project._invoke(runner, Settings(home=tmp_path, folders=[]), "parse")
    expected = f"dbt finds no room in {tmp_path / 'dbt'}: make room, then run the same command again"
    assert str(said.value) == expected


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (MemoryError(), "there is too little memory, or callmart is not installed whole (MemoryError); "),
        (
            ImportError("failed to map segment"),
            "there is too little memory, or callmart is not installed whole (I",
        ),
        (
            RuntimeError("can't start new thread"),
            "there is too little memory, or callmart is not installed whole (R",
        ),
        (
            OSError("Out of memory: a row"),
            "this machine: OSError; correct that, and run the same command again",
        ),
    ],
)
def test_too_little_memory_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lacking: Exception, said: str
) -> None:
    def failing(**_: object) -> None:
        raise lacking

    monkeypatch.setattr(main, "app", failing)
    with pytest.raises(SystemExit) as ended:
        main.main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith(f"error: {said}")
    assert told.count("\n") == 1


@pytest.mark.parametrize(("free", "files"), [(1 << 20, 0.5), (1 << 40, 0)])
def test_a_server_that_does_not_start_where_no_room_is_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, files: float
) -> None:
    """Its log, which would say it, is on the disk that is full."""

    def failing(*_: object, **__: object) -> None:
        raise UserError("it does not start; read the log")

    monkeypatch.setattr(shutil, "disk_usage", lambda _: (1 << 40, 0, free))
    monkeypatch.setattr(disk, "free_files", lambda _: files)
    monkeypatch.setattr(embedded_server, "_run", failing)
    with pytest.raises(UserError, match="its disk is full; make room"):
        embedded_server._start(tmp_path, tmp_path, 0)


def test_a_crash_leaves_no_image_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers and keys are in it. A limit is handed down, so a server that is started has it, too."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    limits: list[int] = []
    monkeypatch.setattr(main, "app", lambda **_: limits.append(resource.getrlimit(resource.RLIMIT_CORE)[0]))
    with pytest.raises(SystemExit):
        main.main()
    resource.setrlimit(resource.RLIMIT_CORE, before)
    assert limits == [0]


def test_where_no_folder_has_room_for_a_file_health_says_what_is_wrong(tmp_path: Path) -> None:
    """Not even /tmp, where a library made sure of a folder when it was imported."""
    done = subprocess.run(
        [COMMAND, "health"],
        env={name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
        | {"CALLMART_HOME": str(tmp_path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert "the embedded server is not running" in done.stdout


def test_a_simulation_that_found_no_room_can_be_run_again(tmp_path: Path) -> None:
    """An empty registry would be another one, which is not written over."""
    command = f"{COMMAND} simulate {tmp_path / 'made'} --customers=1 --days=1 --contacts=20".split()
    broken = subprocess.run(
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert broken.returncode == 2
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
