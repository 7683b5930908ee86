"""A callmart in a home of its own, with a real server, as tests use it."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from time import sleep
from typing import Any
from unittest.mock import patch

import psutil
import psycopg

from callmart.access import drift, logins, memberships, rights, roles
from callmart.access.difference import Drift
from callmart.base.keys import INSTALLATION, key_file, keyed
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.build import window
from callmart.database import embedded_server, server
from callmart.declarations import dbt_project
from callmart.land.found import Delivery
from callmart.land.gate import Defaults
from callmart.land.landing import Landed, land, land_all
from callmart.opening import opening
from callmart.operations import run, stages
from callmart.publish import emulator
from callmart.registry import applying
from callmart.registry import file as registry_file
from callmart.validate import suites
from commands import exit_code
from dbt_by_heart import dbt_by_heart
from events import Line, Row, log, together


def let_pass(connection: psycopg.Connection, settings: Settings, on_mart: Any) -> suites.Validated:
    """As suites.validate where every day passes: Great Expectations takes half of a small night."""
    connection.execute("update ops.build set validated_at = clock_timestamp() where opened_at is null")
    connection.commit()
    return suites.Validated(None)


@contextmanager
def trusting() -> Iterator[None]:
    """Within it, openings and applied registries do not look for drift, which takes longer than most of what they do:
    where nobody changes rights by hand.
    """
    look_before = memberships.drift_before

    def drift_before(*what: Any) -> list[Drift] | None:
        with patch.object(drift, "of_objects", lambda *_: iter(())):
            return look_before(*what)

    with (
        patch.object(opening, "refuse_drift", lambda *_, **__: []),
        patch.object(memberships, "drift_before", drift_before),
    ):
        yield


def hold_back(customer: int, day: date | None = None) -> Callable[..., suites.Validated]:
    """As suites.validate where the customer's days fail, or this one."""

    def validate(connection: psycopg.Connection, *more: Any) -> suites.Validated:
        connection.execute(
            "insert into ops.quality_result"
            " select max(build_id), 'queue_interval', 'x', 'critical', false from ops.build"
        )
        connection.execute(
            "insert into ops.quality_failure select max(b.build_id), 'queue_interval', 'x', w.customer_id, w.call_date"
            " from ops.build as b, build.window as w"
            " where customer_id = %s and call_date = coalesce(%s, call_date) group by 4, 5",
            [customer, day],
        )
        return let_pass(connection, *more)

    return validate


def built_as_here(shared: Path, target: Callable[..., None], *arguments: object, **named: object) -> None:
    """In a process of its own, call something whose builds are those of the tests' own process: unchecked, with what
    the workers learnt of dbt. Reading the project anew and importing Great Expectations takes 6 s of CPU.
    """
    with (
        dbt_by_heart(shared),
        patch.object(suites, "validate", let_pass),
        patch.object(suites, "load", quietly),
    ):
        target(*arguments, **named)


def leave_dirty(connection: psycopg.Connection, days: Sequence[tuple[int, date]]) -> None:
    """Let these days of customers wait to be built, and no others."""
    connection.execute("truncate ops.dirty_day")
    connection.cursor().executemany(
        "insert into ops.dirty_day (customer_id, call_date, cause) values (%s, %s, 'test')", days
    )


def leave_opened_dirty(connection: psycopg.Connection) -> None:
    """Let all opened days wait to be built again, and whatever waits already."""
    connection.execute(
        "insert into ops.dirty_day (customer_id, call_date, cause)"
        " select distinct customer_id, call_date, 'test' from ops.opened_day where isfinite(call_date)"
        " on conflict do nothing"
    )


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

    def require_own_server(self) -> None:
        """Skip the test if the server is a cluster."""
        if self.settings.dsn:
            from pytest import skip  # a forked process would import it anew

            skip("this needs the embedded server")

    @contextmanager
    def superuser(self, *, keep: bool = True) -> Iterator[psycopg.Connection]:
        """As the server's administrator, who can do anything; what is done is kept, or rolled back."""
        self.require_own_server()
        socket = embedded_server.start(self.home)
        with psycopg.connect(
            host=str(socket), user="postgres", dbname=embedded_server.DATABASE
        ) as connection:
            yield connection
            if not keep:
                connection.rollback()

    def bury(self) -> None:
        """Wait until the server has noticed that a run was killed."""
        with self.connect() as connection:
            connection.execute("create table if not exists ops.running_now ()")
            connection.execute("lock table ops.running_now in exclusive mode")

    def kill(self, target: Callable[..., None], *arguments: object, **named: object) -> None:
        """Call something that kills its own process, and wait until the server has noticed."""
        code = exit_code(built_as_here, self.home.parent.parent, target, self.home, *arguments, **named)
        assert code == -signal.SIGKILL, arguments
        self.bury()

    def apply(self, text: str, *, looks: bool = False) -> None:
        """Apply a registry, whatever it deletes. It `looks` for drift before that if it is said, and on servers that
        are not the embedded one.
        """
        file = self.home / "registry.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
        with nullcontext() if looks or self.settings.dsn else trusting(), self.connect() as connection:
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
        return land(self.settings, file, format, Defaults(customer_id, platform, False, time_zone))

    def land_all(self, *files: tuple[Path, int | None]) -> list[Landed | str]:
        """Land files, each for a customer or for those that its rows name; a sentence for one that does not land."""
        deliveries = [
            Delivery(path, "auto", Defaults(customer, "vcloud", False, None)) for path, customer in files
        ]
        outcomes = dict(land_all(self.settings, deliveries))
        return [str(one) if isinstance(one, Exception) else one for one in map(outcomes.pop, deliveries)]

    def land_text(self, text: str, customer_id: int | None = None, **options: Any) -> Landed:
        file = self.home / f"landed-{abs(hash(text))}"
        file.write_text(text)
        return self.land(file, customer_id, **options)

    def land_together(self, told: Mapping[int, Sequence[Row] | Sequence[Line]]) -> None:
        """Land what customers told: rows in one file, and a queue_log in a file of its own. No row is rejected."""
        rows = {whose: [row for row in own if isinstance(row, dict)] for whose, own in told.items()}
        for whose, own in told.items():
            if lines := [line for line in own if isinstance(line, tuple)]:
                assert self.land_text(log(*lines), whose).rejected == 0
        assert self.land_text(together(rows)).rejected == 0

    def file_key(self, value: str, kind: str = "file") -> str:
        """By what the database knows the name or the `content` of a file."""
        return keyed(key_file(self.home, INSTALLATION).read_bytes(), kind, value)

    def build_and_open(self) -> stages.Ran:
        ran = stages.Ran()
        with self.connect() as connection:
            stages.remove_closed(connection, self.settings, ran, quietly)
            run.build_and_open(connection, self.settings, ran, quietly)
        return ran

    def build_unchecked(self, *, looks: bool = False) -> None:
        """As build_and_open, without the checks, which take most of its time: where the marts are looked at anyway. It
        `looks` for drift if that is said, and on servers that are not the embedded one.
        """
        with self.connect() as connection:
            stages.remove_closed(connection, self.settings, stages.Ran(), quietly)
            window.build(connection, self.settings, quietly)
            let_pass(connection, self.settings, quietly)
            with nullcontext() if looks or self.settings.dsn else trusting():
                opening.open_build(connection, self.settings)

    def build_in_windows(self, rng: Random, windows: int = 3) -> None:
        """Build all days anew, in windows of days picked at random, so that calls over midnight are cut by them."""
        with self.connect() as connection:
            days = connection.execute(
                "select customer_id, call_date from ops.dirty_day"
                " union select customer_id, call_date from ops.opened_day where isfinite(call_date)"
            ).fetchall()
            rng.shuffle(days)
            for window in range(windows):
                leave_dirty(connection, days[window::windows])
                connection.commit()
                self.build_unchecked()

    def rows(self, query: str, *parameters: Any, customer_id: int | None = None) -> list[dict[str, Any]]:
        """What a query returns to the owner, or to a customer."""
        with (
            self.connect(customer_id) as connection,
            connection.cursor(row_factory=psycopg.rows.dict_row) as cursor,
        ):
            return cursor.execute(query, parameters).fetchall()

    def tables(self) -> list[str]:
        """All tables of callmart's, without those of a window."""
        found = self.rows(
            "select c.oid::regclass::text as name from pg_class as c where relkind in ('r', 'p') and not relispartition"
            " and relnamespace::regnamespace::text = any(%s)",
            [schema for schema in rights.SCHEMAS if schema != "build"],
        )
        return [row["name"] for row in found]

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
                    f"select * from store.{mart.name}"
                    f"{' left join store.agent using (customer_id, agent_key)' if names else ''}"
                    " where customer_id = %s",
                    [customer_id],
                )
                shown = [i for i, column in enumerate(cursor.description or ()) if column.name not in own]
                told[mart.name] = sorted((tuple(row[i] for i in shown) for row in cursor), key=repr)
        return told

    def compiled(self, model: str) -> str:
        """The SQL of a model as dbt ran it."""
        (file,) = (self.home / "dbt" / "compiled").rglob(f"{model}.sql")
        return file.read_text()

    def stop(self) -> None:
        emulator.stop(self.home)
        embedded_server.stop(self.home)

    def clear(self) -> None:
        """Remove all that stands in the home. The server ends at once: a stop would write down what is removed."""
        emulator.stop(self.home)
        pid_file = self.home / "postgres" / "postmaster.pid"
        with suppress(FileNotFoundError, psutil.NoSuchProcess):  # of a server that has stopped, or was killed
            server = psutil.Process(int(pid_file.read_text().split()[0]))
            server.send_signal(signal.SIGQUIT)
            server.resume()  # a test that failed may have suspended it
            while pid_file.exists() and server.status() != psutil.STATUS_ZOMBIE:
                sleep(0.005)
        clear(self.home)

    def save(self, place: Path) -> None:
        """Put aside all that it is."""
        self.require_own_server()
        self.stop()
        copy(self.home, place)
        embedded_server.start(self.home)

    def restore(self, place: Path) -> None:
        """Be again what was put aside: takes a fraction of a build."""
        self.require_own_server()
        self.clear()
        copy(place, self.home)
        embedded_server.start(self.home)


MakeOnce = Callable[[Callmart, str, Callable[[], object]], None]


def copy(home: Path, to: Path) -> None:
    """Copy a home at rest, with the owners of its files: takes less than making a server, or what it holds."""
    to.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", f"{home}/.", to], check=True)


def clear(home: Path) -> None:
    """Remove all that stands in a home but what dbt has read of the project, which takes it as long as a build."""
    # Takes a third of shutil.rmtree's time.
    subprocess.run(["rm", "-rf", *(path for path in home.glob("*") if path.name != "dbt")], check=True)
