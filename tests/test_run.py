"""The nightly run: one at a time, whatever a file holds, and after a crash at any point as if there had been none."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tableauserverclient as TSC

from callmart import (
    build,
    dbt,
    demo,
    extract,
    installation,
    land,
    months,
    open,
    publication,
    publish,
    remove,
    run,
    status,
    tableau,
    validate,
)
from callmart.emulator.state import State
from callmart.errors import UserError
from callmart.lock import exclusive
from callmart.settings import Folder, Settings
from callmart.simulate import simulate
from callmart.status import CustomerStatus
from conftest import Callmart, ignore_step
from emulated import unmark
from events import DAY, at, days, event, ndjson, registry

DETAILED, STANDARD, NONE = 1, 2, 3
REGISTRY = registry(
    f"id: {DETAILED}, contracts: [{{option: detailed, from: 2020-01-01}}]",
    f"id: {STANDARD}, contracts: [{{option: standard, from: 2020-01-01}}]",
    f"id: {NONE}, contracts: []",
)
KILLS = 5


class Crash(Exception):
    """What no stage expects."""


def parts(number: int) -> list[pa.Table]:
    """Two days of two customers, cut into files in the order of time, so that each adds to a day before it."""
    tables = []
    for customer in DETAILED, STANDARD:
        events = simulate(
            customer, days(2), "Europe/Amsterdam", ["sales"], ["SIP/1", "SIP/2", "SIP/3"],
            contacts_per_day=80, seed=4, hours=(0, 24),
        ).events  # fmt: skip
        size = events.num_rows // number + 1
        tables.append([events.slice(i * size, size) for i in range(number)])
    return [pa.concat_tables(of_both) for of_both in zip(*tables, strict=True)]


def with_folders(callmart: Callmart, *folders: Folder) -> Callmart:
    """The same callmart, with folders in its settings."""
    return Callmart(callmart.settings.model_copy(update={"folders": list(folders)}))


def fill(folder: Path, *tables: pa.Table) -> None:
    folder.mkdir(exist_ok=True)
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")


def night(callmart: Callmart) -> run.Ran:
    with callmart.connect() as connection:
        return run.run(connection, callmart.settings, ignore_step)


def requests(callmart: Callmart) -> list[tuple[str, str]]:
    """What changed something on the emulator so far; signing in and out does not."""
    with State(callmart.home / "emulator") as state:
        made = [(each.method, each.path) for each in state.requests()]
    return [(method, path) for method, path in made if method != "GET" and "/auth/" not in path]


def outcome(callmart: Callmart) -> dict[str, Any]:
    """All that a run is for: the rows of the marts, the extracts, and what stands on Tableau."""
    with tableau.connect(callmart.settings) as server:
        on_tableau = {
            (source.project_name, source.name): {tag.rpartition("-")[2] for tag in source.tags}
            for source in TSC.Pager(server.datasources)
        }
    return {
        **{
            mart.name: sorted(map(repr, callmart.rows(f'select * from store."{mart.name}"')))
            for mart in dbt.marts(callmart.settings)
        },
        "opened": callmart.rows(
            "select customer_id, call_date::text, mart, row_count from ops.opened_day order by 1, 2, 3"
        ),
        "dirty": callmart.rows("select customer_id, call_date from ops.dirty_day"),
        "extracts": callmart.rows(
            "select customer_id, mart_group, content_hash, row_count from ops.extract order by 1, 2"
        ),
        "files": sorted(
            str(file.relative_to(extract.folder(callmart.settings)))
            for file in extract.folder(callmart.settings).rglob("*")
        ),
        "publications": callmart.rows("select customer_id, state from ops.publication order by 1"),
        "Tableau": on_tableau,
    }


@pytest.fixture(scope="module")
def undisturbed(make_callmart: Callable[[], Callmart]) -> Callmart:
    """One run over everything."""
    callmart = make_callmart()
    callmart.apply(REGISTRY)
    folder = callmart.home / "inbox"
    callmart = with_folders(callmart, Folder(path=folder))
    fill(folder, *parts(1))
    assert night(callmart).problems == []
    return callmart


@pytest.fixture
def twin(make_callmart: Callable[[], Callmart], undisturbed: Callmart) -> Callmart:
    """A callmart that has done nothing yet, with the keys of the undisturbed one: equal persons are equal rows."""
    callmart = make_callmart()
    shutil.copytree(undisturbed.home / "keys", callmart.home / "keys")
    callmart.apply(REGISTRY)
    return with_folders(callmart, Folder(path=callmart.home / "inbox"))


# the lock, the folders


def test_a_second_run_at_the_same_time_says_so_and_ends(undisturbed: Callmart) -> None:
    busy = pytest.raises(UserError, match="another callmart run is at work")
    with undisturbed.connect() as connection, exclusive(connection), busy:
        night(undisturbed)
    assert night(undisturbed).problems == []


def test_the_lock_is_free_after_a_failure(undisturbed: Callmart) -> None:
    with pytest.raises(Crash), undisturbed.connect() as connection, exclusive(connection):
        raise Crash
    with undisturbed.connect() as connection, exclusive(connection):
        pass


def test_a_run_with_nothing_new_changes_nothing(undisturbed: Callmart) -> None:
    before, made = outcome(undisturbed), requests(undisturbed)
    assert any("/datasources" in path for _, path in made)
    ran = night(undisturbed)
    assert [file.unchanged for file in ran.files] == [True]
    assert (ran.built_days, ran.opened_days, ran.extracts_written, ran.published_changes) == (0, 0, 0, 0)
    assert ran.extracts == 5, "three groups of the one, two of the other"
    assert outcome(undisturbed) == before
    assert requests(undisturbed) == made


def test_folders_say_what_their_files_are(twin: Callmart) -> None:
    """A bad file is a problem, and the others land."""
    logs, mixed = twin.home / "logs", twin.home / "mixed"
    for folder in logs, mixed:
        folder.mkdir()
    (logs / "queue_log").write_text(f"{int(at('10:00').timestamp())}|c-1|sales|NONE|ENTERQUEUE||0612345678\n")
    (mixed / "1-bad").write_bytes(bytes(range(256)) * 20)
    (mixed / "2-good").write_text(
        ndjson(event("queue_joined", at("11:00"), customer_id=DETAILED, call_id="c-2", queue="support"))
    )
    (mixed / ".draft").write_text("a file that is still being written")
    twin = with_folders(
        twin, Folder(path=logs, customer=STANDARD, format="queue_log", platform="vcare"), Folder(path=mixed)
    )
    ran = night(twin)
    assert [(file.file, file.landed) for file in ran.files] == [("queue_log", 1), ("2-good", 1)]
    assert len(ran.problems) == 1
    assert str(mixed / "1-bad") in ran.problems[0]
    assert twin.rows("select customer_id, platform, queue from raw.event order by 1") == [
        {"customer_id": DETAILED, "platform": "vcloud", "queue": "support"},
        {"customer_id": STANDARD, "platform": "vcare", "queue": "sales"},
    ]
    assert ran.opened_days == 2
    assert {project for project, _ in outcome(twin)["Tableau"]} == {
        one.tableau.removeprefix("callmart / ") for one in status_of(twin) if one.tableau != "nothing there"
    }


def status_of(callmart: Callmart) -> list[status.CustomerStatus]:
    with callmart.connect() as connection:
        return status.status(connection)


# what stood on Tableau before there were marks


def test_a_run_adopts_nothing_by_itself(undisturbed: Callmart) -> None:
    """Whoever confirms it has everything as it was, and nothing is published again."""
    before = outcome(undisturbed)
    with State(undisturbed.home / "emulator") as state:
        unmark(state, installation.ensure_id(undisturbed.home))
    undisturbed.rows("update ops.publication set project_id = null, is_from_before = true returning 1")
    ran = night(undisturbed)
    assert ran.published_changes == 0
    assert len(ran.problems) == 2
    assert all("adopt it with --yes" in problem for problem in ran.problems)
    with undisturbed.connect() as connection, tableau.connect(undisturbed.settings) as server:
        desired = publication.desired(connection, undisturbed.settings)
        plan = publish.plan(
            desired, publish.read(server, publication.books(connection, undisturbed.settings))
        )
        assert {str(step) for step in plan.steps if step.customer_id and step.action != "adopt"} == set()
        publication.apply(connection, undisturbed.settings, server, plan, ignore_step)
    assert (night(undisturbed).problems, outcome(undisturbed)) == ([], before)
    assert (
        undisturbed.rows("select project_id is null as unknown, is_from_before from ops.publication")
        == [{"unknown": False, "is_from_before": False}] * 2
    )


# crashes

STAGES: list[tuple[Any, str]] = [
    (remove, "_follow_calendar"),
    (remove.vacuum, "vacuum"),
    (land, "_stream"),
    (land.Landed, "__init__"),
    (build, "_fill_window"),
    (dbt, "run"),
    (build, "computed_tables"),
    (validate, "_keep"),
    (months, "ensure_window"),
    (open, "empty_build"),
    (extract, "_prove"),
    (publish, "plan"),
    (publication, "record"),
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
    environment = os.environ | {
        "CALLMART_HOME": str(twin.home),
        "CALLMART_FOLDERS": json.dumps([{"path": str(inbox)}]),
    }
    killed = 0
    for number, table in enumerate(parts(KILLS)):
        pq.write_table(table, inbox / f"{number}.parquet")
        process = subprocess.Popen(
            [sys.executable, "-c", "from callmart.cli import main; main()", "run"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(rng.uniform(1, 4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        with twin.connect() as connection:  # until the server has noticed
            connection.execute("create table if not exists ops.running_now ()")
            connection.execute("lock table ops.running_now in exclusive mode")
    assert killed, "on this machine they are all too fast"
    assert night(twin).problems == []
    assert outcome(twin) == outcome(undisturbed)


# the demo


@pytest.fixture(scope="module")
def shown(make_callmart: Callable[[], Callmart]) -> Iterator[tuple[Callmart, list[CustomerStatus]]]:
    callmart = make_callmart()
    yield callmart, demo.demo(callmart.settings, ignore_step)


def test_the_demo_shows_a_customer_of_each_kind(shown: tuple[Callmart, list[CustomerStatus]]) -> None:
    _, customers = shown
    assert [(one.customer_id, one.option) for one in customers] == [
        (1042, "detailed"),
        (1043, "detailed"),
        (1044, "standard"),
        (1045, "standard"),
        (1046, "none"),
    ]
    *served, silent = customers
    for one in served:
        assert one.contacts > 100
        assert one.extract_rows > 0
        assert (one.quality, one.dirty_days, one.held_back_days, one.turned_away_rows) == ("passed", 0, 0, 0)
        assert one.tableau == f"callmart / {one.customer_id} {one.name}"
    assert served[0].contacts == 354, "as recorded"
    assert (silent.contacts, silent.extract_rows, silent.tableau) == (0, 0, "nothing there")
    assert silent.turned_away_rows > 100
    days_shown = {day for one in served for day in (one.first_day, one.last_day)}
    assert min(filter(None, days_shown)) >= str(demo._last_monday(Settings().zone))


def test_a_second_demo_changes_nothing(shown: tuple[Callmart, list[CustomerStatus]]) -> None:
    callmart, customers = shown
    count = "select count(*) as rows, max(file_id) as file from raw.event"
    before, events, made = outcome(callmart), callmart.rows(count), requests(callmart)
    assert demo.demo(callmart.settings, ignore_step) == customers
    assert callmart.rows(count) == events
    assert outcome(callmart) == before
    assert requests(callmart) == made


def test_the_demo_keeps_away_from_customers_of_yours(undisturbed: Callmart) -> None:
    with pytest.raises(UserError, match="this database holds 3 customers of yours"):
        demo.demo(undisturbed.settings, ignore_step)


def test_the_recording_moves_to_its_week_day(tmp_path: Path) -> None:
    monday = DAY - timedelta(days=DAY.weekday())
    demo.move_recording("queue_log", tmp_path / "queue_log", monday)
    was, now = (
        [
            datetime.fromtimestamp(int(line.split("|")[0]), demo.RECORDED_IN)
            for line in file.read_text().splitlines()
        ]
        for file in (demo.EXAMPLE / "asterisk" / "queue_log", tmp_path / "queue_log")
    )
    assert [moment.time() for moment in now] == [moment.time() for moment in was]
    assert {moment.date() for moment in now} == {monday + timedelta(days=demo.RECORDED_ON.weekday())}
