"""What the machine lacks ends any command with what to do. Needs no server."""

import psycopg
import pytest

from callmart.base.errors import kind
from callmart.cli import main


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


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (MemoryError(), "there is too little memory, or callmart is not installed whole (MemoryError); "),
        (
            ImportError("failed to map segment"),
            "there is too little memory, or callmart is not installed whole (I",
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
