"""A full disk of the database ends any command with what to do. Needs no server."""

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
