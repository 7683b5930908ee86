"""The example of Dagster assets takes a file from the inbox to Tableau and the mail. `make test-external` runs it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from callmart.base.settings import PROJECT
from callmart.database.lock import exclusive
from callmart_home import Callmart
from centre import NAMED, REGISTRY, events
from commands import clean_environment
from today import YESTERDAY
from venvs import installed

pytestmark = pytest.mark.external

ASSETS = PROJECT / "examples" / "dagster" / "callmart_assets.py"


@dataclass
class Dagster:
    """Dagster with the example's assets."""

    programs: Path
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.programs / "dagster", *words, "-f", ASSETS],
            cwd=self.folder, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={name: str(self.folder) for name in ("HOME", "DAGSTER_HOME")}
            | {"PATH": os.environ["PATH"]} | self.settings,
        )  # fmt: skip


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Dagster:
    folder = tmp_path_factory.mktemp("dagster")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Dagster(installed(folder / "programs", "dagster==1.13.24"), folder)


def test_the_assets_take_a_file_from_the_inbox_to_the_mail(callmart: Callmart, dagster: Dagster) -> None:
    import pyarrow.parquet

    callmart.apply(REGISTRY)
    inbox = dagster.folder / "inbox"
    inbox.mkdir()
    pyarrow.parquet.write_table(events(NAMED, [YESTERDAY]), inbox / "calls.parquet")
    command = Path(sys.executable).with_name("callmart")
    dagster.settings = clean_environment(callmart.home) | {
        "CALLMART": str(command), "INBOX": str(inbox), "CALLMART_MAIL__SENDER": "callmart",
    }  # fmt: skip

    done = dagster.run("job", "execute", "-j", "nightly")
    assert done.returncode == 0, done.stdout
    assert callmart.rows("select sum(offered) > 0 as seen from mart.queue_interval", customer_id=NAMED) == [
        {"seen": True}
    ]
    assert callmart.rows("select 1 from ops.audit_log where action = 'published'")
    assert (callmart.home / "extracts" / str(NAMED) / "queue.hyper").exists()

    with callmart.connect() as owner, exclusive(owner):
        refused = dagster.run("asset", "materialize", "--select", "computed_days")
    assert refused.returncode != 0
    assert "another callmart run is at work on this database; wait until it has finished" in refused.stdout


@pytest.mark.parametrize(("code", "fails"), [(1, False), (2, True)])
def test_what_is_left_to_do_is_a_warning_and_a_refusal_a_failure(
    dagster: Dagster, code: int, fails: bool
) -> None:
    command = dagster.folder / "command"
    command.write_text(f"#!/bin/sh\necho 'a line' >&2\necho 'one day is held back' >&2\nexit {code}\n")
    command.chmod(0o755)
    dagster.settings = {"CALLMART": str(command)}
    done = dagster.run("asset", "materialize", "--select", "checked_days")
    assert (done.returncode != 0) == fails, done.stdout
    assert ("WARNING" in done.stdout and "one day is held back" in done.stdout) == (code == 1)
    assert ("Failure: one day is held back" in done.stdout) == fails


def test_every_stage_of_the_readme_is_an_asset_in_this_order(dagster: Dagster) -> None:
    listed = subprocess.run(
        [dagster.programs / "python", "-c",
         "import json, callmart_assets as a; print(json.dumps([x.key.to_user_string() for x in a.ASSETS]))"],
        cwd=ASSETS.parent, text=True, check=True, capture_output=True,
    )  # fmt: skip
    assert " → ".join(json.loads(listed.stdout)) in (ASSETS.parent / "README.md").read_text()
