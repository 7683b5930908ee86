"""The emulator as a process: started, found, stopped; and the command."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import tableauserverclient as TSC

from emulated import signed_in
from tableau_emulator import process
from tableau_emulator.cli import main
from tableau_emulator.errors import EmulatorError
from tableau_emulator.process import start, stop
from tableau_emulator.state import VERSION, State
from tableau_emulator.version import version

pytestmark = pytest.mark.thorough


@pytest.fixture(autouse=True)
def from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here an emulator is started as without tests."""
    monkeypatch.setattr(process, "subprocess", subprocess)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    stop(tmp_path / "state")


def pid(folder: Path) -> int:
    return int(json.loads((folder / "server.json").read_text())["pid"])


def test_two_starts_at_once_give_one_server(folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: start(folder), range(4)))
    assert len(found) == 1
    assert start(folder) in found


def test_a_restart_keeps_port_and_content(folder: Path) -> None:
    first = start(folder)
    made = signed_in(first).projects.create(TSC.ProjectItem("stays"))
    (folder / "files" / "left by a crash").touch()
    assert stop(folder)
    assert not stop(folder)
    with pytest.raises(requests.ConnectionError):
        requests.get(first.url, timeout=5)
    assert start(folder) == first
    assert made.id in {project.id for project in TSC.Pager(signed_in(first).projects)}
    assert not list((folder / "files").iterdir())


def test_a_pid_that_is_not_ours_is_left_alone(folder: Path) -> None:
    start(folder)
    assert stop(folder)
    record = folder / "server.json"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        record.write_text(json.dumps(json.loads(record.read_text()) | {"pid": other.pid}))
        assert not stop(folder)
        assert other.poll() is None
        other.kill()


def test_comes_back_after_it_was_killed(folder: Path) -> None:
    start(folder)
    os.kill(pid(folder), signal.SIGKILL)
    assert signed_in(start(folder)).version == "3.29"


def record_of(folder: Path, **changed: object) -> dict[str, object]:
    """The record of the folder's emulator, with these values changed; None removes one."""
    record: dict[str, object] = json.loads((folder / "server.json").read_text()) | changed
    return {name: value for name, value in record.items() if value is not None}


@pytest.mark.parametrize(
    "differing",
    [{"version": "0.0.9+another"}, {"version": None}, {"version": "9.0.0", "added_by_it": "something"}],
    ids=["another", "none", "a newer one that recorded more"],
)
def test_one_of_another_version_is_restarted(folder: Path, differing: dict[str, object]) -> None:
    first = start(folder)
    made = signed_in(first).projects.create(TSC.ProjectItem("stays"))
    before = pid(folder)
    assert start(folder) == first
    assert pid(folder) == before, "one of the same version stays"
    (folder / "server.json").write_text(json.dumps(record_of(folder, **differing)))
    assert start(folder) == first, "its links stay valid"
    assert pid(folder) != before
    assert record_of(folder)["version"] == version()
    assert made.id in {project.id for project in TSC.Pager(signed_in(first).projects)}


def test_one_whose_state_is_newer_is_not_stopped(folder: Path) -> None:
    start(folder)
    before = pid(folder)
    (folder / "server.json").write_text(json.dumps(record_of(folder, version="9.0.0")))
    with State(folder) as state:
        state.database.execute(f"pragma user_version = {VERSION + 1}")
    with pytest.raises(EmulatorError, match="from a newer emulator"):
        start(folder)
    assert pid(folder) == before
    assert stop(folder), "it still ran"
    with pytest.raises(EmulatorError, match="from a newer emulator"):
        start(folder)


def test_a_port_taken_meanwhile_is_not_fought_for(folder: Path) -> None:
    first = start(folder)
    stop(folder)
    other = folder.parent / "other"
    other.mkdir()
    (other / "server.json").write_text((folder / "server.json").read_text())
    try:
        assert start(other).url == first.url
        second = start(folder)
        assert second.url != first.url
        assert signed_in(second).version == "3.29"
    finally:
        stop(other)


def test_the_secret_is_on_no_command_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "a secret of another kind")
    token = start(folder).token
    process = Path(f"/proc/{pid(folder)}")
    command, environment = (process / "cmdline").read_text(), (process / "environ").read_text()
    assert "tableau_emulator" in command
    assert token not in command + environment
    assert "DATABASE_PASSWORD" not in environment
    kept = (folder / "state.sqlite").read_bytes() + (folder / "server.log").read_bytes()
    assert token.encode() not in kept


def test_nobody_else_reads_the_files(folder: Path) -> None:
    token = folder.parent / "secrets" / "token"
    server = signed_in(start(folder, "a token", token))
    project = server.projects.create(TSC.ProjectItem("a project"))
    (extract := folder.parent / "calls.hyper").write_bytes(b"rows")
    server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), extract, "CreateNew")
    for private in (folder, folder / "files", folder / "uploads", token.parent):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    for file in (*(folder / "files").iterdir(), folder / "state.sqlite", folder / "server.json", token):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_token_of_ones_own(folder: Path) -> None:
    (file := folder.parent / "secret").write_text("a secret of mine\n")
    emulator = start(folder, "mine", file)
    assert (emulator.token_name, emulator.token) == ("mine", "a secret of mine")
    assert signed_in(emulator).version == "3.29"
    assert not (folder / "token").exists()
    file.write_text("\n")
    with pytest.raises(EmulatorError, match="is empty"):
        start(folder, "mine", file)
    file.unlink()
    assert signed_in(start(folder, "mine", file)).version == "3.29"  # with a new secret


# the command

COMMAND = str(Path(sys.executable).with_name("tableau-emulator"))


def mistake(*arguments: object) -> str:
    """The sentence with which the command refuses."""
    ran = subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    return ran.stderr


def test_the_command_serves_until_it_is_interrupted(folder: Path) -> None:
    with subprocess.Popen(
        [COMMAND, folder, "--token-name", "mine"], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        said = [run.stdout.readline().strip() for _ in range(4)]
        emulator = start(folder, "mine")  # finds the one that runs
        assert said == [
            f"Tableau emulator at {emulator.url}; Ctrl-C ends it",
            f"state:      {folder}",
            "token name: mine",
            f"token:      in {folder / 'token'}",
        ]
        assert (folder / "token").read_text() == emulator.token
        assert f"an emulator is already running on {folder}" in mistake(folder)
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 0


def test_the_command_takes_the_port_that_it_is_given_or_none(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"port {port} is not available" in mistake(folder, "--port", port)
    with subprocess.Popen([COMMAND, folder, "--port", str(port)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert f"http://127.0.0.1:{port};" in run.stdout.readline()
        run.terminate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "FOLDER; see --help"),
        (["{folder}", "--port", "x"], "'x' is not a port"),
        (["{folder}", "--port", "0"], "'0' is not a port"),
        (["{folder}", "--what"], "--what; see --help"),
        (["{file}"], "{file}: File exists; name another"),
        (["{folder}", "--token-file", "{parent}"], "{parent}: Is a directory; name another"),
        (["{others}"], "{others}/files contains files of another program; name another folder"),
        (["{broken}"], "state.sqlite can't be used (file is not a database); name another folder"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str],
    said: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parent = folder.parent
    places = {name: parent / name for name in ("folder", "file", "others", "broken")} | {"parent": parent}
    places["file"].touch()
    (places["others"] / "files").mkdir(parents=True)
    (mine := places["others"] / "files" / "mine").touch()
    places["broken"].mkdir()
    (places["broken"] / "state.sqlite").write_text("nothing that SQLite has written" * 9)
    monkeypatch.setattr("sys.argv", ["tableau-emulator", *(each.format(**places) for each in arguments)])
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: pytest.fail("it serves"))
    with pytest.raises(SystemExit, check=lambda end: end.code == 2):
        main()
    shown = capsys.readouterr()
    assert said.format(**places) in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert mine.exists()


def test_the_command_says_what_it_takes_and_which_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, said in ("--help", "--token-file FILE"), ("--version", "REST API 3.29"):
        monkeypatch.setattr("sys.argv", ["tableau-emulator", option])
        with pytest.raises(SystemExit, check=lambda end: not end.code):
            main()
        assert said in capsys.readouterr().out
