"""By which definition a mart is computed: what changes it, and what a rebuild does when it has changed.

A project of small marts of its own, which dbt builds in seconds.
"""

import shutil
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import PROJECT
from callmart.build import definitions
from callmart.declarations import dbt_project, metrics
from callmart.operations import rebuild, status
from callmart.operations.rebuild import Chosen, Rebuilt
from callmart_home import Callmart, let_pass
from events import AMSTERDAM, event, ndjson, registry
from nights import Crash
from today import TODAY

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("unchecked", "trusted")]
CUSTOMER = 1
DAYS = [TODAY - timedelta(days=back) for back in (700, 300, 9, 1)]
OF_DAYS = "from {{ ref('stg_day') }}"
MODELS = {
    "intermediate/int_counted": "select customer_id, (occurred_at at time zone 'UTC')::date as call_date,"
    " count(*)::integer as events from {{ ref('stg_event') }} group by 1, 2",
    "marts/counted": "select d.customer_id, d.call_date, i.events"
    " from {{ ref('stg_day') }} as d inner join {{ ref('int_counted') }} as i using (customer_id, call_date)",
    "marts/spaced": f"select customer_id, call_date, 1 as events {OF_DAYS}",
    "marts/weighted": f"select customer_id, call_date, {{{{ weight() }}}} as events {OF_DAYS}",
    "marts/reaching": f"select customer_id, call_date, 2 as events {OF_DAYS}",
    "marts/widened": f"select customer_id, call_date, 3 as events {OF_DAYS}",
}
MARTS = ["counted", "reaching", "spaced", "weighted", "widened"]
CHANGED = [mart for mart in MARTS if mart != "spaced"]


class Project:
    """The project of small marts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(PROJECT / "macros", folder / "macros")
        for name in ("dbt_project.yml", "profiles.yml"):
            shutil.copy(PROJECT / name, folder)
        for part in ("staging", "intermediate", "marts"):
            (folder / "models" / part).mkdir(parents=True)
        shutil.copy(PROJECT / "models/staging/sources.yml", folder / "models/staging")
        for model in ("stg_day", "stg_customer", "stg_contract", "stg_event"):
            for kind in ("sql", "yml"):
                shutil.copy(PROJECT / f"models/staging/{model}.{kind}", folder / "models/staging")
        for model, query in MODELS.items():
            self.write(model, query)
        for mart in MARTS:
            self.declare(mart)
        self.weigh(1)

    def write(self, model: str, query: str) -> None:
        (self.folder / f"models/{model}.sql").write_text(query)

    def weigh(self, weight: int) -> None:
        """Change a macro that one mart uses."""
        text = f"{{% macro weight() -%}} {weight} {{%- endmacro %}}"
        (self.folder / "macros/weight.sql").write_text(text)

    def declare(self, mart: str, *more: str, reach_days: int = 0) -> None:
        keys = {
            "group": "queue",
            "key": ["customer_id", "call_date"],
            "day": "call_date",
            "reach_days": reach_days,
        }
        types = {"customer_id": "integer", "call_date": "date", "events": "integer"} | dict.fromkeys(
            more, "integer"
        )
        columns = [{"name": name, "data_type": data_type} for name, data_type in types.items()]
        declared = {"name": mart, "config": {"meta": keys}, "columns": columns}
        with (self.folder / f"models/marts/{mart}.yml").open("w") as file:
            YAML().dump({"version": 2, "models": [declared]}, file)

    def change(self) -> None:
        """Change every mart in another way, but one only in its layout."""
        self.write(
            "intermediate/int_counted", MODELS["intermediate/int_counted"].replace("count(*)", "2 * count(*)")
        )
        self.write("marts/spaced", "-- Another comment.\n" + MODELS["marts/spaced"].replace(" ", "\n    "))
        self.weigh(10)
        self.declare("reaching", reach_days=1)
        self.write("marts/widened", MODELS["marts/widened"].replace("3 as events", "3 as events, 4 as more"))
        self.declare("widened", "more")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt_project, "PROJECT", project.folder)
        patch.setattr(dbt_project, "_target", lambda settings: project.folder / "target")
        patch.setattr(metrics, "show", quietly)  # of marts that are not in this project
        yield project


@pytest.fixture(scope="module")
def built(callmart: Callmart, project: Project) -> Callmart:
    # Where what dbt says is learnt from.
    (callmart.home / "dbt" / "compiled").mkdir(parents=True, exist_ok=True)
    callmart.apply(registry(f"id: {CUSTOMER}, contracts: [{{option: standard, from: 2020-01-01}}]"))
    land(callmart, *DAYS)
    build(callmart)
    return callmart


def land(callmart: Callmart, *days: Any) -> None:
    rows = [
        event("queue_joined", datetime.combine(day, time(12), AMSTERDAM), call_id=f"{day}-{n}", queue="sales")
        for day in days
        for n in range(2 if len(days) > 1 else 3)
    ]
    callmart.land_text(ndjson(*rows), CUSTOMER)


def build(callmart: Callmart) -> None:
    callmart.build_unchecked()


def present(callmart: Callmart) -> definitions.Definitions:
    with callmart.connect() as owner:
        found = definitions.present(owner, callmart.settings, dbt_project.marts(callmart.settings))
        owner.rollback()
        return found


def noted(callmart: Callmart) -> definitions.Definitions:
    """Of the last build."""
    (row,) = callmart.rows("select definitions from ops.build order by build_id desc limit 1")
    return dict(row["definitions"])


def opened(callmart: Callmart) -> dict[str, list[tuple[Any, ...]]]:
    """What each mart holds, and by which definition."""
    return {
        mart: [
            tuple(row.values())
            for row in callmart.rows(
                f"select m.*, o.definition_id from store.{mart} as m"
                f" inner join ops.opened_day as o using (customer_id, call_date) where o.mart = '{mart}' order by 2"
            )
        ]
        for mart in MARTS
    }


def rebuilt(callmart: Callmart, **chosen: Any) -> Rebuilt:
    with callmart.connect() as owner:
        return rebuild.rebuild(owner, callmart.settings, Chosen(**chosen), quietly)


def crash(*_: object) -> None:
    raise Crash


def test_what_changes_a_definition(built: Callmart, project: Project) -> None:
    """An upstream model, a macro, how far it reaches and a column do; comments and white space don't. What dbt compiles
    is what it runs.
    """
    before = noted(built)
    assert sorted(before) == MARTS
    assert len(set(before.values())) == len(MARTS)
    assert present(built) == before
    project.change()
    after = present(built)
    assert [mart for mart in MARTS if after[mart] != before[mart]] == CHANGED
    assert len({*before.values(), *after.values()}) == len(MARTS) + len(CHANGED)


def test_a_definition_that_a_retired_mart_took_along_is_noted_anew(built: Callmart, project: Project) -> None:
    """Its files were put back since, so that the project is as when the last build knew it."""
    with built.connect() as owner:
        owner.execute("delete from ops.definition where mart = 'counted'")
        found = definitions.present(owner, built.settings, dbt_project.marts(built.settings))
        there = owner.execute("select mart, definition_id from ops.definition").fetchall()
        owner.rollback()
    assert set(found.items()) <= set(there)


def test_a_definition_changed_in_the_middle_of_two_years(
    built: Callmart, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed twice, the rebuild ends as a fresh build does; a new column is filled in the past."""
    land(built, DAYS[-1])  # it changes the newest day, which the project of now computes
    build(built)
    mixed = opened(built)
    assert [row[2] for row in mixed["counted"]] == [2, 2, 2, 6]
    assert [row[2] for row in mixed["weighted"]] == [1, 1, 1, 10]
    assert [row[3] for row in mixed["widened"]] == [None, None, None, 4]
    with built.connect() as owner:
        found = status.earlier(owner)
        assert [(one.mart, one.days, one.last_day) for one in found] == [
            (mart, 3, str(DAYS[2])) for mart in CHANGED
        ]
        assert [one.columns for one in found] == [["more"] if one.mart == "widened" else [] for one in found]
        plan = rebuild.plan(owner, built.settings, Chosen())
        assert (plan.due, plan.cut_short) == (3, int(DAYS[0] < TODAY - timedelta(days=699)))

    monkeypatch.setattr(rebuild, "FIRST_PIECE", 1)
    monkeypatch.setattr(rebuild, "PIECE", 1)
    for stage, due in (("suites.validate", 2), ("opening.open_build", 1)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
            patch.setattr(f"callmart.operations.rebuild.{stage}", crash)
            rebuilt(built)
        assert opened(built) == mixed
        with built.connect() as owner:
            plan = rebuild.plan(owner, built.settings, Chosen())
            assert (plan.due, plan.waiting) == (due, 3 - due)
    rebuilt(built)
    after = opened(built)
    assert rebuilt(built) == Rebuilt(0, 0, 0)

    built.rows(
        "insert into ops.dirty_day (customer_id, call_date, cause)"
        " select distinct customer_id, call_date, 'afresh' from ops.opened_day returning 1"
    )
    build(built)
    assert opened(built) == after
    assert [row[2] for row in after["counted"]] == [4, 4, 4, 6]
    assert [row[3] for row in after["widened"]] == [4, 4, 4, 4]
    with built.connect() as owner:
        assert status.earlier(owner) == []


def test_a_definition_that_changes_during_a_rebuild_stops_it(
    built: Callmart, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each day remembers what it was computed by, and the next rebuild does the rest."""
    monkeypatch.setattr(rebuild, "FIRST_PIECE", 1)
    project.weigh(20)

    def change(*arguments: Any) -> Any:
        project.weigh(30)
        return let_pass(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callmart.operations.rebuild.suites.validate", change)
        patch.setattr(rebuild, "PIECE", 1)
        with pytest.raises(UserError, match=r"^the definition of weighted changed during the rebuild: run"):
            rebuilt(built)
    assert [row[2] for row in opened(built)["weighted"]] == [10, 10, 30, 20]
    assert rebuilt(built, mart="weighted") == Rebuilt(3, 0, 0)
    assert [row[2] for row in opened(built)["weighted"]] == [30, 30, 30, 30]


def test_a_new_mart_is_filled_in_the_past(built: Callmart, project: Project) -> None:
    """Also if a day of it is open already."""
    project.write("marts/later", f"select customer_id, call_date, 5 as events {OF_DAYS}")
    project.declare("later")
    land(built, DAYS[1])
    build(built)
    query = "select call_date, events from store.later order by 1"
    assert [row["call_date"] for row in built.rows(query)] == [DAYS[1]]
    with built.connect() as owner:
        (found,) = status.earlier(owner)
    assert (found.mart, found.is_known, found.columns) == ("later", False, []), "no row has a null there"
    assert rebuilt(built) == Rebuilt(3, 0, 0)
    assert [row["call_date"] for row in built.rows(query)] == DAYS
    assert built.rows("select distinct row_count from ops.opened_day where mart = 'later'") == [
        {"row_count": 1}
    ]
