"""dbt as a person runs it, in a process of its own."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

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
    """dbt's command, without what takes as long as the rest of it. Otherwise it

    - reads the whole project anew, as another home's server listens elsewhere, which no model depends on;
    - makes messages that it shows to nobody;
    - compiles macros and models again, though their text is the same.
    """
    from dbt.cli.main import cli
    from dbt.parser.manifest import ManifestLoader
    from dbt_common.clients.jinja import MacroFuzzEnvironment
    from dbt_common.events.base_types import BaseEvent, DebugLevel
    from dbt_common.events.event_manager import EventManager

    is_parsable, say, fire = ManifestLoader.is_partial_parsable, BaseEvent.__init__, EventManager.fire_event
    compile_anew, compiled = MacroFuzzEnvironment.compile, dict[Any, Any]()

    def is_partial_parsable(self: ManifestLoader, manifest: Any) -> Any:
        manifest.state_check.profile_hash = self.manifest.state_check.profile_hash
        return is_parsable(self, manifest)

    def begin(self: BaseEvent, *values: Any, **named: Any) -> None:
        if not isinstance(self, DebugLevel):
            say(self, *values, **named)

    def fire_event(self: EventManager, e: Any, *more: Any, **named: Any) -> None:
        if not isinstance(e, DebugLevel):
            fire(self, e, *more, **named)

    def compile_once(self: MacroFuzzEnvironment, source: Any, *more: Any, **named: Any) -> Any:
        key = (source, more, *named.items())
        if key not in compiled:
            compiled[key] = compile_anew(self, source, *more, **named)
        return compiled[key]

    with (
        patch.object(ManifestLoader, "is_partial_parsable", is_partial_parsable),
        patch.object(BaseEvent, "__init__", begin),
        patch.object(EventManager, "fire_event", fire_event),
        patch.object(MacroFuzzEnvironment, "compile", compile_once),
    ):
        cli()
