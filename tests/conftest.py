"""What the tests share: a callmart of their own, with a real server, in a folder of its own."""

import gc
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest

from callmart.access import logins, roles
from callmart.base.settings import Settings
from callmart.build import window
from callmart.database import server
from callmart.declarations import dbt_project
from callmart.land.landing import Landed, land
from callmart.land.prepare import Defaults
from callmart.opening import opening
from callmart.operations import run
from callmart.publish import emulator
from callmart.registry import applying
from callmart.registry import file as registry_file
from callmart.validate import suites

hypothesis.settings.register_profile("callmart", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("callmart")
gc.set_threshold(50_000)  # half a million objects of the libraries are there to stay

YESTERDAY = date.today() - timedelta(days=1)


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
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG_MODULES)


def ignore_step(*step: Any) -> None:
    """Progress that nobody watches."""


def let_pass(connection: psycopg.Connection, settings: Settings, on_mart: Any) -> suites.Validated:
    """As suites.validate where every day passes: Great Expectations takes half of a small night."""
    connection.execute("update ops.build set validated_at = clock_timestamp() where opened_at is null")
    connection.commit()
    return suites.Validated(None)


@dataclass
class Callmart:
    """A callmart in a home of its own."""

    settings: Settings

    @property
    def home(self) -> Path:
        return self.settings.home

    def connect(self, customer_id: int | None = None) -> psycopg.Connection:
        """As the owner, or as a customer: by its own login, or where it has ordered none by the publisher's."""
        if customer_id is None:
            return server.connect(self.settings)
        with server.connect(self.settings) as owner:
            role = roles.customer_role(owner.info.dbname, customer_id)
            if role in logins.of_customers(owner):
                return psycopg.connect(logins.customer_uri(owner, self.settings, customer_id))
        publisher = logins.connect(self.settings, "publisher")
        publisher.execute(roles.statement("set role {}", role))
        publisher.commit()
        return publisher

    def apply(self, text: str) -> None:
        """Apply a registry, whatever it deletes."""
        file = self.home / "registry.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        with self.connect() as connection:
            applying.apply(connection, self.settings, registry_file.load(file))

    def land(
        self,
        file: Path,
        customer_id: int | None = None,
        *,
        format: str = "auto",
        time_zone: str | None = None,
        platform: str = "vcloud",
    ) -> Landed:
        with logins.connect(self.settings, "loader") as loader:
            return land(
                loader, self.settings, file, format, Defaults(customer_id, platform, False, time_zone)
            )

    def land_text(self, text: str, customer_id: int | None = None, **options: Any) -> Landed:
        file = self.home / f"landed-{abs(hash(text))}"
        file.write_text(text)
        return self.land(file, customer_id, **options)

    def build_and_open(self) -> run.Ran:
        ran = run.Ran()
        with self.connect() as connection:
            run.remove_closed(connection, self.settings, ran, ignore_step)
            run.build_and_open(connection, self.settings, ran, ignore_step)
        return ran

    def build_unchecked(self) -> None:
        """As build_and_open, without the checks, which take most of its time: where the marts are looked at anyway."""
        with self.connect() as connection:
            run.remove_closed(connection, self.settings, run.Ran(), ignore_step)
            window.build(connection, self.settings, ignore_step)
            let_pass(connection, self.settings, ignore_step)
            opening.open_build(connection, self.settings)

    def rows(self, query: str, *parameters: Any, customer_id: int | None = None) -> list[dict[str, Any]]:
        """What a query returns to the owner, or to a customer."""
        with (
            self.connect(customer_id) as connection,
            connection.cursor(row_factory=psycopg.rows.dict_row) as cursor,
        ):
            return cursor.execute(query, parameters).fetchall()  # type: ignore[arg-type]

    def told(self, customer_id: int, *, named: bool = True) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of every mart of a customer, without what no two customers have in common: its number, its keys, and
        which part of a call in one moment is the first. Agents are told by what reports call them, or not at all.
        """
        own = {"customer_id", "agent_key", "call_key", "device_key", "part"} | (set() if named else {"agent"})
        told = {}
        with self.connect() as connection:
            for mart in dbt_project.marts(self.settings):
                names = "agent_key" in mart.columns and "agent" not in mart.columns
                cursor = connection.execute(
                    f"select * from store.{mart.name}"  # type: ignore[arg-type]
                    f"{' left join store.agent using (customer_id, agent_key)' if names else ''}"
                    " where customer_id = %s",
                    [customer_id],
                )
                shown = [i for i, column in enumerate(cursor.description or ()) if column.name not in own]
                told[mart.name] = sorted((tuple(row[i] for i in shown) for row in cursor), key=repr)
        return told

    def stop(self) -> None:
        emulator.stop(self.home)
        server.stop(self.home)

    def save(self, place: Path) -> None:
        """Put aside all that it is."""
        self.stop()
        copy(self.home, place)
        server.start(self.home)

    def restore(self, place: Path) -> None:
        """Be again what was put aside: takes a fraction of a build."""
        self.stop()
        clear(self.home)
        copy(place, self.home)
        server.start(self.home)


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """Where all homes stand, in use and at rest.

    Not in pytest's own folder: each session closes that to the account that runs the embedded server for root.
    """
    with tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder:
        yield Path(folder)


def copy(home: Path, to: Path) -> None:
    """Copy a home at rest, with the owners of its files: takes less than making a server, or what it holds."""
    to.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", f"{home}/.", to], check=True)


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


def clear(home: Path) -> None:
    """Remove all that stands in a home but what dbt has read of the project, which takes it as long as a build."""
    for path in home.glob("*"):
        if path.is_dir() and path.name != "dbt":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """dbt reads the same project once per process, which takes a third of a small build."""
    inner = dbt_project._parse
    known: dict[tuple[Any, ...], Any] = {}

    def parse(settings: Settings) -> Any:
        fingerprint = dbt_project._fingerprint()
        project = (dbt_project.PROJECT, fingerprint, settings.dsn)
        if project not in known or dbt_project._kept(settings, fingerprint) is None:
            known[project] = inner(settings)
        return known[project]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt_project, "_parse", parse)
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
