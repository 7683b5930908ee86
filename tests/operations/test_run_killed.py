"""After a crash at any point of a nightly run, the next one leaves all as if there had been none."""

import json
import random
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from callmart.build import months, window
from callmart.database import vacuum
from callmart.declarations import dbt_project
from callmart.extract import drafts
from callmart.land import landing, loader
from callmart.opening import opening
from callmart.publish import bookkeeping, planning
from callmart.retention import remove
from callmart.validate import suites
from callmart_home import Callmart
from commands import begun as begun_command
from nights import Crash, night, outcome
from nights_of_three import fill, parts

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("unchecked")]

KILLS = 5
CHECKED = suites.validate
STAGES: list[tuple[Any, str]] = [
    (remove, "_follow_calendar"),
    (vacuum, "vacuum"),
    (loader, "_stream_events"),
    (landing.Landed, "__init__"),
    (window, "_fill_window"),
    (dbt_project, "run"),
    (window, "computed_tables"),
    (suites, "_keep"),
    (months, "ensure_window"),
    (opening, "empty_build"),
    (drafts.Draft, "prove"),
    (planning, "plan"),
    (bookkeeping, "record"),
]


def test_a_crash_in_any_stage_is_made_good_by_the_next_run(twin: Callmart, undisturbed: Callmart) -> None:
    """Each stage crashes on its way out, after all that it does: what is not committed is lost."""
    fill(twin.home / "inbox", *parts(1))
    crashed = []
    for module, name in STAGES:
        inner = getattr(module, name)

        def breaking(*arguments: Any, inner: Callable[..., Any] = inner, **options: Any) -> None:
            inner(*arguments, **options)
            raise Crash

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, breaking)
            if module is suites:
                patch.setattr(suites, "validate", CHECKED)
            with pytest.raises(Crash):
                night(twin)
        crashed.append(name)
    assert len(crashed) == len(STAGES)
    assert night(twin).problems == []
    assert outcome(twin) == outcome(undisturbed)


def test_killed_at_random_moments(twin: Callmart, undisturbed: Callmart) -> None:
    """Each run has something new to do, and is killed on its way; the last one is left alone."""
    rng = random.Random(11)
    inbox = twin.home / "inbox"
    inbox.mkdir()
    folders = json.dumps([{"path": str(inbox), "settle_seconds": 0}])
    killed = 0
    for number, table in enumerate(parts(KILLS)):
        pq.write_table(table, inbox / f"{number}.parquet")
        process = begun_command(twin.home, "run", CALLMART_FOLDERS=folders)
        process.join(rng.uniform(0.1, 2))
        if process.is_alive():
            process.kill()
            process.join()
            killed += 1
        twin.bury()
    assert killed, "on this machine they are all too fast"
    assert night(twin).problems == []
    ended = [row["outcome"] for row in twin.rows("select outcome from ops.run order by run_id")]
    assert ended[-1] == "done"
    assert set(ended[:-1]) <= {"died", "done"}
    assert ended.count("died") <= killed, "one that was killed before it began left no record"
    assert outcome(twin) == outcome(undisturbed)
