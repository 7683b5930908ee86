"""callmart's emulator: where a home keeps it, and that one of an older callmart is replaced, with what it has."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tableauserverclient as TSC

from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.publish import emulator
from tableau_emulator import client, process
from tableau_emulator.process import Emulator
from tableau_emulator.state import State

# The desk and the record as 85f5234 had them.
OLDER = """
import json, pathlib, sys
from tableau_emulator import desk
desk.PATH = "/callmart-emulator"
from tableau_emulator.serve import serve
folder, token = map(pathlib.Path, sys.argv[1:])
def older(emulator):
    record = json.loads((folder / "server.json").read_text())
    del record["identity_url"], record["version"], record["draw"]
    (folder / "server.json").write_text(json.dumps(record))
    print(emulator.url, flush=True)
serve(folder, "callmart", token, announce=older)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    emulator.stop(tmp_path)


@pytest.fixture
def older(home: Path) -> Iterator[str]:
    """The URL of an emulator that runs as 85f5234 started it."""
    with State(home / "emulator") as state:
        state.update("user", state.administrator()["id"], name="callmart", full_name="callmart")
    command: list[str | Path] = [
        sys.executable,
        "-c",
        OLDER,
        home / "emulator",
        home / "secrets" / "emulator_token",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def of(home: Path) -> Settings:
    return Settings(home=home, dsn=None, folders=[])


def projects(running: Emulator) -> set[str]:
    return {each.name for each in client.administrator(running).projects.all()}


def record_of(home: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads((home / "emulator" / "server.json").read_text())
    return record


def test_one_that_runs_since_an_older_callmart_is_replaced(home: Path, older: str) -> None:
    before = Emulator(older, "callmart", (home / "secrets" / "emulator_token").read_text())
    client.administrator(before).projects.create(TSC.ProjectItem("stays"))
    replaced = record_of(home)
    assert set(replaced) == {"url", "port", "pid", "identity"}
    assert emulator.ensure_running(of(home)) == before
    now = record_of(home)
    assert now["pid"] != replaced["pid"]
    assert emulator.ensure_running(of(home)) == before
    assert record_of(home) == now
    assert projects(before) == {"Default", "stays"}
    with State(home / "emulator") as state:
        assert state.administrator()["name"] == "callmart"


def test_one_that_runs_since_an_older_callmart_is_stopped(home: Path, older: str) -> None:
    before = Emulator(older, "callmart", (home / "secrets" / "emulator_token").read_text())
    assert emulator.stop(home)
    assert not emulator.stop(home)
    assert emulator.ensure_running(of(home)) == before


def test_it_is_served_in_the_foreground_unless_it_runs_already(home: Path) -> None:
    emulator.ensure_running(of(home))
    with pytest.raises(UserError, match="is already running; stop it with `callmart stop`"):
        emulator.serve(of(home), lambda running: None)


def test_where_its_disk_is_full_it_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(process, "start", full)
    with pytest.raises(UserError, match=rf"in {home}/emulator can't be used \(database or disk is full\)"):
        emulator.ensure_running(of(home))


def test_nothing_runs_in_a_home_that_has_none(home: Path) -> None:
    assert not emulator.stop(home)
    assert not list(home.iterdir())


def test_the_command_that_draws_names_the_settings_and_no_password(home: Path) -> None:
    def drawing(dsn: str | None) -> str:
        return emulator.drawing(Settings(home=home, dsn=dsn, time_zone="Europe/London", folders=[]))

    assert f"CALLMART_HOME={home} CALLMART_TIME_ZONE=Europe/London" in drawing(None)
    assert "passfile=/etc/callmart" in drawing("postgresql://callmart@db/mart?passfile=/etc/callmart")
    for dsn in ("postgresql://callmart:s3cret@db/mart", "host=db password=s3cret", "s3cret"):
        assert drawing(dsn) == ""
