"""The store: a mart that is not declared does not build, one that has drifted stops, and nothing is ever lost."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from dbt.cli.main import dbtRunner
from ruamel.yaml import YAML

from callmart.access import drift, memberships
from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.build import window
from callmart.cli import main
from callmart.declarations import dbt_project, dictionary, fingerprint, metrics
from callmart.extract import extract
from callmart.opening import opening
from callmart.tableau_files import tds
from callmart.upgrade import upgrading
from callmart.validate import suites
from callmart_home import Callmart
from catalogue import HELD_LOCKS, unprotected
from centre import NAMED
from commands import use
from dbt_by_hand import copy_project, run_dbt
from tiny_marts import Declaration, Project, column, meta, person


@pytest.fixture
def project(played: Callmart, tmp_path: Path) -> Project:
    copy_project(tmp_path)
    return Project(played, tmp_path)


UNDECLARED: dict[str, tuple[Callable[[Declaration], object], str]] = {
    "tiny_no_meta": (lambda d: d["config"].pop("meta"), "config.meta.group: one of"),
    "tiny_no_group": (lambda d: d["config"]["meta"].pop("group"), "config.meta.group: one of"),
    "tiny_other_group": (meta(group="everybody"), "config.meta.group: one of"),
    "tiny_no_key": (lambda d: d["config"]["meta"].pop("key"), "config.meta.key: the columns of its grain"),
    "tiny_day_first": (meta(key=["call_date", "customer_id"]), "customer_id first"),
    "tiny_no_day": (lambda d: d["config"]["meta"].pop("day"), "config.meta.day: the column of its local day"),
    "tiny_free_day": (meta(key=["customer_id"]), "call_date to config.meta.key"),
    "tiny_no_column": (meta(key=["customer_id", "call_date", "queue"]), "a column queue: its key"),
    "tiny_word": (lambda d: column(d, "remark", "text"), "{person: nobody}"),
    "tiny_varying": (lambda d: column(d, "colour", "character varying(9)"), "{person: nobody}"),
    "tiny_number": (lambda d: column(d, "amount", "bigint"), "{person: nobody}"),
    "tiny_some_word": (
        lambda d: meta(group="agent")(column(d, "remark", "text")),
        "{person: agent | caller | nobody}",
    ),
    "tiny_agent": (lambda d: column(d, "remark", "text", **person("agent")), "may not show a person (agent)"),
    "tiny_counted_agent": (
        lambda d: column(d, "seat", "integer", **person("agent")),
        "may not show a person (agent)",
    ),
    "tiny_caller": (
        lambda d: meta(group="line")(column(d, "remark", "text", **person("caller"))),
        "may not show a person (caller)",
    ),
    "tiny_staff": (lambda d: column(d, "remark", "text", **person("staff")), "may not show a person (staff)"),
    "tiny_contact": (
        lambda d: meta(group="agent")(column(d, "remark", "text", **person("contact"))),
        "may not show a person (contact)",
    ),
    "tiny_grants": (lambda d: d["config"].update(grants={"select": ["public"]}), "grants of its own: remove"),
    "tiny_hook": (
        lambda d: d["config"].update({"post-hook": "grant select on {{ this }} to public"}),
        "hooks of its own: remove",
    ),
    "tiny_no_contract": (
        lambda d: d["config"].update(contract={"enforced": False}),
        "config.contract.enforced: true",
    ),
}


# What only dbt acts on, so that dbt alone need refuse it.
OF_DBT = {"tiny_grants", "tiny_hook", "tiny_no_contract"}


# Models that are no marts, with their folder: they do not say whom a column points to.
UNSAID = {"view": "staging", "window": "intermediate", "incremental": "intermediate"}


def say(project: Project, name: str, folder: str, materialized: str, **said: Any) -> None:
    """Write a small model that is no mart; its column `remark` points to whom `said` says."""
    model = project.folder / "models" / folder / f"{name}.sql"
    model.write_text(
        f"{{{{ config(materialized='{materialized}') }}}} select 'x' as remark, 7::bigint as amount"
    )
    columns = [{"name": "remark", **said}, {"name": "amount", **person("nobody")}]
    with model.with_suffix(".yml").open("w") as file:
        YAML().dump({"version": 2, "models": [{"name": name, "columns": columns}]}, file)


def show_persons(declared: Declaration) -> None:
    meta(group="agent")(declared)
    for shown in ("agent", "caller", "nobody"):
        column(declared, f"remark_{shown}", "text", **person(shown))


def test_a_mart_that_is_not_declared_does_not_build(project: Project) -> None:
    for name, (change, _) in UNDECLARED.items():
        project.declare(name, change)
    project.declare("tiny_good", lambda d: column(d, "agent_name", "text", **person("nobody")))
    project.declare("tiny_person", show_persons)
    for materialized, folder in UNSAID.items():
        say(project, f"tiny_{materialized}", folder, materialized)
    say(project, "tiny_saying", "intermediate", "window", config={"meta": {"person": ["agent", "caller"]}})
    said = " ".join(project.run().split())
    for materialized, folder in UNSAID.items():
        assert (
            f"model tiny_{materialized} does not say whom its columns remark point to: add to "
            f"models/{folder}/tiny_{materialized}.yml, at each of them, config: {{meta: {{person: agent | "
        ) in said
        made = project.callmart.rows("select to_regclass(%s) as made", f"build.tiny_{materialized}")
        assert made == [{"made": None}]
    for name, (_, remedy) in UNDECLARED.items():
        start = said.find(f"mart {name} ")
        assert start >= 0, name
        assert remedy in said[start : start + 400], name
    standing = {
        row["name"]
        for row in project.callmart.rows(
            "select relname as name from pg_class where relnamespace = 'store'::regnamespace"
            " and relname like 'tiny%%' and relkind in ('r', 'p')"
        )
    }
    assert standing == {"tiny_good", "tiny_person"}
    assert project.callmart.rows(
        "select column_name, persons from access.pointing_column where relation_name = 'tiny_saying' and must_say"
    ) == [
        {"column_name": "remark", "persons": ["agent", "caller"]},
        {"column_name": "amount", "persons": ["nobody"]},
    ]
    with project.callmart.connect() as owner:
        assert unprotected(owner) == []


# -- as callmart reads it ------------------------------------------------------------------------------------------


@pytest.fixture
def small(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of small marts alone, which callmart itself reads and builds in seconds."""
    shutil.rmtree(project.folder / "models")
    (project.folder / "models/marts/queue").mkdir(parents=True)
    monkeypatch.setattr(dbt_project, "PROJECT", project.folder)
    monkeypatch.setattr(dbt_project, "_target", lambda settings: project.folder / "target")
    return project


ROW = "select 1001 as customer_id, current_date as call_date, 7 as things"


def select(project: Project, name: str, query: str) -> None:
    """Let a mart's SQL be a query of one's own."""
    (project.folder / f"models/marts/queue/{name}.sql").write_text(query)


def test_callmart_refuses_what_dbt_refuses(small: Project) -> None:
    """Each alone among marts that are declared; dbt reads them all at once, which takes seconds."""
    for name, (change, _) in UNDECLARED.items():
        small.declare(name, change)
    small.declare("tiny_frozen", meta(group="usage"))
    small.declare("tiny_typo", meta(reach_day=6))
    small.declare("tiny_of_whom", lambda d: column(d, "remark", "text", **person("boss")))
    small.declare("tiny_person", show_persons)
    for file in (small.folder / "models").rglob("*.sql"):
        file.write_text(ROW)
    read = dbt_project._invoke(dbtRunner(), small.callmart.settings, "parse").result
    every = {node.name: node for node in read.nodes.values()}
    others = {
        "tiny_frozen": (None, "config.meta.group: one of"),
        "tiny_typo": (None, "reach_day: unknown key; remove or correct it"),
        "tiny_of_whom": (None, "columns.remark.person: Input should be 'agent', 'caller'"),
    }
    for name, (_, remedy) in (UNDECLARED | others).items():
        if name in OF_DBT:
            continue
        with pytest.raises(UserError) as refused:
            dbt_project._declared([every["tiny_person"], every[name]])
        said = str(refused.value)
        assert said.startswith(f"the declaration of mart {name} is wrong: "), said
        assert remedy in said and f"models/marts/queue/{name}.yml" in said, said
    (shows,) = dbt_project._declared([every["tiny_person"]])
    assert shows.words == ("remark_agent", "remark_caller", "remark_nobody")


def test_a_new_mart_has_its_table_though_no_day_is_dirty(small: Project) -> None:
    def built() -> list[str]:
        models: list[str] = []
        with small.callmart.connect() as owner:
            window.build(owner, small.callmart.settings, lambda model, *_: models.append(model))
            assert owner.execute('table build."window"').fetchall() == []
        return models

    small.declare("tiny_new")
    select(small, "tiny_new", ROW)
    assert "tiny_new" in built()
    assert "tiny_new" not in built(), "it stands as it is declared"
    small.declare("tiny_new", lambda declared: column(declared, "more", "integer"))
    select(small, "tiny_new", f"{ROW}, {HELD_LOCKS} as more")
    assert "tiny_new" in built()
    rows = small.callmart.rows("select more from store.tiny_new union all select more from build.tiny_new")
    assert rows == [{"more": 0}], "nobody waits while it is computed"


def test_the_marts_are_those_of_the_files_of_now(small: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the times of the files say, and whatever became of the command that read them before."""
    settings = small.callmart.settings
    small.declare("tiny_now")
    select(small, "tiny_now", ROW)
    good = dbt_project.marts(settings)
    file = small.folder / "models/marts/queue/tiny_now.yml"
    text, times = file.read_text(), file.stat()

    with monkeypatch.context() as unchanged:
        unchanged.setattr(dbt_project, "_parse", lambda settings: pytest.fail("nothing has changed"))
        assert dbt_project.marts(settings) == good

    def write(changed: str) -> None:
        file.write_text(changed)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    write(text.replace("group: queue", "group: everybody"))
    with pytest.raises(
        UserError, match=r"of mart tiny_now is wrong: add to models/marts/queue/tiny_now\.yml "
    ):
        dbt_project.marts(settings)
    write(text)
    assert dbt_project.marts(settings) == good, "put right again, and nothing need be deleted"

    cache = dbt_project._cache_file(settings)
    assert dbt_project._cached(settings, dbt_project.fingerprint_of_files()) is not None
    cache.write_text(cache.read_text()[:-100])
    assert dbt_project._cached(settings, dbt_project.fingerprint_of_files()) is None, "half written"


@pytest.mark.parametrize("change", ["a file less", "a file more", "a file renamed", "dbt", "the rules"])
def test_whatever_the_marts_depend_on_has_a_part_in_the_fingerprint(
    project: Project, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(dbt_project, "PROJECT", project.folder)
    before = dbt_project.fingerprint_of_files()
    assert dbt_project.fingerprint_of_files() == before
    macro = project.folder / "macros/usage/is_safe.sql"
    match change:
        case "a file less":
            macro.unlink()
        case "a file more":
            (project.folder / "models" / "staging" / "more.sql").touch()
        case "a file renamed":
            macro.rename(macro.with_name("was_safe.sql"))
        case "dbt":
            monkeypatch.setattr(dbt_project, "version", lambda package: "1.99")
        case "the rules":
            rule = project.folder.parent / "declared.py"
            rule.touch()
            monkeypatch.setattr(fingerprint, "RULES", (*fingerprint.RULES, rule))
    assert dbt_project.fingerprint_of_files() != before


def test_a_wrong_declaration_is_one_sentence_of_every_command(
    small: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(small.callmart.settings, monkeypatch)
    small.declare("tiny_wrong", lambda d: d["config"]["meta"].pop("group"))
    select(small, "tiny_wrong", ROW)
    read = dbt_project._invoke(dbtRunner(), small.callmart.settings, "parse")
    monkeypatch.setattr(dbt_project, "_invoke", lambda *how: read)  # each would take seconds
    for command in (
        ["access", "diff"], ["access", "apply"], ["build"], ["extract"], ["reports"],
    ):  # fmt: skip
        monkeypatch.setattr("sys.argv", ["callmart", *command])
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capsys.readouterr().err
        assert ended.value.code == 2, command
        assert (
            said.count(
                "error: the declaration of mart tiny_wrong is wrong: add to models/marts/queue/tiny_wrong.yml "
            )
            == 1
        )
        assert "Traceback" not in said and "KeyError" not in said


# -- what a build says -----------------------------------------------------------------------------------------------


def refusal(project: Project) -> str:
    with pytest.raises(UserError) as refused:
        dbt_project.run(project.callmart.settings, quietly)
    return str(refused.value)


def test_a_build_says_what_the_macros_say_and_never_what_the_database_says(small: Project) -> None:
    for name in ("tiny_said", "tiny_unsaid"):
        small.declare(name)
        select(small, name, ROW)
    dbt_project.run(small.callmart.settings, quietly)

    select(small, "tiny_unsaid", ROW.replace("7", "'geheim'::integer"))
    assert refusal(small) == (
        "model tiny_unsaid (models/marts/queue/tiny_unsaid.sql) failed: "
        f"run `dbt run --select tiny_unsaid` in {small.folder} to see why"
    )
    select(small, "tiny_unsaid", ROW.replace("7", "(select one.thigs from (select 7 as things) as one)"))
    assert refusal(small) == (
        "model tiny_unsaid (models/marts/queue/tiny_unsaid.sql) failed: column one.thigs does not exist (perhaps "
        'you meant to reference the column "one.things"): correct it there, or '
        f"run `dbt run --select tiny_unsaid` in {small.folder} to see where"
    )
    with small.callmart.connect() as owner:
        owner.execute(
            "create function ops.fails(state text) returns integer language plpgsql as"
            " 'begin raise exception using errcode = state; end'"
        )
    for given, said in (
        ("ops.fails('53100')", " (SQLSTATE 53100: the disk is full): make room, then run"),
        ("ops.fails('53200')", " (SQLSTATE 53200): mend that on the server, then run"),
        (
            "pg_terminate_backend(pg_backend_pid())::integer",
            ": the server broke off: if it is not running, start it; then run",
        ),
    ):
        select(small, "tiny_unsaid", ROW.replace("7", given))
        assert refusal(small) == (
            f"model tiny_unsaid (models/marts/queue/tiny_unsaid.sql) failed{said} the same command again"
        )
    with small.callmart.connect() as owner:
        owner.execute("drop function ops.fails")
    select(small, "tiny_unsaid", ROW)
    small.declare("tiny_differs")
    select(small, "tiny_differs", ROW.replace("7", "7::bigint"))
    assert refusal(small) == (
        "models/marts/queue/tiny_differs.sql and its YAML differ in the columns "
        "things (bigint in the SQL, integer in the YAML): make their names and types the same"
    )
    with small.callmart.connect() as owner:  # so the corrected YAML differs from no table
        assert owner.execute("select to_regclass('store.tiny_differs')").fetchone() == (None,)
    select(small, "tiny_differs", ROW)
    small.declare("tiny_said", lambda d: d["columns"][2].update(name="others"))
    select(small, "tiny_said", ROW.replace("things", "others"))
    assert refusal(small) == (
        '"callmart"."store"."tiny_said" differs from its declaration: the column things is not declared any more. '
        "Its history is kept as it is: correct the YAML, or declare the change there and run `callmart upgrade` "
        '(docs/runbook.md, "A mart has drifted")'
    )


def test_a_build_waits_for_the_upgrade_that_a_changed_declaration_needs(
    small: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes no second table beside the one with the history, and no second column."""
    callmart = small.callmart
    small.declare("tiny_was")
    select(small, "tiny_was", ROW)
    dbt_project.run(callmart.settings, quietly)
    for file in (small.folder / "models/marts/queue").glob("tiny_was.*"):
        file.unlink()

    def change(declared: Declaration) -> None:
        meta(renamed_from="tiny_was")(declared)
        declared["columns"][2] = {
            "name": "others",
            "data_type": "double precision",
            "config": {"meta": {"renamed_from": ["things"], "widened_from": "integer"}},
        }

    small.declare("tiny_is", change)
    select(small, "tiny_is", ROW.replace("7 as things", "7::double precision as others"))
    assert '"tiny_is" differs from its declaration: in the database it is still called tiny_was. ' in refusal(
        small
    )
    assert callmart.rows("select to_regclass('store.tiny_is') as made") == [{"made": None}]

    monkeypatch.setattr(metrics, "show", quietly)  # of marts that are not in this project
    with callmart.connect() as owner:
        upgrading.upgrade(owner, callmart.settings, dbt_project.marts(callmart.settings))
    dbt_project.run(callmart.settings, quietly)
    assert callmart.rows("select pg_typeof(others)::text as kind from build.tiny_is") == [
        {"kind": "double precision"}
    ]
    assert callmart.rows("select others from store.tiny_is") == []


def test_a_mart_that_stands_never_changes_its_group_by_itself(
    small: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from agents to everybody nor back, whoever asks: two years would be open to others, or gone from them."""
    callmart = small.callmart
    small.declare("tiny_moved", meta(group="agent"))
    select(small, "tiny_moved", ROW)
    dbt_project.run(callmart.settings, quietly)
    rights = (
        "select relacl::text, (select array_agg(polroles::regrole[]::text) from pg_policy where polrelid = c.oid)"
        " from pg_class as c where oid = 'store.tiny_moved'::regclass"
    )
    before = callmart.rows(rights)
    assert "shows_agent" in str(before)

    small.declare("tiny_moved", meta(group="queue"))
    select(small, "tiny_moved", ROW)
    assert "it was made in the group agent, and is declared in the group queue" in refusal(small)
    moved = dbt_project.marts(callmart.settings)
    with callmart.connect() as owner:
        (found,) = drift.find(owner, moved)
        assert found.text.startswith(
            "mart tiny_moved was made in the group agent, and is declared in the group queue: "
        )
        assert not found.repair
        with pytest.raises(UserError, match="was made in the group agent"):
            memberships.apply(owner, callmart.settings, moved)
        with pytest.raises(opening.Drifted, match="was made in the group agent"):
            opening.open_build(owner, callmart.settings)
    assert callmart.rows(rights) == before

    # What docs/runbook.md says, and only then.
    monkeypatch.setattr(metrics, "show", quietly)  # of marts that are not in this project
    with callmart.connect() as owner:
        owner.execute(
            "update access.mart set mart_group = 'queue' where relation = 'store.tiny_moved'::regclass"
        )
        mended = [one.text for one in memberships.apply(owner, callmart.settings, moved).mended]
        after = str(owner.execute(rights).fetchall())
        owner.rollback()
    assert "the policies of store.tiny_moved are not those of the group queue" in mended
    assert "shows_agent" not in after and "shows_queue" in after


@pytest.mark.parametrize(
    "materialized",
    ["table", *(pytest.param(other, marks=pytest.mark.thorough) for other in ("view", "incremental"))],
)
def test_nothing_but_stores_stands_in_mart(project: Project, materialized: str) -> None:
    project.declare(
        "tiny_plain", lambda d: d["config"].update(materialized=materialized, on_schema_change="fail")
    )
    assert "tiny_plain is no store" in project.run()
    assert not project.callmart.rows("select 1 from pg_class where relname = 'tiny_plain'")


def of_usage(materialized: str, *columns: str) -> Callable[[Declaration], None]:
    def change(declared: Declaration) -> None:
        declared["columns"] = [column for column in declared["columns"] if column["name"] in columns]
        told = {"group": "usage", "key": [columns[0]], "day": "none"}
        declared["config"] = {"meta": told, "materialized": materialized, "schema": "usage"}

    return change


def test_nothing_but_sums_over_all_customers_stands_in_usage(project: Project) -> None:
    columns = {"tiny_daily": ("call_date", "things"), "tiny_customers": ("customer_id", "things")}
    for name, own in columns.items():
        project.declare(name, of_usage("frozen", *own))
    said = " ".join(project.run().split())
    for name in columns:
        assert f"statistic {name} has a column per customer, queue or day: sum over them" in said
    assert not project.callmart.rows("select 1 from pg_class where relname = any(%s)", list(columns))


def test_nothing_but_frozen_statistics_stands_in_usage(project: Project) -> None:
    project.declare("tiny_told", of_usage("table", "things"))
    assert "tiny_told is no frozen" in " ".join(project.run().split())
    assert not project.callmart.rows("select 1 from pg_class where relname = 'tiny_told'")


DRIFT: dict[str, tuple[Callable[[Declaration], object], str]] = {
    "tiny_removed": (lambda d: d["columns"].pop(), "the column things is not declared any more"),
    "tiny_retyped": (
        lambda d: d["columns"][2].update(data_type="text", **person("nobody")),
        "things is integer, declared as text",
    ),
    "tiny_rekeyed": (meta(key=["customer_id", "call_date", "things"]), "its key is customer_id, call_date"),
    "tiny_undated": (meta(day="none"), "it is partitioned by RANGE (call_date)"),
}


def test_drift_stops_with_what_to_do_and_a_new_column_is_added(project: Project) -> None:
    """Whether dbt is told to make everything anew or not."""
    names = [*DRIFT, "tiny_added"]
    history = "select customer_id, call_date, things, tableoid::regclass::text as month from store.{}"
    for name in names:
        project.declare(name)
    project.run()
    with project.callmart.connect() as owner:
        for name in names:
            owner.execute("select access.ensure_month(%s::regclass, current_date)", [f"store.{name}"])
            owner.execute(f"insert into store.{name} values (%s, current_date, 7)", [NAMED])
    before = {name: project.callmart.rows(history.format(name)) for name in names}
    assert all(len(rows) == 1 for rows in before.values())

    for name, (change, _) in DRIFT.items():
        project.declare(name, change)
    added: list[str] = []
    for options in (), ("--full-refresh",):
        added.append(f"more_{len(added)}")
        project.declare("tiny_added", lambda d: [column(d, name, "integer") for name in added])
        said = " ".join(project.run(*options).split())
        for name, (_, difference) in DRIFT.items():
            start = said.find(f'"store"."{name}" differs from its declaration: {difference}')
            assert start >= 0, (name, said)
            assert "docs/runbook.md" in said[start : start + 400], name
        assert {name: project.callmart.rows(history.format(name)) for name in names} == before
        query = f"select {', '.join(added)} from mart.tiny_added"
        assert project.callmart.rows(query, customer_id=NAMED) == [dict.fromkeys(added)]
        with project.callmart.connect() as owner:
            assert unprotected(owner) == []


# -- a column more ---------------------------------------------------------------------------------------------------

WAVED = """\
      - name: waved
        data_type: integer
        description: Calls in which somebody waved.
        config:
          meta:
            most: 9
            caption: {nl: Gezwaaid, en: Waved}
            description_nl: Gesprekken waarin iemand zwaaide.
"""


@pytest.fixture
def restored(played: Callmart, shared: Path) -> Iterator[None]:
    """Afterwards the module's callmart is as it was: a column that a mart got stays in its table."""
    yield
    played.restore(shared / "played")


@pytest.mark.thorough
@pytest.mark.usefixtures("restored")
def test_a_column_is_added_in_two_places(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its SQL and its YAML: what is checked, drawn, extracted and written in the dictionary follows."""
    monkeypatch.setattr(dbt_project, "PROJECT", project.folder)
    monkeypatch.setattr(dbt_project, "_target", lambda settings: project.folder / "target")
    folder = project.folder / "models/marts/line"
    before, after, rest = (folder / "line_interval.sql").read_text().rpartition(" as peak_calls")
    (folder / "line_interval.sql").write_text(f"{before}{after},\n    7 as waved{rest}")
    with (folder / "line_interval.yml").open("a") as file:
        file.write(WAVED)

    done = run_dbt(project.callmart, project.folder, "run", "--select", "line_interval")
    assert done.returncode == 0, done.stdout
    marts = dbt_project.marts(project.callmart.settings)
    (mart,) = [mart for mart in marts if mart.name == "line_interval"]

    in_reports = {locale: tds.source("line", marts, locale).fields["waved"] for locale in get_args(Locale)}
    assert {locale: (field.caption, field.description) for locale, field in in_reports.items()} == {
        "nl": ("Gezwaaid", "Gesprekken waarin iemand zwaaide."),
        "en": ("Waved", "Calls in which somebody waved."),
    }
    assert {field.role for field in in_reports.values()} == {"measure"}
    assert "waved" in mart.additive, "so that reports can show it, and ratios divide it"

    checked = [suites._name(one) for one in suites.expectations(mart) if "waved" in str(one)]
    assert checked == [
        "expect_column_values_to_not_be_null: column waved",
        "expect_column_values_to_be_between: min_value 0, max_value 9, column waved",
    ]
    assert (
        "| `waved` | Waved (Gezwaaid) | number | – | Calls in which somebody waved. |"
        in dictionary.of_marts(marts)
    )

    with project.callmart.connect() as owner:
        extract.extract(owner, project.callmart.settings, quietly)
        assert unprotected(owner) == []
    held = tds.held_types(project.callmart.home / "extracts" / str(NAMED) / "line.hyper")
    assert held["line_interval"]["waved"] == "integer"
