"""The embedded server, where others start or stop it too, something is lost, or its programs fail."""

import fcntl
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from callmart.base.errors import UserError
from callmart.database import embedded_server, server
from callmart.declarations import dbt_project
from callmart_home import copy
from home_settings import settings_of
from tableau_emulator import process
from tableau_emulator.errors import EmulatorError


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home that the server's account can enter; what runs in it is stopped."""
    with tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder:
        home = Path(folder) / "home"
        home.parent.chmod(0o711)
        yield home
        embedded_server.stop(home)


def held(file: Path) -> IO[str]:
    """A file whose lock somebody has who was suspended."""
    file.parent.mkdir(parents=True, exist_ok=True)
    opened = file.open("w")
    fcntl.flock(opened, fcntl.LOCK_EX)
    return opened


def test_of_two_who_stop_it_one_does(home: Path, new_home: Path) -> None:
    copy(new_home, home)
    embedded_server.start(home)
    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(embedded_server.stop, [home] * 3)) == [False, False, True]


def test_a_server_whose_note_is_lost_keeps_its_data(home: Path, new_home: Path) -> None:
    copy(new_home, home)
    with server.connect(settings_of(home)) as connection:
        connection.execute("create table public.kept as select 42 as answer")
    embedded_server.stop(home)
    (home / "postgres.ready").unlink()
    with server.connect(settings_of(home)) as connection:
        assert connection.execute("select answer from public.kept").fetchone() == (42,)
    assert (home / "postgres.ready").exists()


def test_a_program_that_fails_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = home.with_name("programs")
    programs.mkdir()
    programs.chmod(0o755)
    for name in ("initdb", "pg_ctl"):
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(embedded_server, "PROGRAMS", programs)
        with pytest.raises(UserError, match=r"^the embedded PostgreSQL can't be made in .* is full"):
            embedded_server.start(home)
        patch.setattr(embedded_server, "_running", lambda _: True)
        (home / "postgres").mkdir()
        with pytest.raises(UserError, match=r"^the embedded PostgreSQL has not stopped within a minute"):
            embedded_server.stop(home)


def test_nobody_waits_for_ever_for_who_was_suspended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-Z does it with a command."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(embedded_server, "STARTING_S", 0)
    monkeypatch.setattr(dbt_project, "PATIENCE_S", 0)
    monkeypatch.setattr(process, "_STARTING_S", 0)
    with held(home / "server.lock"), pytest.raises(UserError, match="or was suspended: end it"):
        embedded_server.start(home)
    with held(home / "dbt" / "lock"), pytest.raises(UserError, match="or was suspended: end it"):
        dbt_project._locked(settings_of(home)).__enter__()
    with (
        held(home / "emulator" / "start.lock"),
        pytest.raises(EmulatorError, match="or was suspended: end it"),
    ):
        process.stop(home / "emulator")
