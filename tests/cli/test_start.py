"""What the program imports before it knows what to do: each command waits for that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import tableauserverclient
import typer

from callmart.cli import entry, main
from callmart_home import Callmart
from commands import command_from_scratch
from events import at, event, ndjson, registry

pytestmark = pytest.mark.thorough

HEAVY = {
    "adbc_driver_postgresql",
    "dbt",
    "great_expectations",
    "pandas",
    "tableauhyperapi",
    "tableauserverclient",
}


def test_no_command_waits_for_the_heavy_libraries_of_others() -> None:
    program = "import sys; sys.argv[1:] = ['--version']; from callmart.cli.entry import main\ntry: main()\nfinally: "
    imported = _imported(program)
    assert "psycopg" in imported, "the check isn't blind"
    assert not HEAVY & imported


def test_landing_and_extracts_do_without_pandas() -> None:
    imported = _imported(
        "import callmart.land.landing, callmart.extract.extract, pyarrow\npyarrow.array([1])\n"
    )
    assert "adbc_driver_postgresql" in imported
    assert "pandas" not in imported


def test_pyarrow_finds_pandas_where_it_is_wanted() -> None:
    imported = _imported("import callmart.land.landing, pyarrow\npyarrow.table({'a': [1]}).to_pandas()\n")
    assert "pandas" in imported


def test_a_build_imports_by_itself_all_that_it_needs(callmart: Callmart) -> None:
    callmart.apply(registry("id: 1, contracts: [{option: detailed, from: 2020-01-01}]"))
    callmart.land_text(ndjson(event("queue_joined", at("10:00"), call_id="c-1", queue="sales")), 1)
    done = command_from_scratch(callmart.home)("build")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("build: 1 day computed")


def test_nobody_reads_what_python_says_of_a_library_that_it_compiles(tmp_path: Path) -> None:
    client = Path(tableauserverclient.__file__).parent
    shutil.copytree(client, tmp_path / client.name, ignore=shutil.ignore_patterns("__pycache__"))
    program = "import sys; sys.argv[1:] = ['stop']; from callmart.cli.entry import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "CALLMART_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == ("nothing was running\n", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_leads_nowhere(tmp_path: Path, closed: str) -> None:
    """Whatever the program opens next would get its number, and what other programs print."""
    program = (
        "import os, pathlib, sys\n"
        "from callmart.cli import terminal\n"
        "os.write(1, b'1'); os.write(2, b'2'); os.read(0, 1); sys.stdin.read(); terminal.out.print('a')\n"
        f"terminal.err.print('b'); pathlib.Path({str(tmp_path / 'done')!r}).touch()\n"
    )
    file = tmp_path / "program.py"
    file.write_text(program)
    subprocess.run(
        f"{sys.executable} {file} {closed}",
        shell=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("imported", "signalled"),
    [
        ("callmart.cli.main", "SIGTERM"),
        ("callmart.cli.main", "SIGHUP"),
        ("callmart.cli.main", "SIGINT"),
        ("callmart.base.yaml_file", "SIGINT"),
    ],
)
def test_an_interruption_while_commands_are_imported_is_no_traceback(imported: str, signalled: str) -> None:
    program = (
        "import os, signal, sys\n"
        "class Stopping:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == '{imported}': os.kill(os.getpid(), signal.{signalled})\n"
        "sys.meta_path.insert(0, Stopping()); sys.argv[1:] = ['run']\n"
        "from callmart.cli.entry import main; main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


def test_an_interruption_at_a_question_is_one_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(main, "app", interrupted)
    monkeypatch.setattr(entry, "_heed", Mock())
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("then", "code"),
    [("pass", 0), ("signal.raise_signal(signal.SIGINT)", 130)],
    ids=["at the very end", "before"],
)
def test_an_interruption_after_the_command_is_no_traceback(then: str, code: int) -> None:
    program = (
        "import atexit, signal, sys\n"
        "from callmart.cli.entry import main\n"
        "atexit.register(signal.raise_signal, signal.SIGTERM); sys.argv[1:] = ['--version']\n"
        f"try: main()\nfinally: {then}\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (code, "")


def test_a_second_interruption_while_the_first_is_told_is_no_traceback() -> None:
    program = (
        "import signal, sys\n"
        "from callmart.cli import entry\n"
        "class Twice:\n"
        "    def __enter__(self): pass\n"
        "    def __exit__(self, *_): signal.raise_signal(signal.SIGTERM)\n"
        "def command():\n"
        "    with Twice(): signal.raise_signal(signal.SIGINT)\n"
        "entry._command = command; entry.main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (130, "")


def _imported(program: str) -> set[str]:
    """The packages that a program has imported at its end."""
    program += "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())
