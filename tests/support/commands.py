"""The command as a person or a scheduler uses it: its words and its exit code."""

import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    chdir,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from io import StringIO
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from callmart.base import settings
from callmart.cli.main import main
from callmart.operations import doctor
from home_settings import environment_of

if TYPE_CHECKING:  # a forked process would import it anew
    import pytest

# Of nobody: what stands in the project's own is passed over.
NO_SETTINGS = Path(__file__).with_name("callmart.toml")
Command = Callable[..., subprocess.CompletedProcess[str]]

# Most of a command's time goes into importing these, so its process is forked from one that has them already. Great
# Expectations is not among them: few commands need it, and a larger process takes longer to fork.
LIBRARIES = [
    "adbc_driver_postgresql.dbapi", "callmart.cli.main", "callmart.operations.run", "dbt.cli.main", "duckdb",
    "lxml.html", "pantab", "psycopg", "pyarrow.csv", "pyarrow.parquet", "pydantic_settings", "read_before",
    "rich.progress", "ruamel.yaml", "tableau_emulator.serve", "tableauserverclient", "typer", "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto",
]  # fmt: skip
_PREPARED = multiprocessing.get_context("forkserver")
_PREPARED.set_forkserver_preload(LIBRARIES)


def _callmart() -> None:
    if os.environ["CALLMART_CONFIG"] != str(NO_SETTINGS):  # which is read where it is imported
        forget_callmart()
    from callmart.cli.main import main

    with quick_passphrases():
        main()


def forget_callmart() -> None:
    """Whatever of callmart has been imported is imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "callmart"]:
        del sys.modules[name]


def quick_passphrases() -> AbstractContextManager[object]:
    """Within it, the keys of a backup are encrypted with little work; what it takes is no matter of most tests."""
    return patch("callmart.backup.sealed._COST", 2)


def command_of(home: Path) -> Command:
    """The command in a home, from any folder. It is called here, which takes a fraction of a process of its own."""

    def command(
        *arguments: str | Path, cwd: str | Path = "/", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        with _as_in_a_process(clean_environment(home) | environment, cwd) as (out, err):
            sys.argv = ["callmart", *map(str, arguments)]
            try:
                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())

    return command


@contextmanager
def _as_in_a_process(environment: dict[str, str], cwd: str | Path) -> Iterator[tuple[StringIO, StringIO]]:
    """Within it, nothing of before is seen; afterwards, nothing of it."""
    file = Path(environment["CALLMART_CONFIG"])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    out, err = StringIO(), StringIO()
    with ExitStack() as stack:
        changed: tuple[AbstractContextManager[object], ...] = (
            chdir(cwd), redirect_stdout(out), redirect_stderr(err),
            patch.object(sys, "stdin", stack.enter_context(Path(os.devnull).open())), patch.object(sys, "argv"),
            patch.dict(os.environ, environment, clear=True),
            patch.object(settings, "CONFIG_FILE", file), patch.object(doctor, "CONFIG_FILE", file),
            patch.dict(settings.Settings.model_config, toml_file=file),
            *(patch.object(logging.getLogger(name), "handlers", []) for name in (None, "callmart")),
        )  # fmt: skip
        for change in changed:
            stack.enter_context(change)
        for number, handler in before.items():
            stack.callback(signal.signal, number, handler)
        stack.callback(settings.settings.cache_clear)
        settings.settings.cache_clear()
        yield out, err


def process_of(home: Path) -> Command:
    """The command in a home, from any folder, in a process of its own."""

    def command(
        *arguments: str | Path, cwd: str | Path = "/", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return in_a_process(
            _callmart, "callmart", *arguments, cwd=cwd, environment=clean_environment(home) | environment
        )

    return command


def in_a_process(
    run: Callable[[], None], *arguments: str | Path, cwd: str | Path = "/", environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """What a program does in a process of its own: its words and its exit code."""
    told = list(map(str, arguments))
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        code = exit_code(_run, run, told, str(cwd), environment, out, err)
        return subprocess.CompletedProcess(told, code, out.read_text(), err.read_text())


def begun(home: Path, *arguments: str, **environment: str) -> BaseProcess:
    """A command that goes on in a process of its own. Nobody hears what it says."""
    unheard = Path(os.devnull)
    own = clean_environment(home) | environment
    return _begun(_run, _callmart, ["callmart", *arguments], "/", own, unheard, unheard)


def served(
    run: Callable[[], None], *arguments: str, cwd: Path, environment: dict[str, str], log: Path
) -> BaseProcess:
    """A program that goes on in a process of its own, until somebody ends it, at the latest this process."""
    return _begun(_run, run, list(arguments), str(cwd), environment, log, log, daemon=True)


def exit_code(target: Callable[..., None], *arguments: object, **named: Any) -> int:
    """Call something in a process of its own, and wait for its end. Minus a signal if that ended it."""
    process = _begun(target, *arguments, **named)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _begun(
    target: Callable[..., None], *arguments: object, daemon: bool = False, **named: object
) -> BaseProcess:
    process = _PREPARED.Process(target=target, args=arguments, kwargs=named, daemon=daemon)
    with patch.dict(os.environ, CALLMART_CONFIG=str(NO_SETTINGS)):  # for what all of them are forked from
        process.start()
    return process


def _run(
    run: Callable[[], None], arguments: list[str], cwd: str, environment: dict[str, str], out: Path, err: Path
) -> None:
    """What the forked process does."""
    gc.freeze()  # what it was born with is not looked through again
    os.chdir(cwd)
    set_by_import = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    os.environ.clear()
    os.environ.update(set_by_import | environment)
    for stream, file in enumerate((Path(os.devnull), out, err)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), stream)
    sys.argv = arguments
    run()


def command_from_scratch(home: Path) -> Command:
    """The same, in a process that imports by itself all that it needs."""

    def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from callmart.cli.main import main; main()", *map(str, arguments)],
            capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL,
            env=clean_environment(home),
        )  # fmt: skip

    return command


def use(settings: Any, monkeypatch: "pytest.MonkeyPatch") -> None:
    """Let commands in this process have these settings."""
    for name, module in list(sys.modules.items()):
        if name.startswith("callmart.cli.") and hasattr(module, "settings"):
            monkeypatch.setattr(module, "settings", lambda: settings)


def clean_environment(home: Path) -> dict[str, str]:
    """Of a command, as a service starts it: with no setting but the home, and without the folder that a shell tells."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CALLMART_") and name != "PWD"
    }
    return kept | environment_of(home) | {"CALLMART_CONFIG": str(NO_SETTINGS)}


def mistake(done: subprocess.CompletedProcess[str]) -> str:
    """What a mistake of the user looks like: exit code 2 and one sentence."""
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in done.stderr + done.stdout
    return errors[0]
