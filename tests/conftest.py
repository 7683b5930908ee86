"""The fixtures that tests share: homes, servers, and what is done once for all of them."""

import gc
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from callmart.base.settings import Settings
from callmart.database import server
from callmart.declarations import dbt_project
from callmart.validate import suites
from callmart_home import Callmart, clear, copy, let_pass

hypothesis.settings.register_profile("callmart", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("callmart")
gc.set_threshold(50_000)  # half a million objects of the libraries are there to stay


# Begun first, so that no module keeps one worker busy long after the other has ended.
LONG_MODULES = (
    "run",
    "marts",
    "release",
    "contract",
    "quality",
    "expire",
    "status_marts",
    "isolation",
    "usage",
    "store",
    "cli",
    "other_server",
    "audit",
    "publish",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "database" or "new_home" in getattr(item, "fixturenames", ()):
            item.add_marker("server")
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG_MODULES)


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """Where all homes stand, in use and at rest.

    Not in pytest's own folder: each session closes that to the account that runs the embedded server for root.
    """
    with tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def new_home(homes: Path) -> Path:
    """A home at rest, with a server on which nothing has been applied yet."""
    home = homes / "new"
    server.start(home)
    server.stop(home)
    with (home / "postgres" / "postgresql.conf").open("a") as configuration:
        # No test switches the machine off; and what is copied is small.
        configuration.write("fsync = off\nmin_wal_size = '32MB'\n")
    return home


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """dbt reads the same project once per process, which takes longer than a small build. Another home gets copies."""
    inner = dbt_project._parse
    known: dict[tuple[Any, ...], tuple[Any, Path]] = {}

    def parse(settings: Settings) -> Any:
        fingerprint, place = dbt_project._fingerprint(), dbt_project._target(settings)
        project = (dbt_project.PROJECT, fingerprint, settings.dsn)
        if project in known:
            parsed, source = known[project]
            if source != place and source.exists():
                shutil.copytree(
                    source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("run", "compiled")
                )
            if dbt_project._kept(settings, fingerprint) is not None:
                return parsed
        known[project] = inner(settings), place
        return known[project][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt_project, "_parse", parse)
        yield


@pytest.fixture(scope="session", autouse=True)
def quiet_dbt() -> Iterator[None]:
    """dbt makes a message of every step, and asks who declared its flags by reading the source of every frame of pytest
    above it. Together they take longer than the models do: here dbt sends only the messages that callmart hears.
    """
    from dbt_common.behavior_flags import BehaviorFlagRendered
    from dbt_common.events.event_manager import EventManager

    inner = EventManager.fire_event
    heard = ("NodeFinished", "CatchableExceptionOnRun")

    def fire_event(self: EventManager, e: Any, *more: Any, **named: Any) -> None:
        if type(e).__name__ in heard:
            inner(self, e, *more, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventManager, "fire_event", fire_event)
        patch.setattr(BehaviorFlagRendered, "_default_source", staticmethod(lambda: "tests"))
        yield


@pytest.fixture(scope="module")
def unchecked() -> Iterator[None]:
    """Nights whose days pass unchecked: for modules that are about something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "validate", let_pass)
        yield


MakeCallmart = Callable[..., Callmart]


@pytest.fixture(scope="module")
def make_callmart(homes: Path, new_home: Path) -> Iterator[MakeCallmart]:
    """Makes a callmart with a server of its own, or with an empty home.

    At the end of the module they are stopped and cleared, and the next module has its homes in the same places.
    """
    made: list[Callmart] = []

    def make(*, empty: bool = False) -> Callmart:
        home = homes / str(len(made))
        if empty:
            shutil.rmtree(home, ignore_errors=True)
        else:
            copy(new_home, home)
        made.append(Callmart(Settings(home=home, dsn=None, folders=[])))
        return made[-1]

    yield make
    for callmart in made:
        callmart.stop()
        clear(callmart.home)


@pytest.fixture(scope="module")
def callmart(make_callmart: MakeCallmart) -> Callmart:
    """A callmart for the tests of one module."""
    return make_callmart()


@pytest.fixture(scope="module")
def played(callmart: Callmart, homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """The module's callmart with three customers and their open marts, as centre.py plays them: once, and copied."""
    from centre import play

    place = homes / "played"
    if place.exists():
        callmart.restore(place)
    else:
        play(callmart, tmp_path_factory.mktemp("landed"))
        callmart.build_unchecked()
        callmart.save(place)
    return callmart
