"""What a mart's YAML declares as renamed or widened, the upgrade does in place: rows, rights and books go with it."""

import re
from collections.abc import Iterable
from typing import Any

import psycopg
import pytest

from callmart.access import drift, sessions
from callmart.base.errors import UserError
from callmart.base.matrix import matrix
from callmart.build import window
from callmart.database import lock, schema
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Column, Mart
from callmart.retention import retire
from callmart.upgrade import marts as changes
from callmart.upgrade import upgrading
from callmart_home import Callmart
from catalogue import structure, unprotected
from centre import DAYS, NAMED, STANDARD, WITH_DATA
from nights import night

pytestmark = pytest.mark.thorough

# One mart with months and one without, of which no ratio is made; with its key, its day and a measure.
NAMES = {"line_interval": "trunk_interval", "agent": "person"}
COLUMNS = {"line": "trunk", "call_date": "day_of_call", "calls_out": "calls_made"}
CHANGES = [
    "mart agent is renamed to person",
    "mart line_interval is renamed to trunk_interval",
    "mart trunk_interval: the column call_date is renamed to day_of_call",
    "mart trunk_interval: the column line is renamed to trunk",
    "mart trunk_interval: the column calls_out is renamed to calls_made",
]

Columns = dict[str, dict[str, Any]]


def redeclared(marts: list[Mart], was: str, columns: Columns, **values: Any) -> list[Mart]:
    """The marts, with one declared otherwise; `columns` says what changes in each of its columns."""
    (mart,) = (mart for mart in marts if mart.name == was)
    document = mart.model_dump() | values
    for column in document["declared"]:
        column.update(columns.get(column["name"], {}))
    now = {was: column["name"] for was, column in columns.items() if "name" in column}
    document["key"] = tuple(now.get(column, column) for column in document["key"])
    document["day"] = now.get(document["day"], document["day"])
    return [Mart.model_validate(document) if one is mart else one for one in marts]


def renamed(marts: list[Mart]) -> list[Mart]:
    columns = {was: {"name": now, "renamed_from": [f"earlier_{was}", was]} for was, now in COLUMNS.items()}
    for was, now in NAMES.items():
        own = columns if was == "line_interval" else {}
        marts = redeclared(marts, was, own, name=now, renamed_from=[was, f"earlier_{was}"])
    return marts


def widened(marts: list[Mart]) -> list[Mart]:
    return redeclared(
        marts,
        "line_interval",
        {
            "calls_in": {"data_type": "bigint", "person": "nobody", "widened_from": "integer"},
            "calls_out": {"data_type": "double precision", "widened_from": "integer"},
        },
    )


@pytest.fixture(scope="module")
def marts(played: Callmart) -> list[Mart]:
    return dbt_project.marts(played.settings)


def back(marts: list[Mart]) -> list[Mart]:
    """The marts as they are, with the names that `renamed` gives them as former ones."""
    for was, now in NAMES.items():
        columns = {one: {"renamed_from": [other]} for one, other in COLUMNS.items()}
        marts = redeclared(marts, was, columns if was == "line_interval" else {}, renamed_from=[now])
    return marts


def told(connection: psycopg.Connection, names: Iterable[str]) -> list[tuple[int, str]]:
    """How many rows each mart has, and a digest of them without the names of columns."""
    query = "select count(*), md5(string_agg(m::text, '|' order by m::text)) from store.{} as m"
    return [connection.execute(query.format(name)).fetchall()[0] for name in names]


def shape(mart: Mart) -> tuple[object, ...]:
    return mart.name, mart.group, mart.key, mart.day, dict(mart.types)


BOOKS = {
    "ops.opened_day": "select customer_id, call_date::text, row_count, build_id from ops.opened_day"
    " where mart = %(mart)s order by 1, 2",
    "ops.quality_failure": "select f.expectation, f.customer_id, r.success from ops.quality_failure as f"
    " join ops.quality_result as r using (build_id, mart, expectation) where mart = %(mart)s",
    "ops.held_back": "select regexp_replace(cause, %(mart)s || ': ', '?: ', 'g') from ops.held_back"
    " where starts_with(cause, %(mart)s || ': ')",
    "ops.to_vacuum": "select regexp_replace(relation, %(mart)s, '?') from ops.to_vacuum"
    " where relation ~ ('store.' || %(mart)s || '(_|$)') order by 1",
    "ops.definition": "select definition_id, fingerprint from ops.definition where mart = %(mart)s",
    "ops.build": "select (tables -> %(mart)s) is not null from ops.build order by build_id",
}


def books(connection: psycopg.Connection, mart: str) -> dict[str, list[Any]]:
    """What the books say of a mart, without its name."""
    return {book: connection.execute(query, {"mart": mart}).fetchall() for book, query in BOOKS.items()}


def fill_books(connection: psycopg.Connection, mart: str) -> None:
    """Entries in the books that only a bad night leaves."""
    connection.execute(
        "insert into ops.quality_result select max(build_id), %s, 'a check', 'critical', false from ops.build",
        [mart],
    )
    connection.execute(
        "insert into ops.quality_failure select build_id, mart, expectation, %s, %s from ops.quality_result"
        " where mart = %s and expectation = 'a check'",
        [NAMED, DAYS[0], mart],
    )
    connection.execute(
        "insert into ops.held_back (customer_id, call_date, build_id, cause) values (%s, %s, 1, %s)",
        [NAMED, DAYS[0], f"{mart}: a check; queue_day: {mart}, another; {mart}: a third"],
    )
    connection.execute(
        "insert into ops.to_vacuum values (%s), (%s)", [f"store.{mart}", f"store.{mart}_{DAYS[0]:%Y%m}"]
    )
    connection.commit()


def test_a_renamed_mart_keeps_its_rows_rights_and_books(played: Callmart, marts: list[Mart]) -> None:
    declared = renamed(marts)
    with played.connect() as owner:
        fill_books(owner, "line_interval")
        before, rows = structure(owner), told(owner, NAMES)
        noted = {was: books(owner, was) for was in NAMES}
        assert all(count for count, _ in rows) and all(noted["line_interval"].values())
        assert list(upgrading.plan(owner, played.settings, declared)) == CHANGES
        assert [mart for mart in mart_tables.marts(owner) if mart.name in NAMES.values()] == []

        owner.execute("alter table ops.audit_log disable trigger append_only")
        for mended in (["trigger append_only on ops.audit_log is off"], []):  # a second time changes nothing
            done = upgrading.upgrade(owner, played.settings, declared)
            assert ([one.text for one in done.mended], done.problems) == (mended, [])
            assert list(upgrading.plan(owner, played.settings, declared)) == []
            assert told(owner, NAMES.values()) == rows
            assert {was: books(owner, now) for was, now in NAMES.items()} == noted
        assert sorted(map(shape, mart_tables.marts(owner))) == sorted(map(shape, declared))
        assert drift.find(owner, declared) == []
        assert unprotected(owner) == []
        left = (
            "select relname from pg_class where relnamespace in ('store'::regnamespace, 'mart'::regnamespace)"
            " and relname ~ '^(line_interval|agent)(_\\d+)?(_pkey)?$'"
        )
        assert owner.execute(left).fetchall() == []
        month = "select access.ensure_month('store.trunk_interval', %s)"
        assert owner.execute(month, [DAYS[0]]).fetchone() == (False,), "it has the months that it had"
        said = owner.execute(
            "select details -> 'changes' from ops.audit_log where action = 'mart changed' order by entry"
        ).fetchall()
        assert [line for (lines,) in said for line in lines] == CHANGES
    for customer in WITH_DATA:
        shown = played.rows("select distinct customer_id from mart.trunk_interval", customer_id=customer)
        assert shown == [{"customer_id": customer}]
    assert played.rows("select agent from mart.person", customer_id=NAMED)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        played.rows("select agent from mart.person", customer_id=STANDARD)

    with played.connect() as owner:  # and back, as another version may want it
        upgrading.upgrade(owner, played.settings, back(marts))
        assert structure(owner) == before
        assert {was: books(owner, was) for was in NAMES} == noted
        owner.execute("truncate ops.held_back, ops.to_vacuum")


def test_a_mart_that_is_to_be_renamed_is_not_taken_for_one_that_left(
    played: Callmart, marts: list[Mart], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever followed the advice to retire it would lose two years."""
    declared = renamed(marts)
    monkeypatch.setattr(dbt_project, "marts", lambda settings: declared)
    with played.connect() as owner:
        assert sorted(one.text for one in drift.find(owner, declared)) == [
            f"mart.{was} is declared as {now} now: back up, then run `callmart upgrade`"
            for was, now in sorted(NAMES.items())
        ]
        with pytest.raises(UserError) as refused:
            retire.plan(owner, played.settings, "agent")
    assert str(refused.value) == (
        "mart.agent is declared as person now: nothing was retired; run `callmart upgrade`"
    )


def test_a_widened_column_keeps_its_values_and_its_protection(played: Callmart, marts: list[Mart]) -> None:
    declared = widened(marts)
    with played.connect() as owner:
        owner.execute("analyze store.line_interval")
        owner.commit()
        before, rows = structure(owner), told(owner, ["line_interval"])
        owner.execute("create table if not exists build.line_interval ()")  # what a build has computed
        owner.commit()
        upgrading.upgrade(owner, played.settings, declared)
        assert list(upgrading.plan(owner, played.settings, declared)) == []
        assert told(owner, ["line_interval"]) == rows
        assert window.computed_tables(owner, declared)["line_interval"] is None, "to be built again"
        assert drift.find(owner, declared) == []
        changed = {thing for _, thing, _ in structure(owner) - before}
        assert changed == {
            f"{schema}.line_interval.{column}"
            for schema in ("store", "mart")
            for column in ("calls_in", "calls_out")
        }
        sampled = (
            "select access.sampled_columns(relation, 'call_date') from access.mart_relation"
            " where mart = 'store.line_interval'::regclass"
        )
        assert owner.execute(sampled).fetchall() == []
        # A database in which the column is narrower still is widened as well.
        owner.execute("drop view mart.line_interval")
        owner.execute(
            "alter table store.line_interval alter calls_in type smallint, alter calls_out type smallint"
        )
        owner.commit()
        upgrading.upgrade(owner, played.settings, declared)
        assert {thing for _, thing, _ in structure(owner) - before} == changed
        owner.execute("drop view mart.line_interval")
        owner.execute(
            "alter table store.line_interval alter calls_in type integer, alter calls_out type integer"
        )
        owner.commit()
        upgrading.upgrade(owner, played.settings, marts)
        assert structure(owner) == before


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_both_names_in_one_database_are_refused_and_nothing_is_done(
    played: Callmart, marts: list[Mart]
) -> None:
    declared = renamed(marts)
    with played.connect() as owner:
        for made, undone, sentence in (
            (
                "create table store.trunk_interval (customer_id integer)",
                "drop table store.trunk_interval",
                "mart trunk_interval was called line_interval according to its renamed_from, and the database has both "
                "store.trunk_interval and store.line_interval: look which holds the history, and remove the other with "
                "`callmart retire`, then run `callmart upgrade` again",
            ),
            (
                "alter table store.line_interval add column trunk text",
                "alter table store.line_interval drop column trunk",
                "mart trunk_interval: its column trunk was called line according to its renamed_from, and "
                "store.line_interval has both trunk and line: look which holds the history, and have the owner drop "
                "the other, then run `callmart upgrade` again",
            ),
        ):
            owner.execute(made)
            owner.commit()
            before = structure(owner)
            with pytest.raises(UserError) as refused:
                upgrading.upgrade(owner, played.settings, declared)
            assert str(refused.value) == sentence
            owner.rollback()
            assert structure(owner) == before
            owner.execute(undone)
            owner.commit()


@pytest.mark.parametrize(("other", "retired"), [("person", "agent"), ("earlier_agent", "earlier_agent")])
def test_before_a_person_decides_between_two_names_everything_else_is_upgraded(
    played: Callmart, marts: list[Mart], monkeypatch: pytest.MonkeyPatch, other: str, retired: str
) -> None:
    """Else the upgrade would say to retire one, and that would say to upgrade."""
    declared = redeclared(marts, "agent", {}, name="person", renamed_from=["earlier_agent", "agent"])
    monkeypatch.setattr(dbt_project, "marts", lambda settings: declared)
    with played.connect() as owner:
        before = structure(owner)
        owner.execute(f"create table store.{other} (like store.agent including all)".encode())
        owner.execute("delete from access.applied")
        owner.commit()
        both = "mart person was called .* the database has both .* remove the other with `callmart retire`"
        first, then = upgrading.plan(owner, played.settings, declared)
        assert first == "functions, views and policies are replaced"
        assert re.match(f"no mart is changed: {both}", then)
        with pytest.raises(UserError, match=both):
            upgrading.upgrade(owner, played.settings, declared)
        schema.require(owner, played.settings.time_zone)
        assert retire.plan(owner, played.settings, retired).name == retired
        (remark,) = (
            mart_tables.remark(owner, mart, declared)
            for mart in mart_tables.undeclared(owner, declared)
            if mart.name == "agent"
        )
        both = " and ".join(sorted(("mart.agent", f"mart.{other}")))
        assert f"{both} have names of one mart, person: look which holds the history" in remark
        assert "`callmart retire agent`" not in remark, "it can be the one with the history"
        owner.execute(f"drop table store.{other}".encode())
        owner.commit()
        assert structure(owner) == before


def test_no_run_begins_while_a_mart_waits_for_its_upgrade(
    played: Callmart, marts: list[Mart], monkeypatch: pytest.MonkeyPatch
) -> None:
    for declared, waiting in (renamed(marts), "person, trunk_interval"), (widened(marts), "line_interval"):
        monkeypatch.setattr(dbt_project, "marts", lambda _, declared=declared: declared)
        with pytest.raises(UserError) as refused:
            night(played)
        assert str(refused.value) == (
            f"nothing was done: what the YAML renames or widens in {waiting} waits for the upgrade: look at "
            "`callmart upgrade --plan`, back up, then run `callmart upgrade`"
        )
    assert played.rows("select from ops.run") == []


def test_a_wrong_declaration_is_the_build_s_to_say(played: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: object) -> list[Mart]:
        raise UserError("the declaration of mart agent is wrong")

    monkeypatch.setattr(dbt_project, "marts", wrong)
    with played.connect() as owner:
        upgrading.require(owner, played.settings)


def test_the_plan_names_what_the_next_build_adds(played: Callmart, marts: list[Mart]) -> None:
    more = (
        Column(name="name", data_type="text", renamed_from=("agent",)),
        Column(name="calls", data_type="integer"),
    )
    declared = redeclared(marts, "agent", {}, name="person", renamed_from=["agent"])
    (person,) = (mart for mart in declared if mart.name == "person")
    declared += [
        person.model_copy(update={"name": "other", "renamed_from": []}),
        person.model_copy(update={"name": "later", "declared": more}),
    ]
    with played.connect() as owner:
        assert list(changes.added(owner, marts)) == []
        assert list(changes.added(owner, declared)) == [
            "mart other: the next build makes it",
            "mart later: the next build adds the column calls",
        ]


def test_a_former_name_that_never_was_is_harmless(played: Callmart, marts: list[Mart]) -> None:
    never = redeclared(marts, "agent", {"agent": {"renamed_from": ["never"]}}, renamed_from=["never"])
    with played.connect() as owner:
        assert changes.planned(owner, never) == []


def test_who_is_in_the_way_of_a_change(
    played: Callmart, marts: list[Mart], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another login of the provider is waited for; a customer's session ends; somebody else's view stops it."""
    declared = redeclared(marts, "agent", {}, name="person", renamed_from=["agent"])
    monkeypatch.setattr(lock, "TIMEOUT", "500ms")
    monkeypatch.setattr(sessions, "PATIENCE", "100ms")
    with played.connect() as owner:
        before = structure(owner)
        with played.connect() as reader:
            reader.execute("select from store.agent")
            with pytest.raises(UserError) as refused:
                upgrading.upgrade(owner, played.settings, declared)
        assert str(refused.value) == (
            "a mart that changes (agent) was in use for 500ms: "
            "no mart was changed; when the other session has ended, run the same command again"
        )
        owner.rollback()
        owner.execute("create view public.theirs as select * from store.agent")
        owner.commit()
        with pytest.raises(UserError) as refused:
            upgrading.upgrade(owner, played.settings, declared)
        assert str(refused.value) == (
            "no mart was changed: public.theirs reads the mart agent; drop that view first"
        )
        owner.rollback()
        owner.execute("drop view public.theirs")
        owner.commit()
        assert structure(owner) == before

        monkeypatch.setattr(lock, "TIMEOUT", "10s")
        with played.connect(NAMED) as customer:
            customer.execute("select from mart.agent")
            upgrading.upgrade(owner, played.settings, declared)
            with pytest.raises(psycopg.OperationalError):
                customer.execute("select 1")
        upgrading.upgrade(owner, played.settings, redeclared(marts, "agent", {}, renamed_from=["person"]))
        assert structure(owner) == before


def test_a_change_that_is_killed_has_changed_nothing(
    played: Callmart, marts: list[Mart], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = renamed(marts)
    with played.connect() as owner:
        before = structure(owner)
        owner.commit()  # who still reads would be in the way
        with monkeypatch.context() as killing:
            killing.setitem(changes.SQL, "rename_vacuumed", "select pg_terminate_backend(pg_backend_pid())")
            with pytest.raises(psycopg.errors.AdminShutdown), played.connect() as killed:
                upgrading.upgrade(killed, played.settings, declared)
        assert structure(owner) == before
        assert list(upgrading.plan(owner, played.settings, declared)) == CHANGES


WRONG: dict[str, tuple[Columns, dict[str, Any], str]] = {
    "a former name in use": (
        {"line": {"renamed_from": ["platform"]}},
        {},
        "correct renamed_from of the column line in its YAML: platform is also another column, or there twice",
    ),
    "two of one former name": (
        {"line": {"renamed_from": ["old"]}, "platform": {"renamed_from": ["old"]}},
        {},
        "old is also another column, or there twice",
    ),
    "its own name": (
        {"line": {"renamed_from": ["line"]}},
        {},
        "line is also another column, or there twice",
    ),
    "narrower": (
        {"calls_in": {"data_type": "smallint", "widened_from": "integer"}},
        {},
        "correct widened_from of the column calls_in in its YAML: only these lose nothing: smallint to integer,",
    ),
    "with a loss": (
        {"calls_in": {"data_type": "double precision", "widened_from": "bigint"}},
        {},
        "only these lose nothing",
    ),
    "not to a number": ({"line": {"widened_from": "integer"}}, {}, "only these lose nothing"),
    "the customer": (
        {"customer_id": {"data_type": "bigint", "person": "nobody", "widened_from": "integer"}},
        {},
        "remove renamed_from and widened_from from the column customer_id in its YAML",
    ),
    "a statistic": ({}, {"group": "usage", "renamed_from": ["old"]}, "a statistic keeps its name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_change_that_is_declared_wrongly_is_refused(marts: list[Mart], case: str) -> None:
    columns, values, sentence = WRONG[case]
    changed = {mart.name: mart for mart in redeclared(marts, "line_interval", columns, **values)}
    assert any(sentence in said for _, said in changed["line_interval"].mistakes(matrix()))


def test_two_marts_cannot_have_had_one_name(marts: list[Mart]) -> None:
    assert not list(dbt_project.claimed(renamed(marts)))
    for claimed in ("agent_day", "old"):
        wrong = redeclared(marts, "agent", {}, renamed_from=[claimed])
        wrong = redeclared(wrong, "queue_day", {}, renamed_from=["old"])
        found = {mart.name: sentence for mart, sentence in dbt_project.claimed(wrong)}
        assert found["agent"].startswith(f"correct config.meta.renamed_from in its YAML: {claimed} ")
