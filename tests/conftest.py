"""The fixtures that tests share: homes, servers, and what is done once for all of them."""

import fcntl
import gc
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
from psycopg.conninfo import conninfo_to_dict
from tableauhyperapi import HyperProcess

import commands
import on_cluster
import today
from callmart.backup import sealed
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import embedded_server
from callmart.declarations import checking, dbt_project, exposures
from callmart.tableau_files import hyper
from callmart.validate import suites
from callmart_home import Callmart, MakeOnce, copy, let_pass, trusting
from centre import play
from dbt_by_heart import dbt_by_heart
from drawn import add_weeks
from forked_emulators import forked_emulators
from home_settings import CLUSTER, settings_of
from kept_drawings import kept_drawings
from kept_plans import kept_columns, kept_mistakes
from kept_sessions import kept_sessions
from kept_streams import kept_streams, known_types
from kept_values import kept_values
from kept_workbooks import kept_workbooks

SHARED = pytest.StashKey[Path]()

# A busy machine is no failure; each session has other examples.
hypothesis.settings.register_profile(
    "callmart", deadline=None, max_examples=50, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("callmart")
gc.set_threshold(50_000)  # half a million objects of the libraries are there to stay


# Begun first, so that no module keeps one worker busy long after the other has ended. Two of the first three need no
# home, so that they can begin while it is made.
LONG_MODULES = (
    "audit",
    "queue_log",
    "cel",
    "queue_log_table",
    "cli",
    "other_server",
    "other_servers",
    "run",
    "run_killed",
    "quality",
    "store",
    "access",
    "mutants",
    "simulated_marts",
    "inference",
    "agent_weeks",
    "remove",
    "dbt_by_itself",
    "release",
    "server",
    "expiry_plan",
    "clock",
    "applying",
    "expire",
    "extract",
    "isolation",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "database" or "new_home" in getattr(item, "fixturenames", ()):
            item.add_marker("server")
    place = {name: number for number, name in enumerate(LONG_MODULES)}
    items.sort(key=lambda item: place.get(item.path.stem.removeprefix("test_"), len(place)))


def pytest_collection_finish() -> None:
    gc.freeze()  # libraries and tests are there to stay


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="repeats what an earlier session chose at random")
    parser.addoption(
        "--on-cluster", action="store_true", help="put callmarts on the cluster of CALLMART_TEST_CITUS_DSN"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One seed, one cluster and one folder of homes for all workers.

    The folder is not in pytest's own: each session closes that to the account that runs the embedded server for root.
    """
    if config.option.on_cluster and not CLUSTER:
        raise pytest.UsageError("--on-cluster: name a cluster in CALLMART_TEST_CITUS_DSN")
    if config.option.seed is None:
        config.option.seed = secrets.randbelow(2**31)
    config.option.hypothesis_seed = config.option.seed
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="callmart-tests-", dir=_memory())
        config.stash[SHARED] = Path(folder.name)
        config.add_cleanup(folder.cleanup)
    else:
        config.stash[SHARED] = Path(config.workerinput["shared"])


def _memory() -> Path | None:
    """A folder in memory, if one has room for all homes: copying a home takes a tenth of the time there."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 6 << 30 else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["shared"] = str(node.config.stash[SHARED])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    terminalreporter.write_line(f"chosen at random with --seed {config.option.seed}")
    if today.is_over():
        terminalreporter.write_line(
            "a new day began meanwhile, which alone can make tests fail: run them again"
        )


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Of what is chosen at random; the summary names it."""
    return int(pytestconfig.option.seed)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """Where homes stand at rest, for all workers."""
    return pytestconfig.stash[SHARED]


@pytest.fixture(scope="session")
def homes(shared: Path, worker_id: str) -> Path:
    """Where the homes of this worker stand."""
    homes = shared / worker_id
    homes.mkdir()
    return homes


@contextmanager
def first(place: Path) -> Iterator[bool]:
    """Whether nobody has made this place yet; meanwhile other workers wait."""
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not place.exists()


@pytest.fixture(scope="session")
def new_home(shared: Path) -> Path:
    """A home at rest, with a server on which nothing has been applied yet; its project has been read and checked."""
    home = shared / "new"
    with first(home) as absent:
        if absent:
            embedded_server.start(home)
            settings = settings_of(home)
            dbt_project.marts(settings)
            checking.require(settings)
            embedded_server.stop(home)
            embedded_server._run("pg_resetwal", home / "postgres", "--wal-segsize=1", otherwise="it failed")
            with (home / "postgres" / "postgresql.conf").open("a") as configuration:
                # No test switches the machine off; what is copied is small; and thousands log in.
                configuration.write(
                    "fsync = off\nfull_page_writes = off\nmin_wal_size = '2MB'\nscram_iterations = 16\n"
                )
    return home


@pytest.fixture(scope="session")
def ready_home(shared: Path, new_home: Path) -> Path:
    """A home at rest, with all schemas and no customer: to make them takes longer than most tests."""
    home = shared / "ready"
    with first(home) as absent:
        if absent:
            copy(new_home, home)
            callmart = Callmart(settings_of(home))
            callmart.apply("customers: []")
            callmart.stop()
            (
                home / "postgres" / "pg_stat" / "pgstat.stat"
            ).unlink()  # autovacuum would begin with all that was made
    return home


@pytest.fixture(scope="session")
def make_once(shared: Path) -> MakeOnce:
    """Lets a callmart be what `make` makes of it. The worker that first asks for this name makes it; then it is copied,
    which takes a fraction of a build.
    """

    def make_once(callmart: Callmart, name: str, make: Callable[[], object]) -> None:
        if callmart.settings.dsn:  # on a cluster, which can't be copied
            make()
            return
        place = shared / name
        with first(place) as absent:
            if absent:
                make()
                callmart.save(place)
                return
        callmart.restore(place)

    return make_once


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """dbt reads the same project once per process, which takes longer than a small build. Another home gets copies.

    callmart's own project does not change meanwhile: its files and the marts that were found in them are read once.
    """
    inner, own = dbt_project._parse, dbt_project.PROJECT  # type: ignore[attr-defined] # tests set it
    look, look_once = dbt_project.fingerprint_of_files, cache(dbt_project.fingerprint_of_files)
    read, read_once = dbt_project._cached, dict[tuple[bytes, str], Any]()
    of_own: dict[str, Any] = {}
    known: dict[tuple[Any, ...], tuple[Any, Path]] = {}

    def fingerprint() -> str:
        return look_once() if own == dbt_project.PROJECT else look()  # type: ignore[attr-defined]

    def cached(settings: Settings, fingerprint: str) -> Any:
        file = dbt_project._cache_file(settings)
        told = file.read_bytes() if file.exists() else b"", fingerprint
        if told not in read_once:
            read_once[told] = read(settings, fingerprint)
        found = read_once[told]
        if own == dbt_project.PROJECT:  # type: ignore[attr-defined] # tests set it
            found = of_own[fingerprint] = found or of_own.get(fingerprint)
        return found

    def parse(settings: Settings) -> Any:
        fingerprint, place = dbt_project.fingerprint_of_files(), dbt_project._target(settings)
        # What is parsed has the name of the database, and nothing else of the server.
        dsn = settings.dsn.get_secret_value() if settings.dsn else f"dbname={embedded_server.DATABASE}"
        database = conninfo_to_dict(dsn)["dbname"]
        project = (dbt_project.PROJECT, fingerprint, database)  # type: ignore[attr-defined] # tests set it
        if project in known:
            parsed, source = known[project]
            if source != place and source.exists():
                shutil.copytree(
                    source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("run", "compiled")
                )
            if dbt_project._cached(settings, fingerprint) is not None:
                return parsed
        known[project] = inner(settings), place
        return known[project][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt_project, "_parse", parse)
        patch.setattr(dbt_project, "fingerprint_of_files", fingerprint)
        patch.setattr(dbt_project, "_cached", cached)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_dbt() -> Iterator[None]:
    """dbt without what takes longer than small models do. Otherwise it

    - makes a message of every step: here only of those that callmart hears;
    - compiles every model again, though its text is the same; and learns for every query how dates are written;
    - takes its macros apart whenever it reads a project, but in its own tests once;
    - asks who declared its flags, by reading the source of every frame of pytest above it;
    - connects anew for every model: here once per thread.
    """
    from dbt.adapters.postgres.connections import PostgresConnectionManager
    from dbt_common.behavior_flags import BehaviorFlagRendered
    from dbt_common.clients import agate_helper
    from dbt_common.clients.jinja import MacroFuzzEnvironment
    from dbt_common.events.base_types import BaseEvent
    from dbt_common.events.event_manager import EventManager
    from dbt_common.tests import enable_test_caching

    enable_test_caching()
    heard = ("NodeFinished", "CatchableExceptionOnRun")
    compile_anew = MacroFuzzEnvironment.compile
    say, fire, test_types = BaseEvent.__init__, EventManager.fire_event, cache(agate_helper.build_type_tester)

    def begin(self: BaseEvent, *values: Any, **named: Any) -> None:
        if type(self).__name__ in heard:
            say(self, *values, **named)

    def fire_event(self: EventManager, e: Any, *more: Any, **named: Any) -> None:
        if type(e).__name__ in heard:
            fire(self, e, *more, **named)

    compiled: dict[Any, Any] = {}

    def compile_once(self: MacroFuzzEnvironment, source: Any, *more: Any, **named: Any) -> Any:
        key = (source, more, *named.items())
        if key not in compiled:
            compiled[key] = compile_anew(self, source, *more, **named)
        return compiled[key]

    def type_tester(text_columns: Iterable[str], string_null_values: Iterable[str] = ("null", "")) -> Any:
        return test_types(tuple(text_columns), tuple(string_null_values))

    def release(self: PostgresConnectionManager) -> None:
        connection = self.get_if_exists()
        if connection is not None and connection.transaction_open:
            self._rollback(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseEvent, "__init__", begin)
        patch.setattr(EventManager, "fire_event", fire_event)
        patch.setattr(MacroFuzzEnvironment, "compile", compile_once)
        patch.setattr(agate_helper, "build_type_tester", type_tester)
        patch.setattr(BehaviorFlagRendered, "_default_source", staticmethod(lambda: "tests"))
        patch.setattr(PostgresConnectionManager, "release", release)
        yield


@pytest.fixture(scope="session", autouse=True)
def learnt_dbt(shared: Path) -> Iterator[None]:
    """Builds tell the database at once what dbt told it the last time."""
    with dbt_by_heart(shared):
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_connections() -> Iterator[None]:
    """The owner goes on with sessions that know the catalogue already."""
    with kept_sessions():
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_adbc() -> Iterator[None]:
    """ADBC reads all types of a database for each connection, which takes a quarter of landing a small file; here once
    per address. The loader goes on with a session in which PostgreSQL knows the functions that store a file.
    """
    with known_types(), kept_streams():
        yield


@pytest.fixture(scope="session", autouse=True)
def found_out_once(shared: Path) -> Iterator[None]:
    """The columns of DuckDB's query for each landing, mistakes in queries of suites, how a chart is drawn, whether a
    workbook changed, and what is in an extract.
    """
    with kept_columns(), kept_mistakes(), kept_drawings(shared / "charts"), kept_workbooks(), kept_values():
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_great_expectations() -> Iterator[None]:
    """Great Expectations writes an expectation as its configuration 75 times, and whatever names a metric as JSON 150
    times, though it is words; here once. It writes its own settings as YAML for each mart, and nobody reads them.
    """
    inner = suites._source
    kept: dict[int, tuple[Any, Any]] = {}

    @contextmanager
    def source(uri: str) -> Iterator[Any]:
        from great_expectations.core import id_dict
        from great_expectations.data_context import AbstractDataContext
        from great_expectations.expectations.expectation import Expectation  # takes seconds to import

        write, as_json = (
            vars(Expectation)["configuration"].fget,
            vars(id_dict)["convert_to_json_serializable"],
        )

        def configuration(self: Any) -> Any:
            if id(self) not in kept:
                kept[id(self)] = self, write(self)
            return kept[id(self)][1]

        def named(data: dict[str, Any]) -> Any:
            words = all(value is None or type(value) in (str, int, bool) for value in data.values())
            return data if words else as_json(data)

        with pytest.MonkeyPatch.context() as patch, inner(uri) as found:
            patch.setattr(Expectation, "configuration", property(configuration))
            patch.setattr(id_dict, "convert_to_json_serializable", named)
            patch.setattr(AbstractDataContext, "_save_project_config", lambda _: None)
            yield found
        kept.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "_source", source)
        yield


@pytest.fixture(scope="session", autouse=True)
def hyperd_by_the_real_clock() -> Iterator[None]:
    """hyperd reads no date. Under libfaketime (`make test-days`) it takes a fifth of a core while it is idle, and hangs
    now and then.
    """

    def start(*how: Any, **named: Any) -> HyperProcess:
        with patch.dict(os.environ):
            os.environ.pop("LD_PRELOAD", None)
            return HyperProcess(*how, **named)

    with patch("callmart.tableau_files.hyper.HyperProcess", start):
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_emulators() -> Iterator[None]:
    """An emulator does not import anew what it needs."""
    with forked_emulators():
        yield


@pytest.fixture(scope="module", autouse=True)
def no_idle_hyperd() -> Iterator[None]:
    """An idle hyperd takes 1 % of a core, and each worker would keep one until the end."""
    yield
    if hyper._hyperd.cache_info().currsize:
        hyper._hyperd().close()
        hyper._hyperd.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def quick_passphrases() -> Iterator[None]:
    """The key of a backup comes slowly from its passphrase, so that nobody can try many; here at once."""
    assert sealed._COST >= 2**17, "the least that OWASP recommends for scrypt"
    with commands.quick_passphrases():
        yield


@pytest.fixture(scope="module")
def unchecked() -> Iterator[None]:
    """Nights whose days pass unchecked: for modules that are about something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "validate", let_pass)
        patch.setattr(suites, "load", quietly)
        yield


@pytest.fixture(scope="module")
def trusted() -> Iterator[None]:
    """Nobody looks for drift: for modules that are about something else, and in which nobody changes rights."""
    with trusting():
        yield


@pytest.fixture(scope="module")
def few_reports() -> Iterator[None]:
    """Reports on queues and on agents, and the list that one leads to: for modules that publish and draw none. Each
    other one is published, searched and removed as these are.
    """
    few = {name: exposures.named(name) for name in ("traffic", "agents", "contacts")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposures, "reports", lambda: few)
        yield


@pytest.fixture
def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def alone_on_cluster(shared: Path) -> Iterator[None]:
    """Meanwhile the other workers leave the cluster alone."""
    with (shared / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


MakeCallmart = Callable[..., Callmart]


@pytest.fixture(scope="module")
def make_callmart(
    homes: Path, new_home: Path, ready_home: Path, request: pytest.FixtureRequest
) -> Iterator[MakeCallmart]:
    """Makes a callmart with a server of its own on which nothing has been applied yet, one that is ready for a first
    registry, or one with an empty home. With --on-cluster the module's first one is on the cluster.

    At the end of the module they are stopped and cleared, and the next module has its homes in the same places.
    """
    made: list[Callmart] = []

    def make(*, ready: bool = False, empty: bool = False) -> Callmart:
        home = homes / str(len(made))
        if request.config.option.on_cluster and not made:
            request.getfixturevalue("alone_on_cluster")
            made.append(on_cluster.callmart(homes))
            if ready:
                made[-1].apply("customers: []")
            return made[-1]
        if empty:
            shutil.rmtree(home, ignore_errors=True)
        else:
            copy(ready_home if ready else new_home, home)
        made.append(Callmart(settings_of(home)))
        return made[-1]

    yield make
    for callmart in made:
        callmart.clear()
    for ledger in homes.glob("ledger-of-*"):
        ledger.unlink()


@pytest.fixture(scope="module")
def callmart(make_callmart: MakeCallmart) -> Callmart:
    """A callmart for the tests of one module, ready for a first registry."""
    return make_callmart(ready=True)


@pytest.fixture(scope="session")
def be_played(make_once: MakeOnce, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callmart], None]:
    """Lets a callmart have three customers with open marts, as centre.py plays them."""

    def be_played(callmart: Callmart) -> None:
        def make() -> None:
            play(callmart, tmp_path_factory.mktemp("landed"))
            callmart.build_unchecked()

        make_once(callmart, "played", make)

    return be_played


@pytest.fixture(scope="module")
def played(callmart: Callmart, be_played: Callable[[Callmart], None]) -> Callmart:
    """The module's callmart, played."""
    be_played(callmart)
    return callmart


@pytest.fixture(scope="module")
def two_weeks(callmart: Callmart, make_once: MakeOnce, be_played: Callable[[Callmart], None]) -> Callmart:
    """The played days, a smaller week before them, and all that the registry can say of queues and lines."""

    def make() -> None:
        be_played(callmart)
        add_weeks(callmart)

    make_once(callmart, "two weeks", make)
    return callmart
