"""dbt as a person runs it, in a process of its own."""

import os
import shutil
import subprocess
from pathlib import Path

from callmart.base.settings import PROJECT
from callmart.declarations import dbt_project
from callmart_home import Callmart
from commands import in_a_process


def copy_project(folder: Path) -> None:
    """Copy what dbt reads of the project."""
    for name in ("models", "macros"):
        shutil.copytree(PROJECT / name, folder / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, folder)


def run_dbt(callmart: Callmart, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """dbt as a person runs it, on this callmart's server. It begins with what callmart has read of the project."""
    scratch = callmart.home / "by hand"
    read = callmart.home / "dbt" / "partial_parse.msgpack"
    if read.exists() and not scratch.exists():
        scratch.mkdir()
        shutil.copy(read, scratch)
    places = {"project-dir": project, "profiles-dir": project, "target-path": scratch, "log-path": scratch}
    return in_a_process(
        _dbt,
        "dbt",
        *arguments,
        *(f"--{name}={place}" for name, place in places.items()),
        "--log-level-file=none",  # takes a tenth of its time, and nobody reads it
        environment=os.environ | dbt_project._environment(callmart.settings) | {"DBT_BY_CALLMART": ""},
    )


def _dbt() -> None:
    from dbt.cli.main import cli

    cli()
