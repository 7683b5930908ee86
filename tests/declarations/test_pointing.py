"""Whom a column points to is said by every column that could point to a person, whatever its name: nothing else builds,
upgrades or applies, and a column that is added by hand is found.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from callmart.access import drift, memberships
from callmart.audit import tables
from callmart.audit.scene import scene_of
from callmart.base.errors import UserError
from callmart.base.matrix import matrix
from callmart.base.pointing import COUNTS_AND_MOMENTS, WHOM
from callmart.database import migrating, schema
from callmart.declarations import dbt_project, pointing
from callmart.declarations.mart import Mart
from callmart.opening import opening
from callmart.upgrade import upgrading
from callmart_home import Callmart
from centre import REGISTRY
from pointing_columns import Column, columns


@pytest.fixture(scope="module")
def marts(played: Callmart) -> list[Mart]:
    return dbt_project.marts(played.settings)


@pytest.fixture
def owner(played: Callmart) -> Iterator[psycopg.Connection]:
    """The owner, whose changes are rolled back."""
    with played.connect() as connection:
        yield connection
        connection.rollback()


# -- planted in the database ---------------------------------------------------------------------------------------

# Made first, for the columns below.
NEEDED = """
create schema planted;
create domain planted.number as text;
create domain planted.small as integer;
create type planted.mood as enum ('good', 'bad');
create type planted.whole as (first text, last text);
create type planted.words as range (subtype = text);
create table planted.first (one integer);
create table public.second (one integer)
"""
TYPES = (
    "text", "character varying(9)", "character(3)", '"char"', "name", "text[]", "integer[]", "timestamptz[]",
    "json", "jsonb", "xml", "bytea", "bit varying(64)", "uuid", "inet", "macaddr8", "money", "interval", "time",
    "bigint", "numeric(9)", "bigint[]", "oid", "regclass", "tsvector", "jsonpath", "point", "pg_lsn", "xid8",
    "int4range", "daterange", "int8multirange", "planted.number", "planted.small", "planted.mood", "planted.whole",
    "planted.words", "planted.number[]",
)  # fmt: skip
# In every schema, and one of the owner's that callmart does not know.
PLACES = (
    "registry.customer", "raw.event", "raw.file", "build.stg_agent", 'build."window"', "store.queue_day", "store.agent",
    "usage.function_month", "access.mart", "ops.audit_log", "planted.first", "public.second",
)  # fmt: skip
MADE = (
    "create table ops.noted as select 'x'::text as planted",
    "create unlogged table build.left as select 'x'::text as planted",
    "create view registry.seen as select email as planted from registry.contact",
    "create materialized view ops.kept as select agent_key as planted from registry.agent",
    "create table raw.monthly (planted text, day date) partition by range (day)",
)
# A declaration that is none.
SAID = (
    "person: boss", "person:", "person: Agent", "persons: agent", "persona: nobody", "person: agent or caller",
    "person: agent caller", "person: agent,caller", "person: nobody, agent", "person: nobody, for sure",
    "person: agent. person: nobody", "whose person: nobody", "nobody", "",
)  # fmt: skip
# In a mart of a group that must not show it, which is of any type.
SHOWN = (
    ("store.queue_day", "text", "agent"), ("store.queue_day", "integer", "caller"),
    ("store.line_interval", "bigint", "caller"), ("store.queue_interval", "text", "contact"),
    ("store.agent_day", "text", "contact"), ("store.agent_day", "jsonb", "recipient"),
    ("store.agent", "text", "staff"), ("usage.function_month", "integer", "agent"),
)  # fmt: skip
# Not to be refused.
HARMLESS = (
    *((of_type, None) for of_type in COUNTS_AND_MOMENTS),
    ("text", "person: nobody"),
    ("text", "person: agent, caller"),
    ("bigint", "The call. person: caller"),
    ("jsonb", "person: staff. Who did it"),
    ("uuid", "What it is\nperson: recipient\nand more"),
    ("integer", "a number of persons"),
    ("integer", "person: agent"),
)


def plant(connection: psycopg.Connection, table: str, of_type: str, comment: str | None = None) -> str:
    """Add a column to a table; its name."""
    ((number,),) = connection.execute(
        "select count(*) from pg_attribute where attrelid = to_regclass(%s)", [table]
    ).fetchall()
    connection.execute(f"alter table {table} add planted_{number} {of_type}".encode())
    if comment is not None:
        said = sql.Literal(comment).as_string(connection)
        connection.execute(f"comment on column {table}.planted_{number} is {said}".encode())
    return f"{table}.planted_{number}".replace('"', "")


def test_of_many_planted_columns_each_is_refused(owner: psycopg.Connection, marts: list[Mart]) -> None:
    assert (pointing.undeclared(owner), drift.find(owner, marts)) == ([], [])
    for statement in NEEDED.split(";\n"):
        owner.execute(statement.encode())
    harmless = [plant(owner, "planted.first", of_type, comment) for of_type, comment in HARMLESS]
    assert pointing.undeclared(owner) == []

    planted = [plant(owner, "planted.first", of_type) for of_type in TYPES]
    planted += [plant(owner, place, "text") for place in PLACES]
    planted += [plant(owner, "planted.first", "text", said) for said in SAID]
    planted += [plant(owner, "planted.first", "integer", "person: boss")]
    for statement in MADE:
        owner.execute(statement.encode())
    planted += ["ops.noted.planted", "build.left.planted", "registry.seen.planted", "ops.kept.planted"]
    planted += ["raw.monthly.planted"]
    shown = [plant(owner, table, of_type, f"person: {person}") for table, of_type, person in SHOWN]

    found = pointing.undeclared(owner)
    assert len(planted) + len(shown) > 75
    for column in planted:
        assert sum(f"the column {column} (" in text.replace('"', "") for text in found) == 1, column
    for column in shown:
        assert sum(f"the column {column} (" in text and "may not show" in text for text in found) == 1, column
    assert len(found) == len(planted) + len(shown)
    assert not [column for column in harmless if any(f" {column} " in text for text in found)]
    assert {one.text for one in drift.find(owner, marts)} >= set(found)
    with pytest.raises(
        UserError, match=r"the column ops\.kept\.planted \(text\) does not say whom it points to"
    ):
        pointing.refuse_undeclared(owner)


def test_the_audit_finds_a_column_that_was_added_by_hand(played: Callmart, owner: psycopg.Connection) -> None:
    scene = scene_of(owner, played.settings)

    def found() -> tuple[int, bool]:
        (check,) = (
            check
            for check in tables.of_rights(owner, played.settings, scene)
            if check.name == "every column that could point to a person says to whom it does"
        )
        return check.breaches, check.good

    assert found() == (0, True)
    plant(owner, "raw.event", "jsonb")
    assert found() == (1, False)


def test_a_sentence_says_what_to_do(owner: psycopg.Connection) -> None:
    planted = plant(owner, "raw.file", "text")
    built = plant(owner, "build.stg_agent", "text")
    assert pointing.undeclared(owner) == [
        f"the column {built} (text) does not say whom it points to: drop it, or say so in the YAML of its model, and "
        "build it again",
        f"the column {planted} (text) does not say whom it points to: drop it, or say so in "
        "scripts/callmart/database/objects/persons.sql, and run `callmart upgrade`",
    ]


def test_a_group_that_was_taken_away_before_its_mart_comes_back_first(owner: psycopg.Connection) -> None:
    owner.execute("update access.mart set mart_group = 'gone' where relation = 'store.agent_day'::regclass")
    found = pointing.undeclared(owner)
    assert found
    assert all("bring the group back into access.yml, `callmart retire` its marts" in one for one in found)


# -- what the declarations are for ---------------------------------------------------------------------------------


def test_every_declaration_is_in_the_catalogue(owner: psycopg.Connection, marts: list[Mart]) -> None:
    found = columns(owner)
    assert found == sorted(found)
    of_marts = {
        (place, mart.name, column.name, column.person)
        for mart in marts
        for column in mart.declared
        if column.person
        for place in ("build", "store", "mart")
    }
    assert of_marts <= {(one.schema, one.table, one.column, one.person) for one in found}
    assert {
        Column("raw", "event", "event_key", "bigint", "agent"),
        Column("raw", "event", "event_key", "bigint", "caller"),
        Column("raw", "event", "call_key", "bigint", "caller"),
        Column("build", "stg_event", "event_key", "bigint", "agent"),
        Column("registry", "contact", "email", "text", "contact"),
        Column("registry", "recipient", "email", "text", "recipient"),
        Column("registry", "agent", "name", "text", "agent"),
        Column("ops", "audit_log", "actor", "text", "staff"),
        Column("mart", "agent_ratios", "agent_key", "text", "agent"),
        Column("mart", "queue_ratios", "queue", "text", "nobody"),
        Column("registry", "kept_contract", "option", "text", "nobody"),
    } <= set(found)
    # Agents and callers are in marts of agents, callers in lists of contacts; nowhere else among what customers read.
    agents = {mart.name for mart in marts if mart.group in ("agent", "contact")} | {"agent_ratios"}
    shown = {one.table for one in found if one.schema == "mart" and one.person != "nobody"}
    assert shown == agents


def test_a_view_follows_its_table(owner: psycopg.Connection) -> None:
    owner.execute("comment on column store.queue_day.queue is 'person: staff'")
    owner.execute("select access.show_mart('store.queue_day', 'queue')")
    assert Column("mart", "queue_day", "queue", "text", "staff") in columns(owner)


CHANGED = {
    "a table": (
        "comment on column raw.event.number_key is 'person: nobody'",
        "the columns of raw.event do not point",
    ),
    "a table, taken away": (
        "comment on column raw.file.name_key is null",
        "the column raw.file.name_key (text) does not say",
    ),
    "a mart": (
        "comment on column store.agent_contact.call_key is 'person: nobody'",
        "the columns of store.agent_contact do not point",
    ),
    "a statistic": (
        "comment on column usage.function_month.uses is 'person: staff'",
        "the columns of usage.function",
    ),
    "a view": (
        "comment on column mart.agent.agent_key is 'person: nobody'",
        "function or view mart.agent is not as",
    ),
}


def test_what_was_declared_away_by_hand_is_found_and_corrected(played: Callmart, marts: list[Mart]) -> None:
    """Each by itself, though all at once: correcting takes as long for one as for all."""
    with played.connect() as connection:
        before = columns(connection)
        connection.commit()
        with played.superuser() as superuser:  # not even the owner changes a view that customers read
            for statement, _ in CHANGED.values():
                superuser.execute(statement.encode())
        found = drift.find(connection, marts)
        stopping = [one.text for one in drift.stopping(connection, played.settings, found)]
        for what, (_, text) in CHANGED.items():
            assert any(one.startswith(text) for one in stopping), what
        with pytest.raises(opening.Drifted, match=r"point to|mart\.agent is not"):
            opening.open_build(connection, played.settings)
        connection.rollback()
        memberships.apply(connection, played.settings, marts)
        assert drift.find(connection, marts) == []
        assert columns(connection) == before


# -- what refuses --------------------------------------------------------------------------------------------------


def test_nothing_applies_while_a_column_does_not_say_it(played: Callmart, marts: list[Mart]) -> None:
    with played.connect() as connection:
        column = plant(connection, "registry.customer", "text")
        connection.commit()
        said = f"the column {column} (text) does not say whom it points to: drop it, or say so in "
        for apply in (
            lambda: memberships.apply(connection, played.settings, marts),
            lambda: played.apply(REGISTRY, looks=True),
            lambda: upgrading.upgrade(connection, played.settings, marts),
        ):
            with pytest.raises(UserError) as refused:
                apply()
            assert str(refused.value).startswith(said)
            connection.rollback()
        with pytest.raises(opening.Drifted, match=re.escape(said)):
            opening.open_build(connection, played.settings)
        connection.rollback()
        connection.execute(f"alter table registry.customer drop {column.rpartition('.')[2]}".encode())
        memberships.apply(connection, played.settings, marts)
        played.apply(REGISTRY)


def test_an_upgrade_does_not_finish_over_a_migration_that_says_nothing(
    played: Callmart, marts: list[Mart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = len(migrating.known(migrating.FOLDER)) + 1
    for file in migrating.FOLDER.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    more = tmp_path / f"{number:04}_more.sql"
    more.write_text("create table ops.more (noted text)")
    monkeypatch.setattr(migrating, "FOLDER", tmp_path)
    with played.connect() as connection:
        for _ in range(2):
            with pytest.raises(UserError, match=r"the column ops\.more\.noted \(text\) does not say whom"):
                upgrading.upgrade(connection, played.settings, marts)
            connection.rollback()
        connection.execute("comment on column ops.more.noted is 'person: nobody'")
        upgrading.upgrade(connection, played.settings, marts)
        schema.require(connection, played.settings.time_zone)
        connection.execute("drop table ops.more")
        connection.execute("delete from ops.migration where number = %s", [number])
        monkeypatch.undo()
        memberships.apply(connection, played.settings, marts)


# -- planted in YAML -----------------------------------------------------------------------------------------------


def model(column: dict[str, Any]) -> Any:
    """A model that is no mart, as dbt reads it."""
    return SimpleNamespace(
        name="int_planted",
        resource_type="model",
        config=SimpleNamespace(materialized="window"),
        patch_path="callmart://models/intermediate/int_planted.yml",
        columns={"planted": SimpleNamespace(data_type=column.get("type"), meta=column.get("meta", {}))},
    )


@pytest.mark.parametrize(
    "column",
    [
        {"type": "text"}, {"type": "bigint"}, {"type": "text[]"}, {"type": "integer[]"}, {"type": "jsonb"},
        {"meta": {"person": "boss"}}, {"meta": {"person": []}}, {"meta": {"person": 7}},
        {"meta": {"person": ["agent", "boss"]}}, {"meta": {"person": ["agent", "nobody"]}},
        {"type": "integer", "meta": {"person": "Nobody"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_model_that_says_nothing_is_refused_with_file_and_column(column: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refused:
        dbt_project._declared([model(column)])
    assert str(refused.value) == (
        "model int_planted does not say whom its column planted points to: add to models/intermediate/int_planted.yml, "
        "at the column, config: {meta: {person: agent | caller | contact | recipient | staff | nobody}}"
    )


@pytest.mark.parametrize(
    "column",
    [
        {}, {"type": "integer"}, {"type": "text", "meta": {"person": "nobody"}}, {"meta": {"person": "staff"}},
        {"type": "bigint", "meta": {"person": ["agent", "caller"]}},
    ],
    ids=str,
)  # fmt: skip
def test_a_model_that_says_it_is_taken(column: dict[str, Any]) -> None:
    assert dbt_project._declared([model(column)]) == []


@pytest.mark.parametrize(
    ("group", "allowed"),
    [
        ("queue", {"nobody"}),
        ("line", {"nobody"}),
        ("usage", {"nobody"}),
        ("agent", {"agent", "caller", "nobody"}),
        ("contact", {"caller", "nobody"}),
    ],
)
def test_a_mart_shows_the_persons_of_its_group(group: str, allowed: set[str]) -> None:
    def declare(data_type: str, person: str | None) -> None:
        key = {"name": "customer_id", "data_type": "integer"}
        planted = {"name": "planted", "data_type": data_type, "person": person}
        mart = Mart.model_validate(
            {"name": "m", "group": group, "key": ["customer_id"], "day": "none", "declared": [key, planted]}
        )
        for _, sentence in mart.mistakes(matrix(), is_frozen=group == "usage"):
            raise ValueError(sentence)

    def refuse(data_type: str, person: str | None) -> None:
        with pytest.raises(ValueError, match="planted"):
            declare(data_type, person)

    for person in WHOM:
        for data_type in ("integer", "text", "bigint"):
            (declare if person in allowed else refuse)(data_type, person)
    for data_type in ("text", "bigint", "numeric", "jsonb", "text[]", "uuid", "time without time zone"):
        refuse(data_type, None)
    for data_type in COUNTS_AND_MOMENTS:
        declare(data_type, None)
