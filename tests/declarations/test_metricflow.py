"""MetricFlow gives each ratio as the views do: to a customer its own, and to the owner those of all customers.

dbt-metricflow is installed beside dbt in the versions that callmart runs with. `make test-external` runs it.
"""

import csv
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from callmart.access import logins
from callmart.base.settings import PROJECT
from callmart.declarations import dbt_project, metrics
from callmart.declarations.mart import Mart
from callmart_home import Callmart
from centre import DETAILED, STANDARD, WITH_DATA
from venvs import installed

pytestmark = pytest.mark.external

Ratios = dict[tuple[str, ...], dict[str, float | None]]  # by customer and grain


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs") / "metricflow"
    return installed(folder, "dbt-metricflow==0.15.0", "dbt-postgres", like_ours=True)


@dataclass(frozen=True)
class Asker:
    """Somebody with a copy of semantic/ and a login. None is the owner."""

    callmart: Callmart
    programs: Path
    folder: Path
    customer_id: int | None

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        program, *words = command
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"], **self._login()}
        return subprocess.run(
            [self.programs / program, *words], cwd=self.folder, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def _login(self) -> Mapping[str, str]:
        """libpq's variables, as README.md says them."""
        if self.customer_id is None:
            uri, more = logins.owner_uri(self.callmart.settings), {"CALLMART_SCHEMA": "store"}
        else:
            with self.callmart.connect() as owner:
                uri, more = logins.customer_uri(owner, self.callmart.settings, self.customer_id), {}
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "passfile": "PGPASSFILE"}
        own = conninfo_to_dict(uri)
        return {name: str(own[key]) for key, name in names.items() if own.get(key)} | more

    def query(self, mart: Mart) -> subprocess.CompletedProcess[str]:
        """Ask for all ratios of a mart, per customer and the columns of their view."""
        names = [metric.name for metric in metrics.metrics().values() if metric.mart == mart.name]
        by = ["metric_time", *(f"{mart.name}__{c}" for c in metrics.grain_of(mart) if c != mart.day)]
        return self.run(
            "mf", "query", "--metrics", ",".join(names), "--group-by", ",".join(by), "--csv", "got.csv"
        )

    def ratios(self, mart: Mart) -> Ratios:
        asked = self.query(mart)
        assert asked.returncode == 0, asked.stdout
        with (self.folder / "got.csv").open() as file:
            rows = [
                {key.rpartition("__")[2] or key: value for key, value in row.items()}
                for row in csv.DictReader(file)
            ]
        for row in rows:
            row[mart.day or ""] = row.pop("day")[:10]  # metric_time__day
        return {
            tuple(row.pop(column) for column in metrics.grain_of(mart)): {
                name: float(value) if value else None for name, value in row.items()
            }
            for row in rows
        }


Ask = Callable[[int | None], Asker]


@pytest.fixture
def ask(two_weeks: Callmart, programs: Path, tmp_path: Path) -> Ask:
    def ask(customer_id: int | None) -> Asker:
        folder = tmp_path / str(customer_id)
        shutil.copytree(PROJECT / "semantic", folder, ignore=shutil.ignore_patterns("target", "logs"))
        asker = Asker(two_weeks, programs, folder, customer_id)
        parsed = asker.run("dbt", "parse", "--quiet")
        assert parsed.returncode == 0, parsed.stdout
        return asker

    return ask


MARTS = {
    mart: DETAILED if mart == "agent_day" else WITH_DATA
    for mart in dict.fromkeys(metric.mart for metric in metrics.metrics().values())
}


def of_view(callmart: Callmart, mart: Mart, customer_id: int) -> Ratios:
    rows = callmart.rows(f"select * from mart.{metrics.view_of(mart)}", customer_id=customer_id)
    return {tuple(str(row.pop(column)) for column in metrics.grain_of(mart)): row for row in rows}


def same(got: Ratios, expected: Ratios) -> bool:
    return got.keys() == expected.keys() and all(
        got[key].keys() == ratios.keys()
        and all((got[key][name] is None) == (value is None) for name, value in ratios.items())
        and all(isclose(got[key][name] or 0, value or 0) for name, value in ratios.items())
        for key, ratios in expected.items()
    )


@pytest.mark.parametrize("name", MARTS)
def test_each_ratio_is_what_the_view_shows(two_weeks: Callmart, ask: Ask, name: str) -> None:
    (mart,) = (mart for mart in dbt_project.marts(two_weeks.settings) if mart.name == name)
    with two_weeks.connect() as owner:  # in these weeks nobody went on to another queue
        owner.execute("update store.queue_interval set overflowed = 1 where offered > answered")
    views = {customer: of_view(two_weeks, mart, customer) for customer in MARTS[name]}
    every = {key: ratios for view in views.values() for key, ratios in view.items()}
    known = {ratio for ratios in every.values() for ratio, value in ratios.items() if value}
    assert known == {metric.name for metric in metrics.metrics().values() if metric.mart == name}
    assert same(ask(None).ratios(mart), every)
    for customer, view in views.items():
        assert view
        assert same(ask(customer).ratios(mart), view)


def test_who_has_not_ordered_a_mart_is_refused(two_weeks: Callmart, ask: Ask) -> None:
    (mart,) = (mart for mart in dbt_project.marts(two_weeks.settings) if mart.name == "agent_day")
    asker = ask(STANDARD)
    refused = asker.query(mart)
    assert refused.returncode != 0 and "permission denied" in refused.stdout
    assert not (asker.folder / "got.csv").exists()


def test_nothing_is_built(two_weeks: Callmart, ask: Ask) -> None:
    """The owner could: dbt would put a view of its own in the place of the mart's."""
    tables = (
        "select relname, oid::bigint from pg_class where relnamespace = 'store'::regnamespace order by oid"
    )
    before = two_weeks.rows(tables)
    built = ask(None).run("dbt", "run")
    assert built.returncode != 0 and "nothing is built here" in built.stdout
    assert two_weeks.rows(tables) == before
